//! Times in which something may have been missed, and that they are told.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::model::agent::{AgentMessageId, AgentSessionId};
use crate::model::event::EventKind;

/// How long a gap is kept open for turns that are about to be tracked again and may have missed something in it.
const OTHERS_REPAIR: Duration = Duration::from_secs(1);

/// A time in which something may have been missed.
#[derive(Debug)]
struct Gap {
    /// Since when nothing was heard (UTC ms).
    since: u64,
    why: String,
    /// How much was missing.
    repaired: u32,
    /// Nobody knows whether there was one: told only when something was missing.
    is_guess: bool,
    /// When everything has been looked at.
    tell_at: Option<Instant>,
}

/// What may have been missed.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    gap: Option<Gap>,
    /// From which message on each session was heard over this connection: that was not missed.
    heard: BTreeMap<AgentSessionId, AgentMessageId>,
}

impl Gaps {
    /// There is a new connection.
    pub(super) fn begin_again(&mut self) {
        self.heard.clear();
        // What happened before a gateway listened for the first time is found by what was said.
        self.gap.get_or_insert_with(|| Gap {
            since: 0,
            why: "nobody listened to the agent".to_owned(),
            repaired: 0,
            is_guess: true,
            tell_at: None,
        });
    }

    /// The connection is lost; `since` is when something was last heard over it.
    pub(super) fn open(&mut self, since: u64, why: String) {
        match &mut self.gap {
            // One that was not made up for yet goes on.
            Some(gap) if !gap.is_guess => gap.tell_at = None,
            gap => *gap = Some(Gap { since, why, repaired: 0, is_guess: false, tell_at: None }),
        }
    }

    /// A message was heard of.
    pub(super) fn hear(&mut self, session: &AgentSessionId, message: &AgentMessageId) {
        match self.heard.get_mut(session) {
            Some(first) if message < first => first.clone_from(message),
            Some(_) => {}
            None => drop(self.heard.insert(session.clone(), message.clone())),
        }
    }

    /// Whether a message was written while nobody listened.
    pub(super) fn was_missed(&self, session: &AgentSessionId, message: &AgentMessageId) -> bool {
        self.heard.get(session).is_none_or(|first| message < first)
    }

    /// So many things had been missed.
    pub(super) fn found(&mut self, count: usize) {
        if let Some(gap) = &mut self.gap {
            gap.repaired += u32::try_from(count).unwrap_or(u32::MAX);
        }
    }

    /// Everything has been looked at; `others` says whether turns are about to be tracked again. The gap is over when
    /// this returns what is to be told of it.
    pub(super) fn close(&mut self, now: Instant, others: bool) -> Option<(EventKind, u32)> {
        let gap = self.gap.as_mut()?;
        let tell_at = *gap.tell_at.get_or_insert(if others { now + OTHERS_REPAIR } else { now });
        let Gap { since, why, repaired, .. } =
            self.gap.take_if(|_| tell_at <= now).filter(|gap| !gap.is_guess || gap.repaired > 0)?;
        Some((EventKind::AgentGap { since, why, repaired }, repaired))
    }

    /// When the gap is told.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.gap.as_ref()?.tell_at
    }
}
