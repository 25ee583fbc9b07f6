//! What a frame may reach: models, and the hosts on its list.
//!
//! One listener per frame, made by its engine; who calls is
//! known by the socket alone, so there is no token to steal. A frame speaks HTTP
//! to it: `/models/<provider>/…` are model calls, `/https/<host>/…` requests with secrets, `/git/<host>/<repository>/…` is
//! git's, CONNECT and absolute addresses ask for other hosts. Everything a frame sends is a stranger's.
//!
//! Not here: keys and providers (see `models`), secrets (see `secrets`), rules of the list (see `model::allow`).

mod admit;
mod connect;
mod dial;
mod git;
mod hello;
mod ledger;
mod loans;
mod models;
mod questions;
mod reply;
mod requests;
mod route;
mod serve;
mod told;
mod traffic;
mod watched;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::approvals::{Approvals, WeakApprovals};
use crate::budget::Budgets;
use crate::clock::Clock;
use crate::config::Live;
use crate::model::allow::{AllowGroups, AllowList, InvalidAllow};
use crate::model::frame::Frame;
use crate::model::git::FrameForge;
use crate::model::ids::FrameId;
use crate::model::names::FrameName;
use crate::model::network::{LentHost, NetworkMode};
use crate::models::Models;
use crate::outbound::HttpClients;
use crate::pushes::Pushes;
use crate::runtime::FrameListener;
use crate::secrets::Vault;
use crate::store::Store;
use crate::supervisor::Tasks;

pub use dial::{DialError, Dialer};
use traffic::Traffic;

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
    /// Who knows repositories, and takes what is pushed.
    pub pushes: Pushes,
    /// The way to forges.
    pub http: HttpClients,
    /// Owner of the listeners.
    pub tasks: Tasks,
    /// Named groups of hosts.
    pub groups: AllowGroups,
    /// Opens connections to the outside.
    pub dialer: Dialer,
    /// Secrets that frames may use.
    pub vault: Vault,
    /// The time.
    pub clock: Clock,
    /// How far frames may go.
    pub limits: Live<Limits>,
    /// After how long without a byte a connection to the outside is closed; [`IDLE`] outside of tests.
    pub idle: Duration,
}

/// How far frames may go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// How many bytes a frame may send to one host a day.
    pub upload: Option<u64>,
    /// How many connections it may make to one host a day.
    pub connections: Option<u64>,
    /// How long a connection to a host that is not listed waits while people are asked; at zero they are not.
    pub ask_wait: Duration,
}

/// A connection to the outside through which nothing goes for so long is closed.
pub const IDLE: Duration = Duration::from_secs(10 * 60);

/// The brokers of all frames. Cheap to clone.
#[derive(Clone)]
pub struct Broker {
    shared: Arc<Shared>,
    open: Arc<Mutex<BTreeMap<FrameId, Open>>>,
}

/// What all frames share.
struct Shared {
    models: Arc<Models>,
    budgets: Budgets,
    pushes: Pushes,
    http: HttpClients,
    tasks: Tasks,
    groups: AllowGroups,
    dialer: Dialer,
    ledger: ledger::Ledger,
    teller: told::Teller,
    traffic: Traffic,
    vault: Vault,
    /// Who asks people. They know frames, and frames know their brokers, so they come later and are not kept.
    approvals: OnceLock<WeakApprovals>,
    limits: Live<Limits>,
    clock: Clock,
    idle: Duration,
    large_bodies: Semaphore,
}

/// What a frame may reach, as it is written.
#[derive(Clone, Copy, Debug)]
pub struct Reach<'a> {
    /// How much of the network it sees.
    pub network: NetworkMode,
    /// Hosts and groups that it may reach,
    pub allow: &'a [String],
    /// and those that it may not.
    pub deny: &'a [String],
    /// Providers besides those that every frame may use.
    pub providers: &'a [String],
    /// Its repository, and what it may push there.
    pub forge: &'a FrameForge,
}

impl<'a> Reach<'a> {
    /// Those of a frame.
    #[must_use]
    pub fn of(frame: &'a Frame) -> Self {
        let Frame { network, allow, deny, providers, forge, .. } = frame;
        Self { network: *network, allow, deny, providers, forge }
    }
}

/// One frame as its broker sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Which.
    pub frame: FrameId,
    name: FrameName,
    network: NetworkMode,
    allow: AllowList,
    providers: BTreeSet<String>,
    forge: FrameForge,
}

struct Open {
    served: Arc<serve::Served>,
    listener: Arc<FrameListener>,
    close: CancellationToken,
}

impl Broker {
    /// No frame is served yet.
    #[must_use]
    pub fn new(deps: BrokerDeps) -> Self {
        let ledger = ledger::Ledger::start(deps.budgets.clone(), &deps.tasks);
        let teller = told::Teller::start(deps.store.clone(), &deps.tasks);
        let traffic = Traffic::start(deps.store, deps.clock.clone(), deps.limits.clone(), &deps.tasks);
        let shared = Shared {
            models: deps.models,
            budgets: deps.budgets,
            pushes: deps.pushes,
            http: deps.http,
            tasks: deps.tasks,
            groups: deps.groups,
            dialer: deps.dialer,
            ledger,
            teller,
            traffic,
            vault: deps.vault,
            approvals: OnceLock::new(),
            limits: deps.limits,
            clock: deps.clock,
            idle: deps.idle,
            large_bodies: Semaphore::new(LARGE_BODIES),
        };
        Self { shared: Arc::new(shared), open: Arc::default() }
    }

    /// Whom to ask about hosts that are on no list. Until it is known they are refused unasked.
    pub fn ask_people(&self, approvals: &Approvals) {
        // The first one stays: there is one for each gateway.
        let _ = self.shared.approvals.set(approvals.downgrade());
    }

    /// Serves a frame on what `listen` gives.
    ///
    /// May be called again: as long as the listener is where the frame looks for it, other rules hold for what is asked
    /// for from then on, and what is open stays; otherwise a new listener takes the place of the old.
    ///
    /// # Errors
    /// Those of `listen`.
    pub fn open(&self, client: Client, listen: impl FnOnce() -> io::Result<FrameListener>) -> io::Result<()> {
        let mut open = self.open.lock();
        if let Some(known) = open.get(&client.frame)
            && known.listener.is_in_place()
        {
            known.served.obey(client);
            return Ok(());
        }
        let listener = Arc::new(listen()?);
        let close = self.shared.tasks.stop_token().child_token();
        let (id, name) = (client.frame.clone(), client.name.clone());
        let served = Arc::new(serve::Served::new(self.shared.clone(), client));
        let opened = Open { served: served.clone(), listener: listener.clone(), close: close.clone() };
        if let Some(old) = open.insert(id, opened) {
            old.close.cancel();
        }
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

    /// Other rules for a frame that is open: they hold for what it asks for from now on.
    pub fn update(&self, client: Client) {
        if let Some(known) = self.open.lock().get(&client.frame) {
            known.served.obey(client);
        }
    }

    /// Lets a frame that is open reach a host for a while, or once within that time. Says whether it is open.
    ///
    /// # Errors
    /// When the entry names no host and no group.
    pub fn lend(&self, frame: &FrameId, loan: &LentHost) -> Result<bool, InvalidAllow> {
        let list = self.shared.groups.resolve([loan.host.as_str()])?;
        let open = self.open.lock();
        let Some(known) = open.get(frame) else { return Ok(false) };
        known.served.loans.add(loan.clone(), list);
        known.served.questions.rules_changed();
        Ok(true)
    }

    /// Takes back what a frame was lent.
    pub fn take_back(&self, frame: &FrameId) {
        if let Some(known) = self.open.lock().get(frame) {
            known.served.loans.clear();
        }
    }

    /// What a frame is lent now.
    #[must_use]
    pub fn lent(&self, frame: &FrameId) -> Vec<LentHost> {
        let open = self.open.lock();
        open.get(frame).map(|known| known.served.loans.list(self.shared.clock.now_ms())).unwrap_or_default()
    }

    /// A frame and what it may reach.
    ///
    /// An entry that cannot be read permits nothing; it was refused at the door, so it is old or a bug.
    #[must_use]
    pub fn client(&self, frame: &FrameId, name: &FrameName, rules: Reach<'_>) -> Client {
        let read = |entries: &[String]| self.shared.groups.resolve(entries.iter().map(String::as_str));
        let allow = read(rules.allow).and_then(|allow| Ok(allow.except(read(rules.deny)?)));
        let allow = allow.unwrap_or_else(|error| {
            tracing::warn!(frame.id = %frame, "frame {name} may reach no other host: {error}");
            AllowList::default()
        });
        let providers = self.shared.models.granted(rules.providers);
        let (network, forge) = (rules.network, rules.forge.clone());
        Client { frame: frame.clone(), name: name.clone(), network, allow, providers, forge }
    }
}
