//! One loop for everything that is to happen at a time.
//!
//! A timer is a row, set in the transaction of the change that makes it necessary (see `store::timers`), so it is
//! late after a restart, a suspended machine or a clock that was set, and never lost. It fires at least once: a
//! handler looks whether there is still something to do. One that fails is tried again, later each time.
//!
//! Who handles which kind is said by the composition. Timers do not wait for each other.

mod firing;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::store::timers::{self, Timer};
use crate::store::{Store, StoreError};
use crate::supervisor::keyed::Keyed;
use crate::supervisor::{Service, Tasks};
use firing::Key;

/// The longest time between two looks: a clock may be set, and a machine may sleep.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// What becomes of a timer that fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fired {
    /// It is over.
    Done,
    /// It fires again, so long after now.
    AgainAfter(Duration),
}

type Handler = Arc<dyn Fn(String) -> BoxFuture<'static, Result<Fired, String>> + Send + Sync>;

/// Fires timers. Cheap to clone.
#[derive(Clone)]
pub struct Timers {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    clock: Clock,
    handlers: Mutex<BTreeMap<&'static str, Handler>>,
    /// Kinds that fire by themselves, and how soon after the start.
    periodic: Mutex<Vec<(&'static str, Duration)>>,
    firing: Keyed<Key>,
}

impl Timers {
    /// Makes the service; nothing fires until [`Timers::run`].
    #[must_use]
    pub fn new(store: Store, clock: Clock, tasks: &Tasks) -> Self {
        let inner = Inner {
            store,
            clock,
            handlers: Mutex::default(),
            periodic: Mutex::default(),
            firing: Keyed::new(tasks, "timer", |_| ()),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Who sees to timers of that kind. The handler is told what the timer is about.
    pub fn handle<F, Fut, E>(&self, kind: &'static str, handler: F)
    where
        F: Fn(String) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Fired, E>> + Send + 'static,
        E: Display,
    {
        let handler: Handler =
            Arc::new(move |subject| handler(subject).map(|fired| fired.map_err(|e| e.to_string())).boxed());
        self.inner.handlers.lock().insert(kind, handler);
    }

    /// Something that happens again and again: `first` after each start, then `period` after it was done.
    pub fn every<F, Fut, E>(&self, kind: &'static str, first: Duration, period: Duration, work: F)
    where
        F: Fn() -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Display,
    {
        self.inner.periodic.lock().push((kind, first));
        self.handle(kind, move |_| {
            let work = work.clone();
            async move { work().await.map(|()| Fired::AgainAfter(period)) }
        });
    }
}

impl Service for Timers {
    const NAME: &'static str = "timers";

    async fn run(&self, stop: CancellationToken) {
        let changed = self.inner.store.timers_changed();
        let mut unhandled = BTreeMap::new();
        if let Err(error) = self.set_periodic().await {
            tracing::error!(%error, "timers could not be set: {error}");
        }
        loop {
            let woken = changed.notified();
            let pause = match self.look(&mut unhandled).await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::error!(%error, "timers could not be read: {error}");
                    LOOK_EVERY
                }
            };
            tokio::select! {
                () = woken => {}
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return,
            }
        }
    }
}

impl Timers {
    async fn set_periodic(&self) -> Result<(), StoreError> {
        let (now, kinds) = (self.inner.clock.now_ms(), self.inner.periodic.lock().clone());
        let set = self.inner.store.write_soon(move |tx| {
            kinds.iter().try_for_each(|(kind, first)| timers::set(tx, kind, "", now + millis(*first)))
        });
        set.await
    }

    /// Begins to fire what is due; says when to look again. `unhandled` are the kinds that were named in the log.
    async fn look(&self, unhandled: &mut BTreeMap<String, ()>) -> Result<Duration, StoreError> {
        let now = self.inner.clock.now_ms();
        let (due, next) = self.inner.store.read(move |db| timers::due_and_next(db, now)).await?;
        for timer in due {
            let handler = self.inner.handlers.lock().get(timer.kind.as_str()).cloned();
            match handler {
                Some(handler) => self.fire(timer, handler),
                None if unhandled.insert(timer.kind.clone(), ()).is_none() => {
                    tracing::warn!("nobody handles timers of kind {}; they are kept", timer.kind);
                }
                None => {}
            }
        }
        let pause = next.map_or(LOOK_EVERY, |at| Duration::from_millis(at.saturating_sub(now)));
        Ok(pause.min(LOOK_EVERY))
    }

    fn fire(&self, timer: Timer, handler: Handler) {
        let inner = self.inner.clone();
        // One that is being fired is looked at once more when that is over, and found not to be due any more.
        let pass = move |pass| firing::pass(inner.clone(), pass, handler.clone());
        self.inner.firing.wake(&Key::of(&timer), pass);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
