//! What a push holds besides the changes of its commits: tags, what they say, heads of commits, names.

use mimir::model::git::{GitMode, PushState};

use super::world::World;

fn secret() -> String {
    format!("ghp_{}", "a1B2".repeat(9))
}

/// A world whose frame may push tags, with one commit on `mimir/fix` that is at the forge.
async fn world() -> World {
    let mut world = World::new(GitMode::Direct).await;
    world.allow(|frame| frame.forge.branches = vec!["mimir/*".to_owned(), "refs/tags/*".to_owned()]);
    world.clone().await;
    let _ = world.commit("mimir/fix", "a", "1").await;
    let _ = world.push(&["mimir/fix"]).await.fine();
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_of_a_folder_or_a_file_is_refused_however_deep_it_is() {
    let world = world().await;
    let folder = world.id("HEAD^{tree}").await;
    let file = world.git_with("work", &["hash-object", "-w", "--stdin"], secret().as_bytes()).await.fine();
    let file = file.stdout.trim().to_owned();
    let _ = world.git("work", &["tag", "-a", "-m", "a folder", "wrapped", &folder]).await.fine();
    let _ = world.git("work", &["tag", "-a", "-m", "twice", "twice", "wrapped"]).await.fine();
    for (what, end) in [
        ("a folder", folder),
        ("a file", file),
        ("a tag of a folder", "wrapped".to_owned()),
        ("a tag of a tag of a folder", "twice".to_owned()),
    ] {
        let refused = world.push(&[&format!("{end}:refs/tags/trap")]).await.refused();
        assert!(refused.contains("only commits, and tags of commits"), "{what}: {refused}");
    }
    let mut last = "HEAD".to_owned();
    for depth in 0..6 {
        let name = format!("deep-{depth}");
        let _ = world.git("work", &["tag", "-a", "-m", "deeper", &name, &last]).await.fine();
        last = name;
    }
    let refused = world.push(&[&format!("{last}:refs/tags/trap")]).await.refused();
    assert!(refused.contains("only commits, and tags of commits"), "{refused}");
    let refused = world.push(&["deep-0:refs/heads/mimir/trap"]).await.refused();
    assert!(refused.contains("a branch ends with a commit") || refused.contains("not a commit"), "{refused}");
    assert!(world.blog.heads().iter().all(|(name, _)| !name.contains("trap")));
    assert_eq!(world.states().await, [PushState::Pushed]);
    assert_eq!(world.parcels(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_tag_says_is_looked_through_and_shown() {
    let world = world().await;
    let _ = world.git("work", &["tag", "-a", "-m", "the first release", "v1"]).await.fine();
    let _ = world.push(&["refs/tags/v1"]).await.fine();
    assert!(world.blog.head("v1").is_some(), "an ordinary tag goes on");

    let message = format!("token {}", secret());
    let _ = world.git("work", &["tag", "-a", "-m", &message, "v2"]).await.fine();
    let told = world.push(&["refs/tags/v2"]).await.fine().stderr;
    assert!(told.contains("looks like a secret"), "{told}");
    assert_eq!(world.blog.head("v2"), None);
    let patches = world.net.pushes.patches(&world.last().await).await.expect("patches");
    assert!(patches.text.contains("tag v2") && patches.text.contains(&message), "{}", patches.text);

    // Beneath an innocent one.
    let _ = world.git("work", &["tag", "-a", "-m", "innocent", "v3", "v2"]).await.fine();
    let told = world.push(&["refs/tags/v3"]).await.fine().stderr;
    assert!(told.contains("looks like a secret"), "{told}");
    assert_eq!(world.blog.head("v3"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_of_commits_and_names_of_branches_are_looked_through_as_well() {
    let world = world().await;
    let text = world.git("work", &["cat-file", "commit", "HEAD"]).await.fine().stdout;
    let signed = text.replacen("\n\n", &format!("\ngpgsig {}\n\n", secret()), 1);
    assert_ne!(signed, text);
    let args = ["hash-object", "-t", "commit", "-w", "--stdin"];
    let commit = world.git_with("work", &args, signed.as_bytes()).await.fine().stdout.trim().to_owned();
    let told = world.push(&[&format!("{commit}:refs/heads/mimir/signed")]).await.fine().stderr;
    assert!(told.contains("looks like a secret"), "{told}");
    assert_eq!(world.blog.head("mimir/signed"), None);

    let name = format!("mimir/{}", secret());
    let told = world.push(&[&format!("HEAD:refs/heads/{name}")]).await.fine().stderr;
    assert!(told.contains("looks like a secret"), "{told}");
    assert_eq!(world.blog.head(&name), None);
}
