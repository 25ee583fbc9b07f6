//! One file per noun; the list of all routes is here.

mod doctor;
mod events;
mod frames;
mod gc;
mod health;
mod images;
mod logs;
mod messages;
mod projects;
mod sessions;
mod status;
mod terminal;

use axum::Router;
use axum::routing;
use utoipa::OpenApi;

use super::state::Services;

/// Keeps the list for people, the list for tests and the list for axum one list.
macro_rules! routes {
    ($($method:ident $path:literal => $handler:path;)*) => {
        /// Every route: method and path, as the OpenAPI document writes them.
        pub const ROUTES: &[(&str, &str)] = &[$((stringify!($method), $path)),*];

        /// All of them, with their handlers.
        pub fn all() -> Router<Services> {
            Router::new()$(.route($path, routing::$method($handler)))*
        }

        #[derive(OpenApi)]
        #[openapi(
            info(title = "mimir gateway", description = "Frames, messages and events of one machine.", version = "1"),
            paths($($handler),*)
        )]
        struct Document;
    };
}

routes! {
    get "/health" => health::health;
    get "/metrics" => health::metrics;
    get "/v1/openapi.json" => health::openapi;
    get "/v1/status" => status::status;
    get "/v1/doctor" => doctor::doctor;
    post "/v1/stop" => status::stop;
    get "/v1/frames" => frames::list;
    post "/v1/frames" => frames::create;
    get "/v1/frames/{name}" => frames::show;
    delete "/v1/frames/{name}" => frames::destroy;
    post "/v1/frames/{name}/start" => frames::start;
    post "/v1/frames/{name}/stop" => frames::stop;
    post "/v1/frames/{name}/restart" => frames::restart;
    post "/v1/frames/{name}/pause" => frames::pause;
    post "/v1/frames/{name}/resume" => frames::resume;
    get "/v1/frames/{name}/logs" => logs::logs;
    get "/v1/frames/{name}/notes" => frames::notes;
    get "/v1/frames/{name}/stats" => frames::stats;
    get "/v1/frames/{name}/terminal" => terminal::terminal;
    get "/v1/gc" => gc::look;
    post "/v1/gc" => gc::sweep;
    post "/v1/messages" => messages::send;
    get "/v1/messages" => messages::list;
    get "/v1/messages/{id}" => messages::show;
    post "/v1/messages/{id}/cancel" => messages::cancel;
    get "/v1/sessions" => sessions::list;
    get "/v1/sessions/{id}" => sessions::show;
    get "/v1/events" => events::events;
    get "/v1/projects" => projects::list;
    post "/v1/projects" => projects::add;
    get "/v1/projects/{name}" => projects::show;
    delete "/v1/projects/{name}" => projects::remove;
    get "/v1/images" => images::list;
    post "/v1/images/build" => images::build;
}

/// The OpenAPI document, made from the handlers.
pub fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}
