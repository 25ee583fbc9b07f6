//! What reviewers say of a pull request as a whole: who is for it as it is now, who is against it.

use std::collections::BTreeMap;

use super::facts::PullFacts;
use super::hearing::is_listed;
use super::settings::FollowSettings;
use super::speakers::name;
use crate::model::forge::{Review, ReviewState};

/// The last word of everybody who may write and did not make it. Programs have none.
fn last_words<'a>(facts: &'a PullFacts, settings: &FollowSettings) -> BTreeMap<String, &'a Review> {
    let is_program = |author: &str| is_listed(settings, author) || author.ends_with("[bot]");
    let made_it = |author: &str| [&facts.own, &facts.pull.author].iter().any(|own| name(own) == name(author));
    let mut reviews: Vec<&Review> = facts
        .reviews
        .iter()
        .filter(|review| {
            matches!(
                review.state,
                ReviewState::Approved | ReviewState::ChangesRequested | ReviewState::Dismissed
            )
        })
        .filter(|review| !is_program(&review.author) && !made_it(&review.author))
        .filter(|review| facts.may_write(&review.author))
        .collect();
    reviews.sort_by_key(|review| (review.at, review.id));
    reviews.into_iter().map(|review| (name(&review.author), review)).collect()
}

/// Who said yes to exactly the newest commit.
#[must_use]
pub fn approvals(facts: &PullFacts, settings: &FollowSettings, requester: Option<&str>) -> Vec<String> {
    let is_requester = |author: &str| requester.is_some_and(|requester| name(requester) == name(author));
    last_words(facts, settings)
        .values()
        .filter(|review| review.state == ReviewState::Approved)
        .filter(|review| review.commit.eq_ignore_ascii_case(&facts.pull.head_sha))
        .filter(|review| !is_requester(&review.author))
        .map(|review| review.author.clone())
        .collect()
}

/// Who asked for changes and has not taken that back.
#[must_use]
pub fn blockers(facts: &PullFacts, settings: &FollowSettings) -> Vec<String> {
    let words = last_words(facts, settings);
    let against = words.values().filter(|review| review.state == ReviewState::ChangesRequested);
    against.map(|review| review.author.clone()).collect()
}
