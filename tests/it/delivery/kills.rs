//! A thousand messages, and a gateway that is killed fifty times meanwhile.
//!
//! The gateway is the executable with its own database and sockets; its engine is in memory and the agent is the
//! scripted one, in this process, so that the agent's history outlives every gateway.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mimir::client::{ClientError, GatewayClient};
use mimir::clock;
use mimir::config::Paths;
use mimir::model::message::DeliveryState::{Answered, Failed};
use mimir::wire::frames::CreateFrame;
use mimir::wire::messages::{MessageView, SendMessage};

use crate::agent::scripted::{Play, ScriptedAgent};

const CLIENTS: usize = 40;
const EACH: usize = 25;
const KILLS: usize = 50;
/// From the first message to the last end.
const LIMIT: Duration = Duration::from_secs(400);

/// Xorshift: the same seed, the same story.
#[derive(Clone)]
struct Dice(u64);

impl Dice {
    fn throw(&mut self, from: u64, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        from + self.0 % (below - from)
    }
}

/// A gateway that is started again as often as it is killed.
struct Gateway {
    folder: tempfile::TempDir,
    env: BTreeMap<String, String>,
    child: Option<Child>,
}

impl Gateway {
    fn new(agent: &ScriptedAgent) -> Self {
        let folder = tempfile::Builder::new().prefix("mmd-").tempdir_in("/tmp").expect("a folder");
        let at = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(&path).expect("made");
            path.display().to_string()
        };
        let env = BTreeMap::from([
            ("HOME".to_owned(), at("home")),
            ("MIMIR_HOME".to_owned(), at("home/.mimir")),
            ("XDG_RUNTIME_DIR".to_owned(), at("run")),
            ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
            ("MIMIR_DB_KEY".to_owned(), "ab".repeat(32)),
            ("MIMIR_TEST_AGENT".to_owned(), agent.address().to_string()),
            ("MIMIR_LOG".to_owned(), "warn".to_owned()),
        ]);
        at("work");
        // A frame without ports fails its messages before the agent ever sees them.
        let ports = crate::ports::own(20);
        let config = format!(
            "server: {{http_port: off}}\n\
             frames: {{ports: {ports}, network: sealed}}\n\
             opencode: {{default_model: demo/demo}}\n\
             queue: {{per_session: 100, per_frame: 2000, parallel: 8}}\n"
        );
        std::fs::write(folder.path().join("home/.mimir/config.yaml"), config).expect("written");
        Self { folder, env, child: None }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn client(&self) -> GatewayClient {
        GatewayClient::new(Paths::find(&self.env).expect("a home").gateway_socket())
    }

    fn start(&mut self) {
        let log = std::fs::File::options().create(true).append(true).open(self.path("log")).expect("a log");
        let child = Command::new(env!("CARGO_BIN_EXE_mimir"))
            .arg("serve")
            .env_clear()
            .envs(&self.env)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("it starts");
        self.child = Some(child);
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("SIGKILL");
            child.wait().expect("gone");
        }
    }

    async fn answers(&mut self) -> GatewayClient {
        let client = self.client();
        let begun = Instant::now();
        while client.health().await.is_err() {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().expect("a child"));
            assert!(ended.is_none() && begun.elapsed() < Duration::from_secs(30), "{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        client
    }

    fn log(&self) -> String {
        let log = std::fs::read_to_string(self.path("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends until there is an answer, as a client with a key may.
async fn send(client: &GatewayClient, request: &SendMessage, key: &str) -> MessageView {
    let begun = Instant::now();
    loop {
        match client.send(request, key).await {
            Ok(message) => return message,
            Err(ClientError::Refused(problem)) if problem.status < 500 => panic!("{key}: {problem:?}"),
            Err(error) => assert!(begun.elapsed() < LIMIT, "{key}: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// One conversation: its messages in order, each of them asked for up to three times.
async fn talk(client: GatewayClient, who: usize, mut dice: Dice, sent: Arc<AtomicUsize>) -> String {
    let frame = if who.is_multiple_of(2) { "one" } else { "two" };
    let mut session = "new".to_owned();
    for number in 0..EACH {
        let key = format!("key-{who}-{number}");
        let request = SendMessage {
            frame: frame.into(),
            text: key.clone(),
            session: Some(session.clone()),
            ..SendMessage::default()
        };
        let first = send(&client, &request, &key).await;
        for _ in 0..dice.throw(0, 3) {
            assert_eq!(send(&client, &request, &key).await.id, first.id, "the same key is the same message");
        }
        session = first.session;
        sent.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(dice.throw(0, 60))).await;
    }
    session
}

/// What the agent does with a prompt; most are answered, some are lost in every way that there is.
fn plays(dice: &mut Dice) -> Vec<Play> {
    let mut overlooked = 3;
    let mut next = || match dice.throw(0, 40) {
        0 => Play::PromptLost,
        1 => Play::AnswerLost,
        3 => Play::IdleTooEarly,
        5 if overlooked > 0 => {
            overlooked -= 1;
            Play::NeverRuns
        }
        _ => Play::Answer("It is done.".into()),
    };
    (0..2 * CLIENTS * EACH).map(|_| next()).collect()
}

fn frame(name: &str, work: &Path) -> CreateFrame {
    let workspace = work.join(name);
    std::fs::create_dir_all(&workspace).expect("made");
    CreateFrame {
        name: name.into(),
        workspace: Some(workspace.display().to_string()),
        start: true,
        ..CreateFrame::default()
    }
}

/// 1,000 sends with repeated keys under 50 kills at random moments: each key is one user message in the agent's
/// own history, with its words once, and is at its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_sends_under_fifty_kills_are_a_thousand_messages() {
    let seed = u64::from_le_bytes(clock::entropy::<8>()) | 1;
    println!("seed: {seed}");
    let mut dice = Dice(seed);
    let begun = Instant::now();

    let agent = ScriptedAgent::start();
    agent.accept_any_password();
    agent.plays(plays(&mut dice));
    let mut gateway = Gateway::new(&agent);
    gateway.start();
    let client = gateway.answers().await;
    for name in ["one", "two"] {
        client.create_frame(&frame(name, &gateway.path("work"))).await.expect("a frame");
    }

    let sent = Arc::new(AtomicUsize::new(0));
    let mut talks = tokio::task::JoinSet::new();
    for who in 0..CLIENTS {
        let own = Dice(dice.throw(1, u64::MAX));
        talks.spawn(talk(client.clone(), who, own, sent.clone()));
    }
    for number in 0..KILLS {
        // Now and then before it has come up: that is where open messages are taken up.
        let moment = if number % 5 == 4 { dice.throw(10, 150) } else { dice.throw(150, 900) };
        tokio::time::sleep(Duration::from_millis(moment)).await;
        gateway.kill();
        gateway.start();
        if number % 5 != 3 {
            gateway.answers().await;
        }
    }
    let client = gateway.answers().await;
    println!("{KILLS} kills in {:?}, {} sent so far", begun.elapsed(), sent.load(Ordering::SeqCst));

    let mut sessions = Vec::new();
    while let Some(session) = talks.join_next().await {
        sessions.push(session.expect("a client that did not fail"));
    }
    loop {
        let open = client.queue(None, None).await.expect("the queue");
        if open.is_empty() {
            break;
        }
        let log = gateway.log();
        assert!(begun.elapsed() < LIMIT, "{} are open, such as {:?}\n{log}", open.len(), open.first());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    let mut keys = BTreeMap::new();
    let mut ends = BTreeMap::new();
    let mut answered = 0;
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for session in &sessions {
        for message in client.messages(session).await.expect("messages") {
            let with_reason = message.state == Failed && message.reason.is_some();
            assert!(message.state == Answered || with_reason, "{message:?}");
            answered += usize::from(message.state == Answered);
            if let Some(reason) = message.reason.clone() {
                *reasons.entry(reason).or_default() += 1;
            }
            let id = message.agent_message.clone().unwrap_or_default();
            ends.insert(message.text.clone(), (message.state, message.reason.clone()));
            assert!(keys.insert(message.text.clone(), id).is_none(), "stored twice: {message:?}");
        }
    }
    println!("{answered} of {} answered, after {:?}", keys.len(), begun.elapsed());
    assert_eq!(keys.len(), CLIENTS * EACH);
    assert!(answered * 10 >= keys.len() * 9, "a kill is no reason to fail: {reasons:?}");

    let mut written = BTreeMap::new();
    for (id, words) in agent.people_wrote() {
        let [words] = words.as_slice() else { panic!("{id} holds {words:?}") };
        assert!(written.insert(words.clone(), id).is_none(), "the agent has {words} twice");
    }
    let differ: Vec<String> = keys
        .iter()
        .filter(|(key, id)| written.get(*key) != Some(*id))
        .map(|(key, id)| format!("{key}: ours {id:?}, the agent's {:?}, {:?}", written.get(key), ends[key]))
        .collect();
    let log = gateway.log();
    assert!(
        differ.is_empty(),
        "each key is one message of the agent, under the id in the row: {differ:#?}\n{log}"
    );
    assert_eq!(written.len(), keys.len(), "and there are no others");
}
