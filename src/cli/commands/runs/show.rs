//! `mimir runs show`

use super::{ink_of, short};
use crate::cli::context::Context;
use crate::cli::exit::{DONE, Failure, Outcome};
use crate::cli::output::told;
use crate::cli::paint::Ink;
use crate::cli::table::clean;
use crate::clock::utc;
use crate::model::quantity::{age, left, money};
use crate::model::run::{RunLogEntry, RunState, RunSubject};
use crate::model::visible::prose;
use crate::wire::runs::RunDetails;

pub fn run(details: &RunDetails, context: &Context) -> Outcome {
    let (out, run) = (&context.out, &details.run);
    if out.json {
        out.document(details)?;
        return Ok(DONE);
    }
    out.line(format!(
        "{}  {}",
        out.paint.ink(Ink::Bold, &format!("run {}", run.id)),
        out.paint.ink(ink_of(run.state), run.state.as_str())
    ))?;
    for (label, value) in facts(details, context.now_ms()) {
        let label = out.paint.ink(Ink::Dim, &format!("{label:<10}"));
        out.paragraph(&format!("  {label}  {}", clean(&value)), 14)?;
    }
    if !details.timeline.is_empty() {
        out.line("")?;
    }
    for entry in &details.timeline {
        line(entry, context)?;
    }
    if let Some(next) = next(details) {
        out.say(next);
    }
    Ok(DONE)
}

/// A line of the timeline, with what stands below it further in.
pub(super) fn line(entry: &RunLogEntry, context: &Context) -> Result<(), Failure> {
    let out = &context.out;
    let text = prose(&told(&entry.text));
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    let (at, kind) = (out.paint.ink(Ink::Dim, &utc(entry.at)), format!("{:<8}", entry.kind));
    let link = entry.link.as_deref().map(|link| format!("  {}", out.paint.ink(Ink::Dim, &clean(link))));
    out.paragraph(&format!("{at}  {kind}  {first}{}", link.unwrap_or_default()), 31)?;
    for more in lines {
        out.line(format!("{:31}{more}", ""))?;
    }
    Ok(())
}

fn facts(details: &RunDetails, now: u64) -> Vec<(&'static str, String)> {
    let run = &details.run;
    let mut facts = vec![("workflow", run.workflow.clone()), ("about", run.title.clone())];
    let (about, url) = match &details.given.subject {
        RunSubject::None => (None, None),
        RunSubject::Sentry { organization, issue, short_id, url, .. } => {
            let name = short_id.clone().unwrap_or_else(|| issue.clone());
            (Some(format!("{organization} {name}")), url.clone())
        }
        RunSubject::Issue { repository, number, url, .. } => {
            (Some(format!("{repository}#{number}")), url.clone())
        }
    };
    facts.extend(about.map(|about| ("issue", about)));
    facts.extend(url.map(|url| ("see", url)));
    facts.extend(run.project.clone().map(|project| ("project", project)));
    let origin_ref = run.origin_ref.as_deref().map(|of| format!(" {of}")).unwrap_or_default();
    facts.push(("began by", format!("{}{origin_ref}, {} ago", run.origin, age(run.created_at, now))));
    if !run.stage.is_empty() {
        let tries =
            if run.attempt == 0 { String::new() } else { format!(", failed {} times in a row", run.attempt) };
        facts.push(("stage", format!("{}{tries}", run.stage)));
    }
    let limit = details.budget.as_ref().map(|budget| format!(" of {}", money(budget.limit_microusd)));
    facts.push(("cost", format!("{}{}", money(run.cost_microusd), limit.unwrap_or_default())));
    facts.extend(details.frame.clone().map(|frame| ("frame", frame)));
    facts.extend(details.branch.clone().map(|branch| ("branch", branch)));
    facts.extend(details.pull.as_ref().map(|pull| ("pull", format!("#{} {}", pull.number, pull.url))));
    if let Some(report) = &details.report {
        facts.push(("cause", format!("{} (confidence {:.2})", report.cause, report.confidence)));
        facts.extend(report.evidence.iter().map(|place| {
            let line = place.line.map(|line| format!(":{line}")).unwrap_or_default();
            ("evidence", format!("{}{line} {}", place.file, place.note.as_deref().unwrap_or_default()))
        }));
    }
    facts.extend(details.checks.iter().map(|check| {
        let code = check.exit_code.map_or_else(|| "was ended".to_owned(), |code| format!("exit code {code}"));
        ("check", format!("{}: {code}", check.command))
    }));
    facts.extend(run.reason.clone().map(|why| ("because", told(&why))));
    let waits = run.next_at.filter(|at| run.state == RunState::Waiting && *at > now);
    facts.extend(waits.map(|at| ("next look", format!("in {}", left(at, now)))));
    facts
}

/// What to type next.
fn next(details: &RunDetails) -> Option<String> {
    let id = short(&details.run.id);
    match details.run.state {
        RunState::Held => {
            let held = details.held.as_ref().filter(|held| !held.subject.is_empty());
            let subject = held.map(|held| format!(" --for {}", clean(&held.subject))).unwrap_or_default();
            let look =
                details.frame.as_ref().map(|frame| format!("; `mimir frame attach {frame}` lets you look"));
            Some(format!(
                "`mimir runs approve {id}{subject}` lets it go on, `mimir runs reject {id} --why \"…\"` ends it{}",
                look.unwrap_or_default()
            ))
        }
        RunState::Failed => {
            Some(format!("`mimir runs retry {id}` tries again, from stage {}", details.run.stage))
        }
        RunState::Running | RunState::Waiting | RunState::Queued => {
            let attach =
                details.frame.as_ref().map(|frame| format!(", `mimir frame attach {frame}` lets you join"));
            Some(format!(
                "`mimir runs watch {id}` follows it{}, `mimir runs cancel {id}` ends it",
                attach.unwrap_or_default()
            ))
        }
        RunState::Cancelled => {
            Some(format!("`mimir runs retry {id}` begins it again, from stage {}", details.run.stage))
        }
        RunState::Succeeded | RunState::Superseded => None,
    }
}
