//! What belongs to the user and to the project comes along: instructions, git and who commits; what is secret is asked
//! for. And a folder that changes under its frame.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::scripted::Scripted;
use super::support::{Engine, Run, World, eventually, skip};

/// With root's engine and an ordinary user's, one after the other, as far as this machine has them.
fn on_each_engine(test: &str, check: impl Fn(&World)) {
    for engine in [Engine::Rootful, Engine::Rootless] {
        match World::new(engine) {
            Ok(world) => check(&world),
            Err(why) => skip(&format!("{test} ({engine:?})"), &why),
        }
    }
}

/// A shell command on the host, as the user whose world it is.
fn host(world: &World, script: &str) -> String {
    let argv = world.argv("sh", &["-ec", script]);
    let done = std::process::Command::new(&argv[0]).args(&argv[1..]).output().expect("a shell");
    assert!(done.status.success(), "{script}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).trim().to_owned()
}

fn inside(world: &World, frame: &str, script: &str) -> Run {
    world.mimir(&["frame", "exec", frame, "--", "sh", "-c", script])
}

const REPOSITORY: &str = "git init -q -b main main && cd main && git config user.email me@example.org && \
                          git config user.name Me && echo x >a.txt && git add a.txt && git commit -qm first";

fn git_works_in(world: &World) {
    let root = world.project.display().to_string();
    let _ = host(world, REPOSITORY);
    let _ = host(
        world,
        "cd main && git worktree add -q ../tree -b tree && mkdir -p packages/app && \
         git -c protocol.file.allow=always submodule --quiet add ../main sub && git commit -qm sub && \
         touch -d '3 days ago' .git/worktrees/tree/gitdir && rm -rf .git/logs",
    );

    // A worktree: commits and branches arrive outside, and what git obeys there stays as it is.
    let made = world.mimir(&["frame", "create", "tree", "--workspace", "tree"]).ok();
    assert!(made.stderr.contains("it is a worktree of"), "{made:?}");
    let _ = inside(world, "tree", "echo y >>a.txt && git commit -qam second && git switch -qc other").ok();
    assert_eq!(host(world, "git -C main log --format=%s -1 tree"), "second");
    assert_eq!(host(world, "git -C tree status --porcelain -b"), "## other");
    assert_eq!(host(world, "git -C main worktree list | wc -l"), "2");
    let _ = inside(world, "tree", "ln -sf /tmp/victim /run/mimir/git/logs/refs/heads/main").ok();
    assert_eq!(host(world, "test ! -L main/.git/logs/refs/heads/main && echo a file"), "a file");
    let back = host(world, "cat main/.git/worktrees/tree/gitdir");
    assert_eq!(Path::new(&back), fs::canonicalize(&world.project).expect("there").join("tree/.git"));
    for attack in [
        "git config core.fsmonitor /workspace/evil",
        "echo x >/run/mimir/git/hooks/pre-commit",
        "echo /workspace >/run/mimir/git/commondir",
        "echo /workspace >/run/mimir/git/worktrees/tree/commondir",
        "echo [core] >/run/mimir/git/worktrees/tree/config.worktree",
        "echo x >/run/mimir/git/config",
        "echo gitdir: /etc >/workspace/.git",
        "rm -f /workspace/.git",
        "mv /run/mimir/git/objects /run/mimir/git/o",
    ] {
        assert_ne!(inside(world, "tree", attack).code, 0, "{attack}");
    }
    let shown = world.mimir(&["frame", "show", "tree"]).ok().stdout;
    assert!(shown.contains("at /run/mimir/git (read-only)"), "{shown}");
    let sent = world.mimir(&["send", "--frame", "tree", "hello"]).ok();
    assert!(!sent.stdout.is_empty(), "opencode is content with it");
    let _ = world.mimir(&["frame", "destroy", "tree", "--yes"]).ok();
    assert_eq!(host(world, "git -C tree log --format=%s -1"), "second");

    // A submodule.
    let made = world.mimir(&["frame", "create", "sub", "--workspace", "main/sub"]).ok();
    assert!(made.stderr.contains("it is a submodule"), "{made:?}");
    let seen = inside(
        world,
        "sub",
        "git status --porcelain && echo z >>a.txt && git diff --stat && git log --format=%s -1",
    );
    assert!(seen.ok().stdout.contains("a.txt"), "git can be asked");
    for attack in [
        "git -c user.name=Me -c user.email=me@example.org commit -qam third",
        "git config core.fsmonitor /workspace/evil",
        "echo ../../../sub/.evil >/run/mimir/git/commondir",
        "git init -q evil && git add evil",
    ] {
        assert_ne!(inside(world, "sub", attack).code, 0, "a superproject's git obeys it: {attack}");
    }

    // A part of a repository: said in one sentence, with what to use.
    let _ = host(world, "mkdir -p main/packages/app");
    let made =
        world.mimir(&["frame", "create", "app", "--workspace", "main/packages/app", "--no-start"]).ok();
    assert!(made.stderr.contains("git does not work in it") && made.stderr.contains(&root), "{made:?}");

    // A clone that borrows its objects: the same, with what makes it whole.
    let _ = host(world, "git clone -q --shared main borrowed");
    let lent = ["frame", "create", "lent", "--workspace", "borrowed", "--no-start"];
    let made = world.mimir(&lent).ok();
    assert!(made.stderr.contains("borrows objects of"), "{made:?}");
    assert!(made.stderr.contains("git repack -a -d"), "{made:?}");
    let doctor = world.mimir(&["doctor"]);
    assert!(doctor.stdout.contains("frame app: git does not work in it"), "{doctor:?}");
    assert!(doctor.stdout.contains("frame sub: a submodule, which git reads there"), "{doctor:?}");
    assert!(doctor.stdout.contains("frame lent: git does not work in it"), "{doctor:?}");
    for frame in ["app", "lent", "sub"] {
        let _ = world.mimir(&["frame", "destroy", frame, "--yes"]).ok();
    }
    let _ = host(world, "cd borrowed && git repack -q -a -d && rm .git/objects/info/alternates");
    let made = world.mimir(&lent).ok();
    assert!(!made.stderr.contains("borrows"), "{made:?}");
    let _ = world.mimir(&["frame", "destroy", "lent", "--yes"]).ok();
}

/// Field cases 01 and 03.
#[test]
fn git_works_in_worktrees_and_submodules_and_a_part_of_a_repository_says_that_it_does_not() {
    on_each_engine("git in worktrees", git_works_in);
}

/// Field cases 06, 13, 27 and 28.
#[test]
fn instructions_and_the_users_name_come_along_and_secrets_are_asked_for() {
    let Some(mut place) = Scripted::new("what a project brings along", "") else { return };
    if rustix::process::getuid().is_root() && place.world.engine == Engine::Rootful {
        let home = place.world.root.join("user");
        fs::create_dir(&home).expect("a folder");
        let text =
            "[user]\n\tname = Frame Tester\n\temail = tester@example.org\n[commit]\n\tgpgsign = true\n";
        fs::write(home.join(".gitconfig"), text).expect("written");
        place.world.set_env("HOME", &home.display().to_string());
    }
    let world = &place.world;
    let who = host(world, "git config user.name || true");
    let _ = host(
        world,
        "git init -q . && echo 'Always answer in MARKER-AGENTS style.' >AGENTS.md && echo MARKER-CLAUDE >CLAUDE.md && \
         mkdir -p docs .opencode/plugin && echo MARKER-RULES >docs/rules.md && echo SECRET=hunter2 >.env && \
         echo 'export const x = async () => ({})' >.opencode/plugin/x.js && \
         echo '{\"instructions\": [\"docs/rules.md\"], \"model\": \"evil/evil\"}' >opencode.json",
    );
    let made = world.mimir(&["frame", "create", "blog"]).ok();
    assert!(
        made.stderr.contains("left out until you trust the project: .opencode/plugin, opencode.json"),
        "{made:?}"
    );
    let _ = world.mimir(&["send", "--frame", "blog", "hello"]).ok();
    let asked: String = place.model.seen().iter().map(|seen| seen.body.to_string()).collect();
    assert!(
        asked.contains("MARKER-AGENTS") && asked.contains("MARKER-RULES"),
        "instructions reach the model"
    );
    assert!(!asked.contains("MARKER-CLAUDE"), "as with plain opencode, the first file counts");

    // Commits are the user's, and unsigned.
    if who.is_empty() {
        assert!(made.stderr.contains("git knows no name for you"), "{made:?}");
    } else {
        let _ = inside(world, "blog", "git add -A && git commit -qm first").ok();
        assert_eq!(host(world, "git log --format='%an %G?' -1"), format!("{who} N"));
    }

    // SSH: a forge is reached through the broker, which speaks https to it, or it is said what to use.
    let url = inside(world, "blog", "git ls-remote --get-url git@github.com:octocat/Hello-World.git").ok();
    assert_eq!(url.stdout.trim(), "http://127.0.0.1:8118/git/github.com/octocat/Hello-World.git");
    let refused = inside(world, "blog", "git ls-remote ssh://git@git.example.org:2222/x.git");
    assert!(refused.code != 0 && refused.stderr.contains("use the https address"), "{refused:?}");
    eventually("whoever looks from outside sees which host was wanted", Duration::from_secs(20), || {
        let events = world.mimir(&["frame", "events", "blog", "--json"]).ok().lines();
        let told = |event: &serde_json::Value| {
            event["kind"] == "frame.refused" && event["data"]["host"] == "git.example.org"
        };
        if events.iter().any(told) { Ok(()) } else { Err(format!("{:?}", events.last())) }
    });

    // Secrets: asked first, and whoever may answer decides.
    let sender = world.spawn(&["send", "--frame", "blog", "@@readenv@@"]);
    let id = eventually("the question is there", Duration::from_secs(60), || {
        let waiting = world.json(&["approvals", "list"]);
        let one = waiting.as_array().and_then(|all| all.first().cloned()).ok_or("nothing waits")?;
        assert!(one["text"].to_string().contains(".env"), "{one}");
        Ok(one["id"].as_str().unwrap_or_default().to_owned())
    });
    let _ = world.mimir(&["approvals", "deny", &id, "--why", "not yours"]).ok();
    let output = sender.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!said.contains("hunter2") && said.contains("not yours"), "{said}");
    let _ = world.mimir(&["frame", "destroy", "blog", "--yes"]).ok();
}

/// A folder of that name below the project, with a file that says which one it is.
fn marked(world: &World, name: &str) -> String {
    let folder = world.project.join(name);
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join("mark"), name).expect("a file");
    let all = ["-R", &world.uid().to_string()].map(str::to_owned);
    let owned = std::process::Command::new("chown").args(all).arg(&world.project).status();
    assert!(owned.expect("chown").success());
    folder.display().to_string()
}

fn odd_names(world: &World) {
    let secret = marked(world, "secret");
    for name in [format!("x,src={secret}"), "a,b:ro \"c\"\n$d=\u{202e}é\\".to_owned()] {
        // The first one is a folder below others, as somebody would lay a trap.
        let folder = marked(world, &name);
        let made = world.mimir(&["frame", "create", "odd", "--workspace", &folder]).ok();
        let seen = inside(world, "odd", "ls /workspace && cat /workspace/mark && echo new >/workspace/new");
        assert_eq!(seen.ok().stdout, format!("mark\n{name}"), "{made:?}");
        assert!(Path::new(&folder).join("new").exists(), "it is that folder: {folder:?}");
        assert!(!Path::new(&secret).join("new").exists(), "nothing is written elsewhere");
        assert_eq!(world.json(&["frame", "show", "odd"])["workspace"], folder);
        let shown = world.mimir(&["frame", "show", "odd"]).ok().stdout;
        assert!(!shown.contains('\u{202e}'), "{shown:?}");
        let _ = world.mimir(&["frame", "destroy", "odd", "--yes"]).ok();
    }
}

/// Field case 04: a folder's name is text to an older interface of the engine, with commas and words of its own.
#[test]
fn the_folder_that_is_named_is_mounted_whatever_its_name_is() {
    on_each_engine("odd folder names", odd_names);
}

fn folder_changes(world: &World) {
    let _ = host(world, &format!("{REPOSITORY} && cd .. && cp -a main kept"));
    let _ = world.mimir(&["frame", "create", "w", "--workspace", "main"]).ok();
    // The agent may be writing into it just now: whoever removes it does so again.
    let _ = host(
        world,
        "for _ in 1 2 3 4 5 6 7 8 9; do rm -rf main 2>/dev/null && break; sleep 0.2; done; \
         test ! -e main && cp -a kept main && echo new >main/newfile",
    );
    let sent = world.mimir(&["send", "--frame", "w", "hello"]).ok();
    assert!(!sent.stdout.contains("    at "), "{sent:?}");
    let listed = world.mimir(&["frame", "exec", "w", "--", "ls", "/workspace"]).ok();
    assert!(listed.stdout.contains("newfile"), "{listed:?}");
    let notes = world.mimir(&["frame", "events", "w"]).ok().stdout;
    assert!(notes.contains("deleted and made anew"), "{notes}");

    // Moved away: said in one sentence with what to type, and followed.
    let _ = host(world, "mv main moved");
    let refused = world.mimir(&["frame", "exec", "w", "--", "ls"]);
    assert!(refused.code != 0 && refused.stderr.contains("mimir frame move w PATH"), "{refused:?}");
    assert!(!refused.stderr.contains("breakout"), "{refused:?}");
    world.wait_for_state("w", "error", Duration::from_secs(30));
    let shown = world.mimir(&["frame", "show", "w"]).ok().stdout;
    assert!(shown.contains("mimir frame move w"), "{shown}");
    let _ = world.mimir(&["frame", "move", "w", "moved"]).ok();
    let _ = world.mimir(&["frame", "start", "w"]).ok();
    let listed = world.mimir(&["frame", "exec", "w", "--", "ls", "/workspace"]).ok();
    assert!(listed.stdout.contains("newfile"), "{listed:?}");
    let _ = world.mimir(&["frame", "destroy", "w", "--yes"]).ok();
}

/// Field case 23.
#[test]
fn a_folder_made_anew_or_moved_under_a_running_frame_is_noticed() {
    on_each_engine("folders that change", folder_changes);
}

#[test]
fn an_image_of_somebody_else_is_refused_before_anything_is_made() {
    let Some(place) = Scripted::new("images of somebody else", "") else { return };
    let world = &place.world;
    let image = "localhost/mimir-test-of-somebody-else:latest";
    let _ = host(world, "tar -cf image.tar README.md");
    let _ = world.podman(&["import", "-q", "image.tar", image]).ok();
    let refused = world.mimir(&["frame", "create", "foreign", "--image", image]);
    assert!(refused.code != 0 && refused.stderr.contains("is no frame image of mimir"), "{refused:?}");
    assert!(refused.stderr.contains("mimir image list"), "{refused:?}");
    assert!(world.containers().is_empty());
    let absent =
        world.mimir(&["frame", "create", "foreign", "--image", "localhost/mimir-test-of-nobody:latest"]);
    assert!(absent.code == 3 && absent.stderr.contains("mimir image"), "{absent:?}");
    let _ = world.podman(&["rmi", image]).ok();
}
