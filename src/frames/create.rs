//! Making a frame: row, ports, folders and container, or nothing at all.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;

use super::error::FrameError;
use super::git_config::HostGit;
use super::project::Remark;
use super::relocate::Survey;
use super::request::{FrameRequest, Place};
use super::workspace::{self, Workspace};
use super::{Frames, Inner, forge, ports, provision};
use crate::clock::entropy_128;
use crate::model::container::Storage;
use crate::model::frame::{Desired, Frame};
use crate::model::ids::{FrameId, ProjectId};
use crate::model::network::NetworkMode;
use crate::model::policy::Rule;
use crate::model::principal::Principal;
use crate::runtime::RuntimeError;
use crate::runtime::podman::IMAGE_LABEL;
use crate::store::frames::NewFrame;
use crate::store::{StoreError, approvals, frames, projects};

impl Frames {
    /// Makes a frame: row, ports, folders and container, or nothing at all. Starts it when asked to.
    /// Runs to its end even if nobody waits for the answer any more.
    ///
    /// # Errors
    /// See [`FrameError`]; nothing is left behind then.
    pub async fn create(&self, principal: &Principal, request: FrameRequest) -> Result<Frame, FrameError> {
        let (frames, principal) = (self.clone(), principal.clone());
        let task = format!("create frame {}", request.name);
        let work = async move { frames.create_now(&principal, request).await };
        self.inner.deps.tasks.run_to_end(task, work).await.unwrap_or(Err(FrameError::Interrupted))
    }

    async fn create_now(&self, principal: &Principal, request: FrameRequest) -> Result<Frame, FrameError> {
        let rules = request.rules.clone();
        let (new, remarks, host) = self.settle(request).await?;
        if let Some(frame) = self.claim(principal, &new, &rules, &remarks, host).await? {
            return Ok(frame);
        }
        let id = new.id.clone();
        self.inner.failpoints.hit("create.before_row").await;
        let _reservation = Reservation::of(self, &id);
        let frame = self.insert_making_room(principal, new, rules, remarks).await?;
        self.inner.failpoints.hit("create.after_row").await;
        if let Err(error) = self.inner.provision(&frame).await {
            self.undo(&frame).await;
            return Err(error);
        }
        self.inner.failpoints.hit("create.before_driver").await;
        Ok(frame)
    }

    /// Everything that can be refused before anything is written. With what the host's git said meanwhile.
    async fn settle(
        &self,
        request: FrameRequest,
    ) -> Result<(NewFrame, Vec<Remark>, Option<HostGit>), FrameError> {
        let deps = &self.inner.deps;
        let config = match request.defaults {
            Some(theirs) => Arc::from(theirs),
            None => self.inner.config.now(),
        };
        let name = request.name.clone();
        if deps.store.read(move |db| frames::find_by_name(db, &name)).await?.is_some() {
            return Err(FrameError::NameTaken(request.name.into()));
        }
        let limits = provision::limits(request.limits, config.limits)?;
        let env = provision::env(&request.env)?;
        let network = request.network.unwrap_or(config.network);
        let lifetime = provision::lifetime_ms(request.lifetime, config.throwaway_ttl)?;
        let now_ms = deps.clock.now_ms();
        let id = FrameId::from_parts(now_ms, entropy_128());
        let (project, workspace) = self.workspace(request.place, &id).await?;
        self.needs_room(&workspace.path)?;

        let image = request.image.unwrap_or_else(|| config.image.clone());
        let engine = deps.runtime.info().await?;
        if network == NetworkMode::Open && !engine.capabilities.network {
            return Err(RuntimeError::Unsupported {
                engine: engine.kind,
                action: "make a frame with a network of its own",
                why: "/dev/net/tun may not be used; create it with `--network allow`, or see `mimir doctor`"
                    .to_owned(),
            }
            .into());
        }
        if request.gpu && !engine.capabilities.gpu {
            return Err(RuntimeError::Unsupported {
                engine: engine.kind,
                action: "give a frame graphics cards",
                why: "no CDI file names `nvidia.com/gpu`; `nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml` makes one"
                    .to_owned(),
            }
            .into());
        }
        let Some(found) = deps.runtime.find_image(&image).await? else {
            return Err(RuntimeError::ImageMissing { image }.into());
        };
        if !found.labels.contains_key(IMAGE_LABEL) {
            return Err(FrameError::ForeignImage(image));
        }
        let ourselves = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let (owner_uid, owner_gid) =
            provision::owner(engine.rootless, ourselves, (workspace.uid, workspace.gid));
        let name = request.name.as_str();
        let Survey { git, origin, host, mut remarks } =
            self.inner.survey(name, &workspace.path, &env).await?;
        let mode = request.git.or(config.git);
        let forge = forge::settle(&*deps.start_files, request.repository, origin, mode, lifetime.is_some())?;
        remarks.extend(forge::remark(&*deps.start_files, &forge));
        let storage = Storage::HostFolder { path: workspace.path.clone(), uid: owner_uid, gid: owner_gid };
        // One that is made for the frame is not there yet: what it is like is said when it runs.
        let is_there = workspace.path.is_dir();
        if !engine.rootless
            && engine.capabilities.isolation
            && is_there
            && let Some(why) = deps.runtime.why_machines_users(&storage).await
        {
            let code = if owner_uid == 0 { "roots_folder" } else { "machines_users" };
            remarks.push((code, super::isolation::machines_users(owner_uid == 0, &why)));
        }
        let new = NewFrame {
            id,
            name: request.name,
            project,
            origin: request.origin,
            run: request.run,
            workspace: workspace.path.display().to_string(),
            git,
            forge,
            image,
            image_id: found.id,
            network,
            allow: provision::allow(network, &config.allow, &request.allow)?,
            providers: provision::providers(
                &config.providers,
                &request.providers,
                &deps.start_files.providers(),
            )?,
            env,
            gpu: request.gpu,
            limits,
            owner_uid,
            owner_gid,
            desired: if request.start { Desired::Running } else { Desired::Stopped },
            expires_at: lifetime.map(|lifetime| now_ms + lifetime),
            ports: config.ports,
            avoid: ports::busy_ports(&deps.store, config.ports, 2).await?,
            given: request.given,
        };
        Ok((new, remarks, host))
    }

    /// The folder that was named, by itself or by its project, or that will be made.
    async fn workspace(
        &self,
        place: Place,
        id: &FrameId,
    ) -> Result<(Option<ProjectId>, Workspace), FrameError> {
        let (project, path) = match place {
            Place::Own => {
                let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
                return Ok((None, Workspace { path: self.inner.folders(id).workspace(), uid, gid }));
            }
            Place::Folder(path) => (None, path),
            Place::Project(name) => {
                let wanted = name.clone();
                let found = self.inner.deps.store.read(move |db| projects::find_by_name(db, &wanted)).await?;
                let project = found.ok_or_else(|| FrameError::NoProject(name.into()))?;
                (Some(project.id), PathBuf::from(project.path))
            }
        };
        Ok((project, workspace::check(&path, self.inner.off_limits())?))
    }

    /// Whoever needs a frame is not refused for ports that frames have which nobody needs.
    async fn insert_making_room(
        &self,
        principal: &Principal,
        mut new: NewFrame,
        rules: Vec<Rule>,
        remarks: Vec<Remark>,
    ) -> Result<Frame, FrameError> {
        loop {
            let made = self.insert(principal, new.clone(), rules.clone(), remarks.clone()).await;
            let Err(FrameError::NoFreePort(range)) = made else { return made };
            if !self.inner.a_warm_one_makes_way().await? {
                return made;
            }
            new.avoid = ports::busy_ports(&self.inner.deps.store, range, 2).await?;
        }
    }

    async fn insert(
        &self,
        principal: &Principal,
        new: NewFrame,
        rules: Vec<Rule>,
        remarks: Vec<Remark>,
    ) -> Result<Frame, FrameError> {
        let (principal, range) = (principal.clone(), new.ports);
        let written = self.inner.deps.store.write(move |tx| {
            let frame = frames::insert(tx, &new)?;
            approvals::set_rules(tx, &frame.id, &rules)?;
            let detail = json!({
                "frame": frame.id, "workspace": frame.workspace, "image": frame.image,
                "origin": frame.origin, "run": frame.run,
            });
            tx.audit(&principal, "frame.create", frame.name.as_str(), &detail)?;
            remarks.iter().try_for_each(|(code, text)| frames::note(tx, &frame.id, code, text))?;
            Ok(frame)
        });
        written.await.map_err(|error| match error {
            StoreError::Taken { value, .. } => FrameError::NameTaken(value),
            other => ports::no_free_port(other, range),
        })
    }

    /// Takes back what was made. What cannot be taken back now is left to the driver.
    pub(super) async fn undo(&self, frame: &Frame) {
        if let Err(error) = self.take_back(frame).await {
            tracing::warn!(frame.id = %frame.id, %error, "frame {} is taken back later: {error}", frame.name);
            let id = frame.id.clone();
            let wish = self.inner.deps.store.write(move |tx| frames::set_desired(tx, &id, Desired::Removed));
            if let Err(error) = wish.await {
                tracing::error!(frame.id = %frame.id, %error, "frame {} cannot be taken back: {error}", frame.name);
            }
        }
    }

    async fn take_back(&self, frame: &Frame) -> Result<(), FrameError> {
        self.inner.deps.runtime.ensure_removed(&frame.id).await?;
        self.inner.failpoints.hit("undo.after_container").await;
        self.inner.folders(&frame.id).remove()?;
        self.inner.failpoints.hit("undo.after_folders").await;
        let id = frame.id.clone();
        self.inner.deps.store.write(move |tx| frames::forget(tx, &id)).await?;
        Ok(())
    }
}

impl Inner {
    /// Makes the folders and the container of a frame, unless they are there. May be repeated.
    pub(super) async fn provision(&self, frame: &Frame) -> Result<(), FrameError> {
        let folders = self.folders(&frame.id);
        // What is made for the frame is made first; of every other folder nothing is believed before it was looked at.
        if self.has_own_workspace(frame) {
            folders.ensure(frame)?;
        }
        self.check_folder(frame)?;
        folders.ensure(frame)?;
        self.failpoints.hit("create.after_folders").await;
        let spec = provision::container(frame, &self.deps.settings.instance, &folders);
        Ok(self.deps.runtime.ensure_created(&spec).await?)
    }
}

/// Keeps drivers away from a frame that is being made. Ends, with a driver for whatever is there then,
/// however the making ends.
pub(super) struct Reservation {
    frames: Frames,
    id: FrameId,
}

impl Reservation {
    pub(super) fn of(frames: &Frames, id: &FrameId) -> Self {
        frames.inner.creating.lock().insert(id.clone());
        Self { frames: frames.clone(), id: id.clone() }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.frames.inner.creating.lock().remove(&self.id);
        self.frames.inner.wake_driver(&self.id);
    }
}
