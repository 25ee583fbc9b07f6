//! Which model answers a message that names none.

use super::error::ConfigProblem;
use super::keys::{Key, Owner};
use super::kinds::{Model, Optional, Project, Text, TierWord, Whole};
use super::section::{Reader, Setting, section};
use crate::model::routing::{self, Route, Tier};

section! {
    /// Which model answers a message that names none.
    #[derive(Clone, Debug)]
    pub struct Models {
        tiers: Tiers, "Models by what they are good for";
        routes: Vec<RouteEntry>, "Rules, the first that fits a message decides; without one it is opencode.default_model";
    }
}

section! {
    /// Models by what they are good for.
    #[derive(Clone, Debug, Default)]
    pub struct Tiers {
        fast: Optional<Model>, "Short answers, soon and cheap";
        voice: Optional<Model>, "Answers that are read aloud";
        code: Optional<Model>, "Changes to code";
        agentic: Optional<Model>, "Long work with many tools";
    }
}

section! {
    for Route {
        project: Optional<Project>, "Messages to frames of this project";
        agent: Optional<Text>, "Messages for this agent of opencode; a pattern";
        text: Optional<Text>, "Messages with such words; a pattern such as *commit message*";
        longer_than: Optional<Whole<1, 1_048_576, u64>>, "Messages of more characters";
        shorter_than: Optional<Whole<1, 1_048_576, u64>>, "Messages of fewer characters";
        budget_below: Optional<Whole<1, 100>>, "When less of some budget is left, in percent";
        tier: Optional<TierWord>, "To the model of this tier";
        model: Optional<Model>, "To this model";
    }
}

impl Tiers {
    /// Those that have a model.
    #[must_use]
    pub fn known(&self) -> routing::Tiers {
        let all = [
            (Tier::Fast, &self.fast),
            (Tier::Voice, &self.voice),
            (Tier::Code, &self.code),
            (Tier::Agentic, &self.agentic),
        ];
        all.into_iter().filter_map(|(tier, model)| Some((tier, model.clone()?))).collect()
    }
}

/// A rule that leads somewhere.
pub struct RouteEntry;

impl Setting for RouteEntry {
    type Value = Route;

    fn keys(path: &str, about: &'static str, owner: Option<Owner>, table: &mut Vec<Key>) {
        Route::keys(path, about, owner, table);
    }

    fn read(at: &Reader<'_>) -> Result<Route, ConfigProblem> {
        let route = Route::read(at)?;
        match (route.tier, &route.model) {
            (Some(_), Some(_)) => Err(at.at("model").invalid("excludes `tier`: a rule leads to one of them")),
            (None, None) => Err(at.invalid("leads nowhere: it needs `tier` or `model`")),
            _ => Ok(route),
        }
    }
}
