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
use crate::model::shell::quoted;
use crate::model::trust::{Trust, changed, changed_in_words};
use crate::runtime::podman::PROJECT_LABEL;
use crate::store::StoreError;
use crate::store::frames::{self, Note};
use crate::store::trusted_folders::{self, TrustedFolder};

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
    /// The files that changed since the owner's yes.
    #[must_use]
    pub fn changed(&self) -> Vec<String> {
        self.yes.as_ref().map(|yes| changed(&yes.files, &self.found.files)).unwrap_or_default()
    }

    /// The same, as the end of a sentence.
    #[must_use]
    pub fn changed_in_words(&self) -> String {
        self.yes.as_ref().map(|yes| changed_in_words(&yes.files, &self.found.files)).unwrap_or_default()
    }

    /// Why the project is not obeyed any more, as the end of a sentence: what changed, what cannot be hashed, or both.
    fn why_not_any_more(&self) -> String {
        let files = self.changed_in_words();
        let changed = (!files.is_empty()).then(|| format!("{files} changed since somebody trusted it"));
        let obstacle =
            self.found.obstacles.first().map(|why| format!("nobody can trust what is there now ({why})"));
        changed.into_iter().chain(obstacle).collect::<Vec<_>>().join(", and ")
    }

    /// The frame was started without the project's settings.
    fn note_at_start(&self, frame: &Frame) -> String {
        format!(
            "it does not obey its project any more: {}; `mimir projects trust {}` shows what is there now and asks",
            self.why_not_any_more(),
            quoted(&frame.workspace)
        )
    }

    /// The next agent that starts inside will leave them out.
    fn note_while_it_runs(&self, frame: &Frame) -> String {
        format!(
            "an agent that begins anew does not obey its project: {}; `mimir projects trust {}` shows what is there \
             now and asks, and `mimir frame restart {}` then begins with it",
            self.why_not_any_more(),
            quoted(&frame.workspace),
            frame.name
        )
    }
}

/// Whether it is time to compare a project that was compared that long ago. A new event stream asks for it sooner; one that
/// comes too soon after the last comparison is remembered.
fn is_due(ago: Option<Duration>, again: Duration, takes_new_stream: impl FnOnce() -> bool) -> bool {
    // The first comparison also covers an event stream that stands by then.
    let is_soon = ago.is_some_and(|ago| ago < again);
    !is_soon && (takes_new_stream() || ago.is_none_or(|ago| ago >= COMPARED_EVERY))
}

/// Whether the newest note since the yes already says one of `texts`, or is too young for another one.
fn is_told(notes: &[Note], since: u64, texts: &[String], now_ms: u64) -> bool {
    let newest = notes.iter().rfind(|note| note.code == CHANGED && note.at >= since);
    newest.is_some_and(|newest| {
        texts.contains(&newest.text) || now_ms.saturating_sub(newest.at) < TOLD_AGAIN_MS
    })
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

/// The code of notes about a project that changed after it was trusted.
const CHANGED: &str = "project_changed";
/// How many notes are searched for one that says the same.
const NOTES: u32 = 200;
/// So often a project that somebody trusted is compared while its frame runs; all that it brings is read for that.
const COMPARED_EVERY: Duration = Duration::from_secs(60);
/// The least time between two notes that say different things: files may come and go all the time.
const TOLD_AGAIN_MS: u64 = 10 * 60 * 1000;

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
        self.standing_of(folder, found).await
    }

    /// The same for what nobody waits for. None when it was not its turn in time, or it took too long: it is tried again
    /// after [`COMPARED_EVERY`].
    async fn standing_in_turn(&self, folder: &str) -> Result<Option<Standing>, FrameError> {
        let path = PathBuf::from(folder);
        let Some(found) = self.comparisons.in_turn(move || project_trust::look(&path)).await? else {
            return Ok(None);
        };
        self.standing_of(folder, found).await.map(Some)
    }

    async fn standing_of(&self, folder: &str, found: Found) -> Result<Standing, FrameError> {
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
            self.note(CHANGED, standing.note_at_start(frame)).await?;
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

    /// A project may become another one while its frame runs. That is told when it is seen, and not when somebody misses what
    /// the next agent inside leaves out: each minute, and soon after an agent began anew.
    pub(super) async fn tell_of_changes(&mut self, frame: &Frame) -> Result<(), FrameError> {
        let (again, ago) = (self.inner.deps.settings.compared_again, self.memory.compared_at);
        if !is_due(ago.map(|at| at.elapsed()), again, || self.handle.takes_new_stream()) {
            return Ok(());
        }
        let told = self.tell_left_out_since(frame).await;
        self.memory.compared_at = Some(Instant::now());
        told
    }

    /// What an agent that begins anew inside leaves out, or has left out, unless that was told since somebody said yes.
    async fn tell_left_out_since(&self, frame: &Frame) -> Result<(), FrameError> {
        if frame.is_throwaway() || self.trusts_all(frame) {
            return Ok(());
        }
        let (store, path) = (&self.inner.deps.store, frame.workspace.clone());
        let Some(yes) = store.read(move |db| trusted_folders::find(db, &path)).await? else { return Ok(()) };
        let Some(standing) = self.inner.standing_in_turn(&frame.workspace).await? else {
            tracing::warn!(frame.id = %self.id, "the project of {} was not compared in time: later", frame.name);
            return Ok(());
        };
        if standing.trust != Trust::Changed {
            return Ok(());
        }
        let id = self.id.clone();
        let notes = store.read(move |db| frames::notes(db, &id, NOTES)).await?;
        let text = standing.note_while_it_runs(frame);
        let same = [text.clone(), standing.note_at_start(frame)];
        if is_told(&notes, yes.trusted_at, &same, self.inner.deps.clock.now_ms()) {
            return Ok(());
        }
        self.note(CHANGED, text).await
    }

    /// Whether the frame's image can be told to leave a project out. Older ones run its plugins all the same.
    async fn leaves_projects_out(&self, frame: &Frame) -> Result<bool, FrameError> {
        let image = self.inner.deps.runtime.find_image(&frame.image_id).await?;
        Ok(image.is_some_and(|image| image.labels.contains_key(PROJECT_LABEL)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn standing(then: &[(&str, &str)], now: &[(&str, &str)], obstacles: &[&str]) -> Standing {
        let files = |all: &[(&str, &str)]| -> BTreeMap<String, String> {
            all.iter().map(|(path, hash)| ((*path).to_owned(), (*hash).to_owned())).collect()
        };
        let obstacles = obstacles.iter().map(|why| (*why).to_owned()).collect();
        let found = Found { files: files(now), obstacles, ..Found::default() };
        let before = Found { files: files(then), ..Found::default() };
        let yes = TrustedFolder {
            path: "/p".to_owned(),
            hash: before.hash(),
            files: before.files,
            trusted_at: 1,
            trusted_by: "owner:0".to_owned(),
        };
        Standing { trust: found.judge(Some(&yes)), found, yes: Some(yes), running: Vec::new() }
    }

    #[test]
    fn a_change_is_told_in_words_though_nothing_but_an_obstacle_is_new() {
        let (a, link) = ([("opencode.json", "1")], ["x.js: it is a link out of .opencode"]);
        let only_obstacle = standing(&a, &a, &link);
        assert_eq!(only_obstacle.trust, Trust::Changed);
        let obstacle = "nobody can trust what is there now (x.js: it is a link out of .opencode)";
        assert_eq!(only_obstacle.why_not_any_more(), obstacle);
        let changed = standing(&a, &[("opencode.json", "2")], &[]);
        assert_eq!(changed.why_not_any_more(), "opencode.json changed since somebody trusted it");
        let both = standing(&a, &[("opencode.json", "2")], &link);
        let text = format!("opencode.json changed since somebody trusted it, and {obstacle}");
        assert_eq!(both.why_not_any_more(), text);
    }

    #[test]
    fn an_agent_that_begins_anew_all_the_time_has_nothing_read_all_the_time() {
        let again = Duration::from_secs(5);
        let never = || -> bool { panic!("a stream that is asked for is forgotten") };
        assert!(is_due(None, again, || true) && is_due(None, again, || false));
        assert!(!is_due(Some(again.saturating_sub(Duration::from_millis(1))), again, never));
        assert!(is_due(Some(again), again, || true) && !is_due(Some(again), again, || false));
        assert!(is_due(Some(COMPARED_EVERY), again, || false));
    }

    #[test]
    fn what_was_never_told_is_told_and_what_comes_and_goes_only_now_and_then() {
        let note =
            |at: u64, code: &str, text: &str| Note { at, code: code.to_owned(), text: text.to_owned() };
        let (same, later) = (["b changed".to_owned()], 1_000 + TOLD_AGAIN_MS);
        assert!(!is_told(&[], 1_000, &same, 1_000));
        let of_before_the_yes = [note(999, CHANGED, "b changed")];
        assert!(!is_told(&of_before_the_yes, 1_000, &same, 1_000));
        let told = [note(1_000, CHANGED, "b changed"), note(1_001, "agent_back", "x")];
        assert!(is_told(&told, 1_000, &same, later * 2), "it is the newest of its kind");
        let more = [note(1_000, CHANGED, "a, b changed")];
        assert!(!is_told(&more, 1_000, &same, later), "it is not the same, though it has those words");
        let to_and_fro = [note(900, CHANGED, "b changed"), note(1_000, CHANGED, "a changed")];
        assert!(is_told(&to_and_fro, 500, &same, later - 1), "too soon");
        assert!(!is_told(&to_and_fro, 500, &same, later));
    }
}
