//! One HTTP exchange with the gateway.
//!
//! Every exchange has its own connection: it costs some microseconds, and an
//! exchange that hangs or breaks never harms another.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::error::ClientError;
use super::place::Place;
use mimir_model::wire::problem::Problem;

/// No answer of the gateway is larger, streams aside.
const LARGEST_ANSWER: usize = 64 << 20;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: Method,
    pub path: String,
    pub body: Option<Vec<u8>>,
    pub headers: Vec<(&'static str, String)>,
    /// Until the head of the answer, and for answers that are no stream, until its end.
    pub deadline: Duration,
}

impl Call {
    /// A call with the usual deadline.
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), body: None, headers: Vec::new(), deadline: Duration::from_secs(30) }
    }

    /// Adds a header.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Gives it more (or less) time.
    pub fn within(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// For error messages: what we were doing.
    pub fn action(&self) -> String {
        format!("{} {}", self.method, self.path.split('?').next().unwrap_or_default())
    }
}

/// The head of an answer, and its body as it comes.
pub struct Answer {
    pub status: StatusCode,
    pub body: Incoming,
    /// Drives the connection; ends with the answer.
    pub driver: JoinSet<()>,
    pub action: String,
}

/// Asks, and returns when the head of the answer is there. A refusal is an error.
pub async fn ask(place: &Place, call: Call) -> Result<Answer, ClientError> {
    let action = call.action();
    let seconds = call.deadline.as_secs();
    let answer = timeout(call.deadline, exchange(place, call))
        .await
        .map_err(|_| ClientError::TimedOut { action: action.clone(), seconds })??;
    if answer.status.is_success() {
        return Ok(answer);
    }
    let status = answer.status;
    let body = read_all(answer, Duration::from_secs(10)).await?;
    Err(ClientError::Refused(Box::new(problem_of(status, &body, &action))))
}

/// Asks, and reads the whole answer.
pub async fn ask_whole(place: &Place, call: Call) -> Result<(StatusCode, Bytes), ClientError> {
    let deadline = call.deadline;
    let answer = ask(place, call).await?;
    let status = answer.status;
    Ok((status, read_all(answer, deadline).await?))
}

async fn exchange(place: &Place, call: Call) -> Result<Answer, ClientError> {
    let action = call.action();
    let lost =
        |error: &dyn std::fmt::Display| ClientError::Lost { action: action.clone(), why: error.to_string() };
    let stream = place.connect().await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| lost(&error))?;
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        // How it ended shows in the body.
        let _ = connection.await;
    });

    let mut request = Request::builder().method(call.method).uri(&call.path).header("host", place.host());
    if let Some(authorization) = place.authorization() {
        request = request.header("authorization", authorization);
    }
    for (name, value) in &call.headers {
        request = request.header(*name, value);
    }
    if call.body.is_some() {
        request = request.header("content-type", "application/json");
    }
    let request =
        request.body(Full::new(Bytes::from(call.body.unwrap_or_default()))).map_err(|error| lost(&error))?;
    let response: Response<Incoming> = sender.send_request(request).await.map_err(|error| lost(&error))?;
    Ok(Answer { status: response.status(), body: response.into_body(), driver, action })
}

async fn read_all(answer: Answer, deadline: Duration) -> Result<Bytes, ClientError> {
    let Answer { body, driver: _driver, action, .. } = answer;
    match timeout(deadline, Limited::new(body, LARGEST_ANSWER).collect()).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) => Err(ClientError::Lost { action, why: error.to_string() }),
        Err(_) => Err(ClientError::TimedOut { action, seconds: deadline.as_secs() }),
    }
}

/// A refusal's body as a problem, whatever it is.
pub fn problem_of(status: StatusCode, body: &[u8], action: &str) -> Problem {
    serde_json::from_slice::<Problem>(body).unwrap_or_else(|_| {
        let text: String = String::from_utf8_lossy(body).trim().chars().take(400).collect();
        let problem = Problem::new(
            status.as_u16(),
            "gateway.unexplained",
            format!("the gateway answered {action} with {status} and no explanation"),
        )
        .hint("the gateway may be another version: `mimir serve --stop`, then run the command again");
        if text.is_empty() { problem } else { problem.detail(text) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_without_a_problem_still_explains_itself() {
        let problem = problem_of(StatusCode::BAD_GATEWAY, b"<html>oh</html>", "GET /v1/frames");
        assert_eq!(problem.status, 502);
        assert!(problem.title.contains("GET /v1/frames"), "{}", problem.title);
        assert_eq!(problem.detail.as_deref(), Some("<html>oh</html>"));
    }
}
