//! The routes of messages and conversations.

use std::time::Duration;

use hyper::Method;

use super::error::ClientError;
use super::http::{Call, ask_whole};
use super::routes::{GatewayClient, path, query_of, with_body};
use mimir_model::wire::messages::{EditMessage, MessageView, SendMessage, SessionDetails, SessionSummary};
use mimir_model::wire::sessions::{ChangeSession, ForkSession, SearchHit, SessionAborted};

/// A frame that is woken for something may take that long.
const WAKES: Duration = Duration::from_secs(240);
/// And a model that sums up, longer.
const SUMS_UP: Duration = Duration::from_secs(900);

/// What is looked for.
#[derive(Clone, Debug, Default)]
pub struct SearchFor {
    /// As a person types it.
    pub words: String,
    /// Only of this frame.
    pub frame: Option<String>,
    /// Only in this conversation.
    pub session: Option<String>,
    /// `user` or `assistant`.
    pub role: Option<&'static str>,
    /// Not before (UTC ms).
    pub since: Option<u64>,
    /// How many at most.
    pub limit: u32,
}

impl GatewayClient {
    /// `POST /v1/messages`: the same `key` gives the same message.
    pub async fn send(&self, message: &SendMessage, key: &str) -> Result<MessageView, ClientError> {
        let call =
            with_body(Call::new(Method::POST, "/v1/messages"), message)?.header("idempotency-key", key);
        self.json(call).await.map(|(_, value)| value)
    }

    /// `POST /v1/messages`, for some seconds again and again when the gateway goes away in between: the key makes a repeat
    /// harmless. One elsewhere that cannot be reached is not waited for.
    pub async fn send_surely(&self, message: &SendMessage, key: &str) -> Result<MessageView, ClientError> {
        let mut tries = 0;
        loop {
            match self.send(message, key).await {
                Err(ClientError::Lost { .. } | ClientError::NoGateway { .. }) if tries < 20 => {
                    tries += 1;
                    tokio::time::sleep(Duration::from_millis(250)).await;
                }
                other => return other,
            }
        }
    }

    /// `GET /v1/messages/{id}`
    pub async fn message(&self, id: &str) -> Result<MessageView, ClientError> {
        self.get(path(&["v1", "messages", id])).await
    }

    /// `GET /v1/messages?open=true`: what waits and what runs, in the order in which it goes.
    pub async fn queue(
        &self,
        frame: Option<&str>,
        session: Option<&str>,
    ) -> Result<Vec<MessageView>, ClientError> {
        let mut query = query_of("/v1/messages?");
        query.append_pair("open", "true");
        frame.map(|frame| query.append_pair("frame", frame));
        session.map(|session| query.append_pair("session", session));
        self.get(query.finish()).await
    }

    /// `GET /v1/messages?session=`: all of a conversation, newest first.
    pub async fn messages(&self, session: &str) -> Result<Vec<MessageView>, ClientError> {
        let mut query = query_of("/v1/messages?");
        query.append_pair("session", session);
        self.get(query.finish()).await
    }

    /// `PATCH /v1/messages/{id}`
    pub async fn edit(&self, id: &str, edit: &EditMessage) -> Result<MessageView, ClientError> {
        let call = with_body(Call::new(Method::PATCH, path(&["v1", "messages", id])), edit)?;
        self.json(call).await.map(|(_, value)| value)
    }

    /// `POST /v1/messages/{id}/cancel`: as it stands after a moment.
    pub async fn cancel(&self, id: &str) -> Result<MessageView, ClientError> {
        let call = Call::new(Method::POST, path(&["v1", "messages", id, "cancel"]));
        self.json(call.within(Duration::from_secs(30))).await.map(|(_, value)| value)
    }

    /// `GET /v1/sessions`, of one frame or of all.
    pub async fn sessions(&self, frame: Option<&str>) -> Result<Vec<SessionSummary>, ClientError> {
        let query = frame.map(|frame| {
            url::form_urlencoded::Serializer::new("?".to_owned()).append_pair("frame", frame).finish()
        });
        self.get(format!("/v1/sessions{}", query.unwrap_or_default())).await
    }

    /// `GET /v1/sessions/{id}`: by an id, a title or `last`, among those of a frame or all.
    pub async fn session(&self, id: &str, frame: Option<&str>) -> Result<SessionDetails, ClientError> {
        self.get(of_session(id, "", frame)).await
    }

    /// `GET /v1/sessions/{id}/export`
    pub async fn export_session(
        &self,
        id: &str,
        frame: Option<&str>,
        format: &str,
    ) -> Result<bytes::Bytes, ClientError> {
        let mut path = of_session(id, "export", frame);
        path.push_str(if frame.is_some() { "&format=" } else { "?format=" });
        path.push_str(format);
        ask_whole(&self.place, Call::new(Method::GET, path)).await.map(|(_, body)| body)
    }

    /// `PATCH /v1/sessions/{id}`
    pub async fn rename_session(
        &self,
        id: &str,
        frame: Option<&str>,
        change: &ChangeSession,
    ) -> Result<SessionSummary, ClientError> {
        let call = with_body(Call::new(Method::PATCH, of_session(id, "", frame)), change)?;
        self.json(call).await.map(|(_, value)| value)
    }

    /// `POST /v1/sessions/{id}/fork`: wakes the frame.
    pub async fn fork_session(
        &self,
        id: &str,
        frame: Option<&str>,
        wish: &ForkSession,
    ) -> Result<SessionSummary, ClientError> {
        let call = with_body(Call::new(Method::POST, of_session(id, "fork", frame)), wish)?;
        self.json(call.within(WAKES)).await.map(|(_, value)| value)
    }

    /// `POST /v1/sessions/{id}/compact`: answers when the model has summed up.
    pub async fn compact_session(
        &self,
        id: &str,
        frame: Option<&str>,
    ) -> Result<SessionSummary, ClientError> {
        let call = Call::new(Method::POST, of_session(id, "compact", frame)).within(SUMS_UP);
        self.json(call).await.map(|(_, value)| value)
    }

    /// `POST /v1/sessions/{id}/abort`
    pub async fn abort_session(&self, id: &str, frame: Option<&str>) -> Result<SessionAborted, ClientError> {
        let call = Call::new(Method::POST, of_session(id, "abort", frame)).within(Duration::from_secs(60));
        self.json(call).await.map(|(_, value)| value)
    }

    /// `DELETE /v1/sessions/{id}`: wakes the frame.
    pub async fn delete_session(&self, id: &str) -> Result<SessionSummary, ClientError> {
        let call = Call::new(Method::DELETE, of_session(id, "", None)).within(WAKES);
        self.json(call).await.map(|(_, value)| value)
    }

    /// `GET /v1/search`
    pub async fn search(&self, wanted: &SearchFor) -> Result<Vec<SearchHit>, ClientError> {
        let mut query = url::form_urlencoded::Serializer::new("/v1/search?".to_owned());
        query.append_pair("q", &wanted.words).append_pair("limit", &wanted.limit.to_string());
        let since = wanted.since.map(|since| since.to_string());
        let more = [
            ("frame", wanted.frame.as_deref()),
            ("session", wanted.session.as_deref()),
            ("role", wanted.role),
            ("since", since.as_deref()),
        ];
        for (name, value) in more {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        self.get(query.finish()).await
    }
}

/// The path of a conversation, or of one of its verbs.
fn of_session(id: &str, verb: &str, frame: Option<&str>) -> String {
    let mut text = path(&["v1", "sessions", id]);
    if !verb.is_empty() {
        text.push('/');
        text.push_str(verb);
    }
    match frame {
        Some(frame) => url::form_urlencoded::Serializer::new(text + "?").append_pair("frame", frame).finish(),
        None => text,
    }
}
