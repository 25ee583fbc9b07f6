//! The gateway dies at every named point of a fix and of going on with it, also in a frame that was made anew: one branch,
//! one commit for each matter, each question put once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;

use futures_util::StreamExt as _;
use mimir::model::git::PushState;
use mimir::model::run::RunState;
use mimir::workflows::stage::Outcome;
use parking_lot::Mutex;

use super::mends_world::World;

/// So often at most a pass is made.
const MOST: usize = 150;
/// So many worlds at the same time.
const AT_ONCE: usize = 3;
/// So many gateways die in one world.
const DEATHS: usize = 6;
/// How often the agent is asked in the story.
const QUESTIONS: usize = 7;

/// Lives through the story. After each death `next` is told of it, and arms what it wants in the gateway that follows. Says where
/// they died.
async fn live(world: &mut World, mut next: impl FnMut(&World, usize)) -> Vec<&'static str> {
    let (mut died, mut is_destroyed) = (Vec::new(), false);
    for _ in 0..MOST {
        let run = world.get().await;
        if run.state.is_end() {
            return died;
        }
        if run.stage == "rebuilt" && !is_destroyed {
            world.destroy_frame().await;
            world.bare.add("main", "elsewhere.txt", "somebody else's\n");
            is_destroyed = true;
        }
        let points = world.failpoints();
        let ended = {
            let pass = world.pass();
            tokio::select! {
                ended = pass => Some(ended),
                at = points.died() => {
                    died.push(at);
                    None
                }
            }
        };
        match ended {
            None => {
                world.restart(died.last().copied().unwrap_or_default()).await;
                next(world, died.len());
            }
            Some(Ok(Outcome::Done)) => {}
            Some(other) => {
                tracing::debug!("{other:?}");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
    panic!("no end: {:#?}", world.get().await);
}

/// What was done outside, however often the gateway died.
async fn assert_once(world: &World, context: &str) {
    let run = world.get().await;
    assert_eq!(run.state, RunState::Succeeded, "{context}: {run:#?}");
    let branch = world.branch();
    let heads: Vec<String> = world.bare.heads().into_iter().map(|(name, _)| name).collect();
    assert_eq!(heads, ["main".to_owned(), branch.clone()], "{context}");
    let said = world.bare.git(&["log", "--format=%s", "--first-parent", &format!("main..{branch}")]);
    let said: Vec<&str> = said.lines().collect();
    assert_eq!(said, ["What was rebuilt", "What was reviewed", "The cart is whole"], "{context}");
    let ours = world.bare.git(&["rev-list", "--count", &format!("main..{branch}")]);
    assert_eq!(ours, "3", "{context}: the head of main is in it, and nothing else");
    assert_eq!(world.bare.git(&["show", &format!("{branch}:cart.txt")]), "rebuilt, and whole", "{context}");
    assert_eq!(world.bare.head(&branch), run.progress.commit, "{context}");
    let commit = run.progress.commit.as_deref().expect("a commit");
    let link = format!("{}/me/shop/commit/{commit}", world.forge.host());
    let timeline = world.timeline().await;
    let linked = |kind: &str| {
        timeline.iter().any(|line| line.kind == kind && line.link.as_deref() == Some(link.as_str()))
    };
    assert!(linked("push") && linked("commit"), "{context}: {link} is not in {timeline:#?}");
    let pushed = world.pushes().await.iter().filter(|push| push.state == PushState::Pushed).count();
    let open = world.open().await;
    assert!(pushed == 3 && open.is_empty(), "{context}: {pushed} pushed, {open:#?}");
    assert_eq!(world.agent.user_messages(), QUESTIONS, "{context}");
    world.is_tidy(context).await;
}

/// The points of the story, each with how often it is passed.
async fn places() -> BTreeMap<&'static str, u32> {
    let mut world = World::new().await;
    let points = world.failpoints();
    assert_eq!(live(&mut world, |_, _| ()).await, [""; 0]);
    assert_once(&world, "undisturbed").await;
    let of_story = |name: &str| {
        ["workflows.analyse.", "workflows.fix.", "workflows.push.", "test.save.", "push."]
            .iter()
            .any(|group| name.starts_with(group))
    };
    points.passed().into_iter().filter(|(name, _)| of_story(name)).collect()
}

/// Every point that stands in the source of these stages.
fn written() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/workflows/fix");
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).expect("the source").flatten() {
        let text = std::fs::read_to_string(entry.path()).expect("text");
        let after = text.split(".hit(\"").skip(1).filter_map(|rest| rest.split('"').next());
        found.extend(after.map(str::to_owned));
    }
    found
}

/// Dies at each place that is passed so often; says how many there are. Several gateways die in one world, one behind the
/// other; a place that the story does not come to any more is left to another world.
async fn dies_at(nth: u32) -> usize {
    let places = places().await;
    let reached: Vec<&str> =
        places.iter().filter(|(_, times)| **times >= nth).map(|(place, _)| *place).collect();
    let left = Mutex::new(VecDeque::from(reached.clone()));
    let worlds = futures_util::stream::iter(0..AT_ONCE);
    worlds.for_each_concurrent(AT_ONCE, |_| async { while dies_in_one_world(nth, &left).await {} }).await;
    reached.len()
}

/// False when there is no place left.
async fn dies_in_one_world(nth: u32, left: &Mutex<VecDeque<&'static str>>) -> bool {
    let Some(first) = left.lock().pop_front() else { return false };
    let mut world = World::new().await;
    let mut armed = vec![first];
    world.failpoints().arm(first, nth);
    let died = live(&mut world, |world, deaths| {
        let place = if deaths < DEATHS { left.lock().pop_front() } else { None };
        if let Some(place) = place {
            world.failpoints().arm(place, nth);
            armed.push(place);
        }
    })
    .await;
    // Each was armed when the one before it had struck, so only the last may be left.
    let context = format!("at their time {nth}: {armed:?}");
    assert!(!died.is_empty() && armed.starts_with(&died), "{context}: {died:?}");
    left.lock().extend(&armed[died.len()..]);
    assert_once(&world, &context).await;
    true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_fix_passes_every_point_that_is_written_down() {
    let (written, places) = (written(), places().await);
    assert!(written.len() >= 20, "{written:?}");
    let missed: Vec<&String> = written.iter().filter(|name| !places.contains_key(name.as_str())).collect();
    assert!(missed.is_empty(), "nobody dies there: {missed:?}");
}

/// At the second and third time as well with `MIMIR_TEST_FIX_KILLS=all`: minutes of git.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_fix_whose_gateway_dies_anywhere_is_made_once() {
    let all = std::env::var("MIMIR_TEST_FIX_KILLS").is_ok_and(|which| which == "all");
    let tried = dies_at(1).await;
    assert!(tried >= written().len(), "only {tried} deaths");
    for nth in if all { 2..4 } else { 2..2 } {
        let tried = dies_at(nth).await;
        assert!(tried >= 10, "only {tried} deaths at their time {nth}");
    }
}
