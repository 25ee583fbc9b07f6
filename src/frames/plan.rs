//! What to do next. Decides and touches nothing.
//!
//! Three questions in the driver's order: what does the engine's answer already
//! prove ([`fact`]), what is to be done ([`plan`]), and what may be recorded once
//! nothing is left to do ([`confirmation`]).

use crate::model::frame::{Desired, FrameEvent, FrameState, Observed};

/// One repeatable step towards the wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Make the container.
    Create,
    /// Start it.
    Start,
    /// Thaw it.
    Resume,
    /// Freeze it.
    Pause,
    /// Stop it.
    Stop,
    /// Remove the container.
    Remove,
    /// Remove the folders, the ports and the row.
    Forget,
    /// Nothing; the world looks like the wish.
    Settled,
}

/// What to do next so that the world looks like the wish.
#[must_use]
pub fn plan(desired: Desired, seen: Observed) -> Step {
    match (desired, seen) {
        (Desired::Running | Desired::Paused, Observed::Missing) => Step::Create,
        (Desired::Running | Desired::Paused, Observed::Halted) => Step::Start,
        (Desired::Running, Observed::Paused) => Step::Resume,
        (Desired::Paused, Observed::Running) => Step::Pause,
        (Desired::Stopped, Observed::Running | Observed::Paused) => Step::Stop,
        (Desired::Removed, Observed::Halted | Observed::Running | Observed::Paused) => Step::Remove,
        (Desired::Removed, Observed::Missing) => Step::Forget,
        (Desired::Running, Observed::Running)
        | (Desired::Paused, Observed::Paused)
        | (Desired::Stopped, Observed::Missing | Observed::Halted) => Step::Settled,
    }
}

/// The desired state that is worked towards right now.
///
/// A frame that is to be paused has to be confirmed as running first: whether an
/// agent answers cannot be asked while it is frozen, and a frame that thaws into
/// one that never worked is worth nothing.
#[must_use]
pub fn effective_desired(desired: Desired, state: FrameState) -> Desired {
    match (desired, state) {
        (Desired::Paused, FrameState::Running | FrameState::Paused) => Desired::Paused,
        (Desired::Paused, _) => Desired::Running,
        (other, _) => other,
    }
}

/// What the engine's answer proves, whatever was asked for.
///
/// A frame that is starting is left alone: no container, or one in which nothing
/// runs, is how every start begins.
#[must_use]
pub fn fact(state: FrameState, seen: Observed) -> Option<FrameEvent> {
    match (state, seen) {
        (FrameState::Running | FrameState::Paused, Observed::Missing | Observed::Halted) => {
            Some(FrameEvent::StopConfirmed)
        }
        (FrameState::Paused, Observed::Running) => Some(FrameEvent::ResumeConfirmed),
        (FrameState::Running, Observed::Paused) => Some(FrameEvent::PauseConfirmed),
        (FrameState::Running, Observed::Running)
        | (FrameState::Paused, Observed::Paused)
        | (FrameState::Created | FrameState::Starting | FrameState::Stopped | FrameState::Error, _) => None,
    }
}

/// What must be recorded before `step` may be performed.
#[must_use]
pub fn announcement(step: Step, state: FrameState) -> Option<FrameEvent> {
    let begins = matches!(step, Step::Create | Step::Start);
    (begins && rests(state)).then_some(FrameEvent::StartRequested)
}

/// What the row still lacks when the plan is [`Step::Settled`].
///
/// `BecameReady` is what it *may* record next: only the agent's own answer lets it.
#[must_use]
pub fn confirmation(wish: Desired, state: FrameState) -> Option<FrameEvent> {
    match (wish, state) {
        (
            Desired::Running | Desired::Paused,
            FrameState::Created | FrameState::Stopped | FrameState::Error,
        ) => Some(FrameEvent::StartRequested),
        (Desired::Running | Desired::Paused, FrameState::Starting) => Some(FrameEvent::BecameReady),
        (
            Desired::Stopped,
            FrameState::Starting | FrameState::Running | FrameState::Paused | FrameState::Error,
        ) => Some(FrameEvent::StopConfirmed),
        (Desired::Running | Desired::Paused, FrameState::Running | FrameState::Paused)
        | (Desired::Stopped, FrameState::Created | FrameState::Stopped)
        | (Desired::Removed, _) => None,
    }
}

fn rests(state: FrameState) -> bool {
    matches!(state, FrameState::Created | FrameState::Stopped | FrameState::Error)
}

#[cfg(test)]
mod tests;
