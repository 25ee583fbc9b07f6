//! The one event stream of a frame: connect, read, connect again.
//!
//! Nothing here waits for the database or for a listener, so the agent never has
//! to keep what it says (opencode's memory grows with slow readers).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, broadcast, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Inner;
use super::facts::LiveFacts;
use super::intake::Intake;
use super::item::{FeedError, FeedItem, Heard, QUEUE, Sent};
use super::tracking::Command;
use crate::frames::PlaceError;
use crate::model::agent::{AgentEvent, AgentSessionId, AgentStatus};
use crate::model::ids::FrameId;
use crate::model::status::{AgentFacts, ToolCall};
use crate::opencode::{EventStream, OpencodeError};
use crate::supervisor::backoff::Backoff;

/// How long the head of a stream may take. The first one of a server's life boots it; later a server that
/// has just begun to listen swallows the request, and a short try finds out sooner.
const FIRST_HEAD: Duration = Duration::from_secs(15);
const LATER_HEADS: [Duration; 3] = [Duration::from_secs(3), Duration::from_secs(6), FIRST_HEAD];

/// Why nobody listens to a feed that has ended.
pub(super) const ENDED: &str = "the frame does not run any more";

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
    known: Mutex<LiveFacts>,
    link: watch::Sender<Link>,
    items: broadcast::Sender<Sent>,
    hurry: Notify,
    end: CancellationToken,
    changed: watch::Sender<u64>,
    commands: mpsc::UnboundedSender<Command>,
    asked: Mutex<Option<mpsc::UnboundedReceiver<Command>>>,
}

impl Feed {
    pub(super) fn new(frame: FrameId, changed: watch::Sender<u64>) -> Self {
        let (commands, asked) = mpsc::unbounded_channel();
        Self {
            frame,
            known: Mutex::default(),
            link: watch::Sender::default(),
            items: broadcast::Sender::new(QUEUE),
            hurry: Notify::new(),
            end: CancellationToken::new(),
            changed,
            commands,
            asked: Mutex::new(Some(asked)),
        }
    }

    pub(super) fn frame(&self) -> &FrameId {
        &self.frame
    }

    pub(super) fn facts(&self) -> AgentFacts {
        self.known.lock().facts().clone()
    }

    /// The session whose agent made this one, as far as is known, or itself.
    pub(super) fn root_of(&self, session: &AgentSessionId) -> AgentSessionId {
        self.known.lock().facts().root_of(session).clone()
    }

    /// Whether another session made this one.
    pub(super) fn is_child(&self, session: &AgentSessionId) -> bool {
        self.known.lock().facts().parents.contains_key(session)
    }

    /// Whether a session works.
    pub(super) fn is_busy(&self, session: &AgentSessionId) -> bool {
        self.known.lock().facts().sessions.contains_key(session)
    }

    /// Whether any session works.
    pub(super) fn is_working(&self) -> bool {
        !self.known.lock().facts().sessions.is_empty()
    }

    /// The tool call of a conversation, or of a sub-agent of it, that shows no sign.
    pub(super) fn silent_call(&self, session: &AgentSessionId, now_ms: u64) -> Option<ToolCall> {
        self.known.lock().facts().silent_call(Some(session), now_ms).cloned()
    }

    /// Whether any tool call runs.
    pub(super) fn has_calls(&self) -> bool {
        !self.known.lock().facts().calls.is_empty()
    }

    /// Asks the reconciler for something.
    pub(super) fn commands(&self) -> mpsc::UnboundedSender<Command> {
        self.commands.clone()
    }

    /// What the reconciler is asked for; for the one that asks first.
    pub(super) fn take_commands(&self) -> Option<mpsc::UnboundedReceiver<Command>> {
        self.asked.lock().take()
    }

    pub(super) fn listen(&self) -> broadcast::Receiver<Sent> {
        self.items.subscribe()
    }

    pub(super) fn link(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    /// Waits until the stream stands, or the next try to connect has failed; says which connection it is.
    pub(super) async fn stands_within(&self, within: Duration) -> Result<u64, FeedError> {
        let mut link = self.link();
        let failed_before = link.borrow().failures;
        if !link.borrow().stands {
            // Somebody waits: no pause before the next try.
            self.hurry.notify_one();
        }
        let stands = link.wait_for(|now| now.stands || now.failures > failed_before);
        match tokio::time::timeout(within, stands).await {
            Ok(Ok(now)) if now.stands => Ok(now.connection),
            Ok(Ok(now)) => Err(now.trouble.clone().unwrap_or_else(|| FeedError::Away(ENDED.to_owned()))),
            Ok(Err(_)) => Err(FeedError::Away(ENDED.to_owned())),
            Err(_) => {
                Err(FeedError::Away(format!("the agent's event stream did not begin within {within:?}")))
            }
        }
    }

    pub(super) fn end(&self) {
        self.end.cancel();
    }

    pub(super) fn is_ended(&self) -> bool {
        self.end.is_cancelled()
    }

    pub(super) async fn ended(&self) {
        self.end.cancelled().await;
    }

    /// The last word, for everybody who listens.
    pub(super) fn close(&self) {
        self.end.cancel();
        self.lost(FeedError::Away(ENDED.to_owned()), 0);
    }

    /// Takes what was re-read; see [`LiveFacts::reread`].
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

    fn change(&self, how: impl FnOnce(&mut LiveFacts) -> bool) {
        let changed = how(&mut self.known.lock());
        if changed {
            self.changed.send_modify(|count| *count += 1);
        }
    }

    pub(super) fn hear(&self, connection: u64, event: AgentEvent, now_ms: u64) {
        let at = Instant::now();
        self.change(|known| known.hear(&event, at, now_ms));
        // Fails when nobody listens.
        let _ =
            self.items.send(Sent::new((connection, FeedItem::Event(Heard { at, event: Arc::new(event) }))));
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
            let _ = self.items.send(Sent::new((connection, FeedItem::Lost(trouble.to_string()))));
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
                feeds.deps.locator.stands(&feed.frame);
                let mut intake = Intake::new(Instant::now());
                let mut is_flooding = false;
                loop {
                    match stream.next().await {
                        Ok(event) => {
                            let wait = intake.take(&event, stream.read(), Instant::now());
                            if event.shows_life() {
                                feeds.deps.locator.heard(&feed.frame);
                            } else if event == AgentEvent::Heartbeat {
                                feeds.deps.locator.beats(&feed.frame);
                            }
                            feed.hear(connection, event, feeds.deps.clock.now_ms());
                            if !wait.is_zero() {
                                feeds.counters.throttled.inc();
                                if !std::mem::replace(&mut is_flooding, true) {
                                    tracing::warn!(
                                        frame = %feed.frame,
                                        "the agent of frame {} says more than an agent does; it is read more slowly",
                                        feed.frame
                                    );
                                }
                                tokio::time::sleep(wait).await;
                            }
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
