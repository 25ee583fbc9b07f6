//! Tells of what nobody claims, and makes up for what was missed.
//!
//! A listener like any other, so the reader never waits for it. After each
//! connection it asks the agent what it does, what it waits for and what was
//! said, and adds what the log lacks: turns that somebody began in the terminal
//! or over the agent's own API, also while no gateway ran.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Inner;
use super::ask::{Answer, Question, ask};
use super::reader::Feed;
use super::subscription::{FeedItem, Heard, Subscription};
use super::talk::{self, Talk};
use crate::approvals::Replied;
use crate::clock;
use crate::model::agent::{AgentEvent, AgentMessageId, AgentSessionId, AgentStatus, Role};
use crate::model::event::{Happening, Subject};
use crate::model::ids::SessionId;
use crate::model::names::FrameName;
use crate::model::prompt::Ask;
use crate::store::sessions::NewSession;
use crate::store::{StoreError, frames, sessions};
use crate::supervisor::backoff::Backoff;

/// How long a session that somebody made waits for a row: whoever made it through mimir is about to write one.
const GRACE: Duration = Duration::from_secs(1);
/// How long those who claim turns may take to say what they had missed.
const OTHERS_REPAIR: Duration = Duration::from_secs(1);
/// Sub-agents of sub-agents of …
const DEPTH: usize = 8;
/// For so long after its newest known message a session is read to be sure; clocks and updates overlap.
pub(super) const OVERLAP_MS: u64 = 5_000;
/// So many of the newest sessions are read anyway.
pub(super) const READ_ANYWAY: usize = 20;

/// A time in which something may have been missed.
#[derive(Debug)]
pub(super) struct Gap {
    /// Since when nothing was heard (UTC ms).
    since: u64,
    why: String,
    /// How much was missing.
    pub(super) repaired: u32,
    /// Only told when something was missing: nobody knows whether there was one.
    is_guess: bool,
    /// When everything has been looked at and the others had their time.
    tell_at: Option<Instant>,
}

/// A session that is nobody's child.
#[derive(Debug)]
struct Root {
    title: String,
    metadata: serde_json::Value,
    /// When a row is made for it.
    adopt_at: Option<Instant>,
    /// It was made while we listened: nothing was said in it before.
    is_fresh: bool,
}

/// The scribe of one frame.
pub(super) struct Scribe<'a> {
    pub(super) inner: &'a Inner,
    pub(super) feed: &'a Feed,
    frame_name: FrameName,
    pub(super) talks: BTreeMap<AgentSessionId, Talk>,
    roots: BTreeMap<AgentSessionId, Root>,
    /// From which message on each session was heard over this connection: that was not missed.
    heard: BTreeMap<AgentSessionId, AgentMessageId>,
    /// Whether `roots` holds all sessions that there were before we listened.
    pub(super) listed: bool,
    pub(super) wanted: BTreeSet<AgentSessionId>,
    pub(super) overview_at: Option<Instant>,
    /// Ask even if it rests, as far as we know.
    pub(super) must_look: bool,
    pub(super) sessions_wanted: bool,
    asking: Option<(Question, BoxFuture<'static, Result<Answer, String>>)>,
    pub(super) ask_at: Instant,
    pub(super) patience: Backoff,
    pub(super) asked_meanwhile: Vec<Ask>,
    pub(super) answered_meanwhile: BTreeSet<String>,
    pub(super) writing: Option<BoxFuture<'static, Result<(), StoreError>>>,
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
                answer = answered(&mut self.asking) => self.answered(answer).await?,
                _ = self.released.changed() => self.claims_changed().await?,
                () = tokio::time::sleep_until(due) => {}
            }
            self.do_what_is_due().await?;
        }
    }

    fn begin_again(&mut self) {
        let now = Instant::now();
        self.asking = None;
        self.ask_at = now;
        self.overview_at = Some(now);
        self.must_look = true;
        self.sessions_wanted = true;
        self.listed = false;
        self.heard.clear();
        if self.gap.is_none() {
            // The first time: what happened while nobody listened is found by what was said.
            self.gap = Some(Gap {
                since: 0,
                why: "nobody listened to the agent".to_owned(),
                repaired: 0,
                is_guess: true,
                tell_at: None,
            });
        }
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
        let since = self.feed.facts().heard_at;
        match &mut self.gap {
            // One that was not made up for yet goes on.
            Some(gap) if !gap.is_guess => gap.tell_at = None,
            gap => *gap = Some(Gap { since, why, repaired: 0, is_guess: false, tell_at: None }),
        }
        Ok(())
    }

    /// Starts what can be done beside listening: one write and one question at a time.
    fn keep_busy(&mut self) {
        if self.writing.is_none() {
            self.writing = self.write();
        }
        let now = Instant::now();
        if self.asking.is_some() || self.ask_at > now {
            return;
        }
        if let Some(question) = self.next_question(now) {
            let (places, frame) = (self.inner.deps.places.clone(), self.feed.frame().clone());
            self.asking = Some((question.clone(), ask(places, frame, question).boxed()));
        }
    }

    fn next_question(&mut self, now: Instant) -> Option<Question> {
        let has_work = self.must_look || self.feed.is_working() || self.talks.values().any(Talk::has_work);
        if self.overview_at.is_some_and(|at| at <= now) && !has_work {
            // Nothing is asked of an agent that rests.
            self.overview_at = Some(now + self.inner.deps.settings.look_every);
        }
        if self.overview_at.is_some_and(|at| at <= now) {
            self.overview_at = None;
            self.must_look = false;
            self.asked_meanwhile.clear();
            self.answered_meanwhile.clear();
            return Some(Question::Overview);
        }
        if std::mem::take(&mut self.sessions_wanted) {
            return Some(Question::Sessions);
        }
        let looked_at = |(id, talk): (&AgentSessionId, &Talk)| {
            talk.look_at.is_some_and(|at| at <= now).then(|| id.clone())
        };
        let session = self.talks.iter().find_map(looked_at).or_else(|| self.wanted.pop_first())?;
        self.wanted.remove(&session);
        let talk = self.talks.get_mut(&session);
        let is_root = talk.is_some() || self.roots.contains_key(&session);
        let oldest = talk.and_then(|talk| {
            talk.look_at = None;
            talk.oldest()
        });
        Some(Question::Talk { session, oldest, is_root })
    }

    fn next_due(&self) -> Instant {
        let now = Instant::now();
        let idle = now + Duration::from_secs(30);
        let looks = self.talks.values().filter_map(|talk| talk.look_at);
        let adopts = self.roots.values().filter_map(|root| root.adopt_at);
        let mut due = adopts.chain(self.gap.iter().filter_map(|gap| gap.tell_at)).fold(idle, Instant::min);
        if self.asking.is_none() {
            let asks = looks.chain(self.overview_at).fold(idle, Instant::min);
            let waiting = self.sessions_wanted || !self.wanted.is_empty();
            due = due.min(if waiting { self.ask_at } else { asks.max(self.ask_at) });
        }
        due
    }

    async fn do_what_is_due(&mut self) -> Result<(), StoreError> {
        let now = Instant::now();
        let due = |root: &Root| root.adopt_at.is_some_and(|at| at <= now);
        let ripe: Vec<AgentSessionId> =
            self.roots.iter().filter(|(_, root)| due(root)).map(|(id, _)| id.clone()).collect();
        for session in ripe {
            let is_known = self.talk(&session).await?;
            if let Some(root) = self.roots.get_mut(&session) {
                root.adopt_at = (!is_known).then(|| now + GRACE);
            }
        }
        let rests = self.listed && self.asking.is_none() && self.wanted.is_empty() && !self.sessions_wanted;
        let others = self.inner.claims.any(self.feed.frame());
        let Some(gap) = &mut self.gap else { return Ok(()) };
        if !rests || self.overview_at.is_some_and(|at| at <= now) {
            return Ok(());
        }
        let tell_at = *gap.tell_at.get_or_insert(if others { now + OTHERS_REPAIR } else { now });
        if tell_at <= now {
            self.tell_gap().await?;
        }
        Ok(())
    }

    async fn tell_gap(&mut self) -> Result<(), StoreError> {
        let Some(gap) = self.gap.take() else { return Ok(()) };
        let repaired = gap.repaired + self.feed.take_repaired();
        if gap.is_guess && repaired == 0 {
            return Ok(());
        }
        self.inner.counters.gaps.inc();
        self.inner.counters.repaired.inc_by(repaired.into());
        let subject = Subject {
            frame: Some(self.feed.frame().clone()),
            frame_name: Some(self.frame_name.clone()),
            ..Subject::default()
        };
        let told = Happening::AgentGap { since: gap.since, why: gap.why, repaired };
        let write =
            self.inner.deps.store.write::<_, StoreError, _>(move |tx| tx.emit(&subject, &told).map(drop));
        write.await
    }

    async fn hear(&mut self, heard: &Heard) -> Result<(), StoreError> {
        match &*heard.event {
            AgentEvent::Connected | AgentEvent::Heartbeat | AgentEvent::Other(_) => Ok(()),
            AgentEvent::Disposed => {
                self.overview_at = Some(heard.at);
                self.must_look = true;
                Ok(())
            }
            AgentEvent::Asked(ask) => self.asked(ask).await,
            AgentEvent::PermissionReplied { permission, reply, .. } => {
                self.replied(permission, Replied::Permission(reply.clone())).await
            }
            AgentEvent::QuestionAnswered { question, .. } => self.replied(question, Replied::Question).await,
            AgentEvent::SessionUpdated { parent: Some(_), .. } => Ok(()),
            AgentEvent::SessionUpdated { session, parent: None, title, metadata } => {
                self.updated(session, title, metadata, heard.at).await
            }
            AgentEvent::SessionDeleted(session) => self.deleted(session).await,
            AgentEvent::Failed(None, _) => {
                for talk in self.talks.values_mut() {
                    if let Some(run) = &mut talk.run {
                        talk.speech.add(run.see(&heard.event, heard.at), heard.at);
                    }
                }
                Ok(())
            }
            AgentEvent::Status(session, status) => {
                self.moved(session, status, heard);
                Ok(())
            }
            AgentEvent::Message(head) => self.said(&head.session, &head.id, heard).await,
            AgentEvent::Part(part) => self.said(&part.session, &part.message, heard).await,
            AgentEvent::PartDelta { session, message, .. } | AgentEvent::MessageRemoved(session, message) => {
                self.said(session, message, heard).await
            }
            AgentEvent::Failed(Some(session), _) => {
                if let Some(talk) = self.talks.get_mut(session)
                    && let Some(run) = &mut talk.run
                {
                    talk.speech.add(run.see(&heard.event, heard.at), heard.at);
                    talk.look_at = Some(heard.at);
                }
                Ok(())
            }
        }
    }

    fn moved(&mut self, session: &AgentSessionId, status: &AgentStatus, heard: &Heard) {
        let claimed = self.inner.claims.prompt(self.feed.frame(), session).is_some();
        let Some(talk) = self.talks.get_mut(session) else { return };
        if let Some(run) = &mut talk.run {
            talk.speech.add(run.see(&heard.event, heard.at), heard.at);
        }
        let is_ours = talk.ours.is_some() && claimed;
        if *status == AgentStatus::Idle && talk.has_work() && !is_ours {
            talk.look_at = Some(heard.at);
        }
    }

    /// Something about a message.
    async fn said(
        &mut self,
        session: &AgentSessionId,
        message: &AgentMessageId,
        heard: &Heard,
    ) -> Result<(), StoreError> {
        let claimed = self.inner.claims.prompt(self.feed.frame(), session);
        let is_claimed = claimed.is_some_and(|prompt| *message >= prompt);
        if is_claimed || self.feed.parent_of(session).is_some() {
            // A lane tells of it; a sub-agent's words are not told.
            if let Some(talk) = self.talks.get_mut(session) {
                talk.seen = talk.seen.take().max(Some(message.clone()));
                talk.was_claimed |= is_claimed;
            }
            return Ok(());
        }
        let first = self.heard.entry(session.clone()).or_insert_with(|| message.clone());
        if message < first {
            first.clone_from(message);
        }
        let is_head = matches!(&*heard.event, AgentEvent::Message(_));
        if !self.talks.contains_key(session) {
            if !self.roots.contains_key(session) {
                // Whose it is has to be asked; what is missed meanwhile is read then.
                self.wanted.insert(session.clone());
                return Ok(());
            }
            if !is_head || !self.talk(session).await? {
                return Ok(());
            }
        }
        let Some(talk) = self.talks.get_mut(session) else { return Ok(()) };
        talk.seen = talk.seen.take().max(Some(message.clone()));
        if talk.ours.as_ref().is_some_and(|ours| message >= ours) {
            return Ok(());
        }
        if !talk.is_news(message) {
            if talk.unfinished.contains(message) {
                self.came_late(session);
            }
            return Ok(());
        }
        if let Some(run) = talk.run.as_mut().filter(|run| message >= run.prompt()) {
            talk.speech.add(run.see(&heard.event, heard.at), heard.at);
            return Ok(());
        }
        match &*heard.event {
            AgentEvent::Message(head) if head.role == Role::User => {
                self.prompted(session, heard, message).await
            }
            _ => {
                self.came_late(session);
                Ok(())
            }
        }
    }

    /// Something was said that only the history lacks.
    fn came_late(&mut self, session: &AgentSessionId) {
        if let Some(talk) = self.talks.get_mut(session) {
            talk.is_late = true;
        }
        if !self.feed.is_busy(session) {
            self.wanted.insert(session.clone());
        }
    }

    /// Somebody spoke in a session that rested.
    async fn prompted(
        &mut self,
        session: &AgentSessionId,
        heard: &Heard,
        prompt: &AgentMessageId,
    ) -> Result<(), StoreError> {
        let ids = vec![prompt.clone()];
        let whose = self.inner.deps.store.read(move |db| talk::whose(db, &ids)).await?;
        let Some(talk) = self.talks.get_mut(session) else { return Ok(()) };
        match whose.get(prompt) {
            Some(super::run::Whose::Open) => talk.ours = Some(prompt.clone()),
            Some(super::run::Whose::Ended) => talk.is_late = true,
            None if !talk.is_read => drop(self.wanted.insert(session.clone())),
            None => {
                talk.is_old = false;
                let mut run = super::run::Run::new(
                    session.clone(),
                    prompt.clone(),
                    super::transcript::Told::default(),
                    BTreeSet::new(),
                );
                talk.speech.add(run.see(&heard.event, heard.at), heard.at);
                talk.run = Some(run);
            }
        }
        Ok(())
    }

    async fn asked(&mut self, ask: &Ask) -> Result<(), StoreError> {
        self.asked_meanwhile.push(ask.clone());
        let root = self.root_of(&ask.session).await;
        self.talk(&root).await?;
        self.inner.deps.approvals.asked(self.feed.frame(), Some(&root), ask).await
    }

    async fn replied(&mut self, prompt: &str, how: Replied) -> Result<(), StoreError> {
        self.answered_meanwhile.insert(prompt.to_owned());
        self.inner.deps.approvals.replied(self.feed.frame(), prompt, how).await
    }

    /// The session whose agent made this one, or itself.
    pub(super) async fn root_of(&mut self, session: &AgentSessionId) -> AgentSessionId {
        let mut at = session.clone();
        for _ in 0..DEPTH {
            if let Some(parent) = self.feed.parent_of(&at) {
                at = parent;
                continue;
            }
            if self.roots.contains_key(&at) || self.talks.contains_key(&at) {
                break;
            }
            let Ok(client) = self.inner.deps.places.agent(self.feed.frame()).await else { break };
            match client.find_session(&at).await {
                Ok(Some(found)) => match found.parent {
                    Some(parent) => self.feed.found_parent(&at, &parent),
                    None => self.found_root(&at, found.title, found.metadata, None),
                },
                _ => break,
            }
        }
        at
    }

    pub(super) fn found_root(
        &mut self,
        session: &AgentSessionId,
        title: String,
        metadata: serde_json::Value,
        adopt_at: Option<Instant>,
    ) {
        let known = self.roots.entry(session.clone());
        let root =
            known.or_insert_with(|| Root { title: String::new(), metadata, adopt_at, is_fresh: false });
        root.title = title;
    }

    async fn updated(
        &mut self,
        session: &AgentSessionId,
        title: &str,
        metadata: &serde_json::Value,
        now: Instant,
    ) -> Result<(), StoreError> {
        let before = self.roots.get(session).map(|root| root.title.clone());
        let is_new = self.listed && before.is_none();
        self.found_root(session, title.to_owned(), metadata.clone(), Some(now + GRACE));
        if before.is_some_and(|before| before != title)
            && let Some(talk) = self.talks.get(session)
        {
            let (id, title) = (talk.id.clone(), title.to_owned());
            return self.inner.deps.store.write(move |tx| sessions::retitle(tx, &id, &title)).await;
        }
        if let Some(root) = self.roots.get_mut(session).filter(|_| is_new) {
            root.is_fresh = true;
        }
        Ok(())
    }

    async fn deleted(&mut self, session: &AgentSessionId) -> Result<(), StoreError> {
        self.roots.remove(session);
        self.wanted.remove(session);
        let Some(talk) = self.talks.remove(session) else { return Ok(()) };
        self.settle().await?;
        let (id, subject, lost) = (talk.id, talk.subject, session.clone());
        let change = move |tx: &mut crate::store::Tx<'_>| {
            match sessions::clear_agent_session(tx, &id, &lost) {
                // Whoever deleted it through mimir has told of it.
                Err(StoreError::Conflict { .. }) => Ok(()),
                Err(error) => Err(error),
                Ok(()) => tx.emit(&subject, &Happening::SessionRemoved {}).map(drop),
            }
        };
        self.inner.deps.store.write(change).await
    }

    /// The conversation is known from here on; makes its row unless somebody else is about to. Says whether it is.
    pub(super) async fn talk(&mut self, session: &AgentSessionId) -> Result<bool, StoreError> {
        if self.talks.contains_key(session) {
            return Ok(true);
        }
        let (frame, id) = (self.feed.frame().clone(), session.clone());
        let mark = self.roots.get(session).map(|root| root.metadata.clone()).unwrap_or_default();
        let found = self
            .inner
            .deps
            .store
            .read(move |db| Ok((talk::find(db, &frame, &id)?, talk::is_being_made(db, &mark)?)))
            .await?;
        let talk = match found {
            (Some(talk), _) => talk,
            (None, true) => return Ok(false),
            (None, false) => match self.adopt(session).await? {
                Some(talk) => talk,
                None => return Ok(false),
            },
        };
        if let Some(root) = self.roots.get_mut(session) {
            root.adopt_at = None;
        }
        self.talks.insert(session.clone(), talk);
        Ok(true)
    }

    /// Whether a message was written while nobody listened.
    pub(super) fn was_missed(&self, session: &AgentSessionId, message: &AgentMessageId) -> bool {
        self.heard.get(session).is_none_or(|first| message < first)
    }

    /// Whether it is known whose it is.
    pub(super) fn is_known(&self, session: &AgentSessionId) -> bool {
        self.roots.contains_key(session)
            || self.talks.contains_key(session)
            || self.feed.parent_of(session).is_some()
    }

    /// Makes a row for a session that somebody made past mimir.
    async fn adopt(&mut self, session: &AgentSessionId) -> Result<Option<Talk>, StoreError> {
        let Some(root) = self.roots.get(session) else { return Ok(None) };
        let new = NewSession {
            id: SessionId::from_parts(self.inner.deps.clock.now_ms(), clock::entropy_128()),
            frame: self.feed.frame().clone(),
            frame_name: self.frame_name.clone(),
            title: crate::sessions::title_of(&root.title),
        };
        let agent_session = session.clone();
        let row = self
            .inner
            .deps
            .store
            .write::<_, StoreError, _>(move |tx| sessions::adopt(tx, &agent_session, &new))
            .await?;
        let mut talk = self.inner.deps.store.read(move |db| Talk::load(db, row)).await?;
        talk.is_read = root.is_fresh;
        talk.is_old = false;
        Ok(Some(talk))
    }
}

/// Waits for the answer in flight, and for ever when nothing was asked.
async fn answered(
    asking: &mut Option<(Question, BoxFuture<'static, Result<Answer, String>>)>,
) -> Result<Answer, (Question, String)> {
    let Some((_, flying)) = asking else { return std::future::pending().await };
    let answer = flying.await;
    let question = asking.take().map(|(question, _)| question);
    match (answer, question) {
        (Ok(answer), _) => Ok(answer),
        (Err(why), Some(question)) => Err((question, why)),
        (Err(_), None) => std::future::pending().await,
    }
}
