//! What the container engine says of itself, within a moment.

use std::time::Duration;

use super::problem;
use crate::runtime::{EngineInfo, Runtime};

/// An engine that takes longer counts as not answering.
const WITHIN: Duration = Duration::from_secs(3);

/// The engine, if it answers soon; else why not.
pub async fn ask(runtime: &dyn Runtime) -> Result<EngineInfo, String> {
    match tokio::time::timeout(WITHIN, runtime.info()).await {
        Ok(Ok(info)) => Ok(info),
        Ok(Err(error)) => Err(problem::chain(&error)),
        Err(_) => Err(format!("the container engine did not answer within {} s", WITHIN.as_secs())),
    }
}

/// `podman 5.4 (rootless) at /run/…`.
pub fn line(info: &EngineInfo) -> String {
    let how = if info.rootless { "rootless" } else { "rootful" };
    format!("{} {} ({how}) at {}", info.kind, info.version, info.socket)
}
