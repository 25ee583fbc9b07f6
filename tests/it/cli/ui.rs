//! `mimir ui` in a real terminal, against a gateway that plays answers.

use serde_json::json;

use super::frame;
use super::gateway::{Answer, Gateway, json as answer, problem, sse};
use super::terminal::Screen;
use super::world::World;

/// Longer than the dashboard takes no keys after another program had the terminal.
const DEAF: std::time::Duration = std::time::Duration::from_millis(500);

/// A gateway with two frames, of which one's agent waits for somebody.
fn play(world: &World) -> Gateway {
    let gateway = world.gateway();
    let mut waiting = frame("blog", "running");
    waiting["status"] = json!({"word": "waiting", "waiting_for": "permission", "queued": 0});
    gateway.on("GET /v1/frames", answer(json!([waiting, frame("shop", "stopped")])));
    let asked = json!([{
        "id": "apr_01k0000000000000000000000a", "frame": "blog", "form": "permission", "state": "pending",
        "text": "bash: rm -rf build", "tool": "bash", "patterns": ["rm -rf build"], "always": ["rm *"],
        "metadata": {}, "questions": [], "from_child": false, "answers": [], "asked_at": 1,
    }]);
    gateway.on("GET /v1/approvals", answer(asked));
    for list in ["GET /v1/runs", "GET /v1/schedules", "GET /v1/sessions", "GET /v1/queue"] {
        gateway.on(list, answer(json!([])));
    }
    let spending = json!({"paused": false, "budgets": [], "days": 7, "by_frame": [], "by_project": [], "by_model": [],
                          "by_day": [{"name": today(), "call_count": 1, "unpriced_count": 0, "estimated_count": 0,
                                      "cost_microusd": 310_000}]});
    gateway.on("GET /v1/budgets", answer(spending));
    gateway.on("GET /v1/frames/blog", problem(404, "frame.not_found", "there is no frame `blog`"));
    gateway.on("GET /v1/events", Answer::Hanging { pieces: sse(&[]) });
    gateway
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
    std::thread::sleep(std::time::Duration::from_millis(500));
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
    screen.signal(rustix::process::Signal::TERM);
    assert_eq!(screen.end(), 143);
    assert!(screen.echoes());
}

#[test]
fn without_a_terminal_it_says_what_to_use_instead() {
    let world = World::new();
    let ran = world.run(&["ui"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("mimir frame list --json"), "{ran:?}");
}
