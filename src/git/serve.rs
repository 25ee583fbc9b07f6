//! Lets a frame read a mirror: git's own program for web servers, with a mirror that it can only read.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::process::Stdio;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{Stream, stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdout};

use super::error::GitError;
use super::program::{Git, Group, start};

/// How long it may take before it begins to answer.
const BEGINS: Duration = Duration::from_secs(120);
/// And say nothing in the middle of it; whoever does not read its answer is waited for as long.
const SILENT: Duration = Duration::from_secs(10 * 60);
/// And take for all of it.
const WHOLE: Duration = Duration::from_secs(60 * 60);
/// How long it may take to end when it has said everything.
const ENDS: Duration = Duration::from_secs(5);
/// The longest head of an answer.
const LONGEST_HEAD: usize = 16 * 1024;

/// What a client of git asks of a web server.
#[derive(Clone, Debug, Default)]
pub struct ReadRequest {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// `info/refs` or `git-upload-pack`.
    pub path: &'static str,
    /// Which version of the protocol it speaks.
    pub version: Option<u8>,
    /// Whether its body is compressed.
    pub is_compressed: bool,
    /// Its body.
    pub body: Bytes,
}

/// What it is answered.
pub struct Served {
    /// 200, mostly.
    pub status: u16,
    /// What the body is.
    pub content_type: String,
    /// The body. Reading ends when this is dropped, and git with it.
    pub body: Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>,
}

struct Running {
    child: Child,
    group: Group,
    stdout: ChildStdout,
    /// When it must have ended.
    end: Instant,
    is_over: bool,
}

impl Git {
    /// Answers a question about a mirror.
    ///
    /// # Errors
    /// See [`GitError`].
    pub async fn serve(&self, mirror: &Path, asked: ReadRequest) -> Result<Served, GitError> {
        let what = "reading the copy";
        let mut command = self.command(mirror);
        command.arg("http-backend").env("GIT_HTTP_EXPORT_ALL", "1").env("REMOTE_ADDR", "frame");
        command.env("PATH_TRANSLATED", mirror.join(asked.path)).env("REQUEST_METHOD", asked.method);
        match asked.path {
            "info/refs" => command.env("QUERY_STRING", "service=git-upload-pack"),
            _ => command.env("CONTENT_TYPE", "application/x-git-upload-pack-request"),
        };
        command.env("CONTENT_LENGTH", asked.body.len().to_string());
        if asked.is_compressed {
            command.env("HTTP_CONTENT_ENCODING", "gzip");
        }
        if let Some(version) = asked.version {
            command.env("GIT_PROTOCOL", format!("version={version}"));
        }
        command.stdin(Stdio::piped()).stderr(Stdio::null());
        let (mut child, group) = start(what, command)?;
        let broken = |source| GitError::Broken { what, source };
        let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(broken(io::Error::other("no pipes")));
        };
        let mut running = Running { child, group, stdout, end: Instant::now() + WHOLE, is_over: false };
        let begin = async {
            // It reads all of the question before it answers. One that does not has its reasons, and says them.
            let _ = stdin.write_all(&asked.body).await;
            drop(stdin);
            head(&mut running.stdout).await
        };
        let begun = tokio::time::timeout(BEGINS, begin).await;
        let (head, rest) =
            begun.map_err(|_| GitError::TooSlow { what, seconds: BEGINS.as_secs() })?.map_err(broken)?;
        let value = |name: &str| {
            let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(name))?;
            line.split_once(':').map(|(_, value)| value.trim().to_owned())
        };
        let status = value("status:").and_then(|text| text.get(..3)?.parse().ok()).unwrap_or(200);
        let content_type = value("content-type:").unwrap_or_else(|| "text/plain".to_owned());
        let first = stream::iter((!rest.is_empty()).then(|| Ok(Bytes::from(rest))));
        let body = futures_util::StreamExt::chain(first, stream::unfold(running, more));
        Ok(Served { status, content_type, body: Box::pin(body) })
    }
}

async fn more(mut running: Running) -> Option<(io::Result<Bytes>, Running)> {
    if running.is_over {
        return None;
    }
    let late = |text| io::Error::new(io::ErrorKind::TimedOut, text);
    let mut buffer = vec![0; 64 * 1024];
    let left = running.end.saturating_duration_since(Instant::now());
    let read = async {
        if left.is_zero() {
            return Ok(Err(late("the answer took too long")));
        }
        tokio::time::timeout(SILENT.min(left), running.stdout.read(&mut buffer)).await
    };
    let piece = match read.await {
        Ok(Ok(0)) => {
            let ended = tokio::time::timeout(ENDS, running.child.wait()).await;
            running.is_over = true;
            if ended.is_ok() {
                running.group.has_ended();
            }
            match ended {
                Ok(Ok(status)) if status.success() => return None,
                Ok(_) => Err(io::Error::other("git ended before its answer did")),
                Err(_) => Err(late("git has said everything and does not end")),
            }
        }
        Ok(Ok(count)) => {
            buffer.truncate(count);
            Ok(Bytes::from(buffer))
        }
        Ok(Err(error)) => Err(error),
        Err(_) if left < SILENT => Err(late("the answer took too long")),
        Err(_) => Err(late("git says nothing")),
    };
    running.is_over |= piece.is_err();
    Some((piece, running))
}

/// Reads to the empty line, and gives what came behind it too.
async fn head(stdout: &mut ChildStdout) -> io::Result<(String, Vec<u8>)> {
    let (mut read, mut buffer) = (Vec::new(), vec![0; 4096]);
    loop {
        let count = stdout.read(&mut buffer).await?;
        read.extend(&buffer[..count]);
        if let Some(at) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = read.split_off(at + 4);
            return Ok((String::from_utf8_lossy(&read).into_owned(), rest));
        }
        if count == 0 || read.len() > LONGEST_HEAD {
            return Err(io::Error::other("git gives no answer"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(script: &str, end: Duration) -> Running {
        let mut command = tokio::process::Command::new("/bin/sh");
        command.args(["-c", script]).process_group(0).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let (mut child, group) = start("answering", command).expect("started");
        let stdout = child.stdout.take().expect("a pipe");
        Running { child, group, stdout, end: Instant::now() + end, is_over: false }
    }

    #[tokio::test]
    async fn an_answer_ends_whatever_git_does() {
        // It closes its mouth and stays.
        let began = Instant::now();
        let (piece, left) = more(running("exec >&-; sleep 600", WHOLE)).await.expect("a word");
        assert!(piece.expect_err("an end").to_string().contains("does not end"));
        assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
        assert!(more(left).await.is_none(), "nothing after it");
        // It talks for ever.
        let mut talks = running("while :; do echo x; done", Duration::from_millis(200));
        let last = loop {
            let (piece, left) = more(talks).await.expect("a word");
            match piece {
                Ok(_) => talks = left,
                Err(error) => break error,
            }
        };
        assert!(last.to_string().contains("took too long"), "{last}");
        // It says it all and goes.
        let (piece, left) = more(running("echo x", WHOLE)).await.expect("a word");
        assert_eq!(piece.expect("a piece"), Bytes::from_static(b"x\n"));
        assert!(more(left).await.is_none());
    }
}
