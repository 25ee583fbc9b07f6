//! What is told to whoever waits for a tool, and whether they still wait.

use std::cell::Cell;
use std::time::Duration;

use mimir_model::visible;
use rmcp::RoleServer;
use rmcp::model::{ProgressNotificationParam, ProgressToken};
use rmcp::service::RequestContext;
use tokio::time::Instant;

/// No more than one line in so long, but for what is worth one.
const PAUSE: Duration = Duration::from_secs(1);
/// No line is longer.
const LONGEST: usize = 160;

/// One call of a tool, from its caller's side.
pub struct Progress {
    context: RequestContext<RoleServer>,
    token: Option<ProgressToken>,
    count: Cell<u32>,
    told_at: Cell<Option<Instant>>,
}

impl Progress {
    /// Of that call.
    pub fn new(context: RequestContext<RoleServer>) -> Self {
        let token = context.meta.get_progress_token();
        Self { context, token, count: Cell::new(0), told_at: Cell::new(None) }
    }

    /// Tells it, if somebody wants to hear: one line in which nothing is invisible.
    pub async fn tell(&self, text: &str) {
        let Some(token) = self.token.clone() else { return };
        let count = self.count.get() + 1;
        self.count.set(count);
        self.told_at.set(Some(Instant::now()));
        let line: String = visible::line(text).chars().take(LONGEST).collect();
        let told = ProgressNotificationParam::new(token, f64::from(count)).with_message(line);
        // Whoever went away is noticed by the end of their stream.
        let _ = self.context.peer.notify_progress(told).await;
    }

    /// The same, unless something was told a moment ago.
    pub async fn tell_now_and_then(&self, text: &str) {
        if self.told_at.get().is_none_or(|at| at.elapsed() >= PAUSE) {
            self.tell(text).await;
        }
    }

    /// Returns when the caller does not want the result any more.
    pub async fn cancelled(&self) {
        self.context.ct.cancelled().await;
    }
}
