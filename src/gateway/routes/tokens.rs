//! Tokens for clients elsewhere.

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};

use crate::access::{Access, TokenRequest};
use crate::clock::Clock;
use crate::gateway::extract::{Caller, JsonBody, Permissions};
use crate::gateway::problem::{Answer, Reply};
use crate::gateway::revocable::Revocable;
use crate::model::names::{FrameName, TokenName};
use crate::model::principal::Principal;
use crate::model::token::Token;
use crate::wire::tokens::{CreateToken, NewToken, TokenView, Whoami};

routes! {
    get "/v1/tokens" Admin All => list;
    post "/v1/tokens" Admin All => create;
    get "/v1/tokens/current" known NoFrame => current;
    delete "/v1/tokens/current" known NoFrame => give_back;
    delete "/v1/tokens/{id}" Admin All => revoke;
}

/// All tokens there ever were, without their secrets.
#[utoipa::path(get, path = "/v1/tokens", tag = "tokens", responses((status = 200, body = Vec<TokenView>)))]
pub async fn list(State(access): State<Access>, State(clock): State<Clock>) -> Answer<Json<Vec<TokenView>>> {
    let now = clock.now_ms();
    let tokens = access.list().await?;
    Ok(Json(tokens.into_iter().map(|token| view(token, now)).collect()))
}

/// Makes a token. Its secret is in this answer and never told again.
#[utoipa::path(post, path = "/v1/tokens", tag = "tokens", request_body = CreateToken,
    responses((status = 201, body = NewToken)))]
pub async fn create(
    State(access): State<Access>,
    State(clock): State<Clock>,
    Permissions(grant): Permissions,
    JsonBody(request): JsonBody<CreateToken>,
) -> Answer<(StatusCode, Json<NewToken>)> {
    let bad_name = |error: &dyn std::fmt::Display| {
        Reply::bad_request("token.name", error.to_string())
            .hint("for example `mimir token create ci --scope read`")
    };
    let name = request.name.as_deref().map(TokenName::parse).transpose().map_err(|error| bad_name(&error))?;
    let frames = request.frames.map(|names| names.iter().map(|name| FrameName::parse(name)).collect());
    let frames: Option<Vec<FrameName>> = frames.transpose().map_err(|error| bad_name(&error))?;
    let wish = TokenRequest {
        name,
        scopes: request.scopes.into_iter().collect(),
        frames,
        expires_at: request.expires_at,
    };
    let (token, secret) = access.create(&grant, wish).await?;
    let about = view(token, clock.now_ms());
    Ok((StatusCode::CREATED, Json(NewToken { token: secret.reveal().to_owned(), about })))
}

/// What the caller may do.
#[utoipa::path(get, path = "/v1/tokens/current", tag = "tokens", responses((status = 200, body = Whoami)))]
pub async fn current(Permissions(grant): Permissions) -> Json<Whoami> {
    Json(Whoami {
        principal: grant.principal.to_string(),
        scopes: grant.scopes.into(),
        frames: grant.frames.map(|frames| frames.into_iter().map(String::from).collect()),
    })
}

/// Gives back the token that the caller came in with: a browser leaves. What else it holds open ends at once.
#[utoipa::path(delete, path = "/v1/tokens/current", tag = "tokens",
    responses((status = 200, body = TokenView)))]
pub async fn give_back(
    State(access): State<Access>,
    State(clock): State<Clock>,
    Caller(principal): Caller,
    held: Option<Extension<Revocable>>,
) -> Answer<Response> {
    let name = match &principal {
        Principal::Token { name } if name != "home" => name.clone(),
        _ => {
            return Err(Reply::conflict(
                "token.not_kept",
                format!("{principal} came in without a token that can be given back"),
            )
            .hint("`mimir token list` shows those that can be taken back"));
        }
    };
    // This connection has the answer to carry; it ends with it.
    if let Some(Extension(held)) = held {
        held.hold(None);
    }
    let token = access.revoke(&principal, &name).await?;
    Ok(([(header::CONNECTION, "close")], Json(view(token, clock.now_ms()))).into_response())
}

/// Takes a token back, by name or id. What it holds open ends at once.
#[utoipa::path(delete, path = "/v1/tokens/{id}", tag = "tokens", params(("id" = String, Path)),
    responses((status = 200, body = TokenView)))]
pub async fn revoke(
    State(access): State<Access>,
    State(clock): State<Clock>,
    Caller(principal): Caller,
    Path(id): Path<String>,
) -> Answer<Json<TokenView>> {
    let token = access.revoke(&principal, &id).await?;
    Ok(Json(view(token, clock.now_ms())))
}

pub(super) fn view(token: Token, now_ms: u64) -> TokenView {
    TokenView {
        state: token.state(now_ms).as_str().to_owned(),
        id: token.id.into(),
        name: token.name.into(),
        scopes: token.scopes.into(),
        frames: token.frames.map(|frames| frames.into_iter().map(String::from).collect()),
        created_at: token.created_at,
        created_by: token.created_by,
        expires_at: token.expires_at,
        began_with: token.began_with.map(|start| start.as_str().to_owned()),
        last_used_at: token.last_used_at,
        last_used_from: token.last_used_from,
        revoked_at: token.revoked_at,
    }
}
