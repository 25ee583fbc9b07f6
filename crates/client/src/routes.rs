//! A gateway, and its routes of frames, approvals, events and images. Those of other nouns stand in their own files.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::ClientError;
use super::events::{EventFilter, Follow};
use super::http::{Call, ask, ask_whole};
use super::lines::JsonLines;
use super::place::{Place, Remote};
use super::terminal::{self, TerminalInput, TerminalOutputs};
use mimir_model::wire::approvals::{AnswerApproval, ApprovalView};
use mimir_model::wire::config::RunningConfig;
use mimir_model::wire::doctor::Check;
use mimir_model::wire::frames::{
    AllowFrame, ConnectFrame, CreateFrame, DenyFrame, FrameDetails, FrameLogLine, FrameNetwork, FrameNote,
    FrameStats, FrameSummary, Leftover, MoveFrame, UpgradeFrame, UpgradedFrame,
};
use mimir_model::wire::images::{BuildImage, BuildLine, ImageView};
use mimir_model::wire::messages::{ExplainRoute, RouteView};
use mimir_model::wire::status::{Health, Status};
use mimir_model::wire::terminal::TerminalQuery;

/// Added to what the gateway was told to wait, before we stop believing in an answer.
const GRACE: Duration = Duration::from_secs(15);

/// What to ask of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum FrameVerb {
    /// Run it.
    Start,
    /// Stop it.
    Stop,
    /// Stop it and run it again.
    Restart,
    /// Freeze it.
    Pause,
    /// Let it go on.
    Resume,
}

impl FrameVerb {
    /// The word in the path.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// An answer to something that takes time.
#[derive(Clone, Debug, PartialEq)]
pub enum Reached<T> {
    /// It is done.
    Yes(T),
    /// It was asked for and goes on.
    NotYet(T),
}

/// A gateway, by where it is.
#[derive(Clone, Debug)]
pub struct GatewayClient {
    pub(super) place: Place,
}

impl GatewayClient {
    /// The gateway of this machine that listens there, or will.
    #[must_use]
    pub fn new(socket: PathBuf) -> Self {
        Self { place: Place::Socket(socket) }
    }

    /// A gateway elsewhere.
    #[must_use]
    pub fn remote(remote: Remote) -> Self {
        Self { place: Place::Remote(Arc::new(remote)) }
    }

    /// Whether it is elsewhere.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        matches!(self.place, Place::Remote(_))
    }

    pub(super) async fn json<T: DeserializeOwned>(&self, call: Call) -> Result<(StatusCode, T), ClientError> {
        let action = call.action();
        let (status, body) = ask_whole(&self.place, call).await?;
        serde_json::from_slice(&body)
            .map(|value| (status, value))
            .map_err(|error| ClientError::Garbled { action, why: error.to_string() })
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: String) -> Result<T, ClientError> {
        self.json(Call::new(Method::GET, path)).await.map(|(_, value)| value)
    }

    async fn stream<T: DeserializeOwned>(&self, call: Call) -> Result<JsonLines<T>, ClientError> {
        Ok(JsonLines::new(ask(&self.place, call).await?))
    }

    /// `GET /health`
    ///
    /// # Errors
    /// See [`ClientError`]; the same holds for every method below.
    pub async fn health(&self) -> Result<Health, ClientError> {
        let call = Call::new(Method::GET, "/health").within(Duration::from_secs(5));
        self.json(call).await.map(|(_, value)| value)
    }

    /// `GET /v1/status`
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.get("/v1/status".to_owned()).await
    }

    /// `GET /v1/config`
    pub async fn config(&self) -> Result<RunningConfig, ClientError> {
        self.get("/v1/config".to_owned()).await
    }

    /// `GET /v1/doctor`: the checks as they finish.
    pub async fn doctor(&self) -> Result<JsonLines<Check>, ClientError> {
        self.stream(Call::new(Method::GET, "/v1/doctor")).await
    }

    /// `POST /v1/stop`: frames go on.
    pub async fn stop(&self) -> Result<(), ClientError> {
        ask_whole(&self.place, Call::new(Method::POST, "/v1/stop").within(Duration::from_secs(5)))
            .await
            .map(|_| ())
    }

    /// `POST /v1/frames`
    pub async fn create_frame(&self, frame: &CreateFrame) -> Result<FrameSummary, ClientError> {
        let call = with_body(Call::new(Method::POST, "/v1/frames"), frame)?.within(Duration::from_secs(60));
        self.json(call).await.map(|(_, value)| value)
    }

    /// `POST /v1/frames/{name}/connect`
    pub async fn connect_frame(
        &self,
        name: &str,
        server: &ConnectFrame,
    ) -> Result<FrameSummary, ClientError> {
        let path = path(&["v1", "frames", name, "connect"]);
        let call = with_body(Call::new(Method::POST, path), server)?;
        self.json(call.within(Duration::from_secs(60))).await.map(|(_, value)| value)
    }

    /// `POST /v1/frames/{name}/move`
    pub async fn move_frame(&self, name: &str, to: &MoveFrame) -> Result<FrameSummary, ClientError> {
        let call = with_body(Call::new(Method::POST, path(&["v1", "frames", name, "move"])), to)?;
        self.json(call).await.map(|(_, value)| value)
    }

    /// `GET /v1/frames/{name}/network`
    pub async fn network(&self, name: &str) -> Result<FrameNetwork, ClientError> {
        self.get(path(&["v1", "frames", name, "network"])).await
    }

    /// `POST /v1/frames/{name}/route`
    pub async fn explain_route(&self, name: &str, message: &ExplainRoute) -> Result<RouteView, ClientError> {
        let call = with_body(Call::new(Method::POST, path(&["v1", "frames", name, "route"])), message)?;
        self.json(call).await.map(|(_, value)| value)
    }

    /// `POST /v1/frames/{name}/allow`
    pub async fn allow_frame(&self, name: &str, what: &AllowFrame) -> Result<FrameNetwork, ClientError> {
        let call = with_body(Call::new(Method::POST, path(&["v1", "frames", name, "allow"])), what)?;
        self.json(call).await.map(|(_, value)| value)
    }

    /// `POST /v1/frames/{name}/deny`
    pub async fn deny_frame(&self, name: &str, what: &DenyFrame) -> Result<FrameNetwork, ClientError> {
        let call = with_body(Call::new(Method::POST, path(&["v1", "frames", name, "deny"])), what)?;
        self.json(call).await.map(|(_, value)| value)
    }

    /// `POST /v1/frames/{name}/upgrade`
    pub async fn upgrade_frame(
        &self,
        name: &str,
        request: UpgradeFrame,
    ) -> Result<UpgradedFrame, ClientError> {
        let call = with_body(Call::new(Method::POST, path(&["v1", "frames", name, "upgrade"])), &request)?;
        self.json(call).await.map(|(_, value)| value)
    }

    /// `POST /v1/frames/{name}/disconnect`
    pub async fn disconnect_frame(&self, name: &str, wait: Duration) -> Result<Reached<()>, ClientError> {
        let path = format!("{}?wait={}", path(&["v1", "frames", name, "disconnect"]), wait.as_secs());
        let (status, _) = ask_whole(&self.place, Call::new(Method::POST, path).within(wait + GRACE)).await?;
        Ok(if status == StatusCode::ACCEPTED { Reached::NotYet(()) } else { Reached::Yes(()) })
    }

    /// `GET /v1/frames`
    pub async fn frames(&self) -> Result<Vec<FrameSummary>, ClientError> {
        self.get("/v1/frames".to_owned()).await
    }

    /// `GET /v1/frames/{name}`
    pub async fn frame(&self, name: &str) -> Result<FrameDetails, ClientError> {
        self.get(path(&["v1", "frames", name])).await
    }

    /// `POST /v1/frames/{name}/{verb}`
    pub async fn ask_frame(
        &self,
        name: &str,
        verb: FrameVerb,
        wait: Duration,
    ) -> Result<Reached<FrameSummary>, ClientError> {
        let path = format!("{}?wait={}", path(&["v1", "frames", name, verb.as_str()]), wait.as_secs());
        let call = Call::new(Method::POST, path).within(wait + GRACE);
        let (status, frame) = self.json(call).await?;
        Ok(if status == StatusCode::ACCEPTED { Reached::NotYet(frame) } else { Reached::Yes(frame) })
    }

    /// `DELETE /v1/frames/{name}`
    pub async fn destroy_frame(&self, name: &str, wait: Duration) -> Result<Reached<()>, ClientError> {
        let path = format!("{}?wait={}", path(&["v1", "frames", name]), wait.as_secs());
        let (status, _) =
            ask_whole(&self.place, Call::new(Method::DELETE, path).within(wait + GRACE)).await?;
        Ok(if status == StatusCode::ACCEPTED { Reached::NotYet(()) } else { Reached::Yes(()) })
    }

    /// `GET /v1/frames/{name}/logs`
    pub async fn logs(
        &self,
        name: &str,
        follow: bool,
        since_ms: Option<u64>,
        tail: Option<u32>,
    ) -> Result<JsonLines<FrameLogLine>, ClientError> {
        let mut query = vec![format!("follow={follow}")];
        query.extend(since_ms.map(|since| format!("since_ms={since}")));
        query.extend(tail.map(|tail| format!("tail={tail}")));
        let path = format!("{}?{}", path(&["v1", "frames", name, "logs"]), query.join("&"));
        self.stream(Call::new(Method::GET, path)).await
    }

    /// `GET /v1/frames/{name}/stats`
    pub async fn stats(&self, name: &str) -> Result<FrameStats, ClientError> {
        self.get(path(&["v1", "frames", name, "stats"])).await
    }

    /// `GET /v1/frames/{name}/notes`
    pub async fn notes(&self, name: &str) -> Result<Vec<FrameNote>, ClientError> {
        self.get(path(&["v1", "frames", name, "notes"])).await
    }

    /// `GET /v1/frames/{name}/terminal`
    pub async fn terminal(
        &self,
        name: &str,
        query: &TerminalQuery,
    ) -> Result<(TerminalInput, TerminalOutputs), ClientError> {
        terminal::open(&self.place, &path(&["v1", "frames", name, "terminal"]), query).await
    }

    /// `GET /v1/gc`: what is left over.
    pub async fn leftovers(&self) -> Result<Vec<Leftover>, ClientError> {
        self.get("/v1/gc".to_owned()).await
    }

    /// `POST /v1/gc`: removes what is left over.
    pub async fn gc(&self) -> Result<Vec<Leftover>, ClientError> {
        let call = Call::new(Method::POST, "/v1/gc").within(Duration::from_secs(300));
        self.json(call).await.map(|(_, value)| value)
    }

    /// `GET /v1/approvals`, of one frame or of all; also those that are over.
    pub async fn approvals(&self, frame: Option<&str>, all: bool) -> Result<Vec<ApprovalView>, ClientError> {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("all", if all { "true" } else { "false" });
        if let Some(frame) = frame {
            query.append_pair("frame", frame);
        }
        self.get(format!("/v1/approvals?{}", query.finish())).await
    }

    /// `GET /v1/approvals/{id}`
    pub async fn approval(&self, id: &str) -> Result<ApprovalView, ClientError> {
        self.get(path(&["v1", "approvals", id])).await
    }

    /// `POST /v1/approvals/{id}/answer`
    pub async fn answer_approval(
        &self,
        id: &str,
        answer: &AnswerApproval,
    ) -> Result<ApprovalView, ClientError> {
        let call = Call::new(Method::POST, path(&["v1", "approvals", id, "answer"]));
        self.json(with_body(call, answer)?).await.map(|(_, value)| value)
    }

    /// `GET /v1/events`, from `after` on; from now on when there is none.
    #[must_use]
    pub fn follow(&self, filter: EventFilter, after: Option<u64>) -> Follow {
        Follow::new(self.place.clone(), filter, after)
    }

    /// `GET /v1/images`
    pub async fn images(&self) -> Result<Vec<ImageView>, ClientError> {
        self.get("/v1/images".to_owned()).await
    }

    /// `POST /v1/images/build`: its progress, line by line.
    pub async fn build_image(&self, build: &BuildImage) -> Result<JsonLines<BuildLine>, ClientError> {
        self.stream(with_body(Call::new(Method::POST, "/v1/images/build"), build)?).await
    }
}

pub(super) fn with_body<T: Serialize>(mut call: Call, body: &T) -> Result<Call, ClientError> {
    let bytes = serde_json::to_vec(body)
        .map_err(|error| ClientError::Garbled { action: call.action(), why: error.to_string() })?;
    call.body = Some(bytes);
    Ok(call)
}

/// A path to which pairs are appended.
pub(super) fn query_of(path: &str) -> url::form_urlencoded::Serializer<'static, String> {
    url::form_urlencoded::Serializer::for_suffix(path.to_owned(), path.len())
}

/// Joins the parts of a path; whatever a part holds stays one part.
pub(super) fn path(parts: &[&str]) -> String {
    let mut path = String::new();
    for part in parts {
        path.push('/');
        for byte in part.bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~') {
                path.push(char::from(byte));
            } else {
                path.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_path_cannot_become_two() {
        assert_eq!(path(&["v1", "frames", "my-api", "start"]), "/v1/frames/my-api/start");
        assert_eq!(path(&["v1", "frames", "../x?y#z ü"]), "/v1/frames/%2E%2E%2Fx%3Fy%23z%20%C3%BC");
    }
}
