//! The page for browsers: what it comes with, its files against their source, and a real browser that plays it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use mimir::model::ids::FrameId;
use serde_json::json;
use tokio::process::Command;

use crate::access::{browser, login};
use crate::agent::scripted::{PASSWORD, Play, ScriptedAgent};
use crate::api::world::{World, whole};
use crate::approvals::prompter::{permission, question};
use crate::podman::support::skip;
use crate::web_terminal::world::{Seen, terminal};

/// Of everything that a browser may load, compressed.
const LARGEST: usize = 400 * 1024;
/// Of what it loads before anybody opens a terminal, compressed.
const FIRST: usize = 150 * 1024;
/// A browser that takes longer hangs. It takes a tenth of it on a machine that does nothing else.
const AT_MOST: Duration = Duration::from_secs(240);

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn kept() -> PathBuf {
    root().join("src/gateway/web")
}

/// The files below a folder, by name.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let name = |path: &Path| path.file_name().expect("a name").to_string_lossy().into_owned();
    paths.map(|path| (name(&path), std::fs::read(&path).expect("a file"))).collect()
}

#[tokio::test]
async fn the_page_comes_with_all_its_guards_and_its_files_are_kept_for_ever() {
    let world = World::new().await;
    for path in ["/", "/assets/nothing.js"] {
        let answer = world.open_tcp("GET", path, None, "").await;
        let expected = if path == "/" { 200 } else { 404 };
        assert_eq!(answer.status().as_u16(), expected, "{path}");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff", "{path}");
    }
    let page = world.open_tcp("GET", "/", None, "").await;
    let policy = page.headers()["content-security-policy"].to_str().expect("text").to_owned();
    for part in [
        "default-src 'none'",
        "script-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types mimir-worker",
    ] {
        assert!(policy.split("; ").any(|one| one == part), "{part} is not in {policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
    for (name, value) in
        [("cache-control", "no-store"), ("x-frame-options", "DENY"), ("referrer-policy", "no-referrer")]
    {
        assert_eq!(page.headers()[name], value, "{name}");
    }
    assert!(page.headers().get("access-control-allow-origin").is_none());
    let page = whole(page).await;
    assert_eq!(page.media, "text/html; charset=utf-8");

    let names: Vec<String> =
        files(&kept().join("assets")).into_keys().filter(|name| name != "index.html").collect();
    assert!(names.len() >= 3, "{names:?}");
    let named = |name: &str| format!("\"/assets/{name}\"");
    let manifest = names.iter().find(|name| name.ends_with(".webmanifest")).expect("a manifest");
    assert!(page.text.contains(&named(manifest)), "{manifest} is not in the page");
    let icons = whole(world.open_tcp("GET", &format!("/assets/{manifest}"), None, "").await).await;
    assert_eq!(icons.media, "application/manifest+json");
    for name in names {
        let is_named = page.text.contains(&named(&name)) || icons.text.contains(&named(&name));
        assert!(is_named, "{name} is neither in the page nor in its manifest");
        let file = world.open_tcp("GET", &format!("/assets/{name}"), None, "").await;
        assert_eq!(file.status().as_u16(), 200, "{name}");
        assert_eq!(file.headers()["cache-control"], "public, max-age=31536000, immutable", "{name}");
        assert!(file.headers().contains_key("content-security-policy"), "{name}");
        let kept = std::fs::metadata(kept().join("assets").join(&name)).expect("a file").len();
        assert_eq!(file.headers()["content-length"], kept.to_string(), "{name}");
    }

    let foreign = vec![("host", world.tcp.to_string()), ("sec-fetch-site", "cross-site".to_owned())];
    assert_eq!(world.ask_tcp("/", foreign).await.code(), "request.foreign_origin", "nobody links into it");
    let rebound = vec![("host", "evil.example".to_owned())];
    assert_eq!(world.ask_tcp("/", rebound).await.code(), "request.wrong_host");
}

/// How large a file is to gzip.
fn compressed(name: &str) -> usize {
    let mut gzip = std::process::Command::new("gzip");
    let done = gzip.args(["-9", "-n", "-c"]).arg(kept().join("assets").join(name)).output().expect("gzip");
    assert!(done.status.success(), "{name}: {}", String::from_utf8_lossy(&done.stderr));
    done.stdout.len()
}

#[test]
fn the_page_is_small_and_smaller_before_anybody_opens_a_terminal() {
    let sizes: BTreeMap<String, usize> =
        files(&kept().join("assets")).into_keys().map(|name| (name.clone(), compressed(&name))).collect();
    let all: usize = sizes.values().sum();
    assert!(all <= LARGEST, "{all} bytes: {sizes:#?}");
    let of_terminal: usize =
        sizes.iter().filter(|(name, _)| name.starts_with("terminal-")).map(|(_, size)| size).sum();
    assert!(of_terminal > 0, "the terminal is a file of its own: {sizes:#?}");
    assert!(all - of_terminal <= FIRST, "{} bytes: {sizes:#?}", all - of_terminal);
}

#[test]
fn the_page_is_what_its_source_makes() {
    let test = "the_page_is_what_its_source_makes";
    let Some(fresh) = std::env::var_os("MIMIR_TEST_WEB").map(PathBuf::from).filter(|path| path.exists())
    else {
        return skip(test, "the page was not built anew here: `scripts/web fresh` does that with npm");
    };
    let same = |what: &str, kept: Vec<u8>, made: Vec<u8>| {
        assert!(
            kept == made,
            "{what} is not what web/ makes: run `scripts/web build` and commit what it makes"
        );
    };
    let (ours, theirs) = (files(&kept().join("assets")), files(&fresh.join("assets")));
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>(), "run `scripts/web build`");
    for (name, made) in theirs {
        same(&name, ours[&name].clone(), made);
    }
    let read =
        |path: PathBuf| std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    same("files.rs", read(kept().join("files.rs")), read(fresh.join("files.rs")));
    same("web/src/api.d.ts", read(root().join("web/src/api.d.ts")), read(fresh.join("api.d.ts")));
}

/// A port on which nobody listens.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound").port()
}

#[tokio::test]
async fn a_real_browser_plays_the_page() {
    let test = "a_real_browser_plays_the_page";
    let here = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.exists());
    let Some(program) = here("MIMIR_TEST_BROWSER") else {
        return skip(test, "no Chromium here: `scripts/web browser` installs Debian's");
    };
    let Some(script) = here("MIMIR_TEST_WEB").map(|folder| folder.join("browser.mjs")) else {
        return skip(test, "what drives the browser is not here: `scripts/web fresh` fetches it with npm");
    };
    // What the page asks goes over a port of its own, so that the way to the gateway can be cut.
    let way = free_port();
    let world = browser::world_on(vec![format!("127.0.0.1:{way}")]).await;
    let agent = ScriptedAgent::start();
    agent.choose_models();
    let answer = "Hello **there**, see [this](https://example.org/) and [that](javascript:alert(1)). \
        <img src=x onerror=alert(1)> \u{202e}";
    agent.plays([Play::Answer(answer.to_owned())]);
    let url = format!("http://mimir@{}", agent.address());
    let far = world.post("/v1/frames/far/connect", Some(json!({"url": url, "password": PASSWORD}))).await;
    assert_eq!(far.status, 201, "{}", far.text);
    world.until_state("far", "running").await;
    let seen: Arc<Seen> = Arc::default();
    let of_engine = seen.clone();
    world.engine.on_stream(move |_, command| terminal(&of_engine, command));
    let made = world.frame("blog").await;
    let started = world.post("/v1/frames/blog/start?wait=8", None).await;
    assert_eq!(started.status, 200, "{}", started.text);
    let frame = FrameId::parse(made["id"].as_str().expect("an id")).expect("an id");
    let approvals = world.services.approvals.clone();
    let ask = permission("per_1", "ses_1", "bash", &["git push"]);
    approvals.asked(&frame, None, &ask).await.expect("taken in");
    approvals.asked(&frame, None, &question("que_1", "ses_1")).await.expect("taken in");
    world.engine.print(&frame, "\u{1b}[32mlistening\u{1b}[0m <b>\u{202e}");
    let morning = json!({"name": "morning", "expression": "0 9 * * mon-fri",
        "does": {"kind": "prompt", "text": "what is new?", "frame": "blog"}});
    for (path, wish) in [
        ("/v1/schedules", morning),
        ("/v1/tokens", json!({"name": "phone", "scopes": ["read"]})),
        ("/v1/budgets", json!({"scope": "home", "period": "day", "limit_microusd": 5_000_000})),
    ] {
        let answer = world.post(path, Some(wish)).await;
        assert!(matches!(answer.status, 200 | 201), "{path}: {}", answer.text);
    }

    let shots = match std::env::var_os("MIMIR_TEST_WEB_SHOTS") {
        Some(folder) => PathBuf::from(folder),
        None => std::env::temp_dir().join(format!("mimir-web-{}", std::process::id())),
    };
    std::fs::create_dir_all(&shots).expect("a folder");
    let mut run = Command::new("node");
    run.arg(script).env("MIMIR_WEB_BROWSER", program).env("MIMIR_WEB_PORT", world.tcp.port().to_string());
    run.env("MIMIR_WEB_WAY", way.to_string());
    // The code of the step that comes next: the one of now confirmed the app.
    login::set_password(&world).await;
    let (secret, _) = login::set_app(&world).await;
    let totp = login::code_at(&secret, world.services.clock.now_ms() + 30_000);
    run.env("MIMIR_WEB_PASSWORD", login::PASSWORD).env("MIMIR_WEB_TOTP", totp);
    run.env("MIMIR_WEB_CODE", browser::code(&world).await).env("MIMIR_WEB_SHOTS", &shots);
    let every = ["read", "send", "approve", "frames", "admin"];
    run.env("MIMIR_WEB_CODE_ALL", browser::code_for(&world, &every).await);
    run.env("MIMIR_WEB_FOLDER", world.project("made"));
    run.env("MIMIR_WEB_CODE_TERMINAL", browser::code_for(&world, &["read", "terminal"]).await);
    run.stdin(Stdio::null()).kill_on_drop(true);
    let ended = tokio::time::timeout(AT_MOST, run.output()).await;
    let output = ended.unwrap_or_else(|_| panic!("it is not done after {AT_MOST:?}")).expect("node runs");
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}pictures of the page are in {}", shots.display());
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));

    // The browser could not look there itself.
    let typed = seen.typed.lock().clone();
    for text in ["hello-browser", "pasted-text", "back-again", "\u{1b}", "\t", "\u{1b}[A", "\u{3}", "\u{5}"] {
        assert!(typed.contains(text), "{text:?} was not typed: {typed:?}");
    }
    assert!(!typed.contains("forbidden"), "{typed:?}");
    assert!(!seen.sizes.lock().is_empty(), "the terminal has the size of the window");

    let all = world.get("/v1/approvals?all=true").await.json();
    let decisions: Vec<_> = all.as_array().expect("a list").iter().map(|one| &one["decision"]).collect();
    assert!(decisions.contains(&&json!("once")) && decisions.contains(&&json!("answer")), "{all}");
    assert!(all[0]["by"].as_str().is_some_and(|by| by.starts_with("token:web-")), "{all}");
}
