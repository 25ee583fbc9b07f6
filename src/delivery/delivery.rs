//! One message, from queued to its end.
//!
//! May be interrupted anywhere. Each pass begins with what the row says and what
//! the agent knows, so a pass after a crash is a pass like any other.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Delivery;
use super::follow::LET_GO;
use super::queue::stop_asked;
use super::transcript::{Told, Transcript};
use super::turn_limits::{Guard, Past};
use super::verdict::{self, Verdict};
use crate::clock;
use crate::feed::{Claim, FeedError};
use crate::frames::PlaceError;
use crate::model::agent::{AgentMessageId, AgentSessionId};
use crate::model::frame::{Desired, FrameState};
use crate::model::ids::MessageId;
use crate::model::message::{DeliveryState, Message, Session};
use crate::opencode::{OpencodeClient, OpencodeError, UserPrompt, ids};
use crate::store::{StoreError, Tx, agent_messages, approvals, events, frames, messages, queue, sessions};
use crate::supervisor::backoff::Backoff;

/// How long the event stream's answer may take to begin; the first one of a server's life boots it.
const STREAM_HEAD: Duration = Duration::from_secs(15);
/// How often a busy session is asked whether it is free for the next message.
pub(super) const FREE_POLL: Duration = Duration::from_millis(500);
/// How many of the agent's sessions are searched for one that we made and did not get to save.
const SEARCHED: u32 = 200;

/// Why a lane cannot go on with a message. The message stays as it is.
#[derive(Debug, thiserror::Error)]
pub(super) enum Halt {
    /// The gateway stops.
    #[error("the gateway stops")]
    Stopping,
    /// The database could not do it; try again later.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How one pass over a connection ended.
#[derive(Debug)]
pub(super) enum Pass {
    /// The message is at its end, or about to be written so.
    Ended(Verdict),
    /// The agent went away; look for it and go on.
    Lost(String),
}

/// What a pass works with.
pub(super) struct Attempt {
    pub message: Message,
    pub session: AgentSessionId,
    pub client: OpencodeClient,
    pub cancel: CancellationToken,
}

/// What outlives a pass.
#[derive(Default)]
struct Held {
    transcript: Option<Transcript>,
    claim: Option<Claim>,
    /// A turn's limits do not begin anew with each connection.
    guard: Option<Guard>,
}

impl Delivery {
    /// Brings a message to its end.
    pub(super) async fn deliver(&self, message: Message) -> Result<(), Halt> {
        let id = message.id.clone();
        let cancel = self.cancel_token(&id);
        let mut held = Held::default();
        let verdict = self.to_its_end(message, &cancel, &mut held).await?;
        self.inner.deps.failpoints.hit("send.before_end").await;
        self.write_end(&id, verdict, held.transcript.as_ref()).await?;
        self.inner.deps.failpoints.hit("send.after_end").await;
        self.forget_cancel(&id);
        Ok(())
    }

    async fn to_its_end(
        &self,
        message: Message,
        cancel: &CancellationToken,
        held: &mut Held,
    ) -> Result<Verdict, Halt> {
        let id = message.id.clone();
        let mut delays = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
        let mut lost_since: Option<Instant> = None;
        loop {
            let message = self.reread(&id).await?;
            if message.state.is_final() || self.rests(&message).await? {
                return Ok(Verdict::NotYet);
            }
            let reached = tokio::select! {
                reached = self.reach(&message, lost_since.is_some()) => reached?,
                () = stop_asked(cancel, message.state, LET_GO) => return Ok(Verdict::Stopped),
            };
            let client = match reached {
                Ok(client) => client,
                Err(_) if cancel.is_cancelled() => return Ok(Verdict::Stopped),
                // Somebody put the frame to rest while it was being started for this message.
                Err(_) if self.rests(&message).await? => return Ok(Verdict::NotYet),
                Err(why) => return Ok(Verdict::Failed(why)),
            };
            let began = Instant::now();
            match self.pass(message, client, cancel, held).await? {
                Pass::Ended(verdict) => return Ok(verdict),
                Pass::Lost(why) => {
                    if let Some(known) = &mut held.transcript {
                        known.cut();
                    }
                    // A pass that held for a while was a recovery; the next loss is a new one.
                    if began.elapsed() > self.inner.deps.settings.return_after_loss {
                        lost_since = None;
                        delays.reset();
                    }
                    let since = *lost_since.get_or_insert(Instant::now());
                    if since.elapsed() > self.inner.deps.settings.return_after_loss {
                        return Ok(Verdict::Failed(format!(
                            "the agent went away and did not come back: {why}"
                        )));
                    }
                    if cancel.is_cancelled() {
                        return Ok(Verdict::Stopped);
                    }
                    tokio::time::sleep(delays.next_delay()).await;
                }
            }
        }
    }

    /// A client for the agent, or why there will be none.
    ///
    /// A message that the agent may have is not worth a start: somebody stopped its frame, and with it the turn.
    async fn reach(
        &self,
        message: &Message,
        after_loss: bool,
    ) -> Result<Result<OpencodeClient, String>, Halt> {
        let in_flight = matches!(message.state, DeliveryState::Sent | DeliveryState::Running);
        let frame = loop {
            let id = message.frame.clone();
            let Some(frame) = self.inner.deps.store.read(move |db| frames::find(db, &id)).await? else {
                return Ok(Err(format!("frame {} was destroyed", message.frame_name)));
            };
            // Whoever paused it wants the turn to wait as well.
            if !(in_flight && frame.desired == Desired::Paused) {
                break frame;
            }
            tokio::time::sleep(FREE_POLL).await;
        };
        // First: a frame that fails is not wanted to run any more either, and that is not the reason.
        if let (FrameState::Error, Some(why)) = (frame.state, &frame.reason) {
            if in_flight {
                return Ok(Err(format!("frame {} failed before the agent had answered: {why}", frame.name)));
            }
            // It was sent to a frame that worked; only who knows about the error may have it tried again.
            if message.created_at < frame.state_changed_at {
                return Ok(Err(format!("frame {} failed while the message waited: {why}", frame.name)));
            }
        }
        if in_flight && frame.desired != Desired::Running {
            return Ok(Err(format!("frame {} was stopped before the agent had answered", frame.name)));
        }
        let reached = if after_loss && in_flight && frame.state == FrameState::Running {
            self.inner.deps.locator.agent(&frame.id).await
        } else {
            self.inner.deps.locator.wake(&frame.id, self.inner.deps.settings.wake).await
        };
        self.inner.deps.failpoints.hit("send.after_wake").await;
        match reached {
            Ok(client) => Ok(Ok(client)),
            Err(PlaceError::NotThere(why)) => Ok(Err(why)),
            Err(PlaceError::Stopping) => Err(Halt::Stopping),
        }
    }

    /// One pass: everything that can be done over one event stream.
    async fn pass(
        &self,
        message: Message,
        client: OpencodeClient,
        cancel: &CancellationToken,
        held: &mut Held,
    ) -> Result<Pass, Halt> {
        let session = match self.ensure_session(&client, &message).await? {
            Ok(session) => session,
            Err(error) => return Ok(passing(error)),
        };
        let mut attempt = Attempt { message, session, client, cancel: cancel.clone() };
        if attempt.message.state == DeliveryState::Sending && !self.arrived(&mut attempt).await? {
            return Ok(Pass::Lost("it cannot be asked whether it has the message".to_owned()));
        }
        if attempt.message.state == DeliveryState::Queued {
            if cancel.is_cancelled() {
                return Ok(Pass::Ended(Verdict::Stopped));
            }
            if let Some(pass) = self.wait_until_free(&attempt).await? {
                return Ok(pass);
            }
        }
        // Subscribed before anything is sent, so that nothing of the turn is missed.
        let feed = match self.inner.deps.feeds.subscribe(&attempt.message.frame, STREAM_HEAD).await {
            Ok(feed) => feed,
            Err(FeedError::Away(why)) => return Ok(Pass::Lost(why)),
            Err(FeedError::Refused(why)) => return Ok(Pass::Ended(Verdict::Failed(why))),
        };
        let is_return = attempt.message.state != DeliveryState::Queued;
        if !is_return && let Some(pass) = self.hand_over(&mut attempt, held).await? {
            return Ok(pass);
        }
        self.claim(&attempt, held);
        let known = match &mut held.transcript {
            Some(known) => known,
            None => held.transcript.insert(self.begin_transcript(&attempt).await?),
        };
        let guard = match &mut held.guard {
            Some(guard) => guard,
            None => held.guard.insert(self.begin_guard(&attempt.message).await?),
        };
        self.follow(&mut attempt, feed, known, guard, is_return).await
    }

    /// The agent's session of this conversation: the saved one, one that we made and did not get to
    /// save, or a new one.
    async fn ensure_session(
        &self,
        client: &OpencodeClient,
        message: &Message,
    ) -> Result<Result<AgentSessionId, OpencodeError>, Halt> {
        let id = message.session.clone();
        let session: Session = self.inner.deps.store.read(move |db| sessions::get(db, &id)).await?;
        if let Some(saved) = &session.agent_session {
            match client.find_session(saved).await {
                Ok(Some(_)) => return Ok(Ok(saved.clone())),
                // Its turn is gone with it; `follow` will say so.
                Ok(None) if message.state != DeliveryState::Queued => return Ok(Ok(saved.clone())),
                Ok(None) => self.forget_agent_session(&session, saved).await?,
                Err(error) => return Ok(Err(error)),
            }
        }
        let found = match client.list_sessions(SEARCHED).await {
            Ok(all) => {
                all.into_iter().find(|known| known.metadata["mimir"]["session"] == session.id.as_str())
            }
            Err(error) => return Ok(Err(error)),
        };
        let made = match found {
            Some(found) => found,
            None => match client.create_session(&session.title, &metadata(&session)).await {
                Ok(made) => made,
                Err(error) => return Ok(Err(error)),
            },
        };
        self.inner.deps.failpoints.hit("send.after_session_made").await;
        let agent_session = made.id.clone();
        self.inner
            .deps
            .store
            .write(move |tx| sessions::set_agent_session(tx, &session.id, &agent_session))
            .await?;
        self.inner.deps.failpoints.hit("send.after_session_saved").await;
        Ok(Ok(made.id))
    }

    async fn forget_agent_session(&self, session: &Session, lost: &AgentSessionId) -> Result<(), Halt> {
        tracing::warn!(session = %session.id, "the agent of frame {} lost session {}; it begins anew", session.frame_name, session.title);
        let id = session.id.clone();
        let lost = lost.clone();
        let forget = move |tx: &mut Tx<'_>| sessions::clear_agent_session(tx, &id, &lost);
        Ok(self.inner.deps.store.write(forget).await?)
    }

    /// For a message that was being sent when something broke: asks the agent. Says whether it could be asked.
    async fn arrived(&self, attempt: &mut Attempt) -> Result<bool, Halt> {
        let found = match &attempt.message.agent_message {
            Some(id) => attempt.client.find_message(&attempt.session, id).await,
            None => Ok(None),
        };
        let to = match found {
            Ok(Some(_)) => DeliveryState::Sent,
            Ok(None) => DeliveryState::Queued,
            Err(_) => return Ok(false),
        };
        attempt.message = self.move_message(attempt, to).await?;
        Ok(true)
    }

    /// Saves the agent's id of the message, then sends it.
    async fn hand_over(&self, attempt: &mut Attempt, held: &mut Held) -> Result<Option<Pass>, Halt> {
        let newest = match attempt.client.messages(&attempt.session, 1).await {
            Ok(turns) => turns.last().map(|turn| turn.head.id.clone()),
            Err(error) => return Ok(Some(passing(error))),
        };
        let agent_message = match &attempt.message.agent_message {
            // Tried before: whatever of that is still on its way joins this one. Not behind newer messages,
            // because the order of the ids is the order of the talk.
            Some(tried) if newest.as_ref().is_none_or(|newest| newest <= tried) => tried.clone(),
            _ => ids::mint(self.inner.deps.clock.now_ms(), newest.as_ref(), clock::entropy::<14>()),
        };
        let id = attempt.message.id.clone();
        let saved = agent_message.clone();
        let save = move |tx: &mut Tx<'_>| {
            let message = messages::get(tx, &id)?;
            let head = queue::head(tx, &message.session)?;
            if message.stop.is_some() || head.is_none_or(|head| head.id != id) {
                return Err(StoreError::Conflict {
                    what: "the message is not the next any more, and".into(),
                });
            }
            messages::move_to(tx, &id, DeliveryState::Sending, None)?;
            messages::set_agent_message(tx, &id, &saved)?;
            messages::get(tx, &id)
        };
        attempt.message = match self.inner.deps.store.write(save).await {
            Ok(message) => message,
            // Moved in this very moment (cancelled, most likely): nothing was sent, and the row says what to do.
            Err(StoreError::Conflict { .. }) => return Ok(Some(Pass::Ended(Verdict::NotYet))),
            Err(error) => return Err(error.into()),
        };
        self.inner.deps.failpoints.hit("send.after_id_saved").await;
        // From here on this message's turn is told by its lane and not by the feed.
        self.claim(attempt, held);
        let sent =
            attempt.client.prompt(&attempt.session, &self.prompt(&attempt.message, agent_message)).await;
        self.inner.deps.failpoints.hit("send.after_prompt").await;
        match sent {
            Ok(()) => {
                attempt.message = self.move_message(attempt, DeliveryState::Sent).await?;
                self.inner.deps.failpoints.hit("send.after_sent").await;
                self.show(attempt);
                Ok(None)
            }
            // A server error may have come after the message was stored.
            Err(error @ OpencodeError::Refused { status: 500.., .. }) => {
                if self.arrived(attempt).await? && attempt.message.state == DeliveryState::Sent {
                    return Ok(None);
                }
                Ok(Some(Pass::Ended(Verdict::Failed(error.to_string()))))
            }
            Err(error) => Ok(Some(passing(error))),
        }
    }

    /// Claims the turn for the lane, for as long as `held` lives.
    fn claim(&self, attempt: &Attempt, held: &mut Held) {
        if let Some(prompt) = &attempt.message.agent_message {
            held.claim = Some(self.inner.deps.feeds.claim(&attempt.message.frame, &attempt.session, prompt));
        }
    }

    pub(super) fn prompt(&self, message: &Message, id: AgentMessageId) -> UserPrompt {
        let settings = &self.inner.deps.settings;
        UserPrompt {
            message: id,
            text: message.text.clone(),
            model: message.model.clone().unwrap_or_else(|| settings.default_model.clone()),
            is_usual_model: message.model.is_none(),
            agent: message.agent.clone().unwrap_or_else(|| settings.default_agent.clone()),
        }
    }

    async fn begin_transcript(&self, attempt: &Attempt) -> Result<Transcript, Halt> {
        let filter =
            events::Filter { message: Some(attempt.message.id.clone()), ..events::Filter::default() };
        let stored = self.inner.deps.store.read(move |db| events::after(db, 0, &filter, usize::MAX)).await?;
        let mut told = Told::default();
        for event in stored {
            told.add(event.what);
        }
        let prompt = attempt.message.agent_message.clone();
        let prompt = prompt.unwrap_or_else(|| AgentMessageId(String::new()));
        Ok(Transcript::new(attempt.session.clone(), prompt, told))
    }

    /// Counts from when the agent got the message, also when that was another gateway's doing.
    async fn begin_guard(&self, message: &Message) -> Result<Guard, Halt> {
        let id = message.id.clone();
        let waits = self.inner.deps.store.read(move |db| approvals::waits_of(db, &id)).await?;
        let now = self.inner.deps.clock.now_ms();
        let past = Past::reckon(message.sent_at.unwrap_or(now), now, &waits);
        Ok(Guard::new(self.inner.deps.settings.limits, Instant::now(), past))
    }

    async fn reread(&self, id: &MessageId) -> Result<Message, Halt> {
        let id = id.clone();
        Ok(self.inner.deps.store.read(move |db| messages::get(db, &id)).await?)
    }

    pub(super) async fn move_message(&self, attempt: &Attempt, to: DeliveryState) -> Result<Message, Halt> {
        let id = attempt.message.id.clone();
        let change = move |tx: &mut Tx<'_>| messages::move_to(tx, &id, to, None);
        Ok(self.inner.deps.store.write(change).await?)
    }

    /// History, usage and the final state in one transaction. A message that has ended meanwhile stays as it is.
    async fn write_end(
        &self,
        id: &MessageId,
        verdict: Verdict,
        transcript: Option<&Transcript>,
    ) -> Result<(), Halt> {
        if verdict == Verdict::NotYet && transcript.is_none() {
            return Ok(());
        }
        let id = id.clone();
        let last = transcript.and_then(Transcript::last_own);
        let mut said = transcript.map(Transcript::turns).unwrap_or_default();
        // What follows is another turn, and told by the feed.
        said.retain(|turn| last.as_ref().is_none_or(|last| turn.head.id <= *last));
        let usage = transcript.map(Transcript::usage);
        let finish = match (&verdict, transcript) {
            (Verdict::Answered(answer), Some(known)) => Some(verdict::finish(known, answer.clone())),
            _ => None,
        };
        let change = move |tx: &mut Tx<'_>| {
            let message = messages::get(tx, &id)?;
            for turn in &said {
                agent_messages::upsert(tx, &message.session, &turn.head, &turn.parts)?;
            }
            sessions::touch(tx, &message.session)?;
            frames::touch(tx, &message.frame)?;
            if let Some((tokens, cost_microusd)) = usage {
                messages::set_usage(tx, &id, &tokens, cost_microusd)?;
            }
            if message.state.is_final() {
                return Ok(());
            }
            match (verdict, finish) {
                (Verdict::Answered(_), Some(finish)) => messages::finish(tx, &id, &finish)?,
                (Verdict::Failed(why) | Verdict::NotBegun(why), _) => {
                    messages::move_to(tx, &id, DeliveryState::Failed, Some(&why))?
                }
                (Verdict::Stopped, _) => {
                    let why = message.stop.as_deref().unwrap_or("the turn was stopped");
                    messages::move_to(tx, &id, DeliveryState::Cancelled, Some(why))?
                }
                (Verdict::NotYet | Verdict::Answered(_), _) => message,
            };
            Ok(())
        };
        Ok(self.inner.deps.store.write(change).await?)
    }
}

/// What an error means for a pass: the agent may be on its way back, or it will never like this message.
pub(super) fn passing(error: OpencodeError) -> Pass {
    if error.is_passing() || error.may_have_arrived() {
        Pass::Lost(error.to_string())
    } else {
        Pass::Ended(Verdict::Failed(error.to_string()))
    }
}

fn metadata(session: &Session) -> Value {
    json!({"mimir": {"session": session.id.as_str(), "frame": session.frame.as_str()}})
}
