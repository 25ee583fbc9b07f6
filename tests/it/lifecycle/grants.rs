//! What a frame may reach, changed while it runs.

use std::time::Duration;

use mimir::frames::{FrameError, Grant, Term};
use mimir::model::frame::Frame;
use mimir::model::network::NetworkMode;
use mimir::wire::frames::CreateFrame;

use super::world::{OWNER, World};

fn hosts(names: &[&str]) -> Grant {
    Grant { hosts: names.iter().map(|&name| name.to_owned()).collect(), ..Grant::default() }
}

fn providers(names: &[&str]) -> Grant {
    Grant { providers: names.iter().map(|&name| name.to_owned()).collect(), ..Grant::default() }
}

async fn refused(world: &World, frame: &Frame, grant: Grant, term: Term) -> String {
    let answer = world.frames.allow(&OWNER, &frame.name, grant, term).await;
    answer.expect_err("refused").to_string()
}

#[tokio::test]
async fn a_host_is_allowed_and_denied_at_once_and_that_is_kept() {
    let mut world = World::new().await;
    let frame = world.running("blog").await;
    let allowed = world.frames.allow(&OWNER, &frame.name, hosts(&["Example.org", "npm"]), Term::Always).await;
    assert_eq!(allowed.expect("allowed").allow, ["example.org", "npm"]);
    let denied = world.frames.deny(&OWNER, &frame.name, hosts(&["example.org"])).await.expect("denied");
    assert_eq!((denied.allow, denied.deny), (vec!["npm".to_owned()], vec!["example.org".to_owned()]));
    assert_eq!(
        *world.attendant.rules.lock(),
        [vec!["example.org".to_owned(), "npm".to_owned()], vec!["npm".to_owned()]]
    );
    let notes = world.notes(&frame.id).await;
    assert!(notes.contains(&"allowed".to_owned()) && notes.contains(&"denied".to_owned()), "{notes:?}");

    world.restart_gateway().await;
    let kept = world.row(&frame.id).await.expect("a row");
    assert_eq!((kept.allow, kept.deny), (vec!["npm".to_owned()], vec!["example.org".to_owned()]));
}

#[tokio::test]
async fn what_is_allowed_for_a_while_is_not_kept_and_a_denial_takes_it_back() {
    let world = World::new().await;
    let frame = world.running("blog").await;
    let hour = Term::For(Duration::from_secs(3600));
    let allowed = world.frames.allow(&OWNER, &frame.name, hosts(&["example.org"]), hour).await;
    assert!(allowed.expect("allowed").allow.is_empty());
    world.frames.allow(&OWNER, &frame.name, hosts(&["example.net"]), Term::Once).await.expect("allowed");
    let lent = world.frames.lent(&frame);
    let words: Vec<(&str, bool)> = lent.iter().map(|loan| (loan.host.as_str(), loan.once)).collect();
    assert_eq!(words, [("example.org", false), ("example.net", true)]);
    world.frames.deny(&OWNER, &frame.name, hosts(&["example.net"])).await.expect("denied");
    assert!(world.frames.lent(&frame).is_empty());

    let stopped = world.create("stopped").await;
    let why = refused(&world, &stopped, hosts(&["example.org"]), hour).await;
    assert!(why.contains("does not run"), "{why}");
}

#[tokio::test]
async fn what_cannot_be_granted_is_refused_with_the_reason() {
    let world = World::new().await;
    let frame = world.create("blog").await;
    let sealed = CreateFrame { network: Some(NetworkMode::Sealed), ..world.request("vault") };
    let sealed = world.try_create(sealed).await.expect("created");
    for (frame, grant, word) in [
        (&frame, hosts(&["npmm"]), "did you mean `npm`?"),
        (&frame, hosts(&[]), "name a host"),
        (&frame, providers(&["opanai"]), "there is no provider `opanai`"),
        (&sealed, hosts(&["example.org"]), "only a frame in mode allow"),
    ] {
        let why = refused(&world, frame, grant.clone(), Term::Always).await;
        assert!(why.contains(word), "{grant:?}: {why}");
    }
    let why = refused(&world, &frame, providers(&["openai"]), Term::Once).await;
    assert!(why.contains("for good"), "{why}");
    let granted = world.frames.allow(&OWNER, &sealed.name, providers(&["openai"]), Term::Always).await;
    assert_eq!(granted.expect("a sealed frame calls models too").providers, ["openai"]);
}

#[tokio::test]
async fn a_frame_is_made_with_the_providers_that_it_is_granted() {
    let world = World::new().await;
    let request = CreateFrame { providers: vec!["openai".into()], ..world.request("blog") };
    assert_eq!(world.try_create(request).await.expect("created").providers, ["openai"]);
    let request = CreateFrame { providers: vec!["nobody".into()], ..world.request("shop") };
    let refusal = world.try_create(request).await.expect_err("refused");
    assert!(matches!(refusal, FrameError::Invalid { field: "providers", .. }), "{refusal}");
}
