//! Sums over model calls, kept so that each look reads only what is new.

use std::collections::BTreeMap;

use crate::store::usage::{OfModel, Sum};

/// What models were used for, as far as it was read.
#[derive(Debug, Default)]
pub struct Used {
    /// The newest model call that is in it.
    pub after: u64,
    /// By provider and model.
    pub sums: BTreeMap<(String, String), Sum>,
}

impl Used {
    /// Adds what came after it, up to the call `newest`.
    pub fn add(&mut self, news: Vec<OfModel>, newest: u64) {
        for OfModel { provider, model, sum } in news {
            let known = self.sums.entry((provider, model)).or_default();
            known.calls += sum.calls;
            known.unpriced += sum.unpriced;
            known.cost_microusd += sum.cost_microusd;
            known.tokens.input += sum.tokens.input;
            known.tokens.output += sum.tokens.output;
            known.tokens.reasoning += sum.tokens.reasoning;
            known.tokens.cache_read += sum.tokens.cache_read;
            known.tokens.cache_write += sum.tokens.cache_write;
        }
        self.after = newest;
    }
}
