//! What a call costs while it runs, and its end when that is too much.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Between a call that runs and whoever watches over what is spent. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    so_far: AtomicU64,
    look_at: AtomicU64,
    watched: OnceLock<Arc<Notify>>,
    why: OnceLock<String>,
    cut: CancellationToken,
}

impl Meter {
    /// `watcher` is told when the call has cost so much as was asked for with [`Meter::look_at`].
    #[must_use]
    pub fn watched_by(watcher: Arc<Notify>) -> Self {
        let meter = Self::default();
        meter.look_at(u64::MAX);
        let _ = meter.inner.watched.set(watcher);
        meter
    }

    /// The watcher wants to be told at so much (millionths of a US dollar).
    pub fn look_at(&self, microusd: u64) {
        self.inner.look_at.store(microusd, Ordering::SeqCst);
    }

    /// The call has cost so much so far.
    pub fn report(&self, microusd: u64) {
        self.inner.so_far.fetch_max(microusd, Ordering::SeqCst);
        if microusd >= self.inner.look_at.load(Ordering::SeqCst)
            && let Some(watcher) = self.inner.watched.get()
        {
            watcher.notify_one();
        }
    }

    /// What the call has cost so far, as far as can be seen from outside.
    #[must_use]
    pub fn so_far(&self) -> u64 {
        self.inner.so_far.load(Ordering::SeqCst)
    }

    /// Ends the call; the frame is told why.
    pub fn cut(&self, why: impl Into<String>) {
        let _ = self.inner.why.set(why.into());
        self.inner.cut.cancel();
    }

    /// Waits until the call is to end, and says why.
    pub async fn is_cut(&self) -> String {
        self.inner.cut.cancelled().await;
        self.inner.why.get().cloned().unwrap_or_default()
    }
}
