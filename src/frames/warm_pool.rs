//! The frames that are kept ready: which are kept, which go and why, and how the next one is made.
//!
//! One pass at a time goes over all warm frames: with each reconciliation, and whenever one was taken, became ready or failed.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::create::Reservation;
use super::driver::millis;
use super::error::FrameError;
use super::host::HostFacts;
use super::kinds::{MOST_KINDS, Recipe, Why};
use super::memory::{Spare, spare};
use super::warm::has_ports_of;
use super::{Frames, Inner, ports};
use crate::clock::entropy_128;
use crate::model::frame::{Desired, Frame, FrameState};
use crate::model::git::FrameForge;
use crate::model::ids::FrameId;
use crate::model::names::FrameName;
use crate::model::origin::Origin;
use crate::model::principal::Principal;
use crate::store::frames::{self, NewFrame};
use crate::store::{approvals, warm_frames};
use crate::supervisor::keyed::Next;

/// How long removals may take whose ports are needed, counted from the last one that was asked for.
const GOES_WITHIN: Duration = Duration::from_secs(20);
/// After so long the next frame is removed as well: the engine may be stuck with the one before.
const GOES_SOON: Duration = Duration::from_secs(2);
/// How long a caller waits for ports in all: as long as sixteen stuck removals take.
const ENDS_WITHIN: Duration = Duration::from_secs(20 + 2 * 16);

/// What a pass compares the warm frames with; read once for all of them.
#[derive(Default)]
struct Look {
    host: Option<HostFacts>,
    /// Which image has that name.
    images: BTreeMap<String, Option<String>>,
}

impl Frames {
    /// Why fewer frames are kept ready than wanted, if the last pass found a reason.
    #[must_use]
    pub fn why_not_kept_ready(&self) -> Option<String> {
        self.inner.warm.obstacle()
    }

    /// Removes what is not to be kept and makes one that is missing. Returns what keeps it from making more.
    async fn keep_warm(&self) -> Result<Option<String>, FrameError> {
        let pool = &self.inner.warm;
        let most = self.inner.config.now().warm;
        let mut rows = self.inner.deps.store.read(|db| frames::list_warm(db)).await?;
        if most == 0 && rows.is_empty() {
            return Ok(None);
        }
        rows.retain(|row| row.desired != Desired::Removed);
        let wanted = pool.wanted();
        let is_wanted = |kind: &str| wanted.iter().any(|recipe| recipe.kind == kind);
        // Kinds in the order of need; their number is limited.
        rows.sort_by_key(|row| !row.warm.as_deref().is_some_and(is_wanted));
        let spare = spare(&self.inner.deps.settings.meminfo);
        let room = rows.len() - usize::from(spare == Spare::TooLittle && !rows.is_empty());
        let mut look = Look::default();
        let mut kept: BTreeMap<String, usize> = BTreeMap::new();
        let (mut is_starting, mut waits) = (false, false);
        for (n, row) in rows.into_iter().enumerate() {
            let Some(kind) = row.warm.clone() else { continue };
            let so_many = kept.get(&kind).copied().unwrap_or_default();
            let why = match self.why_it_goes(&row, &mut look).await? {
                None if n >= room => Some(Why::Unneeded("the machine has too little memory for it")),
                None if so_many >= most || (so_many == 0 && kept.len() >= MOST_KINDS) => {
                    Some(Why::Unneeded("there are more than are to be kept"))
                }
                None if !is_wanted(&kind) && !self.is_as_configured(&row) => {
                    Some(Why::Unneeded("frames are made with another configuration now"))
                }
                why => why,
            };
            if let Some(why) = why {
                self.inner.give_up_warm(&row, why).await?;
            } else {
                is_starting |= row.state != FrameState::Running;
                waits |= row.state == FrameState::Created;
                kept.insert(kind, so_many + 1);
            }
        }
        let is_missing = |one: &Recipe| kept.get(&one.kind).copied().unwrap_or_default() < most;
        let missing: Vec<Recipe> = wanted.into_iter().filter(is_missing).collect();
        let is_enough = missing.is_empty() && !waits;
        match missing.into_iter().find(|one| pool.may_be_made(&one.kind)) {
            _ if is_enough => Ok(None),
            _ if spare != Spare::ForOneMore => {
                Ok(Some("the machine has too little memory to spare".to_owned()))
            }
            _ if is_starting => Ok(None),
            Some(recipe) => self.make_warm(recipe).await,
            None => Ok(Some("the last one did not work, and the next one has to wait".to_owned())),
        }
    }

    /// Why this warm frame can never be claimed. None while it has not failed, was never claimed, its image is still the one of
    /// that name, and nothing that it was started with has changed.
    async fn why_it_goes(&self, row: &Frame, look: &mut Look) -> Result<Option<Why>, FrameError> {
        let unneeded = |text| Ok(Some(Why::Unneeded(text)));
        if self.inner.was_somebodys(&row.id) {
            return unneeded("it was somebody's before this database was put back");
        }
        if self.inner.warm.is_in_hand(&row.id) {
            return Ok(None);
        }
        if row.state == FrameState::Error || row.desired != Desired::Running {
            let why = row.reason.clone().unwrap_or_else(|| "it is not to run".to_owned());
            return Ok(Some(Why::Failed(why)));
        }
        if row.expires_at.is_some_and(|at| at <= self.inner.deps.clock.now_ms()) {
            return unneeded("nobody took it in time");
        }
        if !has_ports_of(row, self.inner.config.now().ports) {
            return unneeded("its ports are outside of `frames.ports`");
        }
        if !look.images.contains_key(&row.image) {
            let found = self.inner.deps.runtime.find_image(&row.image).await?;
            look.images.insert(row.image.clone(), found.map(|image| image.id));
        }
        if look.images.get(&row.image) != Some(&Some(row.image_id.clone())) {
            return unneeded("its image was built anew, or is gone");
        }
        if row.state != FrameState::Running {
            return Ok(None);
        }
        if look.host.is_none() {
            look.host = Some(self.inner.host_facts().await);
        }
        let Some(host) = &look.host else { return Ok(None) };
        if self.inner.is_fresh(row, host).await? == Some(false) {
            return unneeded("it was started with something else than it would be now");
        }
        Ok(None)
    }

    /// Whether a request without special wishes would be of its kind.
    fn is_as_configured(&self, row: &Frame) -> bool {
        let config = self.inner.config.now();
        let is_granted = |name: &String| row.providers.contains(&name.trim().to_ascii_lowercase());
        row.image == config.image && row.limits == config.limits && config.providers.iter().all(is_granted)
    }

    /// Makes one. Returns what kept it from doing so.
    async fn make_warm(&self, recipe: Recipe) -> Result<Option<String>, FrameError> {
        let deps = &self.inner.deps;
        let Recipe { kind, like, rules } = recipe;
        let Some(image) = deps.runtime.find_image(&like.image).await? else {
            return Ok(Some(format!("image {} is not on this machine", like.image)));
        };
        let now_ms = deps.clock.now_ms();
        let id = FrameId::from_parts(now_ms, entropy_128());
        let workspace = self.inner.folders(&id).workspace();
        self.needs_room(&workspace)?;
        let range = self.inner.config.now().ports;
        if !ports::are_half_free(&deps.store, range).await? {
            let why = format!("half of the ports {range} stays for frames that somebody needs");
            return Ok(Some(why));
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
        Ok(None)
    }
}

fn ids_of(rows: &[Frame]) -> HashSet<FrameId> {
    rows.iter().map(|row| row.id.clone()).collect()
}

/// Whether one of them is gone. Frames that were made in the meantime are added.
fn has_one_gone(known: &mut HashSet<FrameId>, now: HashSet<FrameId>) -> bool {
    let is_gone = !known.is_subset(&now);
    known.extend(now);
    is_gone
}

fn name_of(id: &FrameId) -> Result<FrameName, FrameError> {
    let text = id.as_str().to_ascii_lowercase();
    let own = text.rsplit('_').next().unwrap_or_default();
    let name = format!("warm-{}", &own[own.len().saturating_sub(10)..]);
    FrameName::parse(&name).map_err(|error| FrameError::Invalid { field: "name", why: error.to_string() })
}

impl Inner {
    /// Asks for a pass soon. What kept the last one from making more is tried again at the next reconciliation.
    pub(super) fn look_after_warm(self: &Arc<Self>) {
        let frames = Frames { inner: self.clone() };
        self.warm.looks.wake(&"all", move |_| {
            let frames = frames.clone();
            async move {
                let looked = frames.keep_warm().await;
                frames.inner.warm.set_obstacle(looked.unwrap_or_else(|error| Some(error.to_string())));
                Next::Done
            }
        });
    }

    /// Whether it was claimed before, whatever the database says: a database restored from an older copy does not know.
    fn was_somebodys(&self, id: &FrameId) -> bool {
        // In this order: a claim has the frame in hand before it marks the folder.
        self.folders(id).is_taken() && !self.warm.is_in_hand(id)
    }

    /// Removes it, unless it was claimed by now.
    pub(super) async fn give_up_warm(self: &Arc<Self>, row: &Frame, why: Why) -> Result<(), FrameError> {
        let was_somebodys = self.was_somebodys(&row.id);
        let (id, name, workspace) = (row.id.clone(), row.name.clone(), row.workspace.clone());
        let gone = self.deps.store.write(move |tx| {
            let is_given_up = warm_frames::give_up(tx, &id)?;
            if is_given_up && was_somebodys {
                // Only this audit row says what became of it and of the work in its folder.
                let detail = json!({ "frame": id, "workspace": workspace, "was_taken": true });
                tx.audit(&Principal::service("frames"), "frame.destroy", name.as_str(), &detail)?;
            }
            Ok(is_given_up)
        });
        if !gone.await? {
            return Ok(());
        }
        let (id, name) = (&row.id, &row.name);
        if was_somebodys {
            tracing::warn!(frame.id = %id, "frame {name} was somebody's, and is nobody's in this database: it goes with its folder");
        }
        match why {
            Why::Failed(why) => {
                row.warm.iter().for_each(|kind| self.warm.failed(kind, self.deps.settings.tick));
                tracing::warn!(frame.id = %id, "frame {name} was kept ready and did not work: {why}");
            }
            Why::Unneeded(why) => {
                tracing::info!(frame.id = %id, "frame {name} is not kept ready any more: {why}");
            }
        }
        self.failpoints.hit("warm.after_give_up").await;
        self.wake_driver(&row.id);
        Ok(())
    }

    /// Removes the newest of them and waits until one is gone. If a removal is stuck, the next one is removed too. Returns
    /// whether one went or was claimed.
    pub(super) async fn a_warm_one_makes_way(self: &Arc<Self>) -> Result<bool, FrameError> {
        let began = Instant::now();
        let before = self.deps.store.read(|db| frames::list_warm(db)).await?;
        let mut asked_at = before.iter().any(|row| row.desired == Desired::Removed).then(Instant::now);
        let mut known = ids_of(&before);
        loop {
            let rows = self.deps.store.read(|db| frames::list_warm(db)).await?;
            if has_one_gone(&mut known, ids_of(&rows)) {
                return Ok(true);
            }
            // Others may be made, and be asked to go, at any time.
            if began.elapsed() > ENDS_WITHIN {
                return Ok(false);
            }
            let next = rows.iter().rfind(|row| row.desired != Desired::Removed);
            let waited = asked_at.map_or(GOES_WITHIN, |at| at.elapsed());
            match next {
                Some(row) if waited >= GOES_SOON => {
                    self.give_up_warm(row, Why::Unneeded("somebody needs its ports")).await?;
                    asked_at = Some(Instant::now());
                }
                None if waited >= GOES_WITHIN => return Ok(false),
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_was_made_while_somebody_waits_counts_when_it_goes() {
        let [a, b] = [1, 2].map(|n| FrameId::from_parts(1, n));
        let all = |ids: &[&FrameId]| ids.iter().map(|id| (*id).clone()).collect::<HashSet<_>>();
        let mut known = all(&[&a]);
        assert!(!has_one_gone(&mut known, all(&[&a])));
        assert!(!has_one_gone(&mut known, all(&[&a, &b])), "one came");
        assert!(has_one_gone(&mut known, all(&[&a])), "it went");
        assert!(has_one_gone(&mut all(&[&a]), all(&[])));
    }
}
