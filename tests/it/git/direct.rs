//! Mode direct: what is pushed goes on to the forge, unless there is something in it to look at.

use base64::Engine as _;
use mimir::model::git::{GitMode, PushState};
use mimir::model::names::SecretName;
use mimir::model::network::NetworkMode;
use mimir::model::secret::Secret;
use mimir::secrets::Value;

use super::world::{OWNER, World};
use crate::forge::Fault;

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_reads_and_pushes_its_own_repository_without_a_key() {
    let world = World::new(GitMode::Direct).await;
    world.clone().await;
    assert!(world.path("work/README.md").exists());
    let commit = world.commit("mimir/fix", "src/main.rs", "fn main() {}\n").await;
    let pushed = world.push(&["mimir/fix"]).await.fine();
    assert_eq!(world.blog.head("mimir/fix"), Some(commit.clone()), "{pushed:?}");
    let push = world.last().await;
    assert_eq!((push.state, push.decided_by.as_deref()), (PushState::Pushed, Some("policy")));
    assert_eq!((push.contents.commits, push.contents.files), (1, 1));
    assert_eq!(world.parcels(), 0, "nothing is kept of what is over");

    let theirs = world.blog.commit("main", "other", "x");
    let fetched = world.git("work", &["fetch", "--quiet", "origin"]).await.fine();
    assert_eq!(world.id("origin/main").await, theirs);
    let next = world.commit("mimir/fix", "src/lib.rs", "\n").await;
    let again = world.push(&["mimir/fix"]).await.fine();
    assert_eq!(world.blog.head("mimir/fix"), Some(next));
    world.assert_no_token(&[&pushed.stderr, &fetched.stderr, &again.stderr]);
    let opened = world.forge.seen().iter().filter(|it| it.authorization.is_some()).count();
    assert!(opened > 4, "the forge was asked with the credential: {opened}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_frame_may_not_push_is_refused_and_its_git_says_why() {
    let mut world = World::new(GitMode::Direct).await;
    let other = world.forge.repository("me/other");
    world.clone().await;
    let first = world.commit("mimir/fix", "a", "1").await;
    let _ = world.push(&["mimir/fix"]).await.fine();

    let refused = world.push(&["HEAD:main"]).await.refused();
    assert!(refused.contains("mimir frame allow frame-1 --branch 'main'"), "{refused}");
    let refused = world.push(&[":mimir/fix"]).await.refused();
    assert!(refused.contains("may not delete"), "{refused}");
    let _ = world.git("work", &["reset", "--quiet", "--hard", "origin/main"]).await.fine();
    let _ = world.commit("mimir/fix", "b", "2").await;
    let refused = world.push(&["--force", "mimir/fix"]).await.refused();
    assert!(refused.contains("may not rewrite"), "{refused}");
    let address = world.address("me/other");
    let refused = world.git("work", &["push", &address, "HEAD:refs/heads/mimir/x"]).await.refused();
    assert!(refused.contains("it pushes to its own repository alone"), "{refused}");
    // One of two is fine: each is told for itself.
    let both = world.push(&["HEAD:refs/heads/mimir/new", "HEAD:refs/heads/main"]).await.refused();
    assert!(both.contains("mimir/new") && both.contains("remote rejected"), "{both}");
    assert!(world.blog.head("mimir/new").is_some());

    assert_eq!(world.blog.head("mimir/fix"), Some(first));
    assert_eq!(other.heads().len(), 1);
    world.allow(|frame| frame.forge.branches = vec!["+mimir/*".to_owned(), "main".to_owned()]);
    let forced = world.id("HEAD").await;
    let _ = world.push(&["--force", "mimir/fix"]).await.fine();
    assert_eq!(world.blog.head("mimir/fix"), Some(forced));
    let _ = world.push(&[":mimir/fix"]).await.fine();
    assert_eq!(world.blog.head("mimir/fix"), None);
    let _ = world.push(&["HEAD:main"]).await.fine();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_a_protected_path_or_holds_a_secret_waits_in_every_mode() {
    let world = World::new(GitMode::Direct).await;
    world.clone().await;
    let _ = world.commit("mimir/ci", ".github/workflows/ci.yml", "on: push\n").await;
    let told = world.push(&["mimir/ci"]).await.fine().stderr;
    assert!(told.contains("remote: mimir: push 1") && told.contains("mimir push show 1"), "{told}");
    assert!(told.contains(".github/workflows/ci.yml"), "{told}");
    assert_eq!(world.blog.head("mimir/ci"), None);
    assert_eq!(world.last().await.contents.protected, [".github/workflows/ci.yml"]);

    // It is in a commit, though not in the last one.
    let secret = format!("token = \"ghp_{}\"\n", "a1B2".repeat(9));
    let _ = world.git("work", &["checkout", "--quiet", "main"]).await.fine();
    let _ = world.commit("mimir/secret", "config", &secret).await;
    let _ = world.commit("mimir/secret", "config", "token = env\n").await;
    let told = world.push(&["mimir/secret"]).await.fine().stderr;
    assert!(told.contains("looks like a secret"), "{told}");
    let push = world.last().await;
    assert_eq!(push.state, PushState::Waiting, "{push:?}");
    assert!(!push.contents.findings.is_empty(), "{push:?}");
    assert!(!format!("{push:?}").contains(secret.split('"').nth(1).expect("it")), "{push:?}");
    assert_eq!(world.blog.heads().len(), 1);

    let approved = world.net.pushes.approve(&OWNER, 1).await.expect("approved");
    assert_eq!(approved.state, PushState::Pushed, "{approved:?}");
    assert!(world.blog.head("mimir/ci").is_some());
}

/// Its tree is that of its second parent, so in neither comparison of the usual kind does anything change.
#[tokio::test(flavor = "multi_thread")]
async fn a_merge_that_takes_a_protected_change_back_waits() {
    let world = World::new(GitMode::Direct).await;
    let checks = ".gitlab-ci.yml";
    let before = world.blog.commit("main", checks, "checks: off\n");
    let _ = world.blog.commit("main", checks, "checks: on\n");
    world.clone().await;
    let tree = format!("{before}^{{tree}}");
    let made = ["commit-tree", &tree, "-p", "origin/main", "-p", &before, "-m", "a merge"];
    let merge = world.git("work", &made).await.fine().stdout.trim().to_owned();
    let _ = world.push(&[&format!("{merge}:refs/heads/mimir/merge")]).await.fine();
    assert_eq!(world.blog.head("mimir/merge"), None);
    let push = world.last().await;
    assert_eq!((push.state, push.contents.protected), (PushState::Waiting, vec![checks.to_owned()]));
}

/// One that looks like nothing, in another spelling.
#[tokio::test(flavor = "multi_thread")]
async fn what_holds_a_secret_that_is_kept_here_waits() {
    let world = World::new(GitMode::Direct).await;
    world.clone().await;
    let value = "the staple of horses 4711";
    let name = SecretName::parse("billing").expect("a name");
    let _ = world.net.vault.set(&OWNER, &name, Value::Kept(Secret::new(value))).await.expect("kept");
    let _ = world.commit("mimir/plain", "notes", "nothing in it\n").await;
    let _ = world.push(&["mimir/plain"]).await.fine();
    assert!(world.blog.head("mimir/plain").is_some());

    let encoded = base64::engine::general_purpose::STANDARD.encode(value);
    let _ = world.commit("mimir/leak", "notes", &format!("{encoded}\n")).await;
    let _ = world.push(&["mimir/leak"]).await.fine();
    assert_eq!(world.blog.head("mimir/leak"), None);
    let push = world.last().await;
    assert_eq!(push.state, PushState::Waiting, "{push:?}");
    assert!(
        push.contents.findings.iter().any(|finding| finding.rule.contains("the secret billing")),
        "{push:?}"
    );
    assert!(!format!("{push:?}").contains(&encoded), "{push:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_repositories_are_read_without_a_credential_and_where_the_host_is_listed() {
    let mut world = World::new(GitMode::Direct).await;
    let _ = world.forge.public("them/library");
    let _ = world.forge.repository("me/private");
    let (library, private) = (world.address("them/library"), world.address("me/private"));
    let refused = world.git(".", &["clone", &library, "no"]).await.refused();
    assert!(refused.contains("it is not on the list"), "{refused}");

    // An address of this machine is never on a list; a frame with a network of its own reaches it without one.
    world.allow(|frame| frame.network = NetworkMode::Open);
    let _ = world.git(".", &["clone", "--quiet", &library, "library"]).await.fine();
    let refused = world.git(".", &["clone", &private, "no"]).await.refused();
    assert!(refused.contains("only the frame's own repository is opened"), "{refused}");
    let with_key = world
        .forge
        .seen()
        .into_iter()
        .filter(|it| it.authorization.is_some() && !it.path.contains("/me/blog"));
    assert_eq!(with_key.collect::<Vec<_>>(), []);

    world.allow(|frame| frame.network = NetworkMode::Sealed);
    let own = world.address("me/blog");
    let refused = world.git(".", &["clone", &own, "no"]).await.refused();
    assert!(refused.contains("sealed"), "{refused}");
    world.allow(|frame| (frame.network, frame.allow) = (NetworkMode::Allow, vec!["nowhere.test".to_owned()]));
    let asked = "GET /git/nowhere.test/me/blog/info/refs?service=git-upload-pack HTTP/1.1\r\nHost: x\r\n\r\n";
    let answer = world.net.ask(&world.frame, asked.as_bytes()).await;
    assert!(answer.contains("403") && answer.contains("no forge that mimir knows"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forge_that_says_no_or_nothing_is_quoted_and_can_be_asked_again() {
    let world = World::new(GitMode::Direct).await;
    world.clone().await;
    let commit = world.commit("mimir/fix", "a", "1").await;
    world.forge.fault(Some(Fault::Declines("no pushes on Sundays".into())));
    let refused = world.push(&["mimir/fix"]).await.refused();
    assert!(refused.contains("no pushes on Sundays"), "{refused}");
    assert_eq!(world.last().await.state, PushState::Failed);

    // The same once more takes its place.
    world.forge.fault(None);
    let _ = world.push(&["mimir/fix"]).await.fine();
    assert_eq!(world.blog.head("mimir/fix"), Some(commit));
    assert_eq!(world.states().await, [PushState::Replaced, PushState::Pushed]);

    world.forge.fault(Some(Fault::Status(500)));
    let refused = world.git("work", &["fetch"]).await.refused();
    assert!(refused.contains("the forge says 500"), "{refused}");
    world.forge.fault(Some(Fault::Silence));
    let refused = world.git("work", &["fetch"]).await.refused();
    assert!(refused.contains("cannot be reached"), "{refused}");
    world.assert_no_token(&[&refused]);
}
