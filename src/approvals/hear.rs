//! What the feed reports of agents: a request, an answer that did not come through mimir, a restart.
//!
//! The same report may come several times, late and in any order.

use std::collections::BTreeSet;

use serde_json::json;

use super::{Approvals, DEADLINE, SERVICE};
use crate::clock;
use crate::model::agent::AgentSessionId;
use crate::model::approval::{AgentRequest, ApprovalRequest, ApprovalState, AskBody, Decision, RequestForm};
use crate::model::ids::{ApprovalId, FrameId};
use crate::model::message::DeliveryState;
use crate::model::policy::{Action, Ruling};
use crate::store::approvals::Decided;
use crate::store::{StoreError, Tx, approvals, frames, messages, sessions, timers};

/// How a request was answered without mimir: in the terminal, or over the agent's own API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replied {
    /// A permission: `once`, `always` or `reject`.
    Permission(String),
    /// A question was answered or declined.
    Question,
}

/// Why a request is over when nothing else is known.
pub(super) const NOT_ASKED: &str = "it was answered elsewhere, or is not asked any more";

/// Who decided when mimir did not: a person at the frame's terminal or its own API …
const ELSEWHERE: &str = "elsewhere";
/// … or, when no person was there, a program in the frame.
const AGENT: &str = "agent";
const ANSWERED_ITSELF: &str =
    "something in the frame answered for a person: nobody was at its terminal or used its API from outside";

/// How many requests of an unattended run are denied with an explanation; after that its turns are ended.
const PATIENT_DENIALS: u64 = 3;

impl Approvals {
    /// An agent asks. `root` is the conversation of the sub-agent that asks; without it the asking session is taken as the
    /// conversation.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn asked(
        &self,
        frame: &FrameId,
        root: Option<&AgentSessionId>,
        ask: &AgentRequest,
    ) -> Result<(), StoreError> {
        let id = ApprovalId::from_parts(self.inner.deps.clock.now_ms(), clock::entropy_128());
        let ruling = self.ruling(frame, ask).await?;
        let new = Heard { frame: frame.clone(), root: root.cloned(), ask: ask.clone() };
        let take = move |tx: &mut Tx<'_>| take(tx, id, new, &ruling);
        let Some(prompt) = self.inner.deps.store.write(take).await? else {
            return Ok(());
        };
        if prompt.state == ApprovalState::Answering {
            self.tell_soon(prompt);
        } else {
            self.inner.wake.notify_one();
        }
        Ok(())
    }

    /// An agent says that a request was answered, by mimir or without it.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn replied(&self, frame: &FrameId, agent_prompt: &str, how: Replied) -> Result<(), StoreError> {
        let is_attended = self.inner.deps.locator.is_attended(frame);
        let (frame, agent_prompt) = (frame.clone(), agent_prompt.to_owned());
        let settle = move |tx: &mut Tx<'_>| match approvals::find_by_agent_prompt(tx, &frame, &agent_prompt)?
        {
            Some(prompt) if is_agents(&prompt) => settle(tx, &prompt, &how, is_attended),
            _ => Ok(None),
        };
        self.inner.deps.store.write(settle).await.map(drop)
    }

    /// Takes the list of everything that an agent waits for: new requests become rows, those that are missing are over, and
    /// the agent is told again of decided ones that it still waits for.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn listed(&self, frame: &FrameId, listed: &[AgentRequest]) -> Result<(), StoreError> {
        let waiting: BTreeSet<String> = listed.iter().map(|ask| ask.id.clone()).collect();
        let of_frame = frame.clone();
        let change = move |tx: &mut Tx<'_>| {
            for prompt in approvals::open(tx, Some(&of_frame))? {
                if waiting.contains(&prompt.ask.id) || !is_agents(&prompt) {
                    continue;
                }
                // Decided by us and not asked any more: the agent was told before we could note it.
                match (prompt.state, &prompt.decision) {
                    (ApprovalState::Answering, Some(decision)) => {
                        approvals::end(tx, &prompt.id, decision.outcome(), None)?
                    }
                    _ => expire(tx, &prompt, NOT_ASKED)?,
                };
            }
            Ok(())
        };
        self.inner.deps.store.write(change).await?;
        for ask in listed {
            let (of_frame, agent_prompt) = (frame.clone(), ask.id.clone());
            let known = self
                .inner
                .deps
                .store
                .read(move |db| approvals::find_by_agent_prompt(db, &of_frame, &agent_prompt))
                .await?;
            match known {
                None => {
                    let root = self.root_of(frame, &ask.session).await?;
                    self.asked(frame, root.as_ref(), ask).await?;
                }
                // An agent has no say in those, whatever ids it lists.
                Some(prompt) if !is_agents(&prompt) => {}
                Some(prompt) if prompt.state == ApprovalState::Expired => self.reopen(prompt).await?,
                Some(prompt) if prompt.state != ApprovalState::Pending && prompt.decision.is_some() => {
                    self.tell_soon(prompt)
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// An agent began anew: it has forgotten what it asked, and asks again if it still has to.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn agent_restarted(&self, frame: &FrameId) -> Result<(), StoreError> {
        self.expire_all(frame, "the agent was restarted; it asks again if it still has to", is_agents).await
    }

    /// Ends what is asked in a frame, as far as it is `meant`.
    pub(super) async fn expire_all(
        &self,
        frame: &FrameId,
        why: &'static str,
        meant: fn(&ApprovalRequest) -> bool,
    ) -> Result<(), StoreError> {
        let frame = frame.clone();
        let change = move |tx: &mut Tx<'_>| {
            for prompt in approvals::open(tx, Some(&frame))?.iter().filter(|prompt| meant(prompt)) {
                expire(tx, prompt, why)?;
            }
            Ok(())
        };
        self.inner.deps.store.write(change).await?;
        self.settled();
        Ok(())
    }

    /// Ends a prompt, and tells everybody.
    pub(super) async fn end(
        &self,
        prompt: &ApprovalRequest,
        to: ApprovalState,
        decided: Option<Decided>,
    ) -> Result<(), StoreError> {
        let id = prompt.id.clone();
        let end = move |tx: &mut Tx<'_>| approvals::end(tx, &id, to, decided.as_ref());
        self.inner.deps.store.write(end).await.map(drop)
    }

    /// It was recorded as over, and the agent still waits for it.
    async fn reopen(&self, prompt: ApprovalRequest) -> Result<(), StoreError> {
        let change = move |tx: &mut Tx<'_>| {
            approvals::undecide(tx, &prompt.id)?;
            let prompt = approvals::get(tx, &prompt.id)?;
            ask_people(tx, &prompt)
        };
        self.inner.deps.store.write(change).await?;
        self.inner.wake.notify_one();
        Ok(())
    }

    /// The conversation that a session belongs to: itself when we know it, else the one whose agent made it.
    async fn root_of(
        &self,
        frame: &FrameId,
        session: &AgentSessionId,
    ) -> Result<Option<AgentSessionId>, StoreError> {
        /// How deep sub-agents of sub-agents are followed.
        const DEPTH: u32 = 8;
        let mut at = session.clone();
        let mut client = None;
        for _ in 0..DEPTH {
            let (of_frame, wanted) = (frame.clone(), at.clone());
            let known = self
                .inner
                .deps
                .store
                .read(move |db| sessions::find_by_agent_session(db, &of_frame, &wanted))
                .await?;
            if known.is_some() {
                return Ok(Some(at));
            }
            if client.is_none() {
                client = self.inner.deps.locator.agent(frame).await.ok();
            }
            let Some(client) = &client else { return Ok(None) };
            match client.find_session(&at).await.ok().flatten().and_then(|found| found.parent) {
                Some(parent) => at = parent,
                None => return Ok((at != *session).then_some(at)),
            }
        }
        Ok(None)
    }

    async fn ruling(&self, frame: &FrameId, ask: &AgentRequest) -> Result<Ruling, StoreError> {
        Ok(self.inner.deps.rules.of(frame).await?.rule_on(&ask.body))
    }
}

struct Heard {
    frame: FrameId,
    root: Option<AgentSessionId>,
    ask: AgentRequest,
}

/// Row, events and, when a rule decides, the decision. `None` when it is known already.
fn take(
    tx: &mut Tx<'_>,
    id: ApprovalId,
    heard: Heard,
    ruling: &Ruling,
) -> Result<Option<ApprovalRequest>, StoreError> {
    let Some(frame) = frames::find(tx, &heard.frame)? else { return Ok(None) };
    let root = heard.root.as_ref().unwrap_or(&heard.ask.session);
    let session = sessions::find_by_agent_session(tx, &frame.id, root)?;
    let in_hand = |state: DeliveryState| state != DeliveryState::Queued;
    let message = match &session {
        Some(session) => messages::list_open(tx, Some(&frame.id))?
            .into_iter()
            .find(|message| message.session == session.id && in_hand(message.state)),
        None => None,
    };
    let within = match &message {
        Some(message) => approvals::unattended(tx, &message.id)?,
        None => None,
    };
    let missed = match (&message, within) {
        (Some(message), Some(_)) => approvals::missed(tx, &message.id)?,
        _ => 0,
    };
    // Nobody answered the first request of this message, so later ones do not wait.
    let deadline_at = within.map(|within| tx.now_ms() + if missed > 0 { 0 } else { within });
    let from_child = heard.root.as_ref().is_some_and(|root| *root != heard.ask.session);
    let new = ApprovalRequest {
        session: session.map(|session| session.id),
        message: message.map(|message| message.id),
        from_child,
        deadline_at: deadline_at.filter(|_| ruling.action == Action::Ask),
        ..ApprovalRequest::pending(id, frame.id, frame.name, heard.ask, tx.now_ms())
    };
    let (prompt, is_new) = approvals::insert_once(tx, new)?;
    if !is_new {
        return Ok(None);
    }
    let decision = match ruling.action {
        Action::Ask => {
            ask_people(tx, &prompt)?;
            return Ok(Some(prompt));
        }
        Action::Allow => Decision::Once,
        Action::Deny => Decision::Reject { why: Some(denied_by_rule(ruling)) },
    };
    let decided =
        Decided { decision, by: "policy".to_owned(), rule: ruling.rule.clone(), reason: ruling.why.clone() };
    let prompt = approvals::decide(tx, &prompt.id, &decided)?;
    tx.audit(&SERVICE, "approval.rule", prompt.id.as_str(), &approvals::audit_detail(&prompt))?;
    Ok(Some(prompt))
}

fn denied_by_rule(ruling: &Ruling) -> String {
    match &ruling.why {
        Some(why) => format!("A rule of the owner denies this: {why}"),
        None => "A rule of the owner denies this. Do it another way, or leave it.".to_owned(),
    }
}

/// Compares the answer that the agent reports with ours. If no person was `attended` to give it,
/// what runs in the frame did: it can read the password of its own server.
fn settle(
    tx: &mut Tx<'_>,
    prompt: &ApprovalRequest,
    how: &Replied,
    attended: bool,
) -> Result<Option<ApprovalRequest>, StoreError> {
    let theirs = match how {
        Replied::Permission(reply) => match reply.as_str() {
            "always" => Decision::Always,
            "reject" => Decision::Reject { why: None },
            _ => Decision::Once,
        },
        Replied::Question => Decision::Answer { answers: Vec::new() },
    };
    let is_ours = prompt.state == ApprovalState::Answering
        && match (&prompt.decision, how) {
            (Some(ours), Replied::Permission(_)) => ours.as_str() == theirs.as_str(),
            (ours, Replied::Question) => ours.is_some(),
            (None, _) => false,
        };
    if is_ours {
        let to = prompt.decision.as_ref().map_or(ApprovalState::Answered, Decision::outcome);
        return approvals::end(tx, &prompt.id, to, None);
    }
    if !prompt.state.is_open() {
        return Ok(None);
    }
    let to = theirs.outcome();
    let (by, reason, action) = match attended {
        true => (ELSEWHERE, None, "approval.elsewhere"),
        false => (AGENT, Some(ANSWERED_ITSELF.to_owned()), "approval.by_agent"),
    };
    let decided = Decided { decision: theirs, by: by.to_owned(), rule: None, reason };
    let ended = approvals::end(tx, &prompt.id, to, Some(&decided))?;
    if let Some(prompt) = &ended {
        tx.audit(&SERVICE, action, prompt.id.as_str(), &approvals::audit_detail(prompt))?;
        if !attended {
            frames::note(tx, &prompt.frame, "answered_itself", ANSWERED_ITSELF)?;
        }
    }
    Ok(ended)
}

/// Whether an agent asks, and not the gateway.
fn is_agents(prompt: &ApprovalRequest) -> bool {
    prompt.ask.form() != RequestForm::Connection
}

/// Tells everybody that an agent waits, for as long as it may.
pub(super) fn ask_people(tx: &mut Tx<'_>, prompt: &ApprovalRequest) -> Result<(), StoreError> {
    set_deadline(tx, prompt)?;
    tx.emit(&approvals::subject(prompt), &approvals::asked(prompt)).map(drop)
}

/// It is pending: sets the timer of its deadline.
pub(super) fn set_deadline(tx: &mut Tx<'_>, prompt: &ApprovalRequest) -> Result<(), StoreError> {
    match prompt.deadline_at {
        Some(at) => timers::set(tx, DEADLINE, prompt.id.as_str(), at),
        None => Ok(()),
    }
}

fn expire(
    tx: &mut Tx<'_>,
    prompt: &ApprovalRequest,
    why: &str,
) -> Result<Option<ApprovalRequest>, StoreError> {
    let decided = Decided {
        decision: Decision::Reject { why: None },
        by: "elsewhere".to_owned(),
        rule: None,
        reason: Some(why.to_owned()),
    };
    approvals::end(tx, &prompt.id, ApprovalState::Expired, Some(&decided))
}

/// What an agent is told when nobody came.
pub(super) fn nobody_came(prompt: &ApprovalRequest, missed: u64, waited_ms: u64) -> (Decision, String) {
    let waited = std::time::Duration::from_millis(waited_ms);
    let why = if missed == 0 {
        format!("Nobody answered within {} s: this run is unattended.", waited.as_secs_f32().round())
    } else {
        "Nobody is there to answer: this run is unattended.".to_owned()
    };
    let told = format!("{why} Finish without it, or say what you could not do.");
    let decision = match &prompt.ask.body {
        _ if missed >= PATIENT_DENIALS => Decision::Reject { why: None },
        AskBody::Permission { .. } => Decision::Reject { why: Some(told) },
        // Declined, it would end the turn without a word to the agent.
        AskBody::Question { questions } => {
            Decision::Answer { answers: questions.iter().map(|_| vec![told.clone()]).collect() }
        }
        // It expires instead, and no agent is told.
        AskBody::Connection { .. } => Decision::Reject { why: None },
    };
    (decision, why)
}

/// For the audit log.
pub(super) fn by_deadline(prompt: &ApprovalRequest) -> serde_json::Value {
    json!({"deadline_at": prompt.deadline_at, "approval": approvals::audit_detail(prompt)})
}
