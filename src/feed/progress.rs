//! What is known of one message and its parts, and what of them is in events already. Pure.

use std::collections::BTreeMap;

use crate::model::agent::{AgentPart, AgentPartId, MessageInfo, PartBody, Role, ToolStatus};
use crate::model::event::EventKind;

/// The most of a tool's output that an event carries; the whole is in the history.
pub(super) const EVENT_OUTPUT: usize = 16 * 1024;

/// What events were emitted of a turn, by part and by tool call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Emitted {
    pub(super) texts: BTreeMap<AgentPartId, String>,
    tools: BTreeMap<String, ToolStatus>,
}

impl Emitted {
    /// Adds an event that was stored.
    pub fn add(&mut self, event: EventKind) {
        match event {
            EventKind::Text { delta, part } | EventKind::Reasoning { delta, part } => {
                self.texts.entry(AgentPartId(part)).or_default().push_str(&delta);
            }
            EventKind::Rewritten { part, text } => drop(self.texts.insert(AgentPartId(part), text)),
            EventKind::Tool { call, status, .. } => drop(self.tools.insert(call, status)),
            _ => {}
        }
    }
}

/// What is known of a message.
#[derive(Debug, Default)]
pub(super) struct MessageProgress {
    pub(super) head: Option<MessageInfo>,
    pub(super) parts: BTreeMap<AgentPartId, PartProgress>,
}

/// Where we learned of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Stream,
    Reread,
}

/// What is known of a part, and how much of it was told.
#[derive(Debug)]
pub(super) struct PartProgress {
    pub(super) part: AgentPart,
    /// The text as far as we know it.
    pub(super) text: String,
    /// How many bytes of it were told.
    told: usize,
    /// Deltas may be missing; wait for the whole text.
    pub(super) gap: bool,
    /// What was told is not how it begins.
    is_other: bool,
}

impl MessageProgress {
    /// What has no event yet. Only the agent's own words are told, so its head has to be known.
    pub(super) fn tell(&mut self, emitted: &mut Emitted) -> Vec<EventKind> {
        if self.head.as_ref().is_none_or(|head| head.role != Role::Assistant) {
            return Vec::new();
        }
        self.parts.values_mut().filter_map(|progress| progress.tell(emitted)).collect()
    }

    pub(super) fn parts(&self) -> Vec<AgentPart> {
        self.parts.values().map(PartProgress::whole).collect()
    }
}

impl PartProgress {
    pub(super) fn new(part: &AgentPart, source: Source, before: Option<String>) -> Self {
        let text = before.unwrap_or_default();
        // Deltas that came before we looked are gone.
        let gap = source == Source::Reread || !text.is_empty();
        let mut progress = Self { part: part.clone(), told: text.len(), text, gap, is_other: false };
        progress.replace(part, source);
        progress
    }

    pub(super) fn replace(&mut self, part: &AgentPart, source: Source) {
        if self.part.ended && !part.ended {
            return;
        }
        // The stream shows an empty part once, at its beginning: all deltas follow.
        if source == Source::Stream && self.text.is_empty() {
            self.gap = false;
        }
        self.part = part.clone();
        let (PartBody::Text { text, .. } | PartBody::Reasoning { text }) = &part.body else { return };
        if part.ended || text.len() > self.text.len() {
            let told = self.text.get(..self.told).unwrap_or_default();
            // The agent cuts white space off at the end, which is no reason to tell all of it again.
            if !text.starts_with(told) {
                self.told = told.trim_end().len();
                self.is_other |= !text.starts_with(told.trim_end());
            }
            self.text = text.clone();
            self.gap = false;
        }
    }

    fn tell(&mut self, emitted: &mut Emitted) -> Option<EventKind> {
        let part = self.part.id.to_string();
        if std::mem::take(&mut self.is_other) {
            self.told = self.text.len();
            return Some(EventKind::Rewritten { part, text: self.text.clone() });
        }
        match &self.part.body {
            PartBody::Text { synthetic: false, .. } => {
                self.rest().map(|delta| EventKind::Text { delta, part })
            }
            PartBody::Reasoning { .. } => self.rest().map(|delta| EventKind::Reasoning { delta, part }),
            PartBody::Tool { tool, call_id, status, title, input, output } => {
                let before = emitted.tools.get(call_id).copied();
                if *status == ToolStatus::Pending || before == Some(*status) {
                    return None;
                }
                emitted.tools.insert(call_id.clone(), *status);
                let ended = matches!(status, ToolStatus::Completed | ToolStatus::Error);
                Some(EventKind::Tool {
                    call: call_id.clone(),
                    tool: tool.clone(),
                    status: *status,
                    title: title.clone(),
                    input: before.is_none().then(|| input.clone()),
                    output: output.as_deref().filter(|_| ended).map(cut),
                })
            }
            _ => None,
        }
    }

    fn rest(&mut self) -> Option<String> {
        let rest = self.text.get(self.told..).filter(|rest| !rest.is_empty())?.to_owned();
        self.told = self.text.len();
        Some(rest)
    }

    /// The part with the text as far as it is known, which is more than the agent stores of a part
    /// that it did not end.
    fn whole(&self) -> AgentPart {
        let mut part = self.part.clone();
        if let PartBody::Text { text, .. } | PartBody::Reasoning { text } = &mut part.body {
            text.clone_from(&self.text);
        }
        part
    }
}

pub(super) fn cut(output: &str) -> String {
    let mut end = output.len().min(EVENT_OUTPUT);
    while !output.is_char_boundary(end) {
        end -= 1;
    }
    output[..end].to_owned()
}
