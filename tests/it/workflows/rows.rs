//! Rows of runs: joined, changed by compare and set, woken, ended for good.

use mimir::clock::Clock;
use mimir::model::event::EventKind;
use mimir::model::ids::RunId;
use mimir::model::origin::Origin;
use mimir::model::run::{NewRun, Run, RunHold, RunInput, RunPlace, RunProgress, RunState};
use mimir::store::runs::{self, Enqueued, RunChange};
use mimir::store::{Store, StoreError, Tx, events, timers};

use crate::machine::Machine;

struct Rows {
    store: Store,
    _machine: Machine,
}

fn id(number: u128) -> RunId {
    RunId::from_parts(1, number)
}

fn wanted(key: &str, priority: i64) -> NewRun {
    NewRun {
        workflow: "fix".to_owned(),
        key: key.to_owned(),
        origin: Origin::Webhook,
        origin_ref: Some("delivery".to_owned()),
        project: None,
        title: format!("about {key}"),
        input: RunInput { commit: Some("abc".to_owned()), ..RunInput::default() },
        priority,
        budget_microusd: None,
        not_before: None,
    }
}

impl Rows {
    fn new() -> Self {
        let machine = Machine::new();
        Self { store: machine.open_store(), _machine: machine }
    }

    async fn write<T, F>(&self, change: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.store.write(change).await
    }

    async fn enqueue(&self, number: u128, key: &str, priority: i64) -> Enqueued {
        let new = wanted(key, priority);
        self.write(move |tx| runs::enqueue(tx, id(number), &new)).await.expect("made")
    }

    async fn run(&self, number: u128) -> Run {
        self.store.read(move |db| runs::get(db, &id(number))).await.expect("there")
    }

    async fn to(&self, run: &Run, state: RunState, wake_at: Option<u64>) -> Result<Run, StoreError> {
        let (run, change) = (run.clone(), change(run, state, wake_at));
        self.write(move |tx| runs::change(tx, &run, &change)).await
    }

    async fn timer(&self, number: u128) -> Option<u64> {
        let timer = self.store.read(move |db| timers::find(db, runs::TIMER, id(number).as_str())).await;
        timer.expect("read").map(|timer| timer.due_at)
    }

    /// The states that people were told of.
    async fn moves(&self) -> Vec<RunState> {
        let told =
            self.store.read(|db| events::after(db, 0, &Default::default(), 100)).await.expect("events");
        let moves = told.iter().filter_map(|event| match &event.what {
            EventKind::RunMoved { to, .. } => Some(*to),
            _ => None,
        });
        moves.collect()
    }

    async fn takes(&self, number: u128, most: u32) -> bool {
        self.write(move |tx| runs::take_place(tx, &id(number), most)).await.expect("asked")
    }
}

fn change(run: &Run, state: RunState, wake_at: Option<u64>) -> RunChange {
    RunChange {
        state,
        stage: run.stage.clone(),
        attempt: 0,
        reason: Some("so".to_owned()),
        progress: run.progress.clone(),
        wake_at,
        keeps_place: false,
    }
}

#[tokio::test]
async fn the_same_wish_joins_the_run_that_is_open() {
    let rows = Rows::new();
    let Enqueued::New(made) = rows.enqueue(1, "sentry:acme/7", 0).await else { panic!("it is the first") };
    assert_eq!((made.state, made.version, made.input.commit.as_deref()), (RunState::Queued, 0, Some("abc")));
    assert_eq!(rows.timer(1).await, Some(made.not_before), "it is looked at");
    assert_eq!(rows.enqueue(2, "sentry:acme/7", 0).await, Enqueued::Joined(id(1)));
    let told = rows.store.read(|db| runs::timeline(db, &id(1))).await.expect("read");
    assert_eq!(told.last().map(|entry| entry.text.as_str()), Some("the same again: about sentry:acme/7"));

    rows.to(&made, RunState::Succeeded, None).await.expect("ended");
    assert_eq!(rows.enqueue(3, "sentry:acme/7", 0).await.id(), &id(3), "after the end there is a new one");
    let all = rows.store.read(|db| runs::of_key(db, "sentry:acme/7", 10)).await.expect("read");
    assert_eq!(all.len(), 2);
    let of_origin = rows.store.read(|db| runs::of_origin(db, "delivery", 10)).await.expect("read");
    assert_eq!(of_origin.len(), 2);
}

#[tokio::test]
async fn a_change_is_refused_to_whoever_saw_an_older_row() {
    let rows = Rows::new();
    rows.enqueue(1, "a", 0).await;
    let seen = rows.run(1).await;
    let now = rows.to(&seen, RunState::Running, Some(5)).await.expect("changed");
    assert_eq!((now.version, now.started_at.is_some(), rows.timer(1).await), (1, true, Some(5)));
    assert!(matches!(rows.to(&seen, RunState::Failed, None).await, Err(StoreError::Conflict { .. })));
    assert_eq!(rows.moves().await, [RunState::Queued, RunState::Running], "each move is told once");
}

#[tokio::test]
async fn what_a_run_is_held_for_is_told_each_time_that_it_is_something_else() {
    let rows = Rows::new();
    rows.enqueue(1, "a", 0).await;
    for subject in ["aa@main", "aa@main", "bb@main", "bb@main"] {
        let run = rows.run(1).await;
        let held = Some(RunHold { gate: "merge".to_owned(), subject: subject.to_owned() });
        let asks = change(&run, RunState::Held, None);
        let asks = RunChange { progress: RunProgress { held, ..run.progress.clone() }, ..asks };
        rows.write(move |tx| runs::change(tx, &run, &asks)).await.expect("held");
    }
    assert_eq!(rows.moves().await, [RunState::Queued, RunState::Held, RunState::Held]);
}

#[tokio::test]
async fn an_end_is_an_end() {
    let rows = Rows::new();
    rows.enqueue(1, "a", 0).await;
    let seen = rows.run(1).await;
    let ended = rows.to(&seen, RunState::Failed, Some(9)).await.expect("ended");
    assert!(ended.ended_at.is_some());
    assert_eq!(rows.timer(1).await, None, "nobody looks at it again");
    for state in [RunState::Running, RunState::Succeeded, RunState::Failed] {
        assert!(rows.to(&ended, state, None).await.is_err(), "{state}");
    }
    let by_hand = rows.write(|tx| tx.change("UPDATE runs SET state = 'running'", ())).await;
    assert!(by_hand.is_err(), "the database itself refuses it");
    for subject in [id(1).to_string(), format!("{}/again", id(1))] {
        let timer = rows.store.read(move |db| timers::find(db, runs::CLEAN_UP, &subject)).await;
        assert!(timer.expect("read").is_some(), "what is left of it goes");
    }
}

#[tokio::test]
async fn what_is_told_while_a_stage_works_is_looked_at_after_it() {
    let rows = Rows::new();
    rows.enqueue(1, "a", 0).await;
    rows.enqueue(2, "b", 0).await;
    let tell = |tx: &mut Tx<'_>| {
        runs::name(tx, &id(1), "pull:host/o/n#7")?;
        runs::name(tx, &id(1), "pull:host/o/n#7")
    };
    rows.write(tell).await.expect("named, twice");
    let look = |tx: &mut Tx<'_>| runs::look(tx, &id(1)).map(|(run, _)| run);
    let run = rows.write(look).await.expect("looked");
    let run = rows.to(&run, RunState::Running, Some(u64::MAX >> 1)).await.expect("at work");
    let wake = |tx: &mut Tx<'_>| runs::wake_named(tx, "pull:host/o/n#7", "a review came");
    assert_eq!(rows.write(wake).await.expect("told"), [id(1)]);
    // The stage that works knows nothing of it, and waits for a long time.
    let run = rows.to(&run, RunState::Waiting, Some(u64::MAX >> 1)).await.expect("waits");
    let due = rows.timer(1).await.expect("a timer");
    assert!(due <= Clock::system().now_ms() + 1000, "at once, not at {due}");
    let looked = rows.write(look).await.expect("looked");
    assert!(
        looked.not_before <= Clock::system().now_ms(),
        "the pass, and the one after a crash, look at once"
    );
    assert_eq!(rows.write(look).await.expect("looked"), looked);
    let told = rows.store.read(|db| runs::timeline(db, &id(1))).await.expect("read");
    assert!(told.iter().any(|entry| entry.kind == "delivery" && entry.text == "a review came"));

    rows.to(&run, RunState::Superseded, None).await.expect("ended");
    assert!(rows.write(wake).await.expect("told").is_empty(), "who ended is not woken");
}

#[tokio::test]
async fn places_go_to_the_most_urgent_and_a_workflow_has_no_more_than_it_may() {
    let rows = Rows::new();
    for (number, key, priority) in [(1, "a", 0), (2, "b", 0), (3, "c", 5), (4, "d", 0)] {
        rows.enqueue(number, key, priority).await;
        let parallel = if number == 4 { 9 } else { 2 };
        rows.write(move |tx| {
            runs::adopt(tx, &id(number), "{}", parallel)?;
            if number == 4 {
                tx.change("UPDATE runs SET workflow = 'other' WHERE run_key = 'd'", ())?;
            }
            Ok(())
        })
        .await
        .expect("adopted");
    }
    assert!(rows.takes(1, 3).await && rows.takes(1, 3).await, "who has one keeps it");
    assert!(rows.takes(2, 3).await);
    assert!(!rows.takes(3, 3).await, "two of its workflow are at work");
    assert!(rows.takes(4, 3).await, "another workflow is not kept waiting by it");
    let line = rows.store.read(|db| runs::in_line(db)).await.expect("read");
    assert_eq!(line, [id(3)]);
    let first = rows.run(1).await;
    rows.to(&first, RunState::Waiting, Some(1)).await.expect("leaves");
    assert!(!rows.takes(1, 3).await, "the urgent one is before it");
    assert!(rows.takes(3, 3).await);
    let place = rows.store.read(|db| runs::place(db, &id(1))).await.expect("read");
    assert_eq!(place, Some(RunPlace::Wanted));
    assert!(rows.write(|tx| runs::adopt(tx, &id(1), "{}", 1)).await.is_err(), "a run follows one workflow");
}
