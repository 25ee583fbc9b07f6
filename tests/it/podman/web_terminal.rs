//! A real frame's terminal as a browser has it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::num::NonZero;
use std::time::Duration;

use serde_json::{Value, json};

use super::support::{Engine, World, eventually, skip};
use crate::web_terminal::client::{Came, WebTerminal};

/// Typing, size and colours arrive; `yes` harms nobody; whoever comes back finds the screen, and what scrolled by.
#[test]
fn a_browsers_terminal_is_the_frames_own() {
    let mut world = match World::new(Engine::usual()) {
        Ok(world) => world,
        Err(why) => return skip("a browser's terminal", &why),
    };
    let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
    world.set_env("MIMIR_SERVER_HTTP_PORT", &port.to_string());
    let _ = world.mimir(&["frame", "create", "term", "--start"]).ok();
    let made = world.mimir(&["token", "create", "browser", "--scope", "terminal", "--expires", "1h"]).ok();
    let token = made.stdout.trim().to_owned();
    let address: SocketAddr = ([127, 0, 0, 1], port).into();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut terminal = WebTerminal::attached(address, &ticket(address, &token), Some("shell")).await;
        terminal.until_shown("2:shell").await;
        assert!(terminal.type_text("echo grüße-$((40+2))\r").await);
        terminal.until_shown("grüße-42").await;
        terminal.say(json!({"type": "resize", "columns": 100, "rows": 30})).await;
        // What is typed may be there before the size is. One line is tmux's own.
        for _ in 0..60 {
            assert!(terminal.type_text("stty size\r").await);
            terminal.until_said("input_ack").await;
            tokio::time::sleep(Duration::from_millis(300)).await;
            drain(&mut terminal).await;
            if terminal.text().contains("29 100") {
                break;
            }
        }
        assert!(terminal.text().contains("29 100"), "{}", terminal.text());
        assert!(terminal.type_text("printf '\\033[38;2;1;2;3mRGB\\033[0m\\n'\r").await);
        terminal.until_shown("38;2;1;2;3m").await;

        // It prints without end, and nobody takes it; an interrupt still gets in.
        assert!(terminal.type_text("yes\r").await);
        let before = terminal.shown.len();
        while terminal.shown.len() < before + 20_000 {
            match terminal.next().await {
                Came::Output => terminal.acknowledge().await,
                Came::Said(said) => assert_ne!(said["type"], "error", "{said}"),
                Came::Closed => panic!("closed: {}", terminal.text()),
            }
        }
        assert!(terminal.type_text("\u{3}").await);
        terminal.until_said("input_ack").await;
        eventually_typed(&mut terminal, "echo after-$((5+5))\r", "after-10").await;
        assert!(terminal.shown.len() < 64 << 20, "{} bytes", terminal.shown.len());

        // The connection breaks. Nothing of it is left inside, and the next one finds the same screen.
        drop(terminal);
        let mut again = WebTerminal::attached(address, &ticket(address, &token), Some("shell")).await;
        again.until_shown("after-10").await;
        assert!(again.type_text("printf 'line-%s\\n' $(seq 1 200)\r").await);
        again.until_shown("line-200").await;
        drop(again);
        let mut back = WebTerminal::attached(address, &ticket(address, &token), Some("shell")).await;
        back.until_shown("line-200").await;
        assert!(!is_further_up(&back), "only the screen is drawn: {}", back.text());
        // What scrolled by is in tmux: its copy mode, and a page up.
        assert!(back.type_text("\u{2}[").await);
        back.until_said("input_ack").await;
        for _ in 0..60 {
            assert!(back.type_text("\u{1b}[5~").await);
            drain(&mut back).await;
            if is_further_up(&back) {
                break;
            }
        }
        assert!(is_further_up(&back), "it did not scroll: {}", back.text());
        assert!(back.type_text("q").await);
        back.until_said("input_ack").await;
        back.say(json!({"type": "detach"})).await;
        back.until_said("detached").await;
    });
    let views = ["frame", "exec", "term", "--", "tmux", "-S", "/run/frame/tmux.sock", "list-sessions"];
    eventually("no viewer is left", Duration::from_secs(20), || {
        let seen = world.mimir(&views).stdout;
        if seen.contains("view-") { Err(seen) } else { Ok(()) }
    });
}

/// Whether lines are on the screen that were above it. Of a line that changes a terminal is sent what changes.
fn is_further_up(terminal: &WebTerminal) -> bool {
    let size = |cells| NonZero::new(cells).expect("some");
    let mut screen = vt100::Parser::new(size(24), size(80), 0);
    screen.process(&terminal.shown);
    let contents = screen.screen().contents();
    let numbers = contents
        .lines()
        .filter_map(|line| line.strip_prefix("line-")?.split(' ').next()?.parse::<u32>().ok());
    numbers.into_iter().any(|number| number < 170)
}

/// Takes what is there already.
async fn drain(terminal: &mut WebTerminal) {
    while let Ok(came) = tokio::time::timeout(Duration::from_millis(200), terminal.next()).await {
        match came {
            Came::Output => terminal.acknowledge().await,
            Came::Said(said) => assert_ne!(said["type"], "error", "{said}"),
            Came::Closed => panic!("closed: {}", terminal.text()),
        }
    }
}

/// Types again and again until something is shown: a shell that was interrupted throws away what comes too early.
async fn eventually_typed(terminal: &mut WebTerminal, text: &'static str, wanted: &str) {
    for _ in 0..60 {
        assert!(terminal.type_text(text).await);
        drain(terminal).await;
        if terminal.text().contains(wanted) {
            return;
        }
    }
    panic!("{wanted} was not shown: {}", terminal.text());
}

/// A ticket for the terminal, as a page asks for one.
fn ticket(address: SocketAddr, token: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("connects");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a limit");
    let request = format!(
        "POST /v1/frames/term/terminal/tickets HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}"
    );
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let body = answer.split_once("\r\n\r\n").expect("a body").1;
    let made: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"));
    made["ticket"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}
