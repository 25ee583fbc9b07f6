//! What went wrong, and the exit code that says so to scripts.

use crate::client::ClientError;
use crate::config::{ConfigError, ConfigProblem};
use crate::wire::problem::Problem;

/// Done.
pub const DONE: u8 = 0;
/// It failed.
pub const FAILED: u8 = 1;
/// Wrong usage.
pub const USAGE: u8 = 2;
/// Not found.
pub const NOT_FOUND: u8 = 3;
/// Authentication needed or refused.
pub const REFUSED: u8 = 4;
/// Gateway or engine unreachable.
pub const UNREACHABLE: u8 = 5;
/// Conflict, busy, or a newer database.
pub const CONFLICT: u8 = 6;
/// Waiting for an approval that did not come.
pub const APPROVAL: u8 = 7;
/// There are findings.
pub const FINDINGS: u8 = 8;
/// The budget is used up.
pub const BUDGET: u8 = 9;
/// Not done in the time that was given; it goes on.
pub const NOT_YET: u8 = 10;
/// Our bug.
pub const BUG: u8 = 70;
/// Ctrl-C.
pub const INTERRUPTED: u8 = 130;
/// SIGTERM.
pub const TERMINATED: u8 = 143;

/// For `mimir help exit-codes`.
pub const TABLE: &[(u8, &str)] = &[
    (DONE, "done"),
    (FAILED, "it failed; the message says why"),
    (USAGE, "wrong usage: an unknown option, a bad value, a bad configuration, an unanswered question"),
    (NOT_FOUND, "not found: no frame, session, message, image or file of that name"),
    (REFUSED, "authentication needed or refused: a wrong key, somebody else's gateway"),
    (UNREACHABLE, "the gateway or the container engine cannot be reached"),
    (CONFLICT, "conflict or busy: the name is taken, the state does not allow it, the database is newer"),
    (APPROVAL, "the agent waits for an approval that did not come in time"),
    (FINDINGS, "there are findings (doctor, config check, frame gc --dry-run)"),
    (BUDGET, "the budget is used up"),
    (NOT_YET, "not done in the time that was given (--timeout); it goes on"),
    (BUG, "a bug in mimir"),
    (INTERRUPTED, "stopped with Ctrl-C"),
    (TERMINATED, "stopped with SIGTERM"),
];

/// A command that did not do what it was asked: a problem to show and a code to leave with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What to show.
    pub problem: Box<Problem>,
    /// What to leave with.
    pub code: u8,
}

/// What a command ends with: an exit code, or a failure.
pub type Outcome = Result<u8, Failure>;

impl Failure {
    /// Nobody reads our output any more (`mimir … | head`): no error, but the end.
    pub fn output_closed() -> Self {
        Self { problem: Box::new(Problem::new(200, "output.closed", "the output was closed")), code: DONE }
    }

    /// Whether there is anything to show.
    pub fn is_silent(&self) -> bool {
        self.problem.code == "output.closed"
    }

    /// Leaves with another code.
    pub fn with_code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }
}

/// Wrong usage that only we can see, not the parser.
pub fn usage(title: impl Into<String>) -> Problem {
    Problem::new(400, "usage", title)
}

/// A configuration error as a problem.
pub fn of_config(error: &ConfigError) -> Problem {
    let first = error.problems.first();
    let (code, hint) = match first {
        Some(ConfigProblem::NoHome) => {
            ("config.no_home", "set MIMIR_HOME to the folder where mimir may keep its data")
        }
        Some(ConfigProblem::UnsafeFolder { .. }) => {
            ("config.unsafe_folder", "make it yours alone (chmod 700), or set MIMIR_HOME to another folder")
        }
        Some(ConfigProblem::MissingVariable { .. }) => {
            ("config.missing_variable", "set the variable, or write `${NAME:-}` to do without it")
        }
        Some(ConfigProblem::NotEditable { .. }) => {
            ("config.not_editable", "edit the file by hand; `mimir config path` says where it is")
        }
        Some(ConfigProblem::UnknownKey { .. }) => {
            ("config.unknown_key", "`mimir config show` lists all keys")
        }
        Some(ConfigProblem::Unreadable { .. }) => {
            ("config.unreadable", "`mimir config path` says where the file is")
        }
        Some(ConfigProblem::Syntax { .. } | ConfigProblem::Invalid { .. }) | None => {
            ("config.invalid", "correct it in the file, then `mimir config check`")
        }
    };
    let title = match (first, error.problems.len()) {
        (Some(only), 1) => only.to_string(),
        (_, count) => format!("the configuration has {count} mistakes"),
    };
    let problem = Problem::new(400, code, title).hint(hint);
    if error.problems.len() > 1 { problem.detail(error.to_string()) } else { problem }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let code = code_of(&problem);
        Self { problem: Box::new(problem), code }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Problem::from(error).into()
    }
}

/// The exit code of a problem: by its code where that says more than its status.
pub fn code_of(problem: &Problem) -> u8 {
    let by_code: &[(&str, u8)] = &[
        ("auth.", REFUSED),
        ("store.wrong_key", REFUSED),
        ("store.no_key", REFUSED),
        ("store.key", REFUSED),
        ("store.lost", CONFLICT),
        ("store.newer", CONFLICT),
        ("store.busy", CONFLICT),
        ("store.conflict", CONFLICT),
        ("store.not_encrypted", CONFLICT),
        ("store.", FAILED),
        ("gateway.already", CONFLICT),
        ("gateway.busy", CONFLICT),
        ("gateway.start_failed", UNREACHABLE),
        ("ports.", CONFLICT),
        ("engine.unreachable", UNREACHABLE),
        ("engine.not_installed", UNREACHABLE),
        ("engine.slow", UNREACHABLE),
        ("runtime.unreachable", UNREACHABLE),
        ("budget.subject", USAGE),
        ("budget.limit", USAGE),
        ("budget.", BUDGET),
        ("approval.missing", APPROVAL),
        ("config.", USAGE),
        ("image.missing", NOT_FOUND),
        ("message.not_yet", NOT_YET),
        ("message.failed", FAILED),
        ("message.cancelled", FAILED),
        ("image.build", FAILED),
        // It fits what the document says and not what is there; who typed it reads it as what to type instead.
        ("workspace.", USAGE),
        ("project.path", USAGE),
        ("project.name", USAGE),
        ("image.foreign", USAGE),
        ("frame.invalid", USAGE),
        ("token.name", USAGE),
        ("token.invalid", USAGE),
        ("approval.form", USAGE),
        ("approval.answer", USAGE),
        ("server.refused", FAILED),
    ];
    let found = by_code.iter().find(|(prefix, _)| problem.code.starts_with(prefix));
    match (found, problem.status) {
        // What is not there is not there, whoever says so.
        (_, 404 | 410) => NOT_FOUND,
        (Some((_, code)), _) => *code,
        (None, 400 | 413 | 415 | 422) => USAGE,
        (None, 401 | 403) => REFUSED,
        (None, 402) => BUDGET,
        (None, 408) => NOT_YET,
        (None, 409 | 412 | 423 | 429) => CONFLICT,
        (None, 502..=504) => UNREACHABLE,
        (None, 500) => BUG,
        (None, _) => FAILED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_problem_has_its_exit_code() {
        let cases = [
            (404, "frame.not_found", NOT_FOUND),
            (404, "message.not_found", NOT_FOUND),
            (409, "frame.name_taken", CONFLICT),
            (400, "frame.name", USAGE),
            (401, "auth.required", REFUSED),
            (403, "auth.scope", REFUSED),
            (401, "auth.too_many", REFUSED),
            (403, "gateway.fingerprint_changed", REFUSED),
            (500, "store.wrong_key", REFUSED),
            (503, "store.newer_schema", CONFLICT),
            (503, "runtime.unreachable", UNREACHABLE),
            (503, "gateway.unreachable", UNREACHABLE),
            (503, "ports.exhausted", CONFLICT),
            (402, "budget.exceeded", BUDGET),
            (500, "internal", BUG),
            (409, "message.failed", FAILED),
            (408, "approval.missing", APPROVAL),
            (408, "frame.not_yet", NOT_YET),
            (500, "config.invalid", USAGE),
            (424, "image.missing", NOT_FOUND),
            (409, "approval.too_late", CONFLICT),
            (418, "teapot", FAILED),
        ];
        for (status, code, expected) in cases {
            assert_eq!(code_of(&Problem::new(status, code, "x")), expected, "{status} {code}");
        }
    }
}
