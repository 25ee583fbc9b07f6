//! What is kept of what was read: runs that somebody began past mimir, and what only the history lacks.

use tokio::time::Instant;

use super::ask::Page;
use super::run::{Piece, Run, Sorted, sort};
use super::scribe::Scribe;
use super::talk;
use crate::model::agent::{AgentMessageId, AgentSessionId, Role};
use crate::opencode::AgentMessage;
use crate::store::{StoreError, Tx, agent_messages, frames, sessions};

impl Scribe<'_> {
    /// Takes what was read of a session.
    pub(super) async fn read(
        &mut self,
        session: AgentSessionId,
        page: Page,
        asked: Instant,
    ) -> Result<(), StoreError> {
        let now = Instant::now();
        let (turns, is_busy) = match page {
            Page::Gone => return Ok(()),
            Page::Child(parent) => {
                self.feed.found_parent(&session, &parent);
                return Ok(());
            }
            Page::Read { session: found, turns, is_busy } => {
                if let Some(found) = found {
                    self.found_root(&session, found.title, found.metadata, None);
                }
                (turns, is_busy)
            }
        };
        if !self.talk(&session).await? {
            return Ok(());
        }
        // Nothing of before may be overtaken by what comes now.
        self.settle().await?;
        let claimed = self.inner.claims.prompt(self.feed.frame(), &session);
        let Some(talk) = self.talks.get_mut(&session) else { return Ok(()) };
        talk.is_read = true;
        let finished =
            |turn: &&AgentMessage| talk.unfinished.contains(&turn.head.id) && talk::is_complete(turn);
        let finished: Vec<AgentMessage> = turns.iter().filter(finished).cloned().collect();
        let is_free = |turn: &AgentMessage| claimed.as_ref().is_none_or(|prompt| turn.head.id < *prompt);
        let news: Vec<AgentMessage> =
            turns.into_iter().filter(|turn| talk.is_news(&turn.head.id) && is_free(turn)).collect();
        for turn in &finished {
            talk.unfinished.remove(&turn.head.id);
        }
        if !finished.is_empty() {
            self.keep_quietly(&session, finished).await?;
        }
        let rests = !is_busy || claimed.is_some();
        if self.talks.get(&session).is_some_and(|talk| talk.run.is_some()) {
            return self.go_on(&session, news, rests, asked).await;
        }
        self.sort_out(&session, news, rests, now).await
    }

    /// A run is known; takes what was read of it.
    async fn go_on(
        &mut self,
        session: &AgentSessionId,
        news: Vec<AgentMessage>,
        rests: bool,
        asked: Instant,
    ) -> Result<(), StoreError> {
        let now = Instant::now();
        let patience = self.inner.deps.settings.patience;
        let Some(talk) = self.talks.get_mut(session) else { return Ok(()) };
        let Some(run) = &mut talk.run else { return Ok(()) };
        let written: Vec<AgentMessage> =
            news.into_iter().filter(|turn| turn.head.id >= *run.prompt()).collect();
        let told = run.absorb(&written);
        if std::mem::take(&mut talk.is_cut)
            && let Some(gap) = &mut self.gap
        {
            gap.found(told.len());
        }
        talk.speech.add(told, now);
        if !rests {
            return Ok(());
        }
        // The answer's end may have been heard while the question was on its way: what was read is the last
        // word only when nothing was. Otherwise a head would be kept without the text that came with it.
        if run.is_over(now, patience) && !run.was_heard_since(asked) {
            return self.finish(session, &written).await;
        }
        talk.look_at = Some(now + run.look_again());
        Ok(())
    }

    /// No run is known; finds out what the news are.
    async fn sort_out(
        &mut self,
        session: &AgentSessionId,
        news: Vec<AgentMessage>,
        rests: bool,
        now: Instant,
    ) -> Result<(), StoreError> {
        let prompts = news.iter().filter(|turn| turn.head.role == Role::User);
        let ids: Vec<AgentMessageId> = prompts.map(|turn| turn.head.id.clone()).collect();
        let whose = self.inner.deps.store.read(move |db| talk::whose(db, &ids)).await?;
        let Sorted { pieces, ours } = sort(news, |id| whose.get(id).copied());
        let is_open = ours.is_some();
        let Some(talk) = self.talks.get_mut(session) else { return Ok(()) };
        talk.ours = ours;
        talk.is_late = false;
        let count = pieces.len();
        for (index, piece) in pieces.into_iter().enumerate() {
            let is_last = index + 1 == count && !is_open;
            match piece {
                Piece::Quiet(_) if is_last && !rests => {
                    // Its end is still to come.
                    if let Some(talk) = self.talks.get_mut(session) {
                        talk.is_late = true;
                    }
                }
                Piece::Quiet(turns) => {
                    let missed = turns.iter().filter(|turn| self.was_missed(session, &turn.head.id));
                    self.missed(missed.count());
                    self.keep_quietly(session, turns).await?;
                }
                Piece::Foreign(turns) => self.found_run(session, turns, is_last, rests, now).await?,
            }
        }
        Ok(())
    }

    /// Somebody spoke past mimir while nobody listened.
    async fn found_run(
        &mut self,
        session: &AgentSessionId,
        written: Vec<AgentMessage>,
        is_last: bool,
        rests: bool,
        now: Instant,
    ) -> Result<(), StoreError> {
        let Some(first) = written.first().map(|turn| turn.head.id.clone()) else { return Ok(()) };
        let Some(talk) = self.talks.get_mut(session) else { return Ok(()) };
        let (told, begun) = if std::mem::take(&mut talk.is_old) {
            let (frame, id) = (self.feed.frame().clone(), talk.id.clone());
            self.inner.deps.store.read(move |db| talk::told_before(db, &frame, &id)).await?
        } else {
            Default::default()
        };
        let was_missed = self.was_missed(session, &first);
        let Some(talk) = self.talks.get_mut(session) else { return Ok(()) };
        let mut run = Run::new(session.clone(), first, told, begun);
        let told = run.absorb(&written);
        let missed = if was_missed { told.len() } else { 0 };
        talk.speech.add(told, now);
        let over = !is_last || (rests && run.is_over(now, self.inner.deps.settings.patience));
        talk.look_at = (rests && !over).then(|| now + run.look_again());
        talk.run = Some(run);
        self.missed(missed);
        if over { self.finish(session, &written).await } else { Ok(()) }
    }

    /// The run is over: what is left to tell, the history, and the end, in one transaction.
    async fn finish(&mut self, session: &AgentSessionId, written: &[AgentMessage]) -> Result<(), StoreError> {
        // What is left to tell goes with the end.
        self.settle_write().await?;
        let Some(talk) = self.talks.get_mut(session) else { return Ok(()) };
        let Some(mut run) = talk.run.take() else { return Ok(()) };
        let (mut told, _) = talk.speech.take();
        told.extend(run.end(written));
        let said = run.turns();
        let (id, subject) = (talk.id.clone(), talk.subject.clone());
        let frame = self.feed.frame().clone();
        self.inner.deps.failpoints.hit("feed.before_end").await;
        let change = move |tx: &mut Tx<'_>| {
            for happening in &told {
                tx.emit(&subject, happening)?;
            }
            for turn in &said {
                agent_messages::upsert(tx, &id, &turn.head, &turn.parts)?;
            }
            sessions::touch(tx, &id)?;
            frames::touch(tx, &frame)?;
            Ok(said)
        };
        let said = self.inner.deps.store.write(change).await?;
        self.inner.deps.failpoints.hit("feed.after_end").await;
        let Some(talk) = self.talks.get_mut(session) else { return Ok(()) };
        talk.keep(&said);
        talk.look_at = None;
        // What was said of it after its end is late, not news.
        let claimed = self.inner.claims.prompt(self.feed.frame(), session).is_some();
        if talk.has_news() && !claimed && talk.ours.is_none() {
            self.wanted.insert(session.clone());
        }
        Ok(())
    }

    /// Only the history lacks it.
    async fn keep_quietly(
        &mut self,
        session: &AgentSessionId,
        said: Vec<AgentMessage>,
    ) -> Result<(), StoreError> {
        let Some(talk) = self.talks.get_mut(session) else { return Ok(()) };
        let id = talk.id.clone();
        let change = move |tx: &mut Tx<'_>| {
            for turn in &said {
                agent_messages::upsert(tx, &id, &turn.head, &turn.parts)?;
            }
            Ok(said)
        };
        let said = self.inner.deps.store.write(change).await?;
        if let Some(talk) = self.talks.get_mut(session) {
            talk.keep(&said);
        }
        Ok(())
    }

    /// A lane took or gave back a session.
    pub(super) async fn claims_changed(&mut self) -> Result<(), StoreError> {
        let frame = self.feed.frame().clone();
        let held = |id: &AgentSessionId| self.inner.claims.prompt(&frame, id).is_some();
        let of_lanes = self.talks.iter().filter(|(_, talk)| talk.was_claimed || talk.ours.is_some());
        let given_back: Vec<AgentSessionId> =
            of_lanes.filter(|(id, _)| !held(id)).map(|(id, _)| id.clone()).collect();
        for session in given_back {
            let Some(id) = self.talks.get(&session).map(|talk| talk.id.clone()) else { continue };
            let reach = self.inner.deps.store.read(move |db| agent_messages::reach(db, &id)).await?;
            let Some(talk) = self.talks.get_mut(&session) else { continue };
            talk.was_claimed = false;
            talk.ours = None;
            talk.reach(reach.newest.as_ref());
            talk.unfinished = reach.unfinished.into_iter().collect();
            if talk.has_news() || talk.is_late {
                self.wanted.insert(session);
            }
        }
        Ok(())
    }
}
