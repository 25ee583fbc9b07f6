//! From what happened to a commit at the forge: an agent finds the cause, another one mends it, mimir looks at what came
//! of it and takes it out of the frame.
//!
//! ```text
//!  analyse   sealed frame, no push        evidence, fenced ──► report, checked ──► frame gone
//!  fix       own frame, package hosts     report ──► change ──► checks, run by mimir ──► commit, made by mimir
//!                                                      ▲            │ red, at most `rounds`
//!                                                      └────────────┘
//!  push      frame ──► broker ──► parcel (gate) ──► looked at ──► forge
//!  resume    the same for what reviews and the forge's checks say; on the same branch, forward only
//! ```
//!
//! Everything that strangers said is fenced, capped and stripped, and it is assumed that this fails. What holds is what a
//! frame can do: it has no key, it reaches no more than its list, and what it pushes is a parcel at the gate that this
//! module compares with what it asked for. What runs inside a frame, git and the checks included, is inside the agent's
//! reach: its word is good for telling an agent that it is not done yet, and for a reviewer to start from. The forge's own
//! checks and people decide.
//!
//! Not here: pull requests and what becomes of them (`pull`), in which order stages run (the engine).

mod analyse;
mod ask;
mod checks;
mod commit;
pub mod fence;
mod frame;
mod hand_out;
mod inside;
mod prompts;
mod report;
mod resume;
mod rounds;
#[cfg(test)]
mod script_tests;
pub mod settings;

use serde::de::DeserializeOwned;
use serde_json::json;

use crate::clock::entropy;
use crate::delivery::Delivery;
use crate::frames::Frames;
use crate::model::run::{Evidence, Run};
use crate::pushes::Pushes;
use crate::store::Store;
use crate::supervisor::failpoint::Failpoints;
use crate::workflows::stage::{StageContext, StageError};

pub use analyse::perform as analyse;
pub use frame::{protected_by, reject_left, repository_of};
pub use hand_out::perform as push;
pub use resume::{Instructions, Resumed, resume};
pub use rounds::{perform as fix, proof};
pub use settings::{AnalyseSettings, FixSettings, PushSettings};

/// What these stages work with.
#[derive(Clone)]
pub struct FixDeps {
    /// The database.
    pub store: Store,
    /// Frames.
    pub frames: Frames,
    /// Messages to their agents.
    pub delivery: Delivery,
    /// What they push.
    pub pushes: Pushes,
    /// Where tests let the gateway die.
    pub failpoints: Failpoints,
}

/// What is kept of a run under that name, if it is there and as it was written.
fn noted<T: DeserializeOwned>(run: &Run, name: &str) -> Option<T> {
    run.progress.notes.get(name).and_then(|note| serde_json::from_value(note.clone()).ok())
}

/// How what the run's agent was asked last, and what it said to that, can be read again.
fn last_question(run: &Run) -> Option<String> {
    run.progress.message.as_ref().map(|message| format!("mimir send --follow {message}"))
}

/// What is known about a run's matter: what came with it, and what a person gave the workflow as its input `report`.
fn evidence_of(run: &Run) -> Vec<Evidence> {
    let by_hand = run.input.variables.get("report").filter(|text| !text.trim().is_empty());
    let by_hand = by_hand.map(|text| Evidence {
        name: "report".to_owned(),
        source: "whoever started this".to_owned(),
        text: text.clone(),
    });
    by_hand.into_iter().chain(run.input.evidence.iter().cloned()).collect()
}

/// The marks of a run: made once, and kept before they are used, because a prompt that is sent again must be the same.
async fn fence_of<C: StageContext>(cx: &mut C) -> Result<fence::Fence, StageError> {
    const NOTE: &str = "fix:fence";
    let kept: Option<String> = noted(cx.run(), NOTE);
    if let Some(fence) = kept.as_deref().and_then(fence::Fence::kept) {
        return Ok(fence);
    }
    let fence = fence::Fence::fresh(entropy::<8>());
    cx.progress().notes.insert(NOTE.to_owned(), json!(fence.nonce()));
    cx.save(
        "note",
        "what strangers said is shown to agents between marks of this run's own".to_owned(),
        None,
    )
    .await?;
    Ok(fence)
}

#[cfg(test)]
mod tests {
    use crate::model::ids::RunId;
    use crate::model::origin::Origin;
    use crate::model::run::{Run, RunInput, RunProgress, RunState};

    /// A run that was given that.
    pub(super) fn run_of(input: RunInput) -> Run {
        Run {
            id: RunId::from_parts(1_795_261_756_000, 7),
            workflow: "sentry-fix".into(),
            key: "sentry:acme/7".into(),
            origin: Origin::Webhook,
            origin_ref: None,
            project: None,
            title: "ValueError in cart".into(),
            input,
            state: RunState::Running,
            stage: "analyse".into(),
            attempt: 0,
            reason: None,
            progress: RunProgress::default(),
            version: 0,
            not_before: 0,
            priority: 0,
            budget_microusd: None,
            created_at: 0,
            started_at: None,
            ended_at: None,
        }
    }
}
