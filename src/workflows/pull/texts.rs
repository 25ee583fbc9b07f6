//! The texts of a run at the forge: its pull request, its answers, and what people are told when they have to see to it.

use super::memory::{Came, Work};
use super::speakers::Command;
use super::words::{block, code, link, short, tamed, title};
use crate::model::forge::marker;
use crate::model::git::Repository;
use crate::model::quantity::money;
use crate::model::run::{CheckResult, Run, RunProgress, RunSubject};
use crate::workflows::fix;

/// So much of a cause is said.
const CAUSE: usize = 2_000;
/// So many steps and places, and so much of each.
const MOST: usize = 10;
const STEP: usize = 300;
/// So much of what a command said.
const TAIL: usize = 1_500;
/// So much of what an agent answers.
const ANSWER: usize = 600;

/// The name of a pull request.
#[must_use]
pub fn pull_title(run: &Run, progress: &RunProgress) -> String {
    let summary = progress.report.as_ref().and_then(|report| report.summary.as_deref());
    let said = title(summary.unwrap_or(&run.title), 100);
    if said.is_empty() { plain_title(run) } else { said }
}

/// What the commit is called that a merge makes: in our words, whatever the pull request is called by then.
#[must_use]
pub fn merge_title(run: &Run, progress: &RunProgress, number: u64) -> String {
    merge_title_of(&pull_title(run, progress), number)
}

/// The same without words of others.
#[must_use]
pub fn plain_merge_title(run: &Run, number: u64) -> String {
    merge_title_of(&plain_title(run), number)
}

fn merge_title_of(title: &str, number: u64) -> String {
    // Some words in brackets keep checks of the branch from running.
    let title = title.replace('[', "(").replace(']', ")");
    format!("{title} (#{number})")
}

/// What that commit says besides.
#[must_use]
pub fn merge_message(run: &Run, head: &str) -> String {
    format!("Made by mimir, run {}, up to {}.", run.id, short(head))
}

/// What is said instead of a title in which something looks like a secret.
#[must_use]
pub fn plain_title(run: &Run) -> String {
    format!("Change of run {}", run.id)
}

/// The parts of what a pull request says, each with what it is; each is looked through for secrets on its own.
#[must_use]
pub fn pull_parts(
    run: &Run,
    progress: &RunProgress,
    at: &Repository,
    spent_microusd: u64,
) -> Vec<(&'static str, String)> {
    let mut parts = vec![("what it is about", about(run, at))];
    if let Some(report) = &progress.report {
        parts.push(("the cause", format!("### Cause\n\n> {}", tamed(&report.cause, CAUSE))));
        let places = report.evidence.iter().take(MOST).map(|place| {
            let at = match place.line {
                Some(line) => format!("{}:{line}", place.file),
                None => place.file.clone(),
            };
            let note = place.note.as_deref().map(|note| format!(" {}", tamed(note, STEP)));
            format!("- {}{}", code(&at, 200), note.unwrap_or_default())
        });
        parts.extend(list("the places", "### Where it shows", places));
        let steps = report.plan.iter().take(MOST).map(|step| format!("- {}", tamed(step, STEP)));
        parts.extend(list("the change", "### Change", steps));
    }
    parts.push(("the proof", proof(fix::proof(run), &progress.checks)));
    let risk = progress.report.as_ref().and_then(|report| report.risk.as_deref());
    let risk = risk.filter(|risk| matches!(*risk, "low" | "medium" | "high"));
    let risk = risk.map_or_else(|| "not said".to_owned(), str::to_owned);
    parts.push((
        "the cost",
        format!("### Cost and risk\n\n{} until here. Risk: {risk}.", money(spent_microusd)),
    ));
    parts.push(("how to talk back", TALK_BACK.to_owned()));
    parts
}

const TALK_BACK: &str = "### How to talk back\n\nComment or review as usual: what people with write access say is worked \
in on this branch and answered once. A comment that begins with `@mimir pause`, `@mimir resume` or `@mimir stop` does \
just that.";

/// What a pull request says: its parts, and the marker by which it is found again.
#[must_use]
pub fn pull_body(run: &Run, parts: &[(&'static str, String)]) -> String {
    let mut text: Vec<&str> = parts.iter().map(|(_, part)| part.as_str()).collect();
    let marker = marker(&format!("run={}", run.id));
    text.push(&marker);
    text.join("\n\n")
}

/// What stands for a part in which something looks like a secret.
#[must_use]
pub fn left_out(what: &str) -> String {
    format!("_{what} is left out here: something in it looks like a secret. `mimir runs show` has it._")
}

fn list(
    what: &'static str,
    heading: &str,
    lines: impl Iterator<Item = String>,
) -> Option<(&'static str, String)> {
    let lines: Vec<String> = lines.collect();
    (!lines.is_empty()).then(|| (what, format!("{heading}\n\n{}", lines.join("\n"))))
}

fn about(run: &Run, at: &Repository) -> String {
    let what = match &run.input.subject {
        RunSubject::None => String::new(),
        RunSubject::Sentry { issue, short_id, url, .. } => {
            format!(" for the error {}", link(short_id.as_deref().unwrap_or(issue), url.as_deref()))
        }
        // The forge closes it with the merge.
        RunSubject::Issue { repository, number, .. } if repository == at => {
            return format!("Closes #{number}. Made by mimir, run {}.", code(run.id.as_str(), 60));
        }
        RunSubject::Issue { repository, number, url, .. } => {
            format!(" for issue {}", link(&format!("{repository} {number}"), url.as_deref()))
        }
    };
    format!("Made by mimir{what}, run {}.", code(run.id.as_str(), 60))
}

fn proof(said: Option<String>, checks: &[CheckResult]) -> String {
    let said =
        said.map(|said| format!("Proved where it was made: {}.\n\n", tamed(&said, STEP))).unwrap_or_default();
    if checks.is_empty() {
        return format!("### Proof\n\n{said}No command was run.");
    }
    let shown = checks.iter().take(MOST).map(|check| {
        let ended = match check.exit_code {
            Some(code) => format!("exit code {code}"),
            None => "was ended".to_owned(),
        };
        let line = format!("- {} {ended}", code(&check.command, 200));
        match check.exit_code {
            Some(0) => line,
            _ => format!("{line}\n\n{}\n", block(&check.tail, TAIL)),
        }
    });
    let shown: Vec<String> = shown.collect();
    format!(
        "### Proof\n\nRun where it was made, so take it for a hint; the checks below count.\n\n{}",
        shown.join("\n")
    )
}

/// What somebody is answered whose comment was worked in.
#[must_use]
pub fn answer(work: &Work, checks: &[CheckResult]) -> String {
    match &work.came {
        Some(Came::Pushed(commit)) => {
            let green = checks.iter().filter(|check| check.exit_code == Some(0)).take(MOST);
            let green: Vec<String> = green.map(|check| code(&check.command, 200)).collect();
            let proof = match green.as_slice() {
                [] => String::new(),
                green => format!(" Green where it was made: {}.", green.join(", ")),
            };
            format!("Worked in with {}.{proof}", short(commit))
        }
        Some(Came::Unchanged(said)) if !said.trim().is_empty() => {
            format!("Looked at; nothing was changed. The agent says:\n\n> {}", tamed(said, ANSWER))
        }
        Some(Came::Failed(why)) => format!("It did not work: {}.", tamed(why, ANSWER)),
        Some(Came::Unchanged(_)) | None => "Looked at; nothing was changed.".to_owned(),
    }
}

/// What stands in place of an agent's words in which something looks like a secret.
pub const ANSWER_LEFT_OUT: &str = "Looked at; nothing was changed. What the agent says about it looks as if it held a secret: it is left out.";

/// What people are told when they have to see to it.
#[must_use]
pub fn hand_over(run: &Run, head: &str, why: &str) -> String {
    format!(
        "This needs you: {} (at {}).\n\n\
         1. Say here what is to be done: what people with write access say is worked in.\n\
         2. Push to this branch yourself; mimir looks at it again. `mimir runs approve {}` has it try once more as it is.\n\
         3. Comment `@mimir stop`, or close this pull request.",
        tamed(why, 300),
        short(head),
        run.id
    )
}

/// What somebody is answered who gave a command.
#[must_use]
pub fn acknowledged(command: Command) -> &'static str {
    match command {
        Command::Pause => "Paused. A comment that begins with `@mimir resume` lets it go on.",
        Command::Resume => "Going on.",
        Command::Stop => "Stopped. The pull request stays as it is, and mimir does nothing more about it.",
    }
}

/// What is said when the matter was settled elsewhere.
#[must_use]
pub fn settled(how: &str) -> String {
    format!("mimir does nothing more about this: {}.", tamed(how, 300))
}

/// What is said at an issue whose change was merged.
#[must_use]
pub fn solved(number: u64, commit: &str) -> String {
    format!("Solved with #{number}, merged as {}.", short(commit))
}

/// What is said when the problem came back.
#[must_use]
pub fn regressed(how: &str) -> String {
    format!("It came back after this was merged: {}.", tamed(how, 300))
}
