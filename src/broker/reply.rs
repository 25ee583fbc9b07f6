//! Answers that the broker gives itself.

use std::io;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::json;

/// The body of every answer.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// An empty answer.
pub fn empty(status: StatusCode) -> Response<Body> {
    answer(status, "text/plain; charset=utf-8", String::new())
}

/// A sentence, for tools that print what a proxy says.
pub fn sentence(status: StatusCode, text: &str) -> Response<Body> {
    answer(status, "text/plain; charset=utf-8", format!("mimir: {text}\n"))
}

/// An error that OpenAI's and Anthropic's clients both understand.
pub fn model_error(status: StatusCode, code: &str, text: &str) -> Response<Body> {
    let error =
        json!({"type": "error", "error": {"message": format!("mimir: {text}"), "type": code, "code": code}});
    answer(status, "application/json", error.to_string())
}

fn answer(status: StatusCode, kind: &'static str, text: String) -> Response<Body> {
    let mut response =
        Response::new(Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
