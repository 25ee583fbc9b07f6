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

use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::clock::{self, Clock};
use crate::feed::{Feeds, transcript};
use crate::frames::AgentLocator;
use crate::model::agent::ModelRef;
use crate::model::frame::{Desired, Frame, FrameState};
use crate::model::ids::{MessageId, SessionId};
use crate::model::message::{Message, Session};
use crate::model::names::FrameName;
use crate::model::principal::Principal;
use crate::store::messages::NewMessage;
use crate::store::sessions::NewSession;
use crate::store::{Store, StoreError, Tx, approvals, events, frames, messages, sessions};
use crate::supervisor::Tasks;
use crate::supervisor::failpoint::Failpoints;

pub use error::{CancelError, EditError, SendError};
pub use queue::Rules;
pub use turn_limits::Limits;
pub use verdict::Patience;

/// The longest message.
pub const MAX_TEXT_BYTES: usize = 1024 * 1024;
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

/// What somebody wants to be asked.
#[derive(Clone, Debug, Default)]
pub struct SendRequest {
    /// The frame's name.
    pub frame: String,
    /// The words.
    pub text: String,
    /// A session id, a title, `last`, or `new`; `last` when absent.
    pub session: Option<String>,
    /// With which model.
    pub model: Option<ModelRef>,
    /// With which of opencode's agents.
    pub agent: Option<String>,
    /// Nobody is there: what the agent asks is denied after so long.
    pub unattended: Option<Duration>,
    /// Stops what the conversation does and goes before everything that waits there.
    pub interrupt: bool,
    /// Refused unless it can be sent without waiting.
    pub now: bool,
}

/// A message that was accepted.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// Its row.
    pub message: Message,
    /// Whether this request made it; a repeat with the same key finds the first one.
    pub is_new: bool,
    /// Everything about the message has a greater event id.
    pub after_event: u64,
    /// The frame does not run and is being started.
    pub wakes_frame: bool,
    /// What was stopped for it.
    pub interrupted: Vec<MessageId>,
    /// How many messages of the conversation come before it.
    pub before: u64,
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
    pub async fn send(
        &self,
        principal: &Principal,
        request: SendRequest,
        idempotency_key: Option<String>,
    ) -> Result<Accepted, SendError> {
        check_text(&request.text)?;
        let name = FrameName::parse(&request.frame).map_err(|_| SendError::NoFrame(request.frame.clone()))?;
        if request.now && !request.interrupt {
            self.is_free_now(&name, request.session.as_deref(), idempotency_key.as_deref()).await?;
        }
        let principal = principal.clone();
        let rules = self.inner.deps.settings.queue;
        let id = MessageId::from_parts(self.inner.deps.clock.now_ms(), clock::entropy_128());
        let accepted = self
            .inner
            .deps
            .store
            .write(move |tx| accept(tx, &principal, rules, id, &name, request, idempotency_key))
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

fn check_text(text: &str) -> Result<(), SendError> {
    if text.trim().is_empty() {
        return Err(SendError::Empty);
    }
    if text.len() > MAX_TEXT_BYTES {
        return Err(SendError::TooLong { bytes: text.len(), limit: MAX_TEXT_BYTES });
    }
    Ok(())
}

/// Message, audit row and event in one transaction; a repeat changes nothing.
fn accept(
    tx: &mut Tx<'_>,
    principal: &Principal,
    rules: Rules,
    id: MessageId,
    name: &FrameName,
    request: SendRequest,
    key: Option<String>,
) -> Result<Accepted, SendError> {
    if let Some(key) = &key
        && let Some(known) = messages::find_by_key(tx, key)?
    {
        if known.given.as_ref().unwrap_or(&known.text) != &request.text || known.frame_name != *name {
            return Err(SendError::KeyTaken);
        }
        return accepted(tx, known, false, None);
    }
    let frame = frames::find_by_name(tx, name)?.ok_or_else(|| SendError::NoFrame(name.to_string()))?;
    if frame.desired == Desired::Removed {
        return Err(SendError::BeingDestroyed(name.to_string()));
    }
    let session = choose_session(tx, &frame, request.session.as_deref(), &request.text)?;
    let waiting = crate::store::queue::waiting(tx, &frame.id, &session.id)?;
    if request.now && !request.interrupt {
        rules.only_now(waiting, name, frame.state)?;
    }
    rules.make_room(waiting, name)?;
    let interrupted = match request.interrupt {
        true => queue::stop_what_runs(tx, &session.id, &id, principal)?,
        false => Vec::new(),
    };
    let new = NewMessage {
        id,
        idempotency_key: key,
        frame: frame.id.clone(),
        frame_name: frame.name.clone(),
        session: session.id.clone(),
        text: request.text,
        model: request.model,
        agent: request.agent,
        urgent: request.interrupt,
    };
    let (message, is_new) = messages::insert_once(tx, &new)?;
    if let Some(within) = request.unattended {
        let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        approvals::set_unattended(tx, &message.id, within_ms)?;
    }
    sessions::touch(tx, &session.id)?;
    frames::touch(tx, &frame.id)?;
    let detail = json!({"frame": frame.name, "session": session.id, "bytes": message.text.len()});
    tx.audit(principal, "message.send", message.id.as_str(), &detail)?;
    let before = match request.interrupt {
        true => 0,
        false => waiting.open_in_session,
    };
    Ok(Accepted { interrupted, before, ..accepted(tx, message, is_new, Some(&frame))? })
}

fn accepted(
    tx: &Tx<'_>,
    message: Message,
    is_new: bool,
    frame: Option<&Frame>,
) -> Result<Accepted, SendError> {
    let of_message = events::Filter { message: Some(message.id.clone()), ..events::Filter::default() };
    let first = events::after(tx, 0, &of_message, 1)?.first().map(|event| event.id);
    let after_event = match first {
        Some(id) => id - 1,
        None => events::newest_id(tx)?,
    };
    let wakes_frame = frame.is_some_and(|frame| frame.state != FrameState::Running);
    Ok(Accepted { message, is_new, after_event, wakes_frame, interrupted: Vec::new(), before: 0 })
}

fn choose_session(
    tx: &mut Tx<'_>,
    frame: &Frame,
    wanted: Option<&str>,
    text: &str,
) -> Result<Session, SendError> {
    let word = wanted.unwrap_or("last");
    if word != "new" {
        match sessions::named(tx, sessions::Among::Of(&frame.id), word)? {
            sessions::Named::One(found) => return Ok(found),
            sessions::Named::Several(found) => {
                let ids = found.into_iter().map(|session| session.id).collect();
                return Err(SendError::ManySessions { session: word.to_owned(), ids });
            }
            sessions::Named::Nothing => {}
        }
    }
    if !matches!(word, "new" | "last") {
        return Err(SendError::NoSession { frame: frame.name.to_string(), session: word.to_owned() });
    }
    let new = NewSession {
        id: SessionId::from_parts(tx.now_ms(), clock::entropy_128()),
        frame: frame.id.clone(),
        frame_name: frame.name.clone(),
        title: crate::sessions::title_of(text),
    };
    Ok(sessions::insert(tx, &new)?)
}
