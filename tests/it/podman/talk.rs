//! What can go wrong between a message and its answer: said plainly, and the conversation goes on.

use std::fs;
use std::process::{Child, Output};
use std::time::Duration;

use super::scripted::{KEY, Scripted};
use super::support::{Run, World, eventually, kill};

const LIMIT: Duration = Duration::from_secs(60);

/// A frame that runs.
fn talk(test: &str) -> Option<Scripted> {
    prepared(test, |_| {})
}

/// The same, with something done before the gateway starts.
pub(super) fn prepared(test: &str, prepare: impl FnOnce(&mut World)) -> Option<Scripted> {
    let mut talk = Scripted::new(test, "")?;
    prepare(&mut talk.world);
    let _ = talk.world.mimir(&["frame", "create", "talk", "--start"]).ok();
    Some(talk)
}

impl Scripted {
    pub(super) fn send(&self, text: &str, more: &[&str]) -> Run {
        let mut args = vec!["send", "--frame", "talk", text];
        args.extend(more);
        self.world.mimir(&args)
    }

    /// Nothing that went wrong before may keep the conversation from going on.
    fn goes_on(&self) {
        let answered = self.send("@@text@@", &[]).ok();
        assert!(answered.stdout.contains("Hello from the scripted model."), "{answered:?}");
        let sessions = self.world.json(&["sessions", "list"]);
        assert_eq!(sessions.as_array().map(Vec::len), Some(1), "one conversation all along: {sessions}");
    }

    /// Starts a send and waits until the model speaks.
    fn in_the_middle_of(&self, text: &str) -> Child {
        let child = self.world.spawn(&["send", "--frame", "talk", text]);
        eventually("the model speaks", LIMIT, || match self.model.active() {
            0 => Err("nobody asked it".into()),
            _ => Ok(()),
        });
        child
    }

    /// The message that is on its way.
    fn open_message(&self) -> String {
        eventually("the turn is seen running", LIMIT, || {
            let events = self.world.mimir(&["frame", "events", "talk", "--json"]).ok().lines();
            let running = events.iter().rev().find(|event| event["data"]["to"] == "running");
            let id = running.and_then(|event| event["message"].as_str());
            id.map(str::to_owned).ok_or_else(|| format!("{:?}", events.last()))
        })
    }
}

fn end_of(child: Child) -> Output {
    child.wait_with_output().expect("it ends")
}

/// A provider that refuses the key, a model that does not exist, a provider that does not exist.
#[test]
fn a_model_that_fails_or_is_refused_is_said_plainly() {
    let Some(talk) = talk("models that fail") else { return };
    let failed = talk.send("@@http401@@", &[]).code(1);
    assert!(failed.stderr.contains("401") && failed.stderr.contains("Incorrect API key"), "{failed:?}");

    for nonsense in ["scripted/no-such-model", "nobody/nothing"] {
        let refused = talk.send("hello", &["--model", nonsense]).code(1);
        let name = nonsense.split_once('/').expect("two words").1;
        assert!(refused.stderr.contains(name), "{nonsense} is named: {refused:?}");
    }
    // A refused model does not poison the session (docs/traps.md, 18).
    talk.goes_on();

    let as_json = talk.send("@@http401@@", &["--json", "--no-stream"]).code(1);
    let error: serde_json::Value =
        as_json.stderr.lines().last().map(serde_json::from_str).expect("a line").expect("JSON");
    assert_eq!(error["error"]["code"], "message.failed", "{error}");
    talk.goes_on();
}

/// The key is added on the host: the model gets it, the frame never sees it.
#[test]
fn the_key_of_a_provider_is_nowhere_inside() {
    let Some(talk) = talk("the key stays outside") else { return };
    talk.goes_on();
    let seen = talk.model.seen();
    let bearer = format!("Bearer {KEY}");
    assert!(!seen.is_empty());
    assert!(seen.iter().all(|call| call.headers.get("authorization").is_some_and(|sent| *sent == *bearer)));

    // Environments, command lines, memory-backed and mounted folders: everywhere an agent could look.
    // (The pattern does not match the command line that it stands in.)
    let look = "{ env; cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline | tr '\\0' '\\n'; \
                grep -raoh 'sk-scripte[d]' /run /home/agent /workspace /tmp /etc; } 2>/dev/null \
                | grep -c 'sk-scripte[d]'";
    let found = talk.world.mimir(&["frame", "exec", "talk", "--", "sh", "-c", look]);
    assert_eq!(found.stdout.trim(), "0", "{found:?}");
    // One that lay there would be found: in a file, and in an environment.
    let planted = format!(
        "printf sk-scripte%s d >/tmp/planted; export PLANTED=$(cat /tmp/planted); {look}; rm /tmp/planted"
    );
    let found = talk.world.mimir(&["frame", "exec", "talk", "--", "sh", "-c", &planted]);
    let count: u32 = found.stdout.trim().parse().expect("a number");
    assert!(count >= 2, "{found:?}");
    // And the agent's own API, which gives keys away in clear (docs/traps.md, 9).
    let ask = "curl -s --noproxy '*' -u \"mimir:$(cat /run/mimir/start/password)\" http://127.0.0.1:4096/config/providers";
    let told = talk.world.mimir(&["frame", "exec", "talk", "--", "sh", "-c", ask]).ok();
    assert!(told.stdout.contains("scripted"), "the question was answered: {told:?}");
    assert!(!told.stdout.contains("sk-scripted"), "{told:?}");

    let show = talk.world.json(&["frame", "show", "talk"]);
    let inspected = talk.world.podman(&["inspect", show["container"].as_str().expect("a name")]).ok();
    assert!(!inspected.stdout.contains(KEY));
    let log = fs::read_to_string(talk.world.home.join("gateway.log")).expect("a log");
    assert!(!log.contains(KEY), "a key has no place in a log");
}

/// Ctrl-C once leaves, twice aborts. Whoever else follows the message is told.
#[test]
fn a_turn_that_is_aborted_ends_and_the_next_one_is_answered() {
    let Some(talk) = talk("an aborted turn") else { return };
    let mut sender = talk.in_the_middle_of("@@hang@@");
    let message = talk.open_message();
    let follower = talk.world.spawn(&["send", "--follow", &message]);
    std::thread::sleep(Duration::from_secs(1));
    assert!(sender.try_wait().expect("a child").is_none(), "it waits for the answer");
    kill(sender.id(), "INT");
    std::thread::sleep(Duration::from_millis(500));
    kill(sender.id(), "INT");

    let left = end_of(sender);
    let said = String::from_utf8_lossy(&left.stderr).into_owned();
    assert_eq!(left.status.code(), Some(130), "{said}");
    assert!(said.contains("aborts it") && said.contains("aborted"), "{said}");
    let told = end_of(follower);
    let said = String::from_utf8_lossy(&told.stderr).into_owned();
    assert_eq!(told.status.code(), Some(1), "{said}");
    assert!(said.contains("was stopped"), "{said}");
    eventually("the model is left alone", LIMIT, || match talk.model.active() {
        0 => Ok(()),
        active => Err(format!("{active} answers are being written")),
    });
    talk.goes_on();
}

/// What delivery relies on, with the real agent: a prompt whose message and part have ids of ours may be sent as
/// often as one likes, `--interrupt` ends what runs, and a stream without a finish reason (docs/traps.md, 2:
/// asked for again for ever) is mended by the broker.
#[test]
fn trap_2_a_prompt_is_one_message_and_one_call_however_it_is_sent_and_ends() {
    let Some(talk) = talk("what delivery relies on") else { return };
    let eof = talk.send("@@eof@@", &[]).ok();
    assert!(eof.stdout.contains("partial answer, clean eof"), "{eof:?}");
    let calls = talk.model.seen().iter().filter(|call| call.scenario == "eof").count();
    assert_eq!(calls, 1, "asked once");

    let running = talk.in_the_middle_of("@@hang@@");
    let first = talk.open_message();
    let urgent = talk.send("@@text@@", &["--interrupt"]).ok();
    assert!(urgent.stdout.contains("Hello from the scripted model."), "{urgent:?}");
    let told = end_of(running);
    let said = String::from_utf8_lossy(&told.stderr).into_owned();
    assert_eq!(told.status.code(), Some(1), "{said}");
    assert!(said.contains("interrupted by msg_") && !said.contains(&first), "{said}");

    let ours = talk.world.json(&["sessions", "list"])[0]["id"].as_str().expect("an id").to_owned();
    let agent = Agent::of(&talk.world);
    let made = agent.ask("POST", "/session", r#"{"title": "twice"}"#);
    let session = made["id"].as_str().expect("an id").to_owned();
    let prompt = |rest: &str| {
        let body = format!(
            r#"{{"messageID": "msg_1fd69ca3800077777777777777", "agent": "build",
                 "model": {{"providerID": "scripted", "modelID": "scripted"}}, {rest}
                 "parts": [{{"id": "prt_1fd69ca3800077777777777777", "type": "text", "text": "@@text@@"}}]}}"#
        );
        agent.ask("POST", &format!("/session/{session}/prompt_async"), &body);
    };
    let roles = || {
        let messages = agent.ask("GET", &format!("/session/{session}/message"), "");
        let of = |message: &serde_json::Value| {
            let parts = message["parts"].as_array().map_or(0, Vec::len);
            let role = message["info"]["role"].as_str().unwrap_or_default().to_owned();
            let ended = !message["info"]["time"]["completed"].is_null();
            if role == "user" { format!("user {parts}") } else { format!("{role} {ended}") }
        };
        messages.as_array().expect("messages").iter().map(of).collect::<Vec<_>>()
    };
    let becomes = |expected: &[&str]| {
        eventually(&format!("{expected:?}"), LIMIT, || {
            let found = roles();
            if found == expected { Ok(()) } else { Err(format!("{found:?}")) }
        });
    };
    // Stored and never run, as a server leaves it that stumbles behind its 204.
    prompt(r#""noReply": true,"#);
    becomes(&["user 1"]);
    prompt("");
    becomes(&["user 1", "assistant true"]);
    // Once more when it is answered: nothing is appended, and nobody is asked.
    let asked = talk.model.seen().len();
    prompt("");
    let _ = talk.send("@@text@@", &["--session", &ours]).ok();
    becomes(&["user 1", "assistant true"]);
    assert_eq!(
        talk.model.seen().len(),
        asked + 1,
        "only the message of the other conversation was asked for"
    );
}

/// The agent's own API, past the gateway.
pub(super) struct Agent {
    base: String,
    login: String,
}

impl Agent {
    pub(super) fn of(world: &World) -> Self {
        let show = world.json(&["frame", "show", "talk"]);
        let folder = world.home.join("frames").join(show["id"].as_str().expect("an id"));
        let password = fs::read_to_string(folder.join("start/password")).expect("a password");
        Self {
            base: format!("http://127.0.0.1:{}", show["agent_port"]),
            login: format!("mimir:{}", password.trim()),
        }
    }

    pub(super) fn ask(&self, method: &str, path: &str, body: &str) -> serde_json::Value {
        let mut curl = std::process::Command::new("curl");
        curl.args(["-sS", "-m", "20", "-u", &self.login, "-X", method]);
        if !body.is_empty() {
            curl.args(["-H", "content-type: application/json", "-d", body]);
        }
        let answer = curl.arg(format!("{}{path}", self.base)).output().expect("curl runs");
        serde_json::from_slice(&answer.stdout).unwrap_or_default()
    }
}

/// The agent is killed in the middle of its answer.
#[test]
fn an_agent_that_dies_in_the_middle_of_its_answer_is_said_plainly() {
    let Some(talk) = talk("an agent that dies") else { return };
    let sender = talk.in_the_middle_of("@@hang@@");
    let _ = talk.open_message();
    let slay = ["pkill", "-9", "-f", "^[^ ]*opencode serve"];
    let _ = talk.world.mimir(&[["frame", "exec", "talk", "--"].as_slice(), slay.as_slice()].concat()).ok();
    let told = end_of(sender);
    let said = String::from_utf8_lossy(&told.stderr).into_owned();
    assert_eq!(told.status.code(), Some(1), "{said}");
    assert!(said.contains("in the middle of its answer"), "{said}");
    talk.goes_on();
    assert_eq!(talk.world.state("talk"), "running");
}
