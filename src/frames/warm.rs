//! Frames that run before anybody needs them (`frames.warm`), so that a run does not wait for an agent to begin.
//!
//! ```text
//!  a run needs a throwaway frame with a folder of its own
//!     │ one of its kind is ready ──► claim: its row becomes the run's, in one compare-and-set, and is `starting` until it
//!     │                              was looked at like every frame after its start, and its host's side is open
//!     │ none is ──► made as ever
//!     └─► the kind is remembered, and kept ready from now on (one at a time, within the machine's memory)
//! ```
//!
//! A warm frame is a row like any other, with `warm` set, driven by the same task through the same states: what a killed
//! gateway was making is finished by the next one. Only the row says whose it is. Until it is claimed nobody is told of it,
//! nothing listens on its host's side (no broker, no ports), and its agent is not asked about its workspace, which is empty.
//! A claimed one never becomes nobody's again, not even when the database is restored from an older copy: that it was
//! somebody's is noted in its folder first.
//!
//! What is fixed at a start has to be the same for both: image, limits, network, owner, providers, rules: that is its *kind*
//! (see `kinds`); and word for word what it read at its start (configuration, environment, certificates), and how its container is
//! locked up, compared by digest when it is claimed, so one that was started before a setting changed, or by an older mimir, is not
//! given away but collected. Everything else follows the row: what it may reach, what it may push, its budget and its end. Frames that work in a folder of somebody's, have variables of
//! their own, graphics cards or a network of their own are always made as ever.
//!
//! One that fails or ends by itself is not begun again: it goes, and the next one of its kind waits.
//!
//! Inside it keeps the name that it was made with: `warm-…` stands in its prompt and as its host name.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::create::Reservation;
use super::driver::{Driver, millis};
use super::error::FrameError;
use super::git_config::HostGit;
use super::host::HostFacts;
use super::kinds::{MOST_KINDS, Recipe, digest_of, kind_of};
use super::memory::{Spare, spare};
use super::project::Remark;
use super::{Frames, Inner, ports};
use crate::clock::entropy_128;
use crate::model::frame::{Desired, Frame, FrameState};
use crate::model::git::FrameForge;
use crate::model::ids::FrameId;
use crate::model::names::FrameName;
use crate::model::origin::Origin;
use crate::model::policy::Rule;
use crate::model::port::PortRange;
use crate::model::principal::Principal;
use crate::runtime::StartContents;
use crate::store::frames::{self, NewFrame};
use crate::store::{StoreError, approvals, warm_frames};
use crate::supervisor::keyed::Next;

/// How long its agent may take to say that it is there before another one is taken.
const ANSWERS_WITHIN: Duration = Duration::from_millis(300);
/// How long one is looked for before a frame is made as ever.
const TAKEN_WITHIN: Duration = Duration::from_millis(500);
/// How long one may take to go whose ports somebody needs.
const GOES_WITHIN: Duration = Duration::from_secs(20);

/// What a look at what is kept goes by; asked once for all of them.
#[derive(Default)]
struct Look {
    host: Option<HostFacts>,
    /// Which image has that name.
    images: BTreeMap<String, Option<String>>,
}

impl Frames {
    /// One that is ready becomes the frame that is wanted. None when there is no such one.
    pub(super) async fn claim(
        &self,
        principal: &Principal,
        new: &NewFrame,
        rules: &[Rule],
        remarks: &[Remark],
        host: Option<HostGit>,
    ) -> Result<Option<Frame>, FrameError> {
        if self.inner.config.now().warm == 0 {
            return Ok(None);
        }
        let own = self.inner.folders(&new.id).workspace();
        let Some(kind) = kind_of(new, rules, &own) else { return Ok(None) };
        self.inner.warm.want(Recipe { kind: kind.clone(), like: new.clone(), rules: rules.to_vec() });
        let host = self.inner.host_facts_with(host);
        let claimed = self.claim_one_of(&kind, principal, new, remarks, &host).await?;
        if let Some(frame) = &claimed {
            self.inner.warm.works(&kind);
            self.inner.failpoints.hit("warm.after_claim").await;
            // Its driver looks at it and opens its host's side.
            self.inner.wake_driver(&frame.id);
        }
        self.inner.look_after_warm();
        Ok(claimed)
    }

    async fn claim_one_of(
        &self,
        kind: &str,
        principal: &Principal,
        new: &NewFrame,
        remarks: &[Remark],
        host: &HostFacts,
    ) -> Result<Option<Frame>, FrameError> {
        let end = Instant::now() + TAKEN_WITHIN;
        for row in self.inner.deps.store.read(|db| frames::list_warm(db)).await? {
            let fits = row.warm.as_deref() == Some(kind)
                && row.image_id == new.image_id
                && has_ports_of(&row, new.ports)
                && row.state == FrameState::Running
                && row.desired == Desired::Running;
            let in_hand = if fits { self.inner.warm.in_hand(&row.id) } else { None };
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            if in_hand.is_none()
                || self.inner.is_fresh(&row, host).await? != Some(true)
                || !self.inner.answers(&row.id, left.min(ANSWERS_WITHIN)).await
            {
                continue;
            }
            if !self.inner.folders(&row.id).take()? {
                continue;
            }
            self.inner.failpoints.hit("warm.before_claim").await;
            let claimed = self.make_theirs(principal, &row.id, kind, new, remarks).await?;
            if claimed.is_some() {
                return Ok(claimed);
            }
        }
        Ok(None)
    }

    async fn make_theirs(
        &self,
        principal: &Principal,
        id: &FrameId,
        kind: &str,
        new: &NewFrame,
        remarks: &[Remark],
    ) -> Result<Option<Frame>, FrameError> {
        let (principal, id, kind) = (principal.clone(), id.clone(), kind.to_owned());
        let (new, remarks) = (new.clone(), remarks.to_vec());
        let written = self.inner.deps.store.write(move |tx| {
            let Some(frame) = warm_frames::claim(tx, &id, &kind, &new)? else { return Ok(None) };
            let detail = json!({
                "frame": frame.id, "workspace": frame.workspace, "image": frame.image,
                "origin": frame.origin, "run": frame.run, "warm": true,
            });
            tx.audit(&principal, "frame.create", frame.name.as_str(), &detail)?;
            remarks.iter().try_for_each(|(code, text)| frames::note(tx, &frame.id, code, text))?;
            Ok(Some(frame))
        });
        written.await.map_err(|error| match error {
            StoreError::Taken { value, .. } => FrameError::NameTaken(value),
            other => other.into(),
        })
    }

    /// Collects what is not to be kept, and makes one that is missing.
    async fn keep_warm(&self) -> Result<(), FrameError> {
        let pool = &self.inner.warm;
        let most = self.inner.config.now().warm;
        let mut rows = self.inner.deps.store.read(|db| frames::list_warm(db)).await?;
        if most == 0 && rows.is_empty() {
            return Ok(());
        }
        rows.retain(|row| row.desired != Desired::Removed);
        let wanted = pool.wanted();
        let is_wanted = |kind: &str| wanted.iter().any(|recipe| recipe.kind == kind);
        // Of kinds that are needed first: there are only so many kinds.
        rows.sort_by_key(|row| !row.warm.as_deref().is_some_and(is_wanted));
        let spare = spare(&self.inner.deps.settings.meminfo);
        let room = rows.len() - usize::from(spare == Spare::TooLittle && !rows.is_empty());
        let mut look = Look::default();
        let mut kept: BTreeMap<String, usize> = BTreeMap::new();
        let mut is_starting = false;
        for (n, row) in rows.into_iter().enumerate() {
            let Some(kind) = row.warm.clone() else { continue };
            let so_many = kept.get(&kind).copied().unwrap_or_default();
            let is_one_too_many = so_many >= most || n >= room || (so_many == 0 && kept.len() >= MOST_KINDS);
            let may_be_asked_for = is_wanted(&kind) || self.is_as_configured(&row);
            if !is_one_too_many && may_be_asked_for && self.is_worth_keeping(&row, &mut look).await? {
                is_starting |= row.state != FrameState::Running;
                kept.insert(kind, so_many + 1);
            } else {
                self.inner.give_up_warm(&row, row.state != FrameState::Error).await?;
            }
        }
        let is_missing = |one: &Recipe| {
            kept.get(&one.kind).copied().unwrap_or_default() < most && pool.may_be_made(&one.kind)
        };
        match wanted.into_iter().find(is_missing) {
            Some(recipe) if !is_starting && spare == Spare::ForOneMore => self.make_warm(recipe).await,
            _ => Ok(()),
        }
    }

    /// Whether it may be given away one day: it did not fail, it was nobody's, its image is what it is called, and nothing
    /// that it was started with has changed.
    async fn is_worth_keeping(&self, row: &Frame, look: &mut Look) -> Result<bool, FrameError> {
        let is_over = row.expires_at.is_some_and(|at| at <= self.inner.deps.clock.now_ms());
        // In this order: whoever takes it has it in hand first.
        let is_taken = self.inner.folders(&row.id).is_taken();
        if self.inner.warm.is_in_hand(&row.id) {
            return Ok(true);
        }
        if is_over || is_taken || row.desired != Desired::Running || row.state == FrameState::Error {
            return Ok(false);
        }
        if !has_ports_of(row, self.inner.config.now().ports) {
            return Ok(false);
        }
        if !look.images.contains_key(&row.image) {
            let found = self.inner.deps.runtime.find_image(&row.image).await?;
            look.images.insert(row.image.clone(), found.map(|image| image.id));
        }
        if look.images.get(&row.image) != Some(&Some(row.image_id.clone())) {
            return Ok(false);
        }
        if row.state != FrameState::Running {
            return Ok(true);
        }
        if look.host.is_none() {
            look.host = Some(self.inner.host_facts().await);
        }
        let Some(host) = &look.host else { return Ok(true) };
        Ok(self.inner.is_fresh(row, host).await? != Some(false))
    }

    /// Whether somebody may ask for its like who asks for nothing in particular.
    fn is_as_configured(&self, row: &Frame) -> bool {
        let config = self.inner.config.now();
        let is_granted = |name: &String| row.providers.contains(&name.trim().to_ascii_lowercase());
        row.image == config.image && row.limits == config.limits && config.providers.iter().all(is_granted)
    }

    async fn make_warm(&self, recipe: Recipe) -> Result<(), FrameError> {
        let deps = &self.inner.deps;
        let Recipe { kind, like, rules } = recipe;
        let Some(image) = deps.runtime.find_image(&like.image).await? else { return Ok(()) };
        let now_ms = deps.clock.now_ms();
        let id = FrameId::from_parts(now_ms, entropy_128());
        let workspace = self.inner.folders(&id).workspace();
        self.needs_room(&workspace)?;
        let range = self.inner.config.now().ports;
        if !ports::are_half_free(&deps.store, range).await? {
            // The rest is for frames that somebody needs.
            return Ok(());
        }
        let new = NewFrame {
            name: name_of(&id)?,
            project: None,
            origin: Origin::Run,
            run: None,
            workspace: workspace.display().to_string(),
            forge: FrameForge::default(),
            allow: Vec::new(),
            image_id: image.id,
            expires_at: Some(now_ms + millis(deps.settings.warm_lifetime)),
            ports: range,
            avoid: ports::busy_ports(&deps.store, range, 2).await?,
            given: String::new(),
            id: id.clone(),
            ..like
        };
        let _reservation = Reservation::of(self, &id);
        let of_kind = kind.clone();
        let written = deps.store.write(move |tx| {
            let frame = warm_frames::insert(tx, &new, &of_kind)?;
            approvals::set_rules(tx, &frame.id, &rules)?;
            Ok(frame)
        });
        let frame = written.await.map_err(|error| ports::no_free_port(error, range))?;
        self.inner.failpoints.hit("warm.after_row").await;
        if let Err(error) = self.inner.provision(&frame).await {
            self.inner.warm.failed(&kind, deps.settings.tick);
            self.undo(&frame).await;
            return Err(error);
        }
        self.inner.failpoints.hit("warm.after_container").await;
        Ok(())
    }
}

/// Whether it listens where frames are to listen.
fn has_ports_of(row: &Frame, range: PortRange) -> bool {
    range.contains(row.agent_port) && range.contains(row.preview_port)
}

fn name_of(id: &FrameId) -> Result<FrameName, FrameError> {
    let text = id.as_str().to_ascii_lowercase();
    let own = text.rsplit('_').next().unwrap_or_default();
    let name = format!("warm-{}", &own[own.len().saturating_sub(10)..]);
    FrameName::parse(&name).map_err(|error| FrameError::Invalid { field: "name", why: error.to_string() })
}

impl Inner {
    /// Has somebody look after what is kept ready, soon. What is in the way is tried again at the next look around.
    pub(super) fn look_after_warm(self: &Arc<Self>) {
        let frames = Frames { inner: self.clone() };
        self.warm.looks.wake(&"all", move |_| {
            let frames = frames.clone();
            async move {
                if let Err(error) = frames.keep_warm().await {
                    tracing::debug!(%error, "no frame is kept ready now: {error}");
                }
                Next::Done
            }
        });
    }

    /// It goes, unless it is somebody's by now. One that does not work has the next one wait.
    async fn give_up_warm(self: &Arc<Self>, row: &Frame, works: bool) -> Result<(), FrameError> {
        let id = row.id.clone();
        if !self.deps.store.write(move |tx| warm_frames::give_up(tx, &id)).await? {
            return Ok(());
        }
        if let Some(kind) = row.warm.as_deref().filter(|_| !works) {
            self.warm.failed(kind, self.deps.settings.tick);
        }
        self.failpoints.hit("warm.after_give_up").await;
        self.wake_driver(&row.id);
        Ok(())
    }

    /// Has the newest of them go, and waits until it is gone. Says whether one went, or became somebody's.
    pub(super) async fn a_warm_one_makes_way(self: &Arc<Self>) -> Result<bool, FrameError> {
        let rows = self.deps.store.read(|db| frames::list_warm(db)).await?;
        let goes_already = rows.iter().find(|row| row.desired == Desired::Removed);
        let Some(row) = goes_already.or_else(|| rows.last()) else { return Ok(false) };
        self.give_up_warm(row, true).await?;
        let end = Instant::now() + GOES_WITHIN;
        while self.row(&row.id).await?.is_some_and(|row| row.warm.is_some()) {
            if Instant::now() >= end {
                return Ok(false);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(true)
    }

    /// Notes what a frame that is nobody's is about to read.
    pub(super) async fn note_warm_files(
        &self,
        frame: &Frame,
        contents: &StartContents,
    ) -> Result<(), FrameError> {
        if frame.warm.is_none() {
            return Ok(());
        }
        let digest = digest_of(contents, &self.deps.runtime.hardening());
        let (id, start) = (frame.id.clone(), contents.start);
        self.deps.store.write(move |tx| warm_frames::set_files(tx, &id, start, &digest)).await?;
        self.failpoints.hit("warm.after_digest").await;
        Ok(())
    }

    /// Whether it would be started with the same now. Nobody knows while git does not say who commits: that is no reason to
    /// let it go, and none to give it away.
    async fn is_fresh(&self, row: &Frame, host: &HostFacts) -> Result<Option<bool>, FrameError> {
        if host.git.is_none() {
            return Ok(None);
        }
        let id = row.id.clone();
        let Some(read) = self.deps.store.read(move |db| warm_frames::files(db, &id)).await? else {
            return Ok(Some(false));
        };
        let given = self.deps.start_files.secrets(row).await;
        let contents = self.start_contents(row, false, given, host).await;
        Ok(Some(digest_of(&contents, &self.deps.runtime.hardening()) == read))
    }

    async fn answers(&self, id: &FrameId, within: Duration) -> bool {
        match self.client(id).await {
            Ok(Some(client)) => client.health(within).await.is_ok(),
            _ => false,
        }
    }
}

impl Driver {
    /// Whether it may begin now: people's frames come first, and have taken memory since its row was made.
    pub(super) fn may_start_warm(&mut self) -> bool {
        if self.memory.start_permit.is_none() {
            let settings = &self.inner.deps.settings;
            let all = settings.config.parallel_starts.max(1);
            let is_quiet =
                self.inner.starts.available_permits() >= all && self.inner.creating.lock().is_empty();
            let may = is_quiet && spare(&settings.meminfo) == Spare::ForOneMore;
            let permit = may.then(|| self.inner.warm.starts.clone().try_acquire_owned().ok()).flatten();
            self.memory.start_permit = permit;
        }
        self.memory.start_permit.is_some()
    }

    /// It ended by itself: nobody misses it.
    pub(super) async fn let_warm_go(&mut self, frame: &Frame) -> Result<Next, FrameError> {
        self.inner.give_up_warm(frame, false).await?;
        Ok(Next::Again)
    }

    /// Whether it is somebody's since it was looked at last: then nothing that was seen of it counts any more.
    pub(super) fn is_taken_over(&mut self, frame: &Frame) -> bool {
        let is_so = self.memory.was_warm && frame.warm.is_none();
        if is_so {
            self.memory.was_warm = false;
            self.memory.kept_apart = false;
            // It was noted nowhere while it was nobody's.
            self.memory.told_of_users = None;
        }
        is_so
    }
}
