//! What people type who know other tools.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::gateway::{Answer, Gateway, json as answer};
use super::terminal::Screen;
use super::world::{World, finish};
use super::{details, frame};

/// A frame `blog` whose folder is the one that commands run in, and another one elsewhere.
fn with_frames(world: &World) -> Gateway {
    let gateway = world.gateway();
    let mut blog = frame("blog", "running");
    blog["workspace"] = json!(world.work());
    gateway.on("GET /v1/frames", answer(json!([blog, frame("api", "running")])));
    let mut all = details("blog", "running");
    all["workspace"] = json!(world.work());
    gateway.on("GET /v1/frames/blog", answer(all));
    gateway.on("GET /v1/frames/api", answer(details("api", "running")));
    for verb in ["start", "stop", "restart", "pause", "resume"] {
        gateway.on(&format!("POST /v1/frames/blog/{verb}"), answer(frame("blog", "running")));
    }
    gateway.on("DELETE /v1/frames/blog", answer(frame("blog", "stopped")));
    gateway
}

fn asked(gateway: &Gateway, line: &str) -> bool {
    gateway.asked().iter().any(|asked| asked.line == line)
}

#[test]
fn short_words_do_what_the_long_ones_do() {
    let world = World::new();
    let _gateway = with_frames(&world);
    let long = world.run(&["frame", "list"]);
    for words in [&["ls"][..], &["ps"], &["ps", "-a"], &["frame", "ls"], &["frame", "ps"]] {
        assert_eq!(world.run(words).stdout, long.stdout, "{words:?}");
    }
    assert_eq!(
        world.run(&["version"]).stdout,
        format!("mimir {0}\ngateway {0}\n", env!("CARGO_PKG_VERSION"))
    );
    assert_eq!(world.run(&["start"]).stdout, "blog running\n");
    assert_eq!(world.run(&["rm", "blog", "-f"]).stdout, "blog destroyed\n");
    assert!(world.run(&["config", "list", "frames.network"]).stdout.contains("frames.network"));
}

#[test]
fn the_frame_of_this_folder_is_meant_when_nobody_names_one() {
    let world = World::new();
    let gateway = with_frames(&world);
    for verb in ["start", "stop", "restart", "pause", "resume"] {
        let ran = world.run(&["frame", verb]);
        assert_eq!(ran.code, 0, "{verb}: {ran:?}");
        assert!(ran.stderr.contains("blog, the frame of this folder"), "{verb}: {}", ran.stderr);
        assert!(asked(&gateway, &format!("POST /v1/frames/blog/{verb}")), "{verb}");
    }
    assert!(world.run(&["frame", "show"]).stdout.starts_with("blog"));
    let nowhere = finish(world.command(&["frame", "show"]).current_dir("/").spawn().expect("starts"));
    assert_eq!(nowhere.code, 2);
    assert!(nowhere.stderr.contains("`mimir frame show blog`"), "{}", nowhere.stderr);
}

#[test]
fn hosts_are_allowed_and_images_renewed_for_the_frame_of_this_folder() {
    let world = World::new();
    let gateway = with_frames(&world);
    let network = json!({"frame": "blog", "network": "allow", "allow": ["npm"], "deny": [], "lent": [], "providers": ["demo"],
        "asked": [], "repository": null, "git": "direct", "branches": [], "hosts": []});
    for name in ["blog", "api"] {
        for verb in ["allow", "deny"] {
            gateway.on(&format!("POST /v1/frames/{name}/{verb}"), answer(network.clone()));
        }
    }
    for (words, frame, hosts) in [
        (&["allow", "example.org"][..], "blog", json!(["example.org"])),
        (
            &["allow", "*.example.org:8443", "GET+HEAD a.test/b/*"],
            "blog",
            json!(["*.example.org:8443", "GET+HEAD a.test/b/*"]),
        ),
        // A group, and no frame is called so.
        (&["allow", "npm", "pypi", "--for", "1h"], "blog", json!(["npm", "pypi"])),
        (&["allow", "--provider", "openai"], "blog", Value::Null),
        (&["deny", "example.org"], "blog", json!(["example.org"])),
        (&["deny", "npm"], "blog", json!(["npm"])),
        (&["allow", "api", "npm"], "api", json!(["npm"])),
        (&["deny", "api", "example.org"], "api", json!(["example.org"])),
    ] {
        let before = gateway.asked().len();
        let ran = world.run(&[&["frame"], words].concat());
        assert_eq!(ran.code, 0, "{words:?}: {ran:?}");
        assert_eq!(
            ran.stderr.contains("blog, the frame of this folder"),
            frame == "blog",
            "{words:?}: {ran:?}"
        );
        let asked = &gateway.asked()[before..];
        let call = asked.iter().find(|asked| asked.line.starts_with("POST ")).expect("asked for");
        assert_eq!(call.line, format!("POST /v1/frames/{frame}/{}", words[0]), "{words:?}");
        let body: Value = serde_json::from_str(&call.body).expect("JSON");
        assert_eq!(body["hosts"], hosts, "{words:?}");
    }
    for nothing in
        [&["frame", "allow"][..], &["frame", "allow", "blog"], &["frame", "deny"], &["frame", "deny", "blog"]]
    {
        let ran = world.run(nothing);
        assert!(
            ran.code == 2 && ran.stderr.contains("no host, group, provider or branch"),
            "{nothing:?}: {ran:?}"
        );
    }
    // A name that is mistyped is no host, and nothing is allowed to another frame.
    let before = gateway.asked().len();
    assert_ne!(world.run(&["frame", "allow", "blgo", "example.org"]).code, 0);
    let calls = &gateway.asked()[before..];
    assert!(calls.iter().all(|call| !call.line.starts_with("POST /v1/frames/blog/")), "{}", calls.len());

    let mut upgraded = frame("blog", "stopped");
    for (name, value) in [("upgraded", json!(true)), ("from", json!("1eb2")), ("to", json!("6b1c"))] {
        upgraded[name] = value;
    }
    upgraded["desired"] = json!("stopped");
    gateway.on("POST /v1/frames/blog/upgrade", answer(upgraded));
    let ran = world.run(&["frame", "upgrade"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("blog, the frame of this folder"), "{ran:?}");
    assert!(
        asked(&gateway, "POST /v1/frames/blog/upgrade") && ran.stdout.contains("will start on"),
        "{ran:?}"
    );
}

#[test]
fn what_destroys_names_the_frame_that_it_found_and_yes_needs_a_name() {
    let world = World::new();
    let gateway = with_frames(&world);
    let asks = world.run(&["rm"]);
    assert_eq!(asks.code, 2, "nobody can be asked: {asks:?}");
    assert!(
        asks.stderr.contains("blog") && asks.stderr.contains("mimir frame destroy blog --yes"),
        "{}",
        asks.stderr
    );
    let below = world.work().join("src");
    std::fs::create_dir(&below).expect("made");
    let inside = finish(world.command(&["rm", "--yes"]).current_dir(&below).spawn().expect("starts"));
    assert_eq!(inside.code, 2, "{inside:?}");
    assert!(inside.stderr.contains("`mimir frame destroy blog --yes`"), "{}", inside.stderr);
    assert!(!asked(&gateway, "DELETE /v1/frames/blog"), "nothing was destroyed");
    let here = world.run(&["rm", "--yes"]);
    assert_eq!(here.code, 2, "a list of names in a script may be empty: {here:?}");
    assert!(!asked(&gateway, "DELETE /v1/frames/blog"), "nothing was destroyed");
    let done = world.run(&["rm", "--yes", "blog"]);
    assert_eq!((done.code, done.stdout.as_str()), (0, "blog destroyed\n"), "{done:?}");
}

#[test]
fn a_command_inside_needs_no_dashes() {
    let world = World::new();
    let gateway = with_frames(&world);
    gateway.on("GET /v1/frames/blog/terminal", Answer::Terminal);
    for words in [
        &["exec", "blog", "ls", "-la"][..],
        &["frame", "exec", "blog", "ls", "-la"],
        &["frame", "exec", "blog", "--", "ls", "-la"],
        &["exec", "-i", "blog", "ls", "-la"],
        &["exec", "blog", "-i", "ls", "-la"],
        // The frame of this folder.
        &["exec", "--", "ls", "-la"],
        &["exec", "ls", "-la"],
        &["frame", "exec", "ls", "-la"],
    ] {
        let before = gateway.asked().len();
        let ran = world.run_with_input(words, "");
        assert_eq!(ran.code, 3, "the scripted end of its input: {words:?}: {ran:?}");
        let asked = &gateway.asked()[before..];
        let terminal = asked.iter().find(|asked| asked.line.ends_with("/terminal")).expect("asked for");
        assert!(terminal.query.contains("argv=%5B%22ls%22%2C%22-la%22%5D"), "{words:?}: {}", terminal.query);
        assert!(terminal.line.contains("/frames/blog/"), "{words:?}: {}", terminal.line);
    }
    let own = world.run_with_input(&["exec", "ls", "-t", "--help"], "");
    assert_eq!(own.code, 3, "options behind the command are its own: {own:?}");
    let last = gateway.asked().pop().expect("asked");
    assert!(last.query.contains("argv=%5B%22ls%22%2C%22-t%22%2C%22--help%22%5D"), "{}", last.query);

    let nothing = world.run(&["exec", "api"]);
    assert!(nothing.code == 2 && nothing.stderr.contains("what is to be run in it?"), "{nothing:?}");
    let unknown = world.run(&["exec", "api", "--unknown", "ls"]);
    assert!(unknown.code == 2 && unknown.stderr.contains("`--unknown` is no option"), "{unknown:?}");
    let nowhere = world.command(&["exec", "nope", "ls"]).current_dir("/").spawn();
    let nowhere = finish(nowhere.expect("starts"));
    assert!(nowhere.code == 2 && nowhere.stderr.contains("nope is no frame"), "{nowhere:?}");
}

#[test]
fn what_listens_inside_is_listed_and_one_of_it_is_chosen_for_the_preview() {
    let world = World::new();
    let gateway = with_frames(&world);
    for text in [
        "chosen -\nleads 5173\nlistens 9229\nlistens 5173\n",
        "chosen 8000\nleads -\n",
        "HTTP/1.1 502 Bad Gateway\r\n\r\nNothing listens",
    ] {
        gateway.on("GET /v1/frames/blog/terminal", Answer::Prints(text));
    }
    let listed = world.run(&["frame", "ports"]);
    assert_eq!(listed.code, 0, "{listed:?}");
    let preview = format!("http://127.0.0.1:{}", frame("blog", "running")["preview_port"]);
    let rows: Vec<Vec<&str>> = listed.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows, [["PORT", "PREVIEW"], ["5173", preview.as_str()], ["9229", "-"]], "{listed:?}");

    let chosen = world.run(&["frame", "ports", "blog", "--preview", "8000"]);
    assert!(chosen.code == 0 && chosen.stderr.contains("nothing listens there"), "{chosen:?}");
    let last = gateway.asked().pop().expect("asked");
    let argv = "argv=%5B%22mimir-preview%22%2C%22--choose%22%2C%228000%22%2C%223000%22%5D";
    assert!(last.query.contains(argv), "{}", last.query);

    let older = world.run(&["frame", "ports", "blog"]);
    assert!(older.code == 6 && older.stderr.contains("`mimir frame upgrade blog`"), "{older:?}");
    assert_eq!(world.run(&["frame", "ports", "blog", "--preview", "http"]).code, 2);
}

#[test]
fn words_of_other_tools_are_answered_with_ours() {
    let world = World::new();
    for (words, told) in [
        (&["run", "blog"][..], "mimir exec NAME COMMAND"),
        (&["kill", "blog"], "mimir frame stop NAME"),
        (&["shell", "blog"], "mimir exec -it NAME bash"),
        (&["frame", "run"], "mimir frame create"),
        (&["inspect", "blog"], "mimir frame show NAME"),
        (&["fram", "list"], "did you mean `mimir frame`?"),
        (&["frame", "strat"], "did you mean `mimir frame start`?"),
        (&["frame", "xyzzy"], "`mimir frame --help` lists the commands"),
    ] {
        let ran = world.run(words);
        assert_eq!(ran.code, 2, "{words:?}");
        assert!(ran.stderr.contains(told), "{words:?}: {}", ran.stderr);
    }
    let json = world.run(&["kill", "blog", "--json"]);
    let error: Value = serde_json::from_str(&json.stderr).expect("JSON");
    assert_eq!(error["error"]["title"], "there is no command `mimir kill`");
}

#[test]
fn a_setting_is_taken_out_and_the_rest_of_the_file_stays() {
    let world = World::new();
    world.configure("# mine\nframes:\n  network: sealed   # on purpose\n  allow:\n  - npm\n  - go\n\nqueue:\n  parallel: 2\n");
    let unset = |key: &str| world.run(&["config", "unset", key]);
    let file = || std::fs::read_to_string(world.paths().config_file()).expect("readable");
    assert_eq!(unset("frames.network").code, 0);
    assert_eq!(file(), "# mine\nframes:\n  allow:\n  - npm\n  - go\n\nqueue:\n  parallel: 2\n");
    assert_eq!(unset("frames.allow").code, 0, "and the section that was there for it");
    assert_eq!(file(), "# mine\n\nqueue:\n  parallel: 2\n");
    let again = unset("frames.allow");
    assert!(again.code == 0 && again.stderr.contains("there is no frames.allow"), "{again:?}");
    assert_eq!(unset("queue.paralell").code, 2);
    assert_eq!(world.run(&["config", "get", "frames.network"]).stdout, "allow\n");
}

#[test]
fn what_an_editor_leaves_is_taken_over_when_it_is_good() {
    let mut world = World::new();
    world.configure("frames:\n  network: sealed\n");
    let editor = world.work().join("editor");
    let edit = |script: &str| {
        std::fs::write(&editor, format!("#!/bin/sh\n{script}\n")).expect("written");
        std::fs::set_permissions(&editor, std::fs::Permissions::from_mode(0o755)).expect("made to run");
    };
    world.set("EDITOR", &editor.display().to_string());
    let file = world.paths().config_file();
    edit("sed -i s/sealed/open/ \"$1\"");
    let good = world.run(&["config", "edit"]);
    assert_eq!(good.code, 0, "{good:?}");
    assert_eq!(std::fs::read_to_string(&file).expect("there"), "frames:\n  network: open\n");
    edit("sed -i s/open/closed/ \"$1\"");
    let bad = world.run(&["config", "edit"]);
    assert_eq!(bad.code, 2, "{bad:?}");
    assert!(bad.stderr.contains("what you wrote is in"), "{}", bad.stderr);
    assert_eq!(
        std::fs::read_to_string(&file).expect("there"),
        "frames:\n  network: open\n",
        "it is as it was"
    );
    edit("exit 3");
    let kept = world.run(&["config", "edit"]);
    assert_eq!(kept.code, 2);
    assert!(kept.stderr.contains("is kept in ") && kept.stderr.contains("config.edit-1.yaml"), "{kept:?}");
    let aside = |number: u32| {
        let path = file.with_file_name(format!("config.edit-{number}.yaml"));
        std::fs::read_to_string(&path).expect("kept")
    };
    assert_eq!(aside(1), "frames:\n  network: closed\n", "what was written is not lost");
    // Somebody else was faster while the editor was open.
    edit(&format!("echo 'frames: {{network: allow}}' >'{}'; sed -i s/open/sealed/ \"$1\"", file.display()));
    let late = world.run(&["config", "edit"]);
    assert!(late.code == 2 && late.stderr.contains("was changed meanwhile"), "{late:?}");
    assert!(late.stderr.contains("config.edit-2.yaml"), "{late:?}");
    assert_eq!(aside(2), "frames:\n  network: sealed\n");
    assert_eq!(std::fs::read_to_string(&file).expect("there"), "frames: {network: allow}\n");
    edit("true");
    let same = world.run(&["config", "edit"]);
    assert!(same.code == 0 && same.stderr.contains("nothing was changed"), "{same:?}");
}

#[test]
fn what_an_edit_left_is_gone_on_with_when_somebody_says_so() {
    let mut world = World::new();
    world.configure("frames:\n  network: sealed\n");
    let file = world.paths().config_file();
    world.set("EDITOR", "sed -i s/sealed/closed/");
    assert_eq!(world.run(&["config", "edit"]).code, 2);
    world.set("EDITOR", "sed -i s/closed/open/");
    let mut screen = Screen::open(&world, &["config", "edit"]);
    screen.until("Go on with it?");
    screen.press("\r");
    assert_eq!(screen.end(), 0, "{}", screen.text());
    assert_eq!(std::fs::read_to_string(&file).expect("there"), "frames:\n  network: open\n");
    assert!(!file.with_file_name("config.edit.yaml").exists(), "it was taken over");

    // What is older than the file would undo what was changed since; nobody is asked.
    world.set("EDITOR", "sed -i s/open/closed/");
    assert_eq!(world.run(&["config", "edit"]).code, 2);
    world.configure("frames:\n  network: allow\n");
    let opened = std::fs::File::options().append(true).open(&file).expect("opens");
    let now = opened.metadata().and_then(|found| found.modified()).expect("a time");
    let later = now + std::time::Duration::from_secs(60);
    opened.set_modified(later).expect("a later time");
    world.set("EDITOR", "sed -i s/allow/sealed/");
    let mut screen = Screen::open(&world, &["config", "edit"]);
    assert_eq!(screen.end(), 0, "{}", screen.text());
    assert!(screen.text().contains("config.edit-1.yaml"), "{}", screen.text());
    assert_eq!(std::fs::read_to_string(&file).expect("there"), "frames:\n  network: sealed\n");
}

#[test]
fn every_variable_has_a_meaning() {
    let world = World::new();
    let ran = world.run(&["help", "environment"]);
    for variable in ["MIMIR_HOME", "MIMIR_URL", "MIMIR_FRAMES_NETWORK", "MIMIR_TURN_COST", "MIMIR_DB_KEY"] {
        assert!(ran.stdout.contains(&format!("{variable} ")), "{variable}: {}", ran.stdout);
    }
    let json = world.run(&["help", "environment", "--json"]);
    let all: Vec<Value> = serde_json::from_str(&json.stdout).expect("a list");
    assert!(
        all.len() > 50 && all.iter().all(|it| it["meaning"].as_str().is_some_and(|text| !text.is_empty()))
    );
}

#[test]
fn every_command_has_a_manual_page() {
    let world = World::new();
    let folder = world.work().join("man");
    assert_eq!(world.run(&["man", &folder.display().to_string()]).code, 0);
    for page in ["mimir.1", "mimir-frame.1", "mimir-frame-create.1", "mimir-config-unset.1", "mimir-send.1"] {
        let text =
            std::fs::read_to_string(folder.join(page)).unwrap_or_else(|error| panic!("{page}: {error}"));
        assert!(text.contains(".SH NAME") && text.contains(".SH OPTIONS"), "{page}: {text}");
    }
}

/// What a shell that presses the tab key after those words is offered.
fn offered(world: &World, shell: &str, words: &[&str]) -> String {
    let mut command = world.command(&[&["--", "mimir"], words].concat());
    command.env("COMPLETE", shell);
    match shell {
        "bash" | "zsh" => command.env("_CLAP_COMPLETE_INDEX", words.len().to_string()).env("_CLAP_IFS", "\n"),
        _ => &mut command,
    };
    let ran = finish(command.spawn().expect("starts"));
    assert_eq!(ran.code, 0, "{shell} {words:?}: {}", ran.stderr);
    ran.stdout
}

#[test]
fn names_of_everything_are_completed_in_three_shells() {
    let world = World::new();
    let without = offered(&world, "bash", &["sessions", "show", ""]);
    assert!(!without.contains("ssn_") && !world.paths().home().exists(), "nothing was started: {without}");
    let gateway = with_frames(&world);
    let session = json!({"id": "ssn_01k0000000000000000000000a", "frame": "blog", "title": "add dark mode",
                         "message_count": 3, "created_at": 1, "last_active_at": 2});
    gateway.on("GET /v1/sessions", answer(json!([session])));
    let message = json!({"id": "msg_01k0000000000000000000000a", "frame": "blog", "session": "ssn_1", "text": "hello",
        "state": "queued", "tokens": {"input": 0, "output": 0, "reasoning": 0, "cache_read": 0, "cache_write": 0},
        "cost_microusd": 0, "created_at": 1, "after_event": 1});
    gateway.on("GET /v1/messages", answer(json!([message])));
    gateway.on(
        "GET /v1/approvals",
        answer(json!([{"id": "apr_1", "frame": "blog", "form": "permission",
        "state": "pending", "text": "bash: ls", "from_child": false, "asked_at": 1}])),
    );
    world.configure("providers:\n  anthropic:\n    key: sk-x\n");
    for shell in ["bash", "zsh", "fish"] {
        for (words, wanted) in [
            (&["sessions", "show", ""][..], "ssn_01k0000000000000000000000a"),
            (&["send", "--session", ""], "last"),
            (&["queue", "cancel", ""], "msg_01k0000000000000000000000a"),
            (&["approvals", "allow", ""], "apr_1"),
            (&["send", "--model", "anthropic/claude-"], "anthropic/claude-"),
            (&["send", "--model", ""], "demo/demo"),
            (&["frame", "create", "--network", ""], "sealed"),
            (&["config", "get", "frames."], "frames.network"),
            (&["rm", ""], "blog"),
            (&["frame", "stop", ""], "api"),
        ] {
            let all = offered(&world, shell, words);
            assert!(all.contains(wanted), "{shell} {words:?}: {all}");
        }
    }
}

/// Each shell takes its own script without a complaint.
#[test]
fn shells_accept_their_completion_scripts() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = world.run(&["completions", shell]).stdout;
        let started = Command::new(shell).arg("-n").stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let Ok(mut child) = started else { continue };
        child.stdin.take().expect("a pipe").write_all(script.as_bytes()).expect("written");
        let ended = child.wait_with_output().expect("ends");
        assert!(ended.status.success(), "{shell}: {}", String::from_utf8_lossy(&ended.stderr));
    }
}
