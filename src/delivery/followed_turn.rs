//! Awaiting what becomes of a message's turn, which the feed tracks; and stopping it when it goes too far.

use std::time::Duration;

use tokio::time::Instant;

use super::outcome::{Attempt, AttemptOutcome, Interrupted};
use super::turn_limits::{LimitCheck, Past};
use super::{Delivery, LET_GO, STREAM_HEAD};
use crate::feed::{ProgressSender, TurnHandle, TurnPhase, TurnProgress, TurnRequest, Verdict, no_progress};
use crate::model::agent::{AgentMessageId, AgentSessionId};
use crate::model::event::EventKind;
use crate::model::ids::FrameId;
use crate::model::message::Message;
use crate::model::status::ToolCall;
use crate::model::usage::Tokens;
use crate::opencode::{OpencodeClient, PermissionReply};
use crate::store::{StoreError, approvals, messages};

/// How often the limits of a turn are checked, at least.
const TICK: Duration = Duration::from_secs(1);
/// How soon an agent that was told to stop is asked again whether it is idle.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(150);
/// How long it may take to read what a stopped turn has said, and to store it.
const LAST_LOOK: Duration = Duration::from_secs(10);

/// The turn of a message, over all attempts.
pub(super) struct FollowedTurn {
    progress: ProgressSender,
    handle: Option<TurnHandle>,
    /// A turn's limits do not begin anew with each connection.
    limits: Option<LimitCheck>,
}

impl Default for FollowedTurn {
    fn default() -> Self {
        Self { progress: no_progress(), handle: None, limits: None }
    }
}

impl FollowedTurn {
    /// Tokens and cost of the turn, as far as there was one.
    pub(super) fn usage(&self) -> Option<(Tokens, u64)> {
        self.progress.borrow().usage
    }

    /// The agent has the message, and the row says so.
    pub(super) fn handed_over(&self) {
        if let Some(handle) = &self.handle {
            handle.handed_over();
        }
    }
}

/// What to do next about a turn.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// Wait for news of it.
    Wait,
    /// It came to this.
    End(AttemptOutcome),
    /// The agent does nothing about the message: hand it over again, or give it up.
    HandOverAgain { why: String, is_newest: bool, times: u32 },
    /// It has gone too far.
    Stop(String),
}

/// Decides what to do next about a turn that is awaited since `since`. `handled` is how often it was handed over as of
/// the last time that this said to do so again; an agent may take as long as `patience` to say what it did before.
fn decide(
    progress: &TurnProgress,
    limits: &mut LimitCheck,
    (handled, since, patience): (u32, Instant, Duration),
    now: Instant,
) -> Next {
    match &progress.phase {
        TurnPhase::Ended(verdict) => Next::End(AttemptOutcome::Ended(verdict.clone())),
        TurnPhase::Lost(why) => Next::End(AttemptOutcome::Lost(why.clone())),
        // What another gateway began may be over: that is looked at before the limits are.
        TurnPhase::CatchingUp if now.saturating_duration_since(since) <= patience => Next::Wait,
        TurnPhase::CatchingUp => {
            Next::End(AttemptOutcome::Lost("the agent does not say what it did meanwhile".to_owned()))
        }
        TurnPhase::NotBegun { why, is_newest, times } if *times > handled => {
            Next::HandOverAgain { why: why.clone(), is_newest: *is_newest, times: *times }
        }
        TurnPhase::NotBegun { .. } | TurnPhase::Running => {
            limits.check(&progress.activity, now).map_or(Next::Wait, Next::Stop)
        }
    }
}

impl Delivery {
    /// Has the feed track the message's turn. Something is returned when it cannot.
    pub(super) async fn track(
        &self,
        attempt: &Attempt,
        turn: &mut FollowedTurn,
        is_new: bool,
    ) -> Option<AttemptOutcome> {
        let message = &attempt.message;
        let prompt = message.agent_message.clone();
        let request = TurnRequest {
            session: attempt.session.clone(),
            prompt: prompt.unwrap_or_else(|| AgentMessageId(String::new())),
            subject: messages::subject(message),
            is_new,
            patience: self.patience(message),
            progress: turn.progress.clone(),
        };
        match self.inner.deps.feeds.track(&message.frame, request, STREAM_HEAD).await {
            Ok(handle) => {
                turn.handle = Some(handle);
                None
            }
            Err(error) => Some(error.into()),
        }
    }

    /// Waits until the turn is over, or the agent is away.
    pub(super) async fn await_turn(
        &self,
        attempt: &mut Attempt,
        turn: &mut FollowedTurn,
    ) -> Result<AttemptOutcome, Interrupted> {
        let Some(handle) = &mut turn.handle else {
            return Ok(AttemptOutcome::Lost("the turn is not tracked".to_owned()));
        };
        let limits = match &mut turn.limits {
            Some(limits) => limits,
            None => turn.limits.insert(self.begin_limits(&attempt.message).await?),
        };
        let (since, patience) = (Instant::now(), self.inner.deps.settings.return_after_loss);
        let (mut handled, mut told) = (0, None);
        loop {
            let next = decide(&handle.now(), limits, (handled, since, patience), Instant::now());
            match next {
                Next::Wait if handle.now().activity.waits_for_person => {}
                Next::Wait => self.tell_silence(&attempt.message, &attempt.session, &mut told).await?,
                Next::End(outcome) => return Ok(outcome),
                Next::Stop(why) => return Ok(self.stop(attempt, handle, Verdict::Failed(why)).await),
                Next::HandOverAgain { why, is_newest, times } => {
                    handled = times;
                    if let Some(ended) = self.hand_over_again(attempt, handle, why, is_newest).await? {
                        return Ok(ended);
                    }
                }
            }
            tokio::select! {
                () = attempt.cancel.cancelled() => {
                    return Ok(self.stop(attempt, handle, Verdict::Stopped).await);
                }
                () = handle.changed() => {}
                () = tokio::time::sleep(TICK) => {}
            }
        }
    }

    /// Names a tool call that may never end, once for each time that it falls silent, with the way to stop it.
    async fn tell_silence(
        &self,
        message: &Message,
        session: &AgentSessionId,
        told: &mut Option<ToolCall>,
    ) -> Result<(), StoreError> {
        let deps = &self.inner.deps;
        let Some(facts) = deps.feeds.facts(&message.frame) else { return Ok(()) };
        let Some(call) = facts.silent_call(Some(session), deps.clock.now_ms()) else { return Ok(()) };
        if told.as_ref() == Some(call) {
            return Ok(());
        }
        *told = Some(call.clone());
        let text = format!("{call} (`mimir queue cancel {}` stops it)", message.id);
        let subject = messages::subject(message);
        let note = EventKind::FrameNote { code: ToolCall::SILENT.into(), text };
        deps.store.write_soon(move |tx| tx.emit(&subject, &note)).await.map(drop)
    }

    /// Counts from when the agent got the message, also when that was another gateway's doing.
    async fn begin_limits(&self, message: &Message) -> Result<LimitCheck, StoreError> {
        let id = message.id.clone();
        let waits = self.inner.deps.store.read(move |db| approvals::waits_of(db, &id)).await?;
        let now = self.inner.deps.clock.now_ms();
        let past = Past::reckon(message.sent_at.unwrap_or(now), now, &waits);
        Ok(LimitCheck::new(*self.inner.limits.now(), Instant::now(), past))
    }

    /// Stops the agent's turn as politely as it can be done; what it wrote so far is stored.
    pub(super) async fn stop(
        &self,
        attempt: &Attempt,
        turn: &mut TurnHandle,
        verdict: Verdict,
    ) -> AttemptOutcome {
        self.abort(attempt).await;
        turn.close(verdict.clone());
        let stored = async {
            while !matches!(turn.now().phase, TurnPhase::Ended(_) | TurnPhase::Lost(_)) {
                turn.changed().await;
            }
        };
        if tokio::time::timeout(LAST_LOOK, stored).await.is_err() {
            let frame = &attempt.message.frame_name;
            tracing::warn!(message = %attempt.message.id, "frame {frame}: what a stopped turn had said last could not be read");
        }
        AttemptOutcome::Ended(verdict)
    }

    async fn abort(&self, attempt: &Attempt) {
        let (client, session) = (&attempt.client, &attempt.session);
        if let Err(error) = client.abort(session).await {
            let frame = &attempt.message.frame_name;
            tracing::warn!(message = %attempt.message.id, %error, "frame {frame}: the turn could not be aborted: {error}");
            return;
        }
        let until = Instant::now() + LET_GO;
        while Instant::now() < until {
            let all = client.statuses().await;
            if all.is_ok_and(|all| !all.contains_key(session)) {
                break;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        self.reject_leftovers(client, &attempt.message.frame, session).await;
    }

    /// The agent goes on listing what an aborted turn had asked; sub-agents ask in sessions of their own.
    async fn reject_leftovers(&self, client: &OpencodeClient, frame: &FrameId, session: &AgentSessionId) {
        let facts = self.inner.deps.feeds.facts(frame).unwrap_or_default();
        for request in client.permissions().await.unwrap_or_default() {
            if facts.root_of(&request.session) == session {
                let _ = client.reply_permission(&request.id, PermissionReply::Reject, None).await;
            }
        }
        for request in client.questions().await.unwrap_or_default() {
            if facts.root_of(&request.session) == session {
                let _ = client.reject_question(&request.id).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::Limits;

    #[test]
    fn a_turn_is_awaited_handed_over_once_more_or_stopped() {
        let now = Instant::now();
        let later = |seconds| now + Duration::from_secs(seconds);
        let limits = Limits { silence: Duration::from_secs(60), ..Limits::default() };
        let check = || LimitCheck::new(limits, now, Past::default());
        let at = |phase: TurnPhase| TurnProgress { phase, ..no_progress().borrow().clone() };
        let since = |handled| (handled, now, Duration::from_secs(90));

        assert_eq!(decide(&at(TurnPhase::Running), &mut check(), since(0), later(1)), Next::Wait);
        let silent = decide(&at(TurnPhase::Running), &mut check(), since(0), later(80));
        assert!(matches!(&silent, Next::Stop(why) if why.contains("turn.silence")), "{silent:?}");

        let catching_up = at(TurnPhase::CatchingUp);
        let unknown = decide(&catching_up, &mut check(), since(0), later(80));
        assert_eq!(unknown, Next::Wait, "what it did before comes before the limits");
        let never = decide(&catching_up, &mut check(), since(0), later(91));
        assert!(matches!(never, Next::End(AttemptOutcome::Lost(_))), "{never:?}");

        let overlooked = at(TurnPhase::NotBegun { why: "it sleeps".into(), is_newest: true, times: 1 });
        let again = Next::HandOverAgain { why: "it sleeps".into(), is_newest: true, times: 1 };
        assert_eq!(decide(&overlooked, &mut check(), since(0), later(1)), again);
        assert_eq!(decide(&overlooked, &mut check(), since(1), later(1)), Next::Wait, "it was done");
    }
}
