//! Mode gate: what is pushed waits until somebody has looked.

use std::time::Duration;

use mimir::model::git::{GitMode, PushState};
use mimir::model::ids::RunId;
use mimir::model::origin::Origin;
use mimir::model::run::{NewRun, RunInput};
use mimir::pushes::{PushError, Pushes, PushesDeps};
use mimir::store::{frames, pushes, runs};
use mimir::supervisor::Tasks;

use super::world::{OWNER, World};
use crate::forge::Fault;
use crate::net::support::{credentials, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_push_waits_and_goes_on_when_somebody_says_yes() {
    let world = World::new(GitMode::Gate).await;
    world.clone().await;
    let commit = world.commit("mimir/fix", "a", "1").await;
    let told = world.push(&["mimir/fix"]).await.fine().stderr;
    assert!(told.contains("mimir push show 1"), "{told}");
    assert_eq!(world.blog.heads().len(), 1, "nothing is at the forge");
    assert_eq!(world.forge.pushes(), 0);
    let again = world.push(&["mimir/fix"]).await.fine().stderr;
    assert!(again.contains("mimir push show 1") || again.contains("up-to-date"), "{again}");
    assert_eq!(world.states().await, [PushState::Waiting], "the same is one push");

    let push = world.last().await;
    let patches = world.net.pushes.patches(&push).await.expect("patches");
    assert!(patches.text.contains("change a") && patches.text.contains("+1"), "{}", patches.text);
    let done = world.net.pushes.approve(&OWNER, push.id).await.expect("approved");
    assert_eq!((done.state, done.decided_by.as_deref()), (PushState::Pushed, Some("owner:1000")));
    assert_eq!(world.blog.head("mimir/fix"), Some(commit));
    assert_eq!(world.parcels(), 0);
    let late = world.net.pushes.reject(&OWNER, push.id, None).await.expect_err("too late");
    assert!(matches!(late, PushError::TooLate { .. }), "{late}");

    // Its git hears of it when there is something to fetch.
    let _ = world.blog.commit("main", "other", "x");
    let told = world.git("work", &["fetch", "origin"]).await.fine().stderr;
    assert!(told.contains("push 1 (mimir/fix of ") && told.contains("is at the forge"), "{told}");
    let _ = world.blog.commit("main", "more", "x");
    let told = world.git("work", &["fetch", "origin"]).await.fine().stderr;
    eventually("it is told once", || async {
        let id = world.frame.id.clone();
        let left = world.net.store.read(move |db| mimir::store::pushes::untold(db, &id)).await;
        let left = left.map_err(|error| error.to_string())?;
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?} {told}")) }
    })
    .await;
    let id = world.frame.id.clone();
    let notes = world.net.store.read(move |db| frames::notes(db, &id, 20)).await.expect("notes");
    let codes: Vec<&str> = notes.iter().map(|note| note.code.as_str()).collect();
    assert_eq!(codes, ["push_waiting", "pushed"], "{notes:?}");
    world.assert_no_token(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_is_rejected_goes_nowhere_and_its_git_is_told_why() {
    let world = World::new(GitMode::Gate).await;
    world.clone().await;
    let _ = world.commit("mimir/fix", "a", "1").await;
    let _ = world.push(&["mimir/fix"]).await.fine();
    let rejected =
        world.net.pushes.reject(&OWNER, 1, Some("it needs a test".into())).await.expect("rejected");
    assert_eq!((rejected.state, world.parcels()), (PushState::Rejected, 0));
    let late = world.net.pushes.approve(&OWNER, 1).await.expect_err("too late");
    assert!(matches!(late, PushError::TooLate { .. }), "{late}");
    let missing = world.net.pushes.approve(&OWNER, 7).await.expect_err("none");
    assert!(matches!(missing, PushError::NotFound(7)), "{missing}");

    let _ = world.commit("mimir/fix", "test", "2").await;
    let told = world.push(&["mimir/fix"]).await.fine().stderr;
    assert!(told.contains("push 1 (mimir/fix of ") && told.contains("it needs a test"), "{told}");
    assert!(told.contains("mimir push show 2"), "{told}");
    // Another one of the same branch takes its place; of another branch it stands beside it.
    let _ = world.commit("mimir/fix", "test", "3").await;
    let _ = world.push(&["mimir/fix"]).await.fine();
    let _ = world.push(&["HEAD:refs/heads/mimir/other"]).await.fine();
    assert_eq!(
        world.states().await,
        [PushState::Rejected, PushState::Replaced, PushState::Waiting, PushState::Waiting]
    );
    assert_eq!(world.parcels(), 2);
    assert_eq!(world.forge.pushes(), 0);
}

/// A run that waits for a push looks again, once with each word about it.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_decides_about_a_push_wakes_the_run_that_waits_for_it() {
    let world = World::new(GitMode::Gate).await;
    world.clone().await;
    let store = &world.net.store;
    for (push, word) in [(1, "approved"), (2, "rejected")] {
        let branch = format!("mimir/{word}");
        let _ = world.commit(&branch, word, "1").await;
        let _ = world.push(&[&branch]).await.fine();
        let id = RunId::from_parts(1_795_261_756_000, u128::from(push));
        let new = NewRun {
            workflow: "issue-fix".into(),
            key: id.to_string(),
            origin: Origin::Person,
            origin_ref: None,
            project: None,
            title: word.to_owned(),
            input: RunInput::default(),
            priority: 0,
            budget_microusd: None,
            not_before: None,
        };
        let of = id.clone();
        let made = store.write(move |tx| {
            runs::enqueue(tx, of.clone(), &new)?;
            runs::name(tx, &of, &pushes::run_name(push))?;
            runs::look(tx, &of)
        });
        assert!(!made.await.expect("a run").1, "{word}: nobody has said anything");
        let decided = match word {
            "approved" => world.net.pushes.approve(&OWNER, push).await,
            _ => world.net.pushes.reject(&OWNER, push, None).await,
        };
        let _ = decided.expect("decided");
        let seen = store.write(move |tx| Ok((runs::look(tx, &id)?.1, runs::timeline(tx, &id)?)));
        let (is_woken, timeline) = seen.await.expect("looked");
        assert!(is_woken, "{word}");
        let told = format!("owner:1000 {word} push {push}");
        assert!(timeline.iter().any(|line| line.text == told), "{timeline:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_read_the_copy_also_without_the_forge() {
    let world = World::new(GitMode::Gate).await;
    world.clone().await;
    world.forge.fault(Some(Fault::Silence));
    let address = world.address("me/blog");
    let _ = world.git(".", &["clone", "--quiet", "--depth", "1", &address, "again"]).await.fine();
    assert!(world.path("again/README.md").exists());
    let _ = world.commit("mimir/fix", "a", "1").await;
    let told = world.push(&["mimir/fix"]).await.fine().stderr;
    assert!(told.contains("mimir push show 1"), "{told}");
    let failed = world.net.pushes.approve(&OWNER, 1).await.expect("tried");
    assert_eq!(failed.state, PushState::Failed, "{failed:?}");
    assert_eq!(world.parcels(), 1, "it may be tried again");
    world.forge.fault(None);
    let done = world.net.pushes.approve(&OWNER, 1).await.expect("approved");
    assert_eq!(done.state, PushState::Pushed, "{done:?}");
}

/// A fetch that was killed leaves as much as it had, each time.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_fetch_left_in_the_copy_is_taken_away() {
    let world = World::new(GitMode::Gate).await;
    world.clone().await;
    let mirrors = world.home().join("git/mirrors");
    let mirror = std::fs::read_dir(&mirrors).expect("mirrors").next().expect("one").expect("read").path();
    let packs = mirror.join("objects/pack");
    std::fs::create_dir_all(&packs).expect("a folder");
    let (left, kept) = (packs.join("tmp_pack_a1B2c3"), packs.join("pack-of-somebody.keep"));
    for file in [&left, &kept] {
        std::fs::write(file, "half of it").expect("written");
    }
    let _ = world.git("work", &["fetch", "origin"]).await.fine();
    assert!(!left.exists(), "it is gone with the next look");
    assert!(kept.exists(), "and nothing else is");
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_that_failed_count_as_those_that_wait() {
    let world = World::new(GitMode::Direct).await;
    world.clone().await;
    let _ = world.commit("mimir/fix", "a", "1").await;
    world.forge.fault(Some(Fault::Declines("closed".into())));
    for number in 0..20 {
        let refused = world.push(&[&format!("HEAD:refs/heads/mimir/n{number}")]).await.refused();
        assert!(refused.contains("closed"), "{number}: {refused}");
    }
    assert_eq!(world.parcels(), 20, "each is kept, to be tried again");
    let refused = world.push(&["HEAD:refs/heads/mimir/one-more"]).await.refused();
    assert!(refused.contains("20 pushes of this frame wait or failed"), "{refused}");
    assert_eq!(world.parcels(), 20);
    // The same once more takes its own place.
    let refused = world.push(&["HEAD:refs/heads/mimir/n3"]).await.refused();
    assert!(refused.contains("closed"), "{refused}");
    assert_eq!(world.parcels(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_moved_at_the_forge_meanwhile_is_not_overwritten() {
    let world = World::new(GitMode::Gate).await;
    let _ = world.blog.commit("mimir/fix", "base", "0");
    world.clone().await;
    let _ = world.git("work", &["checkout", "--quiet", "mimir/fix"]).await.fine();
    let _ = world.commit("mimir/fix", "a", "1").await;
    let _ = world.push(&["mimir/fix"]).await.fine();
    let theirs = world.blog.commit("mimir/fix", "theirs", "2");
    let failed = world.net.pushes.approve(&OWNER, 1).await.expect("tried");
    assert_eq!(failed.state, PushState::Failed);
    assert!(failed.reason.expect("a reason").contains("moved at the forge meanwhile"));
    assert_eq!(world.blog.head("mimir/fix"), Some(theirs));
}

/// A gateway dies at each point between the yes and the row; the next one finds out how far it came.
#[tokio::test(flavor = "multi_thread")]
async fn an_approved_push_is_at_the_forge_once_wherever_the_gateway_dies() {
    for point in ["push.after_approval", "push.before_forge", "push.after_forge", "push.after_row"] {
        let world = World::new(GitMode::Gate).await;
        world.clone().await;
        let commit = world.commit("mimir/fix", "a", "1").await;
        let _ = world.push(&["mimir/fix"]).await.fine();
        let failpoints = world.net.tasks.failpoints();
        failpoints.arm(point, 1);
        tokio::select! {
            done = world.net.pushes.approve(&OWNER, 1) => panic!("{point}: {done:?}"),
            died = failpoints.died() => assert_eq!(died, point),
        }
        let tasks = Tasks::default();
        let next = Pushes::new(PushesDeps {
            credentials: credentials(&world.net.git),
            store: world.net.store.clone(),
            tasks: tasks.clone(),
            vault: world.net.vault.clone(),
            settings: world.net.git.clone(),
            home: world.home().to_owned(),
        });
        tasks.run(&next);
        eventually(point, || async {
            let push = next.get(1).await.map_err(|error| error.to_string())?;
            if push.state == PushState::Pushed { Ok(()) } else { Err(format!("{push:?}")) }
        })
        .await;
        assert_eq!(world.blog.head("mimir/fix"), Some(commit), "{point}");
        assert_eq!(world.forge.pushes(), 1, "{point}: once, and no second time");
        assert!(tasks.stop(Duration::from_secs(5)).await, "{point}");
    }
}
