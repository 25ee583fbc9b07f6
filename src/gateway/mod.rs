//! HTTP: the edge that clients talk to.
//!
//! Handlers check the shape of a request, ask one service and show its answer.
//! No rule of the business is decided here, and nobody imports this module but
//! the one that composes the gateway.

mod advice;
pub mod auth;
pub mod bodies;
mod carry;
mod connection_limit;
pub mod document;
mod engine;
pub mod extract;
mod guarded_stream;
mod history;
pub mod metrics;
mod names;
pub mod ndjson;
pub mod needs;
pub mod problem;
mod refusals;
pub mod request;
mod revocable;
mod routes;
mod run_views;
pub mod serve;
mod size;
pub mod state;
mod terminals;
mod tls;
mod views;
mod web;
pub mod write_timeout;

use axum::Router;

pub use routes::table as routes;
pub use state::{About, ImageSource, Services};

/// Everything that is answered, wrapped in what happens around each request.
pub fn app(services: Services) -> Router {
    let around = request::Around { clock: services.clock.clone(), counters: services.counters.clone() };
    routes::all(&services)
        .method_not_allowed_fallback(request::unknown_method)
        .fallback(request::unknown_route)
        .with_state(services)
        .layer(axum::middleware::from_fn_with_state(around, request::wrap))
}

/// The OpenAPI document as it is kept in the repository.
#[must_use]
pub fn openapi_json() -> String {
    let mut text = routes::document().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}
