//! Host ports: a listener on 127.0.0.1 for each leased port, leading to a socket of the frame.
//!
//! "Host port" is a thing that people see; nothing in the gateway goes through one.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::model::ids::FrameId;
use crate::model::port::{Port, PortPurpose};
use crate::outbound::Connector;
use crate::supervisor::{self, Tasks};

/// How many connections one port serves at once; the next ones wait in the kernel.
const CONNECTIONS: usize = 256;

/// Why a host port cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// Somebody else has it: lease another.
    #[error("port {0} on 127.0.0.1 is in use")]
    Busy(Port),
    /// We have no better idea than to show it.
    #[error("cannot listen on port {port}: {source}")]
    Refused {
        /// Which.
        port: Port,
        /// Why.
        source: io::Error,
    },
}

/// All open host ports. Cheap to clone.
#[derive(Clone)]
pub struct HostPorts {
    tasks: Tasks,
    open: Arc<Mutex<BTreeMap<(FrameId, &'static str), OpenPort>>>,
}

struct OpenPort {
    port: Port,
    close: CancellationToken,
    connections: Arc<AtomicUsize>,
}

impl HostPorts {
    /// No port is open yet; listeners become tasks of `tasks`.
    #[must_use]
    pub fn new(tasks: Tasks) -> Self {
        Self { tasks, open: Arc::default() }
    }

    /// Listens on `port` and leads each connection to `connector`.
    ///
    /// May be called again: the same port stays as it is, another one takes its place.
    ///
    /// # Errors
    /// [`PortError::Busy`] when somebody else listens there.
    pub async fn open(
        &self,
        frame: &FrameId,
        port: Port,
        purpose: PortPurpose,
        connector: Connector,
    ) -> Result<(), PortError> {
        if self.port_of(frame, purpose) == Some(port) {
            return Ok(());
        }
        let listener = bind(port).await?;
        let close = self.tasks.stop_token().child_token();
        let connections = Arc::new(AtomicUsize::new(0));
        let replaced = {
            let opened = OpenPort { port, close: close.clone(), connections: connections.clone() };
            self.open.lock().insert((frame.clone(), purpose.as_str()), opened)
        };
        if let Some(old) = replaced {
            old.close.cancel();
        }
        self.tasks
            .spawn_once(format!("port {port}"), move |_| serve(listener, connector, close, connections));
        Ok(())
    }

    /// The port that is open for a purpose of a frame.
    #[must_use]
    pub fn port_of(&self, frame: &FrameId, purpose: PortPurpose) -> Option<Port> {
        self.open.lock().get(&(frame.clone(), purpose.as_str())).map(|open| open.port)
    }

    /// How many connections come in through a frame's ports right now.
    #[must_use]
    pub fn connections(&self, frame: &FrameId) -> usize {
        let open = self.open.lock();
        let of_frame = open.iter().filter(|((owner, _), _)| owner == frame);
        of_frame.map(|(_, open)| open.connections.load(Ordering::Relaxed)).sum()
    }

    /// Closes a frame's ports with all connections. The ports may be bound by others as soon as the tasks ended.
    pub fn close(&self, frame: &FrameId) {
        self.open.lock().retain(|(owner, _), port| {
            if owner == frame {
                port.close.cancel();
            }
            owner != frame
        });
    }
}

/// Whether nobody listens on `port`. Only a guess about the next moment: opening it is the proof.
#[must_use]
pub fn is_free(port: Port) -> bool {
    // portpicker wants the port on every address of both families, and so calls
    // every port busy where the kernel has no IPv6.
    portpicker::is_free_tcp(port.0)
        || (StdListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err()
            && StdListener::bind((Ipv4Addr::UNSPECIFIED, port.0)).is_ok())
}

/// A port that was closed a moment ago, by ourselves, may still be on its way out.
async fn bind(port: Port) -> Result<TcpListener, PortError> {
    let mut tries = 3;
    loop {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port.0)).await {
            Ok(listener) => return Ok(listener),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                tries -= 1;
                if tries == 0 {
                    return Err(PortError::Busy(port));
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(source) => return Err(PortError::Refused { port, source }),
        }
    }
}

async fn serve(
    listener: TcpListener,
    connector: Connector,
    close: CancellationToken,
    count: Arc<AtomicUsize>,
) {
    let accept = || async { listener.accept().await.map(|(stream, _)| stream) };
    let serve = |stream| {
        let (connector, counted) = (connector.clone(), Counted::one_of(&count));
        async move {
            let _counted = counted;
            carry(stream, connector).await;
        }
    };
    drop(supervisor::accept::accept(connector.what(), CONNECTIONS, accept, serve, &close).await);
}

/// One connection, for as long as it lives.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn one_of(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Copies both ways until both sides are done or one breaks.
async fn carry(mut outside: TcpStream, connector: Connector) {
    let _ = outside.set_nodelay(true);
    match connector.connect().await {
        Ok(mut inside) => {
            let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
        }
        // Dropping the stream says it to the client; the frame may simply not run.
        Err(error) => tracing::debug!(%error, "nobody behind {}: {error}", connector.what()),
    }
}
