//! What agents say: one event stream for each running frame, always open, whoever listens.
//!
//! A stream has no position to resume from, so the feed makes up for what it
//! cannot promise: it connects again by itself, and says when something may have
//! been missed. Those who deliver messages subscribe to it and tell of their own
//! turns; what nobody claims (somebody types in the terminal, another program
//! uses the agent's API) is told here.
//!
//! Not here: opencode's JSON (see `opencode`), what becomes of a message (see
//! `router`), sending events to clients (see `events`).

mod ask;
mod claims;
mod counters;
mod facts;
mod gap;
mod hear;
#[cfg(test)]
pub(crate) mod imagined;
mod keep;
mod progress;
mod questions;
mod reader;
pub mod reread;
mod roots;
mod run;
mod scribe;
pub mod speech;
mod subscription;
mod talk;
pub mod transcript;
mod writing;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::approvals::Approvals;
use crate::clock::Clock;
use crate::frames::AgentLocator;
use crate::model::agent::{AgentMessageId, AgentSessionId};
use crate::model::frame::FrameState;
use crate::model::ids::FrameId;
use crate::model::status::AgentFacts;
use crate::store::{Store, StoreError, frames};
use crate::supervisor::Service;
use crate::supervisor::failpoint::Failpoints;
use crate::supervisor::{OnExit, Tasks};

pub use claims::Claim;
pub use counters::Counters;
pub use run::Patience;
pub use subscription::{FeedError, FeedItem, Heard, Subscription};

use claims::Claims;
use reader::Feed;

/// How soon after a change the frames are looked at; a stream of answers changes something all the time.
const LOOK_PAUSE: Duration = Duration::from_millis(250);
/// How often they are looked at anyway.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How patient a feed is.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The first pause before connecting again; it doubles.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// How often the agent is asked what it does, whatever its event stream says.
    pub look_every: Duration,
    /// With a session that rests and has not shown yet what it did.
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
    feeds: Mutex<HashMap<FrameId, Arc<Feed>>>,
    claims: Claims,
    counters: Counters,
    changed: watch::Sender<u64>,
}

impl Feeds {
    /// Makes the service. While it runs it keeps a feed for each running frame.
    #[must_use]
    pub fn new(deps: FeedDeps) -> Self {
        let inner = Inner {
            deps,
            feeds: Mutex::default(),
            claims: Claims::default(),
            counters: Counters::default(),
            changed: watch::Sender::new(0),
        };
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

    /// Says that somebody else tells of what the agent says in this session from `prompt` on, sub-agents included.
    #[must_use]
    pub fn claim(&self, frame: &FrameId, session: &AgentSessionId, prompt: &AgentMessageId) -> Claim {
        self.inner.claims.take(frame, session, prompt)
    }

    /// Somebody who claims a turn found so many things that had been missed.
    pub fn repaired(&self, frame: &FrameId, count: usize) {
        if let Ok(feeds) = self.inner.feeds.lock()
            && let Some(feed) = feeds.get(frame)
        {
            feed.repaired(count);
        }
    }

    /// What is known of a frame's agent; nothing when it has no feed because it does not run.
    #[must_use]
    pub fn facts(&self, frame: &FrameId) -> Option<AgentFacts> {
        let feeds = self.inner.feeds.lock().ok()?;
        feeds.get(frame).map(|feed| feed.facts())
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
        let fresh = Arc::new(Feed::new(frame.clone(), self.inner.changed.clone()));
        let Ok(mut feeds) = self.inner.feeds.lock() else { return fresh };
        if let Some(known) = feeds.get(frame) {
            return known.clone();
        }
        feeds.insert(frame.clone(), fresh.clone());
        drop(feeds);
        self.start(fresh.clone());
        fresh
    }

    fn start(&self, feed: Arc<Feed>) {
        let name = format!("feed of {}", feed.frame());
        let feeds = self.clone();
        // Not `Restart`: a feed ends with its frame. One that panics leaves its place, and the next look
        // at the frames starts another.
        self.inner.deps.tasks.spawn(name, OnExit::Report, move |stop| {
            let (feeds, feed) = (feeds.clone(), feed.clone());
            async move {
                let _place = Place { feeds: &feeds, feed: &feed };
                let both = async {
                    tokio::join!(reader::run(&feeds.inner, &feed), scribe::run(&feeds.inner, &feed))
                };
                tokio::select! {
                    _ = both => {}
                    () = feed.ended() => {}
                    () = stop.cancelled() => {}
                }
            }
        });
    }

    async fn match_frames(&self) -> Result<(), StoreError> {
        // Taken before the rows are read: a feed that is started meanwhile is not ended by what they said.
        let known: Vec<FrameId> = match self.inner.feeds.lock() {
            Ok(feeds) => feeds.keys().cloned().collect(),
            Err(_) => Vec::new(),
        };
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
        let gone = self.inner.feeds.lock().ok().and_then(|mut feeds| feeds.remove(frame));
        if let Some(feed) = gone {
            feed.end();
        }
    }
}

/// Waits for what is in flight, and for ever when nothing is.
pub async fn ready<T>(slot: &mut Option<BoxFuture<'static, T>>) -> T {
    let Some(flying) = slot else { return std::future::pending().await };
    let done = flying.await;
    *slot = None;
    done
}

/// Gives the feed's place free, however it ends.
struct Place<'a> {
    feeds: &'a Feeds,
    feed: &'a Arc<Feed>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.feed.close("the frame does not run any more");
        if let Ok(mut feeds) = self.feeds.inner.feeds.lock()
            && feeds.get(self.feed.frame()).is_some_and(|known| Arc::ptr_eq(known, self.feed))
        {
            feeds.remove(self.feed.frame());
        }
    }
}
