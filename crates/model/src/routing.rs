//! Which model answers a message that names none: rules of the owner, the first that fits decides. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use wildmatch::WildMatch;

use super::agent::ModelRef;
use super::names::ProjectName;

/// What a model is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[derive(strum::Display, strum::EnumString, strum::IntoStaticStr, strum::VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum Tier {
    /// Short answers, soon and cheap.
    Fast,
    /// Answers that are read aloud.
    Voice,
    /// Changes to code.
    Code,
    /// Long work with many tools.
    Agentic,
}

/// The models of tiers.
pub type Tiers = BTreeMap<Tier, ModelRef>;

/// A rule. What it does not say fits every message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// Messages to frames of this project.
    pub project: Option<ProjectName>,
    /// For this agent of opencode; `*` stands for any text and `?` for one character.
    pub agent: Option<String>,
    /// Messages with such words, in capitals or not; `*` and `?` as above.
    pub text: Option<String>,
    /// Messages of more characters.
    pub longer_than: Option<u64>,
    /// Messages of fewer characters.
    pub shorter_than: Option<u64>,
    /// Messages of which some budget has less left, in percent.
    pub budget_below: Option<u32>,
    /// To the model of that tier
    pub tier: Option<Tier>,
    /// or to that model.
    pub model: Option<ModelRef>,
}

/// What is known of a message when its turn comes.
#[derive(Clone, Debug)]
pub struct Unrouted<'a> {
    /// The frame's project.
    pub project: Option<&'a ProjectName>,
    /// For which of opencode's agents.
    pub agent: &'a str,
    /// Its words.
    pub text: &'a str,
    /// What is left of the budget that is nearest to its end, in percent; none without budgets.
    pub budget_left: Option<u32>,
    /// Providers that the frame may use.
    pub providers: &'a BTreeSet<String>,
}

/// What was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routed {
    /// Which model.
    pub model: ModelRef,
    /// By which rule, for people.
    pub why: String,
}

/// The model of the first rule that fits. A rule whose provider the frame may not use fits no message.
#[must_use]
pub fn route(routes: &[Route], tiers: &Tiers, message: &Unrouted<'_>) -> Option<Routed> {
    routes.iter().enumerate().find_map(|(n, route)| {
        let model = route.target(tiers)?;
        let fits = message.providers.contains(&model.provider) && route.fits(message);
        fits.then(|| Routed {
            model: model.clone(),
            why: format!("rule {} of models.routes: {}", n + 1, route.line()),
        })
    })
}

impl Route {
    /// The model that it leads to; none when nobody says which the tier's is.
    #[must_use]
    pub fn target<'a>(&'a self, tiers: &'a Tiers) -> Option<&'a ModelRef> {
        self.model.as_ref().or_else(|| tiers.get(self.tier.as_ref()?))
    }

    /// In words.
    #[must_use]
    pub fn line(&self) -> String {
        let mut when = Vec::new();
        when.extend(self.project.as_ref().map(|project| format!("project {project}")));
        when.extend(self.agent.as_ref().map(|agent| format!("agent {agent}")));
        when.extend(self.text.as_ref().map(|text| format!("text {text}")));
        when.extend(self.longer_than.map(|length| format!("longer than {length} characters")));
        when.extend(self.shorter_than.map(|length| format!("shorter than {length} characters")));
        when.extend(self.budget_below.map(|percent| format!("less than {percent} % of a budget left")));
        let when = if when.is_empty() { "every message".to_owned() } else { when.join(", ") };
        match (self.tier, &self.model) {
            (Some(tier), _) => format!("{when}: tier {tier}"),
            (None, Some(model)) => format!("{when}: {model}"),
            (None, None) => when,
        }
    }

    fn fits(&self, message: &Unrouted<'_>) -> bool {
        let like =
            |pattern: &str, text: &str| WildMatch::new(&pattern.to_lowercase()).matches(&text.to_lowercase());
        let length = || u64::try_from(message.text.chars().count()).unwrap_or(u64::MAX);
        self.project.as_ref().is_none_or(|project| message.project == Some(project))
            && self.agent.as_ref().is_none_or(|agent| like(agent, message.agent))
            && self.longer_than.is_none_or(|limit| length() > limit)
            && self.shorter_than.is_none_or(|limit| length() < limit)
            && self.budget_below.is_none_or(|percent| message.budget_left.is_some_and(|left| left < percent))
            && self.text.as_ref().is_none_or(|pattern| like(pattern, message.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(text: &str) -> ModelRef {
        text.parse().expect("a model")
    }

    fn to(name: &str) -> Route {
        Route { model: Some(model(name)), ..Route::default() }
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let shop = ProjectName::parse("shop").expect("a name");
        let tiers: Tiers = [(Tier::Fast, model("a/fast"))].into();
        let routes = [
            Route { budget_below: Some(10), ..to("a/cheap") },
            Route { agent: Some("pl?n".to_owned()), ..to("a/planner") },
            Route { text: Some("*commit message*".to_owned()), tier: Some(Tier::Fast), ..Route::default() },
            Route { project: Some(shop.clone()), longer_than: Some(10), ..to("a/long") },
            Route { shorter_than: Some(6), tier: Some(Tier::Voice), ..Route::default() },
            Route { shorter_than: Some(6), ..to("other/short") },
        ];
        let providers = BTreeSet::from(["a".to_owned()]);
        let said = |project: Option<&ProjectName>, agent: &str, text: &str, budget_left| {
            let message = Unrouted { project, agent, text, budget_left, providers: &providers };
            route(&routes, &tiers, &message).map(|routed| routed.model.to_string())
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(said(None, "plan", "x", Some(9)), some("a/cheap"));
        assert_eq!(said(None, "Plan", "x", Some(10)), some("a/planner"));
        assert_eq!(said(None, "build", "Write a COMMIT message, please", None), some("a/fast"));
        assert_eq!(said(Some(&shop), "build", "12345678901", None), some("a/long"));
        assert_eq!(said(Some(&shop), "build", "1234567890", None), None, "it is not longer");
        assert_eq!(said(None, "build", "12345678901", None), None, "of another project");
        assert_eq!(said(None, "build", "hi", None), None, "no such tier, and a provider that is not granted");
        let with_other = BTreeSet::from(["a".to_owned(), "other".to_owned()]);
        let message = Unrouted {
            project: None,
            agent: "build",
            text: "äöüäö",
            budget_left: None,
            providers: &with_other,
        };
        let routed = route(&routes, &tiers, &message).expect("five characters are few");
        assert_eq!(routed.model, model("other/short"));
        assert_eq!(routed.why, "rule 6 of models.routes: shorter than 6 characters: other/short");
    }

    #[test]
    fn a_rule_says_when_and_where_to() {
        let rule = Route { agent: Some("plan".to_owned()), budget_below: Some(20), ..to("a/b") };
        assert_eq!(rule.line(), "agent plan, less than 20 % of a budget left: a/b");
        assert_eq!(Route { tier: Some(Tier::Code), ..Route::default() }.line(), "every message: tier code");
    }
}
