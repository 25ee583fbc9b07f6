//! Which turns somebody else tells of: those that began with a message of ours.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use crate::model::agent::{AgentMessageId, AgentSessionId};
use crate::model::ids::FrameId;

type Claimed = HashMap<(FrameId, AgentSessionId), (u64, AgentMessageId)>;

/// All claims that are held.
#[derive(Clone, Debug, Default)]
pub(super) struct Claims {
    inner: Arc<Mutex<(u64, Claimed)>>,
    released: watch::Sender<u64>,
}

/// While this is held, its holder tells of the session from a prompt on.
#[derive(Debug)]
pub struct Claim {
    claims: Claims,
    key: (FrameId, AgentSessionId),
    serial: u64,
}

impl Claims {
    pub(super) fn take(&self, frame: &FrameId, session: &AgentSessionId, prompt: &AgentMessageId) -> Claim {
        let key = (frame.clone(), session.clone());
        let mut serial = 0;
        if let Ok(mut inner) = self.inner.lock() {
            inner.0 += 1;
            serial = inner.0;
            inner.1.insert(key.clone(), (serial, prompt.clone()));
        }
        Claim { claims: self.clone(), key, serial }
    }

    /// From which prompt on a session is claimed, if it is.
    pub(super) fn prompt(&self, frame: &FrameId, session: &AgentSessionId) -> Option<AgentMessageId> {
        let inner = self.inner.lock().ok()?;
        inner.1.get(&(frame.clone(), session.clone())).map(|(_, prompt)| prompt.clone())
    }

    /// Whether anything of a frame is claimed.
    pub(super) fn any(&self, frame: &FrameId) -> bool {
        self.inner.lock().is_ok_and(|inner| inner.1.keys().any(|(of, _)| of == frame))
    }

    /// Changes whenever a claim is given back.
    pub(super) fn released(&self) -> watch::Receiver<u64> {
        self.released.subscribe()
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Ok(mut inner) = self.claims.inner.lock()
            && inner.1.get(&self.key).is_some_and(|(serial, _)| *serial == self.serial)
        {
            inner.1.remove(&self.key);
        }
        self.claims.released.send_modify(|count| *count += 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_ends_with_its_holder_and_not_with_an_older_one() {
        let claims = Claims::default();
        let frame = FrameId::from_parts(1, 1);
        let session = AgentSessionId("ses".into());
        let prompt = |name: &str| AgentMessageId(name.into());
        let first = claims.take(&frame, &session, &prompt("msg_1"));
        let second = claims.take(&frame, &session, &prompt("msg_2"));
        drop(first);
        assert_eq!(claims.prompt(&frame, &session), Some(prompt("msg_2")));
        drop(second);
        assert_eq!(claims.prompt(&frame, &session), None);
    }
}
