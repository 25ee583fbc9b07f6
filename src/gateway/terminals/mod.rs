//! A frame's terminal for browsers: one WebSocket, its first message a ticket. See [`crate::wire::web_terminal`].
//!
//! What it carries is what `mimir frame attach` carries: a tmux client inside the frame, and the filter before whatever it
//! shows. Nobody who comes back is given the old screen from here: tmux has it, with what scrolled by, and draws it anew.

mod exit;
mod flow;
mod link;
mod relay;
mod trouble;

use std::net::IpAddr;
use std::pin::pin;
use std::time::Duration;

use axum::extract::ws::WebSocket;
use futures_util::stream::SplitStream;
use futures_util::{SinkExt, StreamExt};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub use exit::exit_code;
use flow::{INPUT_WINDOW, OUTPUT_WINDOW};
use link::{Heard, Link};
use relay::{End, relay, size};

use crate::access::{Access, TerminalPass};
use crate::clock::Clock;
use crate::events::{Events, Filter, Follow, Followed};
use crate::frames::Frames;
use crate::gateway::problem::Reply;
use crate::tmux::TerminalRequest;
use crate::wire::problem::Problem;
use crate::wire::web_terminal::{TerminalClientMessage, TerminalServerMessage};

/// One message of input is never larger.
pub const LARGEST_INPUT: usize = 64 * 1024;
/// A client that connects and brings nothing is cut off.
const TICKET_WITHIN: Duration = Duration::from_secs(10);
/// What is still to be said when it is over has so long to leave.
const GOODBYE_WITHIN: Duration = Duration::from_secs(1);
/// What browsers draw.
const TERM: &str = "xterm-256color";
/// What a client is told of its frame. What agents ask and say is not for whoever may only look at a terminal.
const TOLD: [&str; 3] = ["frame.moved", "frame.removed", "frame.note"];

/// What a connection needs.
pub struct Host {
    /// Frames and their terminals.
    pub frames: Frames,
    /// Tickets.
    pub access: Access,
    /// What happens to the frame.
    pub events: Events,
    /// The time.
    pub clock: Clock,
    /// Cancelled when the gateway stops.
    pub stop: CancellationToken,
    /// Where the client is, when it is known.
    pub from: Option<IpAddr>,
}

/// Talks with one client until it goes, or may stay no longer.
pub async fn talk(socket: WebSocket, host: Host) {
    let (mut to_client, from_client) = socket.split();
    let (link, mut waiting) = Link::new();
    let carry = async move {
        while let Some(message) = waiting.recv().await {
            if to_client.send(message).await.is_err() {
                return;
            }
        }
    };
    let mut carry = pin!(carry);
    tokio::select! {
        () = carry.as_mut() => {}
        () = converse(from_client, link, host) => {
            let _ = timeout(GOODBYE_WITHIN, carry).await;
        }
    }
}

async fn converse(mut from_client: SplitStream<WebSocket>, link: Link, host: Host) {
    let why = tokio::select! {
        why = serve(&mut from_client, &link, &host) => why,
        () = host.stop.cancelled() => Some(trouble::stopping()),
        () = link.watch() => None,
    };
    let goodbye = async {
        if let Some(problem) = why {
            link.refuse(problem).await;
        }
        link.close().await;
    };
    let _ = timeout(GOODBYE_WITHIN, goodbye).await;
}

/// Serves one client; says why nothing more is said to it.
async fn serve(from_client: &mut SplitStream<WebSocket>, link: &Link, host: &Host) -> Option<Problem> {
    let first = match timeout(TICKET_WITHIN, link.hear(from_client)).await {
        Ok(first) => first,
        Err(_) => return Some(trouble::too_late()),
    };
    let ticket = match first {
        Heard::Said(TerminalClientMessage::Auth { ticket }) => ticket,
        Heard::Gone => return None,
        Heard::Said(_) | Heard::Typed(_) => return Some(trouble::out_of_turn()),
        Heard::Garbled => return Some(trouble::garbled()),
    };
    let Some(pass) = host.access.enter_terminal(&ticket, host.from).await else {
        return Some(trouble::no_ticket());
    };
    let Ok(_place) = pass.take_place() else { return Some(trouble::crowded()) };
    let frame = match host.frames.get_by_id(&pass.frame).await {
        Ok(frame) => frame,
        Err(error) => return Some(Reply::from(error).0),
    };
    let kinds = TOLD.map(str::to_owned).into();
    let filter = Filter { frame: Some(pass.frame.clone()), kinds, ..Filter::default() };
    let reader = host.events.reader(host.events.newest(), filter);
    let welcome = TerminalServerMessage::Authenticated {
        frame: frame.name.to_string(),
        read_only: pass.read_only,
        expires_at: pass.expires_at,
        output_window_bytes: OUTPUT_WINDOW,
        input_window_bytes: INPUT_WINDOW,
    };
    if !link.say(&welcome).await {
        return None;
    }
    tokio::select! {
        why = terminals(from_client, link, host, &pass) => why,
        () = pass.ended.cancelled() => Some(trouble::over()),
        () = time_is_over(&pass, &host.clock) => Some(trouble::over()),
        () = tell(reader, link) => None,
    }
}

/// One terminal after the other, as the client opens and closes them.
async fn terminals(
    from_client: &mut SplitStream<WebSocket>,
    link: &Link,
    host: &Host,
    pass: &TerminalPass,
) -> Option<Problem> {
    loop {
        let is_heard = match link.hear(from_client).await {
            Heard::Said(TerminalClientMessage::Attach { columns, rows, window, read_only }) => {
                let read_only = pass.read_only || read_only;
                let (columns, rows) = size(columns, rows, !read_only);
                let request = TerminalRequest {
                    columns,
                    rows,
                    window: pass.window.clone().or(window),
                    read_only,
                    term: Some(TERM.to_owned()),
                };
                match attach(from_client, link, host, pass, request).await {
                    Ok(code) => link.say(&TerminalServerMessage::Detached { code }).await,
                    Err(End::Refused(problem)) => return Some(problem),
                    Err(End::Broken(problem)) => link.refuse(problem).await,
                    Err(_) => return None,
                }
            }
            Heard::Said(TerminalClientMessage::Ack { bytes }) => {
                if !link.output.acknowledge(bytes) {
                    return Some(trouble::wrong_ack());
                }
                true
            }
            // What was on its way when the terminal closed.
            Heard::Said(TerminalClientMessage::Resize { .. } | TerminalClientMessage::Detach) => true,
            Heard::Typed(bytes) => {
                if !link.input.received(bytes.len()) {
                    return Some(trouble::too_fast());
                }
                link.took(link.input.taken(bytes.len())).await
            }
            Heard::Said(TerminalClientMessage::Auth { .. }) => return Some(trouble::out_of_turn()),
            Heard::Garbled => return Some(trouble::garbled()),
            Heard::Gone => return None,
        };
        if !is_heard {
            return None;
        }
    }
}

/// Opens a terminal and carries it to its end: the exit code of what ran in it, or nothing when the client closed it.
async fn attach(
    from_client: &mut SplitStream<WebSocket>,
    link: &Link,
    host: &Host,
    pass: &TerminalPass,
    request: TerminalRequest,
) -> Result<Option<i64>, End> {
    let broken = |error| End::Broken(Reply::from(error).0);
    let frame = host.frames.get_by_id(&pass.frame).await.map_err(broken)?;
    let (columns, rows, may_type) = (request.columns, request.rows, !request.read_only);
    // The viewer's session inside ends when this is dropped.
    let (stream, _viewer) = host.frames.terminal(&frame, request).await.map_err(broken)?;
    host.frames.touch(&frame.id).await.map_err(broken)?;
    tracing::info!(frame.id = %frame.id, by = %pass.by, may_type, "a terminal of frame {} is open", frame.name);
    if !link.say(&TerminalServerMessage::Attached { columns, rows }).await {
        return Err(End::Gone);
    }
    match relay(stream, from_client, link, may_type).await {
        End::OfOutput(code) => Ok(code),
        End::Detached => Ok(None),
        end => Err(end),
    }
}

/// Waits until what may be done may be done no more; for ever when that has no time.
async fn time_is_over(pass: &TerminalPass, clock: &Clock) {
    let Some(until) = pass.expires_at else { return std::future::pending().await };
    loop {
        let left = until.saturating_sub(clock.now_ms());
        if left == 0 {
            return;
        }
        // The clock of the machine may be set meanwhile.
        tokio::time::sleep(Duration::from_millis(left.min(1_000))).await;
    }
}

/// Tells what happens to the frame.
async fn tell(mut reader: Follow, link: &Link) {
    while let Ok(Some(page)) = reader.next_page().await {
        for next in page {
            let Followed::Event(event) = next else { continue };
            let Ok(event) = serde_json::from_slice(&event.json()) else { continue };
            if !link.say(&TerminalServerMessage::FrameEvent { event }).await {
                return;
            }
        }
    }
    // Without events it is still a terminal.
    std::future::pending().await
}
