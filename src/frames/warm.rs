//! Frames that run before anybody needs them (`frames.warm`), so that a run does not wait for an agent to begin.
//!
//! ```text
//!  a run needs a throwaway frame with a folder of its own
//!     │ one of its kind is ready ──► claim: its row becomes the run's, in one compare-and-set ──► host's side opened
//!     │ none is ──► made as ever
//!     └─► the kind is remembered, and kept ready from now on (one at a time, within the machine's memory)
//! ```
//!
//! A warm frame is a row like any other, with `warm` set, driven by the same task through the same states: what a killed
//! gateway was making is finished by the next one. Only the row says whose it is. Until it is claimed nobody is told of it,
//! nothing listens on its host's side (no broker, no ports), and its agent is not asked about its workspace, which is empty.
//! A claimed one never becomes nobody's again.
//!
//! What is fixed at a start has to be the same for both: image, limits, network, owner, providers, rules: that is its *kind*;
//! and word for word what it read at its start (configuration, environment), compared by digest when it is claimed, so one that
//! was started before a setting changed is not given away but collected. Everything else follows the row: what it may reach,
//! what it may push, its budget and its end. Frames that work in a folder of somebody's, have variables of their own, graphics
//! cards or a network of their own are always made as ever.
//!
//! Inside it keeps the name that it was made with: `warm-…` stands in its prompt and as its host name.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::create::Reservation;
use super::driver::Driver;
use super::error::FrameError;
use super::project::Remark;
use super::{Frames, Inner, ports};
use crate::clock::entropy_128;
use crate::model::frame::{Desired, Frame, FrameState};
use crate::model::git::FrameForge;
use crate::model::ids::FrameId;
use crate::model::names::FrameName;
use crate::model::network::NetworkMode;
use crate::model::origin::Origin;
use crate::model::policy::Rule;
use crate::model::principal::Principal;
use crate::runtime::StartContents;
use crate::store::frames::{self, NewFrame};
use crate::store::{StoreError, approvals, warm_frames};
use crate::supervisor::keyed::Next;

/// How many kinds are kept ready; the one that was needed longest ago is forgotten first.
const MOST_KINDS: usize = 4;
/// One that nobody took for so long goes; it is made anew if its kind is still needed.
const LIFETIME_MS: u64 = 24 * 60 * 60 * 1000;
/// What an agent takes that does nothing, and some more.
const ROOM: u64 = 512 << 20;
/// So much, or a tenth of the machine's memory if that is more, stays free besides.
const KEEP_FREE: u64 = 1 << 30;
/// How long its agent may take to say that it is there before another one is taken.
const ANSWERS_WITHIN: Duration = Duration::from_millis(300);

/// What is kept ready.
#[derive(Default)]
pub(super) struct Pool {
    /// Kinds that were needed, the last one at the end. Lost with the gateway: the next need brings it back.
    wanted: Mutex<Vec<Recipe>>,
    /// One looks after it at a time.
    busy: tokio::sync::Mutex<()>,
}

/// How another one of a kind is made.
#[derive(Clone)]
struct Recipe {
    kind: String,
    like: NewFrame,
    rules: Vec<Rule>,
}

impl Pool {
    fn want(&self, recipe: Recipe) {
        let mut wanted = self.wanted.lock();
        wanted.retain(|known| known.kind != recipe.kind);
        wanted.push(recipe);
        if wanted.len() > MOST_KINDS {
            wanted.remove(0);
        }
    }
}

/// The kind of a frame; none for one that cannot be started before it is known whose it is.
fn kind_of(new: &NewFrame, rules: &[Rule], own_workspace: &Path) -> Option<String> {
    let fits = new.desired == Desired::Running
        && new.expires_at.is_some()
        && Path::new(&new.workspace) == own_workspace
        && new.network != NetworkMode::Open
        && new.env.is_empty()
        && new.git.is_none()
        && !new.gpu;
    let all =
        json!([new.image, new.network, new.limits, [new.owner_uid, new.owner_gid], new.providers, rules,]);
    fits.then(|| hex::encode(Sha256::digest(all.to_string()))[..16].to_owned())
}

/// A word for all that a frame reads at its start but the password, which is its own.
fn digest_of(contents: &StartContents) -> String {
    let mut digest = Sha256::new();
    for text in [&contents.agent_config, &contents.env, &contents.git_config] {
        digest.update(text.as_bytes());
        digest.update([0]);
    }
    for (name, secret) in &contents.secrets {
        digest.update(name.as_bytes());
        digest.update([0]);
        digest.update(secret.reveal().as_bytes());
        digest.update([0]);
    }
    hex::encode(digest.finalize())
}

impl Frames {
    /// One that is ready becomes the frame that is wanted. None when there is no such one.
    pub(super) async fn claim(
        &self,
        principal: &Principal,
        new: &NewFrame,
        rules: &[Rule],
        remarks: &[Remark],
    ) -> Result<Option<Frame>, FrameError> {
        if self.inner.config.now().warm == 0 {
            return Ok(None);
        }
        let own = self.inner.folders(&new.id).workspace();
        let Some(kind) = kind_of(new, rules, &own) else { return Ok(None) };
        self.inner.warm.want(Recipe { kind: kind.clone(), like: new.clone(), rules: rules.to_vec() });
        let mut claimed = None;
        for row in self.inner.deps.store.read(|db| frames::list_warm(db)).await? {
            let fits = row.warm.as_ref() == Some(&kind)
                && row.image_id == new.image_id
                && row.state == FrameState::Running
                && row.desired == Desired::Running;
            if !fits || !self.inner.is_fresh(&row).await? || !self.inner.answers(&row.id).await {
                continue;
            }
            self.inner.failpoints.hit("warm.before_claim").await;
            claimed = self.make_theirs(principal, &row.id, &kind, new, remarks).await?;
            if claimed.is_some() {
                break;
            }
        }
        if let Some(frame) = &claimed {
            self.inner.failpoints.hit("warm.after_claim").await;
            // Whoever waits for it waits until its driver has seen whose it is.
            self.inner.wake_driver_with(&frame.id, |handle| {
                handle.seen.send_modify(|seen| seen.settled = None);
            });
            tracing::info!(frame.id = %frame.id, "frame {} was ready before it was needed", frame.name);
        }
        let frames = self.clone();
        self.inner.deps.tasks.spawn_once("warm frames", move |stop| async move {
            tokio::select! {
                () = frames.keep_warm() => {}
                () = stop.cancelled() => {}
            }
        });
        Ok(claimed)
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

    /// Collects what is not to be kept, and makes one that is missing. What is in the way is tried again at the next look.
    pub(super) async fn keep_warm(&self) {
        let _one = self.inner.warm.busy.lock().await;
        if let Err(error) = self.look_after_warm().await {
            tracing::debug!(%error, "no frame is kept ready now: {error}");
        }
    }

    async fn look_after_warm(&self) -> Result<(), FrameError> {
        let most = self.inner.config.now().warm;
        let rows = self.inner.deps.store.read(|db| frames::list_warm(db)).await?;
        let mut kept: BTreeMap<String, usize> = BTreeMap::new();
        let mut is_starting = false;
        for row in rows.into_iter().filter(|row| row.desired != Desired::Removed) {
            let Some(kind) = row.warm.clone() else { continue };
            let so_many = kept.get(&kind).copied().unwrap_or_default();
            if so_many < most && self.is_worth_keeping(&row).await? {
                is_starting |= row.state != FrameState::Running;
                kept.insert(kind, so_many + 1);
                continue;
            }
            let id = row.id.clone();
            if self.inner.deps.store.write(move |tx| warm_frames::give_up(tx, &id)).await? {
                self.inner.failpoints.hit("warm.after_give_up").await;
                self.inner.wake_driver(&row.id);
            }
        }
        let wanted = self.inner.warm.wanted.lock().clone();
        let missing =
            wanted.into_iter().rev().find(|one| kept.get(&one.kind).copied().unwrap_or_default() < most);
        match missing {
            Some(recipe) if !is_starting && has_room(&meminfo()) => self.make_warm(recipe).await,
            _ => Ok(()),
        }
    }

    /// Whether it may be given away one day: it did not fail, its image is what it is called, and nothing that it read at
    /// its start has changed.
    async fn is_worth_keeping(&self, row: &Frame) -> Result<bool, FrameError> {
        if row.desired != Desired::Running || row.state == FrameState::Error {
            return Ok(false);
        }
        let image = self.inner.deps.runtime.find_image(&row.image).await?;
        if image.is_none_or(|image| image.id != row.image_id) {
            return Ok(false);
        }
        Ok(row.state != FrameState::Running || self.inner.is_fresh(row).await?)
    }

    async fn make_warm(&self, recipe: Recipe) -> Result<(), FrameError> {
        let deps = &self.inner.deps;
        let Recipe { kind, like, rules } = recipe;
        let Some(image) = deps.runtime.find_image(&like.image).await? else { return Ok(()) };
        let now_ms = deps.clock.now_ms();
        let id = FrameId::from_parts(now_ms, entropy_128());
        let workspace = self.inner.folders(&id).workspace();
        self.needs_room(&workspace)?;
        let new = NewFrame {
            name: name_of(&id)?,
            project: None,
            origin: Origin::Run,
            run: None,
            workspace: workspace.display().to_string(),
            forge: FrameForge::default(),
            allow: Vec::new(),
            image_id: image.id,
            expires_at: Some(now_ms + LIFETIME_MS),
            avoid: ports::busy_ports(&deps.store, like.ports, 2).await?,
            given: String::new(),
            id: id.clone(),
            ..like
        };
        let _reservation = Reservation::of(self, &id);
        let range = new.ports;
        let written = deps.store.write(move |tx| {
            let frame = warm_frames::insert(tx, &new, &kind)?;
            approvals::set_rules(tx, &frame.id, &rules)?;
            Ok(frame)
        });
        let frame = written.await.map_err(|error| ports::no_free_port(error, range))?;
        self.inner.failpoints.hit("warm.after_row").await;
        if let Err(error) = self.inner.provision(&frame).await {
            self.undo(&frame).await;
            return Err(error);
        }
        self.inner.failpoints.hit("warm.after_container").await;
        Ok(())
    }
}

fn name_of(id: &FrameId) -> Result<FrameName, FrameError> {
    let text = id.as_str().to_ascii_lowercase();
    let own = text.rsplit('_').next().unwrap_or_default();
    let name = format!("warm-{}", &own[own.len().saturating_sub(10)..]);
    FrameName::parse(&name).map_err(|error| FrameError::Invalid { field: "name", why: error.to_string() })
}

impl Inner {
    /// Notes what a frame that is nobody's is about to read.
    pub(super) async fn note_warm_files(
        &self,
        frame: &Frame,
        contents: &StartContents,
    ) -> Result<(), FrameError> {
        if frame.warm.is_none() {
            return Ok(());
        }
        let (id, start, digest) = (frame.id.clone(), contents.start, digest_of(contents));
        Ok(self.deps.store.write(move |tx| warm_frames::set_files(tx, &id, start, &digest)).await?)
    }

    /// Whether it would read the same if it were started now.
    async fn is_fresh(&self, row: &Frame) -> Result<bool, FrameError> {
        let id = row.id.clone();
        let Some(read) = self.deps.store.read(move |db| warm_frames::files(db, &id)).await? else {
            return Ok(false);
        };
        let given = self.deps.start_files.secrets(row).await;
        Ok(digest_of(&self.start_contents(row, false, given).await) == read)
    }

    async fn answers(&self, id: &FrameId) -> bool {
        match self.client(id).await {
            Ok(Some(client)) => client.health(ANSWERS_WITHIN).await.is_ok(),
            _ => false,
        }
    }
}

impl Driver {
    /// It is somebody's since the last look: it is looked at like one that was just started, and its host's side opened.
    pub(super) async fn take_over(&mut self, frame: &Frame) -> Result<Next, FrameError> {
        self.memory.kept_apart = false;
        self.check_isolation(frame).await?;
        self.attend(frame).await?;
        self.memory.was_warm = false;
        self.inner.failpoints.hit("warm.after_attend").await;
        self.warm_up(frame);
        Ok(Next::Again)
    }
}

fn meminfo() -> String {
    std::fs::read_to_string("/proc/meminfo").unwrap_or_default()
}

/// Whether the machine has memory for one more. Where nobody knows, it has not.
fn has_room(meminfo: &str) -> bool {
    let bytes = |key: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim_start_matches(':').split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib << 10)
    };
    match (bytes("MemTotal"), bytes("MemAvailable")) {
        (Some(total), Some(available)) => available >= ROOM + KEEP_FREE.max(total / 10),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_is_made_where_memory_is_short_or_nobody_knows() {
        let machine =
            |total: u64, free: u64| format!("MemTotal: {total} kB\nMemFree: 1 kB\nMemAvailable: {free} kB\n");
        let gib = 1 << 20;
        assert!(has_room(&machine(8 * gib, 2 * gib)));
        assert!(!has_room(&machine(8 * gib, gib)), "one and a half are asked for");
        assert!(!has_room(&machine(64 * gib, 6 * gib)), "a tenth of a large machine stays free");
        assert!(has_room(&machine(64 * gib, 8 * gib)));
        assert!(!has_room("") && !has_room("MemTotal: 1 kB\n"));
    }
}
