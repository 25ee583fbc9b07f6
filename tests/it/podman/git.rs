//! Git in real frames: a forge on this machine, whose token only the host has.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::support::{Engine, Run, World, eventually, skip};
use crate::forge::{Bare, Forge, TOKEN};

struct Machine {
    world: World,
    forge: Forge,
    blog: Bare,
    _threads: tokio::runtime::Runtime,
}

impl Machine {
    fn new(test: &str) -> Option<Self> {
        let engine = Engine::usual();
        let world = match World::new(engine) {
            Ok(world) => world,
            Err(why) => {
                skip(test, &why);
                return None;
            }
        };
        let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let threads = threads.expect("a runtime");
        let forge = threads.block_on(Forge::start());
        let blog = forge.repository("me/blog");
        let token = world.root.join("token");
        std::fs::write(&token, TOKEN).expect("written");
        let config = format!(
            "git:\n  hosts: [\"{0}\"]\n  refresh: 1s\n  credentials:\n    - {{host: \"{0}\", file: {1}}}\n",
            forge.host(),
            token.display()
        );
        std::fs::write(world.home.join("config.yaml"), config).expect("written");
        let machine = Self { world, forge, blog, _threads: threads };
        machine.host_git(&["init", "--quiet", "--initial-branch=main", "."]);
        machine.host_git(&["remote", "add", "origin", &machine.address("me/blog")]);
        let all = format!("chown -R {} {}", machine.world.uid(), machine.world.root.display());
        assert!(Command::new("sh").args(["-c", &all]).status().expect("sh").success());
        Some(machine)
    }

    fn address(&self, path: &str) -> String {
        format!("{}/{path}.git", self.forge.host())
    }

    fn host_git(&self, args: &[&str]) {
        let done = Command::new("git").args(args).current_dir(&self.world.project).status();
        assert!(done.expect("git").success(), "{args:?}");
    }

    /// Runs a script in a frame's workspace.
    fn inside(&self, frame: &str, script: &str) -> Run {
        let named = "export GIT_AUTHOR_NAME=Agent GIT_AUTHOR_EMAIL=a@x.test GIT_COMMITTER_NAME=Agent GIT_COMMITTER_EMAIL=a@x.test\n";
        self.world.mimir(&["frame", "exec", frame, "--", "bash", "-c", &format!("{named}{script}")])
    }

    fn pushes(&self) -> Vec<Value> {
        self.world.json(&["push", "list", "--all"]).as_array().expect("a list").clone()
    }
}

#[test]
fn a_frame_pushes_to_its_own_repository_and_finds_no_key_inside() {
    let Some(machine) = Machine::new("git in a frame") else { return };
    let world = &machine.world;
    let made = world.mimir(&["frame", "create", "blog", "--start"]).ok();
    assert!(made.stderr.contains("with your credential"), "{made:?}");
    let shown = world.json(&["frame", "show", "blog"]);
    assert!(shown["repository"].as_str().is_some_and(|it| it.ends_with("/me/blog")), "{shown}");
    let pushed = machine.inside(
        "blog",
        "set -e; git fetch -q origin; git checkout -qf -B mimir/fix origin/main; echo 1 >a; git add a; git commit -qm a; \
         git push -q origin mimir/fix; git rev-parse HEAD",
    );
    let commit = pushed.ok().stdout.trim().to_owned();
    assert_eq!(machine.blog.head("mimir/fix"), Some(commit.clone()));

    for (script, words) in [
        ("git push origin HEAD:main", "may not push it"),
        ("git push origin :mimir/fix", "may not delete it"),
        ("git commit -q --amend -m other && git push --force origin mimir/fix", "may not rewrite it"),
        (
            "git push \"$(git remote get-url origin | sed s,blog,other,)\" HEAD:refs/heads/mimir/x",
            "its own repository alone",
        ),
    ] {
        let refused = machine.inside("blog", script);
        assert!(refused.code != 0 && refused.stderr.contains(words), "{script}: {refused:?}");
    }
    assert_eq!(machine.blog.head("mimir/fix"), Some(commit));
    assert_eq!(machine.blog.heads().len(), 2);

    let clone = machine.inside(
        "blog",
        &format!("git clone -q {} /tmp/again && cat /tmp/again/README.md", machine.address("me/blog")),
    );
    assert!(clone.ok().stdout.contains("A project"));
    // Everything that it can read, memory and environment of every process included.
    let search = format!(
        "grep -rIl --exclude-dir=sys {TOKEN} /proc/*/environ /proc/*/cmdline /home/agent /run /tmp /etc /workspace 2>/dev/null; env | grep -c {TOKEN}"
    );
    let found = machine.inside("blog", &search);
    let lines: Vec<&str> =
        found.stdout.lines().filter(|line| !line.starts_with("/proc/self") && *line != "0").collect();
    // The search's own words are in its own command line, and nowhere else.
    assert!(lines.iter().all(|line| line.ends_with("/cmdline")), "{found:?}");
    let planted =
        machine.inside("blog", &format!("printf %s {TOKEN} >/tmp/planted; {search}; rm /tmp/planted"));
    assert!(
        planted.stdout.lines().any(|line| line == "/tmp/planted"),
        "one that lay there is found: {planted:?}"
    );
    let log = std::fs::read_to_string(world.home.join("gateway.log")).unwrap_or_default();
    assert!(!log.contains(TOKEN), "the log");
}

#[test]
fn what_a_throwaway_frame_pushes_waits_for_a_look() {
    let Some(machine) = Machine::new("the gate of a throwaway frame") else { return };
    let world = &machine.world;
    let made = world.mimir(&["frame", "create", "fix", "--throwaway", "--network", "sealed", "--start"]).ok();
    assert!(made.stderr.contains("waits for a look"), "{made:?}");
    let begin = "set -e; git fetch -q origin; git checkout -qf -B mimir/fix origin/main";
    let told = machine
        .inside(
            "fix",
            &format!("{begin}; echo 1 >a; git add a; git commit -qm 'add a'; git push origin mimir/fix"),
        )
        .ok();
    assert!(told.stderr.contains("mimir push show 1"), "{told:?}");
    assert_eq!(machine.blog.heads().len(), 1, "a sealed frame reads the copy, and nothing left");
    let listed = world.json(&["push", "list"]);
    assert_eq!((listed[0]["state"].as_str(), listed[0]["frame"].as_str()), (Some("waiting"), Some("fix")));
    let shown = world.mimir(&["push", "show", "1"]).ok();
    assert!(shown.stdout.contains("add a") && shown.stdout.contains("+1"), "{shown:?}");

    let rejected = world.mimir(&["push", "reject", "1", "--why", "it needs a test"]).ok();
    assert!(rejected.stdout.contains("push 1 rejected"), "{rejected:?}");
    let told = machine
        .inside("fix", "set -e; echo 2 >test; git add test; git commit -qm test; git push origin mimir/fix")
        .ok();
    assert!(told.stderr.contains("it needs a test") && told.stderr.contains("mimir push show 2"), "{told:?}");
    let approved = world.mimir(&["push", "approve", "2"]).ok();
    assert!(approved.stdout.contains("push 2 pushed"), "{approved:?}");
    let commit = machine.inside("fix", "git rev-parse HEAD").ok().stdout.trim().to_owned();
    assert_eq!(machine.blog.head("mimir/fix"), Some(commit));
    assert!(world.mimir(&["push", "approve", "2"]).code != 0, "it is over");
    let _ = machine.blog.commit("main", "theirs", "x");
    let told = machine.inside("fix", "git fetch origin").ok();
    assert!(
        told.stderr.contains("push 2 (mimir/fix of ") && told.stderr.contains("is at the forge"),
        "{told:?}"
    );
    let _ = world.mimir(&["frame", "destroy", "fix", "--yes"]).ok();
    assert_eq!(machine.pushes().len(), 2, "what was pushed outlives its frame");
    world.knows_its_home();
}

/// `kill -9` when the forge has it and nobody has written that down.
#[test]
fn a_push_is_at_the_forge_once_though_the_gateway_dies_in_the_middle() {
    let Some(mut machine) = Machine::new("a gateway that dies while it pushes") else { return };
    let _ = machine.world.mimir(&["frame", "create", "fix", "--git", "gate", "--start"]).ok();
    let script = "set -e; git fetch -q origin; git checkout -qf -B mimir/fix origin/main; echo 1 >a; git add a; git commit -qm a; \
                  git push -q origin mimir/fix; git rev-parse HEAD";
    let commit = machine.inside("fix", script).ok().stdout.trim().to_owned();
    let _ = machine.world.mimir(&["serve", "--stop"]);
    machine.world.set_env("MIMIR_FAILPOINT", "push.after_forge");
    let _ = machine.world.mimir(&["serve", "--detach"]);
    let doomed = machine.world.gateway_pid();
    machine.world.clear_env("MIMIR_FAILPOINT");
    let broken_off = machine.world.mimir(&["push", "approve", "1"]);
    assert!(broken_off.code != 0, "{broken_off:?}");
    eventually("it is pushed", Duration::from_secs(60), || {
        let pushes = machine.pushes();
        if pushes[0]["state"] == "pushed" { Ok(()) } else { Err(format!("{pushes:?}")) }
    });
    assert_ne!(machine.world.gateway_pid(), doomed, "another gateway found out");
    assert_eq!(machine.blog.head("mimir/fix"), Some(commit));
    assert_eq!(machine.forge.pushes(), 1, "once, and no second time");
}
