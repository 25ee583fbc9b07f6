//! A frame and its folder: whether it is still the one that the frame works in, and what to do when it was moved.
//!
//! A container holds on to the folder that it was started with. When that is deleted and made anew the agent works in
//! one that nobody sees, and when it is moved the next start finds nothing. The driver compares the two in every pass
//! and whoever wants something of the agent does so first: a frame whose folder is another one now begins anew in that.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use super::error::FrameError;
use super::git_config::{self, HostGit};
use super::git_folder::{self, GitPlace};
use super::project::{self, Remark};
use super::provision::{self, invalid};
use super::workspace::{self, OffLimits, WorkspaceError};
use super::{Frames, Inner};
use crate::model::frame::{Desired, Frame, GitFolder};
use crate::model::git::Repository;
use crate::model::names::FrameName;
use crate::model::principal::Principal;
use crate::runtime::folder_identity;
use crate::store::frames;

/// How long a command waits until the frame has begun anew.
const BEGINS_ANEW: Duration = Duration::from_secs(60);

impl Frames {
    /// From now on the frame works in that folder; one that runs begins anew there. Conversations stay.
    ///
    /// # Errors
    /// [`FrameError::NotFound`], [`FrameError::External`], [`FrameError::BeingDestroyed`], [`FrameError::Workspace`].
    pub async fn relocate(
        &self,
        principal: &Principal,
        name: &FrameName,
        folder: PathBuf,
    ) -> Result<Frame, FrameError> {
        let frame = self.get(name).await?;
        if !frame.engine.is_local() {
            return Err(FrameError::External { name: name.to_string(), action: "moved" });
        }
        let place = workspace::check(&folder, self.inner.off_limits())?;
        let engine = self.inner.deps.runtime.info().await?;
        let owner =
            provision::owner(engine.rootless, (frame.owner_uid, frame.owner_gid), (place.uid, place.gid));
        if owner.0 != frame.owner_uid {
            let why =
                format!("it belongs to user {}, and the frame works as user {}", owner.0, frame.owner_uid);
            return Err(invalid("workspace", why));
        }
        let Survey { git, remarks, .. } = self.inner.survey(name.as_str(), &place.path, &frame.env).await?;
        let path = place.path.display().to_string();
        let (principal, id, called) = (principal.clone(), frame.id, name.to_string());
        let written = self.inner.deps.store.write_as(move |tx| {
            // It may be gone since it was looked up.
            let frame = frames::find(tx, &id)?.ok_or_else(|| FrameError::NotFound(called.clone()))?;
            if frame.desired == Desired::Removed {
                return Err(FrameError::BeingDestroyed(frame.name.to_string()));
            }
            frames::set_workspace(tx, &id, &path, git)?;
            frames::bump_generation(tx, &id)?;
            frames::set_reason(tx, &id, None)?;
            let detail = json!({ "frame": id, "from": frame.workspace, "to": path });
            tx.audit(&principal, "frame.move", frame.name.as_str(), &detail)?;
            frames::note(tx, &id, "moved", &format!("its folder is {path} now; it was {}", frame.workspace))?;
            remarks.iter().try_for_each(|(code, text)| frames::note(tx, &id, code, text))?;
            Ok(frames::get(tx, &id)?)
        });
        let frame = written.await?;
        self.inner.failpoints.hit("move.after_row").await;
        self.inner.wake_driver(&frame.id);
        Ok(frame)
    }

    /// Has the driver look at a running frame whose folder is another one now, before anybody believes that it runs.
    /// Whether that was so.
    pub(super) fn in_its_folder(&self, frame: &Frame) -> bool {
        let Some(handle) = self.inner.drivers.get(&frame.id) else { return true };
        let known = handle.seen.borrow().workspace;
        let is_the_same = known.is_none() || known == folder_identity(Path::new(&frame.workspace));
        if !is_the_same {
            let forget = |seen: &mut super::driver::Seen| (seen.settled, seen.workspace) = (None, None);
            self.inner.wake_driver_with(&frame.id, |handle| handle.seen.send_modify(forget));
        }
        is_the_same
    }

    /// Waits until a frame whose folder was made anew works in that.
    pub(super) async fn settle_folder(&self, frame: &Frame) -> Result<(), FrameError> {
        if frame.desired == Desired::Running && !self.in_its_folder(frame) {
            self.wait_for(&frame.id, Desired::Running, BEGINS_ANEW).await?;
        }
        Ok(())
    }
}

/// What a look at a folder found.
pub(super) struct Survey {
    /// Its git folder, when that is not in it.
    pub(super) git: Option<GitFolder>,
    /// The repository that it calls its origin.
    pub(super) origin: Option<Repository>,
    /// What the host's git said of who commits.
    pub(super) host: Option<HostGit>,
    /// What is to be said about it.
    pub(super) remarks: Vec<Remark>,
}

impl Inner {
    pub(super) fn off_limits(&self) -> OffLimits<'_> {
        let settings = &self.deps.settings;
        OffLimits { mimir_home: &settings.home, user_home: settings.user_home.as_deref() }
    }

    /// Whether the frame works in a folder that was made for it.
    pub(super) fn has_own_workspace(&self, frame: &Frame) -> bool {
        Path::new(&frame.workspace) == self.folders(&frame.id).workspace()
    }

    /// What git needs beside a folder, where its origin is, and what is to be said about it.
    pub(super) async fn survey(
        &self,
        name: &str,
        workspace: &Path,
        env: &[(String, String)],
    ) -> Result<Survey, FrameError> {
        let place = git_folder::look(workspace, self.off_limits());
        let folder = workspace.display().to_string();
        let standing = self.standing(&folder).await?;
        let left_out = match project::obeys_unseen(env) || self.config.now().trust_project {
            true => None,
            false => {
                project::left_out(&folder, &standing.found, standing.trust, &standing.changed_in_words())
            }
        };
        let host = HostGit::ask(&self.deps.settings.git).await;
        let committer = host.clone().unwrap_or_default();
        let remarks = project::remarks(name, workspace, &place, &committer, env, left_out);
        let origin = git_config::origin(&git_folder::config_of(workspace, &place));
        let git = if let GitPlace::Elsewhere(git) = place { Some(git) } else { None };
        Ok(Survey { git, origin, host, remarks })
    }

    /// Before every create and start: the folder is there, is no link to another by now, and so is its git folder. The
    /// engine would make a missing folder, as root, and follow a link.
    pub(super) fn check_folder(&self, frame: &Frame) -> Result<(), FrameError> {
        let (name, path) = (frame.name.to_string(), Path::new(&frame.workspace));
        if self.has_own_workspace(frame) {
            // Made by us among our own files, where nobody else writes.
            let is_there = std::fs::symlink_metadata(path).is_ok_and(|found| found.is_dir());
            return if is_there {
                Ok(())
            } else {
                Err(FrameError::FolderGone { name, path: frame.workspace.clone() })
            };
        }
        match workspace::check(path, self.off_limits()) {
            Ok(found) if found.path == path => {}
            Ok(_) | Err(WorkspaceError::Missing(_) | WorkspaceError::NotAFolder(_)) => {
                return Err(FrameError::FolderGone { name, path: frame.workspace.clone() });
            }
            Err(error) => return Err(error.into()),
        }
        let Some(git) = &frame.git else { return Ok(()) };
        match git_folder::look(path, self.off_limits()) {
            GitPlace::Elsewhere(found) if found == *git => Ok(()),
            GitPlace::Unusable(why) => Err(FrameError::GitMoved { name, why }),
            _ => Err(FrameError::GitMoved { name, why: "the folder has another one now".to_owned() }),
        }
    }
}
