//! The one event stream of a frame: connect, read, connect again.
//!
//! Nothing here waits for the database or for a listener, so the agent never has
//! to keep what it says (opencode's memory grows with slow readers).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, broadcast, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Inner;
use super::facts::Known;
use super::subscription::{FeedError, Heard, QUEUE, Sent};
use crate::frames::PlaceError;
use crate::model::agent::{AgentEvent, AgentSessionId, AgentStatus};
use crate::model::ids::FrameId;
use crate::model::status::AgentFacts;
use crate::opencode::{EventStream, OpencodeError};
use crate::supervisor::backoff::Backoff;

/// How long the head of a stream may take. The first one of a server's life boots it; later a server that
/// has just begun to listen swallows the request, and a short try finds out sooner.
const FIRST_HEAD: Duration = Duration::from_secs(15);
const LATER_HEADS: [Duration; 3] = [Duration::from_secs(3), Duration::from_secs(6), FIRST_HEAD];

/// How a connection stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Link {
    /// Which connection this is, from 1.
    pub connection: u64,
    /// Whether it stands.
    pub stands: bool,
    /// How many tries and connections have ended.
    pub failures: u64,
    /// Why the last one did.
    pub trouble: Option<FeedError>,
}

/// The feed of one frame.
pub(super) struct Feed {
    frame: FrameId,
    known: Mutex<Known>,
    link: watch::Sender<Link>,
    items: broadcast::Sender<Sent>,
    hurry: Notify,
    end: CancellationToken,
    changed: watch::Sender<u64>,
    repaired: AtomicU32,
}

impl Feed {
    pub(super) fn new(frame: FrameId, changed: watch::Sender<u64>) -> Self {
        Self {
            frame,
            known: Mutex::default(),
            link: watch::Sender::default(),
            items: broadcast::Sender::new(QUEUE),
            hurry: Notify::new(),
            end: CancellationToken::new(),
            changed,
            repaired: AtomicU32::new(0),
        }
    }

    pub(super) fn frame(&self) -> &FrameId {
        &self.frame
    }

    pub(super) fn facts(&self) -> AgentFacts {
        self.known.lock().map(|known| known.facts().clone()).unwrap_or_default()
    }

    /// The session that made this one.
    pub(super) fn parent_of(&self, session: &AgentSessionId) -> Option<AgentSessionId> {
        self.known.lock().ok()?.facts().parents.get(session).cloned()
    }

    /// Whether a session works.
    pub(super) fn is_busy(&self, session: &AgentSessionId) -> bool {
        self.known.lock().is_ok_and(|known| known.facts().sessions.contains_key(session))
    }

    /// Whether any session works.
    pub(super) fn is_working(&self) -> bool {
        self.known.lock().is_ok_and(|known| !known.facts().sessions.is_empty())
    }

    /// Others found so many things that had been missed.
    pub(super) fn repaired(&self, count: usize) {
        self.repaired.fetch_add(u32::try_from(count).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// How many they found since this was asked last.
    pub(super) fn take_repaired(&self) -> u32 {
        self.repaired.swap(0, Ordering::Relaxed)
    }

    pub(super) fn listen(&self) -> broadcast::Receiver<Sent> {
        self.items.subscribe()
    }

    pub(super) fn link(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    /// Somebody waits: do not pause before the next try.
    pub(super) fn hurry(&self) {
        if !self.link.borrow().stands {
            self.hurry.notify_one();
        }
    }

    pub(super) fn end(&self) {
        self.end.cancel();
    }

    pub(super) async fn ended(&self) {
        self.end.cancelled().await;
    }

    /// The last word, for everybody who listens.
    pub(super) fn close(&self, why: &str) {
        self.end.cancel();
        self.lost(FeedError::Away(why.to_owned()), 0);
    }

    /// Takes what was re-read; see [`Known::reread`].
    pub(super) fn reread(
        &self,
        statuses: &BTreeMap<AgentSessionId, AgentStatus>,
        asked: Instant,
        now_ms: u64,
    ) {
        self.change(|known| known.reread(statuses, asked, now_ms));
    }

    /// A sub-agent's session was found.
    pub(super) fn found_parent(&self, session: &AgentSessionId, parent: &AgentSessionId) {
        self.change(|known| known.found_parent(session, parent));
    }

    fn change(&self, how: impl FnOnce(&mut Known) -> bool) {
        let changed = self.known.lock().is_ok_and(|mut known| how(&mut known));
        if changed {
            self.changed.send_modify(|count| *count += 1);
        }
    }

    pub(super) fn hear(&self, connection: u64, event: AgentEvent, now_ms: u64) {
        let at = Instant::now();
        self.change(|known| known.hear(&event, at, now_ms));
        // Fails when nobody listens.
        let _ = self.items.send(Sent::Event(connection, Heard { at, event: Arc::new(event) }));
    }

    pub(super) fn stands(&self, now_ms: u64) -> u64 {
        self.change(|known| known.connected(true, now_ms));
        let mut connection = 0;
        self.link.send_modify(|link| {
            link.connection += 1;
            link.stands = true;
            connection = link.connection;
        });
        connection
    }

    fn lost(&self, trouble: FeedError, now_ms: u64) {
        self.change(|known| known.connected(false, now_ms));
        let mut ended = None;
        // The link first, then the item: whoever sees a link that stands gets the item.
        self.link.send_modify(|link| {
            ended = link.stands.then_some(link.connection);
            link.stands = false;
            link.failures += 1;
            link.trouble = Some(trouble.clone());
        });
        if let Some(connection) = ended {
            let _ = self.items.send(Sent::Lost(connection, trouble.to_string().into()));
        }
    }
}

/// Reads a frame's events for as long as it is polled.
pub(super) async fn run(feeds: &Inner, feed: &Feed) {
    let settings = feeds.deps.settings;
    let mut delays = Backoff::new(settings.first_pause, settings.longest_pause);
    let mut heads = std::iter::once(FIRST_HEAD).chain(LATER_HEADS.into_iter().cycle());
    let mut stood = false;
    loop {
        let trouble = match open(feeds, feed, heads.next().unwrap_or(FIRST_HEAD)).await {
            Ok(mut stream) => {
                if std::mem::replace(&mut stood, true) {
                    feeds.counters.reconnects.inc();
                }
                delays.reset();
                heads = std::iter::once(LATER_HEADS[0]).chain(LATER_HEADS.into_iter().cycle());
                let connection = feed.stands(feeds.deps.clock.now_ms());
                loop {
                    match stream.next().await {
                        Ok(event) => {
                            if event.shows_life() {
                                feeds.deps.locator.heard(&feed.frame);
                            }
                            feed.hear(connection, event, feeds.deps.clock.now_ms());
                        }
                        Err(end) => break FeedError::Away(end.to_string()),
                    }
                }
            }
            Err(trouble) => trouble,
        };
        tracing::debug!(frame = %feed.frame, "the event stream of frame {} is away: {trouble}", feed.frame);
        feed.lost(trouble, feeds.deps.clock.now_ms());
        tokio::select! {
            () = tokio::time::sleep(delays.next_delay()) => {}
            () = feed.hurry.notified() => {}
        }
    }
}

/// The stream, once it says that it stands: from then on nothing is missed.
async fn open(feeds: &Inner, feed: &Feed, head: Duration) -> Result<EventStream, FeedError> {
    // Asked each time: the password changes with every start of the frame.
    let client = match feeds.deps.locator.agent(&feed.frame).await {
        Ok(client) => client,
        Err(error @ (PlaceError::NotThere(_) | PlaceError::Stopping)) => {
            return Err(FeedError::Away(error.to_string()));
        }
    };
    let mut stream = client.events(head).await.map_err(away)?;
    match tokio::time::timeout(head, stream.next()).await {
        Ok(Ok(_)) => Ok(stream),
        Ok(Err(end)) => Err(FeedError::Away(end.to_string())),
        Err(_) => Err(FeedError::Away(OpencodeError::Silent { call: "events", waited: head }.to_string())),
    }
}

fn away(error: OpencodeError) -> FeedError {
    if error.is_passing() || error.may_have_arrived() {
        FeedError::Away(error.to_string())
    } else {
        FeedError::Refused(error.to_string())
    }
}
