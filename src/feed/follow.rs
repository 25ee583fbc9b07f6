//! What whoever hands messages over wishes of their turns.

use std::time::Duration;

use tokio::time::Instant;

use super::reconciler::SessionReconciler;
use super::session_state;
use super::tracked_turn::TrackedTurn;
use super::tracking::{Command, TurnRequest, Wish};
use super::turn::Turn;
use crate::model::agent::{AgentMessageId, AgentSessionId};
use crate::store::StoreError;

/// How long an agent that was told to stop may take to write what became of the turn.
const LAST_WORD: Duration = Duration::from_millis(150);

impl SessionReconciler<'_> {
    pub(super) async fn wished(&mut self, command: Command) -> Result<(), StoreError> {
        match command {
            Command::Track(request, handle, taken) => {
                // Whoever gave up waiting asks again.
                if !taken.is_closed() && self.track(&request, handle).await? {
                    let _ = taken.send(());
                }
                Ok(())
            }
            Command::About(session, prompt, Wish::Release(handle)) => {
                self.release(&session, &prompt, handle).await
            }
            Command::About(session, prompt, wish) => {
                let now = Instant::now();
                let Some(state) = self.sessions.get_mut(&session) else { return Ok(()) };
                let Some(turn) = state.turns.get_mut(&prompt) else { return Ok(()) };
                match wish {
                    Wish::HandedOver => turn.handed_over(),
                    Wish::HandedOverAgain(patience) => turn.handed_over_again(patience),
                    Wish::Close(verdict) => turn.close(verdict, now),
                    Wish::Release(_) => {}
                }
                let pause = if turn.is_closing() { LAST_WORD } else { turn.turn.look_again() };
                state.look_at = Some(now + pause);
                Ok(())
            }
        }
    }

    /// Tracks the turn of a message; says whether that is possible.
    async fn track(&mut self, request: &TurnRequest, handle: u64) -> Result<bool, StoreError> {
        let (session, prompt) = (&request.session, &request.prompt);
        let Some(message) = request.subject.message.clone() else { return Ok(false) };
        if !self.session(session).await? {
            return Ok(false);
        }
        let is_known = self.sessions.get(session).is_some_and(|state| {
            state.turns.get(prompt).is_some_and(|turn| turn.is_open() && turn.owner.is_some())
        });
        let emitted = if is_known || request.is_new {
            Default::default()
        } else {
            // The last of what an earlier tracker heard may be on its way into the database.
            self.settle().await?;
            let subject = request.subject.clone();
            self.deps.store.read(move |db| session_state::emitted_of(db, &subject)).await?
        };
        let now = Instant::now();
        let Some(state) = self.sessions.get_mut(session) else { return Ok(false) };
        state.awaited = None;
        if is_known {
            if let Some(turn) = state.turns.get_mut(prompt) {
                turn.attach(request, handle);
            }
        } else {
            let turn = Turn::of_message(session.clone(), prompt.clone(), emitted, request.patience);
            let turn = TrackedTurn::of_message(turn, request, message, handle);
            state.turns.insert(prompt.clone(), turn);
        }
        if !request.is_new {
            state.look_at = Some(now);
            self.inquiries.look_now(now);
        }
        Ok(true)
    }

    /// Nobody awaits the turn any more. If its message is still open, it is left to whoever tracks it next.
    async fn release(
        &mut self,
        session: &AgentSessionId,
        prompt: &AgentMessageId,
        handle: u64,
    ) -> Result<(), StoreError> {
        let is_its = |turn: &TrackedTurn| turn.is_open() && turn.is_followed_by(handle);
        let turn = self.sessions.get(session).and_then(|state| state.turns.get(prompt));
        if !turn.is_some_and(is_its) {
            return Ok(());
        }
        self.settle().await?;
        if let Some(state) = self.sessions.get_mut(session)
            && let Some(turn) = state.turns.remove(prompt)
        {
            state.keep_late(turn.turn.messages());
            self.inquiries.want(session.clone());
        }
        Ok(())
    }
}
