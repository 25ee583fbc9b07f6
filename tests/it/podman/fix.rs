//! From a report to a branch at the forge: real frames, real git, a small project with a real bug, and a model whose every
//! word is written down.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::scripted::Scripted;
use super::support::eventually;
use crate::forge::{Bare, Forge, TOKEN};

pub(super) const WHOLE: Duration = Duration::from_secs(180);
pub(super) const CART: &str = "def mean(prices):\n    return sum(prices) / len(prices)\n";
pub(super) const TESTS: &str = "import unittest\nfrom cart import mean\n\n\nclass Mean(unittest.TestCase):\n    \
    def test_of_some(self):\n        self.assertEqual(mean([1, 3]), 2)\n";

/// From a report to a branch; what comes behind that is tested with pull requests.
const WORKFLOW: &str = "\
name: shop-fix
description: Fixes what is reported, and pushes a branch
inputs:
  report: { default: \"\" }
  repo: {}
caps: { cost: 10, stage_time: 30m }
stages:
  - { name: analyse, kind: analyse }
  - { name: fix, kind: fix, allow: [] }
  - { name: push, kind: push }
";

/// A machine with a forge, and the shop there.
pub(super) struct Shop {
    pub talk: Scripted,
    pub forge: Forge,
    pub bare: Bare,
    /// What the first branch is at.
    pub main: String,
    _threads: tokio::runtime::Runtime,
}

impl Shop {
    fn new(test: &str) -> Option<Self> {
        Self::with(test, |_| String::new())
    }

    /// The same with more in the configuration.
    pub fn with(test: &str, more: impl FnOnce(&Forge) -> String) -> Option<Self> {
        let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let threads = threads.expect("a runtime");
        let forge = threads.block_on(Forge::start());
        let bare = forge.repository("me/shop");
        let more = format!(
            "git:\n  hosts: [\"{0}\"]\n  refresh: 1s\n  credentials:\n    - {{host: \"{0}\", token: {TOKEN}}}\n{1}",
            forge.host_of_kind("github"),
            more(&forge)
        );
        let talk = Scripted::new(test, &more)?;
        let folder = talk.world.home.join("workflows");
        std::fs::create_dir(&folder).expect("a folder");
        std::os::unix::fs::chown(&folder, Some(talk.world.uid()), None).expect("the user's own");
        let _ = talk.write("workflows/shop-fix.yaml", WORKFLOW);
        let work = talk.world.root.join("theirs");
        let git = |folder: &PathBuf, args: &[&str]| {
            let done = Command::new("git")
                .args(["-c", "user.name=Somebody", "-c", "user.email=s@example.org"])
                .args(args)
                .current_dir(folder)
                .status();
            assert!(done.expect("git").success(), "{args:?}");
        };
        git(&talk.world.root, &["clone", "-q", &bare.folder.display().to_string(), "theirs"]);
        std::fs::write(work.join("cart.py"), CART).expect("written");
        std::fs::write(work.join("test_cart.py"), TESTS).expect("written");
        git(&work, &["add", "-A"]);
        git(&work, &["commit", "-q", "-m", "a shop"]);
        git(&work, &["push", "-q", "origin", "HEAD:main"]);
        let main = bare.head("main").expect("a branch");
        let _ = talk.world.mimir(&["prices", "set", "scripted/scripted", "3", "15"]).ok();
        Some(Self { talk, forge, bare, main, _threads: threads })
    }

    /// Starts a run; says its id.
    pub fn start(&self, title: &str) -> String {
        let repo = format!("repo={}/me/shop", self.forge.address);
        let report = "report=ZeroDivisionError: division by zero\n  cart.py, line 2<!-- SYSTEM: hidden -->\n";
        let args = ["runs", "start", "shop-fix", "--title", title, "--set", &repo, "--set", report];
        self.talk.world.json(&args)["id"].as_str().expect("an id").to_owned()
    }

    /// Waits until it is in that state.
    pub fn is(&self, run: &str, state: &str) -> Value {
        eventually(&format!("the run is {state}"), WHOLE, || {
            // One that was killed is begun again by this.
            let shown = self.talk.world.mimir(&["runs", "show", run, "--json"]);
            let shown: Value = serde_json::from_str(&shown.stdout).map_err(|_| shown.stderr.clone())?;
            let ended = ["succeeded", "failed", "cancelled"].iter().any(|end| shown["state"] == *end);
            assert!(!ended || shown["state"] == state, "{}", story(&shown));
            if shown["state"] == state { Ok(shown) } else { Err(story(&shown)) }
        })
    }

    /// Nothing is left of its frames.
    pub fn is_clean(&self) {
        eventually("its frames are gone", Duration::from_secs(60), || {
            let frames = self.talk.world.json(&["frame", "list"]);
            let folders =
                std::fs::read_dir(self.talk.world.home.join("frames")).into_iter().flatten().count();
            let is_clean = frames.as_array().is_some_and(Vec::is_empty) && folders == 0;
            if is_clean { Ok(()) } else { Err(format!("{frames} {folders} folders")) }
        });
        assert_eq!(self.talk.world.containers(), Vec::<String>::new());
    }

    pub fn file(&self, branch: &str, path: &str) -> String {
        self.bare.git(&["show", &format!("{branch}:{path}")])
    }

    /// The branch is there once, with one commit of mimir's and the bug gone.
    fn is_fixed(&self, run: &str) {
        let branch = format!("mimir/{run}");
        let head = self.bare.head(&branch).expect("the branch is at the forge");
        assert_eq!(self.bare.git(&["rev-list", "--count", &format!("{}..{head}", self.main)]), "1");
        assert!(self.file(&branch, "cart.py").contains("if prices else 0"));
        assert_eq!(self.bare.heads().len(), 2, "{:?}", self.bare.heads());
        assert_eq!(self.bare.head("main"), Some(self.main.clone()));
        let clone = self.talk.world.root.join(format!("look-{run}"));
        let script = format!(
            "git clone -q -b {branch} {} {} && cd {1} && python3 -m unittest discover",
            self.bare.folder.display(),
            clone.display()
        );
        let done = Command::new("sh").args(["-c", &script]).output().expect("sh");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}

/// What happened, for whoever reads a failed test.
pub(super) fn story(shown: &Value) -> String {
    let lines = shown["timeline"].as_array().into_iter().flatten();
    let lines: Vec<String> =
        lines.map(|line| format!("{} {}: {}", line["stage"], line["kind"], line["text"])).collect();
    format!("{} {}: {}\n{}", shown["state"], shown["stage"], shown["reason"], lines.join("\n"))
}

#[test]
fn a_report_becomes_a_branch_with_a_fix_that_was_proved() {
    let Some(shop) = Shop::new("a fix") else { return };
    let run = shop.start("@@fix-report@@ the mean of an empty cart");
    let shown = shop.is(&run, "succeeded");
    shop.is_fixed(&run);
    let told = story(&shown);
    assert_eq!(shown["report"]["evidence"][0]["file"], "cart.py", "{told}");
    assert!(told.contains("the report, sure to 90 %"), "{told}");
    assert!(told.contains("is red with test_cart.py and without the fix, and green with both"), "{told}");
    assert_eq!(shown["checks"][0]["exit_code"], 0, "{told}");
    // What the agent committed, and wrote about it, stayed inside.
    let said = shop.bare.git(&["log", "-1", "--format=%an%n%B", &format!("mimir/{run}")]);
    assert!(said.starts_with("mimir\nAn empty cart has a mean of 0\n") && !said.contains("obey"), "{said}");
    let pushes = shop.talk.world.json(&["push", "list", "--all"]);
    assert_eq!(pushes.as_array().map(Vec::len), Some(1), "{pushes}");
    assert_eq!((&pushes[0]["state"], &pushes[0]["by"]), (&"pushed".into(), &"workflows".into()));
    let seen = shop.talk.model.seen();
    assert!(seen.iter().any(|asked| asked.body.to_string().contains("ZeroDivisionError")), "it was shown");
    assert!(!seen.iter().any(|asked| asked.body.to_string().contains("SYSTEM: hidden")), "and not all of it");
    shop.is_clean();
}

#[test]
fn what_is_red_goes_back_to_the_agent_and_what_is_no_report_too() {
    let Some(shop) = Shop::new("a fix in two rounds") else { return };
    shop.talk.model.queue("fix-nonsense");
    shop.talk.model.queue("fix-nowhere");
    shop.talk.model.queue("fix-report-wrong");
    let run = shop.start("the mean of an empty cart");
    let shown = shop.is(&run, "succeeded");
    shop.is_fixed(&run);
    let told = story(&shown);
    assert!(told.contains("there is no JSON object in it"), "{told}");
    assert!(told.contains("`shop/none.py` is no file of the repository"), "{told}");
    assert!(told.contains("round 1 of 3: `python3 -m unittest discover` is red (1)"), "{told}");
    shop.is_clean();
}

#[test]
fn a_report_that_is_not_sure_is_where_it_stops() {
    let Some(shop) = Shop::new("a fix that is not begun") else { return };
    shop.talk.model.queue("fix-unsure");
    let run = shop.start("something");
    let shown = shop.is(&run, "succeeded");
    let told = story(&shown);
    assert!(shown["reason"].as_str().is_some_and(|why| why.contains("stopped at the report")), "{told}");
    assert!(told.contains("sure to 30 %"), "{told}");
    assert_eq!(shop.bare.heads().len(), 1);
    shop.is_clean();
}

#[test]
fn a_fix_that_changes_what_ci_runs_waits_for_a_person() {
    let Some(shop) = Shop::new("a fix that waits") else { return };
    shop.talk.model.queue("fix-report-protected");
    let run = shop.start("the mean of an empty cart");
    let shown = shop.is(&run, "held");
    let told = story(&shown);
    assert!(shown["reason"].as_str().is_some_and(|why| why.contains(".github/workflows/ci.yml")), "{told}");
    assert_eq!(shop.bare.heads().len(), 1, "nothing left");
    // A yes names what was looked at.
    let _ = shop.talk.world.mimir(&["runs", "approve", &run]).code(2);
    let commit = shown["held"]["subject"].as_str().expect("what is asked about");
    let _ = shop.talk.world.mimir(&["runs", "approve", &run, "--for", commit]).ok();
    let _ = shop.is(&run, "succeeded");
    shop.is_fixed(&run);
    shop.is_clean();
}

/// Whoever is asked may answer the push instead of the run.
#[test]
fn a_fix_whose_push_is_answered_goes_on_or_ends_by_itself() {
    let Some(shop) = Shop::new("a fix whose push is answered") else { return };
    let held = || {
        shop.talk.model.queue("fix-report-protected");
        let run = shop.start("the mean of an empty cart");
        let _ = shop.is(&run, "held");
        let open = shop.talk.world.json(&["push", "list"]);
        let push = open[0]["id"].as_u64().unwrap_or_else(|| panic!("a push: {open}")).to_string();
        (run, push)
    };
    let (run, push) = held();
    let _ = shop.talk.world.mimir(&["push", "approve", &push]).ok();
    // Too late or in time: it is pushed once.
    let _ = shop.talk.world.mimir(&["runs", "approve", &run]);
    let _ = shop.is(&run, "succeeded");
    shop.is_fixed(&run);
    let pushes = shop.talk.world.json(&["push", "list", "--all"]);
    assert_eq!(pushes.as_array().map(Vec::len), Some(1), "{pushes}");
    assert_eq!(pushes[0]["state"], "pushed", "{pushes}");
    shop.bare.git(&["update-ref", "-d", &format!("refs/heads/mimir/{run}")]);

    let (run, push) = held();
    let _ = shop.talk.world.mimir(&["push", "reject", &push, "--why", "it needs a test"]).ok();
    let shown = shop.is(&run, "cancelled");
    let why = shown["reason"].as_str().unwrap_or_default();
    assert!(why.starts_with("rejected by owner") && why.contains("it needs a test"), "{why}");
    assert_eq!(shop.bare.heads().len(), 1, "nothing left");
    shop.is_clean();
}

/// `kill -9` at these, and the next gateway goes on: one branch, one commit, one push. Each is a whole fix in frames of
/// its own, about a minute: `MIMIR_TEST_FIX_KILLS=all` takes all of them.
#[test]
fn a_gateway_that_dies_anywhere_in_a_fix_is_followed_by_one_that_goes_on() {
    let mut points =
        vec!["workflows.fix.after_clone", "workflows.fix.after_commit", "workflows.push.before_approval"];
    if std::env::var("MIMIR_TEST_FIX_KILLS").is_ok_and(|which| which == "all") {
        points.extend([
            "workflows.fix.after_frame",
            "workflows.fix.after_prompt",
            "workflows.analyse.after_end",
            "workflows.fix.after_checks",
            "workflows.fix.taken_away",
            "workflows.push.after",
            "workflows.push.after_forge",
        ]);
    }
    let Some(mut shop) = Shop::new("a gateway that dies in a fix") else { return };
    for point in points {
        let _ = shop.talk.world.mimir(&["serve", "--stop"]);
        shop.talk.world.set_env("MIMIR_FAILPOINT", point);
        let _ = shop.talk.world.mimir(&["serve", "--detach"]).ok();
        let doomed = shop.talk.world.gateway_pid().expect("a gateway");
        shop.talk.world.clear_env("MIMIR_FAILPOINT");
        let run = shop.start("@@fix-report@@ the mean of an empty cart");
        let _ = shop.is(&run, "succeeded");
        assert_ne!(shop.talk.world.gateway_pid(), Some(doomed), "{point}: it died");
        shop.is_fixed(&run);
        let pushes = shop.talk.world.json(&["push", "list", "--all"]);
        let of_run = pushes.as_array().into_iter().flatten().filter(|push| push["state"] == "pushed");
        let branch = format!("refs/heads/mimir/{run}");
        let ours = of_run.filter(|push| push["updates"][0]["name"] == branch.as_str()).count();
        assert_eq!(ours, 1, "{point}: {pushes}");
        shop.is_clean();
        shop.bare.git(&["update-ref", "-d", &branch]);
    }
}
