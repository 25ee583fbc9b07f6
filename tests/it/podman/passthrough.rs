//! opencode's own clients against a frame from outside, with nothing but an address and a token of mimir's.
//!
//! They run in containers of their own on the machine's network: what a person would run on another machine.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::scripted::Scripted;
use super::support::{World, eventually, skip};
use super::talk::prepared;
use super::terminal::Terminal;

const IMAGE: &str = "localhost/mimir-frame:latest";
const LIMIT: Duration = Duration::from_secs(90);

/// A frame whose gateway listens on TCP as well, the address of its API, and the token.
struct Outside {
    talk: Scripted,
    base: String,
    token: String,
}

fn outside(test: &str, is_tls: bool) -> Option<Outside> {
    outside_with(test, is_tls, |_| {})
}

/// The same, with something done before the frame is made.
fn outside_with(test: &str, is_tls: bool, prepare: impl FnOnce(&World)) -> Option<Outside> {
    let port =
        TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port();
    let talk = prepared(test, |world| {
        prepare(world);
        world.set_env("MIMIR_SERVER_HTTP_PORT", &port.to_string());
        world.set_env("MIMIR_SERVER_TLS_AUTO", if is_tls { "on" } else { "off" });
    })?;
    let (scheme, token) = if is_tls {
        let words =
            ["token", "create", "sdk", "--scope", "passthrough", "--frame", "talk", "--expires", "1h"];
        ("https", talk.world.mimir(&words).ok().stdout)
    } else {
        let token = std::fs::read_to_string(talk.world.home.join("gateway.token"));
        ("http", token.expect("the home's token"))
    };
    let base = format!("{scheme}://127.0.0.1:{port}/v1/frames/talk/opencode");
    Some(Outside { talk, base, token: token.trim().to_owned() })
}

impl Outside {
    fn world(&self) -> &World {
        &self.talk.world
    }

    /// The conversation that opencode knows by that id (or by that title), once mimir knows of it.
    fn conversation(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        eventually(what, LIMIT, || {
            let all = self.world().json(&["sessions", "list"]);
            let found = all.as_array().and_then(|all| all.iter().find(|session| fits(session)).cloned());
            found.ok_or_else(|| all.to_string())
        })
    }

    /// What was said in it, when the last answer is there.
    fn said(&self, session: &str, answers: usize) -> Vec<Value> {
        eventually("the history is whole", LIMIT, || {
            let shown = self.world().json(&["sessions", "show", session]);
            let turns = shown["turns"].as_array().cloned().unwrap_or_default();
            let ended =
                turns.iter().filter(|turn| turn["role"] == "assistant" && !turn["ended_at"].is_null());
            if ended.count() >= answers { Ok(turns) } else { Err(shown.to_string()) }
        })
    }
}

/// Sessions, a turn with an upload, the event stream, files, a terminal over a WebSocket; both of its faces. Over TLS, as
/// on another machine.
#[test]
fn the_official_sdk_works_against_a_frame_and_mimir_sees_what_it_does() {
    const TEST: &str = "the official SDK";
    let Some(sdk) = std::env::var_os("MIMIR_TEST_OPENCODE_SDK").filter(|path| Path::new(path).is_dir())
    else {
        return skip(TEST, "there is no SDK; ./scripts/test fetches it (scripts/opencode-sdk)");
    };
    let Some(outside) = outside(TEST, true) else { return };
    let world = outside.world();
    let script = world.root.join("talk.mjs");
    std::fs::write(&script, include_str!("../../fixtures/sdk/talk.mjs")).expect("a script");
    // What anybody may know, where the container's user can read it.
    let certificate = world.root.join("gateway.pem");
    let shown = fs::read_to_string(world.home.join("tls/certificate.pem")).expect("a certificate");
    fs::write(&certificate, shown).expect("a copy");
    let mounts = [
        format!("{}:/sdk:ro", Path::new(&sdk).display()),
        format!("{}:/talk.mjs:ro", script.display()),
        format!("{}:/gateway.pem:ro", certificate.display()),
    ];
    let (base, token) = (format!("BASE={}", outside.base), format!("TOKEN={}", outside.token));
    let run = world
        .podman(&[
            "run",
            "--rm",
            "--network",
            "host",
            "-v",
            &mounts[0],
            "-v",
            &mounts[1],
            "-v",
            &mounts[2],
            "-e",
            "NODE_EXTRA_CA_CERTS=/gateway.pem",
            "-e",
            &base,
            "-e",
            &token,
            "--entrypoint",
            "node",
            IMAGE,
            "/talk.mjs",
        ])
        .ok();
    let seen = run.lines().pop().expect("what it saw");

    let answer = "Hello from the scripted model.";
    assert!(seen["answer"].as_str().is_some_and(|text| text.contains(answer)), "{seen}");
    assert!(seen["streamed"].as_str().is_some_and(|text| text.contains(answer)), "{seen}");
    for kind in ["server.connected", "message.updated", "message.part.updated", "session.idle"] {
        assert!(
            seen["kinds"].as_array().is_some_and(|all| all.iter().any(|one| one == kind)),
            "{kind}: {seen}"
        );
    }
    assert_eq!((&seen["messages"], &seen["listed"]), (&2.into(), &true.into()), "{seen}");
    assert!(seen["file"].as_str().is_some_and(|text| text.contains("It says hello.")), "{seen}");
    assert_eq!((&seen["missing"], &seen["stranger"]), (&404.into(), &401.into()), "{seen}");
    assert_eq!((&seen["second"], &seen["socket"]), (&"from the SDK".into(), &true.into()), "{seen}");

    // Like everything else: in the list, in the history, in the log, in the search.
    let session =
        outside.conversation("mimir knows the conversation", |one| one["agent_session"] == seen["session"]);
    assert_eq!((&session["title"], &session["frame"]), (&"from the SDK".into(), &"talk".into()), "{session}");
    let id = session["id"].as_str().expect("an id");
    let turns = outside.said(id, 1);
    assert!(turns[0]["text"].as_str().is_some_and(|text| text.contains("said through the SDK")), "{turns:?}");
    assert_eq!(turns[1]["text"], seen["answer"]);
    let found = world.json(&["sessions", "search", "\"said through the SDK\""]);
    assert_eq!(found[0]["session"], *id, "{found}");
    let events = world.mimir(&["frame", "events", "talk", "--json"]).ok().lines();
    let kinds: Vec<&str> = events
        .iter()
        .filter(|event| event["session"] == *id)
        .filter_map(|event| event["kind"].as_str())
        .collect();
    for kind in ["session.created", "turn.started", "message.text", "turn.ended"] {
        assert!(kinds.contains(&kind), "{kind} in {kinds:?}");
    }
}

/// `opencode attach` in a real terminal: a prompt typed there is answered, and mimir has both.
#[test]
fn the_official_tui_works_against_a_frame_and_mimir_sees_what_it_does() {
    let Some(outside) = outside("the official TUI", false) else { return };
    let world = outside.world();
    // A conversation of mimir's is there before, and goes on in the TUI.
    let _ = outside.talk.send("@@text@@", &[]).ok();
    let password = format!("OPENCODE_SERVER_PASSWORD={}", outside.token);
    let argv = [
        "run",
        "--rm",
        "-it",
        "--network",
        "host",
        "-e",
        &password,
        "-e",
        "TERM=xterm-256color",
        // Nothing is mounted at the home of the image, which is nobody's to write then.
        "-e",
        "HOME=/tmp",
        "--entrypoint",
        "opencode",
        IMAGE,
        "attach",
        &outside.base,
        "--continue",
    ];
    let mut terminal = Terminal::run(world, "podman", &argv, 120, 40);
    terminal.wait_for_text("Hello from the scripted model.", LIMIT);
    terminal.type_text("@@text@@ typed in the TUI");
    terminal.wait_for_text("typed in the TUI", LIMIT);
    terminal.type_text("\r");

    let session = outside.conversation("the conversation", |one| one["frame"] == "talk");
    let id = session["id"].as_str().expect("an id").to_owned();
    let turns = outside.said(&id, 2);
    let typed = turns.iter().position(|turn| {
        turn["role"] == "user" && turn["text"].as_str().is_some_and(|text| text.contains("typed in the TUI"))
    });
    let typed = typed.unwrap_or_else(|| panic!("what was typed is not in the history: {turns:?}"));
    assert!(
        turns[typed + 1]["text"].as_str().is_some_and(|text| text.contains("Hello from the scripted model.")),
        "{turns:?}"
    );
    let audit = std::fs::read_to_string(world.home.join("gateway.log")).unwrap_or_default();
    assert!(!audit.contains(&outside.token), "the token is in no log");
    // Twice: the first may only clear the line.
    terminal.type_text("\x03");
    terminal.type_text("\x03");
    terminal.hang_up();

    every_verb_works_on_the_real_thing(&outside, &id);
}

/// Field case 21: what `/undo` in the terminal asks for. History tells what was taken back as such, and does not tell of
/// a file that is not there as if it were.
#[test]
fn what_is_undone_in_a_frame_is_told_as_undone() {
    let repository = |world: &World| {
        let script = "git init -q . && git add -A && \
                      git -c user.name=Me -c user.email=me@example.org commit -qm first";
        let _ = world.run("sh", &["-ec", script]).ok();
    };
    let Some(outside) = outside_with("an undo", false, repository) else { return };
    let (world, talk) = (outside.world(), &outside.talk);
    let _ = talk.send("first @@text@@", &[]).ok();
    let _ = talk.send("second @@write@@", &[]).ok();
    let file = world.project.join("scripted.txt");
    assert!(file.exists(), "it was written");

    let session = outside.conversation("the conversation", |one| one["frame"] == "talk");
    let (id, theirs) = (session["id"].as_str().expect("an id"), session["agent_session"].as_str());
    let turns = outside.said(id, 2);
    let is_second = |turn: &&Value| {
        turn["role"] == "user" && turn["text"].as_str().is_some_and(|text| text.starts_with("second"))
    };
    let second = turns.iter().find(is_second).unwrap_or_else(|| panic!("the second prompt: {turns:?}"));
    let url = format!("{}/session/{}/revert", outside.base, theirs.expect("the agent's id"));
    let body = serde_json::json!({"messageID": second["agent_message"]}).to_string();
    let token = format!("Authorization: Bearer {}", outside.token);
    let args = ["-sS", "--fail-with-body", "-m", "60", "--noproxy", "*", "-H", &token];
    let args = [&args[..], &["-H", "Content-Type: application/json", "-d", &body, &url]].concat();
    let _ = world.run("curl", &args).ok();

    // Each message from the second prompt on, and none before it.
    let taken_back = |word: &str| {
        eventually(&format!("the second turn is {word}"), LIMIT, || {
            let shown = world.json(&["sessions", "show", id]);
            let turns = shown["turns"].as_array().cloned().unwrap_or_default();
            let at = turns.iter().position(|turn| is_second(&turn)).unwrap_or(turns.len());
            let third = |turn: &Value| turn["text"].as_str().is_some_and(|text| text.starts_with("third"));
            let end = turns.iter().position(third).unwrap_or(turns.len());
            let fits = turns.iter().enumerate().all(|(n, turn)| match (at..end).contains(&n) {
                true => turn["taken_back"]["how"] == word,
                false => turn["taken_back"].is_null(),
            });
            if at < end && fits { Ok(()) } else { Err(shown.to_string()) }
        });
    };
    taken_back("undone");
    assert!(!file.exists(), "the file went with it");
    let text = world.mimir(&["sessions", "show", id]).ok().stdout;
    assert!(text.contains("undone; /redo in the terminal brings it back"), "{text}");

    // Somebody goes on: for good.
    let _ = talk.send("third @@text@@", &[]).ok();
    taken_back("removed");
    let text = world.mimir(&["sessions", "show", id]).ok().stdout;
    assert!(text.contains("removed; the agent does not know of it any more"), "{text}");
    let exported = world.mimir(&["sessions", "export", id]).ok().stdout;
    let marked = exported.find("**Taken back** (removed, ").expect("it is marked");
    let told = exported.find("scripted.txt").expect("it is readable");
    assert!(marked < told, "nobody reads of the file first: {exported}");
}

/// What only opencode itself can prove of `mimir sessions …`.
fn every_verb_works_on_the_real_thing(outside: &Outside, id: &str) {
    let world = outside.world();
    let of = |session: &str| {
        let shown = world.json(&["sessions", "show", session]);
        let turns = shown["turns"].as_array().cloned().unwrap_or_default();
        turns.iter().map(|turn| turn["text"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let fork = world.json(&["sessions", "fork", id, "--title", "another way"]);
    let forked = fork["id"].as_str().expect("an id");
    assert_eq!(fork["forked_from"], id, "{fork}");
    assert_eq!(of(forked), of(id), "it begins with what was said");
    let _ = world.mimir(&["send", "--frame", "talk", "--session", forked, "@@text@@ only here"]).ok();
    assert!(of(forked).iter().any(|text| text.contains("only here")));
    assert!(!of(id).iter().any(|text| text.contains("only here")));

    let before = of(forked).len();
    let _ = world.mimir(&["sessions", "compact", forked]).ok();
    assert!(of(forked).len() > before, "the summary is in the history");
    let _ = world.mimir(&["sessions", "rename", forked, "shorter"]).ok();
    let file = world.project.join("talk.md").display().to_string();
    let _ = world.mimir(&["sessions", "export", forked, "--output", &file]).ok();
    let _ = world.mimir(&["sessions", "export", forked, "--output", &file]).code(6);
    let document = std::fs::read_to_string(&file).expect("a document");
    assert!(document.starts_with("# shorter\n") && document.contains("only here"), "{document}");

    let _ = world.mimir(&["sessions", "delete", forked, "--yes"]).ok();
    let _ = world.mimir(&["sessions", "show", forked]).code(3);
    let again = world.mimir(&["sessions", "search", "only here", "--json"]).ok();
    assert_eq!(again.json(), serde_json::json!([]), "nothing of it is found any more");
    assert_eq!(world.json(&["sessions", "show", id])["id"], id, "the other one is still there");
}
