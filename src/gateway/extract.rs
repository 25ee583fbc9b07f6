//! Requests into values, with problems in our own shape.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::problem::Reply;
use super::refusals;
use crate::model::names::FrameName;
use crate::model::principal::Principal;
use crate::model::scope::Grant;

/// No body is larger: axum's own limit.
pub const LARGEST_BODY: usize = 2 << 20;

/// Whoever is not known sends no larger one: it holds a link's code, or a password.
const LARGEST_OF_STRANGERS: usize = 16 << 10;

/// A JSON body of at most [`LARGEST_BODY`].
///
/// The media type must be JSON: a page of another origin can send a form or plain
/// text without asking first, but not this.
pub struct JsonBody<T>(pub T);

impl<S, T> FromRequest<S> for JsonBody<T>
where
    S: Send + Sync,
    T: DeserializeOwned,
{
    type Rejection = Reply;

    async fn from_request(request: Request, state: &S) -> Result<Self, Reply> {
        read_json(request, state, b'{').await.map(Self)
    }
}

/// A JSON body that is a list, with problem bodies when it does not fit.
pub struct JsonList<T>(pub Vec<T>);

impl<S, T> FromRequest<S> for JsonList<T>
where
    S: Send + Sync,
    T: DeserializeOwned,
{
    type Rejection = Reply;

    async fn from_request(request: Request, state: &S) -> Result<Self, Reply> {
        read_json(request, state, b'[').await.map(Self)
    }
}

/// Reads a body that begins with that character; serde alone would take a list for the fields of a type in their order.
async fn read_json<S, T>(mut request: Request, state: &S, first: u8) -> Result<T, Reply>
where
    S: Send + Sync,
    T: DeserializeOwned,
{
    let media = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let is_json = |media: &str| media.split(';').next().unwrap_or("").trim() == "application/json";
    if !media.is_some_and(is_json) {
        return Err(Reply(crate::wire::problem::Problem::new(
            415,
            "request.media_type",
            "the body must be JSON: send `content-type: application/json`",
        )));
    }
    let is_stranger = request.extensions().get::<Grant>().is_none_or(|grant| grant.scopes.is_empty());
    let largest = if is_stranger { LARGEST_OF_STRANGERS } else { LARGEST_BODY };
    DefaultBodyLimit::max(largest).apply(&mut request);
    let body = Bytes::from_request(request, state).await.map_err(|error| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => refusals::too_large(largest),
        _ => refusals::cut_off(),
    })?;
    let other = if first == b'{' { b'[' } else { b'{' };
    if body.trim_ascii_start().first() == Some(&other) {
        return Err(refusals::of_kind(first));
    }
    let read = Json::from_bytes(&body).or_else(|error| match &error {
        JsonRejection::JsonDataError(_) => with_whole_numbers(&body).ok_or(error),
        _ => Err(error),
    });
    read.map(|Json(value)| value).map_err(|error| refusals::of_body(&error))
}

/// The same body with `60` where `60.0` stands: to JSON both are one number, to Rust the second is no whole one.
fn with_whole_numbers<T: DeserializeOwned>(body: &[u8]) -> Option<Json<T>> {
    let mut value = serde_json::from_slice(body).ok()?;
    make_whole(&mut value);
    serde_json::from_value(value).ok().map(Json)
}

fn make_whole(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(make_whole),
        Value::Object(fields) => fields.values_mut().for_each(make_whole),
        Value::Number(number) => {
            const END: f64 = 18_446_744_073_709_551_616.0; // 2^64
            let float = number.as_f64().filter(|_| number.is_f64()).unwrap_or(f64::NAN);
            if (0.0..END).contains(&float) && float.fract() == 0.0 {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "it is whole, and fits"
                )]
                let whole = float as u64;
                *value = whole.into();
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// Query parameters.
pub struct QueryParams<T>(pub T);

impl<S, T> FromRequestParts<S> for QueryParams<T>
where
    S: Send + Sync,
    T: DeserializeOwned,
{
    type Rejection = Reply;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Reply> {
        let read = Query::try_from_uri(&parts.uri);
        read.map(|Query(value)| Self(value)).map_err(|error| refusals::of_query(&error))
    }
}

/// Who asks. The listeners put it there; without it nothing is answered.
pub struct Caller(pub Principal);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Reply;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Reply> {
        parts.extensions.get::<Principal>().cloned().map(Self).ok_or_else(|| {
            Reply(crate::wire::problem::Problem::new(401, "auth.required", "nobody knows who asks"))
        })
    }
}

/// What the caller may do; for handlers whose answer depends on it.
pub struct Permissions(pub Grant);

impl<S: Send + Sync> FromRequestParts<S> for Permissions {
    type Rejection = Reply;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Reply> {
        parts.extensions.get::<Grant>().cloned().map(Self).ok_or_else(|| {
            Reply(crate::wire::problem::Problem::new(401, "auth.required", "nobody knows who asks"))
        })
    }
}

/// Reads the name in a path. One that cannot be a name cannot be a frame's either.
pub fn frame_name(text: &str) -> Result<FrameName, Reply> {
    FrameName::parse(text).map_err(|_| super::advice::no_frame(text))
}

/// How long the caller is willing to wait.
#[derive(Clone, Copy, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Wait {
    /// Seconds to wait until it is done; 0 (the default) answers at once. No longer than 600 is waited.
    #[serde(default, deserialize_with = "seconds")]
    #[param(minimum = 0)]
    pub wait: f64,
}

/// A number that can be waited.
fn seconds<'de, D: serde::Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    let given = f64::deserialize(from)?;
    match given.is_nan() || given.is_infinite() || given < 0.0 {
        false => Ok(given),
        true => Err(serde::de::Error::custom("it must be a number of seconds, 0 or more")),
    }
}

impl Wait {
    /// As a duration; `None` for no waiting at all.
    pub fn duration(self) -> Option<Duration> {
        let seconds = self.wait.clamp(0.0, 600.0);
        (seconds > 0.0).then(|| Duration::from_secs_f64(seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::http::HeaderValue;
    use serde_json::json;

    /// What somebody is told who sends so many letters.
    async fn refused(grant: Grant, letters: usize) -> Option<(u16, String)> {
        let body = json!({ "said": "x".repeat(letters) }).to_string();
        let mut request = Request::new(Body::from(body));
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request.extensions_mut().insert(grant);
        let read = JsonBody::<Value>::from_request(request, &()).await;
        read.err().map(|Reply(problem)| (problem.status, problem.title))
    }

    #[tokio::test]
    async fn whoever_is_not_known_has_nothing_long_to_say() {
        let owner = || Grant::everything(Principal::Owner { uid: 1000 });
        let told = |limit: &str| Some((413, format!("the request is larger than {limit}")));
        assert_eq!(refused(Grant::nothing(), 8 << 10).await, None);
        assert_eq!(refused(Grant::nothing(), 16 << 10).await, told("16 KiB"));
        assert_eq!(refused(owner(), 16 << 10).await, None);
        assert_eq!(refused(owner(), 2 << 20).await, told("2 MiB"));
    }
}
