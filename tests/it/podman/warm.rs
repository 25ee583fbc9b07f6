//! Frames that ran before a run needed them: real containers, real opencode, and whatever moment the gateway dies in.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::fix::{Shop, WHOLE, story};
use super::support::eventually;

const READY: Duration = Duration::from_secs(90);
const ONE_OF_EACH: &str = "frames:\n  warm: 1\n";
/// One look, and nothing behind it: one kind of frame.
const LOOK: &str = "\
name: shop-look
description: Finds out what is the matter
inputs:
  report: { default: \"\" }
  repo: {}
caps: { cost: 10, stage_time: 30m }
stages:
  - { name: analyse, kind: analyse }
";

impl Shop {
    /// Starts a run of one look; says its id.
    fn look(&self) -> String {
        let repo = format!("repo={}/me/shop", self.forge.address);
        let title = "@@fix-report@@ the mean of an empty cart";
        let args = ["runs", "start", "shop-look", "--title", title, "--set", &repo];
        self.talk.world.json(&args)["id"].as_str().expect("an id").to_owned()
    }

    /// The frames that are kept ready: all containers while no run has one. Waits until there are so many, and they run.
    fn ready(&self, count: usize) -> BTreeSet<String> {
        let world = &self.talk.world;
        eventually(&format!("{count} are ready"), READY, || {
            let status = world.json(&["status"]);
            let ours: BTreeSet<String> = world.containers().into_iter().collect();
            let run = ours.iter().filter(|container| self.answers(container)).count();
            let all = [status["frames_warm"].as_u64().unwrap_or(0) as usize, ours.len(), run];
            let listed = world.json(&["frame", "list"]);
            let is_so = all == [count; 3] && listed.as_array().is_some_and(Vec::is_empty);
            if is_so { Ok(ours) } else { Err(format!("{all:?} {ours:?} {listed}")) }
        })
    }

    fn folder(&self, container: &str) -> PathBuf {
        self.talk.world.home.join("frames").join(container.trim_start_matches("mimir-"))
    }

    /// Whether the agent in a container answers whoever knows its password.
    fn answers(&self, container: &str) -> bool {
        let folder = self.folder(container);
        let password = std::fs::read_to_string(folder.join("start/password")).unwrap_or_default();
        let socket = folder.join("link/agent.sock").display().to_string();
        let who = format!("mimir:{}", password.trim());
        let args = ["-sf", "-m", "1", "-u", &who, "--unix-socket", &socket, "http://frame/global/health"];
        self.talk.world.run("curl", &args).code == 0
    }

    /// The ids of the frames that were made or taken so far, and which of them were taken.
    fn made(&self) -> (Vec<String>, Vec<String>) {
        let log = self.talk.world.json(&["audit", "show", "-n", "1000"]);
        let log = log.as_array().cloned().unwrap_or_default();
        let made: Vec<&Value> = log.iter().filter(|entry| entry["action"] == "frame.create").collect();
        let id = |entry: &&Value| entry["detail"]["frame"].as_str().unwrap_or_default().to_owned();
        let taken = made.iter().filter(|entry| entry["detail"]["warm"] == true).map(id).collect();
        (made.iter().map(id).collect(), taken)
    }

    fn keep_none(&self) {
        let world = &self.talk.world;
        let _ = world.mimir(&["config", "set", "frames.warm", "0"]).ok();
        eventually("none is kept", READY, || match world.json(&["status"])["frames_warm"].as_u64() {
            Some(0) => Ok(()),
            other => Err(format!("{other:?}")),
        });
        self.is_clean();
    }
}

#[test]
fn a_run_works_in_frames_that_ran_before_it_and_leaves_nothing_in_them_for_the_next() {
    let Some(shop) = Shop::with("runs in warm frames", |_| ONE_OF_EACH.to_owned()) else { return };
    let world = &shop.talk.world;
    let first = shop.start("@@fix-report@@ the mean of an empty cart");
    let _ = shop.is(&first, "succeeded");
    assert_eq!(shop.made().1, Vec::<String>::new(), "the first of a kind is made as ever");

    // One to look and one to mend are kept: nobody's, closed, empty, and no frames for anybody who counts.
    let ready = shop.ready(2);
    assert_eq!(world.json(&["frame", "list"]), Value::Array(Vec::new()));
    assert_eq!(world.json(&["status"])["frames_by_state"].as_object().map(serde_json::Map::len), Some(0));
    assert!(world.mimir(&["status"]).ok().stdout.contains("2 kept ready for runs"));
    let doctor = world.mimir(&["doctor", "--json"]).stdout;
    assert!(doctor.contains("0 of them, and 2 kept ready"), "{doctor}");
    let goes = world.mimir(&["uninstall", "--dry-run"]).ok().stdout;
    for container in &ready {
        assert!(goes.contains(container.as_str()), "uninstall finds it: {goes}");
        let folder = shop.folder(container);
        assert_eq!(std::fs::read_dir(folder.join("workspace")).expect("a folder").count(), 0);
        assert!(!folder.join("link/broker.sock").exists(), "nothing listens for it");
    }

    shop.talk.model.queue("fix-report-protected");
    let second = shop.start("the mean of an empty cart");
    let shown = shop.is(&second, "held");
    let (all, taken) = shop.made();
    let ids: BTreeSet<String> = ready.iter().map(|name| name.trim_start_matches("mimir-").into()).collect();
    assert_eq!(taken.iter().cloned().collect::<BTreeSet<_>>(), ids, "{}", story(&shown));
    // What it works in is the run's: its name, its repository, its list, its clone.
    let listed = world.json(&["frame", "list"]);
    let names: Vec<&str> =
        listed.as_array().into_iter().flatten().filter_map(|it| it["name"].as_str()).collect();
    assert_eq!(names, [format!("fix-{}", second.rsplit('_').next().unwrap_or_default())], "{listed}");
    let frame = world.json(&["frame", "show", names[0]]);
    let id = frame["id"].as_str().expect("an id");
    assert!(ids.contains(id), "{frame}");
    assert_eq!((&frame["network"], &frame["allow"]), (&"allow".into(), &Value::Array(Vec::new())), "{frame}");
    assert!(frame["repository"].as_str().is_some_and(|text| text.ends_with("/me/shop")), "{frame}");
    assert_eq!(frame["git"], "gate", "{frame}");
    let container = format!("mimir-{id}");
    let network = world.podman(&["inspect", "--format", "{{.HostConfig.NetworkMode}}", &container]).ok();
    assert_eq!(network.stdout.trim(), "none");
    let clone = shop.folder(&container).join("workspace");
    assert!(clone.join("cart.py").is_file() && shop.folder(&container).join("link/broker.sock").exists());
    // And what the pool has by now is another one, which knows nothing of it.
    let (key, password) = (super::scripted::KEY, shop.folder(&container).join("start/password"));
    let password = std::fs::read_to_string(password).expect("a password");
    let others = eventually("the pool is filled again", READY, || {
        let others: Vec<String> = world.containers().into_iter().filter(|it| *it != container).collect();
        let all_answer = others.iter().all(|it| shop.answers(it));
        if others.len() == 2 && all_answer { Ok(others) } else { Err(format!("{others:?}")) }
    });
    for other in &others {
        assert!(!ready.contains(other), "what a run had is never given away again");
        let begun = shop.folder(other).join("start");
        let theirs = std::fs::read_to_string(begun.join("password")).expect("a password");
        assert_ne!(theirs, password);
        let told = std::fs::read_to_string(begun.join("opencode.json")).expect("a configuration");
        assert!(!told.contains(key) && !told.contains(&second), "{told}");
        assert_eq!(std::fs::read_dir(shop.folder(other).join("workspace")).expect("a folder").count(), 0);
    }

    let commit = shown["held"]["subject"].as_str().expect("what is asked about");
    let _ = world.mimir(&["runs", "approve", &second, "--for", commit]).ok();
    let _ = shop.is(&second, "succeeded");
    let _ = shop.ready(2);
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "each was made or taken once");
    shop.keep_none();
}

/// `kill -9` at these: the next gateway keeps what is ready, or it is a run's, and never both, nor nobody's at all.
#[test]
fn a_gateway_that_dies_while_frames_are_kept_ready_leaves_none_behind() {
    let Some(mut shop) = Shop::with("a gateway that dies with warm frames", |_| ONE_OF_EACH.to_owned())
    else {
        return;
    };
    let _ = shop.talk.write("workflows/shop-look.yaml", LOOK);
    let mut runs = 0;
    for point in [
        "warm.after_row",
        "warm.after_container",
        "warm.after_digest",
        "warm.before_claim",
        "warm.after_claim",
        "warm.after_attend",
    ] {
        let _ = shop.talk.world.mimir(&["serve", "--stop"]);
        shop.talk.world.set_env("MIMIR_FAILPOINT", point);
        let _ = shop.talk.world.mimir(&["serve", "--detach"]).ok();
        let doomed = shop.talk.world.gateway_pid().expect("a gateway");
        shop.talk.world.clear_env("MIMIR_FAILPOINT");
        let run = shop.look();
        let _ = shop.is(&run, "succeeded");
        runs += 1;
        eventually(&format!("{point}: the gateway died"), WHOLE, || {
            let now = shop.talk.world.gateway_pid();
            if now.is_some() && now != Some(doomed) { Ok(()) } else { Err(format!("{now:?}")) }
        });
        // Kinds are learned anew, so one more may be needed until another one is kept; what was kept is there still.
        let again = shop.look();
        let _ = shop.is(&again, "succeeded");
        runs += 1;
        let _ = shop.ready(1);
        let (all, _) = shop.made();
        assert_eq!(
            all.iter().collect::<BTreeSet<_>>().len(),
            all.len(),
            "{point}: none was given away twice"
        );
        assert_eq!(all.len(), runs, "{point}: one frame for each run");
    }
    assert!(!shop.made().1.is_empty(), "some were taken");
    shop.keep_none();
}
