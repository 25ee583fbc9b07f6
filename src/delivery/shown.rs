//! The terminal follows what is being talked about.
//!
//! Beside the turns: nothing depends on it and nobody waits for it. Each time costs a command inside the frame, and
//! a screen that is drawn anew; when many conversations of a frame begin at once, the last of them is shown.

use parking_lot::Mutex;

use super::Delivery;
use super::outcome::Attempt;
use crate::model::agent::AgentSessionId;
use crate::model::ids::FrameId;
use crate::opencode::OpencodeClient;
use crate::supervisor::Tasks;
use crate::supervisor::keyed::{Keyed, Next, Pass};

/// What a frame's terminal is to show next, and over which client the agent hears of it.
pub(super) type Shown<W = (OpencodeClient, AgentSessionId)> = Keyed<FrameId, Mutex<Option<W>>>;

/// Nothing is shown yet.
pub(super) fn nothing<W: Send + 'static>(tasks: &Tasks) -> Shown<W> {
    Keyed::new(tasks, "show what is talked about in", |_| Mutex::new(None))
}

/// Shows that as soon as what is being shown is there, unless something else is to be shown by then.
fn show<W, Fut>(
    shown: &Shown<W>,
    frame: &FrameId,
    what: W,
    how: impl Fn(FrameId, W) -> Fut + Send + Sync + 'static,
) where
    W: Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let work = move |pass: Pass<FrameId, Mutex<Option<W>>>| {
        let showing = pass.state.lock().take().map(|what| how(pass.key.clone(), what));
        async move {
            if let Some(showing) = showing {
                tokio::select! {
                    () = showing => {}
                    () = pass.stop.cancelled() => {}
                }
            }
            Next::Done
        }
    };
    shown.wake_with(frame, |next| *next.lock() = Some(what), work);
}

impl Delivery {
    /// Has the frame's terminal show the conversation.
    pub(super) fn show(&self, attempt: &Attempt) {
        let what = (attempt.client.clone(), attempt.session.clone());
        let locator = self.inner.deps.locator.clone();
        show(&self.inner.shown, &attempt.message.frame, what, move |frame, (client, session)| {
            let locator = locator.clone();
            async move {
                let _ = tokio::join!(client.select_session(&session), locator.show(&frame, &session));
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn of_many_that_begin_at_once_the_first_and_the_last_are_shown() {
        let tasks = Tasks::default();
        let shown: Shown<u32> = nothing(&tasks);
        let (one, other) = (FrameId::from_parts(1, 1), FrameId::from_parts(1, 2));
        let (screen, gate) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Semaphore::new(0)));
        let ask = |frame: &FrameId, what: u32| {
            let (screen, gate) = (screen.clone(), gate.clone());
            show(&shown, frame, what, move |_, what| {
                let (screen, gate) = (screen.clone(), gate.clone());
                async move {
                    screen.lock().push(what);
                    gate.acquire().await.expect("open").forget();
                }
            });
        };
        let reaches = async |wanted: &[u32]| {
            let waited = tokio::time::timeout(Duration::from_secs(5), async {
                while *screen.lock() != wanted {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            });
            assert!(waited.await.is_ok(), "{:?} and not {wanted:?}", screen.lock());
        };
        ask(&one, 1);
        reaches(&[1]).await;
        (2..20).for_each(|what| ask(&one, what));
        ask(&other, 7);
        reaches(&[1, 7]).await;
        gate.add_permits(2);
        reaches(&[1, 7, 19]).await;
        gate.add_permits(1);
        while shown.get(&one).is_some() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        ask(&one, 20);
        reaches(&[1, 7, 19, 20]).await;
    }
}
