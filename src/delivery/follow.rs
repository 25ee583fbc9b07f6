//! One turn over one event stream.
//!
//! The stream makes it quick, re-reading makes it right: the end of a turn is
//! only believed after the agent was asked what it does and what it wrote.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::Delivery;
use super::delivery::{Attempt, Halt, Pass, passing};
use super::transcript::Transcript;
use super::turn_limits::Guard;
use super::verdict::{Verdict, judge};
use crate::feed::reread::messages_from;
use crate::feed::speech::Speech;
use crate::feed::{FeedItem, Heard, Subscription, ready};
use crate::model::agent::{AgentEvent, AgentStatus};
use crate::model::approval::AgentRequest;
use crate::model::message::{DeliveryState, Message};
use crate::opencode::{AgentMessage, OpencodeClient, OpencodeError, PermissionReply};
use crate::store::{StoreError, Tx, messages};

/// How often the limits of a turn are checked.
const TICK: Duration = Duration::from_secs(1);
/// How soon an idle agent is asked again while its last update is on its way.
const LOOK_AGAIN: Duration = Duration::from_millis(150);
/// How long an aborted agent may take to become idle.
pub(super) const LET_GO: Duration = Duration::from_secs(6);

/// What the loop keeps between two events.
struct Watch<'a> {
    guard: &'a mut Guard,
    speech: Speech,
    writing: Option<Writing>,
    reading: Option<Reading>,
    look_at: Instant,
    idle_since: Option<Instant>,
    /// The turn began before this connection did.
    may_have_missed: bool,
}

/// A write in flight: what was heard since when, and the message if it began to run with it.
type Writing = BoxFuture<'static, Result<Option<Message>, StoreError>>;
/// A look at the agent in flight.
type Reading = BoxFuture<'static, Result<Look, OpencodeError>>;

/// What the agent says of itself.
struct Look {
    written: Vec<AgentMessage>,
    is_busy: bool,
    /// Whatever waits for a person; nobody asks an idle agent.
    asks: Option<Vec<AgentRequest>>,
}

impl Delivery {
    /// Follows the turn until it ends or the stream does.
    pub(super) async fn follow(
        &self,
        attempt: &mut Attempt,
        mut feed: Subscription,
        turn: &mut Transcript,
        guard: &mut Guard,
        is_return: bool,
    ) -> Result<Pass, Halt> {
        let now = Instant::now();
        let mut watch = Watch {
            guard,
            speech: Speech::default(),
            writing: None,
            reading: None,
            look_at: now,
            idle_since: None,
            may_have_missed: is_return,
        };
        loop {
            // One write at a time: what comes meanwhile is collected and goes with the next one.
            if watch.writing.is_none() {
                watch.writing = self.write(attempt, &mut watch.speech, turn);
            }
            if watch.reading.is_none() && watch.look_at <= Instant::now() {
                watch.look_at = Instant::now() + self.inner.deps.settings.look_every;
                watch.reading = Some(look(attempt).boxed());
            }
            let wake_at = (Instant::now() + TICK).min(watch.look_at);
            tokio::select! {
                () = attempt.cancel.cancelled() => {
                    self.abort(attempt, turn).await;
                    self.flush(attempt, &mut watch, turn).await?;
                    return Ok(Pass::Ended(Verdict::Stopped));
                }
                item = feed.next() => match item {
                    FeedItem::Event(heard) => self.take(&heard, turn, &mut watch),
                    FeedItem::Lost(why) => {
                        self.flush(attempt, &mut watch, turn).await?;
                        return Ok(Pass::Lost(why));
                    }
                },
                written = ready(&mut watch.writing) => self.written(attempt, written?).await,
                seen = ready(&mut watch.reading) => {
                    if let Some(pass) = self.looked(attempt, turn, &mut watch, seen).await? {
                        return Ok(pass);
                    }
                }
                () = tokio::time::sleep_until(wake_at) => {}
            }
            // What another gateway began may be over: that is looked at first.
            if watch.may_have_missed {
                continue;
            }
            if let Some(why) = watch.guard.check(turn.waits_for_person(), Instant::now()) {
                self.abort(attempt, turn).await;
                self.flush(attempt, &mut watch, turn).await?;
                return Ok(Pass::Ended(Verdict::Failed(why)));
            }
        }
    }

    fn take(&self, heard: &Heard, turn: &mut Transcript, watch: &mut Watch<'_>) {
        let event = &*heard.event;
        let about = event.session();
        if about.is_some_and(|session| turn.is_ours(session)) {
            // Patience with an idle agent begins anew with every sign of life.
            watch.idle_since = None;
            watch.guard.see(event, heard.at, self.inner.deps.clock.now_ms());
        }
        watch.speech.add(turn.see(event), heard.at);
        match event {
            AgentEvent::Status(session, AgentStatus::Idle) if turn.is_ours(session) => {
                watch.look_at = heard.at;
            }
            AgentEvent::Failed(..) | AgentEvent::Disposed => watch.look_at = heard.at,
            _ => {}
        }
    }

    /// Takes a look that was had, and says whether that was the end.
    async fn looked(
        &self,
        attempt: &mut Attempt,
        turn: &mut Transcript,
        watch: &mut Watch<'_>,
        seen: Result<Look, OpencodeError>,
    ) -> Result<Option<Pass>, Halt> {
        let now = Instant::now();
        let seen = match seen {
            Ok(seen) => seen,
            Err(OpencodeError::NotFound { what }) => {
                self.flush(attempt, watch, turn).await?;
                let why = format!("the agent no longer knows the conversation ({what})");
                return Ok(Some(Pass::Ended(Verdict::Failed(why))));
            }
            Err(error) => {
                self.flush(attempt, watch, turn).await?;
                return Ok(Some(passing(error)));
            }
        };
        let missed = turn.absorb(&seen.written);
        if std::mem::take(&mut watch.may_have_missed) {
            self.inner.deps.feeds.repaired(&attempt.message.frame, missed.len());
        }
        watch.speech.add(missed, now);
        if let Some(asks) = seen.asks {
            let listed: BTreeSet<String> = asks.iter().map(|ask| ask.id.clone()).collect();
            for ask in asks {
                watch.speech.add(turn.see(&AgentEvent::Asked(ask)), now);
            }
            turn.still_waiting(&listed);
        }
        // What was heard of by nobody counts as well.
        turn.steps().for_each(|step| watch.guard.count(step));
        if seen.is_busy {
            watch.idle_since = None;
            return Ok(None);
        }
        let idle_for = now.saturating_duration_since(*watch.idle_since.get_or_insert(now));
        match judge(turn, idle_for, self.patience(&attempt.message)) {
            Verdict::NotYet => {
                watch.look_at = watch.look_at.min(now + LOOK_AGAIN);
                Ok(None)
            }
            Verdict::NotBegun(why) => {
                watch.idle_since = None;
                watch.look_at = now + LOOK_AGAIN;
                let pass = self.hand_over_again(attempt, turn, why).await?;
                if pass.is_some() {
                    self.flush(attempt, watch, turn).await?;
                }
                Ok(pass)
            }
            verdict => {
                self.flush(attempt, watch, turn).await?;
                Ok(Some(Pass::Ended(verdict)))
            }
        }
    }

    /// Stops the agent's turn as politely as it can be done; what it wrote so far is kept.
    pub(super) async fn abort(&self, attempt: &Attempt, turn: &mut Transcript) {
        let client = &attempt.client;
        if let Err(error) = client.abort(&attempt.session).await {
            let frame = &attempt.message.frame_name;
            tracing::warn!(message = %attempt.message.id, %error, "frame {frame}: the turn could not be aborted: {error}");
            return;
        }
        let until = Instant::now() + LET_GO;
        while Instant::now() < until {
            let all = client.statuses().await;
            if all.is_ok_and(|all| !all.contains_key(&attempt.session)) {
                break;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        reject_leftovers(client, turn).await;
        tokio::time::sleep(LOOK_AGAIN).await;
        let prompt = attempt.message.agent_message.as_ref();
        if let Ok(written) = messages_from(client, &attempt.session, prompt).await {
            turn.absorb(&written);
        }
    }

    /// Begins to store what is to be told, and that the agent was seen working; nothing when there is neither.
    fn write(&self, attempt: &Attempt, speech: &mut Speech, turn: &Transcript) -> Option<Writing> {
        let begins = matches!(attempt.message.state, DeliveryState::Sending | DeliveryState::Sent)
            && turn.answers().next().is_some();
        if speech.is_empty() && !begins {
            return None;
        }
        let (told, since) = speech.take();
        let id = attempt.message.id.clone();
        let subject = messages::subject(&attempt.message);
        let store = self.inner.deps.store.clone();
        let counters = self.inner.deps.feeds.counters().clone();
        let change = move |tx: &mut Tx<'_>| {
            let message = match begins {
                true => Some(messages::move_to(tx, &id, DeliveryState::Running, None)?),
                false => None,
            };
            for happening in &told {
                tx.emit(&subject, happening)?;
            }
            Ok(message)
        };
        let writing = async move {
            let written = store.write_soon(change).await;
            if let Some(since) = since {
                counters.relayed(since.elapsed());
            }
            written
        };
        Some(writing.boxed())
    }

    async fn written(&self, attempt: &mut Attempt, begun: Option<Message>) {
        if let Some(message) = begun {
            attempt.message = message;
            self.inner.deps.failpoints.hit("send.after_running").await;
        }
    }

    /// Stores everything that is still to be told.
    async fn flush(
        &self,
        attempt: &mut Attempt,
        watch: &mut Watch<'_>,
        turn: &Transcript,
    ) -> Result<(), Halt> {
        loop {
            if let Some(writing) = watch.writing.take() {
                self.written(attempt, writing.await?).await;
            }
            watch.writing = self.write(attempt, &mut watch.speech, turn);
            if watch.writing.is_none() {
                return Ok(());
            }
        }
    }
}

/// Asks what the agent wrote and then what it does.
///
/// In this order: an answer that is not complete while the agent is idle must not be one that had
/// only just begun.
fn look(attempt: &Attempt) -> impl Future<Output = Result<Look, OpencodeError>> + Send + use<> {
    let (client, session) = (attempt.client.clone(), attempt.session.clone());
    let prompt = attempt.message.agent_message.clone();
    async move {
        let written = messages_from(&client, &session, prompt.as_ref()).await?;
        let statuses = client.statuses().await?;
        let is_busy = statuses.get(&session).is_some_and(|status| *status != AgentStatus::Idle);
        let mut asks = None;
        if is_busy {
            let mut all = client.permissions().await?;
            all.extend(client.questions().await?);
            asks = Some(all);
        }
        Ok(Look { written, is_busy, asks })
    }
}

/// A permission prompt survives the abort of its turn as a ghost (docs/traps.md, 16).
async fn reject_leftovers(client: &OpencodeClient, turn: &Transcript) {
    for ask in client.permissions().await.unwrap_or_default() {
        if turn.is_ours(&ask.session) {
            let _ = client.reply_permission(&ask.id, PermissionReply::Reject, None).await;
        }
    }
    for ask in client.questions().await.unwrap_or_default() {
        if turn.is_ours(&ask.session) {
            let _ = client.reject_question(&ask.id).await;
        }
    }
}
