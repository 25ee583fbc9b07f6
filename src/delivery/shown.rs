//! The terminal follows what is being talked about.
//!
//! Beside the turns: nothing depends on it and nobody waits for it. Each time costs a command inside the frame, and
//! a screen that is drawn anew; when many conversations of a frame begin at once, the last of them is shown.

use std::collections::HashMap;
use std::sync::Mutex;

use super::Delivery;
use super::delivery::Attempt;
use crate::model::agent::AgentSessionId;
use crate::model::ids::FrameId;
use crate::opencode::OpencodeClient;
use crate::supervisor::OnExit;

/// What is to be shown, and over which client the agent hears of it.
#[derive(Clone)]
pub(super) struct Wish {
    client: OpencodeClient,
    session: AgentSessionId,
}

/// Frames whose terminal is being told, each with what it is to be told next.
pub(super) struct Shown<W = Wish> {
    at_it: Mutex<HashMap<FrameId, Option<W>>>,
}

impl<W> Default for Shown<W> {
    fn default() -> Self {
        Self { at_it: Mutex::default() }
    }
}

impl<W> Shown<W> {
    /// Gives the wish back to who is to see to it now. Otherwise somebody is at it, and goes on with this one.
    fn begin(&self, frame: &FrameId, wish: W) -> Option<W> {
        let mut at_it = self.at_it.lock().ok()?;
        match at_it.get_mut(frame) {
            Some(next) => {
                *next = Some(wish);
                None
            }
            None => {
                at_it.insert(frame.clone(), None);
                Some(wish)
            }
        }
    }

    /// What is to be shown next. After `None` nobody is at it any more.
    fn next(&self, frame: &FrameId) -> Option<W> {
        let mut at_it = self.at_it.lock().ok()?;
        let next = at_it.get_mut(frame).and_then(Option::take);
        if next.is_none() {
            at_it.remove(frame);
        }
        next
    }
}

impl Delivery {
    /// Has the frame's terminal show the conversation.
    pub(super) fn show(&self, attempt: &Attempt) {
        let frame = attempt.message.frame.clone();
        let wish = Wish { client: attempt.client.clone(), session: attempt.session.clone() };
        let Some(first) = self.inner.shown.begin(&frame, wish) else { return };
        let router = self.clone();
        let name = format!("show what {frame} talks about");
        self.inner.deps.tasks.spawn(name, OnExit::Report, move |stop| {
            let (router, frame, first) = (router.clone(), frame.clone(), first.clone());
            async move {
                let mut wish = Some(first);
                while let Some(Wish { client, session }) = wish {
                    let places = &router.inner.deps.locator;
                    let shown = async {
                        tokio::join!(client.select_session(&session), places.show(&frame, &session))
                    };
                    tokio::select! {
                        _ = shown => {}
                        () = stop.cancelled() => return,
                    }
                    wish = router.inner.shown.next(&frame);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_that_begin_at_once_the_first_and_the_last_are_shown() {
        let shown = Shown::default();
        let (one, other) = (FrameId::from_parts(1, 1), FrameId::from_parts(1, 2));
        assert_eq!(shown.begin(&one, 1), Some(1), "nobody is at it");
        for wish in 2..20 {
            assert_eq!(shown.begin(&one, wish), None, "whoever is at it goes on with it");
        }
        assert_eq!(shown.begin(&other, 7), Some(7), "frames do not wait for each other");
        assert_eq!(shown.next(&one), Some(19));
        assert_eq!(shown.next(&one), None);
        assert_eq!(shown.begin(&one, 20), Some(20), "it is over, so the next one begins anew");
    }
}
