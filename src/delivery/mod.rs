//! Messages to frames: accepted once, delivered once, followed to their end.
//!
//! A message is a row before anything else happens. One task per conversation
//! (a lane) takes its open messages in order: wakes the frame, chooses and saves
//! opencode's id of the message, hands it over, follows the turn and stores what
//! came of it. Killing the gateway anywhere costs time: the next lane asks the
//! agent whether it has that id before it sends anything again.
//!
//! Not here: opencode's JSON (see `opencode`), starting frames (see `frames`),
//! sending events to clients (see `events`).

mod accept;
mod crowd;
mod delivery;
pub mod error;
mod follow;
mod lanes;
mod queue;
mod resend;
mod shown;
pub mod turn_limits;
mod verdict;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::{self, Clock};
use crate::feed::{Feeds, transcript};
use crate::frames::AgentLocator;
use crate::model::agent::ModelRef;
use crate::model::ids::MessageId;
use crate::model::message::{Message, SendMode};
use crate::model::principal::Principal;
use crate::store::{Store, StoreError, messages};
use crate::supervisor::Tasks;
use crate::supervisor::failpoint::Failpoints;

pub use crate::config::schema::{Queue as Rules, Turn as Limits};
pub use accept::{Accepted, SendRequest};
pub use error::{CancelError, EditError, SendError};
pub use verdict::Patience;

/// How long [`Delivery::cancel`] waits for the agent to let go.
const CANCEL_WAIT: Duration = Duration::from_secs(15);

/// What the configuration says about messages.
#[derive(Clone, Debug)]
pub struct Settings {
    /// For messages that name no model. Always sent: a session would otherwise reuse its last one, even a bad one.
    pub default_model: ModelRef,
    /// For messages that name no agent.
    pub default_agent: String,
    /// How long a frame may take to start.
    pub wake: Duration,
    /// How long a lost agent may take to come back in the middle of a turn.
    pub return_after_loss: Duration,
    /// How often a working agent is asked what it does, whatever its event stream says.
    pub look_every: Duration,
    /// Limits of one turn.
    pub limits: Limits,
    /// How many messages may wait, and for how long.
    pub queue: Rules,
    /// How long an idle agent may take to show what it did.
    pub patience: Patience,
}

impl Settings {
    /// What fits a real agent.
    #[must_use]
    pub fn new(default_model: ModelRef) -> Self {
        Self {
            default_model,
            default_agent: "build".to_owned(),
            wake: Duration::from_secs(180),
            return_after_loss: Duration::from_secs(90),
            look_every: Duration::from_secs(60),
            limits: Limits::default(),
            queue: Rules::default(),
            patience: Patience::default(),
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
    /// Owner of the lanes.
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
    lanes: lanes::Lanes,
    crowd: crowd::Crowd,
    shown: shown::Shown,
    cancels: Mutex<HashMap<MessageId, CancellationToken>>,
}

impl Delivery {
    /// Makes the service. Call [`Delivery::resume`] when frames can be woken.
    #[must_use]
    pub fn new(deps: DeliveryDeps) -> Self {
        let inner = Inner {
            deps,
            lanes: lanes::Lanes::default(),
            crowd: crowd::Crowd::default(),
            shown: shown::Shown::default(),
            cancels: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
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
        let rules = self.inner.deps.settings.queue;
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
            self.nudge(&accepted.message.session);
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
            self.nudge(&message.session);
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
        match self.inner.cancels.lock() {
            Ok(mut cancels) => cancels.entry(id.clone()).or_default().clone(),
            Err(_) => CancellationToken::new(),
        }
    }

    fn forget_cancel(&self, id: &MessageId) {
        if let Ok(mut cancels) = self.inner.cancels.lock() {
            cancels.remove(id);
        }
    }
}
