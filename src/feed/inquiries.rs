//! What the agent is asked, when, and how much at once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::time::Instant;

use super::inquiry::{Answer, Question, Unanswered};
use super::session_state::SessionState;
use crate::model::agent::AgentSessionId;
use crate::store::sessions::Untold;
use crate::supervisor::backoff::Backoff;

/// So many conversations are read at the same time.
const READS: usize = 4;
/// The longest time in which nothing is looked for.
const REST: Duration = Duration::from_secs(30);

/// A question, and what came of it.
pub(super) type Answered = (Question, Result<Answer, Unanswered>);

/// What the agent is asked.
pub(super) struct Inquiries {
    /// How often it is asked what it does, whatever its events say.
    look_every: Duration,
    overview_at: Option<Instant>,
    /// Ask what it does even if it rests, as far as is known.
    must_look: bool,
    sessions_wanted: bool,
    /// Conversations that are to be read.
    wanted: BTreeSet<AgentSessionId>,
    /// Titles that were given while it slept.
    untold: Vec<Untold>,
    in_flight: FuturesUnordered<BoxFuture<'static, Answered>>,
    /// Something about all of it is being asked.
    asks_about_all: bool,
    /// Conversations that are being read.
    being_read: BTreeSet<AgentSessionId>,
    /// Not before: it did not answer.
    ask_at: Instant,
    delays: Backoff,
}

impl Inquiries {
    pub(super) fn new(look_every: Duration) -> Self {
        Self {
            look_every,
            overview_at: None,
            must_look: false,
            sessions_wanted: false,
            wanted: BTreeSet::new(),
            untold: Vec::new(),
            in_flight: FuturesUnordered::new(),
            asks_about_all: false,
            being_read: BTreeSet::new(),
            ask_at: Instant::now(),
            delays: Backoff::new(Duration::from_millis(200), Duration::from_secs(5)),
        }
    }

    /// There is a new connection: everything may have changed.
    pub(super) fn begin_again(&mut self, now: Instant) {
        self.in_flight = FuturesUnordered::new();
        self.asks_about_all = false;
        self.wanted.append(&mut self.being_read);
        self.ask_at = now;
        self.look_now(now);
        self.sessions_wanted = true;
        self.untold.clear();
    }

    /// Asks soon what it does and what it waits for.
    pub(super) fn look_now(&mut self, now: Instant) {
        self.overview_at = Some(now);
        self.must_look = true;
    }

    /// Has a conversation read.
    pub(super) fn want(&mut self, session: AgentSessionId) {
        self.wanted.insert(session);
    }

    /// It is not there any more.
    pub(super) fn forget(&mut self, session: &AgentSessionId) {
        self.wanted.remove(session);
    }

    /// Titles that it is to be told.
    pub(super) fn tell(&mut self, untold: Vec<Untold>) {
        self.untold = untold;
    }

    /// Whether everything that there was to ask was answered.
    pub(super) fn is_quiet(&self, now: Instant) -> bool {
        self.in_flight.is_empty()
            && self.wanted.is_empty()
            && !self.sessions_wanted
            && self.overview_at.is_none_or(|at| at > now)
    }

    /// What to ask next, if it is time.
    pub(super) fn next(
        &mut self,
        sessions: &mut BTreeMap<AgentSessionId, SessionState>,
        is_working: bool,
        is_root: impl Fn(&AgentSessionId) -> bool,
    ) -> Option<Question> {
        let now = Instant::now();
        if self.ask_at > now {
            return None;
        }
        if !self.asks_about_all {
            let question = self.about_all(now, sessions, is_working);
            self.asks_about_all = question.is_some();
            if question.is_some() {
                return question;
            }
        }
        if self.being_read.len() >= READS {
            return None;
        }
        let is_due = |state: &SessionState| state.look_at.is_some_and(|at| at <= now);
        let mut due = sessions.iter().filter(|(_, state)| is_due(state)).map(|(id, _)| id);
        let free = |id: &&AgentSessionId| !self.being_read.contains(*id);
        let session = due.find(free).or_else(|| self.wanted.iter().find(free))?.clone();
        self.wanted.remove(&session);
        self.being_read.insert(session.clone());
        let known = sessions.get_mut(&session).map(|state| {
            state.look_at = None;
            (state.oldest(), state.reached.clone())
        });
        let (oldest, newest) = known.unwrap_or_default();
        let is_root = sessions.contains_key(&session) || is_root(&session);
        Some(Question::Messages { session, oldest, newest, is_root })
    }

    fn about_all(
        &mut self,
        now: Instant,
        sessions: &BTreeMap<AgentSessionId, SessionState>,
        is_working: bool,
    ) -> Option<Question> {
        if self.overview_at.is_some_and(|at| at <= now) {
            if self.must_look || is_working || sessions.values().any(SessionState::has_work) {
                self.overview_at = None;
                self.must_look = false;
                return Some(Question::Overview);
            }
            // Nothing is asked of an agent that rests.
            self.overview_at = Some(now + self.look_every);
        }
        if std::mem::take(&mut self.sessions_wanted) {
            return Some(Question::Sessions);
        }
        self.untold.pop().map(Question::Title)
    }

    /// The question is asked.
    pub(super) fn put(
        &mut self,
        question: Question,
        asking: impl Future<Output = Result<Answer, Unanswered>> + Send + 'static,
    ) {
        self.in_flight.push(async move { (question, asking.await) }.boxed());
    }

    /// Waits for an answer; for ever when nothing was asked.
    pub(super) async fn answered(&mut self) -> Answered {
        match self.in_flight.next().await {
            Some(answered) => answered,
            None => std::future::pending().await,
        }
    }

    /// Takes note of an answer. What was not answered is asked again.
    pub(super) fn was_answered(&mut self, question: &Question, is_answered: bool) {
        match question {
            Question::Messages { session, .. } => drop(self.being_read.remove(session)),
            _ => self.asks_about_all = false,
        }
        let now = Instant::now();
        if is_answered {
            self.delays.reset();
            if matches!(question, Question::Overview) {
                let next = now + self.look_every;
                self.overview_at = Some(self.overview_at.map_or(next, |at| at.min(next)));
            }
            return;
        }
        match question.clone() {
            Question::Overview => self.look_now(now),
            Question::Sessions => self.sessions_wanted = true,
            Question::Messages { session, .. } => drop(self.wanted.insert(session)),
            Question::Title(untold) => self.untold.push(untold),
        }
        self.ask_at = now + self.delays.next_delay();
    }

    /// When there is something to ask again, if nothing happens before.
    pub(super) fn next_due(&self, sessions: &BTreeMap<AgentSessionId, SessionState>) -> Instant {
        let now = Instant::now();
        let mut due = now + REST;
        if !self.asks_about_all {
            let waits = self.sessions_wanted || !self.untold.is_empty();
            let next = if waits { Some(now) } else { self.overview_at };
            due = next.map_or(due, |at| due.min(at.max(self.ask_at)));
        }
        if self.being_read.len() < READS {
            let is_free = |id: &AgentSessionId| !self.being_read.contains(id);
            let waits = self.wanted.iter().any(is_free).then_some(now);
            let looks = sessions.iter().filter(|(id, _)| is_free(id)).filter_map(|(_, state)| state.look_at);
            due = looks.chain(waits).fold(due, |due, at| due.min(at.max(self.ask_at)));
        }
        due
    }
}
