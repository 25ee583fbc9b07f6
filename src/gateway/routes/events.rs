//! What happens, as it happens, from any point on.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::extract::ws::{
    CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, rejection::WebSocketUpgradeRejection,
};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{SplitSink, unfold};
use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use tokio::time::{interval, sleep};
use tokio_util::sync::CancellationToken;

use crate::events::{Events, Filter, Follow, Followed};
use crate::gateway::extract::{QueryParams, frame_name};
use crate::gateway::metrics::{Counters, OpenStream};
use crate::gateway::problem::{Answer, Reply};
use crate::gateway::write_timeout::Patience;
use crate::model::ids::{MessageId, SessionId};
use crate::wire::events::{Notice, Noticed, Snapshot};

routes! {
    get "/v1/events" Read Filter => events;
}

/// A client of a WebSocket that answers no ping for so many turns is gone.
const PINGS_UNANSWERED: u32 = 6;
/// What one WebSocket may hold in memory on its way out, and in.
const SOCKET_BUFFER: usize = 16 * 1024;

/// Which events, and from where on.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct EventQuery {
    /// Everything after this id: from now on when absent, from the oldest that is kept when 0. The header
    /// `Last-Event-ID` does the same.
    pub after: Option<u64>,
    /// Only of this frame, by name.
    pub frame: Option<String>,
    /// Only of this session.
    pub session: Option<String>,
    /// Only of this message.
    pub message: Option<String>,
    /// Only these kinds, separated by commas; `message.*` is all that begin like that:
    /// `frame.moved,message.*`.
    #[param(pattern = r"^\s*([a-z0-9._]+\*?|\*)\s*(,\s*([a-z0-9._]+\*?|\*)\s*)*$")]
    pub kind: Option<String>,
}

/// Events as server-sent events: `id` is where to go on, `event` the kind, `data` the event as JSON. With
/// `Upgrade: websocket` the same as a WebSocket, one JSON object a message.
///
/// Every event was stored before it is sent. Whoever comes back with the last id he has seen gets
/// everything after it: nothing is lost, nothing comes twice. A position that is too old, or from another
/// database, gets an event `reset` first, whose data is a snapshot of what the filter shows; what happened after it follows. A quiet
/// stream says every 10 s how far it is (a comment and an `id`; a WebSocket gets `{"kind":"position"}`). A
/// reader who takes nothing for 30 s is cut off.
#[utoipa::path(get, path = "/v1/events", tag = "events", params(EventQuery,
        ("Last-Event-ID" = Option<u64>, Header, description = "everything after this id; wins over `after`")),
    responses((status = 200, body = Noticed, content_type = "text/event-stream"), (status = 101)))]
pub async fn events(
    State(events): State<Events>, State(counters): State<Counters>, State(stop): State<CancellationToken>,
    headers: HeaderMap,
    QueryParams(query): QueryParams<EventQuery>,
    patience: Option<Extension<Patience>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Answer<Response> {
    let position = last_event_id(&headers)?.or(query.after).unwrap_or_else(|| events.newest());
    let reader = events.reader(position, filter(query)?);
    let settings = events.settings();
    if let Some(Extension(patience)) = patience {
        patience.limit(settings.stalled_after);
    }
    let open = counters.stream_opened();
    let every = settings.comment_every;
    if wants_socket(&headers) {
        let upgrade = upgrade.map_err(|_| {
            Reply::bad_request("request.no_websocket", "this is no WebSocket").hint("leave out the header `upgrade`, and the events come as a stream")
        })?;
        let upgrade = upgrade
            .max_message_size(SOCKET_BUFFER)
            .max_frame_size(SOCKET_BUFFER)
            .read_buffer_size(SOCKET_BUFFER / 4)
            .write_buffer_size(SOCKET_BUFFER);
        return Ok(upgrade.on_upgrade(move |socket| async move {
            talk(socket, reader, every, stop).await;
            drop(open);
        }));
    }
    Ok(stream(Stream { reader, ready: VecDeque::new(), told: None, every, stop, _open: open }))
}

fn wants_socket(headers: &HeaderMap) -> bool {
    headers.get(header::UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

fn last_event_id(headers: &HeaderMap) -> Answer<Option<u64>> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let id = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    id.map(Some).ok_or_else(|| Reply::bad_request("request.invalid", "Last-Event-ID is not a number"))
}

fn filter(query: EventQuery) -> Answer<Filter> {
    let not_found = |what: &str, id: &str| {
        Reply::not_found(&format!("{what}.not_found"), format!("there is no {what} {id}"))
    };
    Ok(Filter {
        frame_name: query.frame.as_deref().map(frame_name).transpose()?,
        session: query
            .session
            .map(|id| SessionId::parse(&id).map_err(|_| not_found("session", &id)))
            .transpose()?,
        message: query
            .message
            .map(|id| MessageId::parse(&id).map_err(|_| not_found("message", &id)))
            .transpose()?,
        kinds: query.kind.as_deref().map(kinds).transpose()?.unwrap_or_default(),
        ..Filter::default()
    })
}

fn kinds(text: &str) -> Answer<Vec<String>> {
    let kinds: Vec<String> = text.split(',').map(|kind| kind.trim().to_owned()).collect();
    let plain = |kind: &str| {
        kind.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_'))
    };
    match kinds.iter().find(|kind| kind.is_empty() || !plain(kind.strip_suffix('*').unwrap_or(kind))) {
        None => Ok(kinds),
        Some(wrong) => Err(Reply::bad_request("request.invalid", format!("`{wrong}` is no kind of event"))
            .hint("kinds look like frame.moved or message.*, separated by commas")),
    }
}

/// What a server-sent stream is made of.
struct Stream {
    reader: Follow,
    ready: VecDeque<Bytes>,
    /// The position that the client knows.
    told: Option<u64>,
    every: Duration,
    stop: CancellationToken,
    _open: OpenStream,
}

impl Stream {
    /// What to send next; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(block) = self.ready.pop_front() {
                return Some(block);
            }
            // At once, so that the client has a position (and a proxy something to pass on) before anything happens.
            if self.told.is_none() {
                return Some(self.say("retry: 1000"));
            }
            tokio::select! {
                page = self.reader.next_page() => {
                    let page = logged(page)?;
                    self.ready.extend(page.iter().map(block));
                    self.told = Some(self.reader.position());
                }
                () = sleep(self.every) => return Some(self.say(": still here")),
                () = self.stop.cancelled() => return None,
            }
        }
    }

    /// Something that is no event, with the position when the client does not know it.
    fn say(&mut self, what: &str) -> Bytes {
        let position = self.reader.position();
        match self.told.replace(position) {
            Some(known) if known == position => format!("{what}\n\n"),
            _ => format!("{what}\nid: {position}\n\n"),
        }
        .into()
    }
}

/// A page, unless this was the end; why it is the end is for the log.
fn logged<T>(page: Result<Option<T>, crate::store::StoreError>) -> Option<T> {
    page.unwrap_or_else(|error| {
        tracing::warn!(%error, "an event stream ends: {error}");
        None
    })
}

fn stream(parts: Stream) -> Response {
    let blocks = unfold(parts, |mut parts| async move {
        let block = parts.next().await?;
        Some((Ok::<_, Infallible>(block), parts))
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        // Nobody between us and the client is to keep, compress or collect any of it.
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform")),
        (header::HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    (headers, Body::from_stream(blocks)).into_response()
}

fn block(next: &Followed) -> Bytes {
    match next {
        Followed::Event(event) => event.block(),
        Followed::Reset(snapshot) => {
            format!("id: {}\nevent: reset\ndata: {}\n\n", snapshot.after, reset(snapshot)).into()
        }
    }
}

/// A snapshot, in the shape of an event.
fn reset(snapshot: &Snapshot) -> String {
    json(&Noticed { id: snapshot.after, what: Notice::Reset(snapshot.clone()) })
}

fn json(noticed: &Noticed) -> String {
    serde_json::to_string(noticed).unwrap_or_default()
}

type ToClient = SplitSink<WebSocket, Message>;

/// The same as a WebSocket, until the client goes or the gateway stops.
async fn talk(socket: WebSocket, mut reader: Follow, every: Duration, stop: CancellationToken) {
    let (mut to_client, mut from_client) = socket.split();
    let mut ticks = interval(every);
    let (mut told, mut unanswered) = (None, 0);
    loop {
        let sent = tokio::select! {
            page = reader.next_page() => match logged(page) {
                Some(page) => {
                    told = Some(reader.position());
                    send(&mut to_client, page.iter().map(message)).await
                }
                None => break,
            },
            _ = ticks.tick() => {
                unanswered += 1;
                if unanswered > PINGS_UNANSWERED {
                    return;
                }
                let position = reader.position();
                let news = (told.replace(position) != Some(position))
                    .then(|| Message::Text(json(&Noticed { id: position, what: Notice::Position {} }).into()));
                send(&mut to_client, news.into_iter().chain([Message::Ping(Bytes::new())])).await
            }
            said = from_client.next() => match said {
                None | Some(Err(_) | Ok(Message::Close(_))) => return,
                Some(Ok(_)) => {
                    unanswered = 0;
                    Ok(())
                }
            },
            () = stop.cancelled() => break,
        };
        // Whoever went away, or was cut off because he did not read, comes back with his position.
        if sent.is_err() {
            return;
        }
    }
    let goodbye = CloseFrame { code: 1001, reason: "the gateway stops".into() };
    let deadline = sleep(Duration::from_secs(1));
    tokio::select! {
        _ = to_client.send(Message::Close(Some(goodbye))) => {}
        () = deadline => {}
    }
}

async fn send(to_client: &mut ToClient, messages: impl Iterator<Item = Message>) -> Result<(), axum::Error> {
    for message in messages {
        to_client.feed(message).await?;
    }
    to_client.flush().await
}

fn message(next: &Followed) -> Message {
    match next {
        // JSON is text; if it were not, an empty message would say nothing wrong.
        Followed::Event(event) => Message::Text(Utf8Bytes::try_from(event.json()).unwrap_or_default()),
        Followed::Reset(snapshot) => Message::Text(reset(snapshot).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_in_the_header_must_be_a_number() {
        let mut headers = HeaderMap::new();
        assert_eq!(last_event_id(&headers).expect("absent"), None);
        headers.insert("last-event-id", "17".parse().expect("a value"));
        assert_eq!(last_event_id(&headers).expect("read"), Some(17));
        headers.insert("last-event-id", "x".parse().expect("a value"));
        assert_eq!(last_event_id(&headers).expect_err("refused").0.status, 400);
    }

    #[test]
    fn kinds_are_words_and_may_end_in_a_star() {
        assert_eq!(kinds("frame.moved, message.*").expect("fine"), ["frame.moved", "message.*"]);
        assert_eq!(kinds("*").expect("fine"), ["*"]);
        for wrong in ["", "a,,b", "message.[a-z]", "*.text", "Frame.Moved"] {
            assert_eq!(kinds(wrong).expect_err(wrong).0.status, 400, "{wrong}");
        }
    }
}
