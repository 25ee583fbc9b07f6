//! Secrets that frames may use. None is ever in an answer.

use axum::Json;
use axum::extract::{Path, State};

use crate::frames::Frames;
use crate::gateway::extract::{Caller, JsonBody, frame_name};
use crate::gateway::problem::{Answer, Reply};
use crate::model::names::SecretName;
use crate::model::secret::Secret;
use crate::secrets::{Grant, Listed, SecretError, Value, Vault};
use crate::wire::secrets::{GrantSecret, SecretGrantView, SecretView, SetSecret};

routes! {
    get "/v1/secrets" Admin All => list;
    put "/v1/secrets/{secret}" Admin All => set;
    delete "/v1/secrets/{secret}" Admin All => remove;
    post "/v1/secrets/{secret}/grants" Admin All => grant;
    delete "/v1/secrets/{secret}/grants/{frame}" Admin All => revoke;
}

/// All secrets, without themselves.
#[utoipa::path(get, path = "/v1/secrets", tag = "secrets", responses((status = 200, body = Vec<SecretView>)))]
pub async fn list(State(vault): State<Vault>) -> Answer<Json<Vec<SecretView>>> {
    Ok(Json(vault.list().await?.into_iter().map(view).collect()))
}

/// Keeps a secret, or where it comes from. What frames were given of it stays given.
#[utoipa::path(put, path = "/v1/secrets/{secret}", tag = "secrets", params(("secret" = String, Path)),
    request_body = SetSecret, responses((status = 200, body = SecretView)))]
pub async fn set(
    State(vault): State<Vault>,
    Caller(principal): Caller,
    Path(secret): Path<String>,
    JsonBody(request): JsonBody<SetSecret>,
) -> Answer<Json<SecretView>> {
    let name = SecretName::parse(&secret).map_err(|error| {
        Reply::conflict("secret.name", error.to_string()).hint("for example `mimir secret set github-token`")
    })?;
    let value = match (request.value, request.comes_from) {
        (Some(value), None) => Value::Kept(Secret::new(value)),
        (None, Some(source)) => Value::From(source),
        (Some(_), Some(_)) | (None, None) => return Err(SecretError::Either.into()),
    };
    Ok(Json(view(vault.set(&principal, &name, value).await?)))
}

/// Forgets a secret, and takes it from all frames.
#[utoipa::path(delete, path = "/v1/secrets/{secret}", tag = "secrets", params(("secret" = String, Path)),
    responses((status = 200, body = SecretView)))]
pub async fn remove(
    State(vault): State<Vault>,
    Caller(principal): Caller,
    Path(secret): Path<String>,
) -> Answer<Json<SecretView>> {
    Ok(Json(view(vault.remove(&principal, &named(&secret)?).await?)))
}

/// Gives a frame a secret: as a placeholder for one host, or itself, which is loosened.
#[utoipa::path(post, path = "/v1/secrets/{secret}/grants", tag = "secrets", params(("secret" = String, Path)),
    request_body = GrantSecret, responses((status = 200, body = SecretGrantView)))]
pub async fn grant(
    State(vault): State<Vault>,
    State(frames): State<Frames>,
    Caller(principal): Caller,
    Path(secret): Path<String>,
    JsonBody(request): JsonBody<GrantSecret>,
) -> Answer<Json<SecretGrantView>> {
    let name = named(&secret)?;
    let frame = frames.get(&frame_name(&request.frame)?).await?;
    let grant =
        Grant { form: request.form, variable: request.variable, host: request.host, headers: request.headers };
    let granted = vault.grant(&principal, &frame, &name, grant).await?;
    Ok(Json(SecretGrantView::of(&frame.name, &granted)))
}

/// Takes a secret back from a frame. Its placeholder is worth nothing at once.
#[utoipa::path(delete, path = "/v1/secrets/{secret}/grants/{frame}", tag = "secrets",
    params(("secret" = String, Path), ("frame" = String, Path)), responses((status = 200, body = SecretView)))]
pub async fn revoke(
    State(vault): State<Vault>,
    State(frames): State<Frames>,
    Caller(principal): Caller,
    Path((secret, frame)): Path<(String, String)>,
) -> Answer<Json<SecretView>> {
    let name = named(&secret)?;
    let frame = frames.get(&frame_name(&frame)?).await?;
    vault.revoke(&principal, &frame, &name).await?;
    Ok(Json(view(vault.show(&name).await?)))
}

/// One that cannot be a name is nobody's.
fn named(text: &str) -> Result<SecretName, Reply> {
    SecretName::parse(text).map_err(|_| crate::gateway::advice::no_secret(text))
}

fn view(listed: Listed) -> SecretView {
    let Listed { secret, grants } = listed;
    SecretView {
        name: secret.name.to_string(),
        comes_from: secret.source,
        set_at: secret.set_at,
        set_by: secret.set_by,
        used_at: secret.used_at,
        grants: grants.iter().map(|(frame, grant)| SecretGrantView::of(frame, grant)).collect(),
    }
}
