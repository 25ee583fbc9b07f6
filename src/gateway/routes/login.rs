//! How the owner comes in from a browser with a password, and who sets that.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};

use super::web;
use crate::access::{Access, AccessError, LoginState};
use crate::gateway::auth::Ends;
use crate::gateway::extract::{Caller, JsonBody, Permissions};
use crate::gateway::problem::{Answer, Reply};
use crate::model::principal::Principal;
use crate::model::secret::Secret;
use crate::wire::problem::Problem;
use crate::wire::web::{ConfirmTotp, LogIn, LoginView, RecoveryCodes, SetPassword, TotpApp, WebSession};

routes! {
    get "/v1/web/login" Admin All => state;
    post "/v1/web/login" open NoFrame => log_in;
    put "/v1/web/password" Admin All => set_password;
    delete "/v1/web/password" Admin All => remove_password;
    post "/v1/web/totp" Admin All => enrol_app;
    put "/v1/web/totp" Admin All => confirm_app;
    delete "/v1/web/totp" Admin All => remove_app;
}

/// How the owner comes in.
#[utoipa::path(get, path = "/v1/web/login", tag = "web", responses((status = 200, body = LoginView)))]
pub async fn state(State(access): State<Access>) -> Answer<Json<LoginView>> {
    Ok(Json(view(access.login_state().await?)))
}

/// Exchanges the password, and a code if one is asked for, for a session. Half of the session comes as a cookie.
#[utoipa::path(post, path = "/v1/web/login", tag = "web", request_body = LogIn,
    responses((status = 201, body = WebSession),
        (status = 401, description = "the password or the code is wrong, or no password is set"),
        (status = 429, description = "there were too many attempts just now; `Retry-After` says how long to wait")))]
pub async fn log_in(
    State(access): State<Access>,
    ends: Option<Extension<Ends>>,
    headers: HeaderMap,
    JsonBody(request): JsonBody<LogIn>,
) -> Answer<Response> {
    let browser = web::browser(&access, ends, &headers).await?;
    let replaced = browser.session(&access, &headers).await?;
    let password = Secret::new(request.password);
    let opened = access.log_in(password, request.code.as_deref(), replaced, browser.ends.peer).await;
    if let Err(AccessError::TooSoon { seconds }) = opened {
        let mut answer = Reply::from(AccessError::TooSoon { seconds }).into_response();
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        return Ok(answer);
    }
    browser.begun(&opened?)
}

/// Sets the password. All sessions of browsers end.
#[utoipa::path(put, path = "/v1/web/password", tag = "web", request_body = SetPassword,
    responses((status = 200, body = LoginView)))]
pub async fn set_password(
    State(access): State<Access>,
    Permissions(grant): Permissions,
    JsonBody(request): JsonBody<SetPassword>,
) -> Answer<Json<LoginView>> {
    owner(&grant.principal)?;
    let scopes = request.scopes.into_iter().collect();
    Ok(Json(view(access.set_password(&grant, Secret::new(request.password), scopes).await?)))
}

/// Lets nobody in with a password any more. All sessions of browsers end.
#[utoipa::path(delete, path = "/v1/web/password", tag = "web", responses((status = 200, body = LoginView)))]
pub async fn remove_password(
    State(access): State<Access>,
    Caller(principal): Caller,
) -> Answer<Json<LoginView>> {
    owner(&principal)?;
    Ok(Json(view(access.remove_password(&principal).await?)))
}

/// Shows an app a new secret for codes. What is asked for changes when a code of it is confirmed.
#[utoipa::path(post, path = "/v1/web/totp", tag = "web", responses((status = 201, body = TotpApp)))]
pub async fn enrol_app(
    State(access): State<Access>,
    Caller(principal): Caller,
) -> Answer<(StatusCode, Json<TotpApp>)> {
    owner(&principal)?;
    let machine = rustix::system::uname();
    let shown = access.enrol_app(&machine.nodename().to_string_lossy()).await?;
    let app = TotpApp {
        uri: shown.uri.reveal().to_owned(),
        secret: shown.typed.reveal().to_owned(),
        expires_at: shown.until,
    };
    Ok((StatusCode::CREATED, Json(app)))
}

/// Confirms the app with a code that it shows: from now on a code is asked for. All sessions of browsers end.
#[utoipa::path(put, path = "/v1/web/totp", tag = "web", request_body = ConfirmTotp,
    responses((status = 200, body = RecoveryCodes)))]
pub async fn confirm_app(
    State(access): State<Access>,
    Caller(principal): Caller,
    JsonBody(request): JsonBody<ConfirmTotp>,
) -> Answer<Json<RecoveryCodes>> {
    owner(&principal)?;
    let recovery_codes = access.confirm_app(&principal, &request.code).await?;
    Ok(Json(RecoveryCodes { recovery_codes }))
}

/// Asks for the password alone from now on. All sessions of browsers end.
#[utoipa::path(delete, path = "/v1/web/totp", tag = "web", responses((status = 200, body = LoginView)))]
pub async fn remove_app(State(access): State<Access>, Caller(principal): Caller) -> Answer<Json<LoginView>> {
    owner(&principal)?;
    Ok(Json(view(access.remove_app(&principal).await?)))
}

/// How the owner comes in is the owner's alone to say, over the Unix socket: a token that was stolen must not set what
/// outlives it.
fn owner(principal: &Principal) -> Answer<()> {
    match principal {
        Principal::Owner { .. } => Ok(()),
        other => Err(Reply(Problem::new(
            403,
            "login.owner_only",
            format!("{other} cannot say how browsers come in: only the owner can, on the gateway's machine"),
        ))
        .hint("type `mimir web password` or `mimir web totp` there")),
    }
}

fn view(state: LoginState) -> LoginView {
    LoginView {
        has_password: state.password.is_some(),
        scopes: state.password.map(|(scopes, _)| scopes.into()).unwrap_or_default(),
        set_at: state.password.map(|(_, at)| at),
        has_totp: state.has_second_factor,
        recovery_code_count: state.recovery_codes_left,
    }
}
