//! Who did something, for whoever looks at this screen.

use mimir_model::principal::told_to;

/// A sentence of the gateway about who did something: whoever looks is `you`.
pub fn told(text: &str) -> String {
    told_to(rustix::process::geteuid().as_raw(), text)
}
