//! What can be asked of a frame. A request writes the wish and wakes the driver; it never acts.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::Frames;
use super::error::FrameError;
use crate::model::frame::{Desired, Frame, FrameState};
use crate::model::ids::FrameId;
use crate::model::names::FrameName;
use crate::model::principal::Principal;
use crate::runtime::RuntimeError;
use crate::store::{Tx, frames};

/// What somebody wants of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    Start,
    Resume,
    Restart,
    Pause,
    Stop,
    Destroy,
    Disconnect,
}

impl Request {
    fn action(self) -> &'static str {
        match self {
            Self::Start => "frame.start",
            Self::Resume => "frame.resume",
            Self::Restart => "frame.restart",
            Self::Pause => "frame.pause",
            Self::Stop => "frame.stop",
            Self::Destroy => "frame.destroy",
            Self::Disconnect => "frame.disconnect",
        }
    }

    /// The place right after the wish was saved.
    fn after_wish(self) -> &'static str {
        match self {
            Self::Start => "start.after_wish",
            Self::Resume => "resume.after_wish",
            Self::Restart => "restart.after_wish",
            Self::Pause => "pause.after_wish",
            Self::Stop => "stop.after_wish",
            Self::Destroy => "destroy.after_wish",
            Self::Disconnect => "disconnect.after_wish",
        }
    }

    fn done(self) -> &'static str {
        match self {
            Self::Start => "started",
            Self::Resume => "resumed",
            Self::Restart => "restarted",
            Self::Pause => "paused",
            Self::Stop => "stopped",
            Self::Destroy => "destroyed",
            Self::Disconnect => "disconnected",
        }
    }

    fn desired(self) -> Desired {
        match self {
            Self::Start | Self::Resume | Self::Restart => Desired::Running,
            Self::Pause => Desired::Paused,
            Self::Stop => Desired::Stopped,
            Self::Destroy | Self::Disconnect => Desired::Removed,
        }
    }

    /// Whether it can be asked of a frame like this.
    fn check(self, frame: &Frame) -> Result<(), FrameError> {
        let runs = matches!(frame.state, FrameState::Running | FrameState::Paused);
        let wrong =
            |action| FrameError::WrongState { name: frame.name.to_string(), state: frame.state, action };
        match self {
            Self::Disconnect => Ok(()),
            Self::Destroy if frame.engine.is_local() => Ok(()),
            _ if frame.desired == Desired::Removed => Err(FrameError::BeingDestroyed(frame.name.to_string())),
            _ if !frame.engine.is_local() => {
                Err(FrameError::External { name: frame.name.to_string(), action: self.done() })
            }
            Self::Pause if !runs => Err(wrong("paused")),
            Self::Resume if !runs => Err(wrong("resumed")),
            _ => Ok(()),
        }
    }
}

impl From<Desired> for Request {
    fn from(desired: Desired) -> Self {
        match desired {
            Desired::Running => Self::Start,
            Desired::Paused => Self::Pause,
            Desired::Stopped => Self::Stop,
            Desired::Removed => Self::Destroy,
        }
    }
}

impl Frames {
    /// Writes what is desired and wakes the driver. Answers at once.
    ///
    /// # Errors
    /// [`FrameError::NotFound`], [`FrameError::WrongState`] (only what runs can be paused),
    /// [`FrameError::BeingDestroyed`], or that this engine cannot freeze.
    pub async fn ask(
        &self,
        principal: &Principal,
        name: &FrameName,
        desired: Desired,
    ) -> Result<Frame, FrameError> {
        if desired == Desired::Paused {
            self.can_pause().await?;
        }
        self.request(principal, name, desired.into()).await
    }

    /// Thaws a frame. Other than [`Desired::Running`] it starts nothing.
    ///
    /// # Errors
    /// As [`Frames::ask`].
    pub async fn resume(&self, principal: &Principal, name: &FrameName) -> Result<Frame, FrameError> {
        self.request(principal, name, Request::Resume).await
    }

    /// Asks for a new run: stops what runs and starts it again, in a new container.
    ///
    /// # Errors
    /// [`FrameError::NotFound`], [`FrameError::BeingDestroyed`].
    pub async fn restart(&self, principal: &Principal, name: &FrameName) -> Result<Frame, FrameError> {
        self.request(principal, name, Request::Restart).await
    }

    /// Asks for the frame's end, with everything that belongs to it. Answers at once.
    ///
    /// # Errors
    /// [`FrameError::NotFound`].
    pub async fn destroy(&self, principal: &Principal, name: &FrameName) -> Result<Frame, FrameError> {
        self.request(principal, name, Request::Destroy).await
    }

    /// Asks for the end of a frame that stands for a server elsewhere.
    pub(super) async fn destroy_connected(
        &self,
        principal: &Principal,
        name: &FrameName,
    ) -> Result<Frame, FrameError> {
        self.request(principal, name, Request::Disconnect).await
    }

    /// Starts (or thaws) the frame unless it runs, and waits until its agent answers.
    ///
    /// # Errors
    /// As [`Frames::ask`] and [`Frames::wait_for`].
    pub async fn wake(&self, id: &FrameId, deadline: Duration) -> Result<Frame, FrameError> {
        let frame = self.get_by_id(id).await?;
        if frame.desired != Desired::Running {
            let of = id.clone();
            if let Some(why) = self.inner.deps.store.read(move |db| frames::stopped_for(db, &of)).await? {
                return Err(FrameError::StoppedFor { name: frame.name.to_string(), why });
            }
            self.request(&Principal::service("frames"), &frame.name, Request::Start).await?;
        }
        self.in_its_folder(&frame);
        self.wait_for(id, Desired::Running, deadline).await
    }

    async fn request(
        &self,
        principal: &Principal,
        name: &FrameName,
        request: Request,
    ) -> Result<Frame, FrameError> {
        let (principal, name) = (principal.clone(), name.clone());
        if matches!(request, Request::Start | Request::Restart) {
            let wanted = name.clone();
            let found = self.inner.deps.store.read(move |db| frames::find_by_name(db, &wanted)).await?;
            if let Some(frame) = found.filter(|frame| frame.engine.is_local()) {
                self.needs_room(Path::new(&frame.workspace))?;
            }
        }
        let frame =
            self.inner.deps.store.write_as(move |tx| write_wish(tx, &principal, &name, request)).await?;
        self.inner.failpoints.hit(request.after_wish()).await;
        self.inner.wake_driver(&frame.id);
        Ok(frame)
    }

    /// Whether this engine can freeze; an engine that cannot be asked is found out by the driver.
    async fn can_pause(&self) -> Result<(), FrameError> {
        match self.inner.deps.runtime.info().await {
            Ok(engine) if !engine.capabilities.pause => Err(RuntimeError::Unsupported {
                engine: engine.kind,
                action: "pause a frame",
                why: "it cannot freeze containers on this machine".into(),
            }
            .into()),
            _ => Ok(()),
        }
    }
}

fn write_wish(
    tx: &mut Tx<'_>,
    principal: &Principal,
    name: &FrameName,
    request: Request,
) -> Result<Frame, FrameError> {
    let frame = frames::find_by_name(tx, name)?.ok_or_else(|| FrameError::NotFound(name.to_string()))?;
    request.check(&frame)?;
    frames::set_desired(tx, &frame.id, request.desired())?;
    if request == Request::Restart {
        frames::bump_generation(tx, &frame.id)?;
    }
    if request.desired() == Desired::Running {
        frames::touch(tx, &frame.id)?;
        frames::set_stopped_for(tx, &frame.id, None)?;
    }
    // Whoever asks anew knows about the error; the driver may tidy it up from here on.
    frames::set_reason(tx, &frame.id, None)?;
    tx.audit(principal, request.action(), frame.name.as_str(), &json!({ "frame": frame.id }))?;
    Ok(frames::get(tx, &frame.id)?)
}
