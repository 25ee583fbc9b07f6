//! Host ports.

use std::time::Duration;

use mimir::host_ports::{HostPorts, PortError, is_free};
use mimir::model::ids::FrameId;
use mimir::model::port::{Port, PortPurpose};
use mimir::outbound::Connector;
use mimir::supervisor::Tasks;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::support::{LIMIT, eventually};

/// A server that repeats what it hears.
async fn echo() -> (Connector, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let connector = Connector::tcp(listener.local_addr().expect("an address"));
    let mut server = JoinSet::new();
    server.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            connections.spawn(async move {
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    });
    (connector, server)
}

fn a_port() -> Port {
    Port(portpicker::pick_unused_port().expect("a free port"))
}

async fn says(port: Port, text: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port.0)).await.expect("it listens");
    stream.write_all(text).await.expect("sent");
    stream.shutdown().await.expect("half closed");
    let mut heard = Vec::new();
    let read = tokio::time::timeout(LIMIT, stream.read_to_end(&mut heard)).await;
    let _ = read.expect("an end");
    heard
}

#[tokio::test]
async fn a_port_leads_into_the_frame_and_closes_with_it() {
    let (ports, frame, port) = (HostPorts::new(Tasks::default()), FrameId::from_parts(1, 1), a_port());
    let (connector, _server) = echo().await;
    ports.open(&frame, port, PortPurpose::Agent, connector.clone()).await.expect("opened");
    ports.open(&frame, port, PortPurpose::Agent, connector).await.expect("opened again");
    assert!(!is_free(port));
    assert_eq!(says(port, b"over and out").await, b"over and out", "a half-closed side is not the end");

    let mut open = TcpStream::connect(("127.0.0.1", port.0)).await.expect("it listens");
    open.write_all(b"x").await.expect("sent");
    assert_eq!(open.read_u8().await.expect("echoed"), b'x');
    ports.close(&frame);
    let ended = tokio::time::timeout(LIMIT, open.read_u8()).await.expect("it ends");
    assert!(ended.is_err(), "the connection closes with the frame");
    eventually("the port is free", || async { if is_free(port) { Ok(()) } else { Err("busy".to_owned()) } })
        .await;
    assert_eq!(ports.port_of(&frame, PortPurpose::Agent), None);
}

#[tokio::test]
async fn a_port_of_somebody_else_is_busy_and_left_alone() {
    let (ports, frame) = (HostPorts::new(Tasks::default()), FrameId::from_parts(1, 1));
    let (connector, _server) = echo().await;
    let taken = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = Port(taken.local_addr().expect("an address").port());
    assert!(!is_free(port));
    let refused = ports.open(&frame, port, PortPurpose::Agent, connector.clone()).await;
    assert!(matches!(refused, Err(PortError::Busy(busy)) if busy == port), "{refused:?}");
    assert_eq!(ports.port_of(&frame, PortPurpose::Agent), None);

    // An exchanged port takes the place of the one that it was.
    let (first, second) = (a_port(), a_port());
    ports.open(&frame, first, PortPurpose::Agent, connector.clone()).await.expect("opened");
    ports.open(&frame, second, PortPurpose::Agent, connector).await.expect("exchanged");
    assert_eq!(ports.port_of(&frame, PortPurpose::Agent), Some(second));
    assert_eq!(says(second, b"x").await, b"x");
}

#[tokio::test]
async fn a_frame_that_does_not_run_closes_the_connection_at_once() {
    let (ports, frame, port) = (HostPorts::new(Tasks::default()), FrameId::from_parts(1, 1), a_port());
    let nobody = tempfile::tempdir().expect("a folder");
    let connector = mimir::runtime::link::connector(nobody.path(), "agent.sock");
    ports.open(&frame, port, PortPurpose::Agent, connector).await.expect("opened");
    let heard = tokio::time::timeout(Duration::from_secs(2), says(port, b"anybody?")).await;
    assert_eq!(heard.expect("at once"), b"");
}
