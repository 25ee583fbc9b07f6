//! Carries one open terminal both ways, until one end closes it.

use std::pin::Pin;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::WebSocket;
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, SplitStream};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::exit::exit_code;
use super::link::{Heard, Link};
use super::trouble;
use crate::gateway::problem::Reply;
use crate::runtime::{ExecChunk, ExecControl, ExecStream, RuntimeError};
use crate::terminal_filter::TerminalFilter;
use crate::wire::problem::Problem;
use crate::wire::web_terminal::TerminalClientMessage;

/// One message of output is never larger.
const LARGEST_OUTPUT: usize = 32 * 1024;
/// No screen is larger than that many cells one way.
const LARGEST_SIDE: u16 = 2_000;
/// An engine that takes longer to set a size does not set it.
const RESIZE_WITHIN: Duration = Duration::from_secs(5);

/// Why there is nothing more to carry.
pub(super) enum End {
    /// What ran in the terminal ended; its exit code, when the engine tells it.
    OfOutput(Option<i64>),
    /// The client closed the terminal.
    Detached,
    /// The client went away.
    Gone,
    /// Something is wrong with the engine.
    Broken(Problem),
    /// The client does what it may not.
    Refused(Problem),
}

/// A size as a terminal can have it. As long as nobody else looks, tmux draws for whoever only looks as well: so they may
/// not have one in which nothing can be drawn, or one that takes the frame's memory.
pub(super) fn size(columns: u16, rows: u16, may_type: bool) -> (u16, u16) {
    match may_type {
        true => (columns.clamp(1, LARGEST_SIDE), rows.clamp(1, LARGEST_SIDE)),
        false => (columns.clamp(20, 500), rows.clamp(5, 200)),
    }
}

/// Carries until there is nothing more to carry. Whoever may not type is told so, and nothing of theirs goes in.
pub(super) async fn relay(
    stream: ExecStream,
    from_client: &mut SplitStream<WebSocket>,
    link: &Link,
    may_type: bool,
) -> End {
    let ExecStream { output, input, control } = stream;
    let (keys, typed) = mpsc::unbounded_channel();
    let end = tokio::select! {
        end = show(output, link) => end,
        end = type_in(input, typed, link) => end,
        end = obey(from_client, link, keys, control.as_ref(), may_type) => end,
    };
    // What nobody will read any more is on nobody's way. Told always: what was taken last may not have been.
    if !matches!(end, End::Gone) && !link.took(link.input.forget()).await {
        return End::Gone;
    }
    match end {
        End::OfOutput(_) => End::OfOutput(exit_code(control.as_ref()).await),
        end => end,
    }
}

/// Output to the client, through the filter that stands before every terminal.
async fn show(mut output: BoxStream<'static, Result<ExecChunk, RuntimeError>>, link: &Link) -> End {
    let mut filter = TerminalFilter::new();
    while let Some(chunk) = output.next().await {
        let bytes = match chunk {
            Ok(ExecChunk::Stdout(bytes) | ExecChunk::Stderr(bytes)) => bytes,
            Err(error) => return End::Broken(Reply::from(error).0),
        };
        let mut shown = Bytes::from(filter.pass(&bytes));
        while !shown.is_empty() {
            let piece = shown.split_to(shown.len().min(LARGEST_OUTPUT));
            if !link.show(piece).await {
                return End::Gone;
            }
        }
    }
    End::OfOutput(None)
}

/// Input to the frame, as fast as it takes it.
async fn type_in(
    mut input: Pin<Box<dyn AsyncWrite + Send>>,
    mut typed: mpsc::UnboundedReceiver<Bytes>,
    link: &Link,
) -> End {
    while let Some(bytes) = typed.recv().await {
        // What reads no more is no reason to end its output.
        let _ = input.write_all(&bytes).await;
        let _ = input.flush().await;
        if !link.took(link.input.taken(bytes.len())).await {
            return End::Gone;
        }
    }
    std::future::pending().await
}

/// Hears what the client says. How much may wait for the frame is counted, so the channel of `keys` needs no limit.
async fn obey(
    from_client: &mut SplitStream<WebSocket>,
    link: &Link,
    keys: mpsc::UnboundedSender<Bytes>,
    control: &dyn ExecControl,
    may_type: bool,
) -> End {
    let mut is_told = false;
    loop {
        match link.hear(from_client).await {
            Heard::Typed(bytes) => {
                if !link.input.received(bytes.len()) {
                    return End::Refused(trouble::too_fast());
                }
                if may_type {
                    let _ = keys.send(bytes);
                    continue;
                }
                let taken = link.input.taken(bytes.len());
                let is_there = link.took(taken).await && (is_told || link.refuse(trouble::read_only()).await);
                is_told = true;
                if !is_there {
                    return End::Gone;
                }
            }
            Heard::Said(TerminalClientMessage::Ack { bytes }) => {
                if !link.output.acknowledge(bytes) {
                    return End::Refused(trouble::wrong_ack());
                }
            }
            Heard::Said(TerminalClientMessage::Resize { columns, rows }) => {
                let (columns, rows) = size(columns, rows, may_type);
                // A size that the engine cannot set is a picture that does not fit, no more.
                let _ = tokio::time::timeout(RESIZE_WITHIN, control.resize(columns, rows)).await;
            }
            Heard::Said(TerminalClientMessage::Detach) => return End::Detached,
            Heard::Said(TerminalClientMessage::Auth { .. } | TerminalClientMessage::Attach { .. }) => {
                return End::Refused(trouble::out_of_turn());
            }
            Heard::Garbled => return End::Refused(trouble::garbled()),
            Heard::Gone => return End::Gone,
        }
    }
}
