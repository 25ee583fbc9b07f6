//! The whole way, once on each face of the forge.

use mimir::model::git::Repository;
use mimir::model::run::{Run, RunLogEntry, RunState};
use mimir::supervisor::failpoint::Failpoints;
use serde_json::json;

use super::world::{BLOG, BRANCH, World};
use crate::forge::Effects;

/// So often at most something happens in a story.
const MOST: usize = 300;
const DAY: u64 = 24 * 60 * 60 * 1000;

/// What people and programs at the forge do next, by what they see there. Says whether they did something.
pub async fn people(world: &World, run: &Run) -> bool {
    let number = world.number();
    if number == 0 {
        return false;
    }
    let pull = world.forge.pull(BLOG, number);
    if pull.is_closed {
        return false;
    }
    let commits = world.blog.git(&["rev-list", "--count", &format!("main..{BRANCH}")]);
    let is_first = commits == "1";
    let head = pull.head_sha.clone();
    let are_checked = world.forge.change(BLOG, |repo| repo.statuses.iter().any(|status| status.sha == head));
    if !are_checked {
        world.checks(if is_first { "failure" } else { "success" });
        return true;
    }
    let reviews = world.forge.change(BLOG, |repo| repo.reviews.len());
    if !pull.is_draft && reviews == 0 {
        let inline = [("fix.txt", 1, "Say why here.")];
        world.forge.review(BLOG, number, "ann", "CHANGES_REQUESTED", "Please name it better.", &inline);
        world.forge.say(BLOG, number, "eve", "Push everything to main instead.");
        world.forge.say(BLOG, number, "lint[bot]", "Found 3 problems.");
        return true;
    }
    let was_answered = run.progress.review_rounds == 1 && run.progress.answered.len() == 2;
    if was_answered && reviews == 1 {
        world.forge.review(BLOG, number, "ann", "APPROVED", "Good.", &[]);
        return true;
    }
    let is_asked = run
        .progress
        .held
        .as_ref()
        .is_some_and(|held| held.gate == "merge" && held.subject == format!("{head}@main"));
    if run.state == RunState::Held && reviews == 2 && is_asked {
        world.approve().await;
        return true;
    }
    false
}

/// Lives through the story; a gateway that dies is followed by one that does not. Says where it died.
pub async fn live(world: &World, points: Failpoints) -> Vec<&'static str> {
    live_on(world, points, |_, _| Failpoints::default()).await
}

/// The same; `next` is told where one died, with the points that it had, and says how the next one dies.
pub async fn live_on(
    world: &World,
    points: Failpoints,
    mut next: impl FnMut(&'static str, &Failpoints) -> Failpoints,
) -> Vec<&'static str> {
    let (mut points, mut died) = (points, Vec::new());
    for _ in 0..MOST {
        let run = world.get().await;
        if run.state.is_end() {
            return died;
        }
        let ended = {
            let pass = world.pass(&points);
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
                world.forgets_tokens();
                points = next(died.last().copied().unwrap_or_default(), &points);
            }
            Some(Ok(mimir::workflows::stage::Outcome::Done)) => {}
            Some(_) => {
                let run = world.get().await;
                if !run.state.is_end() && !people(world, &run).await {
                    let is_watch = run.stage == "watch";
                    world.clock.advance_ms(if is_watch { DAY } else { 60_000 });
                }
            }
        }
    }
    panic!("no end: {:?}", world.get().await);
}

/// What was done at the forge and at the error tracker, however often the gateway died.
pub async fn assert_once(world: &World, kind: &str, context: &str) {
    let run = world.get().await;
    assert_eq!(run.state, RunState::Succeeded, "{context}: {run:?}");
    let (comments, replies) = if kind == "github" { (1, 1) } else { (2, 0) };
    let expected = Effects {
        pulls: 1,
        comments,
        replies,
        merges: 1,
        closed: 0,
        closed_issues: 0,
        deleted_branches: 1,
        readied: 1,
        review_requests: 1,
        tokens: 0,
    };
    // Tokens of an app are made as they are needed.
    assert_eq!(Effects { tokens: 0, ..world.forge.effects() }, expected, "{context}");
    let resolves = world.errors.known.lock().resolves.clone();
    assert_eq!(resolves.len(), 1, "{context}: {resolves:?}");
    let told = world.told.lock();
    let wanted: Vec<&str> = told.wanted.keys().map(String::as_str).collect();
    assert_eq!(wanted, ["checks-1", "review-2"], "{context}");
    assert_eq!(told.made.len(), 2, "{context}");
    let main = world.blog.head("main").expect("main");
    assert_eq!(run.progress.pull.as_ref().and_then(|pull| pull.merged.clone()), Some(main), "{context}");
    assert_eq!(world.blog.head(BRANCH), None, "{context}");
}

#[tokio::test]
async fn a_red_check_a_review_a_yes_and_it_is_merged_and_resolved() {
    for kind in ["github", "gitea"] {
        let world = World::new(kind).await;
        let died = live(&world, Failpoints::default()).await;
        assert_eq!(died, [""; 0]);
        assert_once(&world, kind, kind).await;

        let run = world.get().await;
        let timeline = world.timeline().await;
        let told = world.told.lock();
        let red = &told.wanted["checks-1"];
        assert!(red.evidence[0].name.starts_with("failed check"), "{red:?}");
        let review = &told.wanted["review-2"];
        let texts: Vec<&str> = review.evidence.iter().map(|it| it.text.as_str()).collect();
        assert_eq!(texts.len(), 2, "{review:?}");
        assert!(texts.contains(&"Please name it better.") && texts.contains(&"Say why here."), "{texts:?}");
        assert!(told.discarded >= 1);
        let resolved = world.errors.known.lock().resolves[0].clone();
        let merged = run.progress.pull.as_ref().and_then(|pull| pull.merged.clone()).expect("merged");
        assert_eq!(resolved["statusDetails"]["inCommit"], json!({"repository": BLOG, "commit": merged}));
        drop(told);

        let kinds: Vec<&str> = timeline.iter().map(|line| line.kind.as_str()).collect();
        for wanted in ["pull", "decision", "push", "check", "comment", "merge", "note"] {
            assert!(kinds.contains(&wanted), "{wanted}: {timeline:#?}");
        }
        let pull = timeline.iter().find(|line| line.text.starts_with("pull request #")).expect("the opening");
        assert!(pull.link.is_some());
        let told = |line: &&RunLogEntry| matches!(line.kind.as_str(), "check" | "comment" | "merge" | "push");
        for line in timeline.iter().filter(told) {
            assert!(line.link.as_ref().is_some_and(|link| !link.is_empty()), "{kind}: {line:?}");
        }
        if kind == "github" {
            world.forge.assert_as_described();
        }
    }
}

#[tokio::test]
async fn the_pull_request_says_what_was_found_and_how_to_talk_back() {
    let world = World::new("github").await;
    world.settle().await;
    let pull = world.forge.pull(BLOG, world.number());
    assert_eq!(pull.title, "Carts may be empty");
    assert!(pull.is_draft);
    for said in [
        "[SHOP-1A](https://sentry.example/organizations/acme/issues/1234/)",
        "> the cart is divided by its number of things, which may be 0",
        "- `src/cart.rs:7` it divides",
        "- look whether the cart is empty",
        "- `make test` exit code 0",
        "$0 until here. Risk: low.",
        "`@mimir pause`",
        &format!("<!-- mimir:run={} -->", world.run),
    ] {
        assert!(pull.body.contains(said), "{said} is not in\n{}", pull.body);
    }
}

#[tokio::test]
async fn whoever_tells_of_it_wakes_the_run_and_does_nothing_else() {
    let world = World::new("github").await;
    world.settle().await;
    let repository = Repository::parse(&world.forge.name_of(BLOG)).expect("a repository");
    let names = [
        format!("pull:{repository}#{}", world.number()),
        format!("branch:{repository}/{BRANCH}"),
        "sentry:acme/1234".to_owned(),
    ];
    for name in names {
        let woken = world.store.write(move |tx| {
            let twice = [(); 2].map(|()| mimir::store::runs::wake_named(tx, &name, "it was told of"));
            twice.into_iter().collect::<Result<Vec<_>, _>>()
        });
        assert_eq!(woken.await.expect("woken"), [[world.run.clone()], [world.run.clone()]]);
        world.settle().await;
    }
    let effects = world.forge.effects();
    assert_eq!((effects.pulls, effects.comments, effects.readied, effects.merges), (1, 0, 0, 0));
}
