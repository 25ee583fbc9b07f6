//! Service errors become answers here: a code, a sentence, a next step, a status.
//!
//! The only place that knows every error of every service, and nobody imports it.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::wire::problem::Problem;

/// What a handler gives back.
pub type Answer<T> = Result<T, Reply>;

/// A problem on its way out. [`super::request`] adds the request's id and writes the body.
#[derive(Debug)]
pub struct Reply(pub Problem);

impl Reply {
    /// The request makes no sense: wrong shape, missing value, not a name. The OpenAPI document does not allow it.
    pub fn bad_request(code: &str, title: impl Into<String>) -> Self {
        Self(Problem::new(400, code, title))
    }

    /// There is no such thing.
    pub fn not_found(code: &str, title: impl Into<String>) -> Self {
        Self(Problem::new(404, code, title))
    }

    /// It makes sense, and does not fit what is there now.
    pub fn conflict(code: &str, title: impl Into<String>) -> Self {
        Self(Problem::new(409, code, title))
    }

    /// Something outside does not answer.
    pub fn unavailable(code: &str, title: impl Into<String>) -> Self {
        Self(Problem::new(503, code, title))
    }

    /// Our bug, or something that we have no advice for. The whole chain goes to the log,
    /// under the id that the person sees as well.
    pub fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        let chain = chain(error);
        tracing::error!(error = %chain, "a request failed: {chain}");
        let problem = Problem::new(500, "internal", "something went wrong inside mimir")
            .detail(chain)
            .hint("the gateway's log has more under the request id: `mimir status` shows where it is");
        Self(problem)
    }

    /// Adds what to type next.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self(self.0.hint(hint))
    }

    /// Adds why.
    #[must_use]
    pub fn detail(self, detail: impl Into<String>) -> Self {
        Self(self.0.detail(detail))
    }
}

/// An error with all its causes in one line.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let next_text = next.to_string();
        // Libraries like to repeat their cause in their own text.
        if !text.contains(&next_text) {
            text.push_str(": ");
            text.push_str(&next_text);
        }
        cause = next.source();
    }
    text
}

impl From<Problem> for Reply {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        response.extensions_mut().insert(self.0);
        response
    }
}
