//! One turn over one event stream.
//!
//! The stream makes it quick, re-reading makes it right: the end of a turn is
//! only believed after the agent was asked what it does and what it wrote.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::Router;
use super::delivery::{Attempt, Halt, Pass, passing};
use super::guard::Guard;
use super::speech::Speech;
use super::transcript::Transcript;
use super::verdict::{Verdict, judge};
use crate::model::agent::{AgentEvent, AgentSessionId, AgentStatus};
use crate::model::message::DeliveryState;
use crate::opencode::{EventStream, OpencodeClient, OpencodeError, PermissionReply};
use crate::store::{StoreError, Tx, messages};

/// How often the limits of a turn are checked.
const TICK: Duration = Duration::from_secs(1);
/// How soon an idle agent is asked again while its last update is on its way.
const LOOK_AGAIN: Duration = Duration::from_millis(150);
/// How many messages are re-read at first; more when our prompt is not among them.
const PAGE: u32 = 40;
/// The most that are re-read.
const MAX_PAGE: u32 = 2560;
/// How long an aborted agent may take to become idle.
const LET_GO: Duration = Duration::from_secs(6);

/// What the loop keeps between two events.
struct Watch {
    guard: Guard,
    speech: Speech,
    look_at: Instant,
    idle_since: Option<Instant>,
    coalesce: Duration,
}

impl Watch {
    fn wake_at(&self) -> Instant {
        let flush = self.speech.since().map(|since| since + self.coalesce);
        let next = Instant::now() + TICK;
        flush.into_iter().chain([self.look_at]).fold(next, Instant::min)
    }
}

impl Router {
    /// Follows the turn until it ends or the stream does.
    pub(super) async fn follow(
        &self,
        attempt: &mut Attempt,
        mut stream: EventStream,
        turn: &mut Transcript,
    ) -> Result<Pass, Halt> {
        let settings = &self.inner.deps.settings;
        let now = Instant::now();
        let mut watch = Watch {
            guard: Guard::new(settings.limits, now),
            speech: Speech::default(),
            look_at: now,
            idle_since: None,
            coalesce: settings.coalesce,
        };
        loop {
            let wake_at = watch.wake_at();
            let event = tokio::select! {
                () = attempt.cancel.cancelled() => {
                    self.abort(attempt, turn).await;
                    self.flush(attempt, &mut watch.speech, turn).await?;
                    return Ok(Pass::Ended(Verdict::Stopped));
                }
                event = stream.next() => Some(event),
                () = tokio::time::sleep_until(wake_at) => None,
            };
            match event {
                Some(Ok(event)) => self.take(&event, turn, &mut watch),
                Some(Err(end)) => {
                    self.flush(attempt, &mut watch.speech, turn).await?;
                    return Ok(Pass::Lost(end.to_string()));
                }
                None => {}
            }
            let now = Instant::now();
            if watch.speech.is_urgent() || watch.speech.since().is_some_and(|at| at + watch.coalesce <= now) {
                self.flush(attempt, &mut watch.speech, turn).await?;
            }
            if let Some(why) = watch.guard.check(turn.waits_for_person(), now) {
                self.abort(attempt, turn).await;
                self.flush(attempt, &mut watch.speech, turn).await?;
                return Ok(Pass::Ended(Verdict::Failed(why)));
            }
            if watch.look_at <= now
                && let Some(pass) = self.look(attempt, turn, &mut watch).await?
            {
                return Ok(pass);
            }
        }
    }

    fn take(&self, event: &AgentEvent, turn: &mut Transcript, watch: &mut Watch) {
        let now = Instant::now();
        let about = session_of(event);
        if about.is_some_and(|session| turn.is_ours(session)) {
            // Patience with an idle agent begins anew with every sign of life.
            watch.idle_since = None;
            watch.guard.see(event, now, self.inner.deps.clock.now_ms());
        }
        watch.speech.add(turn.see(event), now);
        match event {
            AgentEvent::Status(session, AgentStatus::Idle) if turn.is_ours(session) => watch.look_at = now,
            AgentEvent::Failed(..) | AgentEvent::Disposed => watch.look_at = now,
            _ => {}
        }
    }

    /// Re-reads, and says whether that was the end.
    async fn look(
        &self,
        attempt: &mut Attempt,
        turn: &mut Transcript,
        watch: &mut Watch,
    ) -> Result<Option<Pass>, Halt> {
        let is_busy = match self.read_again(attempt, turn, &mut watch.speech).await {
            Ok(is_busy) => is_busy,
            Err(OpencodeError::NotFound { what }) => {
                let why = format!("the agent no longer knows the conversation ({what})");
                return Ok(Some(Pass::Ended(Verdict::Failed(why))));
            }
            Err(error) => {
                self.flush(attempt, &mut watch.speech, turn).await?;
                return Ok(Some(passing(error)));
            }
        };
        self.flush(attempt, &mut watch.speech, turn).await?;
        let now = Instant::now();
        let settings = &self.inner.deps.settings;
        if is_busy {
            watch.idle_since = None;
            watch.look_at = now + settings.look_every;
            return Ok(None);
        }
        let idle_for = now.saturating_duration_since(*watch.idle_since.get_or_insert(now));
        match judge(turn, idle_for, settings.patience) {
            Verdict::NotYet => {
                watch.look_at = now + LOOK_AGAIN;
                Ok(None)
            }
            verdict => Ok(Some(Pass::Ended(verdict))),
        }
    }

    /// Asks what the agent wrote and then what it does; says whether it works.
    ///
    /// In this order: an answer that is not complete while the agent is idle must not be one that had
    /// only just begun.
    async fn read_again(
        &self,
        attempt: &Attempt,
        turn: &mut Transcript,
        speech: &mut Speech,
    ) -> Result<bool, OpencodeError> {
        let client = &attempt.client;
        let written = messages_from_prompt(attempt).await?;
        let statuses = client.statuses().await?;
        speech.add(turn.absorb(&written), Instant::now());
        let is_busy = statuses.get(&attempt.session).is_some_and(|status| *status != AgentStatus::Idle);
        if is_busy {
            let permissions = client.permissions().await?;
            let questions = client.questions().await?;
            let mut listed = BTreeSet::new();
            for ask in permissions.into_iter().chain(questions) {
                listed.insert(ask.id.clone());
                speech.add(turn.see(&AgentEvent::Asked(ask)), Instant::now());
            }
            speech.add(turn.still_waiting(&listed), Instant::now());
        }
        Ok(is_busy)
    }

    /// Stops the agent's turn as politely as it can be done; what it wrote so far is kept.
    async fn abort(&self, attempt: &Attempt, turn: &mut Transcript) {
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
        if let Ok(written) = messages_from_prompt(attempt).await {
            turn.absorb(&written);
        }
    }

    /// Stores what is to be told, and that the agent was seen working.
    async fn flush(&self, attempt: &mut Attempt, speech: &mut Speech, turn: &Transcript) -> Result<(), Halt> {
        let told = speech.take();
        let begins = matches!(attempt.message.state, DeliveryState::Sending | DeliveryState::Sent)
            && turn.answers().next().is_some();
        if told.is_empty() && !begins {
            return Ok(());
        }
        let id = attempt.message.id.clone();
        let subject = messages::subject(&attempt.message);
        let change = move |tx: &mut Tx<'_>| {
            if begins {
                messages::move_to(tx, &id, DeliveryState::Running, None)?;
            }
            for happening in &told {
                tx.emit(&subject, happening)?;
            }
            messages::get(tx, &id)
        };
        attempt.message = self.inner.deps.store.write_soon::<_, StoreError, _>(change).await?;
        if begins {
            self.inner.deps.failpoints.hit("send.after_running").await;
        }
        Ok(())
    }
}

/// Everything from our prompt on; a long turn has a message for each model call.
async fn messages_from_prompt(attempt: &Attempt) -> Result<Vec<crate::opencode::Turn>, OpencodeError> {
    let mut limit = PAGE;
    loop {
        let page = attempt.client.messages(&attempt.session, limit).await?;
        let is_whole = page.len() < usize::try_from(limit).unwrap_or(usize::MAX);
        let has_prompt = attempt
            .message
            .agent_message
            .as_ref()
            .is_some_and(|prompt| page.first().is_some_and(|first| first.head.id <= *prompt));
        if is_whole || has_prompt || limit >= MAX_PAGE {
            return Ok(page);
        }
        limit *= 4;
    }
}

/// A permission prompt survives the abort of its turn as a ghost (opencode.md trap 16).
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

fn session_of(event: &AgentEvent) -> Option<&AgentSessionId> {
    match event {
        AgentEvent::SessionUpdated { session, .. }
        | AgentEvent::SessionDeleted(session)
        | AgentEvent::Status(session, _)
        | AgentEvent::PartDelta { session, .. }
        | AgentEvent::MessageRemoved(session, _)
        | AgentEvent::PermissionReplied { session, .. }
        | AgentEvent::QuestionAnswered { session, .. } => Some(session),
        AgentEvent::Message(head) => Some(&head.session),
        AgentEvent::Part(part) => Some(&part.session),
        AgentEvent::Asked(ask) => Some(&ask.session),
        AgentEvent::Failed(session, _) => session.as_ref(),
        AgentEvent::Connected | AgentEvent::Heartbeat | AgentEvent::Disposed | AgentEvent::Other(_) => None,
    }
}
