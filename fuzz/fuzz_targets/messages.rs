//! Whatever a tracker or a forge is made to say, it is read to an end, and what is kept of it has one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mimir_fuzz::model::visible::is_invisible;
use mimir_fuzz::model::webhook::SenderKind;
use mimir_fuzz::webhooks::{headers_of, read, source};

const EVENTS: [&str; 12] = [
    "event_alert", "error", "issue", "seer", "catch_up", "pull_request", "issues", "issue_comment", "check_suite", "status",
    "push", "",
];

fuzz_target!(|data: &[u8]| {
    let Some((first, body)) = data.split_first() else { return };
    let event = EVENTS[usize::from(*first) % EVENTS.len()];
    for kind in [SenderKind::Sentry, SenderKind::Github, SenderKind::Generic] {
        let Ok(notice) = read::message("source", &source(kind), &headers_of(event), body) else { continue };
        let Some(matter) = notice.matter else { continue };
        for text in [&matter.title, &matter.key, &notice.event] {
            assert!(!text.chars().any(|c| c.is_control() || is_invisible(c)), "{text:?}");
        }
        assert!(matter.title.chars().count() <= 300, "{}", matter.title);
        let size: usize = matter.evidence.iter().map(|evidence| evidence.text.chars().count()).sum();
        assert!(size <= 60_000, "{size}");
    }
});
