//! A WebSocket to a frame's terminal, or to a command in it. See [`crate::wire::terminal`].

use axum::extract::ws::{
    CloseFrame, Message, WebSocket, WebSocketUpgrade, rejection::WebSocketUpgradeRejection,
};
use axum::extract::{Path, State};
use axum::response::Response;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use crate::frames::{Frames, Guest, Viewer, VisitorKind};
use crate::gateway::metrics::Counters;
use crate::gateway::extract::{QueryParams, frame_name};
use crate::gateway::problem::{Answer, Reply};
use crate::gateway::terminals::exit_code;
use crate::model::container::inside;
use crate::model::frame::Frame;
use crate::runtime::{ExecChunk, ExecControl, ExecSpec, ExecStream};
use crate::terminal_filter::TerminalFilter;
use crate::tmux::TerminalRequest;
use crate::wire::problem::Problem;
use crate::wire::terminal::{STDERR, STDOUT, TerminalControl, TerminalNotice, TerminalQuery};

routes! {
    get "/v1/frames/{name}/terminal" Terminal Path => terminal;
}

/// One message of input is never larger; a paste comes in pieces.
const LARGEST_INPUT: usize = 1024 * 1024;

/// What ends with the connection.
enum Inside {
    /// A place in the frame's terminal: its session ends, whatever runs in the terminal goes on.
    Viewer { _until_dropped: Viewer },
    /// A command: it ends, unless it has ended by itself.
    Command(Guest),
}

/// The frame's terminal in this one: input and output as binary messages, sizes and the end as text.
#[utoipa::path(get, path = "/v1/frames/{name}/terminal", tag = "frames", params(("name" = String, Path), TerminalQuery),
    responses((status = 101)))]
pub async fn terminal(
    State(frames): State<Frames>, State(counters): State<Counters>, State(stop): State<CancellationToken>,
    Path(name): Path<String>,
    QueryParams(query): QueryParams<TerminalQuery>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Answer<Response> {
    let frame = frames.get(&frame_name(&name)?).await?;
    let upgrade = upgrade.map_err(|_| {
        Reply::bad_request("request.no_websocket", "a terminal needs a WebSocket")
                .hint("`mimir frame attach NAME` opens one")
    })?;
    // What has a terminal of ours inside is shown in somebody's; a command without one may say bytes of any kind.
    let filter = (query.argv.is_none() || !query.no_tty).then(TerminalFilter::new);
    let (stream, mut inside) = open(&frames, &frame, query).await?;
    frames.touch(&frame.id).await?;
    let open = counters.stream_opened();
    let upgrade = upgrade.max_message_size(LARGEST_INPUT).max_frame_size(LARGEST_INPUT);
    Ok(upgrade.on_upgrade(move |socket| async move {
        tokio::select! {
            end = relay(socket, stream, filter) => if let (End::OfOutput, Inside::Command(guest)) = (end, &mut inside) {
                guest.ended();
            },
            () = stop.cancelled() => {}
        }
        drop((inside, open));
    }))
}

async fn open(frames: &Frames, frame: &Frame, query: TerminalQuery) -> Answer<(ExecStream, Inside)> {
    let (columns, rows) = (query.columns.max(1), query.rows.max(1));
    let Some(argv) = &query.argv else {
        let request = TerminalRequest {
            columns,
            rows,
            window: query.window,
            read_only: query.read_only,
            term: query.term,
        };
        let (stream, viewer) = frames.terminal(frame, request).await?;
        return Ok((stream, Inside::Viewer { _until_dropped: viewer }));
    };
    let words: Vec<String> = serde_json::from_str(argv).unwrap_or_default();
    if words.is_empty() {
        return Err(Reply::bad_request("request.invalid", "argv must be a JSON array of words"));
    }
    let term = query.term.unwrap_or_else(|| "xterm-256color".to_owned());
    let command = ExecSpec {
        argv: words,
        env: if query.no_tty { Vec::new() } else { vec![("TERM".to_owned(), term)] },
        cwd: Some(inside::WORKSPACE.to_owned()),
        tty: (!query.no_tty).then_some((columns, rows)),
        stdin: true,
        deadline: None,
    };
    let (stream, guest) = frames.exec_stream(frame, command, VisitorKind::Person).await?;
    Ok((stream, Inside::Command(guest)))
}

/// Why there is nothing more to carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The command said everything: it has ended.
    OfOutput,
    /// The client went away, or the engine did.
    OfConnection,
}

/// Carries both ways until the command ends or the client goes.
async fn relay(socket: WebSocket, stream: ExecStream, mut filter: Option<TerminalFilter>) -> End {
    let ExecStream { mut output, input, control } = stream;
    let (mut to_client, from_client) = socket.split();
    let carry_output = async {
        while let Some(chunk) = output.next().await {
            let message = match chunk {
                Ok(ExecChunk::Stdout(bytes)) => match &mut filter {
                    Some(filter) => {
                        let shown = filter.pass(&bytes);
                        if shown.is_empty() {
                            continue;
                        }
                        labelled(STDOUT, &shown)
                    }
                    None => labelled(STDOUT, &bytes),
                },
                Ok(ExecChunk::Stderr(bytes)) => labelled(STDERR, &bytes),
                Err(error) => notice(&TerminalNotice::Problem { problem: Reply::from(error).0 }),
            };
            if to_client.send(message).await.is_err() {
                return End::OfConnection;
            }
        }
        if finish(&mut to_client, control.as_ref()).await { End::OfOutput } else { End::OfConnection }
    };
    tokio::select! {
        end = carry_output => end,
        () = carry_input(from_client, input, control.as_ref()) => End::OfConnection,
    }
}

fn labelled(label: u8, bytes: &[u8]) -> Message {
    let mut message = Vec::with_capacity(bytes.len() + 1);
    message.push(label);
    message.extend_from_slice(bytes);
    Message::Binary(message.into())
}

fn notice(notice: &TerminalNotice) -> Message {
    Message::Text(serde_json::to_string(notice).unwrap_or_default().into())
}

/// Tells the client how the command ended; whether it did.
async fn finish(to_client: &mut SplitSink<WebSocket, Message>, control: &dyn ExecControl) -> bool {
    let code = exit_code(control).await;
    let end = match code {
        Some(code) => TerminalNotice::Exit { code },
        None => TerminalNotice::Problem {
            problem: Problem::new(504, "engine.slow", "the engine does not tell how the command ended"),
        },
    };
    // Whoever is gone needs no goodbye.
    let _ = to_client.send(notice(&end)).await;
    let _ = to_client.send(Message::Close(Some(CloseFrame { code: 1000, reason: "".into() }))).await;
    code.is_some()
}

/// Ends when the client does.
async fn carry_input(
    mut from_client: SplitStream<WebSocket>,
    mut input: std::pin::Pin<Box<dyn AsyncWrite + Send>>,
    control: &dyn ExecControl,
) {
    while let Some(Ok(message)) = from_client.next().await {
        match message {
            // A command that reads no more is no reason to end its output.
            Message::Binary(bytes) => {
                let _ = input.write_all(&bytes).await;
                let _ = input.flush().await;
            }
            Message::Text(text) => match serde_json::from_str(&text) {
                Ok(TerminalControl::Resize { columns, rows }) => {
                    // A size that the engine cannot set is a picture that does not fit, no more.
                    let _ = control.resize(columns, rows).await;
                }
                Ok(TerminalControl::EndOfInput) => {
                    let _ = input.shutdown().await;
                }
                Err(error) => tracing::debug!(%error, "a terminal's client said something unknown"),
            },
            Message::Close(_) => return,
            Message::Ping(_) | Message::Pong(_) => {}
        }
    }
}
