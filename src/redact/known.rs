//! The secrets that a gateway knows, as they are now.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;

use super::Secrets;
use crate::model::secret::Secret;

/// All of them, from whoever knows some. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Known(Arc<RwLock<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    of: BTreeMap<&'static str, Vec<Secret>>,
    all: Secrets,
}

impl Known {
    /// `who` knows these now, and none of those that it named before.
    pub fn set(&self, who: &'static str, secrets: Vec<Secret>) {
        let mut inner = self.0.write();
        if inner.of.get(who) == Some(&secrets) {
            return;
        }
        inner.of.insert(who, secrets);
        inner.all = Secrets::new(inner.of.values().flatten());
    }

    /// All of them, as they are at this moment.
    #[must_use]
    pub fn now(&self) -> Secrets {
        self.0.read().all.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_everybody_knows_is_looked_for_until_it_is_no_secret_any_more() {
        let known = Known::default();
        let other = known.clone();
        known.set("models", vec![Secret::new("sk-one-1234")]);
        known.set("secrets", vec![Secret::new("gh-two-5678")]);
        assert_eq!(other.now().out_of("sk-one-1234 gh-two-5678"), "[redacted] [redacted]");
        known.set("secrets", Vec::new());
        assert_eq!(other.now().out_of("sk-one-1234 gh-two-5678"), "[redacted] gh-two-5678");
    }
}
