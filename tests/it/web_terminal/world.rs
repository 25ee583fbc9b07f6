//! A gateway with a frame whose terminal is a small program of the tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, DuplexStream};

use mimir::access::Access;
use mimir::clock::Clock;
use mimir::gateway::About;
use mimir::runtime::{ExecChunk, ExecControl, ExecSpec, ExecStream, RuntimeError};

use super::client::WebTerminal;
use crate::api::world::{TOKEN, World};

/// What the terminals of the frame have seen.
#[derive(Default)]
pub struct Seen {
    /// Everything that was typed.
    pub typed: Mutex<String>,
    /// The sizes that were set after the start.
    pub sizes: Mutex<Vec<(u16, u16)>>,
    /// What tmux was started with.
    pub started: Mutex<Vec<String>>,
    /// How many bytes were taken from the frame.
    pub printed: AtomicU64,
    /// Terminals that are open.
    pub open: AtomicUsize,
}

/// The gateway, and its frame `blog`, which runs.
pub struct Terminals {
    pub world: World,
    pub seen: Arc<Seen>,
    pub clock: Clock,
}

impl Terminals {
    pub async fn new() -> Self {
        let clock = Clock::manual(1_800_000_000_000);
        let of_services = clock.clone();
        let world = World::changed(|services| {
            let about = About { http: "127.0.0.1:8080".to_owned(), ..(*services.about).clone() };
            services.about = Arc::new(about);
            services.access = Access::new(services.store.clone(), of_services.clone());
            services.clock = of_services;
        })
        .await;
        let seen: Arc<Seen> = Arc::default();
        let of_engine = seen.clone();
        world.engine.on_stream(move |_, command| terminal(&of_engine, command));
        world.frame("blog").await;
        let started = world.post("/v1/frames/blog/start?wait=8", None).await;
        assert_eq!(started.status, 200, "{}", started.text);
        Self { world, seen, clock }
    }

    /// A ticket of the owner's.
    pub async fn ticket(&self) -> String {
        self.ticket_of(TOKEN, json!({})).await
    }

    pub async fn ticket_of(&self, token: &str, body: Value) -> String {
        let path = "/v1/frames/blog/terminal/tickets";
        let made = self.world.ask_with("POST", path, token, &body.to_string()).await;
        assert_eq!(made.status, 201, "{}", made.text);
        made.json()["ticket"].as_str().expect("a ticket").to_owned()
    }

    /// A terminal that is open.
    pub async fn attached(&self) -> WebTerminal {
        let ticket = self.ticket().await;
        let mut terminal = WebTerminal::attached(self.world.tcp, &ticket, None).await;
        terminal.until_shown("size 80x24").await;
        terminal
    }

    /// Waits until so many terminals are open in the frame.
    pub async fn until_open(&self, count: usize) {
        self.until(&format!("{count} terminals are open"), |seen| seen.open.load(Ordering::SeqCst) == count)
            .await;
    }

    pub async fn until(&self, what: &str, is_so: impl Fn(&Seen) -> bool) {
        let end = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
        while !is_so(&self.seen) {
            let (open, sizes) = (self.seen.open.load(Ordering::SeqCst), self.seen.sizes.lock().clone());
            assert!(tokio::time::Instant::now() < end, "{what}: {open} are open, sizes {sizes:?}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

/// What is typed comes back. A line may also say something: `yes` prints for ever, `print N` so many bytes, `deaf` reads no
/// more, `hostile` asks for the clipboard, `exit` ends.
pub fn terminal(seen: &Arc<Seen>, command: &ExecSpec) -> Option<ExecStream> {
    command.argv.iter().find(|word| *word == "new-session")?;
    let (columns, rows) = command.tty.expect("a terminal");
    *seen.started.lock() = command.argv.clone();
    seen.open.fetch_add(1, Ordering::SeqCst);
    let (input, inside) = tokio::io::duplex(16 * 1024);
    let shell = Shell {
        inside,
        seen: seen.clone(),
        line: String::new(),
        left: 0,
        says: Some(format!("size {columns}x{rows}\r\n").into()),
    };
    let output = stream::unfold(shell, |mut shell| async move {
        let bytes = shell.next().await?;
        shell.seen.printed.fetch_add(bytes.len() as u64, Ordering::SeqCst);
        Some((Ok(ExecChunk::Stdout(bytes)), shell))
    });
    let control = Control { seen: seen.clone() };
    Some(ExecStream { output: output.boxed(), input: Box::pin(input), control: Box::new(control) })
}

struct Shell {
    inside: DuplexStream,
    seen: Arc<Seen>,
    line: String,
    /// Bytes that are still to be printed.
    left: u64,
    says: Option<Bytes>,
}

impl Drop for Shell {
    fn drop(&mut self) {
        self.seen.open.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Shell {
    async fn next(&mut self) -> Option<Bytes> {
        const PIECE: u64 = 8 * 1024;
        if let Some(said) = self.says.take() {
            return Some(said);
        }
        if self.left > 0 {
            let piece = self.left.min(PIECE);
            self.left -= piece;
            return Some(Bytes::from(vec![b'y'; usize::try_from(piece).expect("small")]));
        }
        let mut bytes = [0_u8; 4096];
        let read = self.inside.read(&mut bytes).await.ok().filter(|read| *read > 0)?;
        let text = String::from_utf8_lossy(&bytes[..read]).into_owned();
        self.seen.typed.lock().push_str(&text);
        self.line.push_str(&text);
        if let Some((line, rest)) = self.line.clone().split_once('\r') {
            self.line = rest.to_owned();
            match line.split_once(' ').unwrap_or((line, "")) {
                ("yes", _) => self.left = u64::MAX,
                ("print", count) => self.left = count.parse().expect("a number"),
                ("deaf", _) => std::future::pending().await,
                ("exit", _) => return None,
                ("hostile", _) => {
                    return Some(Bytes::from_static(b"\x1b]52;c;T1dORUQ=\x07\x1b[6n\x1b[31mdrawn\x1b[m"));
                }
                _ => {}
            }
        }
        Some(text.into())
    }
}

struct Control {
    seen: Arc<Seen>,
}

#[async_trait]
impl ExecControl for Control {
    async fn resize(&self, columns: u16, rows: u16) -> Result<(), RuntimeError> {
        self.seen.sizes.lock().push((columns, rows));
        Ok(())
    }

    async fn exit_code(&self) -> Result<Option<i64>, RuntimeError> {
        Ok(Some(0))
    }
}
