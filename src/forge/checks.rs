//! What programs say of a commit: runs and statuses together, all of them, and why one failed.

use super::call::Call;
use super::json::{Json, cut};
use super::{Forge, ForgeError, received};
use crate::model::forge::{Check, CheckKind, Checks};
use crate::model::git::ForgeKind;

/// The most that is told of one failed check.
const LONGEST: usize = 6_000;
/// How much of the end of a log is looked at.
const END_OF_LOG: usize = 64 * 1024;
/// How many lines of it are told.
const LINES: usize = 60;
/// What GitHub's own programs mark an error with.
const ERROR: &str = "##[error]";

impl Forge {
    /// All checks of a commit as the newest one of that branch. Of one that was run again the last counts.
    ///
    /// Whoever may read a repository can have a program check the same commit for a branch of theirs, again and again:
    /// what a program says of other branches is left out where it says something of that one.
    ///
    /// # Errors
    /// See [`ForgeError`].
    pub async fn checks(&self, sha: &str, branch: &str) -> Result<Checks, ForgeError> {
        let mut all = Checks::default();
        if self.transport().kind == ForgeKind::Github {
            // Before the runs: of a suite that has ended all are there then.
            let call =
                Call::get(self.at(&["commits", sha, "check-suites"]), format!("the check suites of {sha}"));
            let (suites, is_suite_cut) = self.transport().pages(call, "/check_suites", |_| true).await?;
            let call = Call::get(self.at(&["commits", sha, "check-runs"]), format!("the checks of {sha}"));
            let (runs, is_cut) =
                self.transport().pages(call.with("filter", "latest"), "/check_runs", |_| true).await?;
            let others = received::suites_of_others(&suites, branch);
            let is_counted = |suite: Option<u64>| suite.is_none_or(|suite| !others.contains(&suite));
            let runs = runs.iter().filter(|run| is_counted(received::suite_of(run)));
            let with_runs: Vec<u64> = runs.clone().filter_map(received::suite_of).collect();
            all.all.extend(runs.filter_map(received::check_run));
            let mut suites = suites.iter().filter(|suite| is_counted(received::id_of(suite)));
            all.is_running = suites.any(|suite| received::is_suite_open(suite, &with_runs));
            all.is_cut |= is_cut || is_suite_cut;
        }
        let call = Call::get(self.at(&["commits", sha, "status"]), format!("the statuses of {sha}"));
        let (statuses, is_cut) = self.transport().pages(call, "/statuses", |_| true).await?;
        all.all.extend(statuses.iter().filter_map(received::status));
        all.is_cut |= is_cut;
        Ok(all)
    }

    /// Why a check failed: what it says itself, what it marked, and the end of its log where that can be had.
    ///
    /// # Errors
    /// See [`ForgeError`]. What cannot be had of it is left out and no error.
    pub async fn check_log_excerpt(&self, check: &Check) -> Result<String, ForgeError> {
        let mut parts = vec![check.excerpt.clone()];
        if check.kind == CheckKind::Run && self.transport().kind == ForgeKind::Github {
            parts.push(self.annotations(check).await?);
            parts.push(self.log(check).await?);
        }
        parts.retain(|part| !part.trim().is_empty());
        Ok(cut(&parts.join("\n\n"), LONGEST).to_owned())
    }

    async fn annotations(&self, check: &Check) -> Result<String, ForgeError> {
        let url = self.at(&["check-runs", &check.id.to_string(), "annotations"]);
        let value = match self.transport().value(&Call::get(url, "what a check marked")).await {
            Ok(value) => value,
            Err(
                ForgeError::NotFound(_)
                | ForgeError::Auth(_)
                | ForgeError::Refused(_)
                | ForgeError::TooMuch(_),
            ) => return Ok(String::new()),
            Err(error) => return Err(error),
        };
        let line = |it: Json<'_>| {
            let (path, line) = (it.at("/path").text(), it.at("/start_line").text());
            format!("{path}:{line}: {}", it.at("/message").text())
        };
        let lines: Vec<String> = Json::of(&value).items().take(20).map(line).collect();
        Ok(cut(&lines.join("\n"), LONGEST / 3).to_owned())
    }

    /// A run of GitHub's own programs has the number of its job; others have no log there.
    async fn log(&self, check: &Check) -> Result<String, ForgeError> {
        let url = self.at(&["actions", "jobs", &check.id.to_string(), "logs"]);
        let call = Call::get(url, "the log of a check");
        match self.transport().end_of(&call, END_OF_LOG).await {
            Ok(Some(end)) => Ok(last_error(&String::from_utf8_lossy(&end))),
            Ok(None) => Ok(String::new()),
            // It is the least of what is told, and lies at a host of its own.
            Err(ForgeError::Unreachable(_) | ForgeError::Transient(_)) => Ok(String::new()),
            Err(error) => Err(error),
        }
    }
}

/// The lines that lead to the last error of a log, or its last lines.
fn last_error(log: &str) -> String {
    let lines: Vec<String> = log.lines().map(plain).collect();
    let end = lines.iter().rposition(|line| line.contains(ERROR)).map_or(lines.len(), |at| at + 1);
    let told = lines[end.saturating_sub(LINES)..end].join("\n");
    let begin = told.len().saturating_sub(LONGEST / 2);
    let begin = (begin..=told.len()).find(|at| told.is_char_boundary(*at)).unwrap_or(told.len());
    told[begin..].to_owned()
}

/// A line without its time and without what colours it.
fn plain(line: &str) -> String {
    let line = match line.split_once(' ') {
        Some((time, rest)) if super::json::time(time).is_some() => rest,
        _ => line,
    };
    let (mut plain, mut letters) = (String::new(), line.chars());
    while let Some(letter) = letters.next() {
        match letter {
            '\u{1b}' => drop(letters.find(|c| c.is_ascii_alphabetic())),
            c if c.is_control() && c != '\t' => {}
            c => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_told_up_to_its_last_error() {
        let log = "2026-11-21T12:00:00.1234567Z running\n2026-11-21T12:00:01Z \u{1b}[31mtest failed\u{1b}[0m\n\
                   2026-11-21T12:00:02Z ##[error]Process completed with exit code 1.\nPost job cleanup.\n";
        assert_eq!(last_error(log), "running\ntest failed\n##[error]Process completed with exit code 1.");
        let long: String = (0..200).map(|n| format!("line {n}\n")).collect();
        let told = last_error(&long);
        assert!(told.starts_with("line 140\n") && told.ends_with("line 199"), "{told}");
        assert_eq!(last_error(""), "");
        assert!(last_error(&"ä".repeat(9_000)).len() <= LONGEST / 2);
    }
}
