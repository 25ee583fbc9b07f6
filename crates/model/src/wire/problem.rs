//! The one shape of an error that clients see.

use serde::{Deserialize, Serialize};

/// What failed, why, and what to do next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema, thiserror::Error)]
#[error("{title}")]
pub struct Problem {
    /// Stable, for programs: `frame.not_found`.
    pub code: String,
    /// What failed, as a sentence without a full stop.
    pub title: String,
    /// Why, if that is known and not in the title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What to type next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Finds the log lines of this request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The HTTP status it travels with.
    pub status: u16,
}

impl Problem {
    /// A problem of that kind.
    pub fn new(status: u16, code: &str, title: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            title: title.into(),
            detail: None,
            hint: None,
            request_id: None,
            status,
        }
    }

    /// Adds what to type next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds why.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }
}

/// The last line of a stream of JSON lines that could not go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProblemLine {
    /// Why.
    pub problem: Problem,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_build_is_no_broken_stream() {
        let problem = Problem::new(424, "image.build_failed", "no");
        let failed = crate::wire::images::BuildLine::Failed { problem: problem.clone() };
        let line = serde_json::to_string(&failed).expect("serialises");
        assert!(serde_json::from_str::<ProblemLine>(&line).is_err(), "{line}");
        let line = serde_json::to_string(&ProblemLine { problem }).expect("serialises");
        assert!(serde_json::from_str::<ProblemLine>(&line).is_ok(), "{line}");
    }
}
