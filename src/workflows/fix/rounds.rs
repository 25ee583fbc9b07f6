//! The fix: the agent changes, mimir commits and runs the checks, and what is red goes back, at most so many times.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::ask::{Answer, Question, ask};
use super::commit::{Committed, On, commit};
use super::frame::{self, Begin, Ready, Role};
use super::settings::{FixSettings, PushSettings};
use super::{FixDeps, checks, prompts};
use crate::model::run::{CheckResult, Report, RunState};
use crate::workflows::definition::Workflow;
use crate::workflows::stage::{Outcome, StageContext, StageError};

/// Where the notes of this stage stand.
const NOTE: &str = "fix:rounds";
/// Where it stands what was proved.
const PROOF: &str = "fix:proof";

/// What is kept between rounds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Rounds {
    /// The checks, once they are known.
    pub checks: Vec<String>,
    /// Whether that was found out.
    pub are_known: bool,
    /// In which frame it is mended.
    pub frame: String,
    /// When the commit of this round was made first (UTC ms).
    pub commit_at: Option<u64>,
    /// The commit of this round, from before its checks: what lies in the files is not it while that is proved.
    pub made: Option<String>,
    /// What the agent is sent back with next.
    pub next: Next,
    /// The checks that it is sent back with: a question that is put again has the same words, whatever was checked since.
    pub red: Vec<CheckResult>,
}

impl Rounds {
    /// For the frame that there is now. One that was made anew has no commit of before, and its agent was told nothing.
    fn in_frame(self, frame: &str) -> Self {
        let is_same = self.frame.is_empty() || self.frame == frame;
        let kept = if is_same {
            self
        } else {
            Self { checks: self.checks, are_known: self.are_known, ..Self::default() }
        };
        Self { frame: frame.to_owned(), ..kept }
    }
}

/// With what the agent is asked in a round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Next {
    /// With the report.
    #[default]
    Begin,
    /// With the checks that are red.
    Red,
    /// With the word that nothing was changed.
    Unchanged,
    /// With the word that there are conflicts left.
    Conflicts,
}

/// The settings of a workflow's fix and push; as usual when it has no such stages.
pub(super) fn settings_of(workflow: &Workflow) -> (FixSettings, PushSettings) {
    let of = |kind: &str| {
        let stage = workflow.stages.iter().find(|stage| stage.kind == kind)?;
        Some(serde_json::Value::Object(stage.settings.clone()))
    };
    // They were read when the workflow was.
    let fix = of("fix").and_then(|settings| serde_json::from_value(settings).ok()).unwrap_or_default();
    let push = of("push").and_then(|settings| serde_json::from_value(settings).ok()).unwrap_or_default();
    (fix, push)
}

/// Mends what the report says, until the checks are green.
///
/// # Errors
/// See [`StageError`].
pub async fn perform<C: StageContext>(
    settings: &FixSettings,
    cx: &mut C,
    deps: &FixDeps,
) -> Result<Outcome, StageError> {
    let Some(report) = cx.run().progress.report.clone() else {
        let text =
            "there is no report to go by: the workflow needs a stage of kind `analyse` before this one";
        return Err(StageError::Permanent(text.to_owned()));
    };
    if cx.run().progress.commit.is_some() {
        return Ok(Outcome::Done);
    }
    loop {
        let ready = frame::ready(Role::Mend(settings), Begin::Base, cx, deps).await?;
        if let Some(outcome) = round(settings, &report, &ready, cx, deps).await? {
            return Ok(outcome);
        }
    }
}

/// One round; none when the agent has to be asked again.
async fn round<C: StageContext>(
    settings: &FixSettings,
    report: &Report,
    ready: &Ready,
    cx: &mut C,
    deps: &FixDeps,
) -> Result<Option<Outcome>, StageError> {
    let mut note = known_checks(settings, ready, cx, deps).await?;
    let fence = super::fence_of(cx).await?;
    let number = cx.run().progress.fix_rounds;
    let (text, what) = match note.next {
        Next::Begin => {
            (prompts::fix(cx.run(), report, &note.checks, &fence, &settings.instructions), "to fix it")
        }
        Next::Red => (prompts::red(&note.red, &fence), "to make the checks green"),
        Next::Unchanged => (prompts::unchanged(), "to change something, or to say why not"),
        Next::Conflicts => (prompts::unresolved(), "to resolve conflicts"),
    };
    let branch = frame::branch_of(cx.run());
    let link = format!("mimir frame attach {}", ready.frame.name);
    let id = if let Some(id) = note.made.clone() {
        checks::put_back(deps, &ready.frame, &id, &branch).await?;
        id
    } else {
        let key = format!("fix-{number}");
        let question = Question { key, text, frame: &ready.frame, within: settings.answer, what };
        if let Answer::Stopped(outcome) = ask(cx, deps, question).await? {
            return Ok(Some(outcome));
        }
        let at_ms = match note.commit_at {
            Some(at) => at,
            None => {
                let now = cx.now_ms();
                note.commit_at = Some(now);
                keep(cx, &note);
                let link = super::last_question(cx.run());
                cx.save("note", "the agent is done; its change is looked at".to_owned(), link).await?;
                now
            }
        };
        let on = On { parent: &ready.commit, second: None, branch: &branch, at_ms };
        let message = prompts::message(cx.run(), report.summary.as_deref(), &report.cause);
        let (id, size) = match commit(deps, &ready.frame, settings, on, &message).await? {
            Committed::Commit { id, size } => (id, size),
            Committed::Nothing | Committed::Conflicts => {
                let why = "the agent changed nothing";
                return again(settings, Next::Unchanged, why, note, cx).await;
            }
        };
        note.made = Some(id.clone());
        keep(cx, &note);
        cx.save("commit", format!("commit {id}: {size}"), Some(link.clone())).await?;
        id
    };
    let results = checks::run(deps, &ready.frame, settings, &note.checks).await?;
    cx.progress().checks = results.each.clone();
    cx.save("check", results.in_words(), Some(link.clone())).await?;
    if !results.are_green() {
        let why = results.in_words();
        return again(settings, Next::Red, &why, note, cx).await;
    }
    let proof = if results.each.is_empty() {
        "nothing: no checks of the project are known".to_owned()
    } else if !settings.prove {
        format!("{}; whether they were red before was not tried", results.in_words())
    } else if !results.are_cheap {
        format!("{}; they take long, so whether they were red before was not tried", results.in_words())
    } else {
        checks::prove(deps, &ready.frame, settings, &note.checks, (&ready.commit, &id, &branch)).await?
    };
    let progress = cx.progress();
    progress.notes.insert(PROOF.to_owned(), json!(proof));
    progress.commit = Some(id);
    cx.save("check", format!("what is proved: {proof}"), Some(link)).await?;
    Ok(Some(Outcome::Done))
}

/// Notes what the agent is sent back with, or ends the run when that was often enough.
async fn again<C: StageContext>(
    settings: &FixSettings,
    next: Next,
    why: &str,
    note: Rounds,
    cx: &mut C,
) -> Result<Option<Outcome>, StageError> {
    let number = cx.run().progress.fix_rounds + 1;
    if number > settings.rounds {
        let reason = format!(
            "no fix in {number} tries: {why}; `mimir runs show {}` shows what was tried",
            cx.run().id
        );
        return Ok(Some(Outcome::End { state: RunState::Failed, reason }));
    }
    let red = cx.run().progress.checks.clone();
    keep(cx, &Rounds { next, commit_at: None, made: None, red, ..note });
    cx.progress().fix_rounds = number;
    let link = super::last_question(cx.run());
    cx.save("decision", format!("round {number} of {}: {why}", settings.rounds), link).await?;
    Ok(None)
}

/// The notes, with the checks in them.
async fn known_checks<C: StageContext>(
    settings: &FixSettings,
    ready: &Ready,
    cx: &mut C,
    deps: &FixDeps,
) -> Result<Rounds, StageError> {
    let note: Rounds = super::noted(cx.run(), NOTE).unwrap_or_default();
    let mut note = note.in_frame(ready.frame.id.as_str());
    if !note.are_known {
        let about = frame::about(cx.run(), deps).await?;
        let (found, whose) = checks::known(deps, &ready.frame, settings, &about.settings.checks).await?;
        note = Rounds { checks: found, are_known: true, ..note };
        keep(cx, &note);
        let text = match note.checks.is_empty() {
            true => "no checks of the project are known; `mimir projects set NAME checks='make test'` says which there are".to_owned(),
            false => format!("the checks, {whose}: {}", note.checks.join("; ")),
        };
        cx.save("decision", text, None).await?;
    }
    Ok(note)
}

fn keep<C: StageContext>(cx: &mut C, note: &Rounds) {
    cx.progress().notes.insert(NOTE.to_owned(), json!(note));
}

/// What the checks proved, in a sentence, for whoever reads the pull request; nothing before the fix is done.
#[must_use]
pub fn proof(run: &crate::model::run::Run) -> Option<String> {
    super::noted(run, PROOF)
}

/// The checks of a run's project, as the fix found them.
pub(super) fn checks_of(run: &crate::model::run::Run) -> Vec<String> {
    super::noted::<Rounds>(run, NOTE).map(|note| note.checks).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workflows::definition::{Caps, StageDefinition};

    #[test]
    fn another_frame_begins_with_the_report() {
        let note = Rounds {
            checks: vec!["make test".into()],
            are_known: true,
            frame: String::new(),
            commit_at: Some(1),
            made: Some("1".repeat(40)),
            next: Next::Red,
            red: Vec::new(),
        };
        let first = note.clone().in_frame("frm_1");
        assert_eq!(first, Rounds { frame: "frm_1".into(), ..note.clone() });
        assert_eq!(first.clone().in_frame("frm_1"), first);
        let begins =
            Rounds { checks: note.checks, are_known: true, frame: "frm_2".into(), ..Rounds::default() };
        assert_eq!(first.in_frame("frm_2"), begins);
    }

    #[test]
    fn later_stages_find_the_settings_of_the_fix() {
        let stage = |kind: &str, settings: serde_json::Value| StageDefinition {
            name: format!("my_{kind}"),
            kind: kind.to_owned(),
            settings: settings.as_object().cloned().unwrap_or_default(),
        };
        let workflow = Workflow {
            name: "x".into(),
            description: String::new(),
            inputs: std::collections::BTreeMap::new(),
            stages: vec![stage("fix", json!({"rounds": 1})), stage("push", json!({"ask": true}))],
            caps: Caps::default(),
        };
        let (fix, push) = settings_of(&workflow);
        assert_eq!((fix.rounds, push.ask), (1, true));
        let none = Workflow { stages: Vec::new(), ..workflow };
        assert_eq!(settings_of(&none), (FixSettings::default(), PushSettings::default()));
    }
}
