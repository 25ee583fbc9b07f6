//! Commands and logs as streams.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bollard::Docker;
use bollard::container::LogOutput;
use bollard::exec::ResizeExecOptions;
use bytes::{Buf, Bytes, BytesMut};
use futures_util::stream::{BoxStream, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio_util::codec::{Decoder, FramedRead};

use super::timestamp::parse_ms;
use super::trouble::{Doing, Trouble};
use crate::runtime::{ExecChunk, ExecControl, ExecStream, LogLine, LogRequest, RuntimeError};

/// How long an ended command's exit code may take to appear.
const EXIT_CODE_WAIT: Duration = Duration::from_secs(3);
/// How long a new terminal may refuse its size.
const RESIZE_WAIT: Duration = Duration::from_secs(2);
/// How long the engine may take to answer a question about a command.
const ANSWER_WAIT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);

/// Cuts the engine's stream into pieces.
struct Chunks {
    /// A terminal's bytes come as they are; otherwise each piece has a head of 8 bytes.
    tty: bool,
}

impl Decoder for Chunks {
    type Item = ExecChunk;
    type Error = std::io::Error;

    fn decode(&mut self, source: &mut BytesMut) -> Result<Option<ExecChunk>, std::io::Error> {
        if source.is_empty() {
            return Ok(None);
        }
        if self.tty {
            return Ok(Some(ExecChunk::Stdout(source.split().freeze())));
        }
        let Some((head, _)) = source.split_first_chunk::<8>() else { return Ok(None) };
        let kind = head[0];
        let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
        if source.len() < 8 + length {
            return Ok(None);
        }
        source.advance(8);
        let piece = source.split_to(length).freeze();
        Ok(Some(if kind == 2 { ExecChunk::Stderr(piece) } else { ExecChunk::Stdout(piece) }))
    }

    fn decode_eof(&mut self, source: &mut BytesMut) -> Result<Option<ExecChunk>, std::io::Error> {
        let piece = self.decode(source)?;
        if piece.is_none() {
            // Half a piece: the connection was cut. What follows cannot come any more.
            source.clear();
        }
        Ok(piece)
    }
}

/// The connection of a started command as its two directions.
pub(super) fn exec_stream(connection: TokioIo<Upgraded>, tty: bool, control: Control) -> ExecStream {
    let (reader, writer) = tokio::io::split(connection);
    let socket = control.socket.clone();
    let output = FramedRead::new(reader, Chunks { tty }).map(move |piece| {
        piece.map_err(|error| {
            let doing = Doing { action: "run a command", frame: None, socket: &socket, seconds: 0 };
            Trouble::unreachable(error).into_error(doing)
        })
    });
    ExecStream { output: output.boxed(), input: Box::pin(writer), control: Box::new(control) }
}

/// Resizing and the exit code of one command.
pub(super) struct Control {
    pub(super) docker: Docker,
    pub(super) exec: String,
    pub(super) socket: Arc<str>,
}

impl Control {
    /// Waits for the engine, but not for ever.
    async fn answer<T>(
        &self,
        action: &'static str,
        call: impl Future<Output = Result<T, bollard::errors::Error>>,
    ) -> Result<T, RuntimeError> {
        let answer = tokio::time::timeout(ANSWER_WAIT, call).await;
        answer.unwrap_or(Err(bollard::errors::Error::RequestTimeoutError)).map_err(|error| {
            let seconds = ANSWER_WAIT.as_secs();
            Trouble::of_client(error).into_error(Doing { action, frame: None, socket: &self.socket, seconds })
        })
    }

    /// A new terminal is 0x0 and takes a size only once the command is there.
    pub(super) async fn first_size(&self, columns: u16, rows: u16) -> Result<(), RuntimeError> {
        let sized = tokio::time::timeout(RESIZE_WAIT, async {
            while self.resize(columns, rows).await.is_err() {
                tokio::time::sleep(POLL).await;
            }
        });
        match sized.await {
            Ok(()) => Ok(()),
            // A command that has ended already needs no size; one that has not says why.
            Err(_) if self.look().await?.is_some() => Ok(()),
            Err(_) => self.resize(columns, rows).await,
        }
    }

    /// The exit code, if there is one already.
    async fn look(&self) -> Result<Option<i64>, RuntimeError> {
        let seen = self.answer("look at a command", self.docker.inspect_exec(&self.exec)).await?;
        Ok(if seen.running == Some(true) { None } else { seen.exit_code })
    }
}

#[async_trait]
impl ExecControl for Control {
    async fn resize(&self, columns: u16, rows: u16) -> Result<(), RuntimeError> {
        let size = ResizeExecOptions { width: columns, height: rows };
        self.answer("resize a terminal", self.docker.resize_exec(&self.exec, size)).await
    }

    async fn exit_code(&self) -> Result<Option<i64>, RuntimeError> {
        let waited = tokio::time::timeout(EXIT_CODE_WAIT, async {
            loop {
                match self.look().await {
                    Ok(None) => tokio::time::sleep(POLL).await,
                    found => return found,
                }
            }
        });
        waited.await.unwrap_or(Ok(None))
    }
}

/// The options for the engine. It knows seconds only; [`log_lines`] does the rest.
pub(super) fn log_options(request: LogRequest) -> bollard::query_parameters::LogsOptions {
    bollard::query_parameters::LogsOptions {
        follow: request.follow,
        stdout: true,
        stderr: true,
        since: request.since_ms.and_then(|ms| i32::try_from(ms / 1000).ok()).unwrap_or(0),
        timestamps: true,
        tail: request.tail.map_or_else(|| "all".to_owned(), |lines| lines.to_string()),
        ..Default::default()
    }
}

/// The engine's log as lines.
pub(super) fn log_lines(
    pieces: impl futures_util::Stream<Item = Result<LogOutput, bollard::errors::Error>> + Send + 'static,
    request: LogRequest,
    socket: Arc<str>,
) -> BoxStream<'static, Result<LogLine, RuntimeError>> {
    pieces
        .map(move |piece| {
            piece.map(|piece| log_line(&piece)).map_err(|error| {
                let doing = Doing { action: "show the log", frame: None, socket: &socket, seconds: 0 };
                Trouble::of_client(error).into_error(doing)
            })
        })
        .filter(move |line| {
            let old = line.as_ref().is_ok_and(|line| request.since_ms.is_some_and(|since| line.at < since));
            std::future::ready(!old)
        })
        .boxed()
}

/// `2026-11-21T11:56:36.3Z text` with its line end.
fn log_line(piece: &LogOutput) -> LogLine {
    let stderr = matches!(piece, LogOutput::StdErr { .. });
    let bytes: &Bytes = match piece {
        LogOutput::StdErr { message }
        | LogOutput::StdOut { message }
        | LogOutput::StdIn { message }
        | LogOutput::Console { message } => message,
    };
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_end_matches(['\n', '\r']);
    let (at, text) = text.split_once(' ').unwrap_or((text, ""));
    match parse_ms(at) {
        Some(at) => LogLine { at, text: text.to_owned(), stderr },
        None => LogLine { at: 0, text: format!("{at} {text}").trim_end().to_owned(), stderr },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(tty: bool, bytes: &[u8]) -> (Vec<ExecChunk>, usize) {
        let (mut chunks, mut buffer) = (Chunks { tty }, BytesMut::from(bytes));
        let mut found = Vec::new();
        while let Some(piece) = chunks.decode(&mut buffer).unwrap() {
            found.push(piece);
        }
        (found, buffer.len())
    }

    #[test]
    fn a_terminal_whose_first_byte_is_zero_is_not_taken_for_framed_output() {
        let (pieces, left) = cut(true, b"\x00\x01hello");
        assert_eq!(pieces, [ExecChunk::Stdout(Bytes::from_static(b"\x00\x01hello"))]);
        assert_eq!(left, 0);
    }

    #[test]
    fn framed_output_is_cut_where_the_heads_say() {
        let bytes = b"\x01\0\0\0\0\0\0\x02hi\x02\0\0\0\0\0\0\x03err\x01\0\0\0\0\0\0\x09part";
        let (pieces, left) = cut(false, bytes);
        let wanted =
            [ExecChunk::Stdout(Bytes::from_static(b"hi")), ExecChunk::Stderr(Bytes::from_static(b"err"))];
        assert_eq!(pieces, wanted);
        assert_eq!(left, 12, "a piece that has not arrived whole waits");
    }

    #[test]
    fn half_a_piece_at_the_end_of_a_cut_connection_is_dropped() {
        let (mut chunks, mut buffer) =
            (Chunks { tty: false }, BytesMut::from(&b"\x01\0\0\0\0\0\0\x09part"[..]));
        assert_eq!(chunks.decode_eof(&mut buffer).unwrap(), None);
        assert!(buffer.is_empty());
    }

    #[test]
    fn log_lines_keep_their_text_and_time() {
        let line = |text: &'static str| {
            log_line(&LogOutput::StdErr { message: Bytes::from_static(text.as_bytes()) })
        };
        let read = line("1970-01-01T00:00:01.5Z mimir: t=1ms  two  spaces\n");
        assert_eq!(read, LogLine { at: 1500, text: "mimir: t=1ms  two  spaces".to_owned(), stderr: true });
        assert_eq!(line("1970-01-01T00:00:01Z \n").text, "");
        assert_eq!(line("no time\n").text, "no time");
    }
}
