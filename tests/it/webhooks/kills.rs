//! A gateway that is killed again and again while it is told of things: everything that it said yes to is there once,
//! was decided, and what followed from it came to its end; its database and its audit log are whole behind each of the first
//! deaths and behind every tenth of the others.
//!
//! The gateway is the executable with its own database and socket. The client keeps a ledger of its own, a file that it
//! syncs after each yes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use mimir::audit::{Audit, HEADS_FILE};
use mimir::client::RunList;
use mimir::clock::{self, Clock};
use mimir::config::Paths;
use mimir::model::run::RunState;
use mimir::model::secret::Secret;
use mimir::model::webhook::WebhookState;
use mimir::store::audit_chain::KEY_FILE;
use mimir::store::{CheckedPart, OpenOptions, Queryable as _, Store, runs, webhooks as rows};
use mimir::supervisor::Tasks;
use parking_lot::Mutex;

use super::{SECRET, alert, sentry_headers};

/// `MIMIR_TEST_WEBHOOK_KILLS` says another number.
const KILLS: u64 = 200;
/// Behind each of the first so many of them the files are read to the end, and behind every tenth that follows: the longer
/// it goes on, the more there is to be read.
const LOOK_FIRST: u64 = 20;
const LOOK_EVERY: u64 = 10;
/// What follows from a message: a run that needs nobody and nothing.
const WORKFLOW: &str =
    "name: noted\ndescription: Ends at once\nstages:\n  - {name: open, kind: gate, when: auto}\n";
/// So many clients send at the same time, each this often a second: about fifty a second.
const CLIENTS: u64 = 10;
const PAUSE: Duration = Duration::from_millis(190);

struct Gateway {
    folder: tempfile::TempDir,
    env: BTreeMap<String, String>,
    child: Option<Child>,
}

impl Gateway {
    fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("mmw-").tempdir_in("/tmp").expect("a folder");
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
            ("MIMIR_TEST_AGENT".to_owned(), "127.0.0.1:1".to_owned()),
            ("MIMIR_LOG".to_owned(), "warn".to_owned()),
        ]);
        let ports = crate::ports::own(4);
        let config = format!(
            "server: {{http_port: off}}\n\
             frames: {{ports: {ports}, network: sealed}}\n\
             opencode: {{default_model: demo/demo}}\n\
             webhooks:\n  \
               sources: {{errors: {{kind: sentry, organization: acme, secret: '{SECRET}'}}}}\n  \
               rules: [{{source: errors, workflow: noted, limit: 1000000}}]\n"
        );
        at("home/.mimir/workflows");
        std::fs::write(folder.path().join("home/.mimir/workflows/noted.yaml"), WORKFLOW).expect("written");
        std::fs::write(folder.path().join("home/.mimir/config.yaml"), config).expect("written");
        Self { folder, env, child: None }
    }

    fn paths(&self) -> Paths {
        Paths::find(&self.env).expect("a home")
    }

    fn start(&mut self) {
        let path = self.folder.path().join("log");
        let log = std::fs::File::options().create(true).append(true).open(path).expect("a log");
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

    /// As it lies there when the gateway is dead: every page, every reference and the whole chain of the audit log. A copy
    /// is looked at, so that the next gateway finds what the killed one left.
    async fn is_whole(&self, when: &str) {
        let (paths, copy) = (self.paths(), tempfile::tempdir().expect("a folder"));
        let database = paths.database();
        for ending in ["", "-wal"] {
            let from = PathBuf::from(format!("{}{ending}", database.display()));
            if from.exists() {
                std::fs::copy(from, copy.path().join(format!("mimir.db{ending}"))).expect("copied");
            }
        }
        for file in [KEY_FILE, HEADS_FILE] {
            let from = paths.home().join(file);
            if from.exists() {
                std::fs::copy(from, copy.path().join(file)).expect("copied");
            }
        }
        let options = OpenOptions {
            path: copy.path().join("mimir.db"),
            key: Secret::new("ab".repeat(32)),
            backups: copy.path().join("backups"),
        };
        let store = Store::open(options, Clock::system()).unwrap_or_else(|error| panic!("{when}: {error}"));
        let read = store.check(super::PATIENCE).await.unwrap_or_else(|error| panic!("{when}: {error}"));
        assert_eq!(read, CheckedPart::Whole, "{when}");
        let lost = store
            .read(|db| db.rows("PRAGMA foreign_key_check", (), |row| Ok(row.get::<_, String>(0)?)))
            .await
            .expect("read");
        assert!(lost.is_empty(), "{when}: rows of {lost:?} refer to what is not there");
        let heads = copy.path().join(HEADS_FILE);
        let log = Audit::new(store, Clock::system(), copy.path(), heads).verify(None).await.expect("read");
        assert!(log.ok && log.recomputed, "{when}: {log:?}");
    }

    fn log(&self) -> String {
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    async fn answers(&mut self) {
        let socket = self.paths().gateway_socket();
        let client = mimir::client::GatewayClient::new(socket);
        let begun = Instant::now();
        while client.health().await.is_err() {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().expect("a child"));
            assert!(ended.is_none() && begun.elapsed() < Duration::from_secs(60), "{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.kill();
    }
}

/// One message; the status, when there was an answer.
async fn send(socket: &Path, issue: u64, request_id: &str) -> Option<(u16, String)> {
    let body = alert(issue, &format!("e{issue}")).to_string();
    let mut request = Request::builder().method("POST").uri("/webhooks/errors").header("host", "localhost");
    for (name, value) in sentry_headers("event_alert", &body) {
        request = request.header(name, value);
    }
    let request =
        request.header("request-id", request_id).body(Full::new(Bytes::from(body))).expect("a request");
    let asked = async {
        let stream = tokio::net::UnixStream::connect(socket).await.ok()?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        let answer = async {
            let response = sender.send_request(request).await.ok()?;
            let status = response.status().as_u16();
            let body = response.into_body().collect().await.ok()?.to_bytes();
            Some((status, String::from_utf8_lossy(&body).into_owned()))
        };
        tokio::pin!(connection);
        tokio::pin!(answer);
        tokio::select! {
            answer = &mut answer => answer,
            _ = &mut connection => answer.await,
        }
    };
    tokio::time::timeout(Duration::from_secs(20), asked).await.ok().flatten()
}

/// What the client was told yes about, on the disk before it goes on.
struct Ledger(Mutex<std::fs::File>);

impl Ledger {
    fn note(&self, issue: u64) {
        let mut file = self.0.lock();
        writeln!(file, "{issue}").expect("written");
        file.sync_data().expect("on the disk");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_there_once_and_decided_after_every_kill() {
    let kills =
        std::env::var("MIMIR_TEST_WEBHOOK_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS);
    let mut gateway = Gateway::new();
    let path = gateway.folder.path().join("ledger");
    let ledger = Arc::new(Ledger(Mutex::new(std::fs::File::create(&path).expect("a ledger"))));
    let (next, over, again) =
        (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    gateway.start();
    gateway.answers().await;
    let socket = gateway.paths().gateway_socket();
    let clients = Tasks::default();
    for _ in 0..CLIENTS {
        let (ledger, next, over, again) = (ledger.clone(), next.clone(), over.clone(), again.clone());
        let socket = socket.clone();
        clients.spawn_once("client", move |_| async move {
            while !over.load(Ordering::SeqCst) {
                let issue = next.fetch_add(1, Ordering::SeqCst);
                // Most send once. Every third comes again until it is heard, with another id each time.
                for time in 0..200 {
                    match send(&socket, issue, &format!("{issue}-{time}")).await {
                        Some((200 | 202, _)) => {
                            ledger.note(issue);
                            break;
                        }
                        Some((503, _)) | None => {}
                        Some((status, text)) => panic!("{status}: {text}"),
                    }
                    if !issue.is_multiple_of(3) || over.load(Ordering::SeqCst) {
                        break;
                    }
                    again.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                tokio::time::sleep(PAUSE).await;
            }
        });
    }
    let begun = Instant::now();
    for number in 0..kills {
        let dice = u64::from_le_bytes(clock::entropy::<8>());
        // Now and then before it has come up: what was left is decided then.
        let moment = if number % 5 == 4 { 10 + dice % 150 } else { 100 + dice % 400 };
        tokio::time::sleep(Duration::from_millis(moment)).await;
        gateway.kill();
        if number < LOOK_FIRST || number % LOOK_EVERY == LOOK_EVERY - 1 {
            gateway.is_whole(&format!("after {} kills", number + 1)).await;
        }
        gateway.start();
        if number % 5 != 3 {
            gateway.answers().await;
        }
    }
    gateway.answers().await;
    over.store(true, Ordering::SeqCst);
    assert!(clients.stop(Duration::from_secs(60)).await, "clients end");
    let took = begun.elapsed();

    let client = mimir::client::GatewayClient::new(socket);
    // As long as there are fewer and fewer, they come to their end.
    let (mut fewest, mut until) = (usize::MAX, Instant::now() + super::PATIENCE);
    loop {
        let undecided = client.webhooks(None, Some(WebhookState::Received), 1000).await.expect("a list");
        let open = RunList { open: true, limit: Some(1000), ..RunList::default() };
        let open = undecided.len() + client.runs(&open).await.expect("a list").len();
        if open == 0 {
            break;
        }
        if open < fewest {
            (fewest, until) = (open, Instant::now() + super::PATIENCE);
        }
        let undecided = undecided.len();
        assert!(
            Instant::now() < until,
            "{undecided} of {open} are not decided, the others go on\n{}",
            gateway.log()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    gateway.kill();
    gateway.is_whole("in the end").await;
    let options = OpenOptions {
        path: gateway.paths().database(),
        key: Secret::new("ab".repeat(32)),
        backups: gateway.paths().backups(),
    };
    let store = Store::open(options, Clock::system()).expect("the database opens");
    let found = store.read(|db| rows::list(db, None, None, u32::MAX)).await.expect("rows");
    let made = store.read(|db| runs::newest(db, u32::MAX)).await.expect("runs");
    let acknowledged: BTreeSet<u64> = std::fs::read_to_string(&path)
        .expect("the ledger")
        .lines()
        .map(|line| line.parse().expect("a number"))
        .collect();
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for row in &found {
        *times.entry(row.matter.clone().unwrap_or_default()).or_default() += 1;
        assert_eq!(row.state, WebhookState::Decided, "{row:?}");
    }
    println!(
        "{kills} kills in {took:?}: {} sent ({} of them again), {} acknowledged, {} stored, {} runs",
        next.load(Ordering::SeqCst),
        again.load(Ordering::SeqCst),
        acknowledged.len(),
        found.len(),
        made.len(),
    );
    for issue in &acknowledged {
        assert_eq!(times.get(&format!("sentry:acme/{issue}")), Some(&1), "issue {issue}");
    }
    assert!(times.values().all(|count| *count == 1), "{times:?}");
    assert_eq!(made.len(), found.len(), "one run for each");
    let unfinished: Vec<_> = made.iter().filter(|run| run.state != RunState::Succeeded).collect();
    assert!(unfinished.is_empty(), "{unfinished:#?}");
    assert!(u64::try_from(acknowledged.len()).expect("a number") > kills, "hardly anything was taken");
}
