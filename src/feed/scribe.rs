//! Tells of what nobody claims, and makes up for what was missed.
//!
//! A listener like any other, so the reader never waits for it. After each
//! connection it asks the agent what it does, what it waits for and what was
//! said, and adds what the log lacks: turns that somebody began in the terminal
//! or over the agent's own API, also while no gateway ran.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::Inner;
use super::gap::Gap;
use super::questions::{Asking, answer};
use super::reader::Feed;
use super::roots::Root;
use super::subscription::{FeedItem, Subscription};
use super::talk::Talk;
use super::writing::Writing;
use crate::model::agent::{AgentMessageId, AgentSessionId};
use crate::model::approval::AgentRequest;
use crate::model::names::FrameName;
use crate::store::sessions::Untold;
use crate::store::{StoreError, frames};
use crate::supervisor::backoff::Backoff;

/// The scribe of one frame.
pub(super) struct Scribe<'a> {
    pub(super) inner: &'a Inner,
    pub(super) feed: &'a Feed,
    pub(super) frame_name: FrameName,
    pub(super) talks: BTreeMap<AgentSessionId, Talk>,
    pub(super) roots: BTreeMap<AgentSessionId, Root>,
    /// From which message on each session was heard over this connection: that was not missed.
    pub(super) heard: BTreeMap<AgentSessionId, AgentMessageId>,
    /// Whether `roots` holds all sessions that there were before we listened.
    pub(super) listed: bool,
    pub(super) wanted: BTreeSet<AgentSessionId>,
    pub(super) overview_at: Option<Instant>,
    /// Ask even if it rests, as far as we know.
    pub(super) must_look: bool,
    pub(super) sessions_wanted: bool,
    /// Titles that were given while the agent slept.
    pub(super) untold: Vec<Untold>,
    pub(super) asking: Option<Asking>,
    pub(super) ask_at: Instant,
    pub(super) patience: Backoff,
    pub(super) asked_meanwhile: Vec<AgentRequest>,
    pub(super) answered_meanwhile: BTreeSet<String>,
    pub(super) writing: Option<Writing>,
    pub(super) gap: Option<Gap>,
    released: watch::Receiver<u64>,
}

/// Tells for as long as it is polled.
pub(super) async fn run(inner: &Inner, feed: &Feed) {
    let mut delays = Backoff::new(Duration::from_millis(200), Duration::from_secs(30));
    loop {
        let began = Instant::now();
        if let Err(error) = tell(inner, feed).await {
            if began.elapsed() > Duration::from_secs(60) {
                delays.reset();
            }
            let delay = delays.next_delay();
            tracing::error!(frame = %feed.frame(), %error, "what the agent says cannot be kept: {error}; again in {delay:?}");
            tokio::time::sleep(delay).await;
        }
    }
}

/// Everything that is known comes from the database at first, so an error costs no more than a new beginning.
async fn tell(inner: &Inner, feed: &Feed) -> Result<(), StoreError> {
    let id = feed.frame().clone();
    let frame = inner.deps.store.read(move |db| frames::get(db, &id)).await?;
    let mut scribe = Scribe {
        inner,
        feed,
        frame_name: frame.name,
        talks: BTreeMap::new(),
        roots: BTreeMap::new(),
        heard: BTreeMap::new(),
        listed: false,
        wanted: BTreeSet::new(),
        overview_at: None,
        must_look: false,
        sessions_wanted: false,
        untold: Vec::new(),
        asking: None,
        ask_at: Instant::now(),
        patience: Backoff::new(Duration::from_millis(200), Duration::from_secs(5)),
        asked_meanwhile: Vec::new(),
        answered_meanwhile: BTreeSet::new(),
        writing: None,
        gap: None,
        released: inner.claims.released(),
    };
    loop {
        let subscription = Subscription::when_it_stands(feed).await;
        scribe.listen(subscription).await?;
    }
}

impl Scribe<'_> {
    /// Tells until the connection is lost.
    async fn listen(&mut self, mut feed: Subscription) -> Result<(), StoreError> {
        self.begin_again();
        loop {
            self.keep_busy();
            let due = self.next_due();
            tokio::select! {
                item = feed.next() => match item {
                    FeedItem::Event(heard) => self.hear(&heard).await?,
                    FeedItem::Lost(why) => return self.lost(why).await,
                },
                written = super::ready(&mut self.writing) => written?,
                answer = answer(&mut self.asking) => self.answered(answer).await?,
                _ = self.released.changed() => self.claims_changed().await?,
                () = tokio::time::sleep_until(due) => {}
            }
            let now = Instant::now();
            self.adopt_ripe(now).await?;
            self.close_gap(now).await?;
        }
    }

    fn begin_again(&mut self) {
        let now = Instant::now();
        self.asking = None;
        self.ask_at = now;
        self.overview_at = Some(now);
        self.must_look = true;
        self.sessions_wanted = true;
        self.untold.clear();
        self.listed = false;
        self.heard.clear();
        self.gap.get_or_insert_with(Gap::before_us);
    }

    async fn lost(&mut self, why: String) -> Result<(), StoreError> {
        self.settle().await?;
        for talk in self.talks.values_mut() {
            talk.is_read = false;
            if let Some(run) = &mut talk.run {
                run.cut();
                talk.is_cut = true;
            }
        }
        self.gap_begins(why);
        Ok(())
    }

    /// Starts what can be done beside listening: one write and one question at a time.
    fn keep_busy(&mut self) {
        if self.writing.is_none() {
            self.writing = self.write();
        }
        self.keep_asking();
    }

    fn next_due(&self) -> Instant {
        let now = Instant::now();
        let idle = now + Duration::from_secs(30);
        let looks = self.talks.values().filter_map(|talk| talk.look_at);
        let adopts = self.roots.values().filter_map(|root| root.adopt_at);
        let mut due = adopts.chain(self.gap.iter().filter_map(|gap| gap.tell_at)).fold(idle, Instant::min);
        if self.asking.is_none() {
            let asks = looks.chain(self.overview_at).fold(idle, Instant::min);
            let waiting = self.sessions_wanted || !self.wanted.is_empty() || !self.untold.is_empty();
            due = due.min(if waiting { self.ask_at } else { asks.max(self.ask_at) });
        }
        due
    }
}
