//! A frame that is used from elsewhere: over TLS, with a token, by the same commands.

use std::net::TcpListener;
use std::time::Duration;

use super::support::{Engine, World, skip};
use super::terminal::Terminal;

#[test]
fn a_frame_is_used_from_elsewhere_with_a_token_until_it_is_revoked() {
    let mut world = match World::new(Engine::Rootful) {
        Ok(world) => world,
        Err(why) => return skip("a frame from elsewhere", &why),
    };
    let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
    world.set_env("MIMIR_SERVER_HTTP_PORT", &port.to_string());
    world.set_env("MIMIR_SERVER_TLS_AUTO", "on");
    let _ = world.mimir(&["serve", "--detach"]).ok();
    let fingerprint = world.json(&["status"])["fingerprint"].as_str().expect("a certificate").to_owned();
    let scopes = "read,send,frames,terminal";
    let made = world.mimir(&["token", "create", "laptop", "--scope", scopes, "--expires", "1h"]).ok();

    // From here on nothing goes through the Unix socket.
    world.set_env("MIMIR_URL", &format!("https://localhost:{port}"));
    world.set_env("MIMIR_TOKEN", made.stdout.trim());
    world.set_env("MIMIR_FINGERPRINT", &fingerprint);
    assert_eq!(world.json(&["token", "show"])["principal"], "token:laptop");
    let workspace = world.project.display().to_string();
    let _ = world.mimir(&["frame", "create", "blog", "--workspace", &workspace]).ok();

    let sent = world.mimir(&["send", "--frame", "blog", "--json", "what is this project?"]).ok();
    let events = sent.lines();
    let last = events.last().expect("at least one event");
    assert_eq!(last["data"]["state"].as_str(), Some("answered"), "{last}");

    let words = ["frame", "exec", "blog", "--", "sh", "-c", "echo out; echo err >&2; exit 3"];
    let ran = world.mimir(&words).code(3);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("out\n", "err\n"));

    let mut terminal = Terminal::open(&world, &["frame", "attach", "blog", "--window", "agent"], 120, 40);
    terminal.wait_for_text("what is this project?", Duration::from_secs(60));
    terminal.detach();
    assert_eq!(terminal.exit_code(Duration::from_secs(10)), 0);

    // The shell of a stolen laptop closes when its token is taken back.
    let mut terminal = Terminal::open(&world, &["frame", "attach", "blog", "--window", "shell"], 120, 40);
    terminal.wait_for_text("2:shell", Duration::from_secs(30));
    for name in ["MIMIR_URL", "MIMIR_TOKEN", "MIMIR_FINGERPRINT"] {
        world.clear_env(name);
    }
    let _ = world.mimir(&["token", "revoke", "laptop"]).ok();
    assert_eq!(terminal.exit_code(Duration::from_secs(10)), 5, "{}", terminal.text());
    assert_eq!(world.state("blog"), "running", "what runs in the frame goes on");
    let _ = world.mimir(&["frame", "destroy", "blog", "--yes"]).ok();
}
