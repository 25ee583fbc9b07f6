//! The gateway dies at every named point of a fix, at the first, second and third time that it comes there: one branch, one
//! commit for each matter, each question put once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use futures_util::StreamExt as _;
use mimir::model::git::PushState;
use mimir::model::run::RunState;
use mimir::workflows::stage::Outcome;

use super::mends_world::World;

/// So often at most a pass is made.
const MOST: usize = 60;
/// So many worlds at the same time.
const AT_ONCE: usize = 4;
/// How often the agent is asked in the story.
const QUESTIONS: usize = 7;

/// Lives through the story; a gateway that dies is followed by one that does not. Says where it died.
async fn live(world: &mut World) -> Vec<&'static str> {
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
            None => world.restart(died.last().copied().unwrap_or_default()).await,
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
    assert_eq!(live(&mut world).await, [""; 0]);
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

/// Dies at each place that is passed so often; says how many there are.
async fn dies_at(nth: u32) -> usize {
    let places = places().await;
    let reached: Vec<&str> =
        places.iter().filter(|(_, times)| **times >= nth).map(|(place, _)| *place).collect();
    futures_util::stream::iter(reached.clone())
        .for_each_concurrent(AT_ONCE, |place| async move {
            let mut world = World::new().await;
            world.failpoints().arm(place, nth);
            let died = live(&mut world).await;
            let context = format!("{place} at its time {nth}");
            assert_eq!(died, [place], "{context}");
            assert_once(&world, &context).await;
        })
        .await;
    reached.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_fix_passes_every_point_that_is_written_down() {
    let (written, places) = (written(), places().await);
    assert!(written.len() >= 20, "{written:?}");
    let missed: Vec<&String> = written.iter().filter(|name| !places.contains_key(name.as_str())).collect();
    assert!(missed.is_empty(), "nobody dies there: {missed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_fix_whose_gateway_dies_at_a_first_time_is_made_once() {
    let tried = dies_at(1).await;
    assert!(tried >= written().len(), "only {tried} deaths");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_fix_whose_gateway_dies_at_a_second_time_is_made_once() {
    let tried = dies_at(2).await;
    assert!(tried >= 15, "only {tried} deaths");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_fix_whose_gateway_dies_at_a_third_time_is_made_once() {
    let tried = dies_at(3).await;
    assert!(tried >= 10, "only {tried} deaths");
}
