//! Whatever strangers say stays between its marks, and whatever an agent answers is a report with bounds, or none.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mimir_fuzz::fix::fence::{Fence, cleaned};
use mimir_fuzz::fix::report;
use mimir_fuzz::model::visible::is_invisible;

fuzz_target!(|data: &[u8]| {
    // A name in the first line, a source in the second, the words behind them; `@` stands for the marks' own secret.
    let fence = Fence::fresh([7; 8]);
    let text = String::from_utf8_lossy(data).replace('@', fence.nonce());
    let mut lines = text.splitn(3, '\n');
    let (name, source) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let words = lines.next().unwrap_or_default();
    let block = fence.block(name, source, words, 1000);
    assert_eq!(block.matches(fence.nonce()).count(), 2, "{block}");
    assert_eq!((block.matches("<<<").count(), block.matches(">>>").count()), (1, 1), "{block}");
    assert!(!block.contains("<!--"), "{block}");
    assert!(block.chars().all(|c| matches!(c, '\n' | '\t') || !(c.is_control() || is_invisible(c))), "{block:?}");
    assert!(block.len() < 1000 + 1000, "{}", block.len());
    let once = cleaned(words, usize::MAX / 16);
    assert_eq!(cleaned(&once, usize::MAX / 16), once);

    if let Ok(report) = report::parse(words) {
        assert!((0.0..=1.0).contains(&report.confidence));
        assert!(report.evidence.len() <= 20 && report.plan.len() <= 20 && report.cause.len() < 4100);
        assert!(report.evidence.iter().all(|place| !place.file.starts_with('/') && !place.file.contains("..//")));
        assert!(report.evidence.iter().all(|place| place.file.split('/').all(|part| part != "..")));
    }
});
