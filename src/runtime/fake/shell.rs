//! The few commands that exist inside a fake container.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::io::AsyncReadExt;

use crate::runtime::{ExecChunk, ExecControl, ExecOutput, ExecSpec, ExecStream, RuntimeError};

/// `true`, `false`, `echo …`, `sh -c "exit N"`, and a tmux that always agrees. Everything else is not installed.
pub(super) fn run(argv: &[String]) -> ExecOutput {
    let mut words: Vec<&str> = argv.iter().map(String::as_str).collect();
    // The image's wrapper, which adds the frame's environment.
    if words.first() == Some(&"mimir-run") {
        words.remove(0);
    }
    match words.as_slice() {
        ["true" | "tmux", ..] => ExecOutput::default(),
        ["false", ..] => ExecOutput { exit_code: 1, ..ExecOutput::default() },
        ["echo", rest @ ..] => {
            ExecOutput { stdout: format!("{}\n", rest.join(" ")), ..ExecOutput::default() }
        }
        ["sh", "-c", script] => ExecOutput {
            exit_code: script.strip_prefix("exit ").and_then(|code| code.parse().ok()).unwrap_or(0),
            ..ExecOutput::default()
        },
        _ => ExecOutput {
            exit_code: 127,
            stderr: format!("{}: not found\n", words.first().unwrap_or(&"")),
            ..ExecOutput::default()
        },
    }
}

/// `cat` gives back what is typed until the input ends; the others print and end.
pub(super) fn stream(command: &ExecSpec) -> ExecStream {
    let echoes = command.stdin && command.argv.iter().any(|program| program == "cat");
    if !echoes {
        return printed(run(&command.argv));
    }
    let (input, inside) = tokio::io::duplex(64 * 1024);
    let ended = Arc::new(AtomicBool::new(false));
    let control = Control { code: 0, ended: ended.clone(), size: Mutex::new(command.tty) };
    let output = stream::unfold((inside, ended), |(mut inside, ended)| async move {
        let mut buffer = vec![0; 4096];
        match inside.read(&mut buffer).await {
            Ok(read) if read > 0 => {
                buffer.truncate(read);
                Some((Ok(ExecChunk::Stdout(Bytes::from(buffer))), (inside, ended)))
            }
            _ => {
                ended.store(true, Ordering::SeqCst);
                None
            }
        }
    });
    ExecStream { output: output.boxed(), input: Box::pin(input), control: Box::new(control) }
}

/// A command that has already printed what it had to say.
pub(super) fn printed(done: ExecOutput) -> ExecStream {
    let chunk = |text: String, wrap: fn(Bytes) -> ExecChunk| {
        (!text.is_empty()).then(|| Ok::<_, RuntimeError>(wrap(Bytes::from(text))))
    };
    let chunks: Vec<_> = [chunk(done.stdout, ExecChunk::Stdout), chunk(done.stderr, ExecChunk::Stderr)]
        .into_iter()
        .flatten()
        .collect();
    let input: Pin<Box<dyn tokio::io::AsyncWrite + Send>> = Box::pin(tokio::io::sink());
    let control =
        Control { code: done.exit_code, ended: Arc::new(AtomicBool::new(true)), size: Mutex::new(None) };
    ExecStream { output: stream::iter(chunks).boxed(), input, control: Box::new(control) }
}

struct Control {
    code: i64,
    ended: Arc<AtomicBool>,
    size: Mutex<Option<(u16, u16)>>,
}

#[async_trait]
impl ExecControl for Control {
    async fn resize(&self, columns: u16, rows: u16) -> Result<(), RuntimeError> {
        *self.size.lock() = Some((columns, rows));
        Ok(())
    }

    async fn exit_code(&self) -> Result<Option<i64>, RuntimeError> {
        Ok(self.ended.load(Ordering::SeqCst).then_some(self.code))
    }
}
