//! A frame that means harm: what it pushes runs nothing on this side, leads nowhere, and does not hurt the gateway.

use std::time::{Duration, Instant};

use mimir::model::git::{GitMode, PushState};
use tokio::io::AsyncWriteExt;

use super::world::{OWNER, World};

/// A program that would leave a mark.
fn mark(world: &World) -> String {
    format!("touch {}", world.home().join("ran").display())
}

/// Raw entries of a tree: mode, name, id.
fn tree(entries: &[(&str, &str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (mode, name, id) in entries {
        bytes.extend(format!("{mode} {name}\0").bytes());
        bytes.extend(hex::decode(id).expect("an id"));
    }
    bytes
}

impl World {
    async fn blob(&self, text: &str) -> String {
        let args = ["hash-object", "-w", "--stdin"];
        self.git_with("work", &args, text.as_bytes()).await.fine().stdout.trim().to_owned()
    }

    async fn raw(&self, kind: &str, bytes: &[u8]) -> String {
        let args = ["hash-object", "-t", kind, "--literally", "-w", "--stdin"];
        self.git_with("work", &args, bytes).await.fine().stdout.trim().to_owned()
    }

    /// A commit of those raw entries, on top of nothing.
    async fn trap(&self, entries: &[(&str, &str, &str)]) -> String {
        let tree = self.raw("tree", &tree(entries)).await;
        let text = format!("tree {tree}\nauthor A <a@x> 1 +0000\ncommitter A <a@x> 1 +0000\n\nx\n");
        self.raw("commit", text.as_bytes()).await
    }

    /// Asks the broker something that is not HTTP that git would send.
    async fn post(&self, path: &str, kind: &str, body: &[u8]) -> String {
        let head = format!(
            "POST /git/{}/{path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-git-{kind}-request\r\n\
             Content-Length: {}\r\n\r\n",
            self.forge.address,
            body.len()
        );
        let mut request = head.into_bytes();
        request.extend(body);
        self.net.ask(&self.frame, &request).await
    }

    /// Nothing ran, nothing is at the forge, nothing is left, and an ordinary push goes through.
    async fn assert_unharmed(&self, what: &str) {
        assert!(!self.home().join("ran").exists(), "{what}: something ran");
        let heads = self.blog.heads();
        assert!(heads.iter().all(|(name, _)| !name.contains("trap")), "{what}: {heads:?}");
        let waiting = self.pushed().await.iter().filter(|push| !push.state.is_over()).count();
        assert_eq!(self.parcels(), waiting, "{what}: what was refused is gone");
    }
}

fn packet(text: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{:04x}", text.len() + 4).into_bytes();
    bytes.extend(text);
    bytes
}

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const NONE: &str = "0000000000000000000000000000000000000000";

#[tokio::test(flavor = "multi_thread")]
async fn trees_that_would_lead_a_checkout_astray_are_refused() {
    let world = World::new(GitMode::Direct).await;
    world.clone().await;
    let run = mark(&world);
    let file = world.blob("x").await;
    let config = world.blob(&format!("[core]\n\tfsmonitor = {run}\n\thooksPath = .\n")).await;
    let link = world.blob("/etc/passwd").await;
    let out = world.blob(&format!("[submodule \"../../hooks\"]\n\tpath = sub\n\turl = {run}\n")).await;
    let dash = world.blob("[submodule \"x\"]\n\tpath = sub\n\turl = --upload-pack=touch\n").await;
    let dash_path = world.blob("[submodule \"x\"]\n\tpath = -sub\n\turl = https://x.test/y\n").await;
    let newline =
        world.blob("[submodule \"x\"]\n\tpath = sub\n\turl = \"https://x.test/%0ahost=github.com\"\n").await;
    let update = format!("[submodule \"x\"]\n\tpath = sub\n\turl = ext::sh\n\tupdate = !{run}\n");
    let update = world.blob(&update).await;
    let folder = world.raw("tree", &tree(&[("100644", "config", &config)])).await;
    let traps: Vec<(&str, String)> = vec![
        ("a .git folder with a configuration", world.trap(&[("40000", ".git", &folder)]).await),
        ("a .git that is a link", world.trap(&[("120000", ".git", &link)]).await),
        (".GIT, where case does not count", world.trap(&[("40000", ".GIT", &folder)]).await),
        ("git~1, as Windows calls it", world.trap(&[("40000", "git~1", &folder)]).await),
        (".git with an invisible letter", world.trap(&[("40000", ".g\u{200c}it", &folder)]).await),
        ("a way up", world.trap(&[("40000", "..", &folder)]).await),
        ("the folder itself", world.trap(&[("40000", ".", &folder)]).await),
        ("a name with a slash", world.trap(&[("100644", "../../hooks/post-receive", &file)]).await),
        ("a submodule that runs something", world.trap(&[("100644", ".gitmodules", &update)]).await),
        ("two of one name", world.trap(&[("100644", "a", &file), ("100644", "a", &config)]).await),
        (".gitmodules that is a link", world.trap(&[("120000", ".gitmodules", &link)]).await),
        ("a submodule whose name leads out", world.trap(&[("100644", ".gitmodules", &out)]).await),
        ("a submodule whose address is an option", world.trap(&[("100644", ".gitmodules", &dash)]).await),
        ("a submodule whose path is an option", world.trap(&[("100644", ".gitmodules", &dash_path)]).await),
        (
            "a submodule with a line's end in its address",
            world.trap(&[("100644", ".gitmodules", &newline)]).await,
        ),
    ];
    for (what, commit) in traps {
        let refused = world.push(&[&format!("{commit}:refs/heads/mimir/trap")]).await.refused();
        assert!(refused.contains("checking what was sent was refused"), "{what}: {refused}");
        world.assert_unharmed(what).await;
    }
    let _ = world.commit("mimir/fine", "a", "1").await;
    let _ = world.push(&["mimir/fine"]).await.fine();
    assert_eq!(world.states().await, [PushState::Pushed]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_git_would_obey_in_a_checkout_is_only_data_here_and_waits() {
    let world = World::new(GitMode::Direct).await;
    world.clone().await;
    let run = mark(&world);
    for (branch, file, text) in [
        ("mimir/trap-attributes", ".gitattributes", "* filter=evil diff=evil merge=evil\n".to_owned()),
        ("mimir/trap-hooks", "hooks/post-receive", format!("#!/bin/sh\n{run}\n")),
        ("mimir/trap-husky", ".husky/pre-push", format!("#!/bin/sh\n{run}\n")),
        (
            "mimir/trap-ext",
            ".gitmodules",
            format!("[submodule \"x\"]\n\tpath = sub\n\turl = ext::sh -c {}\n", run.replace(' ', "% ")),
        ),
    ] {
        let _ = world.git("work", &["checkout", "--quiet", "main"]).await.fine();
        let _ = world.commit(branch, file, &text).await;
        let pushed = world.push(&[branch]).await.fine();
        assert!(!world.home().join("ran").exists(), "{branch}: something ran");
        // Attributes alone are nothing to look at.
        let is_there = world.blog.head(branch).is_some();
        assert_eq!(is_there, file == ".gitattributes", "{branch}: {pushed:?}");
    }
    for push in world.pushed().await.iter().filter(|push| push.state == PushState::Waiting) {
        let patches = world.net.pushes.patches(push).await.expect("patches");
        assert!(!patches.text.is_empty());
    }
    assert!(!world.home().join("ran").exists(), "looking at it ran something");
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_names_and_odd_lists_are_refused_and_change_nothing() {
    let world = World::new(GitMode::Gate).await;
    world.clone().await;
    let commit = world.commit("mimir/fine", "a", "1").await;
    for name in [
        "HEAD",
        "refs/replace/x",
        "refs/notes/commits",
        "refs/heads/../../objects/info/alternates",
        "refs/heads/mimir/x.lock",
        "refs/heads/mimir/a..b",
        "refs/heads/-mimir/x",
        "refs/heads/mimir/\u{202e}x",
        "refs/heads/mimir/`touch ran`",
        "refs/mimir/x",
        "config",
    ] {
        let mut body = packet(format!("{NONE} {commit} {name}\0 report-status").as_bytes());
        body.extend(b"0000");
        let answer = world.post("me/blog/git-receive-pack", "receive-pack", &body).await;
        assert!(answer.contains(&format!("ng {name}")), "{name}: {answer}");
    }
    for (what, body) in [
        ("no length", b"zzzz".to_vec()),
        ("a length of three", b"0003".to_vec()),
        ("longer than a line may be", b"ffff".to_vec()),
        ("no list", packet(b"hello")),
        ("no ids", packet(b"x y refs/heads/mimir/x")),
        ("from nothing to nothing", packet(format!("{NONE} {NONE} refs/heads/mimir/x").as_bytes())),
        ("no name", packet(format!("{NONE} {A} ").as_bytes())),
        ("a signed push", packet(b"push-cert\0 report-status")),
        ("a line without an end", b"00ff".to_vec()),
        ("nothing", Vec::new()),
        ("no end", packet(format!("{NONE} {A} refs/heads/mimir/x").as_bytes())),
        ("too many", packet(format!("{NONE} {A} refs/heads/mimir/x").as_bytes()).repeat(5000)),
    ] {
        let answer = world.post("me/blog/git-receive-pack", "receive-pack", &body).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{what}: {answer}");
    }
    for path in ["me/../blog", "me/.git/config", "-x/y", "me%2f..%2fx/y", "x"] {
        let answer = world.post(&format!("{path}/git-receive-pack"), "receive-pack", b"0000").await;
        assert!(answer.starts_with("HTTP/1.1 404") || answer.starts_with("HTTP/1.1 403"), "{path}: {answer}");
    }
    assert_eq!(world.states().await, []);
    world.assert_unharmed("odd lists").await;
    let _ = world.push(&["mimir/fine"]).await.fine();
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_that_are_too_large_broken_or_not_all_there_are_refused() {
    let world = World::with(GitMode::Direct, |git| git.push_limit = 64 * 1024).await;
    world.clone().await;
    let noise = hex::encode(mimir::clock::entropy::<100_000>());
    let _ = world.commit("mimir/trap-large", "noise", &noise).await;
    let refused = world.push(&["mimir/trap-large"]).await.refused();
    assert!(refused.contains("git.push_limit"), "{refused}");
    world.assert_unharmed("a large push").await;

    let list = |id: &str| {
        let mut body = packet(format!("{NONE} {id} refs/heads/mimir/trap\0 report-status").as_bytes());
        body.extend(b"0000");
        body
    };
    // A pack that says it holds a commit and ends, and one that is noise.
    let short = b"PACK\0\0\0\x02\0\0\0\x01".to_vec();
    let noise = noise.bytes().take(2000).collect::<Vec<u8>>();
    let orphan = format!("tree {A}\nparent {A}\nauthor A <a@x> 1 +0000\ncommitter A <a@x> 1 +0000\n\nx\n");
    let orphan = world.raw("commit", orphan.as_bytes()).await;
    for (what, id, pack) in [("cut off", A, short), ("noise", A, noise)] {
        let answer = world.post("me/blog/git-receive-pack", "receive-pack", &[list(id), pack].concat()).await;
        assert!(answer.contains("ng refs/heads/mimir/trap"), "{what}: {answer}");
        assert!(!answer.contains("unpack ok"), "{what}: {answer}");
    }
    // No objects at all for an id that nobody has.
    let empty = hex::decode("5041434b0000000200000000029d08823bd8a8eab510ad6ac75c823cfd3ed31e").expect("hex");
    let answer =
        world.post("me/blog/git-receive-pack", "receive-pack", &[list(&orphan), empty].concat()).await;
    assert!(answer.contains("ng refs/heads/mimir/trap"), "{answer}");
    world.assert_unharmed("broken packs").await;
    assert_eq!(world.states().await, []);
    let _ = world.git("work", &["checkout", "--quiet", "main"]).await.fine();
    let _ = world.commit("mimir/fine", "a", "1").await;
    let _ = world.push(&["mimir/fine"]).await.fine();
}

/// What is no text is looked through as far as that goes, and waits.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_to_be_looked_through_waits() {
    let world = World::new(GitMode::Direct).await;
    world.clone().await;
    let noise = hex::encode(mimir::clock::entropy::<100_000>());
    let _ = world.commit("mimir/large", "picture", &format!("\0{}", noise.repeat(40))).await;
    let told = world.push(&["mimir/large"]).await.fine().stderr;
    assert!(told.contains("too large to be looked through"), "{told}");
    let push = world.last().await;
    let patches = world.net.pushes.patches(&push).await.expect("patches");
    assert!(patches.text.contains("Binary files") && !patches.is_cut, "{}", patches.text.len());
}

/// Half a megabyte that becomes 600: git may not take the memory for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_small_pack_that_becomes_huge_ends_early() {
    let world = World::new(GitMode::Gate).await;
    world.clone().await;
    // Zeros pack well: 600 MB in under one.
    let huge = world.path("work/huge");
    let file = std::fs::File::create(&huge).expect("a file");
    file.set_len(600 << 20).expect("as long");
    let _ = world.git("work", &["checkout", "--quiet", "-B", "mimir/trap-huge"]).await.fine();
    let _ = world.git("work", &["-c", "core.compression=9", "add", "huge"]).await.fine();
    let _ = world.git("work", &["commit", "--quiet", "-m", "huge"]).await.fine();
    let began = Instant::now();
    let pushed = world.push(&["mimir/trap-huge"]).await;
    let refused = pushed.refused();
    assert!(refused.contains("over limit"), "{refused}");
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    world.assert_unharmed("a push that becomes huge").await;
}

/// What is sent is counted, and capped, as it comes: whoever hangs up has sent it all the same.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_is_counted_as_it_comes() {
    let world = World::new(GitMode::Direct).await;
    world.clone().await;
    let mut stream = world.net.connect(&world.frame).await;
    let mut body = packet(format!("{NONE} {A} refs/heads/mimir/trap\0 report-status").as_bytes());
    body.extend(b"0000PACK\0\0\0\x02\0\0\0\x01");
    body.extend(mimir::clock::entropy::<100_000>());
    let head = format!(
        "POST /git/{}/me/blog/git-receive-pack HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n",
        world.forge.address
    );
    stream.write_all(&[head.into_bytes(), body].concat()).await.expect("sent");
    let counted = world.net.traffic(&world.frame, "127.0.0.1", |it| it.sent_bytes >= 100_000).await;
    assert!(counted.sent_bytes < 110_000, "{counted:?}");
    drop(stream);
    assert_eq!(world.forge.pushes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_in_the_middle_leaves_nothing() {
    let world = World::new(GitMode::Gate).await;
    world.clone().await;
    let mut stream = world.net.connect(&world.frame).await;
    let mut body = packet(format!("{NONE} {A} refs/heads/mimir/trap\0 report-status").as_bytes());
    body.extend(b"0000PACK");
    let head = format!(
        "POST /git/{}/me/blog/git-receive-pack HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n",
        world.forge.address
    );
    stream.write_all(&[head.into_bytes(), body].concat()).await.expect("sent");
    crate::net::support::eventually("it is being received", || async {
        if world.parcels() == 1 { Ok(()) } else { Err(format!("{} folders", world.parcels())) }
    })
    .await;
    drop(stream);
    crate::net::support::eventually("nothing is left", || async {
        if world.parcels() == 0 { Ok(()) } else { Err(format!("{} folders", world.parcels())) }
    })
    .await;
    let _ = world.commit("mimir/fine", "a", "1").await;
    let _ = world.push(&["mimir/fine"]).await.fine();
    let done = world.net.pushes.approve(&OWNER, 1).await.expect("approved");
    assert_eq!(done.state, PushState::Pushed, "{done:?}");
}
