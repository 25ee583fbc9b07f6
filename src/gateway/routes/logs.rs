//! What a frame printed and what became of it, in one stream.

use std::pin::Pin;

use axum::extract::{Path, State};
use axum::response::Response;
use futures_util::{Stream, StreamExt, stream};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::events::{Events, Filter, Followed};
use crate::frames::{FrameError, Frames};
use crate::gateway::extract::{QueryParams, frame_name};
use crate::gateway::metrics::Counters;
use crate::gateway::ndjson;
use crate::gateway::problem::{Answer, Reply};
use crate::gateway::views;
use crate::model::event::{Event, EventKind};
use crate::model::frame::Frame;
use crate::runtime::{LogRequest, RuntimeError};
use crate::wire::frames::FrameLogLine;
use crate::wire::problem::Problem;

routes! {
    get "/v1/frames/{name}/logs" Read Path => logs;
}

/// Which lines.
#[derive(Clone, Copy, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct LogQuery {
    /// Go on with new lines.
    #[serde(default)]
    pub follow: bool,
    /// Not older than this (UTC ms).
    pub since_ms: Option<u64>,
    /// At most that many old lines.
    pub tail: Option<u32>,
}

type Lines = Pin<Box<dyn Stream<Item = Result<FrameLogLine, Problem>> + Send>>;

/// A frame's log: what its supervisor, its agent and its forwarders print, and what the gateway did to it.
#[utoipa::path(get, path = "/v1/frames/{name}/logs", tag = "frames", params(("name" = String, Path), LogQuery),
    responses((status = 200, body = FrameLogLine, content_type = "application/x-ndjson")))]
pub async fn logs(
    State(frames): State<Frames>, State(events): State<Events>, State(counters): State<Counters>, State(stop): State<CancellationToken>,
    Path(name): Path<String>,
    QueryParams(query): QueryParams<LogQuery>,
) -> Answer<Response> {
    let frame = frames.get(&frame_name(&name)?).await?;
    let old = old_lines(&frames, &frame, query).await?;
    let lines: Lines = if query.follow {
        Box::pin(stream::iter(old).map(Ok).chain(new_lines(&frames, &events, &frame).await?))
    } else {
        Box::pin(stream::iter(old).map(Ok))
    };
    Ok(ndjson::stream(lines, &counters, stop))
}

/// Both kinds of lines that are already there, by time.
async fn old_lines(frames: &Frames, frame: &Frame, query: LogQuery) -> Answer<Vec<FrameLogLine>> {
    let request = LogRequest { follow: false, since_ms: query.since_ms, tail: query.tail };
    let printed = match frames.logs(frame, request).await {
        Ok(lines) => {
            lines.filter_map(|line| std::future::ready(line.ok())).map(views::log_line).collect().await
        }
        Err(error) if is_gone(&error) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let since = query.since_ms.unwrap_or(0);
    let notes = super::frames::notes_of(frames, frame).await?;
    let notes = notes.iter().filter(|note| note.at >= since).map(views::note_line).collect();
    Ok(merge(printed, notes, query.tail))
}

fn is_gone(error: &FrameError) -> bool {
    matches!(error, FrameError::Runtime(RuntimeError::Gone { .. }))
}

fn merge(printed: Vec<FrameLogLine>, notes: Vec<FrameLogLine>, tail: Option<u32>) -> Vec<FrameLogLine> {
    let mut lines = printed;
    lines.extend(notes);
    // Stable: what was printed in one millisecond stays in its order.
    lines.sort_by_key(|line| line.at);
    let keep = tail.map_or(lines.len(), |tail| tail as usize);
    lines.split_off(lines.len().saturating_sub(keep))
}

/// What comes from now on. Ends when the frame's container does.
async fn new_lines(
    frames: &Frames,
    events: &Events,
    frame: &Frame,
) -> Answer<impl Stream<Item = Result<FrameLogLine, Problem>> + Send + use<>> {
    let filter = Filter {
        frame: Some(frame.id.clone()),
        kinds: vec!["frame.note".into(), "frame.moved".into()],
        ..Filter::default()
    };
    let notes = events.follow(events.newest(), filter).filter_map(|next| {
        let line = match next {
            Ok(Followed::Event(event)) => event_line(&event).map(Ok),
            _ => None,
        };
        std::future::ready(line)
    });
    let request = LogRequest { follow: true, since_ms: None, tail: Some(0) };
    let printed: Lines = match frames.logs(frame, request).await {
        Ok(lines) => {
            Box::pin(lines.map(|line| line.map(views::log_line).map_err(|error| Reply::from(error).0)))
        }
        // It has no container now; a start makes one, and its lines come with the next request.
        Err(error) if is_gone(&error) => Box::pin(stream::pending()),
        Err(error) => return Err(error.into()),
    };
    let printed = printed.map(Some).chain(stream::once(std::future::ready(None)));
    let both = stream::select(printed, notes.map(Some));
    Ok(both.take_while(|line| std::future::ready(line.is_some())).filter_map(std::future::ready))
}

fn event_line(event: &Event) -> Option<FrameLogLine> {
    let text = match &event.what {
        EventKind::FrameNote { text, .. } => text.clone(),
        EventKind::FrameMoved { from, to, reason: None } => format!("{from} -> {to}"),
        EventKind::FrameMoved { from, to, reason: Some(reason) } => format!("{from} -> {to}: {reason}"),
        _ => return None,
    };
    Some(FrameLogLine { at: event.at, source: "gateway".into(), text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(at: u64, text: &str) -> FrameLogLine {
        FrameLogLine { at, source: "frame".into(), text: text.into() }
    }

    #[test]
    fn lines_and_notes_come_by_time_and_the_tail_counts_both() {
        let merged =
            merge(vec![line(1, "a"), line(3, "c"), line(3, "d")], vec![line(2, "b"), line(4, "e")], Some(4));
        let texts: String = merged.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(texts, "bcde");
    }
}
