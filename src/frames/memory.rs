//! The machine's memory, as far as frames that nobody needs yet take some of it.

use std::path::Path;

/// What an agent takes that does nothing, and some more.
const ROOM: u64 = 512 << 20;
/// So much, or a tenth of the machine's memory if that is more, stays free besides.
const KEEP_FREE: u64 = 1 << 30;

/// How much the machine has to spare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spare {
    /// Enough for one more frame.
    ForOneMore,
    /// Enough for those that there are; also where nobody knows.
    ForThese,
    /// So little that one has to go: half of what should stay free is taken.
    TooLittle,
}

/// What the machine has to spare now. `meminfo` is the kernel's file of that name.
pub(super) fn spare(meminfo: &Path) -> Spare {
    judge(&std::fs::read_to_string(meminfo).unwrap_or_default())
}

fn judge(meminfo: &str) -> Spare {
    let bytes = |key: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim_start_matches(':').split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib << 10)
    };
    let (Some(total), Some(available)) = (bytes("MemTotal"), bytes("MemAvailable")) else {
        return Spare::ForThese;
    };
    let keep_free = KEEP_FREE.max(total / 10);
    if available >= ROOM + keep_free {
        Spare::ForOneMore
    } else if available < keep_free / 2 {
        Spare::TooLittle
    } else {
        Spare::ForThese
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_is_made_where_memory_is_short_or_nobody_knows() {
        let machine = |total: u64, free: u64| {
            judge(&format!("MemTotal: {total} kB\nMemFree: 1 kB\nMemAvailable: {free} kB\n"))
        };
        let gib = 1 << 20;
        assert_eq!(machine(8 * gib, 2 * gib), Spare::ForOneMore);
        assert_eq!(machine(8 * gib, gib), Spare::ForThese, "one and a half are asked for");
        assert_eq!(machine(8 * gib, gib / 4), Spare::TooLittle);
        assert_eq!(machine(64 * gib, 6 * gib), Spare::ForThese, "a tenth of a large machine stays free");
        assert_eq!(machine(64 * gib, 8 * gib), Spare::ForOneMore);
        assert_eq!(machine(64 * gib, 3 * gib), Spare::TooLittle);
        assert_eq!((judge(""), judge("MemTotal: 1 kB\n")), (Spare::ForThese, Spare::ForThese));
    }
}
