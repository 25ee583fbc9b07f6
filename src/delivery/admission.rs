//! What may join the queue: how much of it there may be, and what is refused because it cannot go at once.

use std::time::Duration;

use super::error::SendError;
use super::{Delivery, SendRequest};
use crate::config::schema::Queue;
use crate::model::agent::AgentStatus;
use crate::model::frame::FrameState;
use crate::model::message::Session;
use crate::model::names::FrameName;
use crate::store::queue::Waiting;
use crate::store::{frames, messages, queue, sessions};

/// How long the agent may take to say whether it is free for a message that cannot wait.
const ASK_NOW: Duration = Duration::from_secs(3);

impl Queue {
    /// Whether one more message may wait.
    pub(super) fn make_room(&self, waiting: Waiting, frame: &FrameName) -> Result<(), SendError> {
        let full = |waiting, limit, place: String| {
            Err(SendError::QueueFull { waiting, place, limit, frame: frame.to_string() })
        };
        if waiting.in_session >= self.per_session {
            return full(waiting.in_session, self.per_session, "in this conversation".to_owned());
        }
        if waiting.in_frame >= self.per_frame {
            return full(waiting.in_frame, self.per_frame, format!("for frame {frame}"));
        }
        Ok(())
    }

    /// Whether a message could be sent without any waiting, as far as the rows say.
    pub(super) fn only_now(
        &self,
        waiting: Waiting,
        frame: &FrameName,
        state: FrameState,
    ) -> Result<(), SendError> {
        let busy = usize::try_from(waiting.busy_sessions).unwrap_or(usize::MAX);
        let why = if state != FrameState::Running {
            format!("frame {frame} is {state} and would have to be started first")
        } else if waiting.open_in_session > 0 {
            let before = waiting.open_in_session;
            match before {
                1 => "1 message of this conversation comes first".to_owned(),
                _ => format!("{before} messages of this conversation come first"),
            }
        } else if busy >= self.parallel {
            format!("{busy} conversations of frame {frame} are busy, and {} is the most", self.parallel)
        } else {
            return Ok(());
        };
        Err(SendError::NotNow(why))
    }
}

impl Delivery {
    /// Asks the agent itself whether it is free for a message that is to be sent now or not at all: somebody
    /// may be typing in the terminal.
    pub(super) async fn is_free_now(&self, request: &SendRequest) -> Result<(), SendError> {
        let Some(word) = request.session.word().map(str::to_owned) else { return Ok(()) };
        let (wanted, key) = (request.frame.clone(), request.key.clone());
        let found = move |db: &crate::store::Db<'_>| {
            // A repeat of what was accepted is no new message, and may be what the agent is busy with.
            if let Some(key) = &key
                && messages::find_by_key(db, key.as_str())?.is_some()
            {
                return Ok(None);
            }
            let Some(frame) = frames::find_by_name(db, &wanted)? else { return Ok(None) };
            let sessions::Named::One(session) = sessions::named(db, sessions::Among::Of(&frame.id), &word)?
            else {
                return Ok(None);
            };
            // What is open here is in the way by itself.
            let is_open = queue::head(db, &session.id)?.is_some();
            Ok((!is_open).then_some((frame, session)))
        };
        // What is not there, or does not run, is said in the transaction that would store the message.
        let Some((frame, Session { agent_session: Some(session), .. })) =
            self.inner.deps.store.read(found).await?
        else {
            return Ok(());
        };
        if frame.state != FrameState::Running {
            return Ok(());
        }
        let asked = async {
            let client = self.inner.deps.locator.agent(&frame.id).await.map_err(|error| error.to_string())?;
            client.statuses().await.map_err(|error| error.to_string())
        };
        let why = match tokio::time::timeout(ASK_NOW, asked).await {
            Ok(Ok(all)) if all.get(&session).is_none_or(|status| *status == AgentStatus::Idle) => {
                return Ok(());
            }
            Ok(Ok(_)) => "somebody else works in this conversation, in the terminal or past mimir".to_owned(),
            Ok(Err(error)) => format!("the agent cannot be asked whether it is free: {error}"),
            Err(_) => format!("the agent did not say within {} s whether it is free", ASK_NOW.as_secs()),
        };
        Err(SendError::NotNow(why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn now_is_refused_with_what_is_in_the_way() {
        let rules = Queue { parallel: 2, ..Queue::default() };
        let refused = |waiting, state| {
            let frame = FrameName::parse("blog").expect("a name");
            rules.only_now(waiting, &frame, state).err().map(|error| error.to_string()).unwrap_or_default()
        };
        let free = Waiting { busy_sessions: 1, ..Waiting::default() };
        assert_eq!(refused(free, FrameState::Running), "");
        assert!(refused(free, FrameState::Stopped).contains("blog is stopped"));
        let behind = Waiting { open_in_session: 2, ..free };
        assert!(refused(behind, FrameState::Running).contains("2 messages of this conversation"));
        let crowded = Waiting { busy_sessions: 2, ..free };
        assert!(refused(crowded, FrameState::Running).contains("2 conversations of frame blog are busy"));
    }
}
