//! Whether a frame obeys what its project brings, and people's yes and no to that.
//!
//! Decided once for each start, before the agent runs. When the agent alone begins again inside, the frame itself compares
//! (`project_bound`): what is not the same by then is left out until the next start. opencode itself writes into a project that
//! it obeys: it installs the package of its plugins into `.opencode`, and moves keys of its settings into `tui.json`. Both can
//! run code, so nobody tells them from what an agent plants there: they are a change like others, and are told as soon as they
//! are seen.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::driver::Driver;
use super::error::FrameError;
use super::project_trust::{self, Found};
use super::{Frames, Inner, project};
use crate::model::frame::{Frame, FrameState};
use crate::model::principal::Principal;
use crate::model::trust::{Trust, changed, changed_in_words};
use crate::runtime::podman::PROJECT_LABEL;
use crate::store::trusted_folders::{self, TrustedFolder};
use crate::store::{StoreError, frames};

/// What is in a folder now, and what somebody said to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What is there.
    pub found: Found,
    /// What that amounts to.
    pub trust: Trust,
    /// What somebody said yes to, if so.
    pub yes: Option<TrustedFolder>,
    /// Frames that work in the folder and run, by name: what they loaded at their start stays until the next.
    pub running: Vec<String>,
}

impl Standing {
    /// The files that are not as they were when somebody said yes.
    #[must_use]
    pub fn changed(&self) -> Vec<String> {
        self.yes.as_ref().map(|yes| changed(&yes.files, &self.found.files)).unwrap_or_default()
    }

    /// The same, for a sentence.
    #[must_use]
    pub fn changed_in_words(&self) -> String {
        self.yes.as_ref().map(|yes| changed_in_words(&yes.files, &self.found.files)).unwrap_or_default()
    }
}

/// What a start obeys of its project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Obeys {
    /// Nothing.
    Nothing,
    /// Whatever is there.
    All,
    /// What is on this list, for as long as that is what is there.
    Bound(String),
}

/// The notes on a project that is not the one that was trusted any more.
const CHANGED: &str = "project_changed";
/// So many notes are looked at for one that says the same.
const NOTES: u32 = 200;
/// So often a project that somebody trusted is compared while its frame runs; all that it brings is read for that.
const COMPARED_EVERY: Duration = Duration::from_secs(60);

impl Frames {
    /// What is in a folder and whether frames obey it.
    ///
    /// # Errors
    /// Only the database's.
    pub async fn standing(&self, folder: &str) -> Result<Standing, FrameError> {
        self.inner.standing(folder).await
    }

    /// Every folder that somebody said yes to.
    ///
    /// # Errors
    /// Only the database's.
    pub async fn trusted_folders(&self) -> Result<Vec<TrustedFolder>, FrameError> {
        Ok(self.inner.deps.store.read(|db| trusted_folders::list(db)).await?)
    }

    /// Somebody was shown what has this hash, and says yes to it.
    ///
    /// # Errors
    /// [`FrameError::CannotTrust`] when something else is there by now, nothing at all, or what no yes can be bound to.
    pub async fn trust(
        &self,
        principal: &Principal,
        folder: &str,
        shown: &str,
    ) -> Result<Standing, FrameError> {
        let refuse = |why: String| FrameError::CannotTrust { path: folder.to_owned(), why };
        let now = self.standing(folder).await?;
        if now.trust == Trust::Nothing {
            return Err(refuse("it brings nothing that an agent would obey".to_owned()));
        }
        if let Some(why) = now.found.obstacles.first() {
            return Err(refuse(why.clone()));
        }
        if now.found.hash() != shown {
            return Err(refuse("it is not what you were shown: it changed in between".to_owned()));
        }
        let (principal, path, found) = (principal.clone(), folder.to_owned(), now.found);
        self.inner
            .deps
            .store
            .write(move |tx| trusted_folders::set(tx, &principal, &path, &found.hash(), &found.files))
            .await?;
        self.standing(folder).await
    }

    /// Takes a yes back.
    ///
    /// # Errors
    /// Only the database's.
    pub async fn distrust(&self, principal: &Principal, folder: &str) -> Result<Standing, FrameError> {
        let (principal, path) = (principal.clone(), folder.to_owned());
        self.inner
            .deps
            .store
            .write(move |tx| trusted_folders::remove(tx, &principal, &path).map(drop))
            .await?;
        self.standing(folder).await
    }
}

impl Inner {
    pub(super) async fn standing(&self, folder: &str) -> Result<Standing, FrameError> {
        let path = PathBuf::from(folder);
        let found = tokio::task::spawn_blocking(move || project_trust::look(&path))
            .await
            .map_err(|_| FrameError::Interrupted)?;
        let path = folder.to_owned();
        let (yes, running) = self
            .deps
            .store
            .read(move |db| {
                let runs = |frame: &Frame| {
                    frame.workspace == path
                        && matches!(
                            frame.state,
                            FrameState::Starting | FrameState::Running | FrameState::Paused
                        )
                };
                let all = frames::list(db)?;
                let running =
                    all.iter().filter(|frame| runs(frame)).map(|frame| frame.name.to_string()).collect();
                Ok::<_, StoreError>((trusted_folders::find(db, &path)?, running))
            })
            .await?;
        Ok(Standing { trust: found.judge(yes.as_ref()), found, yes, running })
    }
}

impl Driver {
    /// What the start that is being prepared obeys of the project.
    pub(super) async fn obeys_project(&self, frame: &Frame) -> Result<Obeys, FrameError> {
        let standing = self.inner.standing(&frame.workspace).await?;
        if standing.trust == Trust::Nothing {
            return Ok(Obeys::Nothing);
        }
        // A throwaway frame is for what nobody has looked at.
        if !frame.is_throwaway() {
            if self.trusts_all(frame) {
                return Ok(Obeys::All);
            }
            if standing.trust == Trust::Trusted {
                return Ok(Obeys::Bound(standing.found.bound.to_json()));
            }
        }
        if standing.trust == Trust::Changed {
            self.tell_changed(frame, &standing).await?;
        }
        if standing.found.runs() && !self.leaves_projects_out(frame).await? {
            let name = frame.name.to_string();
            return Err(FrameError::WouldObey { name, path: frame.workspace.clone() });
        }
        Ok(Obeys::Nothing)
    }

    fn trusts_all(&self, frame: &Frame) -> bool {
        self.inner.config.now().trust_project || project::obeys_unseen(&frame.env)
    }

    async fn tell_changed(&self, frame: &Frame, standing: &Standing) -> Result<(), FrameError> {
        let text = format!(
            "it does not obey its project any more: {} changed since somebody trusted it; \
             `mimir projects trust {}` shows what is there now and asks",
            standing.changed_in_words(),
            crate::model::shell::quoted(&frame.workspace)
        );
        self.note(CHANGED, text).await
    }

    /// A project may become another one while its frame runs. That is told when it is seen, and not when somebody misses what
    /// the next agent inside leaves out.
    pub(super) async fn tell_of_changes(&mut self, frame: &Frame) -> Result<(), FrameError> {
        let has_new_stream = self.handle.takes_new_stream();
        let is_due = self.memory.compared_at.is_none_or(|at| at.elapsed() >= COMPARED_EVERY);
        if !is_due && !has_new_stream {
            return Ok(());
        }
        self.memory.compared_at = Some(Instant::now());
        self.tell_left_out_since(frame).await
    }

    /// What an agent that begins anew inside leaves out, or has left out, unless that was told since somebody said yes.
    pub(super) async fn tell_left_out_since(&self, frame: &Frame) -> Result<(), FrameError> {
        if frame.is_throwaway() || self.trusts_all(frame) {
            return Ok(());
        }
        let (store, path) = (&self.inner.deps.store, frame.workspace.clone());
        let Some(yes) = store.read(move |db| trusted_folders::find(db, &path)).await? else { return Ok(()) };
        let standing = self.inner.standing(&frame.workspace).await?;
        if standing.trust != Trust::Changed {
            return Ok(());
        }
        let (id, files) = (self.id.clone(), standing.changed_in_words());
        let notes = store.read(move |db| frames::notes(db, &id, NOTES)).await?;
        let is_told = notes
            .iter()
            .any(|note| note.code == CHANGED && note.at >= yes.trusted_at && note.text.contains(&files));
        if is_told {
            return Ok(());
        }
        let text = format!(
            "an agent that begins anew does not obey its project: {files} changed since somebody trusted it; \
             `mimir projects trust {}` shows what is there now and asks, and `mimir frame restart {}` then begins with it",
            crate::model::shell::quoted(&frame.workspace),
            frame.name
        );
        self.note(CHANGED, text).await
    }

    /// Whether the frame's image can be told to leave a project out. Older ones run its plugins all the same.
    async fn leaves_projects_out(&self, frame: &Frame) -> Result<bool, FrameError> {
        let image = self.inner.deps.runtime.find_image(&frame.image_id).await?;
        Ok(image.is_some_and(|image| image.labels.contains_key(PROJECT_LABEL)))
    }
}
