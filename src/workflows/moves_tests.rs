//! Whatever happens to runs, in whatever order: an end never changes, a key has one open run, no run that is open is
//! without a timer unless it is held, and no more are at work than may be.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::begin::{self, Begun, Found};
use super::definition::{Caps, StageDefinition, Workflow};
use super::settle::{self, Moment};
use super::stage::{Outcome, StageError};
use crate::clock::Clock;
use crate::model::ids::RunId;
use crate::model::origin::Origin;
use crate::model::run::{NewRun, Run, RunInput, RunState};
use crate::model::secret::Secret;
use crate::store::runs::{self, RunChange, RunFilter};
use crate::store::{OpenOptions, Store, StoreError, Tx, timers};

/// The stages: one that works, one that looks, one that works.
const KINDS: [&str; 3] = ["command", "gate", "command"];
const MOST: u32 = 2;

/// What happens.
#[derive(Clone, Debug)]
enum Act {
    /// Somebody wants a run of that key.
    Wish(u8),
    /// A pass looks at that run, and its stage ends so.
    Pass(u8, How),
    /// The gateway dies behind the beginning of a stage.
    Die(u8),
    /// Somebody told of something.
    Wake(u8),
    /// A person's word.
    Approve(u8),
    Cancel(u8),
    /// Time goes by.
    Later(u32),
}

#[derive(Clone, Debug)]
enum How {
    Done,
    Wait(u32),
    Hold,
    End(RunState),
    Agent,
    Infrastructure,
    RateLimited(u32),
    Auth,
    UsedUp,
}

fn how() -> impl Strategy<Value = How> {
    prop_oneof![
        6 => Just(How::Done),
        2 => (0..100_000_u32).prop_map(How::Wait),
        2 => Just(How::Hold),
        1 => prop_oneof![
            Just(RunState::Succeeded),
            Just(RunState::Superseded),
            Just(RunState::Failed),
            // A stage that is wrong.
            Just(RunState::Running)
        ]
        .prop_map(How::End),
        2 => Just(How::Agent),
        2 => Just(How::Infrastructure),
        1 => (0..100_000_u32).prop_map(How::RateLimited),
        1 => Just(How::Auth),
        1 => Just(How::UsedUp),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => (0..5_u8).prop_map(Act::Wish),
        8 => ((0..8_u8), how()).prop_map(|(run, how)| Act::Pass(run, how)),
        1 => (0..8_u8).prop_map(Act::Die),
        1 => (0..8_u8).prop_map(Act::Wake),
        2 => (0..8_u8).prop_map(Act::Approve),
        1 => (0..8_u8).prop_map(Act::Cancel),
        2 => (1..120_000_u32).prop_map(Act::Later),
    ]
}

fn workflow() -> Arc<Workflow> {
    let stage = |(at, kind): (usize, &&str)| {
        let settings = match *kind {
            "command" => serde_json::json!({ "argv": ["true"] }),
            _ => serde_json::json!({}),
        };
        let settings = settings.as_object().cloned().unwrap_or_default();
        StageDefinition { name: format!("stage{at}"), kind: (*kind).to_owned(), settings }
    };
    Arc::new(Workflow {
        name: "w".to_owned(),
        description: String::new(),
        inputs: BTreeMap::new(),
        stages: KINDS.iter().enumerate().map(stage).collect(),
        caps: Caps::default(),
    })
}

struct World {
    store: Store,
    clock: Clock,
    workflow: Arc<Workflow>,
    made: u64,
    ended: BTreeMap<RunId, Run>,
}

impl World {
    async fn write<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> T {
        self.store.write(change).await.expect("written")
    }

    async fn all(&self) -> Vec<Run> {
        let list = |db: &crate::store::Db<'_>| runs::list(db, &RunFilter::default(), 1000);
        self.store.read(list).await.expect("runs")
    }

    /// The run that a number means now.
    async fn pick(&self, which: u8) -> Option<Run> {
        let all = self.all().await;
        (!all.is_empty()).then(|| all[usize::from(which) % all.len()].clone())
    }

    async fn act(&mut self, act: Act) {
        match act {
            Act::Later(by) => self.clock.advance_ms(u64::from(by)),
            Act::Wish(key) => {
                self.made += 1;
                let id = RunId::from_parts(self.clock.now_ms(), u128::from(self.made));
                let new = NewRun {
                    workflow: "w".to_owned(),
                    key: format!("key {key}"),
                    origin: Origin::Schedule,
                    origin_ref: None,
                    project: None,
                    title: "t".to_owned(),
                    input: RunInput::default(),
                    priority: i64::from(key % 3),
                    budget_microusd: None,
                    not_before: None,
                };
                self.write(move |tx| runs::enqueue(tx, id, &new)).await;
            }
            Act::Pass(which, how) => self.pass(which, Some(how)).await,
            Act::Die(which) => self.pass(which, None).await,
            Act::Wake(which) => {
                let Some(run) = self.pick(which).await else { return };
                let tell = move |tx: &mut Tx<'_>| {
                    runs::name(tx, &run.id, run.id.as_str())?;
                    runs::wake_named(tx, run.id.as_str(), "news")
                };
                self.write(tell).await;
            }
            Act::Approve(which) => {
                let Some(run) = self.pick(which).await else { return };
                let Some(held) = run.progress.held.clone() else { return };
                let mut progress = run.progress.clone();
                progress.held = None;
                progress.approved.insert(held.gate, held.subject);
                self.change(run, RunState::Waiting, progress, true).await;
            }
            Act::Cancel(which) => {
                let Some(run) = self.pick(which).await else { return };
                let progress = run.progress.clone();
                self.change(run, RunState::Cancelled, progress, false).await;
            }
        }
    }

    /// A change by somebody outside of the passes; of an ended run it is refused.
    async fn change(
        &self,
        run: Run,
        state: RunState,
        progress: crate::model::run::RunProgress,
        at_once: bool,
    ) {
        let is_over = run.state.is_end();
        let changed = self.store.write(move |tx| {
            let change = RunChange {
                state,
                stage: run.stage.clone(),
                attempt: 0,
                reason: None,
                progress,
                wake_at: at_once.then(|| tx.now_ms()),
                keeps_place: false,
            };
            runs::change(tx, &run, &change)
        });
        assert_eq!(changed.await.is_err(), is_over, "an end never changes");
    }

    async fn pass(&self, which: u8, how: Option<How>) {
        let Some(run) = self.pick(which).await else { return };
        let (id, workflow) = (run.id.clone(), self.workflow.clone());
        let begun = self.write(move |tx| {
            let (run, woken) = runs::look(tx, &id)?;
            let is_new = runs::definition(tx, &id)?.is_none();
            begin::begin(tx, run, woken, &Found::Workflow(workflow), is_new, MOST)
        });
        let (Begun::Perform(run, _), Some(how)) = (begun.await, how) else { return };
        let now = self.clock.now_ms();
        let used_up = matches!(how, How::UsedUp).then(|| "nothing is left".to_owned());
        let result = match how {
            How::Done => Ok(Outcome::Done),
            How::Wait(by) => Ok(Outcome::Wait { until: now + u64::from(by), why: "a look".to_owned() }),
            How::Hold => {
                Ok(Outcome::Hold { gate: "g".to_owned(), subject: String::new(), why: "yes?".to_owned() })
            }
            How::End(state) => Ok(Outcome::End { state, reason: "so".to_owned() }),
            How::Agent => Err(StageError::Agent("no".to_owned())),
            How::Infrastructure => Err(StageError::Infrastructure("no".to_owned())),
            How::RateLimited(by) => {
                Err(StageError::RateLimited { until: now + u64::from(by), why: "slowly".to_owned() })
            }
            How::Auth => Err(StageError::Auth("no".to_owned())),
            How::UsedUp => Err(StageError::Agent("no".to_owned())),
        };
        let moment = Moment { now, chance: 0.5, worked_ms: 10, used_up };
        let settled = settle::settle(&run, &self.workflow, result, &moment);
        self.write(move |tx| runs::change(tx, &run, &settled.change)).await;
    }

    async fn check(&mut self) {
        let all = self.all().await;
        let mut open = BTreeMap::new();
        let mut at_work = 0;
        for run in &all {
            let (id, state) = (run.id.clone(), run.state);
            let (timer, place) = self
                .store
                .read(move |db| {
                    let timer = timers::find(db, runs::TIMER, id.as_str())?;
                    Ok((timer, runs::place(db, &id)?))
                })
                .await
                .expect("read");
            if state.is_end() {
                assert!(timer.is_none() && place.is_none(), "{run:?}");
                assert_eq!(self.ended.entry(run.id.clone()).or_insert_with(|| run.clone()), run);
                continue;
            }
            assert!(!self.ended.contains_key(&run.id), "{run:?} has ended before");
            assert_eq!(open.insert(run.key.clone(), run.id.clone()), None, "{} is open twice", run.key);
            assert!(timer.is_some() || state == RunState::Held, "nobody looks at {run:?} again");
            assert!(run.attempt <= settle::MOST_ATTEMPTS, "{run:?}");
            let has_place = place == Some(crate::model::run::RunPlace::Taken);
            assert!(!has_place || state == RunState::Running, "{run:?} rests in its place");
            at_work += u32::from(has_place);
        }
        assert!(at_work <= MOST, "{at_work} are at work");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_runs_are_never_lost_and_never_come_back(acts in prop::collection::vec(act(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let folder = tempfile::tempdir().expect("a folder");
        let options = OpenOptions {
            path: folder.path().join("mimir.db"),
            key: Secret::new("ab".repeat(32)),
            backups: folder.path().join("backups"),
        };
        let clock = Clock::manual(1_000_000);
        let store = Store::open(options, clock.clone()).expect("a database");
        let mut world = World { store, clock, workflow: workflow(), made: 0, ended: BTreeMap::new() };
        runtime.block_on(async {
            for act in acts {
                world.act(act).await;
                world.check().await;
            }
        });
    }
}
