//! Whoever asked has gone: what was begun for him ends as it should, once.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use futures_util::{FutureExt as _, poll};
use mimir::git::receive::PushRequest;
use mimir::model::git::{GitMode, PushState, RefUpdate};
use mimir::pushes::Asker;

use super::world::{OWNER, World};
use crate::forge::Fault;
use crate::net::support::eventually;

fn asker(world: &World) -> Asker {
    let repository = world.frame.forge.repository.clone().expect("one");
    Asker {
        frame: world.frame.id.clone(),
        name: world.frame.name.clone(),
        forge: world.frame.forge.clone(),
        repository,
    }
}

/// Lets it go on until something is so, and leaves.
async fn until<F: Future>(work: F, is_so: impl AsyncFn() -> bool) {
    let mut work = pin!(work);
    for _ in 0..6000 {
        if is_so().await {
            return;
        }
        assert!(poll!(&mut work).is_pending(), "it ended first");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it never was so");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_goes_on_when_whoever_asked_for_it_has_gone_and_there_is_one_at_a_time() {
    let world = World::new(GitMode::Gate).await;
    world.forge.fault(Some(Fault::Late(Duration::from_millis(300))));
    let (pushes, asker) = (&world.net.pushes, asker(&world));
    until(pushes.advertise(&asker), async || !world.forge.seen().is_empty()).await;
    // Others come, wait for it, and go.
    for _ in 0..8 {
        assert!(pushes.advertise(&asker).now_or_never().is_none(), "there is no copy yet");
    }
    let mirrors = world.home().join("git/mirrors");
    let is_whole = || {
        let folders = std::fs::read_dir(&mirrors).into_iter().flatten().flatten();
        folders.filter(|folder| folder.path().join("mimir-mirror").is_file()).count() == 1
    };
    eventually("the copy is whole", || async {
        if is_whole() { Ok(()) } else { Err(format!("{:?}", world.forge.seen())) }
    })
    .await;
    let lists =
        || world.forge.seen().iter().filter(|it| it.path.ends_with("service=git-upload-pack")).count();
    // One list to look at, and the fetch's own.
    assert_eq!(lists(), 2, "{:?}", world.forge.seen());
    world.forge.fault(None);
    let told = pushes.advertise(&asker).await.expect("told");
    assert!(String::from_utf8_lossy(&told).contains("refs/heads/main"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_yes_is_carried_out_when_whoever_said_it_has_gone() {
    let world = World::new(GitMode::Gate).await;
    world.clone().await;
    let commit = world.commit("mimir/fix", "a", "1").await;
    let _ = world.push(&["mimir/fix"]).await.fine();
    assert!(world.net.pushes.approve(&OWNER, 1).now_or_never().is_none(), "he hangs up at once");
    eventually("it is at the forge", || async {
        let push = world.last().await;
        if push.state == PushState::Pushed { Ok(()) } else { Err(format!("{push:?}")) }
    })
    .await;
    assert_eq!(world.blog.head("mimir/fix"), Some(commit));
    // A second yes to it, while it is over, and many at once while it is not.
    assert!(world.net.pushes.approve(&OWNER, 1).await.is_err());
    assert_eq!(world.forge.pushes(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_say_yes_to_the_same_push_send_it_once() {
    let world = World::new(GitMode::Gate).await;
    world.clone().await;
    let _ = world.commit("mimir/fix", "a", "1").await;
    let _ = world.push(&["mimir/fix"]).await.fine();
    world.forge.fault(Some(Fault::Late(Duration::from_millis(100))));
    let pushes = &world.net.pushes;
    let (first, second) = tokio::join!(pushes.approve(&OWNER, 1), pushes.approve(&OWNER, 1));
    for done in [first, second] {
        assert_eq!(done.expect("approved").state, PushState::Pushed);
    }
    assert_eq!(world.forge.pushes(), 1, "once");
    let said = world.net.store.read(|db| mimir::store::audit::list(db, None, 100)).await.expect("rows");
    let yes = said.iter().filter(|row| row.action == "push.approve").count();
    assert_eq!(yes, 1, "one yes is written down");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_on_by_itself_goes_on_when_its_frame_hangs_up() {
    let mut world = World::new(GitMode::Direct).await;
    let old = world.blog.commit("mimir/old", "base", "0");
    world.allow(|frame| frame.forge.branches = vec!["+mimir/*".to_owned()]);
    let delete = RefUpdate { name: "refs/heads/mimir/old".to_owned(), from: Some(old), to: None };
    let request = PushRequest { updates: vec![delete], ..PushRequest::default() };
    let (pushes, asker) = (&world.net.pushes, asker(&world));
    let mut nothing = futures_util::stream::empty();
    until(pushes.receive(&asker, &request, &mut nothing), async || !world.pushed().await.is_empty()).await;
    eventually("it is gone at the forge", || async {
        let push = world.last().await;
        if push.state == PushState::Pushed { Ok(()) } else { Err(format!("{push:?}")) }
    })
    .await;
    assert_eq!(world.blog.head("mimir/old"), None);
}
