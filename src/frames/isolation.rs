//! Whether a frame is kept apart as it was asked for; looked at after each start, before anybody works with it.

use std::time::{Duration, Instant};

use super::driver::Driver;
use super::error::FrameError;
use super::{Frames, Inner, project};
use crate::model::frame::{EngineKind, Frame, Observed};
use crate::model::isolation::{Isolation, WantedIsolation};
use crate::model::network::NetworkMode;

/// The last of it, the filter, is there when the container's own program runs: moments after the engine's answer.
const COMPLETE_WITHIN: Duration = Duration::from_secs(3);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// What is said where users inside are the users outside: an old kernel, another storage of the engine, or a file system
/// (NFS, FUSE) that cannot show its files as another's.
pub(super) fn machines_users(is_roots: bool, why: &str) -> String {
    if is_roots {
        return format!(
            "its folder belongs to root, so the agent works as root of this machine, without any of root's \
             capabilities ({why}); a folder of an ordinary user's is safer (`chown -R USER FOLDER`)"
        );
    }
    format!("its users are users of this machine instead of its own: {why}")
}

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
        let why =
            isolation.and_then(|is| Some(machines_users(is.host_user == 0, is.machines_users.as_ref()?)));
        let obeys = project::obeys_unseen(&frame.env) || self.config.now().trust_project;
        [
            (frame.network == NetworkMode::Open, "network open: it reaches what this machine reaches"),
            (frame.gpu, "graphics cards: their drivers are a part of this machine's kernel"),
            (obeys, "it obeys what its project brings, unseen"),
        ]
        .into_iter()
        .filter(|(is_so, _)| *is_so)
        .map(|(_, text)| text.to_owned())
        .chain(why)
        .collect()
    }
}

impl Driver {
    /// A frame that is not kept apart as it must be does not run. Looked at once for each start, also when the gateway
    /// that began it died before it could look.
    pub(super) async fn check_isolation(&mut self, frame: &Frame) -> Result<(), FrameError> {
        if !self.memory.kept_apart {
            self.memory.kept_apart = self.look_at_isolation(frame).await?;
        }
        Ok(())
    }

    /// Whether nothing is left to be seen.
    async fn look_at_isolation(&mut self, frame: &Frame) -> Result<bool, FrameError> {
        let began = Instant::now();
        let able = self.inner.deps.runtime.info().await?.capabilities;
        let asked = WantedIsolation {
            network: frame.network,
            limits: able.limits.then_some(frame.limits),
            gpu: frame.gpu,
        };
        loop {
            let found = self.inner.deps.runtime.isolation(&self.id).await?;
            let weak = match &found {
                Some(found) => found.weak(&asked),
                // Where it can be told, what nobody can see is not taken for good.
                None if able.isolation && self.still_runs().await? => {
                    vec!["nothing can be seen of how it is kept apart".to_owned()]
                }
                None => return Ok(!able.isolation),
            };
            if weak.is_empty() {
                self.tell_of_users(found).await?;
                return Ok(true);
            }
            if began.elapsed() > COMPLETE_WITHIN {
                self.inner.deps.runtime.ensure_removed(&self.id).await?;
                return Err(FrameError::NotIsolated { name: frame.name.to_string(), why: weak.join("; ") });
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Nothing can be seen of what has ended, and nothing needs to.
    async fn still_runs(&self) -> Result<bool, FrameError> {
        let seen = self.inner.deps.runtime.observe(&self.id).await?;
        Ok(matches!(seen.observed, Observed::Running | Observed::Paused))
    }

    /// Says once for each reason that the frame has the machine's users: it may have had its own until now.
    async fn tell_of_users(&mut self, found: Option<Isolation>) -> Result<(), FrameError> {
        let told = found.and_then(|is| Some(machines_users(is.host_user == 0, is.machines_users.as_ref()?)));
        if let Some(text) = told.as_ref().filter(|_| told != self.memory.told_of_users) {
            self.note("machines_users", text.clone()).await?;
        }
        self.memory.told_of_users = told;
        Ok(())
    }
}
