//! Conversations: reading them, finding what was said, and what can be done to them.
//!
//! `{id}` is an id of mimir's or of opencode's, how an id begins, a title, or `last`; `?frame=` says among whose.
//! A word that fits several is refused.

use axum::Json;
use axum::extract::{FromRef, FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use crate::delivery::Delivery;
use crate::gateway::extract::{Caller, JsonBody, QueryParams, frame_name};
use crate::gateway::history;
use crate::gateway::problem::{Answer, Reply};
use crate::gateway::refusals;
use crate::model::agent::Role;
use crate::model::message::{DeliveryState, Session, SessionTitle};
use crate::model::names::FrameName;
use crate::sessions::{Sessions, export};
use crate::store::search::Wanted;
use crate::store::{self, Store, StoreError};
use crate::wire::messages::{SessionDetails, SessionSummary};
use crate::wire::sessions::{ChangeSession, ForkSession, SearchHit, SessionAborted};

routes! {
    get "/v1/sessions" Read Query => list;
    get "/v1/sessions/{id}" Read Session => show;
    patch "/v1/sessions/{id}" Send Session => rename;
    delete "/v1/sessions/{id}" Send Session => delete;
    get "/v1/sessions/{id}/export" Read Session => export;
    post "/v1/sessions/{id}/fork" Send Session => fork;
    post "/v1/sessions/{id}/compact" Send Session => compact;
    post "/v1/sessions/{id}/abort" Send Session => abort;
    get "/v1/search" Read Query => search;
}

/// How many places a search shows at most.
const FOUND: u32 = 200;

/// Which conversations.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SessionQuery {
    /// Only of this frame, by name; also of one that is gone.
    pub frame: Option<String>,
}

impl SessionQuery {
    fn frame(&self) -> Answer<Option<FrameName>> {
        self.frame.as_deref().map(frame_name).transpose()
    }
}

/// The conversation that `{id}` and `?frame=` of a request mean.
pub struct Meant(Session);

impl<S> FromRequestParts<S> for Meant
where
    S: Send + Sync,
    Sessions: FromRef<S>,
{
    type Rejection = Reply;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Reply> {
        let id = Path::<String>::from_request_parts(parts, state).await;
        let Path(id) = id.map_err(|error| Reply(refusals::of_status(error.status())))?;
        let QueryParams(query) = QueryParams::<SessionQuery>::from_request_parts(parts, state).await?;
        Ok(Self(Sessions::from_ref(state).named(&id, query.frame()?).await?))
    }
}

/// In which form a conversation is wanted.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ExportQuery {
    /// `json` (the default) or `markdown`.
    #[param(inline)]
    pub format: Option<ExportFormat>,
}

/// A form of a conversation.
#[derive(Clone, Copy, Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExportFormat {
    /// Everything, for programs.
    #[default]
    Json,
    /// For people.
    Markdown,
    /// The same.
    Md,
}

/// What is looked for.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SearchQuery {
    /// Words that must all be there; `"words together"`, `begin*`, `-without`, `this OR that`. Where no word must be
    /// there, nothing is found.
    #[param(max_length = 1000)]
    pub q: String,
    /// Only of this frame, by name; also of one that is gone.
    pub frame: Option<String>,
    /// Only in this conversation.
    pub session: Option<String>,
    /// `user` or `assistant`.
    #[param(inline)]
    pub role: Option<Author>,
    /// Not before (UTC ms).
    pub since: Option<u64>,
    /// Before (UTC ms).
    pub until: Option<u64>,
    /// How many at most: 20 when absent, never more than 200.
    pub limit: Option<u32>,
}

/// Who wrote a message.
#[derive(Clone, Copy, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Author {
    /// A person, or what acts for one.
    User,
    /// The agent.
    Assistant,
}

/// Conversations, last used first.
#[utoipa::path(get, path = "/v1/sessions", tag = "sessions", params(SessionQuery),
    responses((status = 200, body = Vec<SessionSummary>)))]
pub async fn list(
    State(sessions): State<Sessions>,
    QueryParams(query): QueryParams<SessionQuery>,
) -> Answer<Json<Vec<SessionSummary>>> {
    let found = sessions.list(query.frame()?).await?;
    Ok(Json(found.into_iter().map(|(session, messages)| history::session(session, messages)).collect()))
}

/// Messages in which something was said, of all conversations there ever were, the best first.
#[utoipa::path(get, path = "/v1/search", tag = "sessions", params(SearchQuery),
    responses((status = 200, body = Vec<SearchHit>)))]
pub async fn search(
    State(sessions): State<Sessions>,
    QueryParams(query): QueryParams<SearchQuery>,
) -> Answer<Json<Vec<SearchHit>>> {
    let frame = query.frame.as_deref().map(frame_name).transpose()?;
    let role = query.role.map(|author| match author {
        Author::User => Role::User,
        Author::Assistant => Role::Assistant,
    });
    let session = match query.session.as_deref() {
        Some(word) => Some(sessions.named(word, frame.clone()).await?.id),
        None => None,
    };
    let within = Wanted {
        expression: String::new(),
        frame,
        session,
        role,
        since: query.since,
        until: query.until,
        limit: query.limit.unwrap_or(20).clamp(1, FOUND),
    };
    let found = sessions.search(&query.q, within).await?;
    Ok(Json(found.into_iter().map(history::found).collect()))
}

/// A conversation with everything that was said.
#[utoipa::path(get, path = "/v1/sessions/{id}", tag = "sessions", params(("id" = String, Path), SessionQuery),
    responses((status = 200, body = SessionDetails)))]
pub async fn show(State(sessions): State<Sessions>, Meant(session): Meant) -> Answer<Json<SessionDetails>> {
    Ok(Json(history::details(sessions.read(&session.id).await?)))
}

/// A conversation as a document: JSON with everything, or Markdown for people.
#[utoipa::path(get, path = "/v1/sessions/{id}/export", tag = "sessions",
    params(("id" = String, Path), ExportQuery, SessionQuery),
    responses((status = 200, content((SessionDetails = "application/json"), (String = "text/markdown")))))]
pub async fn export(
    State(sessions): State<Sessions>,
    Meant(session): Meant,
    QueryParams(query): QueryParams<ExportQuery>,
) -> Answer<Response> {
    let read = sessions.read(&session.id).await?;
    match query.format.unwrap_or_default() {
        ExportFormat::Json => Ok(Json(history::details(read)).into_response()),
        ExportFormat::Markdown | ExportFormat::Md => {
            let media = HeaderValue::from_static("text/markdown; charset=utf-8");
            Ok(([(header::CONTENT_TYPE, media)], export::markdown(&read))
                .into_response())
        }
    }
}

/// Gives a conversation another title.
#[utoipa::path(patch, path = "/v1/sessions/{id}", tag = "sessions", request_body = ChangeSession,
    params(("id" = String, Path), SessionQuery),
    responses((status = 200, body = SessionSummary)))]
pub async fn rename(
    State(sessions): State<Sessions>, State(store): State<Store>,
    Caller(principal): Caller,
    Meant(session): Meant,
    JsonBody(change): JsonBody<ChangeSession>,
) -> Answer<Json<SessionSummary>> {
    let title = SessionTitle::parse(&change.title)?;
    let session = sessions.rename(&principal, &session.id, title).await?;
    summary(&store, session).await
}

/// Deletes a conversation with everything that was said in it; the frame is woken when its agent has to forget it
/// too. What it cost stays in the books.
#[utoipa::path(delete, path = "/v1/sessions/{id}", tag = "sessions", params(("id" = String, Path), SessionQuery),
    responses((status = 200, body = SessionSummary)))]
pub async fn delete(
    State(sessions): State<Sessions>,
    Caller(principal): Caller,
    Meant(session): Meant,
) -> Answer<Json<SessionSummary>> {
    let gone = sessions.delete(&principal, &session.id).await?;
    Ok(Json(history::session(gone, 0)))
}

/// Splits a conversation: a new one that begins with what was said so far. Wakes the frame.
#[utoipa::path(post, path = "/v1/sessions/{id}/fork", tag = "sessions", request_body = ForkSession,
    params(("id" = String, Path), SessionQuery),
    responses((status = 201, body = SessionSummary)))]
pub async fn fork(
    State(sessions): State<Sessions>, State(store): State<Store>,
    Caller(principal): Caller,
    Meant(session): Meant,
    JsonBody(wish): JsonBody<ForkSession>,
) -> Answer<(StatusCode, Json<SessionSummary>)> {
    let title = wish.title.as_deref().map(SessionTitle::parse).transpose()?;
    let made = sessions.fork(&principal, &session.id, wish.before.as_deref(), title).await?;
    Ok((StatusCode::CREATED, summary(&store, made).await?))
}

/// Lets the model sum up a conversation, so that it fits its context again. Answers when it is done. Wakes the frame.
#[utoipa::path(post, path = "/v1/sessions/{id}/compact", tag = "sessions",
    params(("id" = String, Path), SessionQuery),
    responses((status = 200, body = SessionSummary)))]
pub async fn compact(
    State(sessions): State<Sessions>, State(store): State<Store>,
    Caller(principal): Caller,
    Meant(session): Meant,
) -> Answer<Json<SessionSummary>> {
    let session = sessions.compact(&principal, &session.id).await?;
    summary(&store, session).await
}

/// Stops what a conversation does, whoever began it. Messages that wait behind it are sent next.
#[utoipa::path(post, path = "/v1/sessions/{id}/abort", tag = "sessions",
    params(("id" = String, Path), SessionQuery),
    responses((status = 200, body = SessionAborted)))]
pub async fn abort(
    State(sessions): State<Sessions>, State(delivery): State<Delivery>, State(store): State<Store>,
    Caller(principal): Caller,
    Meant(session): Meant,
) -> Answer<Json<SessionAborted>> {
    let wanted = session.id.clone();
    let sent = store.read(move |db| store::messages::of_session(db, &wanted)).await?;
    let open = sent.into_iter().filter(|message| !message.state.is_final());
    let (waiting, running): (Vec<_>, Vec<_>) =
        open.partition(|message| message.state == DeliveryState::Queued);
    let ours = running.into_iter().next().map(|message| message.id);
    let stopped = match &ours {
        Some(id) => {
            delivery.cancel(&principal, id).await?;
            true
        }
        None => sessions.abort(&principal, &session.id).await?,
    };
    let message = ours.map(|id| id.to_string());
    Ok(Json(SessionAborted { stopped, message, waiting: waiting.len() as u64 }))
}

async fn summary(store: &Store, session: Session) -> Answer<Json<SessionSummary>> {
    let id = session.id.clone();
    let read = store.read(move |db| store::sessions::written(db, &id));
    let written = read.await.map_err(|error: StoreError| Reply::from(error))?;
    Ok(Json(history::session(session, written)))
}
