//! What must be there for a merge without a person, and what a person is told before they say yes.

use super::facts::PullFacts;
use super::judged::approvals;
use super::memory::Memory;
use super::settings::{FollowSettings, MergeSettings};
use super::words::one_line;
use crate::model::forge::{ChangedFile, CheckState};
use crate::model::git::is_protected;
use crate::model::run::RunProgress;

/// So many names are said.
const MOST_NAMED: usize = 3;

/// Who and what the policy looks at besides the facts.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// The loop.
    pub follow: &'a FollowSettings,
    /// Who asked for the change.
    pub requester: Option<&'a str>,
    /// Whether an error tracker began it.
    pub is_reported: bool,
    /// Files and folders whose change a person looks at.
    pub protected: &'a [String],
}

/// What is missing for a merge without a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lack {
    /// It may still come; what is waited for.
    Later(&'static str),
    /// Something that waiting does not bring.
    Other(String),
}

/// What is missing for a merge without a person.
#[must_use]
pub fn lacks(
    facts: &PullFacts,
    memory: &Memory,
    progress: &RunProgress,
    look: Look<'_>,
    settings: &MergeSettings,
) -> Vec<Lack> {
    let mut lacks = Vec::new();
    let mut other = |why: String| lacks.push(Lack::Other(why));
    let head = &facts.pull.head_sha;
    if facts.checks.state() != CheckState::Passed || !facts.checks_of.eq_ignore_ascii_case(head) {
        other("it has no green checks".into());
    }
    if let Some(opened) = memory.opened_for.as_ref().filter(|opened| **opened != facts.pull.base_ref) {
        other(format!("it was opened for {}", one_line(opened, 100)));
    }
    if memory.is_of_another(&facts.own, &facts.pull.author) {
        other("somebody else opened it".into());
    }
    if memory.is_foreign(progress, head) {
        other("somebody else pushed its newest commit".into());
    }
    if look.is_reported && !settings.reported_errors {
        other("a reported error began it, and anybody can report errors".into());
    }
    match &facts.change {
        None => other("its files are not known".into()),
        Some(files) => {
            let lines = lines(files);
            if lines > settings.max_lines {
                other(format!("it changes {lines} lines, and {} are the limit", settings.max_lines));
            }
            if count(files) > settings.max_files {
                other(format!("it changes {} files, and {} are the limit", count(files), settings.max_files));
            }
            if let Some(named) = protected(files, look.protected) {
                other(format!("it changes protected files ({named})"));
            }
            if !files.iter().any(|file| is_test(&file.path) && file.added > 0) {
                other("it adds to no test".into());
            }
        }
    }
    if facts.pull.mergeable != Some(true) {
        lacks.push(Lack::Later("the forge to find out whether it can be merged"));
    }
    // Of somebody who may write and did not ask for it, for exactly this commit.
    if approvals(facts, look.follow, look.requester).is_empty() {
        lacks.push(Lack::Later("an approving review"));
    }
    lacks
}

/// What a person is told who is asked to merge it.
#[must_use]
pub fn summary(facts: &PullFacts, memory: &Memory, look: Look<'_>) -> String {
    let short: String = facts.pull.head_sha.chars().take(7).collect();
    let checks = match facts.checks.state() {
        CheckState::Passed => "checks are green",
        CheckState::Pending | CheckState::Failed => "there are no checks",
    };
    let base = one_line(&facts.pull.base_ref, 100);
    let mut text = format!("merge pull request #{} at {short} into {base}? {checks}", facts.pull.number);
    if let Some(files) = &facts.change {
        text.push_str(&format!(", {} in {}", some(lines(files), "line"), some(count(files), "file")));
        if let Some(named) = protected(files, look.protected) {
            text.push_str(&format!(", protected files among them ({named})"));
        }
    }
    if memory.is_of_another(&facts.own, &facts.pull.author) {
        text.push_str(&format!(", opened by {}", one_line(&facts.pull.author, 60)));
    }
    match approvals(facts, look.follow, None) {
        by if by.is_empty() => text.push_str(", no approving review"),
        by => text.push_str(&format!(", approved by {}", named(by.iter().map(String::as_str)))),
    }
    text
}

fn some(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn lines(files: &[ChangedFile]) -> u64 {
    files.iter().fold(0, |sum, file| sum.saturating_add(file.added).saturating_add(file.removed))
}

fn count(files: &[ChangedFile]) -> u64 {
    u64::try_from(files.len()).unwrap_or(u64::MAX)
}

fn protected(files: &[ChangedFile], patterns: &[String]) -> Option<String> {
    let both = files.iter().flat_map(|file| [Some(file.path.as_str()), file.before.as_deref()]).flatten();
    let mut found: Vec<&str> = both.filter(|path| is_protected(path, patterns)).collect();
    found.sort_unstable();
    found.dedup();
    (!found.is_empty()).then(|| named(found.into_iter()))
}

/// Some of these names, each on one line.
pub(super) fn named<'a>(all: impl Iterator<Item = &'a str>) -> String {
    let all: Vec<String> = all.map(|name| one_line(name, 80)).collect();
    let rest = all.len().saturating_sub(MOST_NAMED);
    let shown = all.into_iter().take(MOST_NAMED).collect::<Vec<_>>().join(", ");
    if rest == 0 { shown } else { format!("{shown} and {rest} more") }
}

/// Whether a file looks like a test, by the names that languages have for them.
fn is_test(path: &str) -> bool {
    let path = path.to_lowercase();
    let (folders, file) = path.rsplit_once('/').unwrap_or(("", &path));
    let is_folder =
        |part: &str| matches!(part, "test" | "tests" | "__tests__" | "spec" | "specs" | "testing");
    let stem = file.split('.').next().unwrap_or_default();
    let begins = ["test_", "test-"].iter().any(|begin| stem.starts_with(begin));
    let ends = ["_test", "-test", "_tests", "_spec", "-spec"].iter().any(|end| stem.ends_with(end));
    folders.split('/').any(is_folder)
        || begins
        || ends
        || stem == "tests"
        || file.contains(".test.")
        || file.contains(".spec.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_known_by_their_names() {
        for path in [
            "tests/cart.py",
            "src/cart_test.go",
            "src/cart.test.ts",
            "a/__tests__/x.js",
            "test_cart.py",
            "spec/cart_spec.rb",
            "src/tests.rs",
        ] {
            assert!(is_test(path), "{path}");
        }
        for path in ["src/cart.rs", "src/latest.rs", "contest/main.py", "src/attest_x.rs", "testing.md"] {
            assert!(!is_test(path), "{path}");
        }
    }

    #[test]
    fn names_of_files_are_said_in_short_and_on_one_line() {
        let long = "x".repeat(200);
        let all = ["a\nb", "c\u{202e}d", &long, "e"];
        let said = named(all.into_iter());
        assert!(said.starts_with("a b, cd, xxx") && said.ends_with(" and 1 more"), "{said}");
        assert!(said.len() < 130);
    }
}
