//! A workqueue: work for many keys, one task at most for each of them.
//!
//! ```text
//!            wake                      done, not woken since
//!  (no task) ────► running a pass ──────────────────────────► (no task)
//!                   ▲    │  again, or woken during the pass: at once
//!                   ├────┘
//!                   │    │  at a time, after a failure, after a panic
//!                   │    ▼
//!                   └── pausing        a wake ends the pause, except the one after a panic
//! ```
//!
//! A pass looks at the world itself and is told nothing, so that many wakes may become one pass. A wake is
//! never lost: one that comes while a pass runs makes the key run again. Each key has a state that is shared
//! with whoever asks for it; it lives until the key is done, cancelled, or a pass panics.
//!
//! Not here: what the work is, and what is read from where when the gateway starts.

mod slot;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt::Display;
use std::hash::Hash;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Tasks;
use super::backoff::Backoff;
use slot::{After, Ended, Slot};

/// What becomes of a key after a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing is left to do. The key's state goes, unless it was woken during the pass.
    Done,
    /// There is more to do, at once. Neither a failure nor the end of one.
    Again,
    /// It failed and may work later: again after a delay that grows with each failure in a row.
    Backoff,
    /// Again at that time, unless it is woken before.
    At(Instant),
}

impl Next {
    /// Again after that long, unless it is woken before.
    #[must_use]
    pub fn after(delay: Duration) -> Self {
        Self::At(Instant::now() + delay)
    }
}

/// What a pass is given.
pub struct Pass<K, S> {
    /// Whose pass it is.
    pub key: K,
    /// What is shared with those who wake the key or ask for its state.
    pub state: Arc<S>,
    /// Cancelled when the gateway stops or the key is cancelled. A pass that takes long ends then.
    pub stop: CancellationToken,
    /// The wakes that come during this pass.
    pub wakes: Wakes,
}

/// The wakes that come during a pass, for a pass that waits for something itself.
#[derive(Clone)]
pub struct Wakes(watch::Receiver<u64>);

impl Wakes {
    /// Waits for the next wake. The key runs again after this pass, whether this was awaited or not.
    pub async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            // The key was cancelled; the pass hears of that by its token.
            std::future::pending::<()>().await;
        }
    }
}

/// Work for many keys. Cheap to clone; clones share the keys.
pub struct Keyed<K, S = ()> {
    inner: Arc<Inner<K, S>>,
}

impl<K, S> Clone for Keyed<K, S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

struct Inner<K, S> {
    tasks: Tasks,
    name: &'static str,
    make: Box<dyn Fn(&K) -> S + Send + Sync>,
    backoff: Backoff,
    slots: Mutex<HashMap<K, Slot<S>>>,
}

impl<K, S> Keyed<K, S>
where
    K: Clone + Eq + Hash + Display + Send + Sync + 'static,
    S: Send + Sync + 'static,
{
    /// A workqueue whose tasks are called "`name` `key`"; `make` makes the state of a key that has none.
    #[must_use]
    pub fn new(tasks: &Tasks, name: &'static str, make: impl Fn(&K) -> S + Send + Sync + 'static) -> Self {
        let backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(30)).with_jitter();
        let inner =
            Inner { tasks: tasks.clone(), name, make: Box::new(make), backoff, slots: Mutex::default() };
        Self { inner: Arc::new(inner) }
    }

    /// With other delays after failures than 200 ms to 30 s.
    #[must_use]
    pub fn with_backoff(mut self, backoff: Backoff) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.backoff = backoff.with_jitter();
        }
        self
    }

    /// Sees to it that a pass for the key begins after this call, and gives back the key's state.
    ///
    /// `work` is one pass. It is used when the key has no task; one that runs keeps the work it was started with.
    pub fn wake<F, Fut>(&self, key: &K, work: F) -> Arc<S>
    where
        F: Fn(Pass<K, S>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Next> + Send + 'static,
    {
        self.wake_with(key, |_| {}, work)
    }

    /// As [`Keyed::wake`], and changes the state before that pass can see it. `change` must not come back here.
    pub fn wake_with<F, Fut>(&self, key: &K, change: impl FnOnce(&S), work: F) -> Arc<S>
    where
        F: Fn(Pass<K, S>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Next> + Send + 'static,
    {
        let (state, is_new) = {
            let mut slots = self.inner.slots.lock();
            let fresh = || self.inner.fresh(key);
            match slots.get_mut(key) {
                Some(slot) => (slot.wake(fresh, change), false),
                None => {
                    // Inserted last: a panic in `make` or `change` leaves no place without a task.
                    let mut slot = Slot::default();
                    let state = slot.wake(fresh, change);
                    slots.insert(key.clone(), slot);
                    (state, true)
                }
            }
        };
        if is_new {
            let place = Place { inner: self.inner.clone(), key: key.clone(), is_left: false };
            let name = format!("{} {key}", self.inner.name);
            self.inner.tasks.spawn_once(name, move |_| place.run(work));
        }
        state
    }

    /// Wakes a key that has a task, and starts none. Says whether there was one.
    pub fn notify(&self, key: &K) -> bool {
        let mut slots = self.inner.slots.lock();
        slots.get_mut(key).is_some_and(Slot::notify)
    }

    /// Ends the key's pass by its token, and forgets its state. A wake after this one begins anew, once that pass
    /// has ended.
    pub fn cancel(&self, key: &K) {
        if let Some(slot) = self.inner.slots.lock().get_mut(key) {
            slot.cancel();
        }
    }

    /// The key's state, if it has one.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<Arc<S>> {
        self.inner.slots.lock().get(key).and_then(Slot::state)
    }

    /// The keys that have a state.
    #[must_use]
    pub fn keys(&self) -> Vec<K> {
        let slots = self.inner.slots.lock();
        slots.iter().filter(|(_, slot)| slot.state().is_some()).map(|(key, _)| key.clone()).collect()
    }
}

impl<K, S> Inner<K, S> {
    fn fresh(&self, key: &K) -> (Arc<S>, CancellationToken) {
        (Arc::new((self.make)(key)), self.tasks.stop.child_token())
    }
}

/// A key's place among those that have a task. It is free again when this is dropped, whatever happened.
struct Place<K: Eq + Hash, S> {
    inner: Arc<Inner<K, S>>,
    key: K,
    is_left: bool,
}

impl<K, S> Place<K, S>
where
    K: Clone + Eq + Hash + Display + Send + Sync + 'static,
    S: Send + Sync + 'static,
{
    async fn run<F, Fut>(mut self, work: F)
    where
        F: Fn(Pass<K, S>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Next> + Send + 'static,
    {
        let mut delays = self.inner.backoff.clone();
        while let Some(pass) = self.begin() {
            let state = pass.state.clone();
            let ended = AssertUnwindSafe(async { work(pass).await }).catch_unwind().await;
            let ended = ended.map_or(Ended::Panicked, Ended::With);
            let until = match ended {
                Ended::Panicked | Ended::With(Next::Backoff) => Instant::now() + delays.next_delay(),
                Ended::With(Next::At(time)) => time,
                Ended::With(Next::Done | Next::Again) => Instant::now(),
            };
            if matches!(ended, Ended::With(Next::Done | Next::At(_))) {
                delays.reset();
            }
            if ended == Ended::Panicked {
                let (name, key) = (self.inner.name, &self.key);
                let pause = until.saturating_duration_since(Instant::now());
                tracing::error!(task = %name, "task {name} {key} panicked; again in {pause:?}");
            }
            match self.end(ended, &state) {
                After::Leave => return,
                After::Now => {}
                After::Pause { stop, mut wakes } => tokio::select! {
                    () = tokio::time::sleep_until(until) => {}
                    () = wakes.next(), if ended != Ended::Panicked => {}
                    () = stop.cancelled() => {}
                },
            }
        }
    }

    /// What the next pass is given; `None` when the key has left.
    fn begin(&mut self) -> Option<Pass<K, S>> {
        let mut slots = self.inner.slots.lock();
        let begun = match slots.get_mut(&self.key) {
            Some(slot) if !self.inner.tasks.stop.is_cancelled() => slot.begin(),
            _ => None,
        };
        if begun.is_none() {
            slots.remove(&self.key);
            self.is_left = true;
        }
        begun.map(|(state, stop, wakes)| Pass { key: self.key.clone(), state, stop, wakes })
    }

    /// Decides under the lock under which keys are woken, so no wake falls between deciding and leaving.
    fn end(&mut self, ended: Ended, state: &Arc<S>) -> After {
        let mut slots = self.inner.slots.lock();
        let after = match slots.get_mut(&self.key) {
            Some(slot) => slot.end(ended, state, || self.inner.fresh(&self.key)),
            None => After::Leave,
        };
        if matches!(after, After::Leave) {
            slots.remove(&self.key);
            self.is_left = true;
        }
        after
    }
}

impl<K: Eq + Hash, S> Drop for Place<K, S> {
    fn drop(&mut self) {
        if !self.is_left {
            self.inner.slots.lock().remove(&self.key);
        }
    }
}
