//! What a workflow is: stages in order, as `config/workflows/*.yaml` and `<home>/workflows/*.yaml` write them.

use std::time::Duration;

/// A workflow.
#[derive(Clone, Debug)]
pub struct Workflow {
    /// Its name.
    pub name: String,
    /// What it does, in a sentence.
    pub description: String,
    /// Its stages, in order; each name once.
    pub stages: Vec<StageDefinition>,
    /// How far it may go.
    pub caps: Caps,
}

/// A stage of a workflow.
#[derive(Clone, Debug)]
pub struct StageDefinition {
    /// Its name: letters, digits, `_`.
    pub name: String,
    /// What it does, as its kind writes it.
    pub kind: StageKind,
}

/// What a stage does. Each kind's settings stand beside its code.
#[derive(Clone, Debug)]
pub enum StageKind {}

/// How far a run of a workflow may go.
#[derive(Clone, Copy, Debug)]
pub struct Caps {
    /// What all of it may cost, in millionths of a US dollar.
    pub cost_microusd: u64,
    /// How long one stage may work; waiting for people, reviews and checks does not count.
    pub stage_time: Duration,
    /// How many runs of the workflow may be at work at the same time; those that wait or are held do not count.
    pub parallel: u32,
    /// How many pull requests it may open for one project within 24 hours.
    pub pulls_per_day: u32,
}
