//! Sessions that no other session made, and when they become conversations.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::model::agent::AgentSessionId;

/// How long a session that somebody made waits for a row: whoever made it through mimir is about to write one.
const GRACE: Duration = Duration::from_secs(1);

/// A session that no other session made.
#[derive(Debug)]
struct Root {
    title: String,
    metadata: Value,
    /// When a row is made for it.
    adopt_at: Option<Instant>,
    /// It was made while we listened: nothing was said in it before.
    is_fresh: bool,
}

/// The sessions that no other session made.
#[derive(Debug, Default)]
pub(super) struct RootSessions {
    roots: BTreeMap<AgentSessionId, Root>,
    /// Whether all are here that there were before we listened.
    is_complete: bool,
}

impl RootSessions {
    pub(super) fn contains(&self, session: &AgentSessionId) -> bool {
        self.roots.contains_key(session)
    }

    /// All were listed, or have to be listed again.
    pub(super) fn set_complete(&mut self, is_complete: bool) {
        self.is_complete = is_complete;
    }

    pub(super) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// One was read.
    pub(super) fn found(&mut self, session: &AgentSessionId, title: String, metadata: Value) {
        let new = || Root { title: String::new(), metadata, adopt_at: None, is_fresh: false };
        self.roots.entry(session.clone()).or_insert_with(new).title = title;
    }

    /// One was heard of. Says whether it has another title than before.
    pub(super) fn updated(
        &mut self,
        session: &AgentSessionId,
        title: &str,
        metadata: &Value,
        now: Instant,
    ) -> bool {
        if let Some(known) = self.roots.get_mut(session) {
            let is_new = known.title != title;
            title.clone_into(&mut known.title);
            return is_new;
        }
        let (title, metadata, is_fresh) = (title.to_owned(), metadata.clone(), self.is_complete);
        let root = Root { title, metadata, adopt_at: Some(now + GRACE), is_fresh };
        self.roots.insert(session.clone(), root);
        false
    }

    pub(super) fn remove(&mut self, session: &AgentSessionId) {
        self.roots.remove(session);
    }

    /// Its title, and whether nothing was said in it before we listened.
    pub(super) fn title(&self, session: &AgentSessionId) -> Option<(&str, bool)> {
        self.roots.get(session).map(|root| (root.title.as_str(), root.is_fresh))
    }

    /// What whoever made it stored with it.
    pub(super) fn metadata(&self, session: &AgentSessionId) -> Value {
        self.roots.get(session).map(|root| root.metadata.clone()).unwrap_or_default()
    }

    /// Those that waited long enough for somebody else to make their row.
    pub(super) fn ripe(&self, now: Instant) -> Vec<AgentSessionId> {
        let is_due = |root: &Root| root.adopt_at.is_some_and(|at| at <= now);
        self.roots.iter().filter(|(_, root)| is_due(root)).map(|(id, _)| id.clone()).collect()
    }

    /// It has a row, or waits for one again.
    pub(super) fn set_known(&mut self, session: &AgentSessionId, is_known: bool, now: Instant) {
        if let Some(root) = self.roots.get_mut(session) {
            root.adopt_at = (!is_known).then(|| now + GRACE);
        }
    }

    /// When the next one has waited long enough.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.roots.values().filter_map(|root| root.adopt_at).min()
    }
}
