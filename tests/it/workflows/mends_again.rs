//! What comes in between while a fix is made: no money, a gateway that dies in the proof, a person who pushes to the branch
//! or says no.

use std::time::Duration;

use mimir::model::git::PushState;
use mimir::model::run::RunState;
use mimir::workflows::fix::{self, Instructions, Resumed};
use mimir::workflows::stage::{Outcome, StageError};

use super::mends_world::{AgentClone, World, wanted};
use super::world::OWNER;
use crate::agent::scripted::Play;
use crate::pulls::world::{read, stage};

const PAUSED: &str = "mimir: spending is paused; `mimir resume --all` lets it go on";
const NO_PRICE: &str = "mimir: no price is known for p/m, and the budget of all needs one";

/// One try of the analysis.
async fn analyse(world: &World) -> Result<Outcome, StageError> {
    let deps = world.deps();
    fix::analyse(&read(&stage("analyse", serde_json::json!({}))), &mut world.row().await, &deps).await
}

/// The run is brought to that stage.
async fn to_stage(world: &World, name: &str) {
    for _ in 0..20 {
        if world.get().await.stage == name {
            return;
        }
        let _ = world.pass().await;
    }
    panic!("it does not come to {name}: {:#?}", world.get().await);
}

/// Passes until the gateway dies there; another one goes on.
async fn dies(world: &mut World, at: &'static str) {
    let points = world.failpoints();
    points.arm(at, 1);
    tokio::select! {
        ended = world.pass() => panic!("it does not die at {at}: {ended:?}"),
        died = points.died() => assert_eq!(died, at),
    }
    world.restart(at).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_question_that_nobody_pays_for_waits_and_is_no_try_of_the_agent() {
    let world = World::new().await;
    world.agent.plays_first(
        [PAUSED, PAUSED, PAUSED, PAUSED, "upstream is away"].map(|why| Play::RefusedFor(why.into())),
    );
    for time in 1..=4 {
        match analyse(&world).await {
            Err(StageError::RateLimited { why, .. }) => {
                assert!(why.starts_with("spending is paused"), "{why}")
            }
            other => panic!("time {time}: {other:?}"),
        }
    }
    let failed = analyse(&world).await;
    assert!(matches!(&failed, Err(StageError::Agent(why)) if why.contains("upstream is away")), "{failed:?}");
    assert_eq!(analyse(&world).await, Ok(Outcome::Done));
    assert!(world.get().await.progress.report.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_price_that_nobody_knows_is_not_waited_for() {
    let world = World::new().await;
    world.agent.plays_first([Play::RefusedFor(NO_PRICE.into())]);
    let failed = analyse(&world).await;
    assert!(
        matches!(&failed, Err(StageError::Permanent(why)) if why.contains("no price is known")),
        "{failed:?}"
    );
}

/// Does it again and again until the analysis is over; says how that ended.
async fn analyse_beside(world: &World, act: impl AsyncFn()) -> Result<Outcome, StageError> {
    let analysis = analyse(world);
    tokio::pin!(analysis);
    loop {
        tokio::select! {
            ended = &mut analysis => return ended,
            () = tokio::time::sleep(Duration::from_millis(20)) => act().await,
        }
    }
}

/// At the terminal, or by the agent itself: nobody said that the run is to end. Whoever says so to mimir ends it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_turn_that_is_stopped_in_its_frame_is_asked_again_and_one_that_a_person_cancels_ends_the_run() {
    let world = World::new().await;
    world.agent.plays_first([Play::Slow, Play::Slow]);
    // Whoever stops it sooner has not stopped a turn: the message is sent again.
    let stopped = analyse_beside(&world, async || {
        if world.agent.is_answering() {
            world.agent.abort_all();
        }
    })
    .await;
    let is_told = |why: &str| {
        why.contains("its turn was stopped in the frame") && why.contains("`mimir runs cancel run_")
    };
    assert!(matches!(&stopped, Err(StageError::Agent(why)) if is_told(why)), "{stopped:?}");

    let before = world.get().await.progress.message;
    let cancelled = analyse_beside(&world, async || {
        let asked = world.get().await.progress.message.filter(|message| Some(message) != before.as_ref());
        if let Some(asked) = asked {
            let _ = world.deps().delivery.cancel(&OWNER, &asked).await;
        }
    });
    match cancelled.await {
        Ok(Outcome::End { state: RunState::Cancelled, reason }) => assert_eq!(reason, "cancelled by owner:0"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_gateway_that_dies_in_the_proof_goes_on_with_the_whole_fix() {
    let mut world = World::new().await;
    to_stage(&world, "fix").await;
    dies(&mut world, "workflows.fix.taken_away").await;
    to_stage(&world, "reviewed").await;
    let branch = world.branch();
    assert_eq!(world.bare.git(&["show", &format!("{branch}:cart.txt")]), "the whole of it");
    assert_eq!(world.agent.user_messages(), 4, "nobody is asked again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_person_pushes_meanwhile_stays_and_the_review_is_worked_in_on_top_of_it() {
    let mut world = World::new().await;
    to_stage(&world, "reviewed").await;
    dies(&mut world, "workflows.push.before").await;
    let branch = world.branch();
    world.bare.add(&branch, "suggestion.txt", "a person's\n");
    to_stage(&world, "rebuilt").await;
    let said = world.bare.git(&["log", "--format=%s", &format!("main..{branch}")]);
    let said: Vec<&str> = said.lines().collect();
    assert_eq!(said, ["What was reviewed", "change suggestion.txt", "The cart is whole"]);
    assert_eq!(world.get().await.progress.commit, world.bare.head(&branch));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_commit_that_went_with_its_frame_is_made_again() {
    let mut world = World::new().await;
    to_stage(&world, "reviewed").await;
    dies(&mut world, "workflows.push.before").await;
    world.destroy_frame().await;
    to_stage(&world, "rebuilt").await;
    let branch = world.branch();
    let said = world.bare.git(&["log", "--format=%s", &format!("main..{branch}")]);
    let said: Vec<&str> = said.lines().collect();
    assert_eq!(said, ["What was reviewed", "The cart is whole"]);
}

/// Goes on with the branch, as often as something of ours does not work.
async fn resumed(world: &World, key: &str) -> Result<Resumed, StageError> {
    let wanted = Instructions { key: key.to_owned(), ..wanted("reviewed") };
    let end = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        let ended = fix::resume(&mut world.row().await, &world.deps(), &wanted).await;
        if !matches!(ended, Err(StageError::Infrastructure(_))) || tokio::time::Instant::now() > end {
            return ended;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A no ends a run: the engine hears of it by the run's timer, as soon as it was said. Whoever goes on with that run all the
/// same is told each time that it was changed; nobody is asked anything, and nothing is pushed. (The engine of this gateway
/// knows no workflow of that name, so it says that instead of who said no.)
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_run_that_a_no_has_ended_is_gone_on_with_by_nobody() {
    let world = World::new().await;
    to_stage(&world, "reviewed").await;
    let (branch, before) = (world.branch(), world.bare.head(&world.branch()));
    *world.turn.lock() = Some(Box::new(|clone: &AgentClone<'_>| {
        let folder = clone.folder().join(".github/workflows");
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join("ci.yml"), "on: push\n").expect("written");
    }));
    let held = resumed(&world, "first").await;
    assert!(matches!(&held, Ok(Resumed::Outcome(Outcome::Hold { gate, .. })) if gate == "push"), "{held:?}");
    let pushes = world.pushes().await;
    let waiting = pushes.iter().find(|push| push.state == PushState::Waiting);
    world.reject(waiting.unwrap_or_else(|| panic!("nothing waits: {pushes:#?}")).id).await;

    let end = tokio::time::Instant::now() + Duration::from_secs(60);
    let run = loop {
        let run = world.get().await;
        if run.state.is_end() {
            break run;
        }
        assert!(tokio::time::Instant::now() < end, "it goes on: {run:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!((run.state, run.reason.as_deref()), (RunState::Failed, Some("there is no workflow fix")));
    let asked = world.agent.user_messages();
    for time in 1..=3 {
        assert_eq!(resumed(&world, "second").await, Err(StageError::Changed), "time {time}");
    }
    assert_eq!(world.agent.user_messages(), asked, "nobody is asked");
    assert_eq!(world.bare.head(&branch), before, "nothing leaves");
    assert_eq!(world.get().await, run, "an end never changes");
}
