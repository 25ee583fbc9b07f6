//! What can go wrong when somebody answers a prompt, as the caller must tell it apart.

use crate::model::approval::{ApprovalState, RequestForm};
use crate::store::StoreError;

/// Why an answer was not taken.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// There is no prompt of that id.
    #[error("there is no approval {0}")]
    NotFound(String),
    /// Give more of its id.
    #[error("more than one approval is meant by `{0}`")]
    Ambiguous(String),
    /// Somebody else was first; look at what became of it.
    #[error("it is {state} already{}", by.as_deref().map(|by| format!(" (by {by})")).unwrap_or_default())]
    TooLate {
        /// What became of it.
        state: ApprovalState,
        /// Through whom.
        by: Option<String>,
    },
    /// A permission is allowed or denied, a question is answered or denied.
    #[error("a {0} cannot be answered like that")]
    WrongForm(RequestForm),
    /// Answer each question.
    #[error("{0}")]
    Incomplete(String),
    /// The agent did not like it; it still waits.
    #[error("the agent refused the answer: {0}")]
    Refused(String),
    /// The database could not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}
