//! What people are told of runs: that one is held for them, that one failed.

use crate::model::event::{Event, EventKind};
use crate::model::run::RunState;
use crate::model::visible::exact;

/// Where a run is, as an event says it.
pub(super) struct Told<'a> {
    pub(super) run: &'a str,
    workflow: &'a str,
    about: &'a str,
    state: RunState,
    reason: Option<&'a str>,
    /// Whether somebody has to do something. Otherwise what they were told before is over.
    pub(super) wants_a_person: bool,
}

/// What an event tells of a run; nothing when it is about something else.
pub(super) fn told(event: &Event) -> Option<Told<'_>> {
    let EventKind::RunMoved { run, workflow, title, to, reason, .. } = &event.what else { return None };
    let wants_a_person = matches!(to, RunState::Held | RunState::Failed);
    Some(Told { run, workflow, about: title, state: *to, reason: reason.as_deref(), wants_a_person })
}

impl Told<'_> {
    /// The first line of a note.
    pub(super) fn title(&self) -> String {
        let how = if self.state == RunState::Held { "waits for your yes" } else { "failed" };
        format!("{} {how}: {}", self.workflow, exact(self.about))
    }

    /// The rest of it: why, and what to type.
    pub(super) fn body(&self) -> String {
        format!("{}\n{}", exact(self.reason.unwrap_or_default()), self.command())
    }

    /// What to type.
    pub(super) fn command(&self) -> String {
        format!("mimir runs show {}", self.run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::Subject;

    fn moved(to: RunState) -> Event {
        let what = EventKind::RunMoved {
            run: "run_01k0000000000000000000000a".to_owned(),
            workflow: "review".to_owned(),
            title: "shop".to_owned(),
            from: None,
            to,
            stage: "ask".to_owned(),
            reason: Some("may it go on\u{202e}?".to_owned()),
        };
        Event { id: 1, at: 1, subject: Subject::default(), what }
    }

    #[test]
    fn people_hear_of_what_is_held_and_of_what_failed_and_of_nothing_else() {
        for state in [RunState::Queued, RunState::Running, RunState::Waiting, RunState::Succeeded] {
            assert!(!told(&moved(state)).expect("about a run").wants_a_person, "{state}");
        }
        let event = moved(RunState::Held);
        let held = told(&event).expect("about a run");
        assert!(held.wants_a_person);
        assert_eq!(held.title(), "review waits for your yes: shop");
        assert_eq!(held.body(), "may it go on\\u{202e}?\nmimir runs show run_01k0000000000000000000000a");
        assert_eq!(told(&moved(RunState::Failed)).expect("about a run").title(), "review failed: shop");
    }
}
