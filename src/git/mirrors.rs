//! Copies of repositories at forges: what pushes are compared with, and what frames with a gate read.
//!
//! A mirror's branches and tags are those of the forge at the last look. Objects are never thrown away, because what came
//! with a push may stand on them.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::sync::OwnedMutexGuard;

use super::error::GitError;
use super::forge::Remote;
use super::program::{Git, Job, last_words, nothing, size_of};
use crate::model::git::{Repository, is_ref_name};
use crate::model::quantity::size;
use crate::supervisor::Tasks;

const COPYING: &str = "copying the repository from the forge";
/// How long the first copy of a repository may take.
const COPY: Duration = Duration::from_secs(30 * 60);
/// A question to a mirror.
const ASK: Duration = Duration::from_secs(60);

/// Harmless faults of old repositories that forges still serve. All others are refused.
const OLD_FAULTS: &[&str] = &[
    "zeroPaddedFilemode",
    "missingSpaceBeforeDate",
    "missingSpaceBeforeEmail",
    "badTimezone",
    "missingEmail",
    "missingNameBeforeEmail",
    "badDateOverflow",
    "badFilemode",
    "missingTaggerEntry",
];

/// What a repository has: names and ids.
pub type Heads = BTreeMap<String, String>;

/// A mirror as it is now.
#[derive(Clone, Debug)]
pub struct Mirror {
    /// Where it is.
    pub folder: PathBuf,
    /// What it has.
    pub heads: Heads,
    /// Why it is older than it should be, when it is.
    pub stale: Option<String>,
}

/// All mirrors. Cheap to clone.
#[derive(Clone)]
pub struct Mirrors {
    git: Git,
    tasks: Tasks,
    root: Arc<Path>,
    each: Arc<Mutex<HashMap<Repository, Arc<Each>>>>,
}

/// The lock of one mirror: its holder asks the forge, the others wait for the result.
#[derive(Default)]
struct Each {
    looked: Arc<tokio::sync::Mutex<Option<Instant>>>,
}

/// Removes what an interrupted fetch left. The caller holds the lock, so no other fetch is running.
fn leftovers(folder: &Path) {
    let packs = std::fs::read_dir(folder.join("objects/pack")).into_iter().flatten().flatten();
    for entry in packs.filter(|entry| entry.file_name().to_string_lossy().starts_with("tmp_")) {
        let _ = std::fs::remove_file(entry.path());
    }
}

impl Mirrors {
    /// Below that folder.
    #[must_use]
    pub fn new(git: Git, tasks: Tasks, root: &Path) -> Self {
        Self { git, tasks, root: root.into(), each: Arc::default() }
    }

    /// Where one is.
    #[must_use]
    pub fn folder(&self, repository: &Repository) -> PathBuf {
        let hash = hex::encode(&Sha256::digest(repository.to_string())[..16]);
        self.root.join(format!("{hash}.git"))
    }

    /// A mirror that is not older than that; made when there is none. When the forge does not answer, the one there is.
    /// A look at the forge goes on to its end when whoever asked has gone: the next who asks finds what it brought.
    ///
    /// # Errors
    /// See [`GitError`]: the forge does not answer and there is none, or the repository is larger than it may be.
    pub async fn fresh(&self, remote: &Remote, age: Duration, most: u64) -> Result<Mirror, GitError> {
        let each = self.each.lock().entry(remote.repository.clone()).or_default().clone();
        let folder = self.folder(&remote.repository);
        // One looks, and those who wait for it wait here: who has gone waits no more.
        let looked = each.looked.clone().lock_owned().await;
        let is_whole = folder.join("mimir-mirror").is_file();
        let mut stale = None;
        if !(is_whole && looked.is_some_and(|at| at.elapsed() < age)) {
            match self.look_to_the_end(looked, remote, &folder, most).await {
                Ok(()) => {}
                Err(error) if is_whole && !matches!(error, GitError::TooLarge { .. }) => {
                    tracing::warn!(%error, "the copy of {} is not new: {error}", remote.repository);
                    stale = Some(error.to_string());
                }
                Err(error) => return Err(error),
            }
        }
        let heads = self.heads(&folder).await?;
        Ok(Mirror { folder, heads, stale })
    }

    /// The forge was changed by us: the next who asks looks anew.
    pub async fn forget_look(&self, repository: &Repository) {
        let each = self.each.lock().get(repository).cloned();
        if let Some(each) = each {
            *each.looked.lock().await = None;
        }
    }

    /// What the mirror has, as it is; nothing when there is none.
    ///
    /// # Errors
    /// See [`GitError`].
    pub async fn known(&self, repository: &Repository) -> Result<Heads, GitError> {
        let folder = self.folder(repository);
        if folder.join("mimir-mirror").is_file() { self.heads(&folder).await } else { Ok(Heads::new()) }
    }

    /// Asks the forge while holding the lock, whether or not somebody waits for the answer.
    async fn look_to_the_end(
        &self,
        mut looked: OwnedMutexGuard<Option<Instant>>,
        remote: &Remote,
        folder: &Path,
        most: u64,
    ) -> Result<(), GitError> {
        let (mirrors, remote, folder) = (self.clone(), remote.clone(), folder.to_owned());
        let (reply, answer) = tokio::sync::oneshot::channel();
        self.tasks.spawn_once("copy of a repository", move |stop| async move {
            let done = tokio::select! {
                done = mirrors.look(&remote, &folder, most) => done,
                () = stop.cancelled() => Err(broken_off()),
            };
            if done.is_ok() {
                *looked = Some(Instant::now());
            }
            drop(looked);
            // The caller may have gone away.
            let _ = reply.send(done);
        });
        answer.await.unwrap_or_else(|_| Err(broken_off()))
    }

    async fn look(&self, remote: &Remote, folder: &Path, most: u64) -> Result<(), GitError> {
        if !folder.join("HEAD").is_file() {
            self.git.init(folder).await?;
            self.git.set(folder, "uploadpack.allowFilter", "true").await?;
            self.git.set(folder, "http.receivepack", "false").await?;
        }
        leftovers(folder);
        let listed = self.git.list(folder, remote).await?;
        let what = COPYING;
        let mut command = self.git.command_below(folder, most);
        remote.equip(&mut command);
        for fault in OLD_FAULTS {
            command.args(["-c", &format!("fetch.fsck.{fault}=ignore")]);
        }
        command.args(["fetch", "--quiet", "--prune", "--force", "--no-tags", "--no-write-fetch-head"]);
        command.args(["--no-auto-maintenance", "--no-recurse-submodules", "--", &remote.address()]);
        command.args(["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"]);
        let said = self.git.say(what, command, nothing(), COPY).await?;
        let is_larger = || GitError::TooLarge {
            what: "the repository",
            limit: format!("{} (`git.mirror_limit`)", size(most)),
        };
        match said.code {
            Some(0) => {}
            // The limit of a file's size ends it by a signal, or a part of it whose end it tells of.
            None => return Err(is_larger()),
            Some(_) if said.stderr.contains("signal 25") || size_of(folder) >= most => {
                return Err(is_larger());
            }
            code => {
                return Err(GitError::Refused { what, why: remote.clean(&last_words(&said.stderr, code)) });
            }
        }
        // It stays: objects of waiting pushes build on it.
        if size_of(folder) > most {
            return Err(is_larger());
        }
        if let Some(first) = listed.first.filter(|name| is_ref_name(name)) {
            let args = ["symbolic-ref", "HEAD", &first];
            self.git.run(Job::new("noting the first branch", folder, args, ASK)).await?;
        }
        let mark = folder.join("mimir-mirror");
        std::fs::write(&mark, format!("{}\n", remote.repository))
            .map_err(|error| GitError::folder(&mark, error))
    }

    async fn heads(&self, folder: &Path) -> Result<Heads, GitError> {
        let args = ["for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", "refs/tags"];
        let said = self.git.run(Job::new("reading the copy", folder, args, ASK)).await?;
        let text = String::from_utf8_lossy(&said);
        let heads = text.lines().filter_map(|line| line.split_once(' '));
        Ok(heads.map(|(id, name)| (name.to_owned(), id.to_owned())).collect())
    }

    /// Removes those that nobody has looked at for so long, unless they are needed.
    pub fn tidy(&self, unused: Duration, is_needed: impl Fn(&Path) -> bool) {
        for entry in std::fs::read_dir(&*self.root).into_iter().flatten().flatten() {
            let folder = entry.path();
            let mark = std::fs::metadata(folder.join("mimir-mirror")).and_then(|found| found.modified());
            let is_old = mark.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > unused));
            if is_old
                && !is_needed(&folder)
                && let Err(error) = std::fs::remove_dir_all(&folder)
            {
                tracing::warn!(%error, "{} cannot be removed: {error}", folder.display());
            }
        }
    }
}

fn broken_off() -> GitError {
    GitError::Broken { what: COPYING, source: std::io::Error::other("the gateway stops") }
}

impl Git {
    async fn set(&self, repository: &Path, key: &str, value: &str) -> Result<(), GitError> {
        self.run(Job::new("configuring a repository", repository, ["config", key, value], ASK))
            .await
            .map(drop)
    }
}
