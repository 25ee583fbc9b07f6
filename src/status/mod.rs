//! What each frame's agent does, true at the moment of asking.
//!
//! Nothing is kept here but what was told last: rows, the drivers' findings and what the agents said are put
//! together by [`crate::model::status::derive`] for every answer, and a small task tells of changes.
//!
//! Not here: the decision itself (see `model::status`), and what follows from it (see `upkeep`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::feed::Feeds;
use crate::frames::{Frames, ImageNews};
use crate::model::approval::{ApprovalState, RequestForm};
use crate::model::event::EventKind;
use crate::model::frame::Frame;
use crate::model::ids::FrameId;
use crate::model::message::DeliveryState;
use crate::model::status::{FrameStatus, Known, derive};
use crate::store::{Queryable, Store, StoreError, approvals, frames, messages, sessions};
use crate::supervisor::Service;

/// Changes within this time are told as one.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// Without any sign of a change it is looked anyway: a heartbeat that stays away is no event.
const TICK: Duration = Duration::from_secs(1);

/// Everything that [`Statuses`] is made of.
pub struct StatusDeps {
    /// The database.
    pub store: Store,
    /// What drivers found out.
    pub frames: Frames,
    /// What agents say.
    pub feeds: Feeds,
    /// The time.
    pub clock: Clock,
}

/// Says what frames do. Cheap to clone.
#[derive(Clone)]
pub struct Statuses {
    deps: Arc<StatusDeps>,
}

/// A frame and what it does, from one moment.
#[derive(Clone, Debug)]
pub struct FrameNow {
    /// Its row.
    pub frame: Frame,
    /// What its agent does.
    pub status: FrameStatus,
    /// Whether anything runs, waits or is asked: what must not be interrupted.
    pub occupied: Option<Occupied>,
    /// What there is to say about its image.
    pub image: ImageNews,
}

/// Why a frame's agent is not free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occupied {
    /// A turn runs, whoever began it.
    Turn,
    /// Messages wait.
    Queue,
    /// Somebody is asked something.
    Prompt,
    /// Nobody hears what it does, so it may be doing anything.
    Unheard,
}

impl Statuses {
    /// Makes the service.
    #[must_use]
    pub fn new(deps: StatusDeps) -> Self {
        Self { deps: Arc::new(deps) }
    }

    /// What these frames do, as the rows that `ask` shows and everything else say at this moment.
    ///
    /// # Errors
    /// Whatever the database says.
    pub fn look(&self, ask: &impl Queryable, frames: Vec<Frame>) -> Result<Vec<FrameNow>, StoreError> {
        let open = messages::list_open(ask, None)?;
        let pending =
            approvals::open(ask, None)?.into_iter().filter(|prompt| prompt.state == ApprovalState::Pending);
        let prompts: Vec<_> = pending.map(|prompt| (prompt.frame, prompt.ask.form())).collect();
        let now_ms = self.deps.clock.now_ms();
        let look_at = |frame: Frame| {
            let of_frame = open.iter().filter(|message| message.frame == frame.id);
            let (queued, working): (Vec<_>, Vec<_>) =
                of_frame.partition(|message| message.state == DeliveryState::Queued);
            let working: Vec<Option<String>> =
                working.iter().map(|message| message.model.as_ref().map(ToString::to_string)).collect();
            let asked: Vec<RequestForm> =
                prompts.iter().filter(|(of, _)| *of == frame.id).map(|(_, form)| *form).collect();
            let agent = self.deps.feeds.facts(&frame.id);
            let mut status = derive(&Known {
                state: frame.state,
                reason: frame.reason.as_deref(),
                health: self.deps.frames.health(&frame.id),
                agent: agent.as_ref(),
                working: &working,
                queued: u32::try_from(queued.len()).unwrap_or(u32::MAX),
                prompts: &asked,
                now_ms,
            });
            if let (Some(call), Some(facts)) = (&status.silent, &agent) {
                let root = facts.root_of(&call.session);
                let ours = sessions::find_by_agent_session(ask, &frame.id, root)?;
                let session = ours.map_or("last".to_owned(), |session| session.id.to_string());
                status.stop = Some(format!("mimir sessions abort {session} --frame {}", frame.name));
            }
            let heard = agent.as_ref().filter(|facts| facts.is_fresh(now_ms));
            let occupied = match heard {
                _ if !working.is_empty() => Some(Occupied::Turn),
                _ if !queued.is_empty() => Some(Occupied::Queue),
                _ if !asked.is_empty() => Some(Occupied::Prompt),
                None => Some(Occupied::Unheard),
                Some(facts) => facts.works().then_some(Occupied::Turn),
            };
            let image = self.deps.frames.image_news(&frame);
            Ok(FrameNow { frame, status, occupied, image })
        };
        frames.into_iter().map(look_at).collect()
    }

    /// What all frames do, by name.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn all(&self) -> Result<Vec<FrameNow>, StoreError> {
        let this = self.clone();
        self.deps.store.read(move |db| this.look(db, frames::list(db)?)).await
    }
}

impl Service for Statuses {
    const NAME: &'static str = "status";

    /// Tells of changes as `frame.status` events until it is stopped.
    async fn run(&self, stop: CancellationToken) {
        let mut rows = self.deps.store.last_event();
        let mut agents = self.deps.feeds.watch();
        let mut drivers = self.deps.frames.health_changes();
        let mut told = BTreeMap::new();
        loop {
            // Seen before anything is looked at: what changes meanwhile wakes us again.
            rows.borrow_and_update();
            agents.borrow_and_update();
            drivers.borrow_and_update();
            if let Err(error) = self.tell_changes(&mut told).await {
                tracing::debug!(%error, "what frames do could not be told: {error}");
            }
            tokio::select! {
                Ok(()) = rows.changed() => {}
                Ok(()) = agents.changed() => {}
                Ok(()) = drivers.changed() => {}
                () = tokio::time::sleep(TICK) => {}
                () = stop.cancelled() => return,
            }
            tokio::select! {
                () = tokio::time::sleep(DEBOUNCE) => {}
                () = stop.cancelled() => return,
            }
        }
    }
}

impl Statuses {
    async fn tell_changes(&self, told: &mut BTreeMap<FrameId, Told>) -> Result<(), StoreError> {
        let now = self.all().await?;
        let there: BTreeSet<FrameId> = now.iter().map(|now| now.frame.id.clone()).collect();
        told.retain(|id, _| there.contains(id));
        let mut news = Vec::new();
        for FrameNow { frame, status, .. } in now {
            let telling = Told { status: status.word.to_string(), detail: status.detail() };
            let before = match told.get(&frame.id) {
                Some(before) => Some(before.clone()),
                None => self.told_before(&frame.id).await?,
            };
            if before.as_ref() != Some(&telling) {
                news.push((frame.id.clone(), telling.clone()));
            }
            told.insert(frame.id, telling);
        }
        if news.is_empty() {
            return Ok(());
        }
        // What a frame does can be found out again at any time: it need not wait for the disk.
        self.deps
            .store
            .write_soon(move |tx| {
                for (id, Told { status, detail }) in news {
                    frames::tell(tx, &id, &EventKind::StatusChanged { status, detail })?;
                }
                Ok(())
            })
            .await
    }

    /// What an earlier gateway told last, so that a restart is no news.
    async fn told_before(&self, id: &FrameId) -> Result<Option<Told>, StoreError> {
        let id = id.clone();
        let last = self.deps.store.read(move |db| frames::last_status_told(db, &id)).await?;
        Ok(last.map(|(status, detail)| Told { status, detail }))
    }
}

/// What was told of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    status: String,
    detail: Option<String>,
}
