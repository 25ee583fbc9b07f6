use super::*;

use proptest::prelude::*;
use strum::IntoEnumIterator;

/// A frame and its container, moved by exactly the driver's rules.
#[derive(Clone, Debug)]
struct Model {
    desired: Desired,
    state: FrameState,
    seen: Observed,
    forgotten: bool,
    answers: bool,
}

/// Where the gateway dies in one pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Crash {
    /// It lives.
    No,
    /// After the fact was saved.
    AfterFact,
    /// After the announcement was saved.
    AfterAnnouncement,
    /// After the engine did it, before anything was saved.
    AfterStep,
}

impl Model {
    fn take(&mut self, event: FrameEvent) {
        self.state = self.state.next(event).unwrap_or_else(|illegal| panic!("{illegal} in {self:?}"));
    }

    /// One pass of the driver.
    fn advance(&mut self, crash: Crash) {
        if let Some(event) = fact(self.state, self.seen) {
            self.take(event);
            if crash == Crash::AfterFact {
                return;
            }
        }
        let wish = effective_desired(self.desired, self.state);
        let step = plan(wish, self.seen);
        if let Some(event) = announcement(step, self.state) {
            self.take(event);
            if crash == Crash::AfterAnnouncement {
                return;
            }
        }
        match step {
            Step::Create => self.seen = Observed::Halted,
            Step::Start | Step::Resume => self.seen = Observed::Running,
            Step::Pause => self.seen = Observed::Paused,
            Step::Stop => self.seen = Observed::Halted,
            Step::Remove => self.seen = Observed::Missing,
            Step::Forget => self.forgotten = true,
            Step::Settled if crash == Crash::AfterStep => {}
            Step::Settled => match confirmation(wish, self.state) {
                Some(FrameEvent::BecameReady) if !self.answers => {}
                Some(event) => self.take(event),
                None => {}
            },
        }
    }

    fn is_as_desired(&self) -> bool {
        match self.desired {
            Desired::Running => self.state == FrameState::Running && self.seen == Observed::Running,
            Desired::Paused => self.state == FrameState::Paused && self.seen == Observed::Paused,
            Desired::Stopped => {
                matches!(self.state, FrameState::Stopped | FrameState::Created)
                    && matches!(self.seen, Observed::Missing | Observed::Halted)
            }
            Desired::Removed => self.forgotten,
        }
    }
}

fn all_combinations() -> impl Iterator<Item = Model> {
    Desired::iter().flat_map(|desired| {
        FrameState::iter().flat_map(move |state| {
            Observed::iter().map(move |seen| Model { desired, state, seen, forgotten: false, answers: true })
        })
    })
}

#[test]
fn every_combination_reaches_the_wish_without_an_illegal_move() {
    let mut count = 0;
    for start in all_combinations() {
        let mut model = start.clone();
        for _ in 0..12 {
            if model.forgotten {
                break;
            }
            model.advance(Crash::No);
        }
        assert!(model.is_as_desired(), "{start:?} ended as {model:?}");
        count += 1;
    }
    assert_eq!(count, 96);
}

#[test]
fn a_frame_whose_agent_never_answers_is_never_called_running() {
    for mut model in all_combinations().filter(|model| model.state == FrameState::Starting) {
        model.answers = false;
        for _ in 0..12 {
            if model.forgotten {
                break;
            }
            model.advance(Crash::No);
            assert!(!matches!(model.state, FrameState::Running | FrameState::Paused), "{model:?}");
        }
    }
}

#[test]
fn a_settled_world_stays_settled() {
    for mut model in all_combinations() {
        for _ in 0..12 {
            if model.forgotten {
                break;
            }
            model.advance(Crash::No);
        }
        let settled = model.clone();
        if !model.forgotten {
            model.advance(Crash::No);
            assert_eq!(format!("{model:?}"), format!("{settled:?}"));
        }
    }
}

fn crashes() -> impl Strategy<Value = Vec<Crash>> {
    let one = prop_oneof![
        Just(Crash::No),
        Just(Crash::AfterFact),
        Just(Crash::AfterAnnouncement),
        Just(Crash::AfterStep)
    ];
    prop::collection::vec(one, 0..7)
}

/// What others do meanwhile: ask for something else, or meddle with the engine.
fn meddling() -> impl Strategy<Value = Vec<(usize, usize)>> {
    prop::collection::vec((0..4_usize, 0..4_usize), 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn crashes_and_meddling_only_cost_time(crashes in crashes(), meddling in meddling()) {
        for start in all_combinations() {
            let mut model = start.clone();
            for crash in &crashes {
                if !model.forgotten {
                    model.advance(*crash);
                }
            }
            for (desired, seen) in &meddling {
                if model.forgotten || model.desired == Desired::Removed {
                    break;
                }
                model.desired = Desired::iter().nth(*desired).expect("a wish");
                model.advance(Crash::No);
                if !model.forgotten {
                    model.seen = Observed::iter().nth(*seen).expect("an answer");
                    model.advance(Crash::AfterStep);
                }
            }
            for _ in 0..12 {
                if model.forgotten {
                    break;
                }
                model.advance(Crash::No);
            }
            prop_assert!(model.is_as_desired(), "{:?} ended as {:?}", start, model);
        }
    }
}
