//! Who may do what: scopes, tokens, names, certificates. Over the gateway's real listeners.
#![cfg(feature = "test-support")]

use mimir::gateway::ROUTES;
use mimir::gateway::needs::{FrameIn, Needs};

/// The table that the README shows is this one; a new route is in it or the test fails.
#[test]
fn nothing_but_health_is_open_and_every_changing_route_needs_a_scope() {
    for route in ROUTES {
        match route.needs {
            Needs::Open => assert_eq!((route.method, route.path), ("get", "/health")),
            Needs::Known => {
                assert_eq!((route.method, route.frame), ("get", FrameIn::NoFrame), "{}", route.path)
            }
            Needs::Scope(_) => {}
        }
        // A route below a frame is held to that frame.
        if route.path.starts_with("/v1/frames/{name}") {
            assert_eq!(route.frame, FrameIn::Path, "{} {}", route.method, route.path);
        }
    }
}
