//! Many readers at once, a quarter of which have stopped.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::emit;
use super::reader::{Form, PATIENCE, Reader};
use crate::api::world::World;
use mimir::events::{Events, Settings};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinSet;

const READERS: usize = 200;
const STOPPED: usize = 50;
const EVENTS: u64 = 500;
const EVERY: Duration = Duration::from_millis(20);
/// More than the kernel keeps for a reader, in all.
const TEXT: usize = 1_500;

/// A gateway in a process of its own, so that its memory is its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by two_hundred_readers_of_whom_fifty_have_stopped"]
async fn child_gateway() {
    let world = World::changed(|services| {
        let settings = Settings { stalled_after: Duration::from_secs(3), ..Settings::default() };
        services.events = Events::new(services.store.clone()).with(settings);
    })
    .await;
    println!("socket {}", world.socket().display());
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(order)) = orders.next_line().await {
        match order.as_str() {
            "memory" => println!("memory {}", resident()),
            "streams" => {
                let metrics = world.get("/metrics").await.text;
                let streams = metrics.lines().find_map(|line| line.strip_prefix("mimir_http_streams "));
                println!("streams {}", streams.unwrap_or_default());
            }
            _ => {
                for number in 0..EVENTS {
                    emit(&world.services.store, number..number + 1, |number| {
                        format!("{number} {} {}", micros(), "x".repeat(TEXT))
                    })
                    .await;
                    tokio::time::sleep(EVERY).await;
                }
                println!("told");
            }
        }
    }
}

/// The process itself, not the harness's clock: both ends run on one machine.
#[expect(clippy::disallowed_methods, reason = "two processes compare their clocks")]
fn micros() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    u64::try_from(now.as_micros()).expect("fits")
}

fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).expect("a figure");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}

struct Gateway {
    _process: Child,
    orders: ChildStdin,
    said: Lines<BufReader<ChildStdout>>,
    socket: PathBuf,
}

impl Gateway {
    async fn start() -> Self {
        let itself = std::env::current_exe().expect("this binary");
        let mut process = Command::new(itself)
            .args(["--exact", "log::crowd::child_gateway", "--ignored", "--nocapture"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("a process");
        let said = BufReader::new(process.stdout.take().expect("its output")).lines();
        let orders = process.stdin.take().expect("its input");
        let mut gateway = Self { _process: process, orders, said, socket: PathBuf::new() };
        gateway.socket = gateway.hear("socket ").await.into();
        gateway
    }

    async fn order(&mut self, order: &str) {
        self.orders.write_all(format!("{order}\n").as_bytes()).await.expect("heard");
    }

    /// The rest of the next line that begins like that; the harness says things, too.
    async fn hear(&mut self, beginning: &str) -> String {
        let line = async {
            while let Ok(Some(line)) = self.said.next_line().await {
                if let Some(at) = line.find(beginning) {
                    return line[at + beginning.len()..].to_owned();
                }
            }
            panic!("it ended without saying {beginning}")
        };
        tokio::time::timeout(PATIENCE * 2, line).await.expect("said in time")
    }

    async fn ask(&mut self, what: &str) -> u64 {
        self.order(what).await;
        self.hear(&format!("{what} ")).await.trim().parse().expect("a number")
    }
}

/// One who reads: every number in order, and how late it was.
async fn listen(socket: PathBuf, form: Form) -> Vec<u64> {
    let mut reader = Reader::open(&socket, form, "", None).await;
    let mut lags = Vec::new();
    while (lags.len() as u64) < EVENTS {
        let event = reader.soon().await;
        let now = micros();
        let (number, at) = figures(&event);
        assert_eq!(number, lags.len() as u64, "{form:?}");
        lags.push(now.saturating_sub(at));
    }
    lags
}

fn figures(event: &serde_json::Value) -> (u64, u64) {
    let mut words = event["data"]["delta"].as_str().expect("text").split(' ');
    let mut figure = || words.next().and_then(|word| word.parse().ok()).expect("a figure");
    (figure(), figure())
}

fn form_of(number: usize) -> Form {
    if number.is_multiple_of(2) { Form::Sse } else { Form::Socket }
}

async fn come_back(socket: &Path, mut stopped: Reader, form: Form) {
    let mut seen = 0;
    while let Some(event) = tokio::time::timeout(PATIENCE, stopped.next()).await.expect("an end") {
        assert_eq!(figures(&event).0, seen, "{form:?}");
        seen += 1;
    }
    assert!(seen > 0 && seen < EVENTS, "{form:?}: {seen}");
    let mut back = Reader::open(socket, form, "", stopped.position).await;
    while seen < EVENTS {
        assert_eq!(figures(&back.soon().await).0, seen, "{form:?}");
        seen += 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_readers_of_whom_fifty_have_stopped() {
    let mut gateway = Gateway::start().await;
    let before = gateway.ask("memory").await;
    let mut listening = JoinSet::new();
    for number in 0..READERS - STOPPED {
        listening.spawn(listen(gateway.socket.clone(), form_of(number)));
    }
    let mut stopped = Vec::new();
    for number in 0..STOPPED {
        let form = form_of(number);
        stopped.push((Reader::open(&gateway.socket, form, "", None).await, form));
    }
    let end = tokio::time::Instant::now() + PATIENCE;
    while gateway.ask("streams").await < READERS as u64 {
        assert!(tokio::time::Instant::now() < end, "not all are there");
    }
    gateway.order("tell").await;
    gateway.hear("told").await;
    let mut lags: Vec<u64> = Vec::new();
    while let Some(heard) = listening.join_next().await {
        lags.extend(heard.expect("nobody missed anything"));
    }
    let grown = gateway.ask("memory").await.saturating_sub(before);
    lags.sort_unstable();
    let at = |share: f64| Duration::from_micros(lags[(lags.len() as f64 * share) as usize]);
    println!(
        "{} readers, {STOPPED} stopped: lag p50 {:?} p99 {:?} max {:?}, gateway +{} KiB",
        READERS,
        at(0.5),
        at(0.99),
        at(0.999_999),
        grown
    );
    assert!(at(0.99) < Duration::from_millis(500), "p99 {:?}", at(0.99));
    assert!(grown < 64 * 1024, "{grown} KiB");

    while gateway.ask("streams").await > 0 {
        assert!(tokio::time::Instant::now() < end + PATIENCE, "those who stopped are still there");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for (reader, form) in stopped {
        come_back(&gateway.socket, reader, form).await;
    }
}
