//! The loop of a frame's reconciler: listen, store, ask, and do what deliveries wish.
//!
//! A listener like any other, so the reader never waits for it. After each connection the agent is asked what it does,
//! what it waits for and what was said, and what the log lacks is added: turns that somebody began in the terminal
//! or over the agent's own API, also while no gateway ran.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Inner;
use super::item::FeedItem;
use super::reader::{ENDED, Feed};
use super::reconciler::SessionReconciler;
use super::subscription::Subscription;
use super::tracking::Command;
use crate::store::StoreError;
use crate::supervisor::backoff::Backoff;

/// What comes at the same time is stored together, but no more events than so many.
const TOGETHER: usize = 32;
/// How often it is looked at whether a tool call that runs shows a sign: of silence nothing is heard.
const LOOK_AT_CALLS: Duration = Duration::from_secs(5);

type Commands = mpsc::UnboundedReceiver<Command>;

/// Runs until the feed has ended.
pub(super) async fn run(inner: &Inner, feed: &Feed) {
    let Some(mut commands) = feed.take_commands() else { return };
    let mut delays = Backoff::new(Duration::from_millis(200), Duration::from_secs(30));
    loop {
        let began = Instant::now();
        match reconcile(inner, feed, &mut commands).await {
            Ok(()) => return,
            Err(error) => {
                if began.elapsed() > Duration::from_secs(60) {
                    delays.reset();
                }
                let delay = delays.next_delay();
                tracing::error!(frame = %feed.frame(), %error, "what the agent says cannot be kept: {error}; again in {delay:?}");
                tokio::time::sleep(delay).await;
            }
        }
    }
}

/// What is known comes from the database at first, so an error costs no more than a new beginning.
async fn reconcile(inner: &Inner, feed: &Feed, commands: &mut Commands) -> Result<(), StoreError> {
    let mut reconciler = SessionReconciler::new(inner, feed).await?;
    loop {
        tokio::select! {
            events = Subscription::when_it_stands(feed) => reconciler.listen(events, commands).await?,
            () = feed.ended() => return reconciler.close().await,
        }
    }
}

impl SessionReconciler<'_> {
    /// Goes on until the connection is lost.
    async fn listen(&mut self, mut events: Subscription, commands: &mut Commands) -> Result<(), StoreError> {
        let now = Instant::now();
        self.inquiries.begin_again(now);
        self.roots.set_complete(false);
        self.gaps.begin_again();
        let mut in_a_row = 0;
        loop {
            let more = if in_a_row < TOGETHER { events.ready() } else { None };
            in_a_row = if more.is_some() { in_a_row + 1 } else { 0 };
            self.keep_busy(more.is_some())?;
            let due = self.next_due();
            let item = match more {
                Some(item) => Some(item),
                None => tokio::select! {
                    item = events.next() => Some(item),
                    Some(command) = commands.recv() => {
                        self.wished(command).await?;
                        None
                    }
                    stored = self.outbox.done() => {
                        stored?;
                        None
                    }
                    answered = self.inquiries.answered() => {
                        self.answered(answered).await?;
                        None
                    }
                    handed_on = self.requests.done() => {
                        handed_on?;
                        None
                    }
                    () = self.feed.ended() => return self.lost(ENDED.to_owned()).await,
                    () = tokio::time::sleep_until(due) => None,
                },
            };
            match item {
                Some(FeedItem::Event(heard)) => self.hear(&heard).await?,
                Some(FeedItem::Lost(why)) => return self.lost(why).await,
                None => {}
            }
            let now = Instant::now();
            self.adopt_ripe(now).await?;
            self.tell_silence(now);
            self.close_gap(now).await?;
        }
    }

    fn next_due(&self) -> Instant {
        let due = self.inquiries.next_due(&self.sessions);
        let calls = self.feed.has_calls().then(|| Instant::now() + LOOK_AT_CALLS);
        let others = self.roots.next_due().into_iter().chain(self.gaps.next_due()).chain(calls);
        others.fold(due, Instant::min)
    }

    async fn lost(&mut self, why: String) -> Result<(), StoreError> {
        self.settle().await?;
        for state in self.sessions.values_mut() {
            state.is_read = false;
            for turn in state.turns.values_mut() {
                turn.turn.cut();
                turn.was_cut = true;
                turn.lost(&why);
            }
        }
        self.gaps.open(self.feed.facts().heard_at, why);
        Ok(())
    }

    /// The frame does not run any more: what was said in turns of ours is stored as far as it is known, because there
    /// may be nobody left to ask for it. Turns of others are found again by what is not stored of them.
    async fn close(&mut self) -> Result<(), StoreError> {
        for state in self.sessions.values_mut() {
            let of_ours = state.turns.values().filter(|turn| turn.owner.is_some());
            let said = of_ours.flat_map(|turn| turn.turn.messages()).collect();
            state.keep_late(said);
        }
        self.settle().await
    }
}
