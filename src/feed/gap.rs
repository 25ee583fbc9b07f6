//! Times in which something may have been missed, and that they are told.

use std::time::Duration;

use tokio::time::Instant;

use super::scribe::Scribe;
use crate::model::agent::{AgentMessageId, AgentSessionId};
use crate::model::event::{EventKind, Subject};
use crate::store::StoreError;

/// How long those who claim turns may take to say what they had missed.
const OTHERS_REPAIR: Duration = Duration::from_secs(1);

/// A time in which something may have been missed.
#[derive(Debug)]
pub(super) struct Gap {
    /// Since when nothing was heard (UTC ms).
    since: u64,
    why: String,
    /// How much was missing.
    repaired: u32,
    /// Only told when something was missing: nobody knows whether there was one.
    is_guess: bool,
    /// When everything has been looked at and the others had their time.
    pub(super) tell_at: Option<Instant>,
}

impl Gap {
    /// Before a gateway listened for the first time.
    pub(super) fn before_us() -> Self {
        // What happened while nobody listened is found by what was said.
        let why = "nobody listened to the agent".to_owned();
        Self { since: 0, why, repaired: 0, is_guess: true, tell_at: None }
    }

    /// From the end of a connection on.
    pub(super) fn since(since: u64, why: String) -> Self {
        Self { since, why, repaired: 0, is_guess: false, tell_at: None }
    }

    /// So many things had been missed in it.
    pub(super) fn found(&mut self, count: usize) {
        self.repaired += u32::try_from(count).unwrap_or(u32::MAX);
    }
}

impl Scribe<'_> {
    /// The connection is lost.
    pub(super) fn gap_begins(&mut self, why: String) {
        let since = self.feed.facts().heard_at;
        match &mut self.gap {
            // One that was not made up for yet goes on.
            Some(gap) if !gap.is_guess => gap.tell_at = None,
            gap => *gap = Some(Gap::since(since, why)),
        }
    }

    /// So many things had been missed.
    pub(super) fn missed(&mut self, count: usize) {
        if let Some(gap) = &mut self.gap {
            gap.found(count);
        }
    }

    /// Whether a message was written while nobody listened.
    pub(super) fn was_missed(&self, session: &AgentSessionId, message: &AgentMessageId) -> bool {
        self.heard.get(session).is_none_or(|first| message < first)
    }

    /// Tells of the gap when everything has been looked at.
    pub(super) async fn close_gap(&mut self, now: Instant) -> Result<(), StoreError> {
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
        let told = EventKind::AgentGap { since: gap.since, why: gap.why, repaired };
        let write = self.inner.deps.store.write(move |tx| tx.emit(&subject, &told).map(drop));
        write.await
    }
}
