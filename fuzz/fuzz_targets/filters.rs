//! Whatever somebody asks to see: what is let through is what was asked for, and names are read as they are written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mimir_fuzz::model::event::{Event, EventKind, Subject};
use mimir_fuzz::model::filter::Filter;
use mimir_fuzz::model::ids::{FrameId, MessageId, SessionId};
use mimir_fuzz::model::names::FrameName;

fuzz_target!(|data: &[u8]| {
    // Kinds in the first line, a name or an id in the second, an event as the gateway writes it behind them.
    let text = String::from_utf8_lossy(data);
    let mut lines = text.splitn(3, '\n');
    let (kinds, name, json) = (lines.next(), lines.next(), lines.next());
    let kinds: Vec<String> =
        kinds.unwrap_or_default().split(',').map(|kind| kind.trim().to_owned()).collect();
    let name = name.unwrap_or_default();
    let frame_name = FrameName::parse(name).ok();
    assert!(frame_name.as_ref().is_none_or(|parsed| parsed.as_str() == name));
    let frame = FrameId::parse(name).ok();
    assert!(frame.as_ref().is_none_or(|parsed| FrameId::parse(&parsed.to_string()).as_ref() == Ok(parsed)));
    let (session, message) = (SessionId::parse(name).ok(), MessageId::parse(name).ok());

    let ours = Event { id: 1, at: 1, subject: Subject::default(), what: EventKind::MessageQueued {} };
    let event = serde_json::from_str::<Event>(json.unwrap_or_default()).unwrap_or(ours);
    let stored = serde_json::to_string(&event).expect("an event can be written");
    assert_eq!(serde_json::from_str::<Event>(&stored).expect("and read again"), event);

    let filter = Filter { frame, frame_name, session, message, kinds, ..Filter::default() };
    let globs = filter.globs();
    assert_eq!(globs.len(), filter.kinds.len());
    let kind = event.what.kind();
    if filter.wants(&event) {
        let is_named = |wanted: &String| kind.starts_with(wanted.trim_end_matches('*'));
        assert!(filter.kinds.iter().any(is_named), "{kind} was not asked for: {:?}", filter.kinds);
        assert!(filter.frame.is_none() || filter.frame == event.subject.frame);
        assert!(filter.message.is_none() || filter.message == event.subject.message);
    }
    let all = Filter { kinds: Vec::new(), ..Filter::default() };
    assert!(all.wants(&event));
    assert!(Filter { kinds: vec![kind.to_owned()], ..all.clone() }.wants(&event));
    assert!(Filter { kinds: vec!["*".to_owned()], ..all }.wants(&event));
});
