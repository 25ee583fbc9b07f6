//! Streams of one JSON object a line.

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::metrics::Counters;
use crate::wire::problem::{Problem, ProblemLine};

/// The media type.
pub const MEDIA_TYPE: &str = "application/x-ndjson";

/// An answer that goes out line by line and ends when the gateway stops.
/// A problem in the middle becomes the last line: `{"problem": …}`.
pub fn stream<T, S>(lines: S, counters: &Counters, stop: CancellationToken) -> Response
where
    T: Serialize + 'static,
    S: Stream<Item = Result<T, Problem>> + Send + 'static,
{
    let open = counters.stream_opened();
    let bytes = lines
        .take_until(stop.cancelled_owned())
        .map(|line| (line.is_err(), one_line(line)))
        .scan(false, |over, (failed, line)| {
            let was_over = std::mem::replace(over, failed);
            std::future::ready((!was_over).then_some(line))
        })
        .map(move |line| {
            let _counted_until_the_end = &open;
            Ok::<_, std::convert::Infallible>(line)
        });
    let mut response = Body::from_stream(bytes).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    response
}

fn one_line<T: Serialize>(line: Result<T, Problem>) -> Bytes {
    let text = match line {
        Ok(value) => serde_json::to_vec(&value),
        Err(problem) => serde_json::to_vec(&ProblemLine { problem }),
    };
    let mut text = text.unwrap_or_default();
    text.push(b'\n');
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    #[tokio::test]
    async fn a_problem_in_the_middle_is_the_last_line() {
        let lines =
            futures_util::stream::iter([Ok(1), Err(Problem::new(503, "engine.unreachable", "gone")), Ok(3)]);
        let response = stream(lines, &Counters::default(), CancellationToken::new());
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        let text = String::from_utf8(body.to_vec()).expect("text");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "1");
        assert!(lines[1].starts_with(r#"{"problem":{"code":"engine.unreachable""#), "{text}");
        assert_eq!(lines.len(), 2, "{text}");
    }

    #[tokio::test]
    async fn a_stream_that_never_ends_ends_with_the_gateway() {
        let stop = CancellationToken::new();
        let counters = Counters::default();
        let lines = futures_util::stream::pending::<Result<u8, Problem>>();
        let response = stream(lines, &counters, stop.clone());
        stop.cancel();
        let body =
            tokio::time::timeout(std::time::Duration::from_secs(5), response.into_body().collect()).await;
        assert!(body.expect("ends").expect("a body").to_bytes().is_empty());
    }
}
