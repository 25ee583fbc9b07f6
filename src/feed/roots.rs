//! Sessions that are nobody's child, and how they become conversations.

use std::time::Duration;

use tokio::time::Instant;

use super::scribe::Scribe;
use super::talk::{self, Talk};
use crate::clock;
use crate::model::agent::AgentSessionId;
use crate::model::event::EventKind;
use crate::model::ids::SessionId;
use crate::store::sessions::NewSession;
use crate::store::{StoreError, Tx, sessions};

/// How long a session that somebody made waits for a row: whoever made it through mimir is about to write one.
const GRACE: Duration = Duration::from_secs(1);
/// Sub-agents of sub-agents of …
const DEPTH: usize = 8;

/// A session that is nobody's child.
#[derive(Debug)]
pub(super) struct Root {
    title: String,
    metadata: serde_json::Value,
    /// When a row is made for it.
    pub(super) adopt_at: Option<Instant>,
    /// It was made while we listened: nothing was said in it before.
    is_fresh: bool,
}

impl Scribe<'_> {
    /// Makes rows for those that waited long enough.
    pub(super) async fn adopt_ripe(&mut self, now: Instant) -> Result<(), StoreError> {
        let due = |root: &Root| root.adopt_at.is_some_and(|at| at <= now);
        let ripe: Vec<AgentSessionId> =
            self.roots.iter().filter(|(_, root)| due(root)).map(|(id, _)| id.clone()).collect();
        for session in ripe {
            let is_known = self.talk(&session).await?;
            if let Some(root) = self.roots.get_mut(&session) {
                root.adopt_at = (!is_known).then(|| now + GRACE);
            }
        }
        Ok(())
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
            let Ok(client) = self.inner.deps.locator.agent(self.feed.frame()).await else { break };
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

    pub(super) async fn updated(
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

    pub(super) async fn deleted(&mut self, session: &AgentSessionId) -> Result<(), StoreError> {
        self.roots.remove(session);
        self.wanted.remove(session);
        let Some(talk) = self.talks.remove(session) else { return Ok(()) };
        self.settle().await?;
        let (id, subject, lost) = (talk.id, talk.subject, session.clone());
        let change = move |tx: &mut Tx<'_>| {
            match sessions::clear_agent_session(tx, &id, &lost) {
                // Whoever deleted it through mimir has told of it.
                Err(StoreError::Conflict { .. }) => Ok(()),
                Err(error) => Err(error),
                Ok(()) => tx.emit(&subject, &EventKind::SessionRemoved {}).map(drop),
            }
        };
        self.inner.deps.store.write(change).await
    }

    /// Whether it is known whose it is.
    pub(super) fn is_known(&self, session: &AgentSessionId) -> bool {
        self.roots.contains_key(session)
            || self.talks.contains_key(session)
            || self.feed.parent_of(session).is_some()
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
        let row = self.inner.deps.store.write(move |tx| sessions::adopt(tx, &agent_session, &new)).await?;
        let mut talk = self.inner.deps.store.read(move |db| Talk::load(db, row)).await?;
        talk.is_read = root.is_fresh;
        talk.is_old = false;
        Ok(Some(talk))
    }
}
