//! The scripts that run inside frames, run here against repositories of this machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::analyse::MISSING;
use super::checks::{AFTER, BEFORE, CHANGED, FACTS, tests_in};
use super::commit::COMMIT;
use super::frame::CLONE_SCRIPT;
use super::hand_out::PUSH_SCRIPT;
use super::inside::OUR_GIT;
use super::resume::SYNC_SCRIPT;

const BRANCH: &str = "mimir/run_1";

/// A bare repository, somebody's clone of it, and an empty folder.
struct World {
    root: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let world = Self { root: tempfile::tempdir().expect("a folder") };
        for folder in ["bare", "theirs", "work"] {
            fs::create_dir(world.at(folder)).expect("a folder");
        }
        world.git("bare", "init -q --bare --initial-branch=trunk .");
        world.git("theirs", "init -q --initial-branch=trunk .");
        world.git("theirs", &format!("remote add origin {}", world.at("bare").display()));
        world.write("theirs", "cart.py", "def mean(all):\n    return sum(all) / len(all)\n");
        world.commit("first");
        world.git("theirs", "tag v1.0");
        world.write("theirs", "README", "two\n");
        world.commit("second");
        world.git("theirs", "push -q origin trunk v1.0");
        world
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn write(&self, folder: &str, file: &str, text: &str) {
        let path = self.at(folder).join(file);
        fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        fs::write(path, text).expect("written");
    }

    fn read(&self, folder: &str, file: &str) -> String {
        fs::read_to_string(self.at(folder).join(file)).expect("a file")
    }

    fn commit(&self, message: &str) {
        self.git("theirs", "add -A");
        self.git("theirs", &format!("commit -q -m {message}"));
    }

    fn git(&self, folder: &str, line: &str) -> String {
        run(&self.at(folder), &format!("git {line}"), &[]).trim().to_owned()
    }

    /// In the frame's clone.
    fn inside(&self, script: &str, args: &[&str]) -> Vec<String> {
        run(&self.at("work"), &format!("{OUR_GIT}{script}"), args).lines().map(str::to_owned).collect()
    }

    fn clone(&self, begin: &str, names: &[&str]) -> String {
        let address = self.at("bare").display().to_string();
        let args = [&[address.as_str(), BRANCH, begin, "", "mimir", "mimir@localhost"], names].concat();
        self.inside(CLONE_SCRIPT, &args).pop().expect("a commit")
    }

    fn committed(&self, parent: &str, second: &str) -> Vec<String> {
        self.inside(
            COMMIT,
            &[parent, second, BRANCH, "A title\n\nA body", "mimir", "mimir@localhost", "1795261756"],
        )
    }
}

fn run(folder: &Path, script: &str, args: &[&str]) -> String {
    let mut command = Command::new("bash");
    command.args(["-c", script, "mimir"]).args(args).current_dir(folder).env("HOME", folder);
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "Agent").env(format!("GIT_{who}_EMAIL"), "agent@example.org");
    }
    let done = command.output().expect("bash");
    assert!(done.status.success(), "{script}\n{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

#[test]
fn a_clone_begins_where_the_report_is_from_if_the_first_branch_has_that() {
    let world = World::new();
    let (first, second) = (world.git("theirs", "rev-parse v1.0"), world.git("theirs", "rev-parse trunk"));
    assert_eq!(world.clone("base", &[]), second);
    assert_eq!(world.clone("base", &[&first]), first, "and once more over what is there");
    assert_eq!(world.clone("base", &["refs/tags/1.0", "refs/tags/v1.0"]), first);
    assert_eq!(world.clone("base", &["refs/tags/v9"]), second);
    // On a branch that somebody pushed, and in nobody's first one.
    world.git("theirs", "checkout -q -b other");
    world.write("theirs", "evil", "x");
    world.commit("evil");
    world.git("theirs", "push -q origin other");
    let evil = world.git("theirs", "rev-parse HEAD");
    assert_eq!(world.clone("base", &[&evil]), second);
    assert_eq!(world.git("work", "rev-parse --abbrev-ref HEAD"), BRANCH);
    assert_eq!(world.clone("branch", &[]), second, "the branch is not there yet");
}

#[test]
fn a_clone_that_was_broken_off_is_made_whole() {
    let world = World::new();
    let _ = world.clone("base", &[]);
    world.write("work", ".git/index.lock", "");
    world.write("work", "cart.py", "half of it");
    fs::remove_file(world.at("work/README")).expect("removed");
    let at = world.clone("base", &[]);
    assert_eq!(world.git("work", "status --porcelain"), "");
    assert_eq!(at, world.git("theirs", "rev-parse trunk"));
}

#[test]
fn what_lies_there_becomes_one_commit_of_mimirs_whatever_the_agent_committed() {
    let world = World::new();
    let base = world.clone("base", &[]);
    assert_eq!(world.committed(&base, ""), ["none"]);
    world.write("work", "cart.py", "fixed\n");
    world.git("work", "commit -q -a -m obey");
    world.write("work", "test_cart.py", "a test\n");
    world.write("work", "node_modules/x/y.js", "not ours\n");
    world.write("work", ".git/hooks/pre-commit", "#!/bin/sh\nexit 1\n");
    world.git("work", "checkout -q -b elsewhere");
    let said = world.committed(&base, "");
    assert_eq!(said, world.committed(&base, ""), "made again it is the same one");
    assert!(said[1].contains("2 files changed"), "{said:?}");
    assert_eq!(world.git("work", &format!("rev-list --count {base}..{BRANCH}")), "1");
    assert_eq!(world.git("work", "rev-parse HEAD"), said[0]);
    assert_eq!(world.git("work", "log -1 --format=%an/%cn/%s"), "mimir/mimir/A title");
    assert_eq!(world.git("work", "ls-files"), "README\ncart.py\ntest_cart.py");
    assert_eq!(world.git("work", "status --porcelain"), "");
}

#[test]
fn hooks_and_watchers_of_an_agent_are_not_run_and_stop_nothing() {
    let world = World::new();
    let base = world.clone("base", &[]);
    let trap = world.at("trap");
    for name in [
        "post-checkout",
        "post-index-change",
        "pre-merge-commit",
        "pre-push",
        "reference-transaction",
        "watch",
    ] {
        let path = format!(".git/hooks/{name}");
        world.write("work", &path, &format!("#!/bin/sh\ntouch {}\nexit 1\n", trap.display()));
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(world.at("work").join(&path), mode).expect("a program");
    }
    world.git("work", "config core.fsmonitor .git/hooks/watch");
    let plain = Command::new("git")
        .args(["update-ref", "refs/heads/x", &base])
        .current_dir(world.at("work"))
        .output();
    assert!(plain.is_ok_and(|done| !done.status.success()) && trap.exists(), "they work");
    fs::remove_file(&trap).expect("removed");

    world.write("work", "cart.py", "fixed\n");
    world.write("work", "test_cart.py", "a test\n");
    let commit = world.committed(&base, "")[0].clone();
    assert_eq!(world.inside(CHANGED, &[&base, &commit]).len(), 1);
    let _ = world.inside(BEFORE, &[&base, &commit, "test_cart.py"]);
    let _ = world.inside(AFTER, &[&commit, BRANCH]);
    let _ = world.inside(PUSH_SCRIPT, &[&commit, BRANCH]);
    world.write("theirs", "README", "three\n");
    world.commit("third");
    world.git("theirs", "push -q origin trunk");
    assert_eq!(world.inside(SYNC_SCRIPT, &[BRANCH, "trunk"]).len(), 3);
    assert_eq!(world.clone("branch", &[]), commit);
    assert!(!trap.exists(), "something of the agent's was run");
}

#[test]
fn the_fix_is_taken_away_from_its_tests_and_comes_back() {
    let world = World::new();
    let base = world.clone("base", &[]);
    world.write("work", "cart.py", "fixed\n");
    let tests = ["src/tests/test_ä.py", "tests/:(top)[a]*.py", "tests/test_cart.py"];
    for test in tests {
        world.write("work", test, "a test\n");
    }
    let commit = world.committed(&base, "")[0].clone();
    let changed = run(&world.at("work"), CHANGED, &[&base, &commit]);
    assert_eq!(tests_in(&changed), tests);
    let args = [&[base.as_str(), commit.as_str()][..], &tests_in(&changed)].concat();
    let _ = world.inside(BEFORE, &args);
    assert!(world.read("work", "cart.py").starts_with("def mean"));
    for test in tests {
        assert_eq!(world.read("work", test), "a test\n", "{test}");
    }
    let _ = world.inside(AFTER, &[&commit, BRANCH]);
    assert_eq!(world.read("work", "cart.py"), "fixed\n");
    assert_eq!(world.git("work", "rev-parse HEAD"), commit);
    assert_eq!(world.git("work", "rev-parse --abbrev-ref HEAD"), BRANCH);
    assert_eq!(world.git("work", "status --porcelain"), "");
}

#[test]
fn a_branch_goes_on_where_the_forge_has_it_and_takes_its_base_in() {
    let world = World::new();
    let base = world.clone("base", &[]);
    world.write("work", "cart.py", "fixed\n");
    let commit = world.committed(&base, "")[0].clone();
    world.git("work", &format!("push -q origin {commit}:refs/heads/{BRANCH}"));
    // Left over inside, and not at the forge.
    world.write("work", "left.txt", "x");
    world.git("work", "checkout -q -f --detach");
    assert_eq!(world.inside(SYNC_SCRIPT, &[BRANCH, ""]).join(" "), commit);
    assert!(!world.at("work/left.txt").exists());
    assert_eq!(world.inside(SYNC_SCRIPT, &[BRANCH, "trunk"]).join(" "), commit, "there is nothing to merge");

    world.write("theirs", "README", "three\n");
    world.commit("third");
    world.git("theirs", "push -q origin trunk");
    let third = world.git("theirs", "rev-parse trunk");
    assert_eq!(
        world.inside(SYNC_SCRIPT, &[BRANCH, "trunk"]),
        [commit.clone(), third.clone(), "clean".into()]
    );
    let merged = world.committed(&commit, &third)[0].clone();
    assert_eq!(world.git("work", "rev-list --parents -1 HEAD"), format!("{merged} {commit} {third}"));
    assert_eq!(world.read("work", "README"), "three\n");

    world.write("theirs", "cart.py", "another fix\n");
    world.commit("fourth");
    world.git("theirs", "push -q origin trunk");
    let fourth = world.git("theirs", "rev-parse trunk");
    let said = world.inside(SYNC_SCRIPT, &[BRANCH, "trunk"]);
    assert_eq!(said, [commit.clone(), fourth.clone(), "conflicts".into()]);
    assert_eq!(world.committed(&commit, &fourth), ["markers"]);
    world.write("work", "cart.py", "both fixes\n");
    let resolved = world.committed(&commit, &fourth)[0].clone();
    world.git("work", &format!("push -q origin {resolved}:refs/heads/{BRANCH}"));
    assert_eq!(world.clone("branch", &[]), resolved, "as one that is made anew finds it");
}

#[test]
fn files_and_habits_are_seen_as_they_are() {
    let world = World::new();
    let base = world.clone("base", &[]);
    let missing = world.inside(MISSING, &[&base, "cart.py", "shop/none.py", "README"]);
    assert_eq!(missing, ["shop/none.py"]);
    world.write("work", "tests/test_cart.py", "");
    world.write("work", "Makefile", "all:\n\ntest:\n\ttrue\n");
    world.git("work", "add -A");
    let facts = world.inside(FACTS, &[]);
    for fact in ["file Makefile", "make-test", "python-tests"] {
        assert!(facts.iter().any(|known| known == fact), "{fact}: {facts:?}");
    }
    assert!(!facts.iter().any(|known| known == "npm-test"), "{facts:?}");
}
