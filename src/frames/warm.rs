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
//! (see `kinds`); and word for word what it read at its start (configuration, environment, certificates), and how its
//! container is locked up, compared by digest when it is claimed: so one that was started before a setting changed, or by
//! an older mimir, is not given away but collected. Everything else follows the row: what it may reach, what it may push, its
//! budget and its end. Frames that work in a folder of somebody's, have variables of their own, graphics cards or a network of
//! their own are always made as ever.
//!
//! One that fails or ends by itself is not begun again: it goes, and the next one of its kind waits.
//!
//! Inside it keeps the name that it was made with: `warm-…` stands in its prompt and as its host name.
//!
//! Not here: which are kept, and which go (see `warm_pool`).

use std::time::{Duration, Instant};

use serde_json::json;

use super::driver::Driver;
use super::error::FrameError;
use super::git_config::HostGit;
use super::host::HostFacts;
use super::kinds::{Recipe, Why, digest_of, kind_of};
use super::memory::{Spare, spare};
use super::project::Remark;
use super::{Frames, Inner};
use crate::model::frame::{Desired, Frame, FrameState};
use crate::model::ids::FrameId;
use crate::model::names::FrameName;
use crate::model::policy::Rule;
use crate::model::port::PortRange;
use crate::model::principal::Principal;
use crate::runtime::StartContents;
use crate::store::frames::{self, NewFrame};
use crate::store::{StoreError, warm_frames};
use crate::supervisor::keyed::Next;

/// How long the agent of a warm frame may take to answer before another frame is tried.
const ANSWERS_WITHIN: Duration = Duration::from_millis(300);
/// How long a warm frame is searched for before a new one is made.
const TAKEN_WITHIN: Duration = Duration::from_millis(500);

impl Frames {
    /// Claims a ready warm frame for the request. None when there is none of that kind.
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
            // The driver observes it and opens the broker and the host ports.
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
            self.must_be_free(&new.name).await?;
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

    /// Checked again before the claim, which cannot be undone: another claim may have been faster.
    async fn must_be_free(&self, name: &FrameName) -> Result<(), FrameError> {
        let wanted = name.clone();
        match self.inner.deps.store.read(move |db| frames::find_by_name(db, &wanted)).await? {
            Some(_) => Err(FrameError::NameTaken(name.to_string())),
            None => Ok(()),
        }
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
}

/// Whether its ports are in the configured range.
pub(super) fn has_ports_of(row: &Frame, range: PortRange) -> bool {
    range.contains(row.agent_port) && range.contains(row.preview_port)
}

impl Inner {
    /// Notes the digest of what a warm frame is about to read.
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

    /// Whether it would be started with the same today. Unknown while git does not say who commits: it is then neither removed
    /// nor claimed.
    pub(super) async fn is_fresh(&self, row: &Frame, host: &HostFacts) -> Result<Option<bool>, FrameError> {
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
    /// Whether it may start now: people's frames come first and may have taken memory since its row was made.
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

    /// It failed, and is removed: it has no owner who would miss it.
    pub(super) async fn let_warm_go(&self, frame: &Frame, why: String) -> Result<Next, FrameError> {
        self.inner.give_up_warm(frame, Why::Failed(why)).await?;
        Ok(Next::Again)
    }

    /// Whether it was claimed since the last observation, which does not count any more then.
    pub(super) fn is_taken_over(&mut self, frame: &Frame) -> bool {
        let is_so = self.memory.was_warm && frame.warm.is_none();
        if is_so {
            self.memory.was_warm = false;
            self.memory.kept_apart = false;
            // Warm frames have no notes: it is written down at the claim.
            self.memory.told_of_users = None;
        }
        is_so
    }
}
