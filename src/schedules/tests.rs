use std::path::Path;

use super::*;
use crate::model::ids::RunId;
use crate::model::names::{FrameName, ProjectName, ScheduleName};
use crate::model::run::{Run, RunState};
use crate::model::schedule::{
    CatchUp, FrameWish, Overlap, ScheduleAction, ScheduleSource, ScheduleSpec, TickCause, TickOutcome,
};
use crate::model::secret::Secret;
use crate::store::runs::{self, RunChange};
use crate::store::schedules::Tick;
use crate::store::{OpenOptions, timers};

/// 2026-12-01 08:00 UTC, a Tuesday; 09:00 in Berlin.
const START: u64 = 1_796_112_000_000;
const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const OWNER: Principal = Principal::Owner { uid: 1000 };

struct World {
    store: Store,
    clock: Clock,
    schedules: Schedules,
    _folder: tempfile::TempDir,
}

fn name(text: &str) -> ScheduleName {
    ScheduleName::parse(text).expect("a name")
}

fn ask() -> ScheduleAction {
    let frame = FrameName::parse("blog").ok();
    ScheduleAction::Prompt { text: "what is new?".into(), frame, project: None, model: None }
}

fn spec(expression: &str) -> ScheduleSpec {
    ScheduleSpec::new(expression, "Europe/Berlin", ask())
}

fn open(folder: &Path, clock: &Clock) -> Store {
    let options = OpenOptions {
        path: folder.join("mimir.db"),
        key: Secret::new("ab".repeat(32)),
        backups: folder.join("backups"),
    };
    Store::open(options, clock.clone()).expect("a database")
}

impl World {
    fn new() -> Self {
        Self::configured(Vec::new())
    }

    fn configured(configured: Vec<ConfiguredSchedule>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Clock::manual(START);
        let store = open(folder.path(), &clock);
        let failpoints = Failpoints::default();
        let deps = SchedulesDeps { store: store.clone(), clock: clock.clone(), failpoints, configured };
        Self { schedules: Schedules::new(deps), store, clock, _folder: folder }
    }

    async fn add(&self, called: &str, spec: ScheduleSpec) {
        self.schedules.add(&OWNER, &name(called), spec, false).await.expect("added");
    }

    /// The clock is set to then, and what is due fires, as the timers do it.
    async fn at(&self, then: u64) {
        self.clock.advance_ms(then.wrapping_sub(self.clock.now_ms()));
        let now = self.clock.now_ms();
        let (due, _) = self.store.read(move |db| timers::due_and_next(db, now)).await.expect("timers");
        for timer in due.into_iter().filter(|timer| timer.kind == rows::TIMER) {
            let again = match self.schedules.tick(&timer.subject).await.expect("seen to") {
                Fired::Done => None,
                Fired::AgainAfter(pause) => Some(now + u64::try_from(pause.as_millis()).expect("short")),
            };
            self.store.write(move |tx| timers::settle(tx, &timer, again)).await.expect("settled");
        }
        self.schedules.look().await.expect("looked");
    }

    /// The oldest first.
    async fn ticks(&self, called: &str) -> Vec<Tick> {
        let mut ticks = self.schedules.history(&name(called), 100).await.expect("there");
        ticks.reverse();
        ticks
    }

    async fn outcomes(&self, called: &str) -> Vec<(u64, TickOutcome)> {
        self.ticks(called).await.iter().map(|tick| (tick.instant, tick.outcome)).collect()
    }

    async fn runs(&self) -> Vec<Run> {
        let mut runs = self.store.read(|db| runs::newest(db, 100)).await.expect("runs");
        runs.reverse();
        runs
    }

    /// The open run ends.
    async fn ends(&self, state: RunState) -> RunId {
        let change = move |tx: &mut Tx<'_>| {
            let run = runs::open(tx)?.pop().expect("one is open");
            let (stage, progress) = (run.stage.clone(), run.progress.clone());
            let change = RunChange {
                state,
                stage,
                attempt: 0,
                reason: None,
                progress,
                wake_at: None,
                keeps_place: false,
            };
            runs::change(tx, &run, &change)?;
            Ok::<_, StoreError>(run.id)
        };
        self.store.write(change).await.expect("ended")
    }

    async fn paused(&self, called: &str) -> Option<String> {
        self.schedules.show(&name(called)).await.expect("there").schedule.paused
    }

    async fn next(&self, called: &str) -> Vec<u64> {
        self.schedules.show(&name(called)).await.expect("there").next
    }
}

#[tokio::test]
async fn each_time_is_one_tick_with_one_run() {
    let world = World::new();
    world.add("news", spec("*/10 * * * *")).await;
    assert_eq!(world.next("news").await, [START + 10 * MINUTE, START + 20 * MINUTE, START + 30 * MINUTE]);
    world.at(START + 10 * MINUTE - 1).await;
    assert!(world.ticks("news").await.is_empty());
    for n in 1..=3 {
        world.at(START + n * 10 * MINUTE).await;
        world.at(START + n * 10 * MINUTE + 5).await;
        world.ends(RunState::Succeeded).await;
    }
    let ticks = world.ticks("news").await;
    let instants: Vec<u64> = ticks.iter().map(|tick| (tick.instant - START) / MINUTE).collect();
    assert_eq!(instants, [10, 20, 30]);
    let runs = world.runs().await;
    assert_eq!(runs.len(), 3);
    for (tick, run) in ticks.iter().zip(&runs) {
        assert_eq!((tick.outcome, tick.run.as_ref()), (TickOutcome::Run, Some(&run.id)));
        assert_eq!(tick.run_state, Some(RunState::Succeeded));
        assert_eq!((run.workflow.as_str(), run.key.as_str()), ("prompt", "schedule:news"));
        assert_eq!(run.origin_ref.as_deref(), Some("schedule:news"));
        assert_eq!(run.input.variables["text"], "what is new?");
        assert_eq!(run.input.frame.as_ref().map(FrameName::as_str), Some("blog"));
    }
}

#[cfg(feature = "test-support")]
#[tokio::test]
async fn a_time_around_which_the_gateway_dies_is_seen_to_once() {
    for point in ["schedules.before_tick", "schedules.after_tick"] {
        for nth in 1..=3 {
            let mut world = World::new();
            world.add("hourly", ScheduleSpec { overlap: Overlap::Replace, ..spec("0 * * * *") }).await;
            let mut points = world.schedules.inner.failpoints.clone();
            points.arm(point, nth);
            let mut deaths = 0;
            for hour in 1..=4 {
                let has_died = tokio::select! {
                    at = points.died() => at == point,
                    () = world.at(START + hour * HOUR) => false,
                };
                if has_died {
                    deaths += 1;
                    points = Failpoints::default();
                    let (store, clock) = (world.store.clone(), world.clock.clone());
                    let failpoints = points.clone();
                    world.schedules =
                        Schedules::new(SchedulesDeps { store, clock, failpoints, configured: Vec::new() });
                    world.at(START + hour * HOUR).await;
                }
            }
            assert_eq!(deaths, 1, "{point}, {nth}");
            let expected: Vec<_> = (1..=4).map(|hour| (START + hour * HOUR, TickOutcome::Run)).collect();
            assert_eq!(world.outcomes("hourly").await, expected, "{point}, {nth}");
            assert_eq!(world.runs().await.len(), 4, "{point}, {nth}");
        }
    }
}

#[tokio::test]
async fn however_long_nobody_was_there_it_is_made_up_for_once() {
    let world = World::new();
    world.add("once", spec("*/10 * * * *")).await;
    world.add("none", ScheduleSpec { catch_up: CatchUp::None, ..spec("*/10 * * * *") }).await;
    world.at(START + 26 * HOUR + 3 * MINUTE).await;
    let once = world.ticks("once").await;
    assert_eq!(once.len(), 1, "{once:?}");
    assert_eq!((once[0].cause, once[0].outcome), (TickCause::CatchUp, TickOutcome::Run));
    assert_eq!(world.outcomes("none").await, [(START + 10 * MINUTE, TickOutcome::Missed)]);
    for called in ["once", "none"] {
        assert_eq!(world.next(called).await[0], START + 26 * HOUR + 10 * MINUTE, "{called}");
    }
    world.at(START + 26 * HOUR + 3 * MINUTE).await;
    assert_eq!(world.runs().await.len(), 1);
    // A machine that was busy for two minutes is in time.
    world.ends(RunState::Succeeded).await;
    world.at(START + 26 * HOUR + 12 * MINUTE).await;
    let last = world.ticks("none").await.pop().expect("one");
    assert_eq!((last.cause, last.outcome), (TickCause::Time, TickOutcome::Run));
}

#[tokio::test]
async fn a_clock_that_is_set_back_repeats_nothing_and_a_wrong_one_is_not_waited_for() {
    let world = World::new();
    world.add("news", spec("0 * * * *")).await;
    world.at(START + HOUR).await;
    world.ends(RunState::Succeeded).await;
    // Two hours back: the next time stays where it is.
    for minutes in (0..120).map(|n| n * 10) {
        world.at(START - HOUR + minutes * MINUTE).await;
        if world.next("news").await[0] != START + 2 * HOUR {
            break;
        }
    }
    let ticks = world.outcomes("news").await;
    assert_eq!(ticks, [(START + HOUR, TickOutcome::Run), (START + 2 * HOUR, TickOutcome::Run)]);
    world.ends(RunState::Succeeded).await;
    // The clock was a month ahead for a while.
    world.at(START + 30 * DAY).await;
    world.ends(RunState::Succeeded).await;
    world.at(START + 3 * HOUR + 1).await;
    assert_eq!(world.next("news").await[0], START + 4 * HOUR);
    world.at(START + 4 * HOUR).await;
    let runs = world.ticks("news").await.iter().filter(|tick| tick.outcome == TickOutcome::Run).count();
    assert_eq!(runs, 4);
    // Its times come again after a month: they were seen to.
    world.ends(RunState::Succeeded).await;
    let far = world.ticks("news").await[2].instant;
    world.store.write(move |tx| rows::plan(tx, 1, Some((far, far)))).await.expect("set");
    world.at(far).await;
    assert_eq!(world.runs().await.len(), 4, "no second run for one time");
    assert!(world.next("news").await[0] > far);
}

#[tokio::test]
async fn while_the_last_run_goes_on_the_next_is_left_out_waits_or_takes_its_place() {
    let world = World::new();
    world.add("forbid", spec("0 * * * *")).await;
    world.at(START + HOUR).await;
    world.at(START + 2 * HOUR).await;
    let ticks = world.ticks("forbid").await;
    assert_eq!(ticks[1].outcome, TickOutcome::Skipped);
    assert_eq!(ticks[1].run, ticks[0].run, "it says what stood in the way");
    assert_eq!(
        ticks[1].reason,
        Some(format!("the run {} still goes on", ticks[0].run.as_ref().expect("a run")))
    );

    let world = World::new();
    world.add("queue", ScheduleSpec { overlap: Overlap::Queue, ..spec("0 * * * *") }).await;
    for n in 1..=3 {
        world.at(START + n * HOUR).await;
    }
    let outcomes: Vec<_> = world.outcomes("queue").await.into_iter().map(|(_, outcome)| outcome).collect();
    assert_eq!(outcomes, [TickOutcome::Run, TickOutcome::Waiting, TickOutcome::Skipped]);
    assert_eq!(world.schedules.look().await.expect("looked"), 1);
    let first = world.ends(RunState::Failed).await;
    assert_eq!(world.schedules.look().await.expect("looked"), 0);
    let ticks = world.ticks("queue").await;
    assert_eq!(ticks[1].outcome, TickOutcome::Run);
    assert_ne!(ticks[1].run, Some(first), "a run of its own");
    assert_eq!(world.runs().await.len(), 2);

    let world = World::new();
    world.add("replace", ScheduleSpec { overlap: Overlap::Replace, ..spec("0 * * * *") }).await;
    world.at(START + HOUR).await;
    world.at(START + 2 * HOUR).await;
    let states: Vec<_> = world.runs().await.iter().map(|run| run.state).collect();
    assert_eq!(states, [RunState::Superseded, RunState::Queued]);
}

#[tokio::test]
async fn runs_that_fail_or_cost_too_much_pause_it_until_somebody_looks() {
    let world = World::new();
    world.add("fails", ScheduleSpec { pause_after_failures: Some(2), ..spec("0 * * * *") }).await;
    let ends =
        [RunState::Failed, RunState::Succeeded, RunState::Failed, RunState::Cancelled, RunState::Failed];
    for (n, end) in (1..).zip(ends) {
        world.at(START + n * HOUR).await;
        world.ends(end).await;
        assert_eq!(world.paused("fails").await, None, "{n}");
    }
    world.at(START + 6 * HOUR).await;
    assert_eq!(world.paused("fails").await.as_deref(), Some("its last 2 runs failed"));
    assert_eq!(world.ticks("fails").await.pop().expect("one").outcome, TickOutcome::Skipped);
    assert!(world.next("fails").await.is_empty());
    world.at(START + 9 * HOUR).await;
    assert_eq!(world.runs().await.len(), 5, "nothing happens");
    let told = world.store.read(|db| {
        use crate::store::Queryable as _;
        db.rows("SELECT data FROM events WHERE kind = 'schedule.paused'", (), |row| {
            Ok(row.get::<_, String>(0)?)
        })
    });
    let told = told.await.expect("events");
    assert_eq!(told, [r#"{"reason":"its last 2 runs failed","schedule":"fails"}"#]);
    world.schedules.resume(&OWNER, &name("fails")).await.expect("resumed");
    world.at(START + 10 * HOUR).await;
    world.ends(RunState::Failed).await;
    world.at(START + 11 * HOUR).await;
    assert_eq!(world.paused("fails").await, None, "failures of before do not count");

    let world = World::new();
    world.add("costs", ScheduleSpec { pause_at_microusd: Some(1_000_000), ..spec("0 * * * *") }).await;
    for n in 1..=2 {
        world.at(START + n * HOUR).await;
        let run = world.ends(RunState::Succeeded).await;
        let spent = move |tx: &mut Tx<'_>| {
            tx.change(
                "INSERT INTO usage (at, frame_id, provider, model, input_tokens, output_tokens, reasoning_tokens,
                    cache_read_tokens, cache_write_tokens, cost_microusd, priced, status, run_id)
                 VALUES (?1, 'frm_x', 'demo', 'demo', 1, 1, 0, 0, 0, 600000, 1, 200, ?2)",
                (i64::try_from(START + n * HOUR).expect("fits"), run),
            )
        };
        world.store.write(spent).await.expect("noted");
    }
    world.at(START + 3 * HOUR).await;
    assert_eq!(world.paused("costs").await.as_deref(), Some("its runs cost $1.20 within 24 hours"));
    assert_eq!(world.ticks("costs").await[1].cost_microusd, 600_000);
}

#[tokio::test]
async fn what_was_spent_is_known_however_often_nothing_was_done_since() {
    let world = World::new();
    world.add("costs", spec("0 * * * *")).await;
    world.at(START + HOUR).await;
    world.ends(RunState::Succeeded).await;
    let id = world.schedules.show(&name("costs")).await.expect("there").schedule.id;
    let skipped = move |tx: &mut Tx<'_>| {
        (1..=1_200).try_for_each(|n| {
            let (instant, cause, outcome) = (START + HOUR + n, TickCause::Time, TickOutcome::Skipped);
            rows::note(tx, &rows::NewTick { schedule: id, instant, cause, outcome, reason: None, run: None })
                .map(drop)
        })
    };
    world.store.write(skipped).await.expect("noted");
    let began = move |db: &crate::store::Db<'_>| rows::is_noted(db, id, START + HOUR);
    assert!(world.store.read(began).await.expect("read"), "the one that began a run is kept");
    let skipped = move |db: &crate::store::Db<'_>| rows::is_noted(db, id, START + HOUR + 1);
    assert!(!world.store.read(skipped).await.expect("read"), "and the oldest of the others is not");
}

#[tokio::test]
async fn a_delay_makes_it_later_and_nothing_else() {
    let world = World::new();
    world.add("late", ScheduleSpec { jitter_seconds: 1800, ..spec("0 * * * *") }).await;
    for minute in 0..(6 * 60) {
        world.at(START + minute * MINUTE).await;
        if !world.runs().await.iter().all(|run| run.state.is_end()) {
            world.ends(RunState::Succeeded).await;
        }
    }
    let ticks = world.ticks("late").await;
    let instants: Vec<u64> = ticks.iter().map(|tick| tick.instant).collect();
    assert_eq!(instants, (1..=5).map(|n| START + n * HOUR).collect::<Vec<_>>());
    assert!(ticks.iter().all(|tick| tick.seen_at - tick.instant <= 31 * MINUTE), "{ticks:?}");
    assert!(ticks.iter().any(|tick| tick.seen_at - tick.instant > MINUTE), "{ticks:?}");
}

fn configured(called: &str, expression: &str, is_enabled: bool) -> ConfiguredSchedule {
    ConfiguredSchedule { name: name(called), spec: spec(expression), is_enabled }
}

#[tokio::test]
async fn those_of_the_configuration_follow_the_file() {
    let world = World::new();
    world.add("mine", spec("@daily")).await;
    let file = [
        configured("a", "0 * * * *", true),
        configured("b", "@daily", false),
        configured("mine", "@hourly", true),
    ];
    world.schedules.take_over(&file).await.expect("taken over");
    let list = |shown: Vec<Shown>| -> Vec<(String, ScheduleSource, bool)> {
        shown
            .into_iter()
            .map(|it| (it.schedule.name.to_string(), it.schedule.source, it.schedule.paused.is_some()))
            .collect()
    };
    let (person, file_s) = (ScheduleSource::Person, ScheduleSource::Configuration);
    let all = list(world.schedules.list().await.expect("a list"));
    assert_eq!(
        all,
        [("a".into(), file_s, false), ("b".into(), file_s, true), ("mine".into(), person, false)]
    );
    assert_eq!(world.schedules.show(&name("mine")).await.expect("there").schedule.spec.expression, "@daily");
    // Read again after its time: what did not change is made up for.
    world.clock.advance_ms(5 * HOUR);
    world.schedules.take_over(&file).await.expect("taken over");
    world.at(world.clock.now_ms()).await;
    assert_eq!(world.ticks("a").await.len(), 1);
    // Also when something else of it was changed meanwhile.
    let mut dearer = file.clone();
    dearer[0].spec.budget_microusd = Some(7_000_000);
    world.clock.advance_ms(5 * HOUR);
    world.schedules.take_over(&dearer).await.expect("taken over");
    world.at(world.clock.now_ms()).await;
    assert_eq!(world.ticks("a").await.len(), 2);
    // They are changed in the file alone, and can be paused.
    let change = ScheduleChange { expression: Some("@weekly".into()), ..ScheduleChange::default() };
    let edited = world.schedules.edit(&OWNER, &name("a"), change).await;
    assert!(matches!(edited, Err(ScheduleError::Configured(_))), "{edited:?}");
    let removed = world.schedules.remove(&OWNER, &name("a")).await;
    assert!(matches!(removed, Err(ScheduleError::Configured(_))), "{removed:?}");
    world.schedules.pause(&OWNER, &name("a"), Some("holidays".into())).await.expect("paused");
    let file = [configured("a", "30 * * * *", true), configured("b", "@daily", true)];
    world.schedules.take_over(&file).await.expect("taken over");
    assert_eq!(world.paused("a").await.as_deref(), Some("by owner:1000: holidays"), "somebody's pause stays");
    assert_eq!(world.paused("b").await, None);
    world.schedules.resume(&OWNER, &name("a")).await.expect("resumed");
    assert_eq!(world.next("a").await[0], START + 10 * HOUR + 30 * MINUTE);
    world.schedules.take_over(&[]).await.expect("taken over");
    assert_eq!(list(world.schedules.list().await.expect("a list")), [("mine".into(), person, false)]);
    let timer = world.store.read(|db| timers::find(db, rows::TIMER, "2")).await.expect("read");
    assert_eq!(timer, None, "what is gone does not fire");
}

#[tokio::test]
async fn people_change_pause_and_run_schedules() {
    let world = World::new();
    world.add("news", ScheduleSpec { gate: Some("test -e x".into()), ..spec("0 * * * *") }).await;
    let twice = world.schedules.add(&OWNER, &name("news"), spec("@daily"), false).await;
    assert!(matches!(twice, Err(ScheduleError::Store(StoreError::Taken { .. }))), "{twice:?}");
    let token = Principal::Token { name: "ci".into() };
    let gated = ScheduleSpec { gate: Some("true".into()), ..spec("@daily") };
    let refused = world.schedules.add(&token, &name("other"), gated, false).await;
    assert!(matches!(refused, Err(ScheduleError::OwnerOnly)), "{refused:?}");
    let gate = ScheduleChange { gate: Some(Some("true".into())), ..ScheduleChange::default() };
    let refused = world.schedules.edit(&token, &name("news"), gate).await;
    assert!(matches!(refused, Err(ScheduleError::OwnerOnly)), "{refused:?}");
    let bad = ScheduleChange { expression: Some("0 0 30 2 *".into()), ..ScheduleChange::default() };
    let refused = world.schedules.edit(&OWNER, &name("news"), bad).await;
    assert!(matches!(refused, Err(ScheduleError::Invalid(_))), "{refused:?}");

    let made = world.schedules.run_now(&OWNER, &name("news")).await.expect("made");
    assert_eq!((made.cause, made.outcome, made.instant), (TickCause::Person, TickOutcome::Run, START));
    assert_eq!(world.runs().await[0].input.variables["gate"], "test -e x");
    let again = world.schedules.run_now(&OWNER, &name("news")).await;
    assert!(matches!(again, Err(ScheduleError::StillRuns { .. })), "{again:?}");

    let change = ScheduleChange {
        expression: Some("0  12 * * *".into()),
        gate: Some(None),
        overlap: Some(Overlap::Queue),
        ..ScheduleChange::default()
    };
    let shown = world.schedules.edit(&token, &name("news"), change).await.expect("changed");
    assert_eq!((shown.schedule.spec.expression.as_str(), shown.schedule.spec.gate), ("0 12 * * *", None));
    assert_eq!(shown.next[0], START + 3 * HOUR);
    world.schedules.pause(&OWNER, &name("news"), None).await.expect("paused");
    world.at(START + DAY).await;
    assert_eq!(world.ticks("news").await.len(), 1);
    world.schedules.remove(&OWNER, &name("news")).await.expect("removed");
    let gone = world.schedules.show(&name("news")).await;
    assert!(matches!(gone, Err(ScheduleError::NotFound(_))));
    assert_eq!(world.runs().await.len(), 1, "its runs stay");
}

#[tokio::test]
async fn each_action_is_a_workflow_with_what_it_needs() {
    let world = World::new();
    let project = ProjectName::parse("shop").expect("a name");
    let actions = [
        ScheduleAction::Frame { wish: FrameWish::Restart, frame: FrameName::parse("blog").expect("a name") },
        ScheduleAction::Review { project: project.clone() },
        ScheduleAction::Workflow {
            workflow: "mine".into(),
            project: Some(project.clone()),
            variables: [("depth".to_owned(), "3".to_owned())].into(),
        },
    ];
    for (called, action) in ["frame", "review", "flow"].into_iter().zip(actions) {
        let spec = ScheduleSpec { budget_microusd: Some(7), ..ScheduleSpec::new("@daily", "UTC", action) };
        world.add(called, spec).await;
        world.schedules.run_now(&OWNER, &name(called)).await.expect("made");
    }
    let runs = world.runs().await;
    let of = |key: &str| runs.iter().find(|run| run.key == key).expect("made");
    let (frame, review, flow) = (of("schedule:frame"), of("schedule:review"), of("schedule:flow"));
    assert_eq!((frame.workflow.as_str(), frame.input.variables["action"].as_str()), ("frame", "restart"));
    assert_eq!((review.workflow.as_str(), review.project.as_ref()), ("review", Some(&project)));
    assert_eq!((flow.workflow.as_str(), flow.input.variables["depth"].as_str()), ("mine", "3"));
    assert!(runs.iter().all(|run| run.budget_microusd == Some(7)));
}

#[tokio::test]
async fn one_that_cannot_be_read_any_more_is_paused_and_says_why() {
    let world = World::new();
    world.add("news", spec("0 * * * *")).await;
    let lost = ScheduleSpec { zone: "Mars/Olympus".into(), ..spec("0 * * * *") };
    world.store.write(move |tx| rows::set_spec(tx, 1, &lost)).await.expect("changed");
    world.at(START + HOUR).await;
    let why = world.paused("news").await.expect("paused");
    assert!(why.contains("Mars/Olympus"), "{why}");
    assert!(world.runs().await.is_empty());
}

/// The loop itself: a run that ends lets the one go that waits for it.
#[tokio::test]
async fn what_waits_begins_when_the_last_run_ends() {
    let world = World::configured(vec![configured("file", "@daily", true)]);
    world.add("queue", ScheduleSpec { overlap: Overlap::Queue, ..spec("0 * * * *") }).await;
    let tasks = crate::supervisor::Tasks::default();
    tasks.run(&world.schedules);
    let tick = |then: u64| {
        let (clock, schedules) = (&world.clock, &world.schedules);
        async move {
            clock.advance_ms(then - clock.now_ms());
            schedules.tick("1").await.expect("seen to")
        }
    };
    tick(START + HOUR).await;
    tick(START + 2 * HOUR).await;
    assert_eq!(world.ticks("queue").await[1].outcome, TickOutcome::Waiting);
    world.ends(RunState::Succeeded).await;
    let until = std::time::Instant::now() + Duration::from_secs(20);
    while world.ticks("queue").await[1].outcome != TickOutcome::Run {
        assert!(std::time::Instant::now() < until, "{:?}", world.ticks("queue").await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(world.schedules.show(&name("file")).await.is_ok(), "the configuration's are there");
    assert!(tasks.stop(Duration::from_secs(20)).await);
}
