//! Whether a frame is kept apart as it was asked for; looked at after each start, before anybody works with it.

use std::time::{Duration, Instant};

use super::driver::Driver;
use super::error::FrameError;
use super::{Frames, Inner, project};
use crate::model::frame::{EngineKind, Frame};
use crate::model::isolation::{Isolation, WantedIsolation};
use crate::model::network::NetworkMode;

/// The last of it, the filter, is there when the container's own program runs: moments after the engine's answer.
const COMPLETE_WITHIN: Duration = Duration::from_secs(3);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// What is said of a folder of root's where users inside are the users outside: an old kernel, another storage of the
/// engine, or a file system (NFS, FUSE) that cannot show its files as another's.
pub(super) const ROOTS_FOLDER: &str = "its folder belongs to root, so the agent works as root of this machine, without any \
     of root's capabilities; a folder of an ordinary user's is safer (`chown -R USER FOLDER`)";

/// How a frame is kept apart, and how far that was loosened on purpose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Apart {
    /// What the kernel says; none while it does not run, or where we may not look.
    pub isolation: Option<Isolation>,
    /// What somebody loosened, or what follows from where the project is.
    pub loosened: Vec<String>,
}

impl Frames {
    /// How a frame is kept apart right now.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn apart(&self, frame: &Frame) -> Result<Apart, FrameError> {
        if frame.engine != EngineKind::Podman {
            return Ok(Apart::default());
        }
        let isolation = self.inner.deps.runtime.isolation(&frame.id).await?;
        Ok(Apart { loosened: self.inner.loosened(frame, isolation.as_ref()), isolation })
    }
}

impl Inner {
    fn loosened(&self, frame: &Frame, isolation: Option<&Isolation>) -> Vec<String> {
        let is_root = isolation.is_some_and(|is| is.host_user == 0 && !is.own_users);
        let obeys = project::obeys_unseen(&frame.env) || self.config.now().trust_project;
        [
            (frame.network == NetworkMode::Open, "network open: it reaches what this machine reaches"),
            (is_root, ROOTS_FOLDER),
            (frame.gpu, "graphics cards: their drivers are a part of this machine's kernel"),
            (obeys, "it obeys what its project brings, unseen"),
        ]
        .into_iter()
        .filter(|(is_so, _)| *is_so)
        .map(|(_, text)| text.to_owned())
        .collect()
    }
}

impl Driver {
    /// A frame that is not kept apart as it must be does not run. Looked at once for each start, also when the gateway
    /// that began it died before it could look.
    pub(super) async fn check_isolation(&mut self, frame: &Frame) -> Result<(), FrameError> {
        if !self.memory.kept_apart {
            self.look_at_isolation(frame).await?;
            self.memory.kept_apart = true;
        }
        Ok(())
    }

    async fn look_at_isolation(&self, frame: &Frame) -> Result<(), FrameError> {
        let began = Instant::now();
        let enforced = self.inner.deps.runtime.info().await?.capabilities.limits;
        let asked = WantedIsolation {
            network: frame.network,
            limits: enforced.then_some(frame.limits),
            gpu: frame.gpu,
        };
        loop {
            let Some(found) = self.inner.deps.runtime.isolation(&self.id).await? else { return Ok(()) };
            let weak = found.weak(&asked);
            if weak.is_empty() {
                return Ok(());
            }
            if began.elapsed() > COMPLETE_WITHIN {
                self.inner.deps.runtime.ensure_removed(&self.id).await?;
                return Err(FrameError::NotIsolated { name: frame.name.to_string(), why: weak.join("; ") });
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}
