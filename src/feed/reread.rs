//! What the agent answers when it is asked: what it missed to tell is added, and turns come to their end.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::inquiries::Answered;
use super::inquiry::{Answer, Page, Question, Unanswered};
use super::reconciler::SessionReconciler;
use super::session_state;
use super::sort::{Piece, Sorted, sort};
use super::tracked_turn::TrackedTurn;
use super::turn::Turn;
use super::verdict::Verdict;
use crate::model::agent::{AgentMessage, AgentMessageId, AgentSessionId, AgentStatus, Role};
use crate::model::approval::AgentRequest;
use crate::opencode::AgentSession;
use crate::store::{StoreError, Tx, sessions};

/// For so long after its newest known message a session is read to be sure; clocks and updates overlap.
const OVERLAP_MS: u64 = 5_000;
/// So many of the newest sessions are read anyway.
const READ_ANYWAY: usize = 20;

impl SessionReconciler<'_> {
    pub(super) async fn answered(&mut self, (question, answer): Answered) -> Result<(), StoreError> {
        self.inquiries.was_answered(&question, answer.is_ok());
        match answer {
            Ok(Answer::Overview { asked, statuses, requests }) => {
                self.seen_all(asked, &statuses, requests).await
            }
            Ok(Answer::Sessions(sessions)) => self.listed(sessions).await,
            Ok(Answer::Messages { session, asked, page }) => {
                if let Question::Messages { newest: Some(newest), .. } = &question {
                    self.compare(&session, &page, newest, asked).await?;
                }
                self.read(session, page, asked).await
            }
            Ok(Answer::Title(untold)) => {
                let told = move |tx: &mut Tx<'_>| sessions::told(tx, &untold.session, &untold.title);
                self.deps.store.write_soon(told).await
            }
            Ok(Answer::Refused) => Ok(()),
            Err(unanswered) => {
                self.unanswered(&question, &unanswered);
                Ok(())
            }
        }
    }

    /// Turns of ours must not wait for ever for an agent that does not answer: whoever awaits them finds out why.
    fn unanswered(&mut self, question: &Question, unanswered: &Unanswered) {
        let (frame, why) = (self.feed.frame(), &unanswered.why);
        tracing::debug!(frame = %frame, "the agent of frame {frame} does not answer: {why}");
        match question {
            Question::Overview => {
                let turns = self.sessions.values().flat_map(|state| state.turns.values());
                turns.filter(|turn| turn.is_catching_up()).for_each(|turn| turn.lost(why));
            }
            Question::Messages { session, .. } => {
                let Some(state) = self.sessions.get_mut(session) else { return };
                let now = Instant::now();
                let mut ended = Vec::new();
                for (prompt, turn) in state.turns.iter_mut().filter(|(_, turn)| turn.owner.is_some()) {
                    match turn.closes(now) {
                        Some(verdict) => ended.push((prompt.clone(), verdict)),
                        None if unanswered.is_final => {
                            ended.push((prompt.clone(), Verdict::Failed(why.clone())));
                        }
                        None => turn.lost(why),
                    }
                }
                let session = session.clone();
                ended.into_iter().for_each(|(prompt, verdict)| self.end(&session, &prompt, &[], verdict));
            }
            Question::Sessions | Question::Title(_) => {}
        }
    }

    /// What it does, and what it waits for.
    async fn seen_all(
        &mut self,
        asked: Instant,
        statuses: &BTreeMap<AgentSessionId, AgentStatus>,
        requests: Vec<AgentRequest>,
    ) -> Result<(), StoreError> {
        self.feed.reread(statuses, asked, self.now_ms());
        // What was heard while the question was on its way is newer than the answer.
        let waiting = self.requests.merge(requests);
        for request in &waiting {
            let root = self.root_of(&request.session).await;
            self.session(&root).await?;
            let turn = self.sessions.get_mut(&root).and_then(|state| state.current());
            if let Some(turn) = turn {
                turn.waits_for(request);
            }
        }
        let listed = waiting.iter().map(|request| request.id.clone()).collect();
        for turn in self.sessions.values_mut().filter_map(|state| state.current()) {
            turn.still_waiting(&listed, asked);
        }
        self.requests.listed(waiting);
        let working = self.sessions.iter().filter(|(_, state)| state.has_work()).map(|(id, _)| id);
        let unknown = statuses.keys().filter(|session| !self.is_known(session));
        let wanted: Vec<AgentSessionId> = working.chain(unknown).cloned().collect();
        wanted.into_iter().for_each(|session| self.inquiries.want(session));
        Ok(())
    }

    /// Which conversations it has.
    async fn listed(&mut self, listed: Vec<AgentSession>) -> Result<(), StoreError> {
        for (place, session) in listed.into_iter().enumerate() {
            if let Some(parent) = &session.parent {
                self.feed.found_parent(&session.id, parent);
                continue;
            }
            self.roots.found(&session.id, session.title, session.metadata);
            if !self.session(&session.id).await? {
                continue;
            }
            self.listed_undone(&session.id, session.undone.as_ref()).await?;
            let Some(state) = self.sessions.get_mut(&session.id) else { continue };
            let is_unknown = session.updated_at == 0;
            let is_behind = session.updated_at.saturating_sub(OVERLAP_MS) > state.read_until;
            let is_near = place < READ_ANYWAY && session.updated_at >= state.read_until;
            if is_unknown || is_behind || is_near || state.is_late || !state.turns.is_empty() {
                self.inquiries.want(session.id);
            } else {
                state.is_read = true;
            }
            state.read_until = state.read_until.max(session.updated_at);
        }
        self.roots.set_complete(true);
        let frame = self.feed.frame().clone();
        self.inquiries.tell(self.deps.store.read(move |db| sessions::untold(db, &frame)).await?);
        Ok(())
    }

    /// What was said in one.
    async fn read(&mut self, session: AgentSessionId, page: Page, asked: Instant) -> Result<(), StoreError> {
        let (messages, is_busy) = match page {
            Page::Gone(what) => {
                self.gone(&session, &what);
                return Ok(());
            }
            Page::Child(parent) => {
                self.feed.found_parent(&session, &parent);
                return Ok(());
            }
            Page::Read { session: found, messages, is_busy, .. } => {
                if let Some(found) = found {
                    self.roots.found(&session, found.title, found.metadata);
                }
                (messages, is_busy)
            }
        };
        if !self.session(&session).await? {
            return Ok(());
        }
        let Some(state) = self.sessions.get_mut(&session) else { return Ok(()) };
        state.is_read = true;
        let first = state.turns.keys().next().cloned();
        let is_before = |message: &AgentMessage| first.as_ref().is_none_or(|first| message.head.id < *first);
        let (before, in_turns): (Vec<_>, Vec<_>) = messages.into_iter().partition(is_before);
        let finished =
            |message: &&AgentMessage| state.unfinished.contains(&message.head.id) && message.is_complete();
        let finished: Vec<AgentMessage> = before.iter().filter(finished).cloned().collect();
        for message in &finished {
            state.unfinished.remove(&message.head.id);
        }
        state.keep_late(finished);
        let news = before.into_iter().filter(|message| state.is_news(&message.head.id)).collect();

        let turns: Vec<(AgentMessageId, bool)> = state
            .turns
            .iter()
            .filter(|(_, turn)| turn.is_open())
            .map(|(prompt, turn)| (prompt.clone(), turn.owner.is_some()))
            .collect();
        // What is known of the turn of others holds everything from its prompt on, so there is nothing before it.
        if turns.first().is_none_or(|(_, is_ours)| *is_ours) {
            self.sort_out(&session, news, !is_busy, !turns.is_empty()).await?;
        }
        for (at, (prompt, _)) in turns.iter().enumerate() {
            let next = turns.get(at + 1).map(|(next, _)| next);
            let is_its = |message: &&AgentMessage| {
                message.head.id >= *prompt && next.is_none_or(|next| message.head.id < *next)
            };
            let written: Vec<AgentMessage> = in_turns.iter().filter(is_its).cloned().collect();
            self.go_on(&session, prompt, &written, !is_busy || next.is_some(), asked);
        }
        Ok(())
    }

    /// The agent does not know the conversation any more.
    fn gone(&mut self, session: &AgentSessionId, what: &str) {
        let Some(state) = self.sessions.get(session) else { return };
        let of_ours = state.turns.iter().filter(|(_, turn)| turn.is_open() && turn.owner.is_some());
        let prompts: Vec<AgentMessageId> = of_ours.map(|(prompt, _)| prompt.clone()).collect();
        for prompt in prompts {
            let why = format!("the agent no longer knows the conversation ({what})");
            self.end(session, &prompt, &[], Verdict::Failed(why));
        }
    }

    /// Takes what was read of a turn, and ends it when that is the end.
    fn go_on(
        &mut self,
        session: &AgentSessionId,
        prompt: &AgentMessageId,
        written: &[AgentMessage],
        rests: bool,
        asked: Instant,
    ) {
        let now = Instant::now();
        let Some(state) = self.sessions.get_mut(session) else { return };
        let Some(turn) = state.turns.get_mut(prompt) else { return };
        self.gaps.found(turn.absorb(written, asked));
        if let Some(verdict) = turn.closes(asked) {
            return self.end(session, prompt, written, verdict);
        }
        if turn.is_held() {
            state.look_at = Some(now + turn.turn.look_again());
            return;
        }
        if !rests {
            turn.turn.is_busy();
            return turn.caught_up();
        }
        // The answer's end may have been heard while the question was on its way: what was read is the last
        // word only when nothing was. Otherwise a head would be stored without the text that came with it.
        let verdict = match turn.turn.judge(now) {
            _ if turn.turn.was_heard_since(asked) => Verdict::NotYet,
            verdict => verdict,
        };
        match verdict {
            Verdict::NotYet => turn.caught_up(),
            Verdict::NotBegun(why) if turn.owner.is_some() => turn.not_begun(why),
            verdict => return self.end(session, prompt, written, verdict),
        }
        state.look_at = Some(now + turn.turn.look_again());
    }

    /// No turn is known that what was read belongs to; finds out what it is.
    async fn sort_out(
        &mut self,
        session: &AgentSessionId,
        news: Vec<AgentMessage>,
        rests: bool,
        is_followed: bool,
    ) -> Result<(), StoreError> {
        let prompts = news.iter().filter(|message| message.head.role == Role::User);
        let ids: Vec<AgentMessageId> = prompts.map(|message| message.head.id.clone()).collect();
        let whose = match ids.is_empty() {
            true => BTreeMap::new(),
            false => self.deps.store.read(move |db| session_state::whose(db, &ids)).await?,
        };
        let Sorted { pieces, ours } = sort(news, |id| whose.get(id).copied());
        let goes_on = ours.is_some() || is_followed;
        let Some(state) = self.sessions.get_mut(session) else { return Ok(()) };
        state.awaited = ours;
        state.is_late = false;
        let count = pieces.len();
        for (index, piece) in pieces.into_iter().enumerate() {
            let is_last = index + 1 == count && !goes_on;
            match piece {
                Piece::Quiet(messages) => {
                    let Some(state) = self.sessions.get_mut(session) else { return Ok(()) };
                    if is_last && !rests {
                        // Its end is still to come.
                        state.is_late = true;
                        continue;
                    }
                    let missed =
                        messages.iter().filter(|message| self.gaps.was_missed(session, &message.head.id));
                    let missed = missed.count();
                    self.gaps.found(missed);
                    state.keep_late(messages);
                }
                Piece::Foreign(messages) => self.found_turn(session, messages, is_last, rests).await?,
            }
        }
        Ok(())
    }

    /// Somebody spoke past mimir while nobody listened.
    async fn found_turn(
        &mut self,
        session: &AgentSessionId,
        written: Vec<AgentMessage>,
        is_last: bool,
        rests: bool,
    ) -> Result<(), StoreError> {
        let Some(prompt) = written.first().map(|message| message.head.id.clone()) else { return Ok(()) };
        let Some(state) = self.sessions.get_mut(session) else { return Ok(()) };
        let (emitted, begun) = if std::mem::take(&mut state.is_old) {
            let (frame, id) = (self.feed.frame().clone(), state.id.clone());
            self.deps.store.read(move |db| session_state::emitted_past_us(db, &frame, &id)).await?
        } else {
            Default::default()
        };
        let patience = self.deps.settings.patience;
        let Some(state) = self.sessions.get_mut(session) else { return Ok(()) };
        let turn = Turn::of_others(session.clone(), prompt.clone(), emitted, begun, patience);
        let mut turn = TrackedTurn::of_others(turn, state.subject.clone());
        turn.was_cut = self.gaps.was_missed(session, &prompt);
        state.turns.insert(prompt.clone(), turn);
        self.go_on(session, &prompt, &written, rests, Instant::now());
        if !is_last && self.is_open(session, &prompt) {
            // Somebody else's turn follows, so this one is over.
            self.end(session, &prompt, &written, Verdict::NotYet);
        }
        Ok(())
    }

    fn is_open(&self, session: &AgentSessionId, prompt: &AgentMessageId) -> bool {
        let turn = self.sessions.get(session).and_then(|state| state.turns.get(prompt));
        turn.is_some_and(TrackedTurn::is_open)
    }

    /// The turn is over: what is left to tell, the history, and the end go into one transaction.
    fn end(
        &mut self,
        session: &AgentSessionId,
        prompt: &AgentMessageId,
        written: &[AgentMessage],
        verdict: Verdict,
    ) {
        let Some(state) = self.sessions.get_mut(session) else { return };
        let Some(turn) = state.turns.get_mut(prompt) else { return };
        let said = turn.end(written, verdict);
        let newest = turn.turn.transcript().messages().pop();
        if let Some(newest) = newest {
            state.saw(&newest.head.id);
        }
        state.keep(&said);
        if !state.turns.values().any(TrackedTurn::is_open) {
            state.look_at = None;
        }
        // What was said of it after its end is late, or another turn.
        if state.has_news() && state.awaited.is_none() {
            self.inquiries.want(session.clone());
        }
    }
}
