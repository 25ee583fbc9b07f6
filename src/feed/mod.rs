//! What agents say: one event stream for each running frame, always open, whoever listens.
//!
//! ```text
//!   agent ──► reader ──► hear ──────────────────┐
//!                        reread (asks the agent) ├──► turns ──► outbox ──► events, history
//!   delivery ──────────► follow ────────────────┘      │
//!             ◄──────────────── progress, verdict ─────┘
//! ```
//!
//! Every turn is tracked here, whoever began it (see `turn` for its states): told while it runs, read again when the
//! session rests, judged, and stored. A stream has no position to resume from, so after every connection the agent is
//! asked what it does and what was said, what the log lacks is added, and it is told that something may have been
//! missed.
//!
//! Not here: opencode's JSON (see `opencode`), handing messages over and limits of turns (see `delivery`), sending
//! events to clients (see `events`).

mod activity;
mod counters;
mod event_batch;
mod facts;
mod follow;
mod gap;
mod hear;
mod inquiries;
mod inquiry;
mod intake;
mod item;
mod outbox;
mod progress;
mod reader;
mod reconciler;
mod requests;
mod reread;
mod root_sessions;
mod run;
#[cfg(test)]
mod samples;
mod session_state;
mod sort;
mod subscription;
mod taken_back;
mod tracked_turn;
mod tracking;
mod transcript;
mod turn;
mod verdict;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::approvals::Approvals;
use crate::clock::Clock;
use crate::frames::AgentLocator;
use crate::model::frame::FrameState;
use crate::model::ids::FrameId;
use crate::model::status::AgentFacts;
use crate::store::{Store, StoreError, frames};
use crate::supervisor::Service;
use crate::supervisor::Tasks;
use crate::supervisor::failpoint::Failpoints;
use crate::supervisor::keyed::{Keyed, Next, Pass};

pub use activity::Activity;
pub use counters::Counters;
pub use item::{FeedError, FeedItem, Heard};
pub use subscription::Subscription;
pub use tracking::{ProgressSender, TurnHandle, TurnPhase, TurnProgress, TurnRequest, no_progress};
pub use verdict::{Answer, Patience, Verdict};

use reader::Feed;
use tracking::Command;

/// How soon after a change the frames are looked at; a stream of answers changes something all the time.
const LOOK_PAUSE: Duration = Duration::from_millis(250);
/// How often they are looked at anyway.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How long a feed may take to store what is known when its frame has stopped.
const LAST_WRITE: Duration = Duration::from_secs(5);

/// How patient a feed is.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The first pause before connecting again; it doubles.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// How often the agent is asked what it does, whatever its event stream says.
    pub look_every: Duration,
    /// With a session in which somebody spoke past mimir, and that rests and has not shown yet what it did.
    pub patience: Patience,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            first_pause: Duration::from_millis(200),
            longest_pause: Duration::from_secs(5),
            look_every: Duration::from_secs(60),
            patience: Patience::default(),
        }
    }
}

/// Everything that [`Feeds`] is made of.
pub struct FeedDeps {
    /// The database.
    pub store: Store,
    /// Where agents live.
    pub locator: Arc<dyn AgentLocator>,
    /// Who hears of prompts.
    pub approvals: Approvals,
    /// The time.
    pub clock: Clock,
    /// Owner of the tasks that read.
    pub tasks: Tasks,
    /// How patient it is.
    pub settings: Settings,
    /// Where tests let the gateway die.
    pub failpoints: Failpoints,
}

/// The feeds of all running frames. Cheap to clone.
#[derive(Clone)]
pub struct Feeds {
    inner: Arc<Inner>,
}

struct Inner {
    deps: FeedDeps,
    feeds: Keyed<FrameId, Feed>,
    counters: Counters,
    changed: watch::Sender<u64>,
}

impl Feeds {
    /// Makes the service. While it runs it keeps a feed for each running frame.
    #[must_use]
    pub fn new(deps: FeedDeps) -> Self {
        let changed = watch::Sender::new(0);
        let changes = changed.clone();
        let feeds = Keyed::new(&deps.tasks, "feed of", move |frame: &FrameId| {
            Feed::new(frame.clone(), changes.clone())
        });
        let inner = Inner { deps, feeds, counters: Counters::default(), changed };
        Self { inner: Arc::new(inner) }
    }
}

impl Service for Feeds {
    const NAME: &'static str = "feeds";

    /// Keeps one feed for each running frame, until `stop`.
    async fn run(&self, stop: CancellationToken) {
        let mut newest = self.inner.deps.store.last_event();
        loop {
            newest.borrow_and_update();
            if let Err(error) = self.match_frames().await {
                tracing::warn!(%error, "the frames cannot be looked at: {error}");
            }
            let changed = async {
                if newest.changed().await.is_ok() {
                    tokio::time::sleep(LOOK_PAUSE).await;
                } else {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = stop.cancelled() => return,
            }
        }
    }
}

impl Feeds {
    /// Listens to a frame's agent. Returns once the stream stands, so that nothing is missed of what is
    /// asked of the agent afterwards.
    ///
    /// # Errors
    /// [`FeedError`] when the next try to connect fails, or none succeeds `within` that time.
    pub async fn subscribe(&self, frame: &FrameId, within: Duration) -> Result<Subscription, FeedError> {
        Subscription::begin(&self.feed(frame), within).await
    }

    /// Waits until the frame's event stream stands.
    ///
    /// # Errors
    /// [`FeedError`] when the next try to connect fails, or none succeeds `within` that time.
    pub async fn stands(&self, frame: &FrameId, within: Duration) -> Result<(), FeedError> {
        self.feed(frame).stands_within(within).await.map(drop)
    }

    /// Tracks the turn of a message. Returns once the stream stands, so that nothing is missed of what is asked of the
    /// agent afterwards.
    ///
    /// # Errors
    /// [`FeedError`] when the next try to connect fails, or none succeeds `within` that time.
    pub async fn track(
        &self,
        frame: &FrameId,
        request: TurnRequest,
        within: Duration,
    ) -> Result<TurnHandle, FeedError> {
        let (feed, until) = (self.feed(frame), Instant::now() + within);
        feed.stands_within(within).await?;
        let commands = feed.commands();
        let handle = TurnHandle::new(&request, commands.clone());
        let (taken, is_tracked) = oneshot::channel();
        // One that cannot be sent is one that is not answered.
        let _ = commands.send(Command::Track(request, handle.id(), taken));
        match tokio::time::timeout_at(until, is_tracked).await {
            Ok(Ok(())) => Ok(handle),
            Ok(Err(_)) => Err(FeedError::Away("the agent is not listened to now".to_owned())),
            Err(_) => Err(FeedError::Away(format!("the turn could not be tracked within {within:?}"))),
        }
    }

    /// What is known of a frame's agent; nothing when it has no feed because it does not run.
    #[must_use]
    pub fn facts(&self, frame: &FrameId) -> Option<AgentFacts> {
        self.inner.feeds.get(frame).map(|feed| feed.facts())
    }

    /// Changes whenever the facts of some frame do (the time of its last sign of life alone is no change).
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.inner.changed.subscribe()
    }

    /// What was counted since the gateway started.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.inner.counters
    }

    /// The frame's feed, started unless it runs.
    fn feed(&self, frame: &FrameId) -> Arc<Feed> {
        if let Some(known) = self.inner.feeds.get(frame) {
            return known;
        }
        let feeds = self.clone();
        self.inner.feeds.wake(frame, move |pass| {
            let feeds = feeds.clone();
            async move { feeds.keep(pass).await }
        })
    }

    /// Keeps a frame's feed until the frame or the gateway stops.
    async fn keep(&self, pass: Pass<FrameId, Feed>) -> Next {
        let feed = Closing(pass.state);
        let stopped = async {
            pass.stop.cancelled().await;
            if feed.0.is_ended() {
                tokio::time::sleep(LAST_WRITE).await;
            }
        };
        tokio::select! {
            () = reader::run(&self.inner, &feed.0) => {}
            () = run::run(&self.inner, &feed.0) => {}
            () = stopped => {}
        }
        Next::Done
    }

    async fn match_frames(&self) -> Result<(), StoreError> {
        // Taken before the rows are read: a feed that is started meanwhile is not ended by what they said.
        let known = self.inner.feeds.keys();
        let rows = self.inner.deps.store.read(|db| frames::list(db)).await?;
        let runs = |id: &FrameId| rows.iter().any(|row| row.id == *id && row.state == FrameState::Running);
        for row in rows.iter().filter(|row| row.state == FrameState::Running) {
            self.feed(&row.id);
        }
        for gone in known.iter().filter(|id| !runs(id)) {
            self.end(gone);
        }
        Ok(())
    }

    fn end(&self, frame: &FrameId) {
        if let Some(feed) = self.inner.feeds.get(frame) {
            feed.end();
            self.inner.feeds.cancel(frame);
        }
    }
}

/// Tells whoever listens to a feed that it has ended, however it does.
struct Closing(Arc<Feed>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}
