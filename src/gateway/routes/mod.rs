//! One file per noun; the list of all routes is here.

mod approvals;
mod doctor;
mod events;
mod frames;
mod gc;
mod health;
mod images;
mod logs;
mod messages;
mod passthrough;
mod projects;
mod sessions;
mod status;
mod terminal;
mod tokens;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{self, MethodRouter};
use utoipa::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};

use super::needs::{self, FrameIn, Needs, Route};
use super::state::Services;

use crate::model::scope::Scope;
pub use status::engine;

/// The words of the table, see [`Needs`].
macro_rules! needs {
    (open) => {
        Needs::Open
    };
    (known) => {
        Needs::Known
    };
    ($scope:ident) => {
        Needs::Scope(Scope::$scope)
    };
}

/// Keeps the list for people, the list for tests and the list for axum one list, and puts the check
/// of its two words before every handler.
macro_rules! routes {
    ($($method:ident $path:literal $needs:ident $frame:ident => $handler:path;)*) => {
        /// Every route and what it asks of its caller.
        pub const ROUTES: &[Route] = &[$(Route {
            method: stringify!($method),
            path: $path,
            needs: needs!($needs),
            frame: FrameIn::$frame,
        }),*];

        /// All of them, with their handlers.
        pub fn all(services: &Services) -> Router<Services> {
            let mut rows = ROUTES.iter();
            let mut checked = |methods: MethodRouter<Services>| match rows.next() {
                Some(row) => methods.route_layer(from_fn_with_state((services.clone(), *row), needs::check)),
                None => methods,
            };
            Router::new()$(.route($path, checked(routing::$method($handler))))*
        }

        #[derive(OpenApi)]
        #[openapi(
            info(title = "mimir gateway", description = "Frames, messages and events of one machine.", version = "1"),
            paths($($handler),*)
        )]
        struct Document;
    };
}

// Method, path, the scope that it needs (or `open`, `known`), and where its frame is named (see `FrameIn`;
// `All` when it is about several, which tokens for some frames alone may not ask).
routes! {
    get "/health" open NoFrame => health::health;
    get "/metrics" Metrics All => health::metrics;
    get "/v1/openapi.json" known NoFrame => health::openapi;
    get "/v1/status" Read All => status::status;
    get "/v1/doctor" Admin All => doctor::doctor;
    post "/v1/stop" Admin All => status::stop;
    get "/v1/frames" Read Handler => frames::list;
    post "/v1/frames" Frames All => frames::create;
    get "/v1/frames/{name}" Read Path => frames::show;
    delete "/v1/frames/{name}" Frames Path => frames::destroy;
    post "/v1/frames/{name}/start" Frames Path => frames::start;
    post "/v1/frames/{name}/stop" Frames Path => frames::stop;
    post "/v1/frames/{name}/restart" Frames Path => frames::restart;
    post "/v1/frames/{name}/pause" Frames Path => frames::pause;
    post "/v1/frames/{name}/resume" Frames Path => frames::resume;
    get "/v1/frames/{name}/logs" Read Path => logs::logs;
    get "/v1/frames/{name}/notes" Read Path => frames::notes;
    get "/v1/frames/{name}/stats" Read Path => frames::stats;
    get "/v1/frames/{name}/terminal" Terminal Path => terminal::terminal;
    get "/v1/frames/{name}/opencode" Passthrough Path => passthrough::root_get;
    get "/v1/frames/{name}/opencode/{*path}" Passthrough Path => passthrough::get;
    post "/v1/frames/{name}/opencode" Passthrough Path => passthrough::root_post;
    post "/v1/frames/{name}/opencode/{*path}" Passthrough Path => passthrough::post;
    put "/v1/frames/{name}/opencode" Passthrough Path => passthrough::root_put;
    put "/v1/frames/{name}/opencode/{*path}" Passthrough Path => passthrough::put;
    patch "/v1/frames/{name}/opencode" Passthrough Path => passthrough::root_patch;
    patch "/v1/frames/{name}/opencode/{*path}" Passthrough Path => passthrough::patch;
    delete "/v1/frames/{name}/opencode" Passthrough Path => passthrough::root_delete;
    delete "/v1/frames/{name}/opencode/{*path}" Passthrough Path => passthrough::delete;
    get "/v1/gc" Frames All => gc::look;
    post "/v1/gc" Frames All => gc::sweep;
    post "/v1/messages" Send Body => messages::send;
    get "/v1/messages" Read Query => messages::list;
    get "/v1/messages/{id}" Read Message => messages::show;
    patch "/v1/messages/{id}" Send Message => messages::edit;
    post "/v1/messages/{id}/cancel" Send Message => messages::cancel;
    get "/v1/sessions" Read Query => sessions::list;
    get "/v1/sessions/{id}" Read Session => sessions::show;
    patch "/v1/sessions/{id}" Send Session => sessions::rename;
    delete "/v1/sessions/{id}" Send Session => sessions::delete;
    get "/v1/sessions/{id}/export" Read Session => sessions::export;
    post "/v1/sessions/{id}/fork" Send Session => sessions::fork;
    post "/v1/sessions/{id}/compact" Send Session => sessions::compact;
    post "/v1/sessions/{id}/abort" Send Session => sessions::abort;
    get "/v1/search" Read Query => sessions::search;
    get "/v1/events" Read Filter => events::events;
    get "/v1/approvals" Read Query => approvals::list;
    get "/v1/approvals/{id}" Read Approval => approvals::show;
    post "/v1/approvals/{id}/answer" Approve Approval => approvals::answer;
    get "/v1/frames/{name}/policy" Read Path => approvals::policy;
    put "/v1/frames/{name}/policy" Frames Path => approvals::set_policy;
    get "/v1/projects" Read All => projects::list;
    post "/v1/projects" Frames All => projects::add;
    get "/v1/projects/{name}" Read All => projects::show;
    delete "/v1/projects/{name}" Frames All => projects::remove;
    get "/v1/tokens" Admin All => tokens::list;
    post "/v1/tokens" Admin All => tokens::create;
    get "/v1/tokens/current" known NoFrame => tokens::current;
    delete "/v1/tokens/{id}" Admin All => tokens::revoke;
    get "/v1/images" Read All => images::list;
    post "/v1/images/build" Admin All => images::build;
}

/// The OpenAPI document, made from the handlers.
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = Document::openapi();
    let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    document.components.get_or_insert_default().add_security_scheme("token", scheme);
    for route in ROUTES {
        let needed = match route.needs {
            Needs::Open => SecurityRequirement::default(),
            Needs::Known => SecurityRequirement::new("token", [""; 0]),
            Needs::Scope(scope) => SecurityRequirement::new("token", [scope.as_str()]),
        };
        let Some(item) = document.paths.paths.get_mut(route.path) else { continue };
        for (method, operation) in [
            ("get", &mut item.get),
            ("put", &mut item.put),
            ("post", &mut item.post),
            ("delete", &mut item.delete),
            ("patch", &mut item.patch),
        ] {
            if let Some(operation) =
                operation.as_mut().filter(|_| matches!(route.method, "any") || route.method == method)
            {
                operation.security = Some(vec![needed.clone()]);
            }
        }
    }
    document
}
