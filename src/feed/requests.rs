//! Handing on what the agent asks people, and that somebody answered: one after the other, beside listening.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::approvals::{Approvals, Replied};
use crate::model::agent::AgentSessionId;
use crate::model::approval::AgentRequest;
use crate::model::ids::FrameId;
use crate::store::StoreError;

/// What the agent asks.
pub(super) struct Requests {
    approvals: Approvals,
    frame: FrameId,
    /// Heard since the agent was asked what it waits for.
    asked: Vec<AgentRequest>,
    answered: BTreeSet<String>,
    queue: VecDeque<BoxFuture<'static, Result<(), StoreError>>>,
}

impl Requests {
    pub(super) fn new(approvals: Approvals, frame: FrameId) -> Self {
        Self { approvals, frame, asked: Vec::new(), answered: BTreeSet::new(), queue: VecDeque::new() }
    }

    /// The agent is about to be asked what it waits for.
    pub(super) fn begin_listing(&mut self) {
        self.asked.clear();
        self.answered.clear();
    }

    /// It asks something, in the conversation `root` or in a sub-agent's of it.
    pub(super) fn asked(&mut self, root: AgentSessionId, request: &AgentRequest) {
        self.asked.push(request.clone());
        let (approvals, frame, request) = (self.approvals.clone(), self.frame.clone(), request.clone());
        self.queue.push_back(async move { approvals.asked(&frame, Some(&root), &request).await }.boxed());
    }

    /// Somebody answered.
    pub(super) fn replied(&mut self, request: &str, how: Replied) {
        self.answered.insert(request.to_owned());
        let (approvals, frame, request) = (self.approvals.clone(), self.frame.clone(), request.to_owned());
        self.queue.push_back(async move { approvals.replied(&frame, &request, how).await }.boxed());
    }

    /// Everything that it waits for, as it was listed and as was heard since.
    pub(super) fn merge(&mut self, listed: Vec<AgentRequest>) -> Vec<AgentRequest> {
        let by_id = |request: AgentRequest| (request.id.clone(), request);
        let mut waiting: BTreeMap<String, AgentRequest> = listed.into_iter().map(by_id).collect();
        waiting.extend(self.asked.drain(..).map(by_id));
        waiting.retain(|id, _| !self.answered.contains(id));
        waiting.into_values().collect()
    }

    /// That is everything.
    pub(super) fn listed(&mut self, waiting: Vec<AgentRequest>) {
        let (approvals, frame) = (self.approvals.clone(), self.frame.clone());
        self.queue.push_back(async move { approvals.listed(&frame, &waiting).await }.boxed());
    }

    /// Waits until something was handed on; for ever when nothing is to be.
    pub(super) async fn done(&mut self) -> Result<(), StoreError> {
        let Some(first) = self.queue.front_mut() else { return std::future::pending().await };
        let done = first.await;
        self.queue.pop_front();
        done
    }
}
