//! What is known of one key. Every method runs under the lock of all keys and decides without waiting.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Next, Wakes};

/// How a pass ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    With(Next),
    Panicked,
}

/// What the key's task does after a pass.
pub(super) enum After {
    /// The key has nothing left to do; its place is free.
    Leave,
    /// The next pass, at once.
    Now,
    /// The next pass after a pause, which ends early with the token or the next wake.
    Pause { stop: CancellationToken, wakes: Wakes },
}

/// One key that has a task.
pub(super) struct Slot<S> {
    /// The state and what ends its passes. `None` after a cancel, until the next wake.
    current: Option<(Arc<S>, CancellationToken)>,
    /// How often the key was woken.
    wakes: watch::Sender<u64>,
    /// How many of these wakes the last pass began with.
    answered: u64,
}

impl<S> Default for Slot<S> {
    fn default() -> Self {
        Self { current: None, wakes: watch::Sender::new(0), answered: 0 }
    }
}

impl<S> Slot<S> {
    pub(super) fn state(&self) -> Option<Arc<S>> {
        self.current.as_ref().map(|(state, _)| state.clone())
    }

    pub(super) fn wake(
        &mut self,
        fresh: impl FnOnce() -> (Arc<S>, CancellationToken),
        change: impl FnOnce(&S),
    ) -> Arc<S> {
        let state = self.current.get_or_insert_with(fresh).0.clone();
        change(&state);
        self.wakes.send_modify(|count| *count += 1);
        state
    }

    /// Wakes it unless it was cancelled.
    pub(super) fn notify(&mut self) -> bool {
        let runs = self.current.is_some();
        if runs {
            self.wakes.send_modify(|count| *count += 1);
        }
        runs
    }

    pub(super) fn cancel(&mut self) {
        if let Some((_, stop)) = self.current.take() {
            stop.cancel();
        }
        self.answered = *self.wakes.borrow();
    }

    /// Begins a pass; `None` when the key was cancelled.
    pub(super) fn begin(&mut self) -> Option<(Arc<S>, CancellationToken, Wakes)> {
        let (state, stop) = self.current.clone()?;
        let wakes = self.wakes.subscribe();
        self.answered = *self.wakes.borrow();
        Some((state, stop, Wakes(wakes)))
    }

    /// Ends the pass that began with `state`.
    pub(super) fn end(
        &mut self,
        ended: Ended,
        state: &Arc<S>,
        fresh: impl FnOnce() -> (Arc<S>, CancellationToken),
    ) -> After {
        let Some((current, _)) = &self.current else { return After::Leave };
        let is_same = Arc::ptr_eq(current, state);
        let is_woken = *self.wakes.borrow() != self.answered;
        if ended == Ended::Panicked && is_same {
            // Nobody knows what the panic left of it.
            if let Some((_, stop)) = self.current.replace(fresh()) {
                stop.cancel();
            }
        }
        match ended {
            Ended::Panicked => self.pause(),
            Ended::With(_) if is_woken || !is_same => After::Now,
            Ended::With(Next::Again) => After::Now,
            Ended::With(Next::Done) => After::Leave,
            Ended::With(Next::Backoff | Next::At(_)) => self.pause(),
        }
    }

    fn pause(&self) -> After {
        match &self.current {
            Some((_, stop)) => After::Pause { stop: stop.clone(), wakes: Wakes(self.wakes.subscribe()) },
            None => After::Leave,
        }
    }
}
