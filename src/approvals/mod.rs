//! What agents ask people: permission to use a tool, and questions.
//!
//! ```text
//!  an agent asks                 somebody, a rule or a deadline decides        the agent has been told
//!  ─────────────► pending ───────────────────────────────────────────► answering ─────────► allowed
//!                  │  ▲ ▲                                                │   │              denied
//!                  │  │ └───────────── the agent refuses the answer ─────┘   │              answered
//!                  │  │                                                      │
//!                  │  └─ it is asked all the same                            │ it is not asked any more
//!                  ▼  │                                                      ▼
//!                 expired ◄───────────────────────────────────────────────────
//!
//!  pending ──► allowed, denied, answered    somebody answered past us, in the terminal
//!  pending ──► expired                      the agent was restarted, the frame stopped, or nobody knows
//! ```
//!
//! Every request is a row before anybody hears of it. Rules are asked first, then people; whoever is first decides,
//! and the agent is told after the decision is saved. A gateway that dies in between finds `answering` and tells it
//! again; the agent says whether it still asks.
//!
//! This is courtesy towards a person, not a boundary: the agent itself says what it is about to do. What must hold
//! is held outside the frame.
//!
//! One kind is asked by the gateway itself and answered to nobody but it: may a frame reach a host that is not on its
//! list ([`Approvals::ask_connection`])? No agent can answer that.
//!
//! Not here: the agent's JSON (see `opencode`), hearing of requests (see `feed`), telling people outside (see
//! `notify`, which reads the events).

mod connections;
pub mod error;
mod hear;
pub mod rules;
mod tell;
mod watch;

use std::sync::Arc;

use tokio::sync::Notify;

use crate::clock::Clock;
use crate::frames::{AgentLocator, HostNetworking};
use crate::model::approval::{ApprovalRequest, ApprovalState, AskBody, Decision, RequestForm};
use crate::model::ids::ApprovalId;
use crate::model::principal::Principal;
use crate::store::approvals::Decided;
use crate::store::{Store, StoreError, Tx, approvals};
use crate::supervisor::Tasks;

pub use connections::{Said, Wanted, WeakApprovals};
pub use error::AnswerError;
pub use hear::Replied;
pub use rules::Rules;

/// The kind of timers that deny what nobody answered in time.
pub const DEADLINE: &str = "approval.deadline";
/// Who decides by a rule or a deadline, as audit rows say it.
const SERVICE: Principal = Principal::service("approvals");

/// Everything that [`Approvals`] is made of.
#[derive(Clone)]
pub struct ApprovalsDeps {
    /// The database.
    pub store: Store,
    /// Where agents live.
    pub locator: Arc<dyn AgentLocator>,
    /// Who is told that a frame may reach a host from now on.
    pub host: Arc<dyn HostNetworking>,
    /// The time.
    pub clock: Clock,
    /// Owner of what runs on.
    pub tasks: Tasks,
    /// What agents may do without asking.
    pub rules: Rules,
}

/// Keeps prompts and their answers. Cheap to clone.
#[derive(Clone)]
pub struct Approvals {
    inner: Arc<Inner>,
}

struct Inner {
    deps: ApprovalsDeps,
    /// Something is to be watched: a request of a frame that may stop, an answer that was not told yet.
    wake: Notify,
    /// Changes whenever something is answered or over: connections wait for it.
    settled: tokio::sync::watch::Sender<u64>,
}

impl Approvals {
    /// Makes the service; [`Approvals::run`] watches frames and repeats answers, timers call
    /// [`Approvals::deadline_passed`].
    #[must_use]
    pub fn new(deps: ApprovalsDeps) -> Self {
        Self {
            inner: Arc::new(Inner { deps, wake: Notify::new(), settled: tokio::sync::watch::Sender::new(0) }),
        }
    }

    /// The prompt of that id, or of the one id that begins or ends like that.
    ///
    /// # Errors
    /// [`AnswerError::NotFound`], [`AnswerError::Ambiguous`].
    pub async fn find(&self, word: &str) -> Result<ApprovalRequest, AnswerError> {
        let piece = word.to_owned();
        let mut found =
            self.inner.deps.store.read(move |db| approvals::find_by_piece(db, &piece)).await?.into_iter();
        match (found.next(), found.next()) {
            (Some(only), None) => Ok(only),
            (Some(first), Some(_)) if first.id.as_str() == word => Ok(first),
            (Some(_), Some(_)) => Err(AnswerError::Ambiguous(word.to_owned())),
            (None, _) => Err(AnswerError::NotFound(word.to_owned())),
        }
    }

    /// Answers a prompt for somebody, and tells the agent; what is said to a connection is done here. Returns the prompt as it stands then: `answering` when the
    /// agent could not be told yet, which is tried again.
    ///
    /// # Errors
    /// See [`AnswerError`]; whoever was first has decided.
    pub async fn answer(
        &self,
        principal: &Principal,
        id: &ApprovalId,
        decision: Decision,
    ) -> Result<ApprovalRequest, AnswerError> {
        let reason = match &decision {
            Decision::Reject { why } => why.clone(),
            _ => None,
        };
        let decided = Decided { decision, by: principal.to_string(), rule: None, reason };
        let by = principal.clone();
        let wanted = id.clone();
        let change = move |tx: &mut Tx<'_>| {
            let before = approvals::get(tx, &wanted).map_err(|error| match error {
                StoreError::NotFound { key, .. } => AnswerError::NotFound(key),
                error => error.into(),
            })?;
            check(&before, &decided.decision)?;
            if before.ask.form() == RequestForm::Connection {
                return Ok(connections::decide(tx, &by, &before, &decided)?);
            }
            let prompt = approvals::decide(tx, &wanted, &decided)?;
            tx.audit(&by, "approval.answer", prompt.id.as_str(), &approvals::audit_detail(&prompt))?;
            Ok::<_, AnswerError>(prompt)
        };
        let prompt = self.inner.deps.store.write_as(change).await?;
        match prompt.ask.form() {
            RequestForm::Connection => {
                self.carry_out(&prompt).await?;
                Ok(prompt)
            }
            RequestForm::Permission | RequestForm::Question => self.tell(prompt).await,
        }
    }
}

/// Whether it can be answered, and like that.
fn check(prompt: &ApprovalRequest, decision: &Decision) -> Result<(), AnswerError> {
    if prompt.state != ApprovalState::Pending {
        return Err(AnswerError::TooLate { state: prompt.state, by: prompt.decided_by.clone() });
    }
    if !decision.fits(prompt.ask.form()) {
        return Err(AnswerError::WrongForm(prompt.ask.form()));
    }
    let (AskBody::Question { questions }, Decision::Answer { answers }) = (&prompt.ask.body, decision) else {
        return Ok(());
    };
    if answers.len() != questions.len() {
        return Err(AnswerError::Incomplete(format!(
            "there are {} questions and {} answers",
            questions.len(),
            answers.len()
        )));
    }
    for (question, answer) in questions.iter().zip(answers) {
        if answer.iter().all(|text| text.trim().is_empty()) {
            return Err(AnswerError::Incomplete(format!("`{}` has no answer", question.text)));
        }
        if answer.len() > 1 && !question.multiple {
            return Err(AnswerError::Incomplete(format!("`{}` wants one answer", question.text)));
        }
    }
    Ok(())
}
