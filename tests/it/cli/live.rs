//! `mimir send` and `mimir image build` while somebody watches: what goes on is drawn, and nothing of it stays behind.
//! And while nobody does: not one control sequence.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedSender;

use super::gateway::{Answer, Gateway, json as answer, lines, sse};
use super::terminal::Screen;
use super::world::World;
use super::{ago, details};

pub const MESSAGE: &str = "msg_01k0000000000000000000000a";
const SPINNER: &str = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏";

/// A message whose events a test sends one by one.
pub struct Story {
    pub gateway: Gateway,
    tell: UnboundedSender<String>,
    next: u64,
}

impl Story {
    pub fn begin(world: &World) -> Self {
        let gateway = world.gateway();
        gateway.on("POST /v1/messages", Answer::Json(202, message("queued")));
        gateway.on(&format!("GET /v1/messages/{MESSAGE}"), answer(message("answered")));
        gateway.on("GET /v1/frames/blog", answer(details("blog", "starting")));
        let tell = gateway.feed("GET /v1/events");
        Self { gateway, tell, next: 11 }
    }

    /// Tells of something that happened that long ago.
    pub fn told(&mut self, kind: &str, data: Value, ago_ms: u64) -> &mut Self {
        let event = json!({"id": self.next, "at": ago(Duration::from_millis(ago_ms)), "frame_name": "blog",
            "message": MESSAGE, "kind": kind, "data": data});
        self.next += 1;
        sse(&[event]).into_iter().for_each(|piece| self.tell.send(piece).expect("it is followed"));
        self
    }

    pub fn moved(&mut self, to: &str) -> &mut Self {
        self.told("message.state", json!({"to": to, "reason": null}), 0)
    }

    fn tool(&mut self, status: &str, output: Option<&str>, ago_ms: u64) -> &mut Self {
        let input = json!({"command": "cargo test --workspace --locked --all-targets -- --test-threads=2"});
        let data = json!({"call": "c1", "tool": "bash", "status": status, "title": "Test", "input": input, "output": output});
        self.told("message.tool", data, ago_ms)
    }

    pub fn text(&mut self, text: &str) -> &mut Self {
        self.told("message.text", json!({"delta": text, "part": format!("p{}", self.next)}), 0)
    }

    pub fn end(&mut self, finish: &str) {
        let tokens = json!({"input": 1, "output": 1, "reasoning": 0, "cache_read": 0, "cache_write": 0});
        let data = json!({"answer": "Done.", "tokens": tokens, "cost_microusd": 1, "duration_ms": 1, "finish": finish});
        self.told("message.answered", data, 0);
    }
}

pub fn message(state: &str) -> Value {
    let mut message = json!({
        "id": MESSAGE, "frame": "blog", "session": "ssn_1", "text": "hello", "state": state,
        "tokens": {"input": 1, "output": 1, "reasoning": 0, "cache_read": 0, "cache_write": 0},
        "cost_microusd": 1, "created_at": ago(Duration::ZERO), "after_event": 10,
    });
    if state == "answered" {
        message["answer"] = json!("Done.");
    }
    message
}

const SEND: &[&str] = &["send", "--frame", "blog", "hello"];

/// The lines on which something turns.
fn drawn(screen: &Screen) -> Vec<String> {
    let turns = |line: &&str| line.chars().next().is_some_and(|first| SPINNER.contains(first));
    screen.shown().lines().filter(turns).map(str::to_owned).collect()
}

#[test]
fn every_step_is_seen_and_only_what_matters_stays() {
    let world = World::new();
    let mut story = Story::begin(&world);
    let mut screen = Screen::open(&world, SEND);
    screen.until_shown("waking blog");
    story.moved("sent");
    screen.until_shown("waiting for the agent");
    story.moved("running");
    screen.until_shown("waiting for the model");
    story.told("message.reasoning", json!({"delta": "First I look.\n", "part": "r"}), 2_500);
    screen.until_shown("thinking");
    story.tool("running", None, 0);
    screen.until_shown("bash  cargo test --workspace");
    assert_eq!(drawn(&screen).len(), 1, "{}", screen.shown());
    story.tool("completed", Some("ok"), 0);
    screen.until_shown("✓ bash  cargo test");
    story.text("All is well.").end("stop");
    assert_eq!(screen.end(), 0, "{}", screen.text());
    let shown = screen.shown();
    assert!(drawn(&screen).is_empty(), "{shown}");
    let lines: Vec<&str> = shown.lines().map(str::trim_end).collect();
    assert!(lines[0].starts_with("  ∴ First I look.  2."), "{shown}");
    assert!(lines[1].starts_with("  ✓ bash  cargo test --workspace") && lines[1].ends_with(" s"), "{shown}");
    assert_eq!(lines[2], "All is well.", "{shown}");
    assert!(lines[3].contains("2 tokens"), "{shown}");
    assert!(!shown.contains("model call") && lines.len() == 4, "{shown}");
}

#[test]
fn on_a_narrow_terminal_a_line_is_one_line_also_after_it_got_narrower() {
    let world = World::new();
    let mut story = Story::begin(&world);
    let mut screen = Screen::sized(&world, SEND, 40);
    story.moved("running").tool("running", None, 3_000);
    screen.until_shown("bash  cargo test");
    screen.until_shown(" s");
    let line = drawn(&screen).pop().expect("it turns");
    assert!(line.chars().count() < 40 && line.contains('…') && line.ends_with(" s"), "{line:?}");
    assert_eq!(screen.shown().lines().count(), 1, "{}", screen.shown());
    screen.resize(30);
    let before = screen.text().len();
    let is_narrow = |screen: &Screen| {
        let text = screen.text();
        let drawn = text[before..].split_inclusive("\u{1b}[K").filter(|piece| piece.ends_with("\u{1b}[K"));
        let words = drawn.last().and_then(|line| line.split_once("\u{1b}[0m ").map(|(_, words)| words));
        words.is_some_and(|words| words.trim_end_matches("\u{1b}[K").chars().count() <= 27)
    };
    let begun = std::time::Instant::now();
    while !is_narrow(&screen) {
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", screen.text());
        std::thread::sleep(Duration::from_millis(20));
    }
    story.tool("error", Some("error: could not compile `blog` because of the weather"), 0);
    screen.until_shown("✗ bash");
    story.text("No.").end("stop");
    assert_eq!(screen.end(), 0);
}

#[test]
fn what_the_model_thinks_is_shown_to_whoever_asks_for_it() {
    let world = World::new();
    let mut story = Story::begin(&world);
    let mut screen = Screen::open(&world, &[SEND, &["--reasoning"]].concat());
    story.moved("running");
    story.told("message.reasoning", json!({"delta": "One.\nTwo\u{1b}[2J", "part": "r"}), 1_000);
    screen.until_shown("│ One.");
    story.text("Done.").end("stop");
    assert_eq!(screen.end(), 0);
    let shown = screen.shown();
    assert!(shown.contains("│ Two [2J") && shown.contains("thought for 1."), "{shown}");
}

#[test]
fn into_a_pipe_goes_no_control_sequence_and_what_always_went() {
    let told = |words: &[&str]| {
        let world = World::new();
        let mut story = Story::begin(&world);
        story.moved("running").told("message.reasoning", json!({"delta": "Hm.", "part": "r"}), 0);
        story.tool("running", None, 0).tool("completed", Some("ok"), 0).text("Done.").end("stop");
        world.run(&[SEND, words].concat())
    };
    let plain = told(&[]);
    assert_eq!((plain.code, plain.stdout.as_str()), (0, "Done.\n"));
    assert_eq!(plain.stderr.lines().collect::<Vec<_>>()[..1], ["  ✓ bash Test"], "{}", plain.stderr);
    assert_eq!(plain.stderr.lines().count(), 2, "{}", plain.stderr);
    let thinking = told(&["--reasoning"]);
    assert!(thinking.stderr.starts_with("  │ Hm.\n  thought for "), "{}", thinking.stderr);
    for ran in [&plain, &thinking, &told(&["--json"]), &told(&["--quiet"])] {
        let all = format!("{}{}", ran.stdout, ran.stderr);
        assert!(!all.contains(['\u{1b}', '\r']), "{all:?}");
    }
}

#[test]
fn a_terminal_that_cannot_be_steered_is_not() {
    for (name, value) in [("TERM", "dumb"), ("NO_COLOR", "1"), ("CI", "true")] {
        let mut world = World::new();
        world.set(name, value);
        let mut story = Story::begin(&world);
        let mut screen = Screen::open(&world, &[SEND, &["--color", "never"]].concat());
        story.moved("running").tool("running", None, 0).tool("completed", Some("ok"), 0);
        screen.until("✓ bash  cargo test");
        story.text("Done.").end("stop");
        assert_eq!(screen.end(), 0, "{name}");
        assert!(!screen.text().contains('\u{1b}'), "{name}: {:?}", screen.text());
    }
}

#[test]
fn an_answer_that_was_cut_off_says_so() {
    for (finish, why) in [("length", "as much as it may"), ("content-filter", "content filter")] {
        let ends = |words: &[&str]| {
            let world = World::new();
            let mut story = Story::begin(&world);
            story.moved("running").text("cut off in the mid").end(finish);
            world.run(&[SEND, words].concat())
        };
        let ran = ends(&[]);
        assert_eq!((ran.code, ran.stdout.as_str()), (0, "cut off in the mid\n"));
        assert!(ran.stderr.contains("note: the answer was cut off") && ran.stderr.contains(why), "{ran:?}");
        let json = ends(&["--json", "--no-stream"]);
        let warning: Value = serde_json::from_str(&json.stderr).expect("JSON");
        assert!(warning["warning"].as_str().is_some_and(|text| text.contains(why)), "{warning}");
    }
}

#[test]
fn a_build_shows_its_step_its_count_and_its_time() {
    let image = json!({"id": "sha256:0123456789abcdef0123", "tags": ["localhost/mimir-frame:latest"], "inputs": "x",
        "opencode": "1.18.33", "size_bytes": 1_000_000, "created_at": 0, "current": true, "frames": []});
    let step = |number: u32, text: &str| json!({"kind": "step", "number": number, "of": 2, "text": text});
    let prepare = json!({"kind": "step", "number": 0, "of": 0, "text": "making a Debian base"});
    let done = json!({"kind": "done", "image": image, "built": true, "base": "a base"});
    let world = World::new();
    let gateway = world.gateway();
    let tell = gateway.feed("POST /v1/images/build");
    let say = |line: &Value| tell.send(format!("{line}\n")).expect("it is followed");
    let mut screen = Screen::open(&world, &["image", "build"]);
    say(&prepare);
    screen.until_shown("making a Debian base");
    screen.until_shown("2 s");
    say(&step(1, "RUN apt-get update"));
    screen.until_shown("✓ making a Debian base  ");
    screen.until_shown("1/2 RUN apt-get update");
    say(&json!({"kind": "output", "text": "Get:1 http://deb.debian.org"}));
    screen.until_shown("Get:1");
    assert_eq!(drawn(&screen).len(), 1, "{}", screen.shown());
    say(&step(2, "RUN true"));
    say(&done);
    drop(tell);
    assert_eq!(screen.end(), 0);
    let shown = screen.shown();
    assert!(
        drawn(&screen).is_empty() && shown.contains("built: opencode 1.18.33") && shown.contains(", in "),
        "{shown}"
    );

    let world = World::new();
    let gateway = world.gateway();
    gateway.on("POST /v1/images/build", lines(&[prepare, step(1, "RUN true"), done]));
    let piped = world.run(&["image", "build"]);
    let told = "preparing the image: making a Debian base\nbuilding the image 1/2: RUN true\n\
                built: opencode 1.18.33, 977 KiB, on a base\n";
    assert_eq!((piped.code, piped.stderr.as_str()), (0, told));
}
