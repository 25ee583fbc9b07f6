//! Once more on the same branch: what a review, a red check or a base that moved asks for.

use super::FixDeps;
use super::settings::{FixSettings, PushSettings};
use crate::model::run::Evidence;
use crate::workflows::stage::{Outcome, StageContext, StageError};

/// What is to be worked in.
#[derive(Clone, Debug)]
pub struct Instructions {
    /// Once for each matter, such as `review-12` or `red-<head>`: the same key goes on where it was, also after a crash,
    /// and after a person's yes. Letters, digits, `-`, `_`.
    pub key: String,
    /// What is wanted, in mimir's words; never a stranger's.
    pub task: String,
    /// What they said: shown fenced, capped and stripped.
    pub evidence: Vec<Evidence>,
    /// A branch of the forge that is merged in before the agent is asked (conflicts are left in the files for it), such as
    /// `main`; the commit then has its head as second parent.
    pub merge: Option<String>,
    /// The line of the commit's message, in mimir's words.
    pub summary: String,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resumed {
    /// The branch stands there at the forge now; it is in `progress.commit` too.
    Pushed {
        /// The commit.
        commit: String,
    },
    /// The agent changed nothing. What it said about that; a stranger's words by now.
    Unchanged {
        /// At most 2,000 characters.
        answer: String,
    },
    /// The stage ends with that: a person must look at the push, or checks stayed red. When it runs again, `resume` is
    /// called again with the same key.
    Outcome(Outcome),
}

/// Wakes the run's frame, or makes it anew with the branch as the forge has it when it is gone; asks the agent, runs the
/// checks, commits, and pushes the branch forward. Who calls it counts how often.
///
/// # Errors
/// See [`StageError`]; it may be called again with the same key after each of them.
pub async fn resume<C: StageContext>(
    cx: &mut C,
    deps: &FixDeps,
    wanted: &Instructions,
) -> Result<Resumed, StageError> {
    let (fix, push) = super::rounds::settings_of(cx.workflow());
    again(&fix, &push, cx, deps, wanted).await
}
