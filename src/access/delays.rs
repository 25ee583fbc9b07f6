//! How long somebody waits who may be guessing the password.
//!
//! Nobody is locked out. Wrong attempts of an address slow that address down, never for longer than half a minute.
//! Addresses that nobody came in from lately share one budget, so that very many of them guess no faster; whoever came in
//! before, and this machine, do not need it. The Unix socket and links of `mimir web` know no delay at all.

use std::collections::HashMap;
use std::net::IpAddr;

use parking_lot::Mutex;

use super::neighbourhood;

/// So many wrong attempts of one address cost nothing but themselves.
const FREE: u32 = 3;
/// Then each costs twice as much as the one before,
const FIRST_MS: u64 = 1_000;
/// up to this.
const LONGEST_MS: u64 = 30_000;
/// Wrong attempts are forgotten after this time without any.
const FORGOTTEN_MS: u64 = 15 * 60_000;
/// So many attempts a minute of all strangers together are looked at.
const OF_STRANGERS: u32 = 30;
const MINUTE_MS: u64 = 60_000;
/// With a right password so many wrong codes in a row cost nothing more.
const FREE_CODES: u32 = 5;
/// Then no code of the app is taken for a while, which grows up to this.
const LONGEST_CODES_MS: u64 = 15 * 60_000;

/// Who tried how often.
#[derive(Default)]
pub(super) struct Delays {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    tries: HashMap<IpAddr, Tries>,
    minute_since_ms: u64,
    of_strangers: u32,
    wrong_codes: u32,
    no_codes_until_ms: u64,
}

struct Tries {
    wrong: u32,
    last_ms: u64,
}

impl Delays {
    /// Lets an attempt be looked at, which counts as a wrong one until [`Delays::forgive`]; else says for how many
    /// seconds to wait. That many come at once makes no difference.
    pub(super) fn begin(&self, from: IpAddr, is_known: bool, now_ms: u64) -> Result<(), u64> {
        let mut state = self.state.lock();
        let state = &mut *state;
        let key = neighbourhood(from);
        state.tries.retain(|_, tries| {
            // When the clock was set back, it was just now.
            tries.last_ms = tries.last_ms.min(now_ms);
            now_ms - tries.last_ms < FORGOTTEN_MS
        });
        let tried = state.tries.get(&key);
        let left = tried.map_or(0, |tries| (tries.last_ms + wait_ms(tries.wrong)).saturating_sub(now_ms));
        if left > 0 {
            return Err(seconds(left));
        }
        if !is_known && !from.to_canonical().is_loopback() {
            if now_ms.abs_diff(state.minute_since_ms) >= MINUTE_MS {
                (state.minute_since_ms, state.of_strangers) = (now_ms, 0);
            }
            if state.of_strangers >= OF_STRANGERS {
                return Err(seconds((state.minute_since_ms + MINUTE_MS).saturating_sub(now_ms)));
            }
            state.of_strangers += 1;
        }
        // There are no more of them than attempts that are looked at within the time in which they are forgotten.
        let tries = state.tries.entry(key).or_insert(Tries { wrong: 0, last_ms: now_ms });
        tries.wrong = tries.wrong.saturating_add(1);
        tries.last_ms = now_ms;
        Ok(())
    }

    /// Whoever is there came in.
    pub(super) fn forgive(&self, from: IpAddr) {
        let mut state = self.state.lock();
        state.tries.remove(&neighbourhood(from));
        (state.wrong_codes, state.no_codes_until_ms) = (0, 0);
    }

    /// What `fresh` finds, if codes of the app are taken now; when it finds none, that was a wrong code. One that is not
    /// looked at tells whoever guesses nothing, so it makes the owner's wait no longer.
    pub(super) fn step_if_taken(&self, now_ms: u64, fresh: impl FnOnce() -> Option<u64>) -> Option<u64> {
        if !self.takes_codes(now_ms) {
            return None;
        }
        let step = fresh();
        if step.is_none() {
            self.note_wrong_code(now_ms);
        }
        step
    }

    /// Whether codes of the app are taken now. Recovery codes always are: nobody guesses those.
    fn takes_codes(&self, now_ms: u64) -> bool {
        let left = self.state.lock().no_codes_until_ms.saturating_sub(now_ms);
        left == 0 || left > LONGEST_CODES_MS
    }

    /// Somebody knew the password, and not the code.
    fn note_wrong_code(&self, now_ms: u64) {
        let mut state = self.state.lock();
        state.wrong_codes = state.wrong_codes.saturating_add(1);
        if let Some(beyond) = state.wrong_codes.checked_sub(FREE_CODES) {
            let pause = MINUTE_MS.saturating_mul(1 << beyond.min(10)).min(LONGEST_CODES_MS);
            state.no_codes_until_ms = now_ms + pause;
        }
    }
}

/// How long after so many wrong attempts the next one waits.
fn wait_ms(wrong: u32) -> u64 {
    match wrong.checked_sub(FREE) {
        Some(beyond) => FIRST_MS.saturating_mul(1 << beyond.min(10)).min(LONGEST_MS),
        None => 0,
    }
}

fn seconds(ms: u64) -> u64 {
    ms.div_ceil(1000).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000_000_000;

    fn address(n: u32) -> IpAddr {
        IpAddr::from((0x0a00_0000 + n).to_be_bytes())
    }

    #[test]
    fn wrong_attempts_slow_their_own_address_down_and_never_for_long() {
        let delays = Delays::default();
        let (here, elsewhere) = (address(1), address(2));
        for _ in 0..FREE {
            assert_eq!(delays.begin(here, false, NOW), Ok(()));
        }
        assert_eq!(delays.begin(here, false, NOW), Err(1));
        assert_eq!(delays.begin(elsewhere, false, NOW), Ok(()), "the neighbour waits for nobody");
        let mut now = NOW;
        let mut waits = Vec::new();
        for _ in 0..8 {
            let Err(wait) = delays.begin(here, false, now) else { panic!("it waits") };
            waits.push(wait);
            now += wait * 1000;
            assert_eq!(delays.begin(here, false, now), Ok(()), "it is looked at after its wait");
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30, 30]);
        // What is refused for its haste makes no wait longer.
        for _ in 0..100 {
            assert_eq!(delays.begin(here, false, now), Err(30));
        }
        delays.forgive(here);
        assert_eq!(delays.begin(here, false, now), Ok(()), "whoever comes in begins anew");
        assert_eq!(delays.begin(elsewhere, false, 0), Ok(()), "the clock was set back");
    }

    #[test]
    fn very_many_addresses_guess_no_faster_and_shut_nobody_out_who_was_here() {
        let delays = Delays::default();
        let looked_at = (0..10_000).filter(|n| delays.begin(address(*n), false, NOW).is_ok()).count();
        assert_eq!(looked_at, OF_STRANGERS as usize);
        assert!(delays.state.lock().tries.len() <= OF_STRANGERS as usize, "memory has an end");
        assert_eq!(delays.begin(address(20_000), false, NOW), Err(60), "a stranger waits");
        assert_eq!(delays.begin(address(20_000), true, NOW), Ok(()), "who was here does not");
        assert_eq!(delays.begin("127.0.0.1".parse().expect("an address"), false, NOW), Ok(()));
        assert_eq!(delays.begin(address(20_001), false, NOW + MINUTE_MS), Ok(()), "a new minute");
    }

    #[test]
    fn a_program_of_this_machine_guesses_no_faster_from_many_addresses() {
        let delays = Delays::default();
        let here = |n: u32| IpAddr::from((0x7f00_0001 + n).to_be_bytes());
        let looked_at = (0..10_000).filter(|n| delays.begin(here(*n), false, NOW).is_ok()).count();
        assert_eq!(looked_at, FREE as usize);
        assert_eq!(delays.begin("::1".parse().expect("an address"), false, NOW), Err(1));
        assert_eq!(delays.state.lock().tries.len(), 1, "memory has an end");
        delays.forgive(here(7));
        assert_eq!(delays.begin(here(0), false, NOW), Ok(()));
    }

    #[test]
    fn a_code_that_is_not_looked_at_makes_no_wait_longer() {
        let delays = Delays::default();
        for _ in 0..FREE_CODES {
            assert_eq!(delays.step_if_taken(NOW, || None), None);
        }
        for _ in 0..20 {
            assert_eq!(delays.step_if_taken(NOW + 59_999, || Some(7)), None, "none is taken now");
        }
        assert_eq!(delays.step_if_taken(NOW + 60_000, || Some(7)), Some(7), "the owner's, after its minute");
        assert_eq!(delays.step_if_taken(NOW + 60_000, || None), None, "one guess");
        assert!(!delays.takes_codes(NOW + 179_999) && delays.takes_codes(NOW + 180_000), "then two minutes");
    }

    #[test]
    fn codes_are_not_guessed_by_whoever_knows_the_password() {
        let delays = Delays::default();
        for _ in 0..FREE_CODES - 1 {
            delays.note_wrong_code(NOW);
        }
        assert!(delays.takes_codes(NOW));
        delays.note_wrong_code(NOW);
        assert!(!delays.takes_codes(NOW + 59_999) && delays.takes_codes(NOW + 60_000));
        for _ in 0..20 {
            delays.note_wrong_code(NOW);
        }
        assert!(
            !delays.takes_codes(NOW + LONGEST_CODES_MS - 1) && delays.takes_codes(NOW + LONGEST_CODES_MS)
        );
        delays.forgive(address(1));
        assert!(delays.takes_codes(NOW));
    }
}
