//! What came with a push, apart from everything else until somebody has decided about it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;

use super::error::GitError;
use super::forge::{Pushed, Remote};
use super::mirrors::{Heads, Mirror};
use super::program::{Git, Job, last_words, size_of};
use crate::clock;
use crate::model::git::RefUpdate;
use crate::model::quantity::size;

/// How long a frame may take to send its objects, their check included.
const TAKES: Duration = Duration::from_secs(10 * 60);
/// What is older than this is not being received any more.
const BUSY: Duration = Duration::from_secs(60 * 60);
/// A question to what came.
pub(super) const ASK: Duration = Duration::from_secs(120);

/// Where pushes wait. Cheap to clone.
#[derive(Clone)]
pub struct Inbox {
    git: Git,
    root: Arc<Path>,
}

/// What came with one push: a repository that holds its objects, on top of a mirror's.
#[derive(Debug)]
pub struct Parcel {
    pub(super) git: Git,
    pub(super) folder: PathBuf,
    name: String,
    kept: bool,
}

impl Inbox {
    /// Below that folder.
    #[must_use]
    pub fn new(git: Git, root: &Path) -> Self {
        Self { git, root: root.into() }
    }

    /// An empty one on top of a mirror. It is gone again unless it is kept.
    ///
    /// # Errors
    /// See [`GitError`].
    pub async fn empty(&self, mirror: &Mirror) -> Result<Parcel, GitError> {
        let name = format!("{}.git", hex::encode(clock::entropy::<12>()));
        let folder = self.root.join(&name);
        let parcel = Parcel { git: self.git.clone(), folder, name, kept: false };
        self.git.init(&parcel.folder).await?;
        let alternates = parcel.folder.join("objects/info/alternates");
        let objects = mirror.folder.join("objects");
        let written = std::fs::create_dir_all(parcel.folder.join("objects/info"))
            .and_then(|()| std::fs::write(&alternates, format!("{}\n", objects.display())));
        written.map_err(|error| GitError::folder(&alternates, error))?;
        Ok(parcel)
    }

    /// One that was kept under that name.
    #[must_use]
    pub fn open(&self, name: &str) -> Parcel {
        Parcel { git: self.git.clone(), folder: self.root.join(name), name: name.to_owned(), kept: true }
    }

    /// Removes what was kept under that name.
    pub fn remove(&self, name: &str) {
        remove(&self.root.join(name));
    }

    /// Removes everything that is not among those and that nobody is busy with any more.
    pub fn keep_only(&self, names: &[String]) {
        for entry in std::fs::read_dir(&*self.root).into_iter().flatten().flatten() {
            let made = entry.metadata().and_then(|found| found.modified());
            let is_old = made.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > BUSY));
            if is_old && !names.iter().any(|name| entry.file_name() == name.as_str()) {
                remove(&entry.path());
            }
        }
    }
}

fn remove(folder: &Path) {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%error, "{} cannot be removed: {error}", folder.display());
        }
        _ => {}
    }
}

impl Parcel {
    /// What it is called in its inbox.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// From now on it is removed only by name.
    pub fn keep(&mut self) {
        self.kept = true;
    }

    /// Takes the objects in and checks every one of them: that it is well made, that nothing in it leads out of its
    /// folder or runs in whoever checks it out, and that everything it names is there. Says how many bytes they are.
    ///
    /// # Errors
    /// [`GitError::Refused`] with what is wrong with them, [`GitError::TooLarge`].
    pub async fn take<S>(&self, objects: S, most: u64) -> Result<u64, GitError>
    where
        S: Stream<Item = io::Result<Bytes>> + Unpin + Send,
    {
        let what = "checking what was sent";
        let mut command = self.git.command(&self.folder);
        command.args(["index-pack", "--stdin", "--fix-thin", "--strict", "--threads=2"]);
        command.arg(format!("--max-input-size={most}"));
        let said = self.git.say(what, command, objects, TAKES).await?;
        if said.code != Some(0) {
            let why = last_words(&said.stderr, said.code);
            return Err(match why.contains("pack exceeds maximum allowed size") {
                true => GitError::TooLarge {
                    what: "the push",
                    limit: format!("{} (`git.push_limit`)", size(most)),
                },
                false => GitError::Refused { what, why },
            });
        }
        Ok(size_of(&self.folder.join("objects")))
    }

    /// Whether everything is there that the new ends stand on.
    ///
    /// # Errors
    /// [`GitError::Refused`] when something is missing.
    pub async fn check_whole(&self, updates: &[RefUpdate], known: &Heads) -> Result<(), GitError> {
        let args = ["rev-list", "--objects", "--quiet", "--stdin"];
        let job = Job::new("looking whether all of the history is there", &self.folder, args, ASK);
        self.git.run_with(job, range(updates, known)).await.map(drop)
    }

    /// Whether one commit is in the history of another.
    ///
    /// # Errors
    /// See [`GitError`].
    pub async fn is_before(&self, old: &str, new: &str) -> Result<bool, GitError> {
        let what = "comparing two commits";
        let mut command = self.git.command(&self.folder);
        command.args(["merge-base", "--is-ancestor", old, new]);
        let said = self.git.say(what, command, super::program::nothing(), ASK).await?;
        match said.code {
            Some(0) => Ok(true),
            Some(1) => Ok(false),
            code => Err(GitError::Refused { what, why: last_words(&said.stderr, code) }),
        }
    }

    /// Moves the branches and tags at the forge; see [`Git::push`].
    ///
    /// # Errors
    /// When the forge cannot be asked.
    pub async fn push(
        &self,
        remote: &Remote,
        updates: &[RefUpdate],
    ) -> Result<std::collections::BTreeMap<String, Pushed>, GitError> {
        self.git.push(&self.folder, remote, updates).await
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        if !self.kept {
            remove(&self.folder);
        }
    }
}

/// What is new, for git to read: the new ends, without what the forge has.
pub(super) fn range(updates: &[RefUpdate], known: &Heads) -> Vec<u8> {
    let mut text = String::new();
    for id in updates.iter().filter_map(|update| update.to.as_deref()) {
        text.push_str(id);
        text.push('\n');
    }
    for id in known.values() {
        text.push('^');
        text.push_str(id);
        text.push('\n');
    }
    text.into_bytes()
}
