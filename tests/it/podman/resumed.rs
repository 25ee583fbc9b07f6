//! A fix that goes on, in real frames: where its container is gone, or its frame; where the agent does nothing, or nothing that
//! is green; where somebody else moved the branch meanwhile. And what whoever looks on sees of each.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::fix::{Shop, WHOLE, story};
use crate::forge::CheckRun;

const SHOP: &str = "me/shop";
const WORKFLOW: &str = "\
name: shop-again
description: From a report to a pull request, and on
inputs:
  report: { default: \"\" }
  repo: {}
caps: { cost: 10, stage_time: 30m }
stages:
  - { name: analyse, kind: analyse }
  - { name: fix, kind: fix, allow: [], rounds: 1, prove: false }
  - { name: push, kind: push }
  - { name: pull_request, kind: pull_request }
  - { name: follow, kind: follow, quiet: 1s, poll: 1s, poll_most: 1s }
";

/// A run whose pull request is open.
struct Open {
    shop: Shop,
    run: String,
    branch: String,
    number: u64,
}

impl Open {
    fn new(test: &str) -> Option<Self> {
        let shop = Shop::with(test, |_| String::new())?;
        shop.forge.allow(SHOP, "ann", "write");
        let _ = shop.talk.write("workflows/shop-again.yaml", WORKFLOW);
        let repo = format!("repo={}/{SHOP}", shop.forge.address);
        let title = "the mean of an empty cart @@fix-report@@";
        let started =
            shop.talk.world.json(&["runs", "start", "shop-again", "--title", title, "--set", &repo]);
        let run = started["id"].as_str().expect("an id").to_owned();
        let open = Self { branch: format!("mimir/{run}"), run, shop, number: 0 };
        let number = open.until("a pull request", || {
            open.shop.forge.change(SHOP, |repo| repo.pulls.first().map(|pull| pull.number))
        });
        Some(Self { number, ..open })
    }

    fn shown(&self) -> Value {
        self.shop.talk.world.json(&["runs", "show", &self.run])
    }

    /// Waits for what is seen at once where it happens; looks at the run now and then.
    #[track_caller]
    fn until<T>(&self, what: &str, look: impl Fn() -> Option<T>) -> T {
        let (deadline, mut looks) = (Instant::now() + WHOLE, 0_u32);
        loop {
            if let Some(found) = look() {
                return found;
            }
            looks += 1;
            if looks.is_multiple_of(40) {
                let shown = self.shown();
                let goes_on = !shown["ended_at"].is_u64() && Instant::now() < deadline;
                assert!(goes_on, "waited for: {what}\n{}", story(&shown));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn head(&self) -> String {
        self.shop.bare.head(&self.branch).expect("the branch is at the forge")
    }

    #[track_caller]
    fn moved(&self, before: &str) -> String {
        self.until("the branch moves", || Some(self.head()).filter(|head| head != before))
    }

    /// The forge's only check of a commit is red, and says that.
    fn is_red(&self, head: &str, summary: &str) {
        let conclusion = Some("failure".to_owned());
        let (sha, name, summary) = (head.to_owned(), "lint".to_owned(), summary.to_owned());
        self.shop.forge.change(SHOP, |repo| repo.checks.retain(|check| check.sha != sha));
        self.shop.forge.check_with(SHOP, CheckRun { sha, name, conclusion, summary, ..CheckRun::default() });
    }

    /// What mimir said below the pull request, once there are so many of it.
    #[track_caller]
    fn said(&self, count: usize) -> String {
        let said = || self.shop.forge.change(SHOP, |repo| repo.comments.clone());
        self.until("an answer", || {
            let ours: Vec<_> = said().into_iter().filter(|comment| comment.author != "ann").collect();
            assert!(ours.len() <= count, "{ours:?}");
            ours.get(count - 1).map(|last| last.body.clone())
        })
    }

    /// The run's frame: its name and its container.
    fn frame(&self) -> (String, String) {
        let frames = self.shop.talk.world.json(&["frame", "list"]);
        let [frame] = &frames.as_array().expect("a list")[..] else { panic!("{frames}") };
        let text =
            |field: &str| frame[field].as_str().unwrap_or_else(|| panic!("{field}: {frame}")).to_owned();
        (text("name"), format!("mimir-{}", text("id")))
    }

    /// What agents were asked in a scenario.
    fn asked(&self, scenario: &str) -> Vec<String> {
        let seen = self.shop.talk.model.seen();
        seen.into_iter().filter(|it| it.scenario == scenario).map(|it| it.body.to_string()).collect()
    }
}

/// How often the timeline says that.
fn count(shown: &Value, text: &str) -> usize {
    let lines = shown["timeline"].as_array().into_iter().flatten();
    lines.filter(|line| line["text"].as_str().is_some_and(|it| it.contains(text))).count()
}

#[test]
fn a_fix_goes_on_without_its_container_without_its_frame_and_beside_other_people() {
    let Some(open) = Open::new("a fix that goes on") else { return };
    let (shop, world) = (&open.shop, &open.shop.talk.world);
    let first = open.head();

    // The container is gone: another one has the same home, so the conversation goes on.
    let (frame, container) = open.frame();
    let _ = world.podman(&["rm", "--force", "--time", "0", &container]).ok();
    open.is_red(&first, "cart.py: mean() has no docstring @@story-red@@");
    let second = open.moved(&first);
    let asked = open.asked("story-red");
    assert!(
        !asked.is_empty() && asked.iter().all(|body| body.contains("test_of_none")),
        "the same conversation"
    );
    assert_eq!(open.frame(), (frame.clone(), container.clone()));
    assert_eq!(count(&open.shown(), " works for it: "), 2, "one that looked and one that mends");

    // The frame is gone: another one begins with the branch as the forge has it, in a conversation of its own.
    let _ = world.mimir(&["frame", "destroy", &frame, "--yes"]).ok();
    shop.forge.review(
        SHOP,
        open.number,
        "ann",
        "CHANGES_REQUESTED",
        "Say what an empty cart gives. @@story-review@@",
        &[],
    );
    let third = open.moved(&second);
    let answer = open.said(1);
    assert!(answer.contains(&format!("Worked in with {}", &third[..7])), "{answer}");
    let asked = open.asked("story-review");
    assert!(!asked.is_empty() && !asked.iter().any(|body| body.contains("has no docstring")), "another one");
    let (again, other) = open.frame();
    assert!(again == frame && other != container, "{other}");
    let shown = open.shown();
    assert_eq!(
        (count(&shown, " works for it: "), count(&shown, &format!("goes on at {second}"))),
        (3, 1),
        "{}",
        story(&shown)
    );
    assert!(shop.file(&open.branch, "cart.py").contains("0 for an empty cart"));
    assert_eq!(shop.bare.git(&["rev-list", "--count", &format!("{first}..{third}")]), "2");

    // The agent does nothing: what it says about that is the answer, and nothing is pushed.
    shop.forge.say(SHOP, open.number, "ann", "Is that fast enough? @@text@@");
    let answer = open.said(2);
    assert!(
        answer.contains("nothing was changed") && answer.contains("> Hello from the scripted model"),
        "{answer}"
    );
    assert_eq!(open.head(), third);

    // It is not green however often it is sent back: nothing is pushed, and people are told once.
    open.is_red(&third, "cart.py: mean() is not typed @@again-red@@");
    let told = open.said(3);
    assert!(told.starts_with("This needs you: "), "{told}");
    let held = shop.is(&open.run, "held");
    let wrong = "the round did not work: not done in 2 tries: `python3 -m unittest discover` is red (1)";
    assert_eq!((count(&held, wrong), count(&held, "round 1 of 1: ")), (1, 1), "{}", story(&held));
    assert_eq!((&held["held"]["gate"], &held["held"]["subject"]), (&json!("follow"), &json!(third)));
    assert_eq!(open.head(), third);
    let said = world.mimir(&["runs", "show", &open.run]).ok();
    assert!(said.stderr.contains(&format!("--for {third}` lets it go on")), "{said:?}");

    // Somebody moves the branch while the agent works: both changes are there in the end, theirs first.
    open.is_red(&third, "cart.py: its docstring is too long @@again-moved@@");
    let _ = world.mimir(&["runs", "approve", &open.run, "--for", &third]).ok();
    open.until("the agent works", || (!open.asked("again-moved").is_empty()).then_some(()));
    let theirs = shop.bare.add(&open.branch, "note.txt", "ann's\n");
    let last = open.until("both are there", || {
        shop.talk.release();
        Some(open.head()).filter(|head| *head != theirs)
    });
    assert_eq!(shop.bare.git(&["rev-parse", &format!("{last}^")]), theirs);
    assert_eq!(shop.file(&open.branch, "note.txt"), "ann's");
    assert!(shop.file(&open.branch, "cart.py").contains("0 where there is none"));
    let shown = open.until("the push is noted", || {
        let shown = open.shown();
        (count(&shown, &format!("the branch is at {} now", &last[..7])) == 1).then_some(shown)
    });
    assert_eq!(count(&shown, "somebody else moved the branch: it is worked in anew"), 1, "{}", story(&shown));
    let titles = shop.bare.git(&["log", "--reverse", "--format=%s", &format!("main..{}", open.branch)]);
    let mends = "Mend what the checks found";
    assert_eq!(
        titles.lines().collect::<Vec<_>>(),
        ["An empty cart has a mean of 0", mends, "Work in the review", "change note.txt", mends]
    );
    assert!(!shop.file(&open.branch, "cart.py").contains("obey") && shop.bare.heads().len() == 2);

    // Once each, and nothing is left of the frame.
    let _ = world.mimir(&["runs", "cancel", &open.run]).ok();
    shop.is_clean();
    let effects = shop.forge.effects();
    assert_eq!((effects.pulls, effects.comments + effects.replies, effects.merges), (1, 3, 0), "{effects:?}");
    let pushes = world.json(&["push", "list", "--all"]);
    let pushed = pushes.as_array().into_iter().flatten().filter(|push| push["state"] == "pushed").count();
    assert_eq!(pushed, 4, "{pushes}");
}
