//! What frames push, from its arrival to its end: checked, held for a look where there is a reason for it, and passed on
//! to the forge.
//!
//! ```text
//!  frame ── git push ──► broker ──► receive: a parcel on top of the mirror, every object checked
//!                                     │ nothing to look at, mode direct      │ a reason to wait
//!                                     ▼                                      ▼
//!                                  approved ◄──────── approve ──────────  waiting ── reject ──► rejected
//!                                     │ one task for each push; repeated after a crash
//!                                     ▼
//!                                  the forge: where it shall be already is done
//! ```
//!
//! Not here: how git is run (see `git`), and what a frame's requests look like (`broker`).

mod error;
mod judge;
mod receive;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use error::PushError;
pub use receive::{Body, GATE};

use crate::config::Live;
use crate::config::schema::Git as Settings;
use crate::git::{Credentials, Git, Inbox, Mirrors, Patches, Pushed, ReadRequest, Remote, Served};
use crate::model::git::{BranchRule, ForgeHost, FrameForge, Push, PushState, Repository};
use crate::model::ids::FrameId;
use crate::model::names::FrameName;
use crate::model::principal::Principal;
use crate::secrets::Vault;
use crate::store::{Store, StoreError, Tx, frames, pushes, runs};
use crate::supervisor::failpoint::Failpoints;
use crate::supervisor::keyed::{Keyed, Next};
use crate::supervisor::{Service, Tasks};

/// How long an approval, or a direct push, waits for the forge's answer.
const FORGE: Duration = Duration::from_secs(150);
/// How old a mirror may be with which a push is compared. The forge compares once more, when it is passed on.
const COMPARED: Duration = Duration::from_secs(30);
/// How many finished pushes a list shows.
const LISTED: u32 = 200;
/// How often leftovers are searched for.
const TIDY_EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// A mirror that was not used for so long is removed.
const UNUSED: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// What pushes are made of.
pub struct PushesDeps {
    /// What opens forges.
    pub credentials: Credentials,
    /// The database.
    pub store: Store,
    /// Owner of what passes them on.
    pub tasks: Tasks,
    /// What must not leave.
    pub vault: Vault,
    /// From the configuration.
    pub settings: Live<Settings>,
    /// The home: what is kept lies in its folder `git`.
    pub home: std::path::PathBuf,
}

/// The frame that asks.
#[derive(Clone, Debug)]
pub struct Asker {
    /// Which.
    pub frame: FrameId,
    /// Its name.
    pub name: FrameName,
    /// What it may push where.
    pub forge: FrameForge,
    /// Its repository.
    pub repository: Repository,
}

/// What frames push. Cheap to clone.
#[derive(Clone)]
pub struct Pushes {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    tasks: Tasks,
    vault: Vault,
    failpoints: Failpoints,
    settings: Live<Settings>,
    git: Git,
    mirrors: Mirrors,
    inbox: Inbox,
    credentials: Credentials,
    on_their_way: Keyed<u64>,
    ended: watch::Sender<u64>,
}

impl Pushes {
    /// Makes the service.
    #[must_use]
    pub fn new(deps: PushesDeps) -> Self {
        let root = deps.home.join("git");
        let git = Git::new(&root.join("home"));
        let inner = Inner {
            failpoints: deps.tasks.failpoints(),
            mirrors: Mirrors::new(git.clone(), deps.tasks.clone(), &root.join("mirrors")),
            inbox: Inbox::new(git.clone(), &root.join("pushes")),
            credentials: deps.credentials,
            on_their_way: Keyed::new(&deps.tasks, "push", |_| ()),
            ended: watch::channel(0).0,
            store: deps.store,
            tasks: deps.tasks,
            vault: deps.vault,
            settings: deps.settings,
            git,
        };
        Self { inner: Arc::new(inner) }
    }

    /// The forge at that host, if it is one.
    #[must_use]
    pub fn forge(&self, host: &str) -> Option<ForgeHost> {
        self.inner.credentials.forge(host)
    }

    /// A repository at its forge, with what opens it.
    ///
    /// # Errors
    /// [`PushError::NotTheirs`] for a host that is no forge, [`PushError::Credential`].
    pub async fn remote(&self, repository: &Repository) -> Result<Remote, PushError> {
        let forge = self.forge(repository.host()).ok_or_else(|| {
            let text =
                format!("{} is no forge that mimir knows; `git.hosts` lists others", repository.host());
            PushError::NotTheirs(text)
        })?;
        let credential = self.inner.credentials.of(&forge, repository).await?;
        Ok(Remote { repository: repository.clone(), forge, credential })
    }

    /// Which branches a frame may push: those of the configuration, and its own.
    #[must_use]
    pub fn rules(&self, forge: &FrameForge) -> Vec<BranchRule> {
        let settings = self.inner.settings.now();
        let all = settings.branches.iter().chain(&forge.branches);
        all.filter_map(|text| BranchRule::parse(text).ok()).collect()
    }

    /// Answers a question of a frame with a gate about its repository, from the mirror.
    ///
    /// # Errors
    /// See [`PushError`].
    pub async fn read(&self, asker: &Asker, asked: ReadRequest) -> Result<Served, PushError> {
        let remote = self.remote(&asker.repository).await?;
        let settings = self.inner.settings.now();
        // What a client was told a moment ago must still hold when it asks for it.
        let age = if asked.path == "info/refs" { settings.refresh } else { Duration::MAX };
        let mirror = self.inner.mirrors.fresh(&remote, age, settings.mirror_limit).await?;
        let served = self.inner.git.serve(&mirror.folder, asked).await?;
        let body = self.with_news(&asker.frame, served.body).await?;
        Ok(Served { body, ..served })
    }

    /// Those that are not over, or the newest ones.
    ///
    /// # Errors
    /// Only the database's.
    pub async fn list(&self, frame: Option<FrameName>, all: bool) -> Result<Vec<Push>, StoreError> {
        self.inner
            .store
            .read(move |db| match all {
                true => pushes::list(db, frame.as_ref(), LISTED),
                false => pushes::open(db, frame.as_ref()),
            })
            .await
    }

    /// One of them.
    ///
    /// # Errors
    /// [`PushError::NotFound`].
    pub async fn get(&self, id: u64) -> Result<Push, PushError> {
        let found = self.inner.store.read(move |db| pushes::find(db, id)).await?;
        found.ok_or(PushError::NotFound(id))
    }

    /// What is in it; nothing once it is over.
    ///
    /// # Errors
    /// [`PushError::Git`].
    pub async fn patches(&self, push: &Push) -> Result<Patches, PushError> {
        if push.state.is_over() {
            return Ok(Patches::default());
        }
        let known = self.inner.mirrors.known(&push.repository).await?;
        Ok(self.inner.inbox.open(&push.folder).patches(&push.updates, &known, false).await?)
    }

    /// Lets a push go on to the forge, and waits a while for what that says. May be repeated when it failed.
    ///
    /// # Errors
    /// [`PushError::NotFound`], [`PushError::TooLate`].
    pub async fn approve(&self, principal: &Principal, id: u64) -> Result<Push, PushError> {
        let (pushes, principal) = (self.clone(), principal.clone());
        // An approval is carried out even if its caller does not wait for the result.
        let work = async move { pushes.approve_now(principal, id).await };
        self.inner.tasks.run_to_end("approval of a push", work).await.unwrap_or(Err(PushError::Stopping))?;
        self.wait(id).await
    }

    async fn approve_now(&self, principal: Principal, id: u64) -> Result<(), PushError> {
        let decided = self.inner.store.write_as(move |tx| {
            let push = pushes::find(tx, id)?.ok_or(PushError::NotFound(id))?;
            // Already approved, perhaps by a caller that went away before the push was passed on.
            if push.state == PushState::Approved {
                return Ok(push);
            }
            if !push.state.can_be_decided() {
                return Err(PushError::TooLate { id, state: push.state });
            }
            let push = pushes::approve(tx, id, &principal.to_string())?;
            tx.audit(&principal, "push.approve", push.frame_name.as_str(), &detail(&push))?;
            tell_its_run(tx, &principal, id, "approved")?;
            Ok(push)
        });
        let push = decided.await?;
        self.inner.failpoints.hit("push.after_approval").await;
        self.pass_on(push.id);
        Ok(())
    }

    /// Ends a push that shall not go on. Its frame is told why.
    ///
    /// # Errors
    /// [`PushError::NotFound`], [`PushError::TooLate`].
    pub async fn reject(
        &self,
        principal: &Principal,
        id: u64,
        why: Option<String>,
    ) -> Result<Push, PushError> {
        let principal = principal.clone();
        let decided = self.inner.store.write_as(move |tx| {
            let push = pushes::find(tx, id)?.ok_or(PushError::NotFound(id))?;
            if !push.state.can_be_decided() {
                return Err(PushError::TooLate { id, state: push.state });
            }
            let by = principal.to_string();
            let from = [PushState::Waiting, PushState::Failed];
            let push = pushes::end(tx, id, &from, PushState::Rejected, Some(&by), why.as_deref())?;
            tx.audit(&principal, "push.reject", push.frame_name.as_str(), &detail(&push))?;
            frames::note(tx, &push.frame, "push_rejected", &became(&push))?;
            tell_its_run(tx, &principal, id, "rejected")?;
            Ok(push)
        });
        let push = decided.await?;
        self.inner.inbox.remove(&push.folder);
        Ok(push)
    }

    /// Sees to it that an approved push comes to the forge.
    fn pass_on(&self, id: u64) {
        let pushes = self.clone();
        self.inner.on_their_way.wake(&id, move |pass| {
            let pushes = pushes.clone();
            async move {
                match pushes.deliver(pass.key).await {
                    Ok(()) => Next::Done,
                    Err(error) => {
                        tracing::warn!(%error, "push {} cannot be passed on yet: {error}", pass.key);
                        Next::Backoff
                    }
                }
            }
        });
    }

    /// One try. What the forge says ends it; only what is wrong here is tried again.
    async fn deliver(&self, id: u64) -> Result<(), PushError> {
        let inner = &self.inner;
        let push = self.get(id).await?;
        if push.state != PushState::Approved {
            return Ok(());
        }
        inner.failpoints.hit("push.before_forge").await;
        let pushed = match self.remote(&push.repository).await {
            Ok(remote) => {
                inner.inbox.open(&push.folder).push(&remote, &push.updates).await.map_err(PushError::from)
            }
            Err(error) => Err(error),
        };
        inner.failpoints.hit("push.after_forge").await;
        let refused = match pushed {
            Ok(each) => {
                let why = each.into_iter().filter_map(|(name, pushed)| match pushed {
                    Pushed::Done => None,
                    Pushed::Refused(why) => Some(format!("{name}: {why}")),
                });
                why.collect::<Vec<_>>().join("; ")
            }
            Err(PushError::Store(error)) => return Err(error.into()),
            Err(error) => error.to_string(),
        };
        let (to, why) = match refused.is_empty() {
            true => (PushState::Pushed, None),
            false => (PushState::Failed, Some(refused)),
        };
        let written = inner.store.write(move |tx| {
            let push = pushes::end(tx, id, &[PushState::Approved], to, None, why.as_deref())?;
            let code = if to == PushState::Pushed { "pushed" } else { "push_failed" };
            frames::note(tx, &push.frame, code, &became(&push))?;
            Ok(push)
        });
        let push = written.await?;
        inner.failpoints.hit("push.after_row").await;
        if push.state.is_over() {
            inner.inbox.remove(&push.folder);
        }
        inner.mirrors.forget_look(&push.repository).await;
        inner.ended.send_modify(|count| *count += 1);
        Ok(())
    }

    /// Waits until it has ended, for a limited time.
    async fn wait(&self, id: u64) -> Result<Push, PushError> {
        let end = Instant::now() + FORGE;
        let mut ended = self.inner.ended.subscribe();
        loop {
            drop(ended.borrow_and_update());
            let push = self.get(id).await?;
            let left = end.saturating_duration_since(Instant::now());
            if push.state != PushState::Approved || left.is_zero() {
                return Ok(push);
            }
            // At the end of the time it is looked once more.
            let _ = tokio::time::timeout(left, ended.changed()).await.is_ok();
        }
    }

    async fn tidy(&self) -> Result<(), StoreError> {
        let open = self.inner.store.read(|db| pushes::open(db, None)).await?;
        let (inbox, mirrors) = (self.inner.inbox.clone(), self.inner.mirrors.clone());
        let folders: Vec<String> = open.iter().map(|push| push.folder.clone()).collect();
        let needed: Vec<_> = open.iter().map(|push| mirrors.folder(&push.repository)).collect();
        let work = move || {
            inbox.keep_only(&folders);
            mirrors.tidy(UNUSED, |folder: &Path| needed.iter().any(|one| one == folder));
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| StoreError::Closed)
    }
}

impl Service for Pushes {
    const NAME: &'static str = "pushes";

    /// Passes on what an earlier gateway had not, and removes what nobody needs.
    async fn run(&self, stop: CancellationToken) {
        let open = self.inner.store.read(|db| pushes::open(db, None)).await;
        match open {
            Ok(open) => {
                let approved = open.iter().filter(|push| push.state == PushState::Approved);
                approved.for_each(|push| self.pass_on(push.id));
            }
            Err(error) => tracing::error!(%error, "pushes that were approved cannot be read: {error}"),
        }
        loop {
            if let Err(error) = self.tidy().await {
                tracing::warn!(%error, "copies of repositories cannot be tidied: {error}");
            }
            if tokio::time::timeout(TIDY_EVERY, stop.cancelled()).await.is_ok() {
                return;
            }
        }
    }
}

/// What stands in audit rows.
fn detail(push: &Push) -> serde_json::Value {
    json!({
        "push": push.id, "frame": push.frame, "repository": push.repository, "updates": push.updates,
        "held_because": push.held_because, "reason": push.reason,
    })
}

/// What became of a push, in a sentence: for its frame, and for whoever reads what happened.
fn became(push: &Push) -> String {
    let what = format!("push {} ({} of {})", push.id, push.names(), push.repository);
    let because = push.reason.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
    match push.state {
        PushState::Waiting => {
            format!(
                "{what} waits for a look, {}: `mimir push show {}`",
                push.held_because.join("; "),
                push.id
            )
        }
        PushState::Approved => format!("{what} is on its way to the forge"),
        PushState::Pushed => format!("{what} is at the forge"),
        PushState::Rejected => format!("{what} was rejected{because}"),
        PushState::Failed => format!("{what} was not taken by the forge{because}"),
        PushState::Replaced => format!("{what} was replaced by another one"),
    }
}

/// Wakes the run that waits for that push; one that decides about its own has no need of it.
fn tell_its_run(tx: &mut Tx<'_>, by: &Principal, id: u64, what: &str) -> Result<(), StoreError> {
    if matches!(by, Principal::Service { .. }) {
        return Ok(());
    }
    let (why, link) = (format!("{by} {what} push {id}"), format!("mimir push show {id}"));
    runs::wake_named_with(tx, &pushes::run_name(id), &why, Some(link.as_str())).map(drop)
}
