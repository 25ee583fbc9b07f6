//! One file per noun, with its routes and their handlers; the list of the files is here.

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::MethodRouter;
use utoipa::OpenApi;

use super::document;
use super::needs::{self, Checked, Route};
use super::state::Services;

/// The words of a table of routes, see [`Needs`].
macro_rules! needs {
    (open) => {
        $crate::gateway::needs::Needs::Open
    };
    (known) => {
        $crate::gateway::needs::Needs::Known
    };
    ($scope:ident) => {
        $crate::gateway::needs::Needs::Scope($crate::model::scope::Scope::$scope)
    };
}

/// The routes of one file. Each line: method, path, the scope that it needs (or `open`, `known`), where its frame is
/// named (see [`needs::FrameIn`]; `All` when it is about several, which tokens for some frames alone may not ask), and
/// the handler. Makes the list for people, the list for tests and the list for axum one list, and puts the check of
/// the two words before every handler.
macro_rules! routes {
    ($($method:ident $path:literal $needs:ident $frame:ident => $handler:ident;)*) => {
        /// The routes of this file and what each asks of its caller.
        pub(super) const ROUTES: &[$crate::gateway::needs::Route] = &[$($crate::gateway::needs::Route {
            method: stringify!($method),
            path: $path,
            needs: needs!($needs),
            frame: $crate::gateway::needs::FrameIn::$frame,
        }),*];

        /// All of them, with their handlers.
        pub(super) fn router(
            services: &$crate::gateway::state::Services,
        ) -> axum::Router<$crate::gateway::state::Services> {
            let handlers = [$(($path, axum::routing::$method($handler))),*];
            let described = <Document as utoipa::OpenApi>::openapi();
            super::checked(services, ROUTES, handlers, &described)
        }

        /// Their part of the OpenAPI document.
        #[derive(utoipa::OpenApi)]
        #[openapi(paths($($handler),*))]
        pub(super) struct Document;
    };
}

/// The files. Whoever stands here is served, listed and described.
macro_rules! nouns {
    ($($noun:ident)*) => {
        $(mod $noun;)*

        /// Every route and what it asks of its caller.
        #[must_use]
        pub fn table() -> Vec<Route> {
            [$($noun::ROUTES),*].concat()
        }

        /// All of them, with their handlers.
        pub fn all(services: &Services) -> Router<Services> {
            Router::new()$(.merge($noun::router(services)))*
        }

        fn documents() -> impl Iterator<Item = utoipa::openapi::OpenApi> {
            [$($noun::Document::openapi()),*].into_iter()
        }
    };
}

nouns! {
    approvals audit backups budgets config doctor events frames gc health images login logs messages network passthrough projects pushes runs schedules secrets sessions status terminal terminals tokens trust upgrade web webhooks workflows
}

/// Puts the check before each handler.
fn checked<const N: usize>(
    services: &Services,
    routes: &[Route],
    handlers: [(&'static str, MethodRouter<Services>); N],
    described: &utoipa::openapi::OpenApi,
) -> Router<Services> {
    assert_eq!(routes.len(), N, "one handler for each route");
    routes.iter().zip(handlers).fold(Router::new(), |router, (route, (path, handler))| {
        let checked = Checked::new(services.clone(), *route, document::query_parameters(described, route));
        let check = from_fn_with_state(checked, needs::check);
        router.route(path, handler.route_layer(check))
    })
}

#[derive(OpenApi)]
#[openapi(info(
    title = "mimir gateway",
    description = "Frames, messages and events of one machine.",
    version = "1"
))]
struct Document;

/// The OpenAPI document, made from the handlers.
pub fn document() -> utoipa::openapi::OpenApi {
    let all = documents().fold(Document::openapi(), |all, part| all.merge_from(part));
    document::complete(all, &table())
}
