//! How delivery follows the turn of a message, which the feed tracks.
//!
//! Requests go one way, over a channel to the frame's reconciler; what becomes of the turn comes back as the newest
//! [`TurnProgress`]. Neither waits for the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::activity::Activity;
use super::verdict::{Patience, Verdict};
use crate::model::agent::{AgentMessageId, AgentSessionId};
use crate::model::event::Subject;
use crate::model::usage::Tokens;

/// How far a turn is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TurnPhase {
    /// It began before it was tracked; the agent is being asked what happened until now.
    CatchingUp,
    /// It goes on.
    Running,
    /// The agent has the prompt, or says so, and does not work on it.
    NotBegun {
        /// A sentence.
        why: String,
        /// Whether nobody spoke to the agent after it.
        is_newest: bool,
        /// How often it was handed over, as far as this knows.
        times: u32,
    },
    /// The agent cannot be heard or asked. The turn stays tracked; track it again to know when that is over.
    Lost(String),
    /// It is over, and what was said is stored.
    Ended(Verdict),
}

/// What is known of a turn.
#[derive(Clone, Debug)]
pub struct TurnProgress {
    /// How far it is.
    pub phase: TurnPhase,
    /// What limits are measured by.
    pub activity: Activity,
    /// Tokens and cost of the answer so far, as of the last change of the phase.
    pub usage: Option<(Tokens, u64)>,
}

/// The newest [`TurnProgress`]. Outlives connections and the tasks that write to it.
pub type ProgressSender = Arc<watch::Sender<TurnProgress>>;

/// Which turn is to be tracked.
#[derive(Clone, Debug)]
pub struct TurnRequest {
    /// In which of the agent's sessions.
    pub session: AgentSessionId,
    /// The message that begins it.
    pub prompt: AgentMessageId,
    /// What its events are about: the message and all that it belongs to.
    pub subject: Subject,
    /// The prompt is about to be sent. Nothing is stored of the turn before [`TurnHandle::handed_over`].
    pub is_new: bool,
    /// With an agent that rests.
    pub patience: Patience,
    /// Where its progress goes.
    pub progress: ProgressSender,
}

/// What the reconciler is asked to do.
#[derive(Debug)]
pub(super) enum Command {
    /// Track that turn, for that handle; answered as soon as nothing of it is missed any more.
    Track(TurnRequest, u64, oneshot::Sender<()>),
    /// About a turn that is tracked.
    About(AgentSessionId, AgentMessageId, Wish),
}

/// What is wished of a turn.
#[derive(Debug)]
pub(super) enum Wish {
    /// The agent took the prompt.
    HandedOver,
    /// The prompt was handed over once more.
    HandedOverAgain(Patience),
    /// Read it a last time and store it; it ended like that.
    Close(Verdict),
    /// That handle stops following.
    Release(u64),
}

/// Follows one turn. Dropping it before the end leaves the turn to whoever tracks it next.
#[derive(Debug)]
pub struct TurnHandle {
    id: u64,
    session: AgentSessionId,
    prompt: AgentMessageId,
    progress: watch::Receiver<TurnProgress>,
    commands: mpsc::UnboundedSender<Command>,
}

/// The sending side of a turn's progress. Dropped before the end it reports that the turn is not tracked any more, so that
/// no handle waits for ever.
#[derive(Debug)]
pub(super) struct Follower(pub(super) ProgressSender);

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.send_if_modified(|progress| {
            let waits = !matches!(progress.phase, TurnPhase::Ended(_) | TurnPhase::Lost(_));
            if waits {
                progress.phase = TurnPhase::Lost("the agent is not listened to any more".to_owned());
            }
            waits
        });
    }
}

/// Progress of a turn that is not tracked yet.
#[must_use]
pub fn no_progress() -> ProgressSender {
    let activity = Activity::new(Instant::now());
    Arc::new(watch::Sender::new(TurnProgress { phase: TurnPhase::CatchingUp, activity, usage: None }))
}

impl TurnHandle {
    pub(super) fn new(request: &TurnRequest, commands: mpsc::UnboundedSender<Command>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            session: request.session.clone(),
            prompt: request.prompt.clone(),
            progress: request.progress.subscribe(),
            commands,
        }
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// What is known of the turn now.
    pub fn now(&mut self) -> watch::Ref<'_, TurnProgress> {
        self.progress.borrow_and_update()
    }

    /// Waits for a change that matters. May be dropped and called again.
    pub async fn changed(&mut self) {
        if self.progress.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// The agent took the prompt, and that is stored: from here on the turn is told.
    pub fn handed_over(&self) {
        self.wish(Wish::HandedOver);
    }

    /// The prompt was handed over once more, or is to be waited for again.
    pub fn handed_over_again(&self, patience: Patience) {
        self.wish(Wish::HandedOverAgain(patience));
    }

    /// Has the turn read a last time and stored. It is [`TurnPhase::Ended`] like that then, unless the agent is
    /// [`TurnPhase::Lost`].
    pub fn close(&self, verdict: Verdict) {
        self.wish(Wish::Close(verdict));
    }

    fn wish(&self, wish: Wish) {
        // Without a reconciler the progress says so.
        let _ = self.commands.send(Command::About(self.session.clone(), self.prompt.clone(), wish));
    }
}

impl Drop for TurnHandle {
    fn drop(&mut self) {
        self.wish(Wish::Release(self.id));
    }
}
