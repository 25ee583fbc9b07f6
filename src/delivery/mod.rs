//! Messages to frames: accepted once, handed over once, awaited to their end.
//!
//! ```text
//!             its turn comes          the prompt was taken       the agent answers
//!   queued ───────────────► sending ─────────────────► sent ─────────────────► running
//!     │ ▲                      │                        │ ▲                       │
//!     │ └── it never arrived ──┘                        │ └ nothing happens:      │
//!     │                                                 │   handed over once more │
//!     ▼                                                 ▼                         ▼
//!   failed, cancelled                     answered, failed, cancelled   (from each of them)
//! ```
//!
//! A message is a row before anything else happens. One worker per conversation takes its open messages in order: wakes
//! the frame, chooses and saves opencode's id of the message, hands it over, and awaits what becomes of the turn, which
//! the feed tracks. Killing the gateway anywhere costs time: the next worker asks the agent whether it has that id
//! before it sends anything again.
//!
//! A message's way: `accept` stores it, `workers` wait for its turn, `attempt` reaches the agent, `hand_over` sends it.
//! `followed_turn` awaits what the feed says of the turn, and `attempt` writes the end.
//!
//! Not here: opencode's JSON (see `opencode`), starting frames (see `frames`), what is told of a turn and when it is
//! over (see `feed`), sending events to clients (see `events`).

mod accept;
mod admission;
mod agent_session;
mod attempt;
mod cancel;
mod concurrency;
pub mod error;
mod followed_turn;
mod hand_over;
mod model_choice;
mod outcome;
mod overdue;
mod shown;
pub mod turn_limits;
mod workers;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::clock::{self, Clock};
use crate::config::Live;
use crate::feed::{Feeds, Patience};
use crate::frames::AgentLocator;
use crate::model::agent::ModelRef;
use crate::model::ids::{MessageId, SessionId};
use crate::model::message::{Message, SendMode};
use crate::model::principal::Principal;
use crate::store::{Store, StoreError, messages};
use crate::supervisor::Tasks;
use crate::supervisor::failpoint::Failpoints;
use crate::supervisor::keyed::Keyed;

pub use crate::config::schema::{Queue as Rules, Turn as Limits};
pub use accept::{Accepted, SendRequest};
pub use error::{CancelError, EditError, SendError};
pub use model_choice::{Explained, Routing};

/// How long [`Delivery::cancel`] waits for the agent to let go.
const CANCEL_WAIT: Duration = Duration::from_secs(15);
/// How often it is asked whether a session, or a paused frame, is free for the next message.
const FREE_POLL: Duration = Duration::from_millis(500);
/// How long an agent that was told to stop may take to become idle.
const LET_GO: Duration = Duration::from_secs(6);
/// How long the event stream's answer may take to begin; the first one of a server's life boots it.
const STREAM_HEAD: Duration = Duration::from_secs(15);

/// What the configuration says about messages.
#[derive(Clone, Debug)]
pub struct Settings {
    /// For messages that name no model. Always sent: a session would otherwise reuse its last one, even a bad one.
    pub default_model: ModelRef,
    /// Which other model those go to.
    pub routing: Routing,
    /// For messages that name no agent.
    pub default_agent: String,
    /// How long a frame may take to start.
    pub wake: Duration,
    /// How long a lost agent may take to come back in the middle of a turn.
    pub return_after_loss: Duration,
    /// Limits of one turn.
    pub limits: Limits,
    /// How many messages may wait, and for how long.
    pub queue: Rules,
    /// How long an idle agent may take to show what it did.
    pub patience: Patience,
    /// How long it may take to begin with a message that was handed over again.
    pub begin_again: Duration,
}

impl Settings {
    /// What fits a real agent.
    #[must_use]
    pub fn new(default_model: ModelRef) -> Self {
        Self {
            default_model,
            routing: Routing::default(),
            default_agent: "build".to_owned(),
            wake: Duration::from_secs(180),
            return_after_loss: Duration::from_secs(90),
            limits: Limits::default(),
            queue: Rules::default(),
            patience: Patience { begin: Duration::from_secs(15), ..Patience::default() },
            begin_again: Duration::from_secs(30),
        }
    }
}

/// Everything that [`Delivery`] is made of.
pub struct DeliveryDeps {
    /// The database.
    pub store: Store,
    /// Where agents live.
    pub locator: Arc<dyn AgentLocator>,
    /// What they say.
    pub feeds: Feeds,
    /// The time.
    pub clock: Clock,
    /// Owner of the workers.
    pub tasks: Tasks,
    /// From the configuration.
    pub settings: Settings,
    /// Where tests let the gateway die.
    pub failpoints: Failpoints,
}

/// Sends messages to frames. Cheap to clone.
#[derive(Clone)]
pub struct Delivery {
    inner: Arc<Inner>,
}

struct Inner {
    deps: DeliveryDeps,
    /// As they are configured now.
    limits: Live<Limits>,
    rules: Live<Rules>,
    routing: Live<Routing>,
    workers: Keyed<SessionId>,
    limit: concurrency::ConcurrencyLimit,
    shown: shown::Shown,
    cancels: Mutex<HashMap<MessageId, CancellationToken>>,
}

impl Delivery {
    /// Makes the service. Call [`Delivery::resume`] when frames can be woken.
    #[must_use]
    pub fn new(deps: DeliveryDeps) -> Self {
        let inner = Inner {
            limits: Live::new(deps.settings.limits),
            rules: Live::new(deps.settings.queue),
            routing: Live::new(deps.settings.routing.clone()),
            workers: Keyed::new(&deps.tasks, "session", |_| ()),
            limit: concurrency::ConcurrencyLimit::default(),
            shown: shown::nothing(&deps.tasks),
            deps,
            cancels: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Other limits and rules from now on; a turn that runs keeps the limits that it began with.
    pub fn configure(&self, limits: Limits, rules: Rules) {
        self.inner.limits.set(limits);
        self.inner.rules.set(rules);
    }

    /// Stores a message and sees to its delivery. Returns as soon as it is stored.
    ///
    /// # Errors
    /// See [`SendError`]; nothing was stored then.
    pub async fn send(&self, principal: &Principal, request: SendRequest) -> Result<Accepted, SendError> {
        if request.mode == SendMode::Now {
            self.is_free_now(&request).await?;
        }
        let principal = principal.clone();
        let rules = *self.inner.rules.now();
        let id = MessageId::from_parts(self.inner.deps.clock.now_ms(), clock::entropy_128());
        let accepted = self
            .inner
            .deps
            .store
            .write_as(move |tx| accept::accept(tx, &principal, rules, id, request))
            .await?;
        self.inner.deps.failpoints.hit("send.after_row").await;
        self.interrupt(&accepted.interrupted);
        if !accepted.message.state.is_final() {
            self.wake(&accepted.message.session);
        }
        Ok(accepted)
    }

    /// Takes up every message that is not at its end: after a start of the gateway.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub async fn resume(&self) -> Result<usize, StoreError> {
        let open = self.inner.deps.store.read(|db| messages::list_open(db, None)).await?;
        for message in &open {
            self.wake(&message.session);
        }
        Ok(open.len())
    }

    /// The message, when it is at its end or when `deadline` has passed, whichever comes first.
    ///
    /// # Errors
    /// When the row cannot be read.
    pub async fn wait_for_end(&self, id: &MessageId, deadline: Duration) -> Result<Message, StoreError> {
        let until = tokio::time::Instant::now() + deadline;
        let mut changes = self.inner.deps.store.last_event();
        loop {
            changes.borrow_and_update();
            let wanted = id.clone();
            let message = self.inner.deps.store.read(move |db| messages::get(db, &wanted)).await?;
            if message.state.is_final() || tokio::time::Instant::now() >= until {
                return Ok(message);
            }
            let _ = tokio::time::timeout_at(until, changes.changed()).await;
        }
    }

    fn cancel_token(&self, id: &MessageId) -> CancellationToken {
        self.inner.cancels.lock().entry(id.clone()).or_default().clone()
    }

    fn forget_cancel(&self, id: &MessageId) {
        self.inner.cancels.lock().remove(id);
    }
}
