//! Conversations.

use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;

use crate::gateway::extract::{Asked, frame_name};
use crate::gateway::problem::{Answer, Reply};
use crate::gateway::state::Services;
use crate::gateway::views;
use crate::model::ids::SessionId;
use crate::store::{self, StoreError};
use crate::wire::messages::{SessionDetails, SessionSummary};
use crate::wire::problem::Problem;

/// Which conversations.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
pub struct SessionQuery {
    /// Only of this frame, by name; also of one that is gone.
    pub frame: Option<String>,
}

/// Conversations, last used first.
#[utoipa::path(get, path = "/v1/sessions", tag = "sessions", params(SessionQuery),
    responses((status = 200, body = Vec<SessionSummary>)))]
pub async fn list(
    State(services): State<Services>,
    Asked(query): Asked<SessionQuery>,
) -> Answer<Json<Vec<SessionSummary>>> {
    let frame = query.frame.as_deref().map(frame_name).transpose()?;
    let found = services.store.read(move |db| store::sessions::list(db, frame.as_ref())).await?;
    Ok(Json(found.into_iter().map(|(session, messages)| views::session(session, messages)).collect()))
}

/// A conversation with everything that was said.
#[utoipa::path(get, path = "/v1/sessions/{id}", tag = "sessions", params(("id" = String, Path)),
    responses((status = 200, body = SessionDetails), (status = 404, body = Problem)))]
pub async fn show(State(services): State<Services>, Path(id): Path<String>) -> Answer<Json<SessionDetails>> {
    let id = SessionId::parse(&id).map_err(|_| {
        Reply::not_found("session.not_found", format!("there is no session {id}"))
            .hint("`mimir sessions list` shows the sessions there are")
    })?;
    let read = services.store.read(move |db| {
        let session = store::sessions::get(db, &id)?;
        let messages = store::messages::of_session(db, &id)?.len() as u64;
        let turns = store::turns::of_session(db, &id)?;
        Ok::<_, StoreError>((session, messages, turns))
    });
    let (session, messages, turns) = read.await?;
    Ok(Json(SessionDetails {
        summary: views::session(session, messages),
        turns: turns.into_iter().map(views::turn).collect(),
    }))
}
