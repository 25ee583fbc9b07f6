//! The gateway dies at every named point of a fix and of going on with it, also in a frame that was made anew, at the first,
//! second and third time that it comes there: one branch, one commit for each matter, each question put once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use futures_util::StreamExt as _;
use mimir::model::git::PushState;
use mimir::model::run::{RunLogEntry, RunState};
use mimir::supervisor::failpoint::Failpoints;
use mimir::workflows::stage::Outcome;

use super::mends_world::World;
use crate::deaths::Deaths;

/// So often at most a pass is made.
const MOST: usize = 150;
/// So many worlds at the same time.
const AT_ONCE: usize = 3;
/// How often the agent is asked in the story.
const QUESTIONS: usize = 7;

/// Lives through the story. After each death `next` is told where it was, with the points of the gateway that died, and arms
/// what it wants in the one that follows. Says where they died.
async fn live(
    world: &mut World,
    mut next: impl FnMut(&World, &'static str, &Failpoints),
) -> Vec<&'static str> {
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
                let at = died.last().copied().unwrap_or_default();
                world.restart(at).await;
                next(world, at, &points);
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
    let shows = |line: &&RunLogEntry| {
        matches!(line.kind.as_str(), "prompt" | "answer" | "error" | "commit" | "check" | "push")
    };
    let without: Vec<_> = timeline.iter().filter(shows).filter(|line| line.link.is_none()).collect();
    assert!(without.is_empty(), "{context}: they lead nowhere: {without:#?}");
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
    assert_eq!(live(&mut world, |_, _, _| ()).await, [""; 0]);
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

/// False when there is no place left.
async fn dies_in_one_world(deaths: &Deaths) -> bool {
    let Some(mut hand) = deaths.deal() else { return false };
    let mut world = World::new().await;
    hand.arm(&world.failpoints());
    let next = |world: &World, at: &'static str, dead: &Failpoints| {
        hand.died_at(at, dead);
        hand.arm(&world.failpoints());
    };
    live(&mut world, next).await;
    assert_once(&world, &format!("dies at {:?}", hand.deaths())).await;
    deaths.take_back(hand);
    true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_fix_whose_gateway_dies_anywhere_at_any_of_three_times_is_made_once() {
    let (written, places) = (written(), places().await);
    assert!(written.len() >= 20, "{written:?}");
    let missed: Vec<&String> = written.iter().filter(|name| !places.contains_key(name.as_str())).collect();
    assert!(missed.is_empty(), "nobody dies there: {missed:?}");

    // What passes pushes on is a task of its own, which must not die beside the stage that waits for it.
    let (pushes, stages): (BTreeMap<_, _>, BTreeMap<_, _>) =
        places.into_iter().partition(|(name, _)| name.starts_with("push."));
    let first = stages.len() + pushes.len();
    let all = [Deaths::at(&stages, 1..=3), Deaths::at(&pushes, 1..=3)];
    let most = all.iter().map(Deaths::left).sum::<usize>();
    let worlds = futures_util::stream::iter(0..AT_ONCE);
    worlds
        .for_each_concurrent(AT_ONCE, |_| async {
            for deaths in &all {
                while dies_in_one_world(deaths).await {}
            }
        })
        .await;
    let died = all.iter().map(Deaths::died).sum::<usize>();
    println!("{died} of {most} deaths, {first} of them at a first time");
    assert!(died >= first + 20, "only {died} of {most} deaths");
}
