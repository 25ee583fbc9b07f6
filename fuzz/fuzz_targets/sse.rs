//! Any bytes, in any pieces, give the same events; none is longer than the limit.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mimir_fuzz::opencode::sse::{MAX_EVENT_BYTES, SseParser};

fuzz_target!(|data: &[u8]| {
    let Some((&size, bytes)) = data.split_first() else { return };
    let whole = SseParser::default().push(bytes);
    let mut parser = SseParser::default();
    let mut pieces = Ok(Vec::new());
    for piece in bytes.chunks(usize::from(size).max(1)) {
        match (parser.push(piece), &mut pieces) {
            (Ok(more), Ok(all)) => all.extend(more),
            (Err(error), _) => pieces = Err(error),
            (Ok(_), Err(_)) => {}
        }
    }
    assert_eq!(whole, pieces);
    let events = whole.unwrap_or_default();
    assert!(events.iter().all(|event| event.len() <= MAX_EVENT_BYTES));
    // What a parser gives out is framed again without a change, as long as it has no line ends of its own.
    for event in events.iter().filter(|event| !event.contains(&b'\n') && !event.contains(&b'\r')) {
        let framed = [b"data: ", event.as_slice(), b"\n\n"].concat();
        assert_eq!(SseParser::default().push(&framed), Ok(vec![event.clone()]));
    }
});
