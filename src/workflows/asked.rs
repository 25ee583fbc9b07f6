//! What people ask of runs. Each answer is a change of the row; the run's own task does the rest.

use std::collections::BTreeMap;

use serde_json::json;

use super::Workflows;
use super::cost;
use super::definition::Workflow;
use super::error::RunError;
use super::kind::StageKind;
use super::library::Entry;
use crate::clock;
use crate::model::agent::ModelRef;
use crate::model::budget::{BudgetScope, Standing};
use crate::model::ids::RunId;
use crate::model::names::{FrameName, ProjectName};
use crate::model::origin::Origin;
use crate::model::principal::Principal;
use crate::model::run::{NewRun, Run, RunInput, RunLogEntry, RunProgress, RunState};
use crate::model::visible;
use crate::store::budgets::{self, Defaults};
use crate::store::runs::{self, Enqueued, RunChange, RunFilter};
use crate::store::{StoreError, Tx, frames, projects};

/// The longest title.
const LONGEST_TITLE: usize = 120;

/// A run that a person wants.
#[derive(Clone, Debug, Default)]
pub struct NewManualRun {
    /// The workflow's name.
    pub workflow: String,
    /// Whose it is.
    pub project: Option<ProjectName>,
    /// The frame that it uses, instead of one of its own.
    pub frame: Option<FrameName>,
    /// What the workflow is given.
    pub variables: BTreeMap<String, String>,
    /// With which model.
    pub model: Option<ModelRef>,
    /// One line for lists; made of the rest when absent.
    pub title: Option<String>,
    /// Larger is sooner.
    pub priority: i64,
    /// What it may cost.
    pub budget_microusd: Option<u64>,
}

/// All about a run.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Its row.
    pub run: Run,
    /// What happened, in order.
    pub timeline: Vec<RunLogEntry>,
    /// What its model calls cost until now, in millionths of a US dollar.
    pub spent_microusd: u64,
    /// What it may spend, as that stands; none before it began.
    pub budget: Option<Standing>,
    /// The frame that works for it, while there is one.
    pub frame: Option<FrameName>,
}

impl Workflows {
    /// The workflows that there are, by name.
    pub async fn library(&self) -> Vec<Entry> {
        let library = self.inner.library.clone();
        tokio::task::spawn_blocking(move || library.list()).await.unwrap_or_default()
    }

    /// The workflow of that name.
    ///
    /// # Errors
    /// [`RunError::NoWorkflow`].
    pub async fn entry(&self, name: &str) -> Result<Entry, RunError> {
        let all = self.library().await;
        all.into_iter().find(|entry| entry.name == name).ok_or_else(|| RunError::NoWorkflow(name.to_owned()))
    }

    /// Makes a run by hand, and begins it as soon as it is its turn.
    ///
    /// # Errors
    /// See [`RunError`]; nothing was made then.
    pub async fn start(&self, principal: &Principal, wanted: NewManualRun) -> Result<Run, RunError> {
        let workflow = self.entry(&wanted.workflow).await?.workflow?;
        check_inputs(&workflow, &wanted.variables)?;
        let simple = &self.inner.stages.simple;
        let id = RunId::from_parts(simple.clock.now_ms(), clock::entropy_128());
        let title = wanted.title.clone().unwrap_or_else(|| title_of(&wanted));
        let new = NewRun {
            workflow: wanted.workflow,
            key: format!("manual:{id}"),
            origin: Origin::Person,
            origin_ref: None,
            project: wanted.project,
            title: title_line(&title),
            input: RunInput {
                variables: wanted.variables,
                frame: wanted.frame,
                model: wanted.model,
                ..RunInput::default()
            },
            priority: wanted.priority,
            budget_microusd: wanted.budget_microusd,
            not_before: None,
        };
        let by = principal.clone();
        let made = simple.store.write_as(move |tx| {
            if let Some(name) = &new.project
                && projects::find_by_name(tx, name)?.is_none()
            {
                return Err(RunError::NoProject(name.to_string()));
            }
            let run = enqueued(runs::enqueue(tx, id, &new)?)?;
            let detail = json!({ "workflow": run.workflow, "project": run.project });
            tx.audit(&by, "run.start", run.id.as_str(), &detail)?;
            Ok::<_, RunError>(run)
        });
        let run = made.await?;
        simple.failpoints.hit("workflows.start.after_row").await;
        self.wake(&run.id);
        Ok(run)
    }

    /// Runs, the newest first, each with what it cost until now.
    ///
    /// # Errors
    /// Only the database's.
    pub async fn runs(&self, filter: RunFilter, limit: u32) -> Result<Vec<(Run, u64)>, StoreError> {
        let read = self.inner.stages.simple.store.read(move |db| {
            let found = runs::list(db, &filter, limit)?;
            found.into_iter().map(|run| Ok((runs::spent(db, &run.id)?, run))).collect::<Result<Vec<_>, _>>()
        });
        Ok(read.await?.into_iter().map(|(spent, run)| (run, spent)).collect())
    }

    /// The run that a word means: its id, or the end of that.
    ///
    /// # Errors
    /// [`RunError::NotFound`], [`RunError::Several`].
    pub async fn named(&self, word: &str) -> Result<RunId, RunError> {
        let asked = word.to_owned();
        let mut found = self.inner.stages.simple.store.read(move |db| runs::named(db, &asked)).await?;
        match found.len() {
            0 => Err(RunError::NotFound(word.to_owned())),
            1 => Ok(found.remove(0)),
            _ => {
                let ids = found.iter().map(ToString::to_string).collect();
                Err(RunError::Several { word: word.to_owned(), ids })
            }
        }
    }

    /// All about a run.
    ///
    /// # Errors
    /// [`RunError::NotFound`].
    pub async fn show(&self, id: &RunId) -> Result<Shown, RunError> {
        let (id, now) = (id.clone(), self.inner.stages.simple.clock.now_ms());
        let read = self.inner.stages.simple.store.read(move |db| {
            let run = runs::get(db, &id)?;
            let budget = budgets::of_subject(db, BudgetScope::Run, id.as_str(), Defaults::default(), now)?;
            let frame = match &run.progress.frame {
                Some(frame) => frames::find(db, frame)?.map(|frame| frame.name),
                None => None,
            };
            Ok(Shown {
                timeline: runs::timeline(db, &id)?,
                spent_microusd: runs::spent(db, &id)?,
                budget: budget.into_iter().next(),
                frame,
                run,
            })
        });
        read.await.map_err(missing)
    }

    /// A person's yes to that subject: the run goes on. Where the run is held for something, nobody says yes to whatever
    /// it may be by now.
    ///
    /// # Errors
    /// [`RunError::NotFound`], [`RunError::NotHeld`], [`RunError::HeldForOther`].
    pub async fn approve(
        &self,
        principal: &Principal,
        id: &RunId,
        subject: Option<String>,
    ) -> Result<Run, RunError> {
        let (by, of) = (principal.clone(), id.clone());
        let change = move |tx: &mut Tx<'_>| {
            let run = runs::get(tx, &of).map_err(missing)?;
            let held = match (run.state, run.progress.held.clone()) {
                (RunState::Held, Some(held)) => held,
                (state, _) => return Err(RunError::NotHeld { id: of.to_string(), state }),
            };
            if !is_meant(&held.subject, subject.as_deref().unwrap_or_default()) {
                return Err(RunError::HeldForOther {
                    id: of.to_string(),
                    gate: held.gate,
                    subject: held.subject,
                });
            }
            let mut progress = run.progress.clone();
            progress.held = None;
            progress.approved.insert(held.gate.clone(), held.subject.clone());
            let change = RunChange {
                state: RunState::Waiting,
                stage: run.stage.clone(),
                attempt: 0,
                reason: Some(format!("{by} said yes")),
                progress,
                wake_at: Some(tx.now_ms()),
                keeps_place: false,
            };
            let after = runs::change(tx, &run, &change)?;
            let about =
                if held.subject.is_empty() { String::new() } else { format!(" for {}", held.subject) };
            let text = format!("{by} opened gate {}{about}", held.gate);
            runs::log(tx, &run.id, &run.stage, "decision", &text, runs::pull_link(&run))?;
            let detail = json!({ "gate": held.gate, "subject": held.subject });
            tx.audit(&by, "run.approve", run.id.as_str(), &detail)?;
            Ok::<_, RunError>(after)
        };
        let run = self.inner.stages.simple.store.write_as(change).await?;
        self.inner.stages.simple.failpoints.hit("workflows.approve.after_row").await;
        self.wake(&run.id);
        Ok(run)
    }

    /// A person's no: the run ends.
    ///
    /// # Errors
    /// [`RunError::NotFound`], [`RunError::NotHeld`].
    pub async fn reject(
        &self,
        principal: &Principal,
        id: &RunId,
        why: Option<String>,
    ) -> Result<Run, RunError> {
        self.end(principal, id, "run.reject", "rejected", why, true).await
    }

    /// Ends a run, wherever it is. What its agent does is stopped, its throwaway frame goes.
    ///
    /// # Errors
    /// [`RunError::NotFound`], [`RunError::Over`].
    pub async fn cancel(
        &self,
        principal: &Principal,
        id: &RunId,
        why: Option<String>,
    ) -> Result<Run, RunError> {
        self.end(principal, id, "run.cancel", "cancelled", why, false).await
    }

    async fn end(
        &self,
        principal: &Principal,
        id: &RunId,
        action: &'static str,
        word: &'static str,
        why: Option<String>,
        must_be_held: bool,
    ) -> Result<Run, RunError> {
        let (by, of) = (principal.clone(), id.clone());
        let change = move |tx: &mut Tx<'_>| {
            let run = runs::get(tx, &of).map_err(missing)?;
            let state = run.state;
            if must_be_held && state != RunState::Held {
                return Err(RunError::NotHeld { id: of.to_string(), state });
            }
            if state.is_end() {
                return Err(RunError::Over { id: of.to_string(), state });
            }
            let because = why.as_deref().map(|why| format!(": {}", visible::line(why))).unwrap_or_default();
            let reason = format!("{word} by {by}{because}");
            let progress = RunProgress { held: None, ..run.progress.clone() };
            let change = RunChange {
                state: RunState::Cancelled,
                stage: run.stage.clone(),
                attempt: run.attempt,
                reason: Some(reason.clone()),
                progress,
                wake_at: None,
                keeps_place: false,
            };
            let after = runs::change(tx, &run, &change)?;
            runs::log(tx, &run.id, &run.stage, "decision", &reason, runs::pull_link(&run))?;
            cost::say(tx, &run)?;
            tx.audit(&by, action, run.id.as_str(), &json!({ "was": state, "why": why }))?;
            Ok::<_, RunError>(after)
        };
        let run = self.inner.stages.simple.store.write_as(change).await?;
        self.inner.stages.simple.failpoints.hit("workflows.cancel.after_row").await;
        // The stage that works is let go of; what it began is cleaned up by the timer that was set with the end.
        self.inner.at_work.cancel(&run.id);
        Ok(run)
    }

    /// A new run with the same input, which begins where that one failed, with what was found out until there, as far as
    /// that can be begun without what is gone.
    ///
    /// # Errors
    /// [`RunError::NotFound`], [`RunError::NotFailed`], [`RunError::Joined`], or what is wrong with the workflow.
    pub async fn retry(&self, principal: &Principal, id: &RunId) -> Result<Run, RunError> {
        let simple = &self.inner.stages.simple;
        let of = id.clone();
        let name = simple.store.read(move |db| runs::get(db, &of)).await.map_err(missing)?.workflow;
        let workflow = self.entry(&name).await?.workflow?;
        let new_id = RunId::from_parts(simple.clock.now_ms(), clock::entropy_128());
        let (by, of) = (principal.clone(), id.clone());
        let change = move |tx: &mut Tx<'_>| {
            let old = runs::get(tx, &of).map_err(missing)?;
            if !matches!(old.state, RunState::Failed | RunState::Cancelled) {
                return Err(RunError::NotFailed { id: of.to_string(), state: old.state });
            }
            let stage = begins_at(&workflow, &old);
            let progress = carried(&workflow, &stage, &old.progress);
            let new = NewRun {
                workflow: old.workflow.clone(),
                key: old.key.clone(),
                origin: Origin::Person,
                origin_ref: Some(old.id.to_string()),
                project: old.project.clone(),
                title: old.title.clone(),
                input: old.input.clone(),
                priority: old.priority,
                budget_microusd: old.budget_microusd,
                not_before: None,
            };
            let run = enqueued(runs::enqueue(tx, new_id, &new)?)?;
            runs::carry_over(tx, &run.id, &stage, &progress)?;
            let text = format!("tries again what run {} did not do, from stage {stage}", old.id);
            let link = format!("mimir runs show {}", old.id);
            runs::log(tx, &run.id, &stage, "decision", &text, Some(link.as_str()))?;
            let (text, link) =
                (format!("tried again by run {}", run.id), format!("mimir runs show {}", run.id));
            runs::log(tx, &old.id, &old.stage, "decision", &text, Some(link.as_str()))?;
            tx.audit(&by, "run.retry", old.id.as_str(), &json!({ "run": run.id, "stage": stage }))?;
            Ok::<_, RunError>(runs::get(tx, &run.id)?)
        };
        let run = simple.store.write_as(change).await?;
        simple.failpoints.hit("workflows.retry.after_row").await;
        self.wake(&run.id);
        Ok(run)
    }
}

fn enqueued(wish: Enqueued) -> Result<Run, RunError> {
    match wish {
        Enqueued::New(run) => Ok(*run),
        Enqueued::Joined(id) => Err(RunError::Joined(id.to_string())),
    }
}

fn missing(error: StoreError) -> RunError {
    match error {
        StoreError::NotFound { what: "run", key } => RunError::NotFound(key),
        error => RunError::Store(error),
    }
}

fn check_inputs(workflow: &Workflow, given: &BTreeMap<String, String>) -> Result<(), RunError> {
    let name = || workflow.name.clone();
    if let Some(input) = given.keys().find(|input| !workflow.inputs.contains_key(*input)) {
        return Err(RunError::UnknownInput { workflow: name(), input: input.clone() });
    }
    let needed = |(input, definition): &(&String, &super::definition::InputDefinition)| {
        definition.default.is_none() && !given.contains_key(*input)
    };
    match workflow.inputs.iter().find(needed) {
        Some((input, _)) => Err(RunError::NeedsInput { workflow: name(), input: input.clone() }),
        None => Ok(()),
    }
}

/// The stage that failed, or the last one before it that needs nothing of what is gone.
fn begins_at(workflow: &Workflow, old: &Run) -> String {
    let upto = workflow.stages.iter().position(|stage| stage.name == old.stage).unwrap_or(0);
    let at_of = |kind: &str| workflow.stages.iter().position(|stage| stage.kind == kind);
    let (fix, push) = (at_of("fix"), at_of("push"));
    let is_out = old.progress.pull.is_some();
    let alone = |at: &usize| {
        // Between the two, the commit is in a frame that is gone.
        let is_within = !is_out && fix.is_some_and(|fix| *at > fix) && push.is_some_and(|push| *at <= push);
        let stage = &workflow.stages[*at];
        !is_within && StageKind::of(&stage.kind, &stage.settings).is_ok_and(|kind| kind.stands_alone())
    };
    let at = (0..=upto).rev().find(alone).unwrap_or(0);
    workflow.stages.get(at).map(|stage| stage.name.clone()).unwrap_or_default()
}

/// What a new run takes over: everything that is not about the frame that is gone, and nothing of the stages to come.
fn carried(workflow: &Workflow, stage: &str, old: &RunProgress) -> RunProgress {
    let before: Vec<&str> =
        workflow.stages.iter().map(|stage| stage.name.as_str()).take_while(|name| *name != stage).collect();
    let later: Vec<&str> =
        workflow.stages.iter().map(|stage| stage.name.as_str()).skip(before.len()).collect();
    let mut progress = old.clone();
    progress.approved.retain(|gate, _| !later.contains(&gate.as_str()));
    progress.frame = None;
    progress.session = None;
    progress.message = None;
    progress.stage_since = None;
    progress.stage_worked_ms = 0;
    progress.held = None;
    progress.notes.retain(|name, _| before.contains(&name.as_str()));
    let is_fixed_again =
        workflow.stages.iter().any(|stage| stage.kind == "fix" && later.contains(&stage.name.as_str()));
    if is_fixed_again && old.pull.is_none() {
        // What was mended was in the frame; its push went with the run. The next commit has a branch of its own.
        progress.base = None;
        progress.branch = None;
        progress.commit = None;
        progress.push = None;
        progress.checks = Vec::new();
        progress.fix_rounds = 0;
    }
    progress
}

fn title_of(wanted: &NewManualRun) -> String {
    let text = wanted.variables.values().next().cloned().unwrap_or_default();
    let about = wanted.project.as_ref().map(ToString::to_string);
    let about = about.or_else(|| wanted.frame.as_ref().map(ToString::to_string));
    match (about, text.is_empty()) {
        (Some(about), true) => about,
        (Some(about), false) => format!("{about}: {text}"),
        (None, true) => wanted.workflow.clone(),
        (None, false) => text,
    }
}

fn title_line(text: &str) -> String {
    let line = visible::line(text);
    let title: String = line.trim().chars().take(LONGEST_TITLE).collect();
    if title.len() < line.trim().len() { format!("{title}…") } else { title }
}

/// Whether a yes to that is a yes to what a run is held for. A commit may be cut short; what stands behind it (where it
/// goes, and by its sign what is asked) must be said as well.
fn is_meant(subject: &str, said: &str) -> bool {
    const SHORTEST: usize = 7;
    fn parts(text: &str) -> (&str, &str) {
        text.split_at(text.find(['@', ':']).unwrap_or(text.len()))
    }
    let ((commit, rest), (begin, said_rest)) = (parts(subject), parts(said));
    said == subject || rest == said_rest && begin.len() >= SHORTEST && commit.starts_with(begin)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::run::RunPull;

    const STAGES: &str = "stages:
- { name: look, kind: analyse }
- { name: start, kind: gate }
- { name: mend, kind: fix }
- { name: between, kind: gate }
- { name: out, kind: push }
- { name: before, kind: preflight }
- { name: open, kind: pull_request }
- { name: wait, kind: follow }
";

    fn failed_in(stage: &str) -> (Workflow, Run) {
        let text = format!("name: shop\ndescription: for a test\n{STAGES}");
        let workflow = super::super::parse::parse(&text, "shop").expect("a workflow");
        let progress = RunProgress {
            base: Some("0".repeat(40)),
            branch: Some("mimir/run_old".into()),
            commit: Some("1".repeat(40)),
            push: Some(7),
            fix_rounds: 3,
            report: Some(crate::model::run::Report {
                cause: "it divides".into(),
                evidence: Vec::new(),
                confidence: 0.9,
                plan: Vec::new(),
                risk: None,
                summary: None,
            }),
            notes: BTreeMap::from([("fix:rounds".to_owned(), json!({})), ("look".to_owned(), json!({}))]),
            ..RunProgress::default()
        };
        let run = Run {
            id: RunId::from_parts(1, 1),
            workflow: "shop".into(),
            key: "k".into(),
            origin: Origin::Person,
            origin_ref: None,
            project: None,
            title: String::new(),
            input: RunInput::default(),
            state: RunState::Failed,
            stage: stage.into(),
            attempt: 0,
            reason: None,
            progress,
            version: 0,
            not_before: 0,
            priority: 0,
            budget_microusd: None,
            created_at: 0,
            started_at: None,
            ended_at: None,
        };
        (workflow, run)
    }

    #[test]
    fn what_was_not_pushed_is_mended_again_and_the_report_stays() {
        for stage in ["mend", "between", "out"] {
            let (workflow, old) = failed_in(stage);
            let begins = begins_at(&workflow, &old);
            assert_eq!(begins, "start", "after {stage}");
            let taken = carried(&workflow, &begins, &old.progress);
            let notes = BTreeMap::from([("look".to_owned(), json!({}))]);
            let wanted = RunProgress { report: old.progress.report, notes, ..RunProgress::default() };
            assert_eq!(taken, wanted, "after {stage}");
        }
    }

    #[test]
    fn what_stands_at_the_forge_is_gone_on_with() {
        for (stage, pull) in [("before", None), ("open", None), ("wait", Some(RunPull::default()))] {
            let (workflow, mut old) = failed_in(stage);
            old.progress.pull = pull;
            let begins = begins_at(&workflow, &old);
            assert_eq!(begins, "before", "after {stage}");
            let wanted = RunProgress {
                notes: carried(&workflow, &begins, &old.progress).notes,
                ..old.progress.clone()
            };
            assert_eq!(carried(&workflow, &begins, &old.progress), wanted, "after {stage}");
        }
    }

    #[test]
    fn a_yes_is_for_one_commit_and_not_for_whatever_comes() {
        let (shown, later) =
            ("0123456789abcdef0123456789abcdef01234567", "9123456789abcdef0123456789abcdef01234567");
        assert!(is_meant(shown, shown) && is_meant(shown, "0123456"));
        assert!(
            !is_meant(later, shown) && !is_meant(later, "") && !is_meant(shown, "0") && !is_meant("", shown)
        );
        assert!(is_meant("", ""), "a gate that is about nothing else");
    }

    #[test]
    fn a_yes_is_for_where_it_goes_and_for_what_was_asked() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        let (merge, elsewhere) = (format!("{commit}@main"), format!("{commit}:release"));
        assert!(is_meant(&merge, &merge) && is_meant(&merge, "0123456@main"));
        assert!(is_meant(&elsewhere, "0123456:release"));
        for other in
            [commit, "0123456", "0123456@", "0123456@release", "0123456:main", "0123456@mai", "@main"]
        {
            assert!(!is_meant(&merge, other), "{other}");
        }
        assert!(!is_meant(commit, &merge) && !is_meant(&elsewhere, "0123456@release"));
    }
}
