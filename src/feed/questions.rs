//! What the agent is asked next, and what its answers say of sessions and prompts.

use std::collections::BTreeMap;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::ask::{Answer, Question, ask};
use super::scribe::Scribe;
use super::talk::Talk;
use crate::model::agent::{AgentSessionId, AgentStatus};
use crate::model::approval::AgentRequest;
use crate::opencode::AgentSession;
use crate::store::{StoreError, Tx, sessions};

/// For so long after its newest known message a session is read to be sure; clocks and updates overlap.
const OVERLAP_MS: u64 = 5_000;
/// So many of the newest sessions are read anyway.
const READ_ANYWAY: usize = 20;

/// A question in flight.
pub(super) type Asking = (Question, BoxFuture<'static, Result<Answer, String>>);

impl Scribe<'_> {
    /// Asks, unless something was asked or it is too early.
    pub(super) fn keep_asking(&mut self) {
        let now = Instant::now();
        if self.asking.is_some() || self.ask_at > now {
            return;
        }
        if let Some(question) = self.next_question(now) {
            let (places, frame) = (self.inner.deps.locator.clone(), self.feed.frame().clone());
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
        if let Some(untold) = self.untold.pop() {
            return Some(Question::Title(untold));
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

    pub(super) async fn answered(
        &mut self,
        answer: Result<Answer, (Question, String)>,
    ) -> Result<(), StoreError> {
        let now = Instant::now();
        let answer = match answer {
            Ok(answer) => answer,
            Err((question, why)) => {
                tracing::debug!(frame = %self.feed.frame(), "the agent of frame {} does not answer: {why}", self.feed.frame());
                match question {
                    Question::Overview => {
                        self.overview_at = Some(now);
                        self.must_look = true;
                    }
                    Question::Sessions => self.sessions_wanted = true,
                    Question::Talk { session, .. } => drop(self.wanted.insert(session)),
                    Question::Title(untold) => self.untold.push(untold),
                }
                self.ask_at = now + self.patience.next_delay();
                return Ok(());
            }
        };
        self.patience.reset();
        match answer {
            Answer::Overview { asked, statuses, asks } => self.seen_all(asked, &statuses, asks).await,
            Answer::Sessions(sessions) => self.listed(sessions).await,
            Answer::Talk { session, asked, page } => self.read(session, page, asked).await,
            Answer::Title(untold) => {
                let told = move |tx: &mut Tx<'_>| sessions::told(tx, &untold.session, &untold.title);
                self.inner.deps.store.write(told).await
            }
            Answer::Refused => Ok(()),
        }
    }

    async fn seen_all(
        &mut self,
        asked: Instant,
        statuses: &BTreeMap<AgentSessionId, AgentStatus>,
        asks: Vec<AgentRequest>,
    ) -> Result<(), StoreError> {
        let now_ms = self.inner.deps.clock.now_ms();
        self.feed.reread(statuses, asked, now_ms);
        // What was heard while the question was on its way is newer than the answer.
        let mut waiting: BTreeMap<String, AgentRequest> =
            asks.into_iter().map(|ask| (ask.id.clone(), ask)).collect();
        waiting.extend(self.asked_meanwhile.drain(..).map(|ask| (ask.id.clone(), ask)));
        waiting.retain(|id, _| !self.answered_meanwhile.contains(id));
        let waiting: Vec<AgentRequest> = waiting.into_values().collect();
        for ask in &waiting {
            let root = self.root_of(&ask.session).await;
            self.talk(&root).await?;
        }
        self.inner.deps.approvals.listed(self.feed.frame(), &waiting).await?;
        for session in statuses.keys() {
            if !self.is_known(session) {
                self.wanted.insert(session.clone());
            }
        }
        let runs = self.talks.iter().filter(|(_, talk)| talk.has_work());
        let open: Vec<AgentSessionId> = runs.map(|(id, _)| id.clone()).collect();
        self.wanted.extend(open);
        self.overview_at = Some(Instant::now() + self.inner.deps.settings.look_every);
        Ok(())
    }

    async fn listed(&mut self, listed: Vec<AgentSession>) -> Result<(), StoreError> {
        for (place, session) in listed.into_iter().enumerate() {
            if let Some(parent) = &session.parent {
                self.feed.found_parent(&session.id, parent);
                continue;
            }
            self.found_root(&session.id, session.title, session.metadata, None);
            if !self.talk(&session.id).await? {
                continue;
            }
            let Some(talk) = self.talks.get_mut(&session.id) else { continue };
            let is_unknown = session.updated_at == 0;
            let is_behind = session.updated_at.saturating_sub(OVERLAP_MS) > talk.read_until;
            let is_near = place < READ_ANYWAY && session.updated_at >= talk.read_until;
            if is_unknown || is_behind || is_near || talk.run.is_some() || talk.is_late {
                self.wanted.insert(session.id.clone());
            } else {
                talk.is_read = true;
            }
            talk.read_until = talk.read_until.max(session.updated_at);
        }
        self.listed = true;
        let frame = self.feed.frame().clone();
        self.untold = self.inner.deps.store.read(move |db| sessions::untold(db, &frame)).await?;
        Ok(())
    }
}

/// Waits for the answer in flight, and for ever when nothing was asked.
pub(super) async fn answer(asking: &mut Option<Asking>) -> Result<Answer, (Question, String)> {
    let Some((_, flying)) = asking else { return std::future::pending().await };
    let answer = flying.await;
    let question = asking.take().map(|(question, _)| question);
    match (answer, question) {
        (Ok(answer), _) => Ok(answer),
        (Err(why), Some(question)) => Err((question, why)),
        (Err(_), None) => std::future::pending().await,
    }
}
