//! Sorting what was read of a conversation by whose it is. Pure.

use crate::model::agent::{AgentMessage, AgentMessageId};

/// Whose a prompt is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// One of ours, on its way.
    Open,
    /// One of ours that has ended.
    Ended,
}

/// What was read of a session and is not told yet, by who is to tell it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Sorted {
    /// In order.
    pub pieces: Vec<Piece>,
    /// The message of ours that is on its way, and with it everything behind it.
    pub ours: Option<AgentMessageId>,
}

/// A piece of a conversation.
#[derive(Debug, PartialEq)]
pub(super) enum Piece {
    /// Belongs to a message of ours that has ended, or to a turn that was told: only the history lacks it.
    Quiet(Vec<AgentMessage>),
    /// Somebody spoke past mimir.
    Foreign(Vec<AgentMessage>),
}

/// Sorts what was read; `whose` says which prompts are ours.
pub(super) fn sort(messages: Vec<AgentMessage>, whose: impl Fn(&AgentMessageId) -> Option<Whose>) -> Sorted {
    let mut sorted = Sorted::default();
    for message in messages {
        match (message.is_prompt(), whose(&message.head.id)) {
            (_, Some(Whose::Open)) => {
                sorted.ours = Some(message.head.id);
                break;
            }
            (_, Some(Whose::Ended)) => sorted.pieces.push(Piece::Quiet(vec![message])),
            (true, None) => match sorted.pieces.last_mut() {
                Some(Piece::Foreign(piece)) => piece.push(message),
                _ => sorted.pieces.push(Piece::Foreign(vec![message])),
            },
            (false, None) => match sorted.pieces.last_mut() {
                Some(Piece::Foreign(piece) | Piece::Quiet(piece)) => piece.push(message),
                None => sorted.pieces.push(Piece::Quiet(vec![message])),
            },
        }
    }
    sorted
}
