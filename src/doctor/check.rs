//! How a check is written down.

use std::future::Future;
use std::time::{Duration, Instant};

use crate::model::doctor::{Check, Outcome};

/// What is tried, and why it matters.
#[derive(Clone, Copy, Debug)]
pub(super) struct About {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) why: &'static str,
}

/// How a try went.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) outcome: Outcome,
    pub(super) found: String,
    pub(super) fix: Option<String>,
}

impl Finding {
    pub(super) fn ok(found: impl Into<String>) -> Self {
        Self { outcome: Outcome::Ok, found: found.into(), fix: None }
    }

    pub(super) fn warning(found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { outcome: Outcome::Warning, found: found.into(), fix: Some(fix.into()) }
    }

    pub(super) fn failed(found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { outcome: Outcome::Failed, found: found.into(), fix: Some(fix.into()) }
    }

    pub(super) fn skipped(found: impl Into<String>) -> Self {
        Self { outcome: Outcome::Skipped, found: found.into(), fix: None }
    }
}

impl About {
    /// A finding that is there already.
    pub(super) fn found(self, finding: Finding, took: Duration) -> Check {
        Check {
            id: self.id.to_owned(),
            title: self.title.to_owned(),
            outcome: finding.outcome,
            found: finding.found,
            why: self.why.to_owned(),
            fix: finding.fix,
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// Tries, for no longer than `within`.
    pub(super) async fn attempt(self, within: Duration, attempt: impl Future<Output = Finding>) -> Check {
        let begun = Instant::now();
        let finding = tokio::time::timeout(within, attempt).await.unwrap_or_else(|_| Finding {
            outcome: Outcome::Failed,
            found: format!("it did not end within {} s", within.as_secs()),
            fix: None,
        });
        self.found(finding, begun.elapsed())
    }

    /// Tries something that may block the thread.
    pub(super) async fn attempt_blocking(
        self,
        within: Duration,
        attempt: impl FnOnce() -> Finding + Send + 'static,
    ) -> Check {
        let attempt = async {
            let done = tokio::task::spawn_blocking(attempt).await;
            done.unwrap_or_else(|error| {
                Finding::failed(format!("the check itself failed: {error}"), "report it")
            })
        };
        self.attempt(within, attempt).await
    }
}

/// Why the gateway cannot start.
#[must_use]
pub fn cannot_start(found: String, fix: Option<String>) -> Check {
    let about = About {
        id: "gateway.start",
        title: "the gateway can start",
        why: "every command but this one needs a gateway",
    };
    about.found(Finding { outcome: Outcome::Failed, found, fix }, Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABOUT: About = About { id: "a.b", title: "t", why: "w" };

    #[tokio::test]
    async fn a_try_that_hangs_is_a_failure_with_a_deadline() {
        let check = ABOUT.attempt(Duration::from_millis(20), std::future::pending()).await;
        assert_eq!(check.outcome, Outcome::Failed);
        assert!(check.found.contains("did not end"), "{}", check.found);
    }

    #[tokio::test]
    async fn a_check_that_panics_is_a_failure_and_not_the_end() {
        let check = ABOUT.attempt_blocking(Duration::from_secs(5), || panic!("boom")).await;
        assert_eq!(check.outcome, Outcome::Failed);
    }
}
