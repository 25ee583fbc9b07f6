//! A gateway whose engine is in memory and whose agents are one scripted server: for tests that kill the process.
//!
//! Only with the feature `test-support`, and only when `MIMIR_TEST_AGENT` names the server's address. Everything
//! else is what users run: the executable, the database, the sockets, the drivers, the router.

use std::net::SocketAddr;
use std::sync::Arc;

use super::services::Ground;
use crate::outbound::Connector;
use crate::runtime::fake::FakeEngine;

/// Where the scripted agent listens.
const AGENT: &str = "MIMIR_TEST_AGENT";

/// Puts the stand-ins in the place of the real things, if that was asked for.
pub(super) fn stand_in(ground: Ground) -> Ground {
    let Some(agent) = std::env::var(AGENT).ok().and_then(|text| text.parse::<SocketAddr>().ok()) else {
        return ground;
    };
    let engine = FakeEngine::new(ground.instance.clone(), ground.clock.clone());
    engine.add_image(&ground.config.frames.image);
    tracing::warn!("{AGENT} is set: frames are pretended, and {agent} is the agent of all of them");
    Ground { runtime: Arc::new(engine), agent_connector: Arc::new(move |_| Connector::tcp(agent)), ..ground }
}
