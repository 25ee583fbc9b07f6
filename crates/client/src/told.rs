//! Who did something, for whoever reads it on this machine.

use std::sync::atomic::{AtomicBool, Ordering};

use mimir_model::principal::told_to;

/// Whether the gateway is elsewhere: its owner has the number of a user there, whoever that number is here.
static IS_ELSEWHERE: AtomicBool = AtomicBool::new(false);

/// From now on sentences are of a gateway elsewhere, if so.
pub fn hears_from_elsewhere(is_elsewhere: bool) {
    IS_ELSEWHERE.store(is_elsewhere, Ordering::Relaxed);
}

/// A sentence of the gateway about who did something: whoever reads it is `you`, if the gateway is here.
#[must_use]
pub fn told(text: &str) -> String {
    told_by(IS_ELSEWHERE.load(Ordering::Relaxed), rustix::process::geteuid().as_raw(), text)
}

fn told_by(is_elsewhere: bool, uid: u32, text: &str) -> String {
    if is_elsewhere { text.to_owned() } else { told_to(uid, text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_of_a_gateway_elsewhere_is_not_whoever_has_that_number_here() {
        assert_eq!(told_by(false, 7, "denied by owner:7"), "denied by you");
        assert_eq!(told_by(true, 7, "denied by owner:7"), "denied by owner:7");
    }
}
