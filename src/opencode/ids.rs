//! Message ids that opencode accepts as its own.
//!
//! `msg_`, 12 hex digits of `(unix ms × 4096 + counter) mod 2^48`, 14 letters and
//! digits. The order of the ids is the order of the talk, so an id that sorts
//! before an older one would put our message into the past.

use crate::model::agent::AgentMessageId;

const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const WRAP: u64 = 1 << 48;

/// Makes the id of a message that is sent at `now_ms` and comes after `after` in its session.
///
/// `after` wins over the clock: a clock that was set back must not reorder a talk.
#[must_use]
pub fn mint(now_ms: u64, after: Option<&AgentMessageId>, entropy: [u8; 14]) -> AgentMessageId {
    let by_clock = now_ms.wrapping_mul(4096) % WRAP;
    let floor = after.and_then(time_of).map(|time| (time + 1) % WRAP);
    let time = match floor {
        // Within half the circle behind the floor: the clock is behind. Otherwise the 48 bits wrapped.
        Some(floor) if floor.wrapping_sub(by_clock) % WRAP < WRAP / 2 => floor,
        _ => by_clock,
    };
    let tail: String =
        entropy.iter().map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()])).collect();
    AgentMessageId(format!("msg_{time:012x}{tail}"))
}

/// The id of the one part that our message has. Always the same, so that a message which is sent twice has its
/// words once: the server puts a part that it knows into its old place, and appends one without an id.
#[must_use]
pub fn part_of(message: &AgentMessageId) -> String {
    let rest = message.as_str().strip_prefix("msg_").unwrap_or(message.as_str());
    format!("prt_{rest}")
}

fn time_of(id: &AgentMessageId) -> Option<u64> {
    let digits = id.as_str().strip_prefix("msg_")?.get(..12)?;
    u64::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_the_shape_that_the_server_makes_itself() {
        // From the recordings: created 1795252931128 as msg_1fd69ca38001r9tmEGVT9A7tcF.
        let id = mint(1_795_252_931_128, None, [7; 14]);
        assert_eq!(id.as_str(), "msg_1fd69ca3800077777777777777");
        assert_eq!(id.as_str().len(), "msg_1fd69ca38001r9tmEGVT9A7tcF".len());
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_send_a_message_into_the_past() {
        let earlier = AgentMessageId("msg_1fd69ca38001r9tmEGVT9A7tcF".into());
        let id = mint(1_795_252_931_128 - 3_600_000, Some(&earlier), [0; 14]);
        assert!(id > earlier, "{id}");
        let later = mint(1_795_252_931_128 + 1, Some(&earlier), [0; 14]);
        assert!(later > earlier && later > id, "{later}");
    }

    #[test]
    fn ids_that_are_not_ours_are_no_floor() {
        let odd = AgentMessageId("something else".into());
        assert_eq!(mint(5, Some(&odd), [0; 14]), mint(5, None, [0; 14]));
    }
}
