//! `mimir ui` in a real terminal, against a gateway that plays answers.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::gateway::{Answer, Gateway, json as answer, problem, sse};
use super::terminal::Screen;
use super::world::World;
use super::{details, frame};

/// Longer than the dashboard takes no keys after another program had the terminal.
const DEAF: Duration = Duration::from_millis(500);

/// A gateway with two frames, of which one's agent waits for somebody.
fn play(world: &World) -> Gateway {
    let gateway = world.gateway();
    gateway.on("GET /v1/frames", answer(frames()));
    play_the_rest(&gateway, json!([]));
    gateway.on("GET /v1/frames/blog", problem(404, "frame.not_found", "there is no frame `blog`"));
    gateway
}

fn frames() -> Value {
    let mut waiting = frame("blog", "running");
    waiting["status"] = json!({"word": "waiting", "waiting_for": "permission", "queued": 0});
    json!([waiting, frame("shop", "stopped")])
}

/// Everything but the frames.
fn play_the_rest(gateway: &Gateway, sessions: Value) {
    gateway.on("GET /v1/sessions", answer(sessions));
    let asked = json!([{
        "id": "apr_01k0000000000000000000000a", "frame": "blog", "form": "permission", "state": "pending",
        "text": "bash: rm -rf build", "tool": "bash", "patterns": ["rm -rf build"], "always": ["rm *"],
        "metadata": {}, "questions": [], "from_child": false, "answers": [], "asked_at": 1,
    }]);
    gateway.on("GET /v1/approvals", answer(asked));
    for list in ["GET /v1/runs", "GET /v1/schedules", "GET /v1/messages"] {
        gateway.on(list, answer(json!([])));
    }
    let spending = json!({"paused": false, "budgets": [], "days": 7, "by_frame": [], "by_project": [], "by_model": [],
                          "by_day": [{"name": today(), "call_count": 1, "unpriced_count": 0, "estimated_count": 0,
                                      "cost_microusd": 310_000}]});
    gateway.on("GET /v1/budgets", answer(spending));
    gateway.on("GET /v1/events", Answer::Hanging { pieces: sse(&[]) });
}

/// What the kernel says of a process: who began it, and a letter for what it does. None when it is gone.
fn state_of(pid: i32) -> Option<(i32, char)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let letter = fields.next()?.chars().next()?;
    Some((fields.next()?.parse().ok()?, letter))
}

/// The processes that it began.
fn begun_by(pid: i32) -> Vec<i32> {
    let all = std::fs::read_dir("/proc").expect("processes");
    let ids = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    ids.filter(|id| state_of(*id).is_some_and(|(parent, _)| parent == pid)).collect()
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(20), "never so: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The day's name, as costs are told by days.
fn today() -> String {
    mimir::clock::rfc3339(mimir::clock::Clock::system().now_ms()).chars().take(10).collect()
}

#[test]
fn what_waits_is_seen_and_answered_and_the_terminal_is_given_back() {
    let world = World::new();
    let gateway = play(&world);
    gateway.on(
        "POST /v1/approvals/apr_01k0000000000000000000000a/answer",
        problem(409, "approval.settled", "it was answered"),
    );
    let mut screen = Screen::open(&world, &["ui"]);
    for words in ["blog", "shop", "rm -rf build", "1 waits for you", "$0.31 today"] {
        screen.until_shown(words);
    }
    assert!(!screen.echoes(), "raw mode");
    // Asked a moment ago counts as unread; what is said then is the same in both cases but for the call.
    std::thread::sleep(DEAF);
    screen.press("y");
    screen.until_shown("it was answered");
    let asked = gateway.asked();
    let yes = asked.iter().find(|asked| asked.line.starts_with("POST /v1/approvals/")).expect("answered");
    assert!(yes.body.contains(r#""decision":"once""#), "{yes:?}");
    screen.press("q");
    assert_eq!(screen.end(), 0, "{:?}", screen.text());
    assert!(screen.echoes(), "given back");
    assert!(screen.text().ends_with("\x1b[?25h"), "the cursor is there again: {:?}", screen.text());
}

#[test]
fn a_command_has_the_terminal_and_the_screen_comes_back() {
    let world = World::new();
    let gateway = play(&world);
    gateway.on("GET /v1/frames/blog/terminal", Answer::Terminal);
    let mut screen = Screen::open(&world, &["ui"]);
    screen.until_shown("rm -rf build");
    screen.press(":version\r");
    screen.until_shown("back with any key");
    assert!(screen.shown().contains(env!("CARGO_PKG_VERSION")), "{}", screen.shown());
    // What is typed behind that key was meant for the program before.
    screen.press("xyA");
    screen.until_shown("rm -rf build");
    std::thread::sleep(DEAF);
    assert!(!screen.echoes(), "raw mode again");
    assert!(!gateway.asked().iter().any(|asked| asked.line.starts_with("POST")), "{:?}", gateway.asked());
    // Into the frame's terminal: it is not there for the stand-in, which is read before the screen covers it.
    screen.press("\r");
    screen.until_shown("there is no frame `blog`\n\n(back with any key)");
    screen.press("x");
    screen.until_shown("1 waits for you");
    std::thread::sleep(DEAF);
    screen.press("\x03");
    assert_eq!(screen.end(), 0);
    assert!(screen.echoes());
}

#[test]
fn a_signal_and_a_gateway_that_goes_away_leave_no_broken_terminal() {
    let world = World::new();
    let gateway = play(&world);
    let mut screen = Screen::open(&world, &["ui"]);
    screen.until_shown("rm -rf build");
    drop(gateway);
    screen.until_shown("gateway away, waiting");
    screen.signal(Signal::TERM);
    assert_eq!(screen.end(), 143);
    assert!(screen.echoes());
}

/// Also of a program that does not hear it, and leaves the terminal as it liked it.
#[test]
fn a_signal_while_another_program_has_the_terminal_ends_both() {
    for is_deaf in [false, true] {
        let world = World::new();
        let gateway = world.gateway();
        gateway.on("GET /v1/frames", answer(frames()));
        play_the_rest(&gateway, json!([]));
        gateway.on("GET /v1/frames/blog", answer(details("blog", "running")));
        gateway.on("GET /v1/frames/blog/terminal", Answer::Terminal);
        let mut screen = Screen::open(&world, &["ui"]);
        screen.until_shown("rm -rf build");
        screen.press("\r");
        screen.until_shown("ready");
        let programs = begun_by(screen.pid());
        let [program] = programs[..] else { panic!("{programs:?}") };
        assert!(!screen.echoes(), "it has the keys");
        if is_deaf {
            kill_process(Pid::from_raw(program).expect("an id"), Signal::STOP).expect("stopped");
            until("the program stands still", || state_of(program).is_some_and(|(_, letter)| letter == 'T'));
        }
        screen.signal(Signal::TERM);
        assert_eq!(screen.end(), 143, "{:?}", screen.text());
        assert_eq!(state_of(program), None, "it ended before the dashboard did");
        assert!(screen.echoes(), "as it was before");
    }
}

#[test]
fn a_slow_gateway_is_waited_for_and_keys_go_on() {
    let world = World::new();
    let gateway = world.gateway();
    let tell = gateway.feed("GET /v1/frames");
    gateway.on("GET /v1/frames", answer(frames()));
    play_the_rest(&gateway, json!([]));
    gateway.on("GET /v1/frames/blog", answer(details("blog", "running")));
    let mut screen = Screen::open(&world, &["ui"]);
    screen.until_shown("the gateway is slow: ");
    screen.press("?");
    screen.until_shown("any other key closes");
    screen.press("\x1b");
    screen.until_shown("The frames are being asked for.");
    tell.send(frames().to_string()).expect("it waits");
    drop(tell);
    screen.until_shown("rm -rf build");
    assert!(!screen.shown().contains("is slow"), "{}", screen.shown());
    // A change, too: it is said until it is done, and the frames can be looked at meanwhile.
    let tell = gateway.feed("POST /v1/frames/blog/stop");
    screen.press("X");
    screen.until_shown("$ mimir frame stop blog …");
    screen.press("j");
    screen.until_shown("/home/me/src/shop");
    tell.send(frame("blog", "stopped").to_string()).expect("it waits");
    drop(tell);
    until("it was done", || !screen.shown().contains("stop blog …") && screen.shown().contains("stop blog"));
    screen.press("q");
    assert_eq!(screen.end(), 0, "{:?}", screen.text());
    assert!(screen.echoes());
}

#[test]
fn a_frame_made_anew_is_not_spoken_to_in_the_conversations_of_the_one_before() {
    let world = World::new();
    let gateway = world.gateway();
    let mut blog = frame("blog", "running");
    blog["created_at"] = json!(2_000);
    gateway.on("GET /v1/frames", answer(json!([blog])));
    gateway.on("GET /v1/frames/blog", answer(details("blog", "running")));
    let old = json!({"id": "ssn_01k0000000000000000000000a", "frame": "blog", "title": "of the one before",
        "message_count": 1, "created_at": 1_000, "last_active_at": 9_000});
    play_the_rest(&gateway, json!([old]));
    gateway.on("POST /v1/messages", problem(409, "queue.full", "it has enough to do"));
    let mut screen = Screen::open(&world, &["ui"]);
    screen.until_shown("nothing was said yet");
    screen.press("sHello\r");
    screen.until_shown("it has enough to do");
    let asked = gateway.asked();
    let sent = asked.iter().find(|asked| asked.line == "POST /v1/messages").expect("sent");
    assert!(sent.body.contains("Hello") && !sent.body.contains("session"), "{sent:?}");
    screen.press("q");
    assert_eq!(screen.end(), 0);
}

#[test]
fn the_pieces_of_an_answer_whose_begin_was_not_seen_are_read_now_and_then() {
    let world = World::new();
    let gateway = world.gateway();
    gateway.on("GET /v1/frames", answer(frames()));
    gateway.on("GET /v1/frames/blog", answer(details("blog", "running")));
    let event = |id: u64, kind: &str, data: Value| json!({"id": id, "at": 1_000, "frame": "blog", "kind": kind, "data": data});
    let mut pieces: Vec<Value> =
        (1..=500).map(|id| event(id, "message.text", json!({"delta": "word ", "part": "p"}))).collect();
    let last =
        json!({"call": "c", "tool": "bash", "status": "running", "input": {"command": "the-last-one"}});
    pieces.push(event(501, "message.tool", last));
    gateway.on("GET /v1/events", Answer::Hanging { pieces: sse(&pieces) });
    play_the_rest(&gateway, json!([]));
    let mut screen = Screen::open(&world, &["ui"]);
    screen.until_shown("the-last-one");
    let reads = gateway.asked().iter().filter(|asked| asked.line == "GET /v1/sessions").count();
    // It takes some three seconds to hear them, and a look stands for two.
    assert!(reads <= 5, "{reads} looks at the conversation for 500 pieces");
    screen.press("q");
    assert_eq!(screen.end(), 0);
}

#[test]
fn without_a_terminal_it_says_what_to_use_instead() {
    let world = World::new();
    let ran = world.run(&["ui"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("mimir frame list --json"), "{ran:?}");
}
