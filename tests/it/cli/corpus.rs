//! Every way to fail that a person can meet, as they meet it.
//!
//! The snapshot is read like a book: is it clear what failed, why, and what to type next?

use serde_json::{Value, json};

use super::gateway::{Answer, Gateway, json as answer, lines, problem};
use super::world::World;
use super::{details, frame};
use mimir::wire::problem::Problem;

/// One situation: what is typed, and the world it is typed in.
struct Situation {
    title: &'static str,
    words: Vec<&'static str>,
    set_up: fn(&mut World),
    gateway: Option<fn(&Gateway)>,
}

fn at(
    title: &'static str,
    words: &[&'static str],
    set_up: fn(&mut World),
    gateway: Option<fn(&Gateway)>,
) -> Situation {
    Situation { title, words: words.to_vec(), set_up, gateway }
}

/// Wrong usage: nothing outside is needed.
fn typed(title: &'static str, words: &[&'static str]) -> Situation {
    at(title, words, |_| {}, Some(|_| {}))
}

/// The gateway refuses.
fn refused(title: &'static str, words: &[&'static str], gateway: fn(&Gateway)) -> Situation {
    at(title, words, |_| {}, Some(gateway))
}

fn with_config(title: &'static str, words: &[&'static str], set_up: fn(&mut World)) -> Situation {
    at(title, words, set_up, Some(|_| {}))
}

fn hinted(status: u16, code: &str, title: &str, detail: &str, hint: &str) -> Answer {
    let Answer::Problem(problem) = problem(status, code, title) else { return Answer::HangUp };
    Answer::Problem(Problem::detail(problem, detail).hint(hint))
}

fn usage() -> Vec<Situation> {
    vec![
        typed("a command that does not exist", &["fram", "list"]),
        typed("a verb that does not exist", &["frame", "strat", "blog"]),
        typed("an option that does not exist", &["frame", "list", "--al"]),
        refused("a name is missing, and no frame has this folder", &["frame", "start"], |gateway| {
            gateway.on("GET /v1/frames", answer(json!([frame("blog", "running")])));
        }),
        typed("a name that is not allowed", &["frame", "create", "My_App"]),
        typed("a size that is none", &["frame", "create", "x", "--memory", "lots"]),
        typed("a duration that is none", &["frame", "create", "x", "--throwaway", "--ttl", "soon"]),
        typed("a time to live without --throwaway", &["frame", "create", "x", "--ttl", "2h"]),
        typed("cores that are none", &["frame", "create", "x", "--cpus", "0"]),
        typed("a network mode that is none", &["frame", "create", "x", "--network", "vpn"]),
        typed("an environment variable that is not set here", &["frame", "create", "x", "--env", "NOT_SET"]),
        typed("an environment variable with a bad name", &["frame", "create", "x", "--env", "a-b=1"]),
        typed("a frame file that is missing", &["frame", "create", "x", "--config", "nope.yaml"]),
        typed("a model that is none", &["send", "--frame", "x", "--model", "gpt", "hello"]),
        typed("an empty message", &["send", "--frame", "x", "  "]),
        typed("nothing on standard input", &["send", "--frame", "x"]),
        typed("attach without a terminal", &["frame", "attach", "blog"]),
        typed("exec --tty without a terminal", &["frame", "exec", "blog", "--tty", "--", "sh"]),
        refused("exec without a command", &["frame", "exec", "blog"], |gateway| {
            gateway.on("GET /v1/frames", answer(json!([frame("blog", "running")])));
        }),
        typed("a window that is none", &["frame", "attach", "blog", "--window", "left"]),
        typed("a terminal program that is not installed", &["open", "blog", "--terminal", "wezterm"]),
        typed("no terminal program at all", &["open", "blog"]),
        typed("tmux asked for outside tmux", &["open", "blog", "--terminal", "tmux"]),
        typed("help on nothing", &["help", "frame", "fly"]),
        typed("init without anybody to ask", &["init"]),
        typed("a shell that is none", &["completions", "tcsh"]),
        typed("a token that may do nothing", &["token", "create"]),
        typed("a scope that is none", &["token", "create", "--scope", "all"]),
        typed("a token that is over at once", &["token", "create", "--scope", "read", "--expires", "0s"]),
    ]
}

fn configuration() -> Vec<Situation> {
    vec![
        with_config("no home folder at all", &["status"], |world| {
            world.set("HOME", "");
        }),
        with_config("a setting that does not exist", &["config", "get", "frames.netwrk"], |_| {}),
        with_config("a setting with a bad value", &["config", "set", "frames.ports", "80-90"], |_| {}),
        with_config(
            "a secret on the command line",
            &["config", "set", "providers.openai.key", "sk-1"],
            |_| {},
        ),
        with_config("no value", &["config", "set", "frames.network"], |_| {}),
        with_config("an unknown key in the file", &["config", "show"], |world| {
            world.configure("frames:\n  netwrk: open\n");
        }),
        with_config("a file that is no YAML", &["config", "show"], |world| {
            world.configure("frames: [\n");
        }),
        with_config("a variable that is not set", &["config", "show"], |world| {
            world.configure("providers:\n  anthropic:\n    key: ${NOT_SET_ANYWHERE}\n");
        }),
        with_config("several mistakes", &["config", "show"], |world| {
            world.configure("frames:\n  netwrk: open\n  ports: 1-2\n");
        }),
    ]
}

fn approvals() -> Vec<Situation> {
    fn question() -> Value {
        json!({"id": "apr_1", "frame": "blog", "form": "question", "state": "pending", "text": "Which?",
            "from_child": false, "asked_at": 0, "questions": [{"header": "", "text": "Which?", "multiple": false,
            "options": [{"label": "a", "description": ""}, {"label": "b", "description": ""}]}]})
    }
    vec![
        refused("nothing waits for an answer", &["approvals", "allow"], |gateway| {
            gateway.on("GET /v1/approvals", answer(json!([])));
        }),
        refused("several things wait for an answer", &["approvals", "deny"], |gateway| {
            gateway.on("GET /v1/approvals", answer(json!([question(), question()])));
        }),
        refused("more answers than questions", &["approvals", "answer", "apr_1", "1", "2"], |gateway| {
            gateway.on("GET /v1/approvals/apr_1", answer(question()));
        }),
        refused("an option that is not there", &["approvals", "answer", "apr_1", "7"], |gateway| {
            gateway.on("GET /v1/approvals/apr_1", answer(question()));
        }),
        with_config("a rule that is none", &["config", "show"], |world| {
            world.configure("approvals:\n  rules:\n    - {tool: edit, command: ls, action: deny}\n");
        }),
        with_config("a secret that cannot sign", &["config", "show"], |world| {
            world.configure("notify:\n  webhooks:\n    - {url: 'https://x.test', secret: short}\n");
        }),
        typed("a policy that is not there", &["frame", "create", "x", "--policy", "nowhere.yaml"]),
    ]
}

fn elsewhere() -> Vec<Situation> {
    const GATE: &str = "https://127.0.0.1:1";
    vec![
        with_config("a gateway elsewhere without a token", &["status"], |world| {
            world.set("MIMIR_URL", GATE);
        }),
        with_config("a token file that is missing", &["status"], |world| {
            world.set("MIMIR_URL", GATE).set("MIMIR_TOKEN_FILE", "/nonexistent/token");
        }),
        with_config("an address that is none", &["status"], |world| {
            world.set("MIMIR_URL", "gate.example:8443").set("MIMIR_TOKEN", "mim_x");
        }),
        with_config("an address without TLS", &["status"], |world| {
            world.set("MIMIR_URL", "http://gate.example:8080").set("MIMIR_TOKEN", "mim_x");
        }),
        with_config("a fingerprint that is none", &["status"], |world| {
            world.set("MIMIR_URL", GATE).set("MIMIR_TOKEN", "mim_x").set("MIMIR_FINGERPRINT", "sha1:12");
        }),
        with_config("a gateway elsewhere that does not answer", &["status"], |world| {
            world.set("MIMIR_URL", GATE).set("MIMIR_TOKEN", "mim_x");
        }),
        with_config("a folder of this machine for a gateway elsewhere", &["frame", "create", "x"], |world| {
            world.set("MIMIR_URL", GATE).set("MIMIR_TOKEN", "mim_x");
        }),
        with_config("an address for everybody without TLS", &["config", "show"], |world| {
            world.configure("server:\n  bind: 0.0.0.0\n");
        }),
        refused("a token that was revoked", &["frame", "list"], |gateway| {
            gateway.on(
                "GET /v1/frames",
                hinted(
                    401,
                    "auth.revoked",
                    "the token ci was revoked",
                    "it was taken back an hour ago",
                    "ask for a new one",
                ),
            );
        }),
        refused("a token that may not do this", &["frame", "list"], |gateway| {
            gateway.on(
                "GET /v1/frames",
                hinted(
                    403,
                    "auth.scope",
                    "this token may not do that: it lacks the scope `read`",
                    "it is for: send",
                    "`mimir token create --scope read` on the gateway's machine makes one that may",
                ),
            );
        }),
    ]
}

fn frames() -> Vec<Situation> {
    vec![
        refused("a frame that does not exist", &["frame", "show", "nope"], |gateway| {
            gateway.on(
                "GET /v1/frames/nope",
                hinted(
                    404,
                    "frame.not_found",
                    "there is no frame `nope`",
                    "you have: blog, api",
                    "`mimir frame list` shows them",
                ),
            );
        }),
        refused("a name that is taken", &["frame", "create", "blog"], |gateway| {
            gateway.on(
                "POST /v1/frames",
                hinted(
                    409,
                    "frame.name_taken",
                    "there is a frame `blog` already",
                    "it is for /home/me/src/blog",
                    "choose another name, or `mimir frame destroy blog`",
                ),
            );
        }),
        refused("an image that is missing", &["frame", "create", "blog"], |gateway| {
            gateway.on(
                "POST /v1/frames",
                hinted(
                    424,
                    "image.missing",
                    "image localhost/mimir-frame:latest is not on this machine",
                    "it was never built here",
                    "`mimir image build`",
                ),
            );
        }),
        refused("no free port", &["frame", "create", "blog"], |gateway| {
            gateway.on(
                "POST /v1/frames",
                hinted(
                    503,
                    "ports.exhausted",
                    "no port is free",
                    "33000-34000 are all leased or in use",
                    "destroy a frame, or widen `frames.ports`",
                ),
            );
        }),
        refused("the engine is down", &["frame", "start", "blog"], |gateway| {
            gateway.on(
                "POST /v1/frames/blog/start",
                hinted(
                    503,
                    "runtime.unreachable",
                    "cannot reach the container engine",
                    "no socket at /run/podman/podman.sock",
                    "`mimir doctor`",
                ),
            );
        }),
        refused("a frame that does not get ready", &["frame", "start", "blog", "--wait", "1s"], |gateway| {
            gateway.on("POST /v1/frames/blog/start", Answer::Json(202, frame("blog", "starting")));
        }),
        refused("a frame that goes to error", &["frame", "start", "blog", "--wait", "1s"], |gateway| {
            let mut broken = frame("blog", "error");
            broken["reason"] = json!("the agent ended 5 times in 10 minutes");
            gateway.on("POST /v1/frames/blog/start", Answer::Json(202, broken));
        }),
        refused("pausing what does not run", &["frame", "pause", "blog"], |gateway| {
            gateway.on(
                "POST /v1/frames/blog/pause",
                hinted(
                    409,
                    "frame.wrong_state",
                    "a frame that is stopped cannot be paused",
                    "only a running frame can",
                    "`mimir frame start blog`",
                ),
            );
        }),
        refused("exec in a stopped frame", &["frame", "exec", "blog", "--", "ls"], |gateway| {
            gateway.on("GET /v1/frames/blog", answer(details("blog", "stopped")));
        }),
        refused("exec of something that is not there", &["frame", "exec", "blog", "--", "nope"], |gateway| {
            gateway.on("GET /v1/frames/blog", answer(details("blog", "running")));
            gateway.on(
                "GET /v1/frames/blog/terminal",
                hinted(
                    404,
                    "exec.not_found",
                    "there is no program `nope` in frame blog",
                    "the engine says: executable file not found",
                    "`mimir frame exec blog -- ls /usr/bin`",
                ),
            );
        }),
        refused("destroy without anybody to ask", &["frame", "destroy", "blog"], |gateway| {
            gateway.on("GET /v1/frames/blog", answer(details("blog", "running")));
        }),
        refused("an image build that fails", &["image", "build"], |gateway| {
            let failed = json!({"kind": "failed", "problem": {"code": "image.build_failed", "title": "step 3 of 7 failed: packages",
                "detail": "E: no space left on device", "hint": "make room, then `mimir image build` goes on", "status": 500}});
            gateway.on("POST /v1/images/build", lines(&[failed]));
        }),
        refused("a project that does not exist", &["projects", "show", "nope"], |gateway| {
            gateway.on(
                "GET /v1/projects/nope",
                hinted(
                    404,
                    "project.not_found",
                    "there is no project `nope`",
                    "none is registered",
                    "`mimir projects add PATH`",
                ),
            );
        }),
    ]
}

fn messages() -> Vec<Situation> {
    vec![
        refused("no frame for this folder", &["send", "hello"], |gateway| {
            gateway.on("GET /v1/frames", answer(json!([frame("blog", "running")])));
        }),
        refused("no frame at all", &["send", "hello"], |gateway| {
            gateway.on("GET /v1/frames", answer(json!([])));
        }),
        refused("a project with two frames", &["send", "--project", "api", "hello"], |gateway| {
            gateway.on("GET /v1/projects/api", answer(json!({"id": "prj_1", "name": "api", "path": "/x", "frames": ["a", "b"], "created_at": 0})));
        }),
        refused("a project without frames", &["send", "--project", "api", "hello"], |gateway| {
            gateway.on(
                "GET /v1/projects/api",
                answer(json!({"id": "prj_1", "name": "api", "path": "/x", "frames": [], "created_at": 0})),
            );
        }),
        refused("the budget is used up", &["send", "--frame", "blog", "hello"], |gateway| {
            gateway.on(
                "POST /v1/messages",
                hinted(
                    402,
                    "budget.exceeded",
                    "the budget of today is used up",
                    "$5.00 of $5.00",
                    "`mimir config set budgets.daily_usd 10`",
                ),
            );
        }),
        refused("a message that does not exist", &["send", "--follow", "msg_x"], |gateway| {
            gateway
                .on("GET /v1/messages/msg_x", problem(404, "message.not_found", "there is no message msg_x"));
        }),
        refused("no conversation yet", &["sessions", "show", "last"], |gateway| {
            gateway.on(
                "GET /v1/sessions/last",
                problem(404, "session.not_found", "there is no conversation yet"),
            );
        }),
        refused("a word that fits several conversations", &["sessions", "export", "dark mode"], |gateway| {
            gateway.on(
                "GET /v1/sessions/dark%20mode/export",
                problem(409, "session.ambiguous", "`dark mode` may be any of 2 sessions"),
            );
        }),
        refused("a search for what must not be there", &["sessions", "search", "--", "-dark"], |_| {}),
        refused("a conversation deleted without a word", &["sessions", "delete", "last"], |gateway| {
            gateway.on(
                "GET /v1/sessions/last",
                answer(json!({"id": "ssn_01k0000000000000000000000a", "frame": "blog", "title": "talk",
                              "messages": 3, "created_at": 1, "last_active_at": 2, "turns": []})),
            );
        }),
    ]
}

fn gateways() -> Vec<Situation> {
    vec![
        refused("a bug in the gateway", &["frame", "list"], |gateway| {
            gateway.on("GET /v1/frames", problem(500, "internal", "something went wrong inside mimir"));
        }),
        refused("a gateway that hangs up", &["frame", "list"], |gateway| {
            gateway.on("GET /v1/frames", Answer::HangUp);
        }),
        refused("an answer that is cut", &["frame", "list"], |gateway| {
            gateway.on("GET /v1/frames", Answer::Pieces { pieces: vec!["[{".to_owned()], cut: true });
        }),
        refused("an answer of another version", &["frame", "list"], |gateway| {
            gateway.on("GET /v1/frames", answer(json!([{"name": "blog"}])));
        }),
        refused("a refusal without a reason", &["frame", "list"], |gateway| {
            gateway.on("GET /v1/frames", Answer::Json(502, json!("bad gateway")));
        }),
        refused("somebody else's gateway", &["frame", "list"], |gateway| {
            gateway.on(
                "GET /v1/frames",
                hinted(
                    403,
                    "auth.peer",
                    "this gateway serves another user",
                    "it belongs to uid 1000",
                    "set MIMIR_HOME to a folder of your own",
                ),
            );
        }),
        at("status without a gateway", &["status"], |_| {}, None),
    ]
}

/// What begins by itself.
fn automation() -> Vec<Situation> {
    vec![
        typed(
            "a message that is in no file",
            &["webhooks", "test", "/nonexistent/alert.json", "--source", "errors"],
        ),
        typed("a workflow that is in no file", &["workflows", "check", "/nonexistent/fix.yaml"]),
        typed("a workflow that is no text", &["workflows", "check", "/"]),
        typed("a schedule of nothing", &["cron", "add", "morning", "@daily"]),
        typed("a schedule that changes in nothing", &["cron", "edit", "morning"]),
        typed("a secret that is empty", &["secret", "set", "github"]),
        typed("a run with half an input", &["runs", "start", "review", "--set", "depth"]),
        typed("a secret for no host", &["secret", "grant", "github", "blog"]),
    ]
}

#[test]
fn every_error_says_what_why_and_what_next() {
    let situations: Vec<Situation> =
        [usage(), configuration(), elsewhere(), approvals(), automation(), frames(), messages(), gateways()]
            .into_iter()
            .flatten()
            .collect();
    assert!(situations.len() >= 40, "{} situations", situations.len());
    let mut book = String::new();
    for situation in &situations {
        book.push_str(&page(situation));
    }
    snapshot!("errors", book);
}

fn page(situation: &Situation) -> String {
    let mut world = World::new();
    (situation.set_up)(&mut world);
    let _gateway = situation.gateway.filter(|_| world.has_home()).map(|script| {
        let gateway = world.gateway();
        script(&gateway);
        gateway
    });
    let title = situation.title;
    let people = world.run(&situation.words);
    assert_ne!(people.code, 0, "{title}: {people:?}");
    assert_ne!(people.code, 101, "{title}: {people:?}");

    let mut words = vec!["--json"];
    words.extend(&situation.words);
    let programs = world.run(&words);
    assert_eq!(programs.code, people.code, "{title}: the same code for programs");
    if situation.title != "status without a gateway" {
        assert!(people.stderr.starts_with("error:"), "{title}: {}", people.stderr);
        let error: Value = serde_json::from_str(programs.stderr.lines().last().unwrap_or_default())
            .unwrap_or_else(|why| panic!("{title}: {why}: {programs:?}"));
        for field in ["code", "title", "detail", "hint", "request_id"] {
            assert!(error["error"].get(field).is_some(), "{title}: {field}: {error}");
        }
        let hint = error["error"]["hint"].is_string();
        assert!(hint || error["error"]["request_id"].is_string(), "{title}: what next? {error}");
    }
    world.redacted(&format!(
        "## {title}\n$ mimir {}\n{}{}[exit {}]\n\n",
        situation.words.join(" "),
        people.stdout,
        people.stderr,
        people.code
    ))
}
