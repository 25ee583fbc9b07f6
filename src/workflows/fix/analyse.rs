//! The analysis: an agent in a frame that reaches nothing reads the evidence and the code, and answers with a report.

use std::time::Duration;

use super::ask::{Answer, Question, ask};
use super::frame::{self, Begin, Role};
use super::settings::AnalyseSettings;
use super::{FixDeps, inside, prompts, report};
use crate::model::frame::Frame;
use crate::model::run::{Report, RunState};
use crate::workflows::stage::{Outcome, StageContext, StageError};

/// How long a look at the files may take.
const LOOK: Duration = Duration::from_secs(60);

/// Says which of the named files the commit `$1` does not have.
pub(super) const MISSING: &str = r#"
commit=$1
shift
for file; do
    git cat-file -e "$commit:$file" 2>/dev/null || printf '%s\n' "$file"
done
"#;

/// Makes the frame, asks, and reads the report. The frame is gone when it is done.
///
/// # Errors
/// [`StageError::Permanent`] when the answers are no report, and whatever is in the way.
pub async fn perform<C: StageContext>(
    settings: &AnalyseSettings,
    cx: &mut C,
    deps: &FixDeps,
) -> Result<Outcome, StageError> {
    let role = Role::Look(settings);
    if cx.run().progress.report.is_none() {
        let ready = frame::ready(role, Begin::Base, cx, deps).await?;
        match asked(settings, &ready, cx, deps).await? {
            Ok(found) => {
                let text = in_words(&found);
                cx.progress().report = Some(found);
                let link = super::last_question(cx.run());
                cx.save("answer", text, link).await?;
            }
            Err(outcome) => {
                frame::end(role, &cx.run().id, deps).await?;
                return Ok(outcome);
            }
        }
    }
    deps.failpoints.hit("workflows.analyse.after_report").await;
    frame::end(role, &cx.run().id, deps).await?;
    deps.failpoints.hit("workflows.analyse.after_end").await;
    let progress = cx.progress();
    progress.frame = None;
    progress.session = None;
    progress.message = None;
    let confidence = progress.report.as_ref().map_or(0.0, |report| report.confidence);
    if confidence < settings.confidence {
        let reason = format!(
            "stopped at the report: it is sure to {:.0} %, and {:.0} % is needed; `mimir runs show {}` shows it",
            confidence * 100.0,
            settings.confidence * 100.0,
            cx.run().id
        );
        return Ok(Outcome::End { state: RunState::Succeeded, reason });
    }
    Ok(Outcome::Done)
}

/// Asks until there is a report, or there were enough corrections.
async fn asked<C: StageContext>(
    settings: &AnalyseSettings,
    ready: &frame::Ready,
    cx: &mut C,
    deps: &FixDeps,
) -> Result<Result<Report, Outcome>, StageError> {
    let fence = super::fence_of(cx).await?;
    let mut text = prompts::analyse(cx.run(), &ready.commit, &fence, &settings.instructions);
    for round in 0..=settings.corrections {
        let question = Question {
            key: format!("analyse-{round}"),
            text,
            frame: &ready.frame,
            within: settings.answer,
            what: if round == 0 { "for a report" } else { "for a report once more" },
        };
        let said = match ask(cx, deps, question).await? {
            Answer::Said(said) => said,
            Answer::Stopped(outcome) => return Ok(Err(outcome)),
        };
        let why = match report::parse(&said) {
            Ok(found) => match missing(&found, ready, deps).await? {
                None => return Ok(Ok(found)),
                Some(file) => format!("`{file}` is no file of the repository at this commit"),
            },
            Err(why) => why,
        };
        let link = super::last_question(cx.run());
        cx.save("error", format!("the answer is no valid report: {why}"), link).await?;
        text = prompts::correct(&why);
    }
    // What was answered is answered: asking the engine for another try would read the same again.
    Err(StageError::Permanent(format!(
        "the agent gave no valid report in {} answers",
        settings.corrections + 1
    )))
}

/// A file that the report names and the commit does not have.
async fn missing(found: &Report, ready: &frame::Ready, deps: &FixDeps) -> Result<Option<String>, StageError> {
    if found.evidence.is_empty() {
        return Ok(None);
    }
    let mut args = vec![ready.commit.as_str()];
    args.extend(found.evidence.iter().map(|place| place.file.as_str()));
    let frame: &Frame = &ready.frame;
    let said = inside::must(deps, frame, "a look at the files", MISSING, &args, LOOK).await?;
    Ok(said.lines().next().map(|file| super::fence::line(file, 200)))
}

/// A report in a few lines, for the timeline.
fn in_words(report: &Report) -> String {
    let places: Vec<String> = report
        .evidence
        .iter()
        .map(|place| match place.line {
            Some(line) => format!("{}:{line}", place.file),
            None => place.file.clone(),
        })
        .collect();
    let plan: String = report.plan.iter().map(|step| format!("\n- {step}")).collect();
    format!(
        "the report, sure to {:.0} %: {}{}{plan}",
        report.confidence * 100.0,
        report.cause,
        if places.is_empty() { String::new() } else { format!(" ({})", places.join(", ")) }
    )
}
