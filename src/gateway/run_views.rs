//! Runs and workflows into what clients see. Pure.

use crate::model::run::{Run, RunState};
use crate::wire::runs::{RunDetails, RunView, WorkflowDetails, WorkflowInput, WorkflowStage, WorkflowView};
use crate::workflows::Shown;
use crate::workflows::library::Entry;

/// A run in a list.
pub fn run(run: &Run, cost_microusd: u64) -> RunView {
    RunView {
        id: run.id.to_string(),
        workflow: run.workflow.clone(),
        title: run.title.clone(),
        state: run.state,
        stage: run.stage.clone(),
        reason: run.reason.clone(),
        attempt: run.attempt,
        project: run.project.as_ref().map(ToString::to_string),
        origin: run.origin,
        origin_ref: run.origin_ref.clone(),
        key: run.key.clone(),
        priority: run.priority,
        cost_microusd,
        created_at: run.created_at,
        started_at: run.started_at,
        next_at: matches!(run.state, RunState::Waiting | RunState::Queued).then_some(run.not_before),
        ended_at: run.ended_at,
    }
}

/// All about a run.
pub fn details(shown: Shown) -> RunDetails {
    let view = run(&shown.run, shown.spent_microusd);
    let progress = shown.run.progress;
    RunDetails {
        run: view,
        given: shown.run.input,
        held: progress.held,
        budget: shown.budget.map(Into::into),
        frame: shown.frame.map(String::from),
        branch: progress.branch,
        commit: progress.commit,
        pull: progress.pull,
        report: progress.report,
        checks: progress.checks,
        timeline: shown.timeline,
    }
}

/// A workflow in a list.
pub fn workflow(entry: &Entry) -> WorkflowView {
    let (name, source) = (entry.name.clone(), entry.source.to_string());
    let workflow = match &entry.workflow {
        Ok(workflow) => workflow,
        Err(invalid) => {
            return WorkflowView {
                name,
                description: String::new(),
                source,
                parameters: Vec::new(),
                stages: Vec::new(),
                cost_microusd: 0,
                parallel: 0,
                mistake: Some(invalid.to_string()),
            };
        }
    };
    let inputs = workflow.inputs.iter().map(|(name, input)| WorkflowInput {
        name: name.clone(),
        description: input.description.clone(),
        default: input.default.clone(),
    });
    let stages = workflow
        .stages
        .iter()
        .map(|stage| WorkflowStage { name: stage.name.clone(), kind: stage.kind.clone() });
    WorkflowView {
        name,
        description: workflow.description.clone(),
        source,
        parameters: inputs.collect(),
        stages: stages.collect(),
        cost_microusd: workflow.caps.cost_microusd,
        parallel: workflow.caps.parallel,
        mistake: None,
    }
}

/// A workflow, as it is written.
pub fn workflow_details(entry: Entry) -> WorkflowDetails {
    WorkflowDetails { workflow: workflow(&entry), text: entry.text }
}
