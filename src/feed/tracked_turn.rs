//! A turn together with its events that are not stored yet, and the handle that follows it.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::time::Instant;

use super::event_batch::EventBatch;
use super::outbox::Stored;
use super::tracking::{Follower, TurnPhase, TurnRequest};
use super::turn::Turn;
use super::verdict::{Patience, Verdict};
use crate::model::agent::{AgentEvent, AgentMessage, AgentSessionId};
use crate::model::approval::AgentRequest;
use crate::model::event::{EventKind, Subject};
use crate::model::ids::{MessageId, SessionId};
use crate::model::status::ToolCall;

/// A turn together with its events that are not stored yet.
#[derive(Debug)]
pub(super) struct TrackedTurn {
    pub turn: Turn,
    pub batch: EventBatch,
    subject: Subject,
    /// The message that began it; none when it was begun past mimir.
    pub owner: Option<Owner>,
    /// The connection was lost during it, so what the next re-read adds was missed.
    pub was_cut: bool,
    /// The silent tool call that was reported last.
    silent: Option<ToolCall>,
    /// Everything is known of it.
    is_over: bool,
    /// What is stored as its last change.
    over: Option<Over>,
}

/// How it ended, and what of it goes into the history.
#[derive(Debug)]
struct Over {
    verdict: Verdict,
    messages: Vec<AgentMessage>,
}

/// The message that began a turn, and the handle that follows it.
#[derive(Debug)]
pub(super) struct Owner {
    message: MessageId,
    handle: u64,
    follower: Follower,
    /// How often the prompt was handed over.
    times: u32,
    /// Nothing is stored before the row says that the agent has the message.
    is_held: bool,
    /// The row says that it runs.
    is_running: bool,
    /// Since when it is tracked, and whether the agent was asked since then for its messages and its requests.
    since: Instant,
    was_read: bool,
    was_listed: bool,
    /// The verdict with which it ends after one more re-read.
    closing: Option<(Verdict, Instant)>,
}

impl TrackedTurn {
    /// One that somebody began past mimir.
    pub(super) fn of_others(turn: Turn, subject: Subject) -> Self {
        Self {
            turn,
            batch: EventBatch::default(),
            subject,
            owner: None,
            was_cut: false,
            silent: None,
            is_over: false,
            over: None,
        }
    }

    /// One of a message of ours.
    pub(super) fn of_message(turn: Turn, request: &TurnRequest, message: MessageId, handle: u64) -> Self {
        let owner = Owner {
            message,
            handle,
            follower: Follower(request.progress.clone()),
            times: 1,
            is_held: request.is_new,
            is_running: false,
            since: Instant::now(),
            was_read: request.is_new,
            was_listed: request.is_new,
            closing: None,
        };
        let was_cut = !request.is_new;
        let subject = request.subject.clone();
        let tracked = Self { owner: Some(owner), was_cut, ..Self::of_others(turn, subject) };
        tracked.caught_up();
        tracked
    }

    /// A new handle follows it.
    pub(super) fn attach(&mut self, request: &TurnRequest, handle: u64) {
        let Some(owner) = &mut self.owner else { return };
        owner.handle = handle;
        // The handle before it is told that it does not follow the turn any more; the same handle is not.
        if !Arc::ptr_eq(&owner.follower.0, &request.progress) {
            owner.follower = Follower(request.progress.clone());
        }
        owner.times = 1;
        owner.is_held = request.is_new;
        owner.since = Instant::now();
        (owner.was_read, owner.was_listed) = (request.is_new, request.is_new);
        owner.closing = None;
        self.turn.handed_over_again(request.patience);
        self.caught_up();
    }

    /// Whether more may come of it.
    pub(super) fn is_open(&self) -> bool {
        !self.is_over
    }

    /// Whether somebody began it past mimir.
    pub(super) fn is_past_us(&self) -> bool {
        self.owner.is_none()
    }

    /// Names a tool call that may never end, once for each time that it falls silent, with the way to stop it. One that
    /// waits for a person is silent for good reason.
    pub(super) fn fell_silent(&mut self, call: ToolCall, conversation: &SessionId, now: Instant) {
        if self.turn.transcript().waits_for_person() || self.silent.as_ref() == Some(&call) {
            return;
        }
        let text = format!("{call} (`mimir sessions abort {conversation}` stops it)");
        self.batch.add(vec![EventKind::FrameNote { code: ToolCall::SILENT.into(), text }], now);
        self.silent = Some(call);
    }

    /// Whether its message is still being handed over: nothing is stored before the row says that it was.
    pub(super) fn is_held(&self) -> bool {
        self.owner.as_ref().is_some_and(|owner| owner.is_held)
    }

    /// Whether that handle follows it.
    pub(super) fn is_followed_by(&self, handle: u64) -> bool {
        self.owner.as_ref().is_some_and(|owner| owner.handle == handle)
    }

    /// Whether it is a message's, and what happened before it was tracked is not known yet.
    pub(super) fn is_catching_up(&self) -> bool {
        self.owner.as_ref().is_some_and(|owner| !(owner.was_read && owner.was_listed))
    }

    /// Takes an event of its session, heard at `at`.
    pub(super) fn see(&mut self, event: &AgentEvent, at: Instant, now_ms: u64) {
        let events = self.turn.see(event, at);
        self.batch.add(events, at);
        self.was_active(event, at, now_ms);
    }

    /// Takes an event of a sub-agent's session.
    pub(super) fn see_child(&mut self, child: &AgentSessionId, event: &AgentEvent, at: Instant, now_ms: u64) {
        self.turn.see_child(child, event);
        self.was_active(event, at, now_ms);
    }

    fn was_active(&self, event: &AgentEvent, at: Instant, now_ms: u64) {
        let Some(owner) = &self.owner else { return };
        let waits = self.turn.transcript().waits_for_person();
        owner.follower.0.send_if_modified(|progress| {
            let activity = &mut progress.activity;
            let is_news = activity.see(event, at, now_ms);
            std::mem::replace(&mut activity.waits_for_person, waits) != waits || is_news
        });
    }

    /// Takes what the agent answered when it was asked at `asked` what was said; says how much had been missed.
    pub(super) fn absorb(&mut self, written: &[AgentMessage], asked: Instant) -> usize {
        let events = self.turn.absorb(written);
        let missed = if std::mem::take(&mut self.was_cut) { events.len() } else { 0 };
        self.batch.add(events, Instant::now());
        if let Some(owner) = &mut self.owner {
            owner.was_read |= asked >= owner.since;
            // What no event told of counts as well.
            owner.follower.0.send_if_modified(|progress| {
                self.turn.steps().fold(false, |is_news, step| progress.activity.count(step) | is_news)
            });
        }
        missed
    }

    /// The agent listed that request of its session, or of a sub-agent's.
    pub(super) fn waits_for(&mut self, request: &AgentRequest) {
        self.turn.see_child(&request.session, &AgentEvent::Asked(request.clone()));
    }

    /// Takes the requests that wait for a person, as the agent listed them when it was asked at `asked`.
    pub(super) fn still_waiting(&mut self, listed: &BTreeSet<String>, asked: Instant) {
        self.turn.still_waiting(listed);
        let waits = self.turn.transcript().waits_for_person();
        let Some(owner) = &mut self.owner else { return };
        owner.was_listed |= asked >= owner.since;
        owner.follower.0.send_if_modified(|progress| {
            std::mem::replace(&mut progress.activity.waits_for_person, waits) != waits
        });
        self.caught_up();
    }

    /// Says that it goes on, once it is known that it does.
    pub(super) fn caught_up(&self) {
        let phase = if self.is_catching_up() { TurnPhase::CatchingUp } else { TurnPhase::Running };
        self.publish(phase);
    }

    pub(super) fn handed_over(&mut self) {
        if let Some(owner) = &mut self.owner {
            owner.is_held = false;
        }
    }

    pub(super) fn handed_over_again(&mut self, patience: Patience) {
        if let Some(owner) = &mut self.owner {
            owner.times += 1;
        }
        self.turn.handed_over_again(patience);
        self.publish(TurnPhase::Running);
    }

    /// It ends with that verdict after one more re-read.
    pub(super) fn close(&mut self, verdict: Verdict, now: Instant) {
        if let Some(owner) = &mut self.owner {
            owner.closing = Some((verdict, now));
        }
    }

    pub(super) fn is_closing(&self) -> bool {
        self.owner.as_ref().is_some_and(|owner| owner.closing.is_some())
    }

    /// How it is to end, when it was read since that was asked for.
    pub(super) fn closes(&mut self, asked: Instant) -> Option<Verdict> {
        let closing = &mut self.owner.as_mut()?.closing;
        closing.take_if(|(_, since)| asked >= *since).map(|(verdict, _)| verdict)
    }

    /// The agent does nothing about it.
    pub(super) fn not_begun(&self, why: String) {
        let is_newest = self.turn.transcript().other_prompts().next().is_none();
        let times = self.owner.as_ref().map_or(0, |owner| owner.times);
        self.publish(TurnPhase::NotBegun { why, is_newest, times });
    }

    /// The agent cannot be heard, or does not answer.
    pub(super) fn lost(&self, why: &str) {
        if self.is_open() {
            self.publish(TurnPhase::Lost(why.to_owned()));
        }
    }

    fn publish(&self, phase: TurnPhase) {
        let Some(owner) = &self.owner else { return };
        let usage = Some(self.turn.transcript().usage());
        owner.follower.0.send_if_modified(|progress| {
            progress.usage = usage;
            std::mem::replace(&mut progress.phase, phase.clone()) != phase
        });
    }

    /// It is over. Its handle is told once that is stored.
    pub(super) fn end(&mut self, written: &[AgentMessage], verdict: Verdict) -> Vec<AgentMessage> {
        let events = self.turn.end(written);
        self.batch.add(events, Instant::now());
        let messages = self.turn.messages();
        self.is_over = true;
        self.over = Some(Over { verdict, messages: messages.clone() });
        messages
    }

    /// What is to be stored of it now. Nothing follows when it is over.
    pub(super) fn store(&mut self) -> Option<Stored> {
        let begins = match &mut self.owner {
            Some(owner) if owner.is_held => return None,
            Some(owner) if !owner.is_running && self.turn.has_answer() => {
                owner.is_running = true;
                Some(owner.message.clone())
            }
            _ => None,
        };
        let over = self.over.take();
        if self.batch.is_empty() && begins.is_none() && over.is_none() {
            return None;
        }
        let (events, since) = self.batch.take();
        let mut stored = Stored { subject: self.subject.clone(), events, since, begins, ..Stored::default() };
        if let Some(Over { verdict, messages }) = over {
            let usage = self.turn.transcript().usage();
            (stored.messages, stored.is_end) = (messages, true);
            stored.awaited_by = self.owner.take().map(|owner| (owner.follower, verdict, usage));
        }
        Some(stored)
    }
}
