//! What is known of a frame's conversations, and how it is kept and stored.
//!
//! The state and what every step needs. What is heard is taken in `hear`, what is read in `reread`, what deliveries
//! wish in `follow`; `run` is the loop around them.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::counters::Counters;
use super::gap::Gaps;
use super::inquiries::Inquiries;
use super::inquiry::{Question, ask};
use super::outbox::Outbox;
use super::reader::Feed;
use super::requests::Requests;
use super::root_sessions::RootSessions;
use super::session_state::{self, SessionState};
use super::{FeedDeps, Inner};
use crate::clock;
use crate::model::agent::AgentSessionId;
use crate::model::ids::SessionId;
use crate::model::names::FrameName;
use crate::store::sessions::NewSession;
use crate::store::{StoreError, frames, sessions};

/// Keeps what is known of a frame's conversations in step with what its agent says.
pub(super) struct SessionReconciler<'a> {
    pub deps: &'a FeedDeps,
    pub counters: &'a Counters,
    pub feed: &'a Feed,
    pub frame_name: FrameName,
    pub sessions: BTreeMap<AgentSessionId, SessionState>,
    pub roots: RootSessions,
    pub inquiries: Inquiries,
    pub requests: Requests,
    pub outbox: Outbox,
    pub gaps: Gaps,
}

impl<'a> SessionReconciler<'a> {
    /// Everything that is known comes from the database at first, so an error costs no more than a new beginning.
    pub(super) async fn new(inner: &'a Inner, feed: &'a Feed) -> Result<Self, StoreError> {
        let (deps, id) = (&inner.deps, feed.frame().clone());
        let wanted = id.clone();
        let frame = deps.store.read(move |db| frames::get(db, &wanted)).await?;
        Ok(Self {
            deps,
            counters: &inner.counters,
            feed,
            frame_name: frame.name,
            sessions: BTreeMap::new(),
            roots: RootSessions::default(),
            inquiries: Inquiries::new(deps.settings.look_every),
            requests: Requests::new(deps.approvals.clone(), id),
            outbox: Outbox::new(deps.store.clone(), inner.counters.clone(), deps.failpoints.clone()),
            gaps: Gaps::default(),
        })
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.deps.clock.now_ms()
    }

    /// Starts what can be done beside listening: storing and asking. While `more_comes`, what streams by is collected.
    pub(super) fn keep_busy(&mut self, more_comes: bool) -> Result<(), StoreError> {
        self.store(more_comes)?;
        while let Some(question) =
            self.inquiries.next(&mut self.sessions, self.feed.is_working(), |id| self.roots.contains(id))
        {
            if matches!(question, Question::Overview) {
                self.requests.begin_listing();
            }
            let asking = ask(self.deps.locator.clone(), self.feed.frame().clone(), question.clone());
            self.inquiries.put(question, asking);
        }
        Ok(())
    }

    /// Begins to store what waits for it.
    fn store(&mut self, more_comes: bool) -> Result<(), StoreError> {
        let mut stream = Vec::new();
        for state in self.sessions.values_mut() {
            if let Some(late) = state.store_late() {
                self.outbox.put_end(late)?;
            }
            let is_free = self.outbox.is_free() && !more_comes;
            for turn in state.turns.values_mut() {
                match turn.is_open() {
                    true if is_free => stream.extend(turn.store()),
                    true => {}
                    false => turn.store().map_or(Ok(()), |last| self.outbox.put_end(last))?,
                }
            }
            state.turns.retain(|_, turn| turn.is_open());
        }
        if stream.is_empty() { Ok(()) } else { self.outbox.put_stream(stream) }
    }

    /// Stores everything that waits for it.
    pub(super) async fn settle(&mut self) -> Result<(), StoreError> {
        loop {
            self.store(false)?;
            if self.outbox.is_empty() {
                return Ok(());
            }
            self.outbox.done().await?;
        }
    }

    /// Makes rows for sessions that waited long enough for somebody else to make them.
    pub(super) async fn adopt_ripe(&mut self, now: Instant) -> Result<(), StoreError> {
        for session in self.roots.ripe(now) {
            let is_known = self.session(&session).await?;
            self.roots.set_known(&session, is_known, now);
        }
        Ok(())
    }

    /// Names tool calls that may never end, in turns that somebody began past mimir: of those of messages delivery does.
    pub(super) fn tell_silence(&mut self, now: Instant) {
        if !self.feed.has_calls() {
            return;
        }
        let now_ms = self.now_ms();
        for (session, state) in &mut self.sessions {
            let id = state.id.clone();
            let Some(turn) = state.current().filter(|turn| turn.is_past_us()) else { continue };
            if let Some(call) = self.feed.silent_call(session, now_ms) {
                turn.fell_silent(call, &id, now);
            }
        }
    }

    /// Tells of the gap when everything has been looked at.
    pub(super) async fn close_gap(&mut self, now: Instant) -> Result<(), StoreError> {
        if !(self.roots.is_complete() && self.inquiries.is_quiet(now)) {
            return Ok(());
        }
        let others = self
            .sessions
            .values()
            .any(|state| state.awaited.is_some() || state.turns.values().any(|turn| turn.is_catching_up()));
        let Some((told, repaired)) = self.gaps.close(now, others) else { return Ok(()) };
        self.counters.gaps.inc();
        self.counters.repaired.inc_by(repaired.into());
        let subject = crate::model::event::Subject {
            frame: Some(self.feed.frame().clone()),
            frame_name: Some(self.frame_name.clone()),
            ..Default::default()
        };
        let write = self.deps.store.write_soon(move |tx| tx.emit(&subject, &told).map(drop));
        write.await
    }

    /// Whether it is known whose it is.
    pub(super) fn is_known(&self, session: &AgentSessionId) -> bool {
        self.roots.contains(session)
            || self.sessions.contains_key(session)
            || self.feed.root_of(session) != *session
    }

    /// The conversation is known from here on; makes its row unless somebody else is about to. Says whether it is.
    pub(super) async fn session(&mut self, session: &AgentSessionId) -> Result<bool, StoreError> {
        if self.sessions.contains_key(session) {
            return Ok(true);
        }
        let (frame, id) = (self.feed.frame().clone(), session.clone());
        let mark = self.roots.metadata(session);
        let read = self.deps.store.read(move |db| {
            Ok((session_state::find(db, &frame, &id)?, session_state::is_being_made(db, &mark)?))
        });
        let state = match read.await? {
            (Some(state), _) => state,
            (None, true) => return Ok(false),
            (None, false) => match self.adopt(session).await? {
                Some(state) => state,
                None => return Ok(false),
            },
        };
        self.roots.set_known(session, true, Instant::now());
        self.sessions.insert(session.clone(), state);
        Ok(true)
    }

    /// Makes a row for a session that somebody made past mimir.
    async fn adopt(&mut self, session: &AgentSessionId) -> Result<Option<SessionState>, StoreError> {
        let Some((title, is_fresh)) = self.roots.title(session) else { return Ok(None) };
        let new = NewSession {
            id: SessionId::from_parts(self.now_ms(), clock::entropy_128()),
            frame: self.feed.frame().clone(),
            frame_name: self.frame_name.clone(),
            title: crate::sessions::title_of(title),
        };
        let agent_session = session.clone();
        let write = self.deps.store.write_soon(move |tx| sessions::adopt(tx, &agent_session, &new));
        let row = write.await?;
        let mut state = self.deps.store.read(move |db| SessionState::load(db, row)).await?;
        state.is_read = is_fresh;
        state.is_old = false;
        Ok(Some(state))
    }
}
