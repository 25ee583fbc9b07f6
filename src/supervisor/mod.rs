//! Who owns which task: every task has a name, an owner and an answer to "what when it ends?".

pub mod accept;
pub mod backoff;
pub mod failpoint;
pub mod keyed;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use backoff::Backoff;
use failpoint::Failpoints;

/// What happens when a task ends before it was asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExit {
    /// Start it again after a growing delay.
    Restart,
    /// Nothing works without it: stop the gateway.
    StopGateway,
    /// Say so in the log; whoever needs it starts another.
    Report,
}

/// A service with work of its own, for as long as the gateway runs.
pub trait Service: Clone + Send + Sync + 'static {
    /// What its task is called.
    const NAME: &'static str;

    /// Works until it is stopped. Begun again when it ends earlier, so it must find its place by itself.
    fn run(&self, stop: CancellationToken) -> impl Future<Output = ()> + Send;
}

/// Owner of every spawned task.
#[derive(Clone)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
    fatal: Arc<Mutex<Option<String>>>,
    failpoints: Failpoints,
}

impl Default for Tasks {
    fn default() -> Self {
        Self::new(CancellationToken::new())
    }
}

impl Tasks {
    /// Tasks that end when `stop` is cancelled.
    #[must_use]
    pub fn new(stop: CancellationToken) -> Self {
        Self { tracker: TaskTracker::new(), stop, fatal: Arc::default(), failpoints: Failpoints::from_env() }
    }

    /// The token that ends them all.
    #[must_use]
    pub fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// The places where a test may let this gateway die.
    #[must_use]
    pub fn failpoints(&self) -> Failpoints {
        self.failpoints.clone()
    }

    /// Spawns work that runs once, to its end, whoever waits for it; answers with what it returned.
    /// `None` when it panicked.
    pub async fn run_to_end<T, Fut>(&self, name: impl Into<String>, work: Fut) -> Option<T>
    where
        T: Send + 'static,
        Fut: Future<Output = T> + Send + 'static,
    {
        let (reply, answer) = tokio::sync::oneshot::channel();
        self.spawn_once(name, move |_| async move {
            // Whoever waited may be gone.
            let _ = reply.send(work.await);
        });
        answer.await.ok()
    }

    /// Spawns a task that ends by itself. A panic is said in the log; whoever needs it starts another.
    pub fn spawn_once<F, Fut>(&self, name: impl Into<String>, run: F)
    where
        F: FnOnce(CancellationToken) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let name = name.into();
        let stop = self.stop.child_token();
        self.tracker.spawn(async move {
            let ended = AssertUnwindSafe(async { run(stop.clone()).await }).catch_unwind().await;
            if ended.is_err() && !stop.is_cancelled() {
                tracing::error!(task = %name, "task {name} panicked");
            }
        });
    }

    /// Spawns a task. `run` is called again for each restart.
    pub fn spawn<F, Fut>(&self, name: impl Into<String>, on_exit: OnExit, run: F)
    where
        F: Fn(CancellationToken) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let name = name.into();
        let stop = self.stop.child_token();
        let fatal = self.fatal.clone();
        let gateway = self.stop.clone();
        self.tracker.spawn(async move {
            let mut delays = Backoff::new(Duration::from_millis(200), Duration::from_secs(30));
            loop {
                let ended = AssertUnwindSafe(run(stop.clone())).catch_unwind().await;
                if stop.is_cancelled() {
                    return;
                }
                let how = if ended.is_err() { "panicked" } else { "ended" };
                match on_exit {
                    OnExit::Report => {
                        if ended.is_err() {
                            tracing::error!(task = %name, "task {name} {how}");
                        }
                        return;
                    }
                    OnExit::StopGateway => {
                        tracing::error!(task = %name, "task {name} {how}; the gateway stops");
                        fatal.lock().get_or_insert_with(|| format!("{name} {how}"));
                        gateway.cancel();
                        return;
                    }
                    OnExit::Restart => {
                        let delay = delays.next_delay();
                        tracing::warn!(task = %name, "task {name} {how}; again in {delay:?}");
                        tokio::select! {
                            () = tokio::time::sleep(delay) => {}
                            () = stop.cancelled() => return,
                        }
                    }
                }
            }
        });
    }

    /// Runs a service until the gateway stops.
    pub fn run<S: Service>(&self, service: &S) {
        let service = service.clone();
        self.spawn(S::NAME, OnExit::Restart, move |stop| {
            let service = service.clone();
            async move { service.run(stop).await }
        });
    }

    /// Asks all tasks to stop and waits for them, `deadline` at most. Says whether all of them ended.
    pub async fn stop(&self, deadline: Duration) -> bool {
        self.stop.cancel();
        self.tracker.close();
        tokio::time::timeout(deadline, self.tracker.wait()).await.is_ok()
    }

    /// Why the gateway had to stop, if a task that it cannot do without ended.
    #[must_use]
    pub fn fatal(&self) -> Option<String> {
        self.fatal.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test]
    async fn a_task_that_panics_is_started_again() {
        let tasks = Tasks::default();
        let runs = Arc::new(AtomicU32::new(0));
        let seen = runs.clone();
        tasks.spawn("flaky", OnExit::Restart, move |stop| {
            let run = seen.fetch_add(1, Ordering::SeqCst);
            async move {
                assert!(run > 0, "the first run fails");
                stop.cancelled().await;
            }
        });
        let waited = tokio::time::timeout(Duration::from_secs(5), async {
            while runs.load(Ordering::SeqCst) < 2 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        assert!(waited.await.is_ok(), "started {} times", runs.load(Ordering::SeqCst));
        assert!(tasks.stop(Duration::from_secs(1)).await);
        assert_eq!(tasks.fatal(), None);
    }

    #[tokio::test]
    async fn an_essential_task_takes_the_gateway_down_and_says_why() {
        let tasks = Tasks::default();
        tasks.spawn("writer", OnExit::StopGateway, |_| async {});
        tasks.stop_token().cancelled().await;
        assert_eq!(tasks.fatal().as_deref(), Some("writer ended"));
    }
}
