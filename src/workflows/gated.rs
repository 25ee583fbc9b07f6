//! A schedule's gate: a shell line of the owner's that comes before the stages of whatever the schedule does.
//!
//! Only runs of schedules have one, because only the owner makes schedules with one. It is the run's first stage, of kind
//! `command`. With exit code 0 the run goes on; with 1 to 125 there is nothing to do, and it ends well, without a token
//! spent; with more (such as 127, not found) or after a minute it fails.

use serde_json::json;

use super::definition::{InputDefinition, StageDefinition, Workflow};
use crate::model::origin::Origin;
use crate::model::run::Run;
use crate::model::schedule::GATE as VARIABLE;

/// The name of the stage.
const STAGE: &str = "schedule_gate";

/// The workflow as that run follows it.
pub(super) fn gated(mut workflow: Workflow, run: &Run) -> Workflow {
    if run.origin != Origin::Schedule || !run.input.variables.contains_key(VARIABLE) {
        return workflow;
    }
    // The line is put in as it is: braces in it are no variables.
    workflow.inputs.entry(VARIABLE.to_owned()).or_insert_with(|| InputDefinition {
        description: "The gate of the schedule".to_owned(),
        default: None,
    });
    let skip: Vec<i32> = (1..=125).collect();
    let settings = json!({ "argv": ["/bin/sh", "-c", format!("{{{{ {VARIABLE} }}}}")], "skip": skip });
    let stage = StageDefinition {
        name: STAGE.to_owned(),
        kind: "command".to_owned(),
        settings: settings.as_object().cloned().unwrap_or_default(),
    };
    workflow.stages.insert(0, stage);
    workflow
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::RunId;
    use crate::model::run::{RunInput, RunProgress, RunState};
    use crate::workflows::command;
    use crate::workflows::definition::Caps;
    use crate::workflows::kind::StageKind;
    use crate::workflows::template;

    fn run(origin: Origin, gate: Option<&str>) -> Run {
        let variables = gate.map(|gate| (VARIABLE.to_owned(), gate.to_owned())).into_iter().collect();
        Run {
            id: RunId::from_parts(1, 1),
            workflow: "prompt".into(),
            key: "schedule:x".into(),
            origin,
            origin_ref: None,
            project: None,
            title: "x".into(),
            input: RunInput { variables, ..RunInput::default() },
            state: RunState::Queued,
            stage: STAGE.into(),
            attempt: 0,
            reason: None,
            progress: RunProgress::default(),
            version: 0,
            not_before: 0,
            priority: 0,
            budget_microusd: None,
            created_at: 0,
            started_at: None,
            ended_at: None,
        }
    }

    fn workflow() -> Workflow {
        let ask =
            StageDefinition { name: "ask".into(), kind: "prompt".into(), settings: serde_json::Map::new() };
        Workflow {
            name: "prompt".into(),
            description: String::new(),
            inputs: Default::default(),
            stages: vec![ask],
            caps: Caps::default(),
        }
    }

    #[test]
    fn a_gate_is_the_first_stage_of_runs_of_schedules_alone() {
        let line = "echo '{{ text }}' | grep -q \"$1\"";
        let run_of_schedule = run(Origin::Schedule, Some(line));
        let made = gated(workflow(), &run_of_schedule);
        assert_eq!((made.first(), made.after(STAGE)), (STAGE, Some("ask")));
        let stage = &made.stages[0];
        let Ok(StageKind::Command(command::Settings { argv, skip, .. })) =
            StageKind::of(&stage.kind, &stage.settings)
        else {
            panic!("{stage:?}")
        };
        let values = template::values(&made, &run_of_schedule);
        let words: Vec<_> = argv.iter().map(|word| template::render(word, &values).expect("known")).collect();
        assert_eq!(words, ["/bin/sh", "-c", line]);
        assert!(skip.contains(&1) && skip.contains(&125) && !skip.contains(&0) && !skip.contains(&127));
        for other in
            [run(Origin::Webhook, Some(line)), run(Origin::Person, Some(line)), run(Origin::Schedule, None)]
        {
            assert_eq!(gated(workflow(), &other), workflow(), "nobody else has a command run");
        }
    }
}
