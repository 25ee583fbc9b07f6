//! `mimir init`: a key is asked for, tried and written; what others know is taken over only after a yes.

use serde_json::{Value, json};

use super::terminal::Screen;
use super::world::{Ran, World, finish};
use crate::replies::Body;

const KEY: &str = "sk-ant-api03-0123456789abcdefghij";
const SHOWN: &str = "sk-ant…ghij";

/// A provider on this machine that knows one key.
struct Provider {
    url: String,
    asked: std::sync::Arc<parking_lot::Mutex<Vec<String>>>,
    _runtime: tokio::runtime::Runtime,
}

/// How it answers.
#[derive(Clone, Copy)]
enum Manner {
    Good,
    Silent,
    Garbage,
}

impl Provider {
    #[expect(clippy::disallowed_methods, reason = "its tasks end with the runtime that the test owns")]
    fn start(manner: Manner) -> Self {
        use http_body_util::StreamBody;
        use hyper::body::{Frame, Incoming};
        use hyper::{Request, Response};
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("non-blocking");
        let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
        let asked = std::sync::Arc::<parking_lot::Mutex<Vec<String>>>::default();
        let log = asked.clone();
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            while let Ok((stream, _)) = listener.accept().await {
                let log = log.clone();
                let serve = hyper::service::service_fn(move |request: Request<Incoming>| {
                    let key = request.headers().get("x-api-key").and_then(|key| key.to_str().ok());
                    let key = key.unwrap_or_default().to_owned();
                    log.lock().push(format!("{} {key}", request.uri().path()));
                    async move {
                        let (status, text) = match manner {
                            Manner::Silent => std::future::pending().await,
                            Manner::Garbage => (200, "<html>It works!</html>".to_owned()),
                            Manner::Good if !key.is_empty() && key != KEY => {
                                (401, json!({"error": {"message": "invalid x-api-key"}}).to_string())
                            }
                            Manner::Good => {
                                let list = ["claude-opus-9", "claude-sonnet-9"].map(|id| json!({"id": id}));
                                (200, json!({"data": list}).to_string())
                            }
                        };
                        let frame = Ok::<_, std::convert::Infallible>(Frame::data(text.into()));
                        let body: Body = StreamBody::new(Box::pin(futures_util::stream::iter([frame])));
                        let response = Response::builder().status(status).body(body).expect("a response");
                        Ok::<_, std::convert::Infallible>(response)
                    }
                });
                tokio::spawn(async move {
                    let io = hyper_util::rt::TokioIo::new(stream);
                    let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, serve).await;
                });
            }
        });
        Self { url, asked, _runtime: runtime }
    }

    /// A home in which Anthropic is this one.
    fn world(&self) -> World {
        let world = World::new();
        world.configure(&format!("providers:\n  anthropic: {{base_url: \"{}\"}}\n", self.url));
        world
    }
}

fn file(world: &World) -> String {
    std::fs::read_to_string(world.paths().config_file()).unwrap_or_default()
}

/// The rest of the questions, answered as proposed.
fn agree(screen: &mut Screen) {
    screen.until("network ");
    screen.press("\r");
    screen.until("model ");
    screen.press("\r");
    screen.until("Write ");
    screen.press("\r");
    assert_eq!(screen.end(), 0, "{}", screen.text());
}

fn given(world: &World, key: &str, words: &[&str]) -> Ran {
    world.run_with_input(&[&["init", "--key-stdin"], words].concat(), &format!("{key}\n"))
}

#[test]
fn ctrl_c_at_the_key_gives_the_terminal_back() {
    let provider = Provider::start(Manner::Good);
    let world = provider.world();
    let mut screen = Screen::open(&world, &["init"]);
    screen.until("key: ");
    assert!(!screen.echoes(), "it is not shown");
    screen.press("sk-ant-half\x03");
    assert_ne!(screen.end(), 0, "{}", screen.text());
    assert!(screen.echoes(), "what is typed next is seen again");
    assert!(!screen.text().contains("sk-ant-half"), "{}", screen.text());
}

#[test]
fn a_key_is_all_that_a_newcomer_needs() {
    let provider = Provider::start(Manner::Good);
    let world = provider.world();
    let mut screen = Screen::open(&world, &["init"]);
    screen.until("key: ");
    assert!(!screen.echoes(), "it is not shown");
    screen.press("sk-ant-api03-wrong-wrong-wrong\r");
    screen.until("the key is refused (HTTP 401): invalid x-api-key");
    screen.until("Another key");
    screen.press(&format!("{KEY}\r"));
    screen.until("anthropic accepts the key: 2 models");
    agree(&mut screen);
    assert!(screen.text().contains("anthropic/claude-sonnet-9"), "{}", screen.text());
    assert!(!screen.text().contains(KEY), "never, also not where the change is shown: {}", screen.text());
    assert!(screen.text().contains(SHOWN), "{}", screen.text());
    let file = file(&world);
    assert!(file.contains(KEY) && file.contains("default_model: anthropic/claude-sonnet-9"), "{file}");
    assert_eq!(world.run(&["config", "check"]).code, 0);

    // Once more: what is there is tried, and nothing is asked for.
    let mut again = Screen::open(&world, &["init"]);
    again.until(&format!("anthropic is configured: the configuration ({SHOWN})"));
    again.until("anthropic accepts the key");
    again.until("network ");
    again.press("\r");
    again.until("model ");
    again.press("\r");
    assert_eq!(again.end(), 0, "{}", again.text());
    let text = again.text();
    assert!(text.contains("nothing to write") && !text.contains("\nkey: "), "{text}");
}

#[test]
fn without_a_key_it_is_the_demo() {
    let world = World::new();
    let mut screen = Screen::open(&world, &["init"]);
    screen.until("key: ");
    screen.press("\r");
    agree(&mut screen);
    assert!(!file(&world).contains("providers:"), "{}", file(&world));
}

#[test]
fn a_key_from_a_pipe_is_tried_and_what_fails_is_told_apart() {
    let good = Provider::start(Manner::Good);
    let world = good.world();
    let ran = given(&world, KEY, &["--non-interactive"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let all = format!("{}{}", ran.stdout, ran.stderr);
    assert!(!all.contains(KEY) && all.contains("accepts the key: 2 models"), "{all}");
    assert!(file(&world).contains(KEY), "{}", file(&world));
    assert_eq!(good.asked.lock().as_slice(), [format!("/v1/models {KEY}")]);

    let world = good.world();
    let before = file(&world);
    let refused = given(&world, "sk-ant-wrong", &[]);
    assert_eq!(refused.code, 4, "{}", refused.stderr);
    assert!(
        refused.stderr.contains("invalid x-api-key") && refused.stderr.contains("try:"),
        "{}",
        refused.stderr
    );
    let garbage = Provider::start(Manner::Garbage);
    let strange = given(&garbage.world(), KEY, &[]);
    assert_eq!(strange.code, 5);
    assert!(strange.stderr.contains("no JSON"), "{}", strange.stderr);
    let nobody = World::new();
    nobody.configure("providers:\n  anthropic: {base_url: \"http://127.0.0.1:1/v1\"}\n");
    let unreachable = given(&nobody, KEY, &[]);
    assert_eq!(unreachable.code, 5);
    assert!(unreachable.stderr.contains("cannot be reached"), "{}", unreachable.stderr);
    let silent = Provider::start(Manner::Silent);
    let late = given(&silent.world(), KEY, &[]);
    assert_eq!(late.code, 5);
    assert!(late.stderr.contains("no answer within 15 s"), "{}", late.stderr);
    assert_eq!(file(&world), before, "nothing was written");
    assert_eq!(given(&nobody, KEY, &["--no-check"]).code, 0, "but for somebody who insists");

    assert_eq!(given(&world, "", &[]).code, 2, "no key");
    let whose = given(&world, "0123456789", &[]);
    assert_eq!(whose.code, 2);
    assert!(whose.stderr.contains("--provider anthropic"), "{}", whose.stderr);
    assert_eq!(world.run(&["init", "--provider", "nobody"]).code, 3);
}

#[test]
fn a_server_of_this_machine_is_found_and_offered() {
    let ollama = Provider::start(Manner::Good);
    let mut world = World::new();
    world.set("OLLAMA_HOST", ollama.url.trim_end_matches("/v1"));
    let mut screen = Screen::open(&world, &["init"]);
    screen.until(&format!("Use ollama at {}: Ollama on this machine?", ollama.url));
    screen.press("y\r");
    screen.until("ollama answers: 2 models");
    agree(&mut screen);
    let file = file(&world);
    assert!(file.contains(&ollama.url) && file.contains("default_model: ollama/claude-opus-9"), "{file}");
    assert!(file.contains("models: [claude-opus-9, claude-sonnet-9]"), "{file}");
    assert_eq!(world.run(&["config", "check"]).code, 0);
}

#[test]
fn a_key_of_opencode_is_taken_over_only_after_a_yes() {
    let provider = Provider::start(Manner::Good);
    let knows = || {
        let world = provider.world();
        let folder = world.folder.path().join("home/.local/share/opencode");
        std::fs::create_dir_all(&folder).expect("made");
        let auth: Value =
            json!({"anthropic": {"type": "api", "key": KEY}, "openai": {"type": "oauth", "access": "x"}});
        std::fs::write(folder.join("auth.json"), auth.to_string()).expect("written");
        world
    };
    let silent = knows();
    let ran = silent.run(&["init", "--non-interactive"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(
        ran.stderr.contains(&format!("key {SHOWN}")) && ran.stderr.contains("only after a yes"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("openai with an account"), "{}", ran.stderr);
    assert!(!file(&silent).contains(KEY), "{}", file(&silent));

    let no = knows();
    let mut screen = Screen::open(&no, &["init"]);
    screen.until("Use anthropic: opencode (");
    screen.press("n\r");
    screen.until("\nkey: ");
    screen.press("\r");
    screen.until("network ");
    screen.press("\r");
    screen.until("model ");
    screen.press("\r");
    assert_eq!(screen.end(), 0, "{}", screen.text());
    assert!(!file(&no).contains(KEY) && !screen.text().contains(KEY), "{}", file(&no));

    let yes = knows();
    let mut screen = Screen::open(&yes, &["init"]);
    screen.until("Use anthropic: opencode (");
    screen.press("\r");
    screen.until("anthropic accepts the key");
    agree(&mut screen);
    assert!(file(&yes).contains(KEY) && !screen.text().contains(KEY), "{}", file(&yes));

    // Whoever names it has said yes.
    let named = knows();
    let ran = named.run(&["init", "--provider", "anthropic"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(file(&named).contains(KEY), "{}", file(&named));
}

#[test]
fn a_variable_is_referred_to_and_not_copied() {
    let mut world = World::new();
    world.set("GEMINI_API_KEY", "AIza0123456789012345678901");
    let ran = world.run(&["init", "--provider", "google", "--no-check", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let file = file(&world);
    assert!(file.contains("key: \"${GEMINI_API_KEY:-}\"") && !file.contains("AIza"), "{file}");
    let shown: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(shown["before"], "");
}

#[test]
fn a_gateway_elsewhere_keeps_its_own_keys() {
    let mut world = World::new();
    world.set("MIMIR_URL", "https://gate.example:8443").set("MIMIR_TOKEN", "mim_x");
    let ran = world.run(&["init", "--non-interactive"]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("on its machine") && ran.stderr.contains("env -u MIMIR_URL"),
        "{}",
        ran.stderr
    );
    assert!(!world.paths().config_file().exists());
}

#[test]
fn what_git_is_to_the_folder_is_said() {
    let world = World::new();
    let at = |path: &str| world.work().join(path);
    let write = |path: &str, text: &str| {
        std::fs::create_dir_all(at(path).parent().expect("a parent")).expect("made");
        std::fs::write(at(path), text).expect("written");
    };
    // A repository `main` as git lays it out, with a worktree `tree` and a submodule `main/sub`.
    for git in ["main/.git", "main/.git/modules/sub"] {
        for folder in ["objects", "refs"] {
            std::fs::create_dir_all(at(git).join(folder)).expect("made");
        }
        write(&format!("{git}/HEAD"), "ref: refs/heads/main\n");
    }
    write("main/.git/modules/sub/config", "[core]\n\tworktree = ../../../sub\n");
    write("main/sub/.git", "gitdir: ../.git/modules/sub\n");
    write("main/.git/worktrees/tree/gitdir", &format!("{}\n", at("tree/.git").display()));
    write("tree/.git", &format!("gitdir: {}\n", at("main/.git/worktrees/tree").display()));
    write("gone/.git", "gitdir: ../main/.git/worktrees/pruned\n");
    write("lent/.git/objects/info/alternates", "/srv/mirror/objects\n");
    for folder in ["main/packages/app", "linked", "plain"] {
        std::fs::create_dir_all(at(folder)).expect("made");
    }
    std::os::unix::fs::symlink(at("main/.git"), at("linked/.git")).expect("linked");

    let root = format!("`--workspace {}`", at("main").display());
    for (folder, word, about) in [
        ("main", "a git repository\n", None),
        ("plain", "no git repository\n", None),
        ("tree", "a worktree of a git repository\n", Some("it is a worktree of ")),
        ("main/sub", "a submodule of a git repository\n", Some("it is a submodule: ")),
        ("main/packages/app", "a part of a git repository\n", Some(root.as_str())),
        ("linked", "a git repository that a frame cannot use\n", Some("its .git is a link")),
        ("gone", "a git repository that a frame cannot use\n", Some("which cannot be used")),
        ("lent", "a git repository that a frame cannot use\n", Some("borrows objects of")),
    ] {
        let ran = world.command(&["init", "--dry-run"]).current_dir(at(folder)).spawn();
        let ran = finish(ran.expect("starts"));
        assert_eq!(ran.code, 0, "{folder}: {}", ran.stderr);
        assert!(
            ran.stderr.contains(&format!("no known kind of project, {word}")),
            "{folder}: {}",
            ran.stderr
        );
        let says = ["it is a ", "git does not work"].iter().any(|words| ran.stderr.contains(words));
        assert_eq!(says, about.is_some(), "{folder}: {}", ran.stderr);
        assert!(about.is_none_or(|about| ran.stderr.contains(about)), "{folder}: {}", ran.stderr);
    }
}
