//! What happens, as it happens, from any point on.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt, stream};
use serde::Deserialize;

use crate::events::{Filter, Followed};
use crate::gateway::extract::{Asked, frame_name};
use crate::gateway::problem::{Answer, Reply};
use crate::gateway::state::Services;
use crate::model::ids::{MessageId, SessionId};
use crate::store::StoreError;
use crate::wire::problem::Problem;

/// A quiet stream says something this often, so that a dead one is noticed.
const COMMENT_EVERY: Duration = Duration::from_secs(10);

/// Which events, and from where on.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
pub struct EventQuery {
    /// Everything after this id; from now on when absent. The header `Last-Event-ID` does the same.
    pub after: Option<u64>,
    /// Only of this frame, by name.
    pub frame: Option<String>,
    /// Only of this session.
    pub session: Option<String>,
    /// Only of this message.
    pub message: Option<String>,
    /// Only these kinds, separated by commas: `frame.moved,message.text`.
    pub kind: Option<String>,
}

/// Events as server-sent events: `id` is where to go on, `event` the kind, `data` the event as JSON.
///
/// A position that is too old gets one event `reset` first, whose data is where the stream goes on
/// from: look at the state of things, then read on.
#[utoipa::path(get, path = "/v1/events", tag = "events", params(EventQuery),
    responses((status = 200, body = String, content_type = "text/event-stream"), (status = 400, body = Problem)))]
pub async fn events(
    State(services): State<Services>,
    headers: HeaderMap,
    Asked(query): Asked<EventQuery>,
) -> Answer<Response> {
    let newest = services.events.newest();
    let wanted = last_event_id(&headers)?.or(query.after).unwrap_or(newest);
    // From before a backup was restored: those events will never come.
    let reset = (wanted > newest).then(|| reset_event(newest));
    let following = services.events.follow(wanted.min(newest), filter(query)?).map(|next| next.map(sse));
    let open = services.counters.stream_opened();
    let body = stream::iter(reset.map(Ok))
        .chain(following)
        .take_until(services.stop.clone().cancelled_owned())
        .take_while(|event| std::future::ready(event.is_ok()))
        .filter_map(move |event: Result<SseEvent, StoreError>| {
            let _counted_until_the_end = &open;
            std::future::ready(event.ok().map(Ok::<_, Infallible>))
        });
    Ok(answer(body))
}

fn answer(body: impl Stream<Item = Result<SseEvent, Infallible>> + Send + 'static) -> Response {
    let comment = KeepAlive::new().interval(COMMENT_EVERY).text("still here");
    Sse::new(body).keep_alive(comment).into_response()
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
        frame: None,
        frame_name: query.frame.as_deref().map(frame_name).transpose()?,
        session: query
            .session
            .map(|id| SessionId::parse(&id).map_err(|_| not_found("session", &id)))
            .transpose()?,
        message: query
            .message
            .map(|id| MessageId::parse(&id).map_err(|_| not_found("message", &id)))
            .transpose()?,
        kinds: query
            .kind
            .map(|kinds| kinds.split(',').map(|kind| kind.trim().to_owned()).collect())
            .unwrap_or_default(),
    })
}

fn sse(next: Followed) -> SseEvent {
    match next {
        Followed::Reset { oldest } => reset_event(oldest.saturating_sub(1)),
        Followed::Event(event) => {
            let data = serde_json::to_string(&event).unwrap_or_default();
            SseEvent::default().id(event.id.to_string()).event(event.what.kind()).data(data)
        }
    }
}

fn reset_event(after: u64) -> SseEvent {
    SseEvent::default().id(after.to_string()).event("reset").data(format!("{{\"after\":{after}}}"))
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
}
