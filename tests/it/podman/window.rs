//! The agent's window: its program runs while somebody looks, and a while longer.

use std::time::{Duration, Instant};

use super::scripted::Scripted;
use super::support::eventually;
use super::terminal::Terminal;

const LIMIT: Duration = Duration::from_secs(60);
const TUI: &str = "^/usr/local/bin/opencode attach";
/// What it shows whatever else it shows.
const OF_TUI: &str = "ctrl+p";
/// How long it stays in these tests after the last viewer left, in seconds.
const LINGER: u64 = 2;

/// A frame that runs, in which the window's program leaves soon.
fn place(test: &str) -> Option<Scripted> {
    let place = Scripted::new(test, "")?;
    let _ = place.world.mimir(&["frame", "create", "seen", "--start"]).ok();
    place.tmux(&["set-option", "-g", "@linger", &LINGER.to_string()]);
    Some(place)
}

impl Scripted {
    fn in_frame(&self, argv: &[&str]) -> String {
        let mut all = vec!["frame", "exec", "seen", "--"];
        all.extend(argv);
        self.world.mimir(&all).stdout
    }

    fn tmux(&self, args: &[&str]) -> String {
        let mut argv = vec!["tmux", "-S", "/run/frame/tmux.sock"];
        argv.extend(args);
        self.in_frame(&argv)
    }

    /// The processes of the window's program.
    fn tui(&self) -> Vec<u32> {
        self.in_frame(&["pgrep", "-f", TUI]).lines().filter_map(|pid| pid.parse().ok()).collect()
    }

    /// What the window shows, whether somebody looks or not.
    fn window(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-t", "=main:agent"])
    }

    fn say(&self, text: &str, session: &str) {
        let answered = self.world.mimir(&["send", "--frame", "seen", "--session", session, text]).ok();
        assert!(answered.stdout.contains("Hello from the scripted model."), "{answered:?}");
    }

    fn attach(&self, more: &[&str]) -> Terminal {
        let mut args = vec!["frame", "attach", "seen"];
        args.extend(more);
        Terminal::open(&self.world, &args, 120, 40)
    }

    #[track_caller]
    fn waits_for_a_viewer(&self) {
        eventually("no TUI runs, and the window says so", LIMIT, || {
            let (running, window) = (self.tui(), self.window());
            let asleep = running.is_empty() && window.contains("opens when somebody looks");
            if asleep { Ok(()) } else { Err(format!("{running:?}\n{window}")) }
        });
    }

    #[track_caller]
    fn stays(&self, why: &str) {
        let before = self.tui();
        assert_eq!(before.len(), 1, "{why}");
        let until = Instant::now() + Duration::from_secs(4 * LINGER);
        while Instant::now() < until {
            assert_eq!(self.tui(), before, "{why}\n{}", self.window());
            std::thread::sleep(Duration::from_millis(300));
        }
    }
}

/// Waits until the TUI shows that: before it is there, the window shows the last words without it.
#[track_caller]
fn shown(terminal: &Terminal, wanted: &str) {
    eventually(&format!("{wanted:?} in the TUI"), LIMIT, || {
        let seen = terminal.text();
        if seen.contains(wanted) && seen.contains(OF_TUI) { Ok(()) } else { Err(format!("\n{seen}\n")) }
    });
}

#[track_caller]
fn leave(mut terminal: Terminal) {
    terminal.detach();
    assert_eq!(terminal.exit_code(Duration::from_secs(20)), 0);
}

/// Through mimir, past it with the engine's own command, and to another window: whoever looks counts.
#[test]
fn the_tui_runs_only_while_somebody_looks_and_a_while_longer() {
    let Some(place) = place("the agent window starts and ends") else { return };
    place.say("@@text@@ said while nobody looked", "new");
    place.waits_for_a_viewer();

    let began = Instant::now();
    let terminal = place.attach(&[]);
    terminal.wait_for_text("said while nobody looked", LIMIT);
    println!("window: the last words were on the screen after {:.1} s", began.elapsed().as_secs_f64());
    shown(&terminal, "said while nobody looked");
    println!("window: the conversation was on the screen after {:.1} s", began.elapsed().as_secs_f64());
    assert_eq!(place.tui().len(), 1);
    leave(terminal);
    place.waits_for_a_viewer();
    let left = place.in_frame(&["sh", "-c", "find /tmp -name '*.so' -size +8M"]);
    assert_eq!(left, "", "what it unpacked into memory goes with it");

    let details = place.world.json(&["frame", "show", "seen"]);
    let container = details["container"].as_str().expect("a container").to_owned();
    let past_us =
        ["exec", "-it", &container, "tmux", "-S", "/run/frame/tmux.sock", "attach", "-t", "main:agent"];
    let mut terminal = Terminal::run(&place.world, "podman", &past_us, 120, 40);
    shown(&terminal, "said while nobody looked");
    terminal.detach();
    place.waits_for_a_viewer();

    let terminal = place.attach(&["--window", "shell"]);
    eventually("a viewer of the shell finds the agent ready", LIMIT, || {
        let window = place.window();
        if window.contains("said while nobody looked") { Ok(()) } else { Err(window) }
    });
    terminal.hang_up();
    place.waits_for_a_viewer();
}

#[test]
fn of_two_viewers_the_last_one_counts() {
    let Some(place) = place("two viewers of the agent window") else { return };
    place.say("@@text@@ for two", "new");
    let (one, other) = (place.attach(&[]), place.attach(&["--read-only"]));
    shown(&one, "for two");
    shown(&other, "for two");
    let running = place.tui();
    assert_eq!(running.len(), 1, "{running:?}");
    leave(one);
    place.stays("somebody looks");
    assert_eq!(place.tui(), running, "and it is the same");
    leave(other);
    place.waits_for_a_viewer();
}

/// In an empty conversation, where the prompt has words of its own, and in one that has begun.
#[test]
fn what_somebody_typed_and_did_not_send_is_not_lost() {
    let Some(place) = place("text in the prompt") else { return };
    for (text, greeting) in [("half a thought", "Ask anything"), ("another half", "was said")] {
        let mut terminal = place.attach(&[]);
        shown(&terminal, greeting);
        terminal.type_text(text);
        shown(&terminal, text);
        assert!(!terminal.text().contains("server error"), "{}", terminal.text());
        leave(terminal);
        place.stays("it has text in its prompt");

        let mut terminal = place.attach(&[]);
        shown(&terminal, text);
        terminal.type_text(&"\x7f".repeat(text.len()));
        eventually("the text is taken back", LIMIT, || {
            let seen = terminal.text();
            if seen.contains(text) { Err(seen) } else { Ok(()) }
        });
        leave(terminal);
        place.waits_for_a_viewer();
        place.say("@@text@@ was said", "last");
    }
}

/// What the gateway showed last, and what a person chose after that.
#[test]
fn the_tui_opens_on_the_session_that_was_shown_last() {
    let Some(place) = place("which session is shown") else { return };
    place.say("@@text@@ of apples", "new");
    let sessions = place.world.json(&["sessions", "list"]);
    let apples = sessions[0]["id"].as_str().expect("an id").to_owned();
    let of_agent = place.in_frame(&["cat", "/run/frame/session"]).trim().to_owned();
    place.say("@@text@@ of pears", "new");
    place.waits_for_a_viewer();
    let terminal = place.attach(&[]);
    shown(&terminal, "of pears");
    leave(terminal);
    place.waits_for_a_viewer();

    place.say("@@text@@ and more", &apples);
    let terminal = place.attach(&[]);
    shown(&terminal, "of apples");
    // A message goes to the window that is open as well.
    place.say("@@text@@ of plums", "new");
    shown(&terminal, "of plums");
    // As when somebody picks one from the list of sessions: the gateway has no part in it.
    let choose = format!(
        "curl -s --noproxy '*' -K - -H 'content-type: application/json' -d '{{\"sessionID\":\"{of_agent}\"}}' \
         http://127.0.0.1:4096/tui/select-session <<X\nuser=mimir:$(cat /run/mimir/start/password)\nX"
    );
    let _ = place.in_frame(&["sh", "-c", &choose]);
    shown(&terminal, "of apples");
    leave(terminal);
    place.waits_for_a_viewer();
    let terminal = place.attach(&[]);
    shown(&terminal, "of apples");
    leave(terminal);
}

/// Nobody chooses after the last viewer left; what is talked about then is newer than the screen, whatever that shows.
#[test]
fn what_is_talked_about_after_the_last_viewer_left_is_shown_next() {
    let Some(place) = place("which session is shown after leaving") else { return };
    place.say("@@text@@ of apples", "new");
    let apples = place.in_frame(&["cat", "/run/frame/session"]).trim().to_owned();
    place.say("@@text@@ of pears", "new");
    place.waits_for_a_viewer();
    let terminal = place.attach(&[]);
    shown(&terminal, "of pears");
    let _ = place.tmux(&["set-option", "-g", "@linger", "8"]);
    let _ = place.in_frame(&["rm", "-f", "/run/frame/left"]);
    leave(terminal);
    eventually("that the last viewer left is noted", LIMIT, || {
        let marked = place.in_frame(&["sh", "-c", "ls /run/frame"]);
        if marked.lines().any(|name| name == "left") { Ok(()) } else { Err(marked) }
    });
    // As the gateway writes it, for a TUI that has not heard of it yet.
    let write = format!("echo {apples} >/run/frame/new && mv /run/frame/new /run/frame/session");
    let _ = place.in_frame(&["sh", "-c", &write]);
    assert!(place.window().contains("of pears"), "it is still on the screen");
    place.waits_for_a_viewer();
    assert_eq!(place.in_frame(&["cat", "/run/frame/session"]).trim(), apples);
    let terminal = place.attach(&[]);
    shown(&terminal, "of apples");
    leave(terminal);
}

/// The window's program, the window, tmux itself, the agent, a socket.
#[test]
fn what_ends_in_the_terminal_comes_back() {
    let Some(place) = place("what ends comes back") else { return };
    place.say("@@text@@ still here", "new");
    let terminal = place.attach(&[]);
    shown(&terminal, "still here");
    let comes_back = |what: &str, before: &[u32]| {
        eventually(&format!("{what}: another TUI shows the conversation"), LIMIT, || {
            let (running, seen) = (place.tui(), terminal.text());
            let is_another = running.len() == 1 && running != before;
            if is_another && seen.contains("still here") && seen.contains(OF_TUI) {
                Ok(())
            } else {
                Err(format!("{running:?}\n{seen}"))
            }
        });
    };
    for (what, script) in [
        ("the TUI is killed", format!("pkill -KILL -f '{TUI}'")),
        ("the agent is killed", "pkill -KILL -f '^/usr/local/bin/opencode serve'".to_owned()),
        ("its window is closed", "tmux -S /run/frame/tmux.sock kill-window -t =main:agent".to_owned()),
    ] {
        let before = place.tui();
        let _ = place.in_frame(&["sh", "-c", &script]);
        if what.contains("window") {
            eventually("the window is there again", LIMIT, || {
                let windows = place.tmux(&["list-windows", "-t", "=main", "-F", "#{window_name}"]);
                if windows.lines().any(|name| name == "agent") { Ok(()) } else { Err(windows) }
            });
            let views = place.tmux(&["list-sessions", "-F", "#{session_name}"]);
            let view = views.lines().find(|name| name.starts_with("view-")).expect("a viewer").to_owned();
            let _ = place.tmux(&["select-window", "-t", &format!("={view}:=agent")]);
        }
        comes_back(what, &before);
    }
    let _ = place.in_frame(&["rm", "/run/mimir/link/agent.sock"]);
    place.say("@@text@@ through a new socket", "last");
    shown(&terminal, "through a new socket");

    let _ = place.in_frame(&["tmux", "-S", "/run/frame/tmux.sock", "kill-server"]);
    eventually("there is a terminal again, and nobody looks at it", LIMIT, || {
        let window = place.window();
        if window.contains("opens when somebody looks") { Ok(()) } else { Err(window) }
    });
    assert_eq!(place.tui(), [0_u32; 0]);
    let terminal = place.attach(&[]);
    shown(&terminal, "still here");
    leave(terminal);
    let stopping = Instant::now();
    let _ = place.world.mimir(&["frame", "stop", "seen"]).ok();
    println!("window: the frame stopped within {:.1} s", stopping.elapsed().as_secs_f64());
    assert!(stopping.elapsed() < Duration::from_secs(9), "it heard that it is to stop");
}
