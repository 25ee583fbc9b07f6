//! What a frame may reach: models, and the hosts on its list.
//!
//! One listener per frame, made by its engine; who calls is
//! known by the socket alone, so there is no token to steal. A frame speaks HTTP
//! to it: `/models/<provider>/…` are model calls, CONNECT and absolute addresses
//! ask for other hosts. Everything a frame sends is a stranger's.
//!
//! Not here: keys and providers (see `models`), rules of the list (see `model::allow`).

mod connect;
mod dial;
mod ledger;
mod models;
mod reply;
mod route;
mod serve;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::budget::Budgets;
use crate::model::allow::{AllowGroups, AllowList};
use crate::model::ids::FrameId;
use crate::model::names::FrameName;
use crate::model::network::NetworkMode;
use crate::models::Models;
use crate::runtime::FrameListener;
use crate::store::Store;
use crate::supervisor::Tasks;

pub use dial::{DialError, Dialer};

/// How many large request bodies may be in memory at once, over all frames.
const LARGE_BODIES: usize = 4;

/// What the broker works with.
pub struct BrokerDeps {
    /// Where usage and refusals are kept.
    pub store: Store,
    /// Who answers model calls.
    pub models: Arc<Models>,
    /// Who lets them begin, and keeps the books.
    pub budgets: Budgets,
    /// Owner of the listeners.
    pub tasks: Tasks,
    /// Named groups of hosts.
    pub groups: AllowGroups,
    /// Opens connections to the outside.
    pub dialer: Dialer,
}

/// The brokers of all frames. Cheap to clone.
#[derive(Clone)]
pub struct Broker {
    shared: Arc<Shared>,
    open: Arc<Mutex<BTreeMap<FrameId, Open>>>,
}

/// What all frames share.
struct Shared {
    store: Store,
    models: Arc<Models>,
    budgets: Budgets,
    tasks: Tasks,
    groups: AllowGroups,
    dialer: Dialer,
    ledger: ledger::Ledger,
    large_bodies: Semaphore,
}

/// One frame as its broker sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Which.
    pub frame: FrameId,
    name: FrameName,
    network: NetworkMode,
    allow: AllowList,
}

struct Open {
    client: Client,
    listener: Arc<FrameListener>,
    close: CancellationToken,
}

impl Broker {
    /// No frame is served yet.
    #[must_use]
    pub fn new(deps: BrokerDeps) -> Self {
        let ledger = ledger::Ledger::start(deps.budgets.clone(), &deps.tasks);
        let shared = Shared {
            store: deps.store,
            models: deps.models,
            budgets: deps.budgets,
            tasks: deps.tasks,
            groups: deps.groups,
            dialer: deps.dialer,
            ledger,
            large_bodies: Semaphore::new(LARGE_BODIES),
        };
        Self { shared: Arc::new(shared), open: Arc::default() }
    }

    /// Serves a frame on what `listen` gives.
    ///
    /// May be called again: as long as the listener is where the frame looks for it and the frame's rules are
    /// the same, nothing changes; otherwise a new listener takes the place of the old.
    ///
    /// # Errors
    /// Those of `listen`.
    pub fn open(&self, client: Client, listen: impl FnOnce() -> io::Result<FrameListener>) -> io::Result<()> {
        let mut open = self.open.lock();
        if let Some(known) = open.get(&client.frame)
            && known.client == client
            && known.listener.is_in_place()
        {
            return Ok(());
        }
        let listener = Arc::new(listen()?);
        let close = self.shared.tasks.stop_token().child_token();
        let opened = Open { client: client.clone(), listener: listener.clone(), close: close.clone() };
        if let Some(old) = open.insert(client.frame.clone(), opened) {
            old.close.cancel();
        }
        let name = client.name.clone();
        let served = Arc::new(serve::Served::new(self.shared.clone(), client));
        self.shared
            .tasks
            .spawn_once(format!("broker {name}"), move |_| serve::accept(listener, served, close));
        Ok(())
    }

    /// Closes a frame's listener with all its connections.
    pub fn close(&self, frame: &FrameId) {
        let closed = self.open.lock().remove(frame);
        if let Some(closed) = closed {
            closed.close.cancel();
        }
    }

    /// A frame and what it may reach.
    ///
    /// An entry that cannot be read permits nothing; it was refused at the door, so it is old or a bug.
    #[must_use]
    pub fn client(
        &self,
        frame: &FrameId,
        name: &FrameName,
        network: NetworkMode,
        allow: &[String],
    ) -> Client {
        let allow = self.shared.groups.resolve(allow.iter().map(String::as_str)).unwrap_or_else(|error| {
            tracing::warn!(frame.id = %frame, "frame {name} may reach no other host: {error}");
            AllowList::default()
        });
        Client { frame: frame.clone(), name: name.clone(), network, allow }
    }
}
