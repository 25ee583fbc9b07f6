//! Carries bytes between this terminal and a program in a frame.

use std::io::{IsTerminal, Read};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{interval, timeout};

use super::raw::QUIET;
use super::size;
use crate::client::{ClientError, TerminalInput, TerminalOutput, TerminalOutputs};
use crate::terminal_filter::TerminalFilter;
use crate::wire::problem::Problem;
use crate::wire::terminal::{TerminalControl, TerminalNotice};

/// How often we ask whether the other end is still there …
const PING: Duration = Duration::from_secs(10);
/// … and after how much silence it is not.
const SILENCE: Duration = Duration::from_secs(35);

/// What was sent before the other end hung up arrives at once.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Streams {
    /// Send standard input, or say at once that there is none.
    pub input: bool,
    /// Send new sizes.
    pub resize: bool,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The program ended.
    Exit(i64),
    /// The gateway says why it cannot go on.
    Problem(Problem),
    /// The gateway hung up without a word.
    HungUp,
    /// Somebody asked this process to end.
    Signal(u8),
}

/// Carries bytes until the other side ends, or this process is asked to.
///
/// # Errors
/// When the connection breaks.
pub async fn pump(
    to_frame: TerminalInput,
    from_frame: TerminalOutputs,
    streams: Streams,
) -> Result<Ending, ClientError> {
    let lost = |error: std::io::Error| ClientError::Lost {
        action: "the terminal".to_owned(),
        why: error.to_string(),
    };
    let mut terminated = signal(SignalKind::terminate()).map_err(lost)?;
    let mut hung_up = signal(SignalKind::hangup()).map_err(lost)?;
    let shown = show(from_frame);
    tokio::pin!(shown);
    tokio::select! {
        ending = &mut shown => ending,
        // The last words of a program that ended may still be on their way.
        error = send(to_frame, streams) => timeout(LAST_WORDS, shown).await.unwrap_or(Err(error)),
        _ = terminated.recv() => Ok(Ending::Signal(15)),
        _ = hung_up.recv() => Ok(Ending::Signal(1)),
    }
}

/// Writes what comes, until the end. A terminal gets only what a stranger may send to one; a pipe or a file gets all.
async fn show(from_frame: TerminalOutputs) -> Result<Ending, ClientError> {
    let mut stdout = Shown::new(tokio::io::stdout(), std::io::stdout().is_terminal());
    let mut stderr = Shown::new(tokio::io::stderr(), std::io::stderr().is_terminal());
    let ending = show_all(from_frame, &mut stdout, &mut stderr).await;
    stdout.calm().await;
    stderr.calm().await;
    ending
}

async fn show_all(
    mut from_frame: TerminalOutputs,
    stdout: &mut Shown<tokio::io::Stdout>,
    stderr: &mut Shown<tokio::io::Stderr>,
) -> Result<Ending, ClientError> {
    loop {
        let next = timeout(SILENCE, from_frame.next()).await.map_err(|_| ClientError::Lost {
            action: "the terminal".to_owned(),
            why: format!("nothing was heard for {} s", SILENCE.as_secs()),
        })??;
        // Output that nobody reads is no reason to stop a program that does other things too.
        let written = match next {
            None => return Ok(Ending::HungUp),
            Some(TerminalOutput::Alive) => Ok(()),
            Some(TerminalOutput::Notice(TerminalNotice::Exit { code })) => return Ok(Ending::Exit(code)),
            Some(TerminalOutput::Notice(TerminalNotice::Problem { problem })) => {
                return Ok(Ending::Problem(problem));
            }
            Some(TerminalOutput::Out(bytes)) => stdout.write(&bytes).await,
            Some(TerminalOutput::Err(bytes)) => stderr.write(&bytes).await,
        };
        if written.is_err() {
            // As a program that writes to a closed pipe: it ends.
            return Ok(Ending::Signal(13));
        }
    }
}

/// One of our own streams, with the filter that it needs when it is a terminal.
struct Shown<S> {
    stream: S,
    filter: Option<TerminalFilter>,
    /// Whether it was told more than text.
    is_changed: bool,
}

impl<S: AsyncWriteExt + Unpin> Shown<S> {
    fn new(stream: S, is_terminal: bool) -> Self {
        Self { stream, filter: is_terminal.then(TerminalFilter::new), is_changed: false }
    }

    async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match &mut self.filter {
            Some(filter) => {
                let shown = filter.pass(bytes);
                self.is_changed |= shown.contains(&0x1b);
                self.stream.write_all(&shown).await?;
            }
            None => self.stream.write_all(bytes).await?,
        }
        self.stream.flush().await
    }

    /// Undoes what the program may have left on in a terminal; mouse reports would type into the shell here.
    async fn calm(&mut self) {
        if self.is_changed {
            // Whoever closed it needs no calm.
            let _ = self.stream.write_all(QUIET.as_bytes()).await;
            let _ = self.stream.flush().await;
        }
    }
}

/// Sends input, sizes and pings; ends only when the connection does.
async fn send(mut to_frame: TerminalInput, streams: Streams) -> ClientError {
    match forward(&mut to_frame, streams).await {
        Err(error) => error,
        Ok(never) => match never {},
    }
}

async fn forward(
    to_frame: &mut TerminalInput,
    streams: Streams,
) -> Result<std::convert::Infallible, ClientError> {
    let mut input = streams.input.then(read_input);
    if input.is_none() {
        to_frame.control(&TerminalControl::EndOfInput).await?;
    }
    let mut resized = signal(SignalKind::window_change())
        .map_err(|error| ClientError::Lost { action: "the terminal".to_owned(), why: error.to_string() })?;
    let mut ping = interval(PING);
    loop {
        tokio::select! {
            bytes = next_input(&mut input) => match bytes {
                Some(bytes) => to_frame.input(bytes).await?,
                None => {
                    input = None;
                    to_frame.control(&TerminalControl::EndOfInput).await?;
                }
            },
            _ = resized.recv(), if streams.resize => {
                let (columns, rows) = size();
                to_frame.control(&TerminalControl::Resize { columns, rows }).await?;
            }
            _ = ping.tick() => to_frame.ping().await?,
        }
    }
}

async fn next_input(input: &mut Option<mpsc::Receiver<Bytes>>) -> Option<Bytes> {
    match input {
        Some(receiver) => receiver.recv().await,
        None => std::future::pending().await,
    }
}

/// Standard input, read on a thread of its own: a read that waits for a key cannot be
/// taken back, and must not keep the program from ending.
fn read_input() -> mpsc::Receiver<Bytes> {
    let (sender, receiver) = mpsc::channel(16);
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        let mut buffer = vec![0_u8; 32 * 1024];
        loop {
            match stdin.read(&mut buffer) {
                Ok(0) => return,
                Ok(read) => {
                    if sender.blocking_send(Bytes::copy_from_slice(&buffer[..read])).is_err() {
                        return;
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    });
    receiver
}
