//! Whatever an agent sends is an event, and what we keep of it can be read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mimir_fuzz::model::agent::{AgentEvent, AgentPart, MessageInfo};
use mimir_fuzz::opencode;

fuzz_target!(|data: &[u8]| {
    match opencode::event(data) {
        AgentEvent::Message(head) => keep_head(&head),
        AgentEvent::Part(part) => keep_part(&part),
        AgentEvent::Asked(ask) => drop(ask.line()),
        _ => {}
    }
    for turn in opencode::turns(data).unwrap_or_default() {
        keep_head(&turn.head);
        turn.parts.iter().for_each(keep_part);
    }
});

fn keep_head(head: &MessageInfo) {
    let stored = serde_json::to_string(head).expect("it can be stored");
    let read: MessageInfo = serde_json::from_str(&stored).expect("and read again");
    assert_eq!(&read, head);
}

fn keep_part(part: &AgentPart) {
    let stored = serde_json::to_string(part).expect("it can be stored");
    let read: AgentPart = serde_json::from_str(&stored).expect("and read again");
    assert_eq!(&read, part);
}
