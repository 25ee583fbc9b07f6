//! What an agent asks is stored and read again unchanged, and no rule allows what another one denies.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mimir_fuzz::model::agent::AgentEvent;
use mimir_fuzz::model::approval::AgentRequest;
use mimir_fuzz::model::policy::{Action, Rule, rule_on};
use mimir_fuzz::opencode;

fuzz_target!(|data: &[u8]| {
    // The last line, if there are two, is a pattern.
    let at = data.iter().rposition(|byte| *byte == b'\n');
    let (json, pattern) = at.map_or((data, &b"*"[..]), |at| (&data[..at], &data[at + 1..]));
    let pattern = String::from_utf8_lossy(pattern).into_owned();
    if let AgentEvent::Asked(ask) = opencode::event(json) {
        check(&ask, &pattern);
    }
    for ask in opencode::permissions(json).into_iter().chain(opencode::questions(json)).flatten() {
        check(&ask, &pattern);
    }
});

fn check(ask: &AgentRequest, pattern: &str) {
    let stored = serde_json::to_string(ask).expect("it can be stored");
    let read: AgentRequest = serde_json::from_str(&stored).expect("and read again");
    assert_eq!(&read, ask);
    let _ = (ask.line(), ask.form());

    assert_eq!(rule_on(&[], &ask.body).action, Action::Ask, "without rules a person is asked");
    let rule = |tool: &str, action: Action| Rule {
        tool: tool.to_owned(),
        command: Some(pattern.to_owned()),
        path: Some(pattern.to_owned()),
        action,
        why: None,
    };
    let denied = [rule("*", Action::Allow), Rule { command: None, path: None, ..rule("*", Action::Deny) }];
    assert_ne!(rule_on(&denied, &ask.body).action, Action::Allow, "the last rule denies everything");
    let one = rule_on(&[rule("*", Action::Allow)], &ask.body).action;
    assert_ne!(one, Action::Deny, "nobody denied it");
}
