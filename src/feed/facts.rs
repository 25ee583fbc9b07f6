//! What is known of an agent, kept up to date by what it says. Pure.

use std::collections::BTreeMap;

use tokio::time::Instant;

use crate::model::agent::{AgentEvent, AgentSessionId, AgentStatus};
use crate::model::status::AgentFacts;

/// Facts, and when which of them was heard.
#[derive(Debug, Default)]
pub(super) struct LiveFacts {
    facts: AgentFacts,
    heard: BTreeMap<AgentSessionId, Instant>,
}

impl LiveFacts {
    pub(super) fn facts(&self) -> &AgentFacts {
        &self.facts
    }

    /// Takes an event; says whether it changed anything but the time.
    pub(super) fn hear(&mut self, event: &AgentEvent, now: Instant, now_ms: u64) -> bool {
        self.facts.heard_at = now_ms;
        let calls = self.facts.hear_of_calls(event, now_ms);
        let changed = match event {
            AgentEvent::Status(session, status) => {
                self.heard.insert(session.clone(), now);
                self.set(session, status)
            }
            AgentEvent::SessionUpdated { session, parent: Some(parent), .. } => {
                self.facts.parents.insert(session.clone(), parent.clone()).as_ref() != Some(parent)
            }
            AgentEvent::SessionDeleted(session) => {
                self.heard.remove(session);
                let known = self.facts.sessions.remove(session).is_some();
                self.facts.parents.remove(session).is_some() || known
            }
            _ => false,
        };
        changed || calls
    }

    /// The stream stands, or it does not.
    pub(super) fn connected(&mut self, connected: bool, now_ms: u64) -> bool {
        if connected {
            self.facts.heard_at = now_ms;
        }
        std::mem::replace(&mut self.facts.connected, connected) != connected
    }

    /// Takes what the agent answered to a question that was asked at `asked`. What the stream said since
    /// is newer and stays.
    pub(super) fn reread(
        &mut self,
        statuses: &BTreeMap<AgentSessionId, AgentStatus>,
        asked: Instant,
        now_ms: u64,
    ) -> bool {
        self.facts.heard_at = now_ms;
        self.heard.retain(|_, at| *at >= asked);
        let mut changed = false;
        let listed: Vec<AgentSessionId> =
            self.facts.sessions.keys().chain(statuses.keys()).cloned().collect();
        for session in listed {
            if !self.heard.contains_key(&session) {
                changed |= self.set(&session, statuses.get(&session).unwrap_or(&AgentStatus::Idle));
            }
        }
        changed
    }

    /// A sub-agent's session was found.
    pub(super) fn found_parent(&mut self, session: &AgentSessionId, parent: &AgentSessionId) -> bool {
        self.facts.parents.insert(session.clone(), parent.clone()).as_ref() != Some(parent)
    }

    fn set(&mut self, session: &AgentSessionId, status: &AgentStatus) -> bool {
        match status {
            AgentStatus::Idle => self.facts.sessions.remove(session).is_some(),
            status => self.facts.sessions.insert(session.clone(), status.clone()).as_ref() != Some(status),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> AgentSessionId {
        AgentSessionId(name.into())
    }

    #[tokio::test]
    async fn an_answer_that_is_older_than_what_was_heard_does_not_undo_it() {
        let mut known = LiveFacts::default();
        let asked = Instant::now();
        let later = asked + std::time::Duration::from_millis(5);
        assert!(known.hear(&AgentEvent::Status(id("a"), AgentStatus::Busy), asked, 1));
        assert!(known.hear(&AgentEvent::Status(id("a"), AgentStatus::Idle), later, 2));
        let said = BTreeMap::from([(id("a"), AgentStatus::Busy), (id("b"), AgentStatus::Busy)]);
        assert!(known.reread(&said, asked, 3));
        assert_eq!(known.facts().sessions.keys().collect::<Vec<_>>(), [&id("b")]);
        let asked_again = later + std::time::Duration::from_millis(5);
        assert!(known.reread(&BTreeMap::new(), asked_again, 4), "b became idle while nobody listened");
        assert!(known.facts().sessions.is_empty());
        assert!(!known.reread(&BTreeMap::new(), asked_again, 5));
    }
}
