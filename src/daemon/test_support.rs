//! A gateway whose engine is in memory and whose agents are one scripted server: for tests that kill the process.
//!
//! Only with the feature `test-support`, and only when `MIMIR_TEST_AGENT` names the server's address. Everything
//! else is what users run: the executable, the database, the sockets, the drivers, the delivery of messages.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use super::services::Resources;
use crate::model::container::ContainerSpec;
use crate::model::frame::Observed;
use crate::outbound::Connector;
use crate::runtime::fake::{FakeEngine, StartedContainer};

/// Where the scripted agent listens.
const AGENT: &str = "MIMIR_TEST_AGENT";
/// In a frame's folder while its container runs, so that it goes on running when the gateway is killed, as real
/// ones do. Without it every kill would count as an end of every container.
const RUNS: &str = "test-container.json";

/// Puts the stand-ins in the place of the real things, if that was asked for.
pub(super) fn stand_in(resources: Resources) -> Resources {
    let Some(agent) = std::env::var(AGENT).ok().and_then(|text| text.parse::<SocketAddr>().ok()) else {
        return resources;
    };
    let engine =
        FakeEngine::new(resources.instance.clone(), resources.clock.clone(), &resources.paths.frames());
    engine.add_image(&resources.config.frames.image);
    let tasks = resources.tasks.clone();
    engine.on_start(move |started| {
        let mark = started.start.with_file_name(RUNS);
        let text = serde_json::to_vec(&started.spec).unwrap_or_default();
        if let Err(error) = std::fs::write(&mark, text) {
            tracing::error!(%error, "{}: {error}", mark.display());
        }
        let StartedContainer { spec, ended, .. } = started;
        tasks.spawn_once(format!("pretended container of {}", spec.frame), move |stop| async move {
            tokio::select! {
                () = ended.cancelled() => drop(std::fs::remove_file(mark)),
                () = stop.cancelled() => {}
            }
        });
    });
    let frames = resources.paths.frames();
    for spec in std::fs::read_dir(frames).into_iter().flatten().flatten().filter_map(|at| ran(&at.path())) {
        engine.plant(spec, Observed::Running);
    }
    tracing::warn!("{AGENT} is set: frames are pretended, and {agent} is the agent of all of them");
    engine.on_connect(move |_, _| Connector::tcp(agent));
    Resources { runtime: Arc::new(engine), ..resources }
}

/// The container that ran in this frame's folder when the gateway was killed.
fn ran(folder: &Path) -> Option<ContainerSpec> {
    serde_json::from_slice(&std::fs::read(folder.join(RUNS)).ok()?).ok()
}
