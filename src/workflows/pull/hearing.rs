//! What is heard of a pull request's comments: by whom, as it was when it was seen first, each once.

use super::facts::PullFacts;
use super::memory::{Heard, Memory};
use super::settings::FollowSettings;
use super::speakers::{Command, is_ours, key, name};
use super::words::stripped;
use crate::model::forge::{Comment, CommentKind, Permission, ReviewState};

/// So much of a comment is read.
const LONGEST: usize = 1_000;

/// Notes what is new in these facts: the newest commit, who may not write, and what was said by those who have a say. What
/// was heard once stays as it was then, even if it is edited; what was taken away is forgotten.
pub fn take_in(
    memory: &mut Memory,
    facts: &PullFacts,
    settings: &FollowSettings,
    answered: &[String],
    now: u64,
) {
    if memory.head != facts.pull.head_sha {
        memory.head.clone_from(&facts.pull.head_sha);
        (memory.head_since, memory.merge_tries, memory.conflict_since) = (now, 0, None);
    }
    if facts.checks_of.eq_ignore_ascii_case(&facts.pull.head_sha) {
        memory.note_checks(&facts.checks, now);
    }
    if !facts.own.is_empty() {
        memory.own.get_or_insert_with(|| facts.own.clone());
    }
    let base = memory.base.get_or_insert_with(|| facts.pull.base_ref.clone()).clone();
    memory.opened_for.get_or_insert(base);
    if facts.pull.mergeable == Some(false) {
        memory.conflict_since.get_or_insert(now);
    } else {
        memory.conflict_since = None;
    }
    for (author, permission) in &facts.permissions {
        if *permission < Permission::Write {
            memory.note_stranger(author, now);
        }
    }
    let is_there = |wanted: &str| facts.comments.iter().any(|comment| key(comment) == wanted);
    // Of what was not read nobody knows whether it was taken away.
    let is_read = facts.too_much.is_none();
    memory.heard.retain(|key, _| !answered.contains(key) && (is_there(key) || !is_read));
    for comment in facts.comments.iter().filter(|comment| has_a_say(facts, settings, comment)) {
        let key = key(comment);
        let text = stripped(&comment.body);
        if answered.contains(&key) || memory.heard.contains_key(&key) || text.trim().is_empty() {
            continue;
        }
        let place = comment.path.as_ref().map(|path| match comment.line {
            Some(line) => format!("{path}:{line}"),
            None => path.clone(),
        });
        let heard = Heard {
            author: comment.author.clone(),
            is_bot: comment.is_bot,
            text: text.trim().chars().take(LONGEST).collect(),
            place,
            at: comment.at,
            since: now,
        };
        memory.heard.insert(key, heard);
    }
}

/// Whether somebody may be heard: people who may write, as the forge says now, and programs that the workflow lists. The
/// text of a review that approves asks for nothing.
fn has_a_say(facts: &PullFacts, settings: &FollowSettings, comment: &Comment) -> bool {
    if is_ours(&facts.own, comment) || is_of_a_yes(facts, comment) {
        return false;
    }
    match comment.is_bot {
        true => is_listed(settings, &comment.author),
        false => facts.may_write(&comment.author),
    }
}

/// Whether the workflow lists that program.
pub fn is_listed(settings: &FollowSettings, author: &str) -> bool {
    settings.bots.iter().any(|bot| name(bot) == name(author))
}

fn is_of_a_yes(facts: &PullFacts, comment: &Comment) -> bool {
    let is_yes =
        |state| matches!(state, ReviewState::Approved | ReviewState::Dismissed | ReviewState::Pending);
    comment.kind == CommentKind::Review
        && facts.reviews.iter().any(|review| review.id == comment.id && is_yes(review.state))
}

/// What was heard of those who still have a say, in the order in which it was said.
#[must_use]
pub fn open<'a>(
    memory: &'a Memory,
    facts: &PullFacts,
    settings: &FollowSettings,
    answered: &[String],
) -> Vec<(&'a String, &'a Heard)> {
    let still = |heard: &Heard| match heard.is_bot {
        true => is_listed(settings, &heard.author),
        false => facts.may_write(&heard.author),
    };
    let mut open: Vec<_> =
        memory.heard.iter().filter(|(key, heard)| !answered.contains(key) && still(heard)).collect();
    open.sort_by(|a, b| (a.1.at, a.0).cmp(&(b.1.at, b.0)));
    open
}

/// The command in it; programs have none.
#[must_use]
pub fn command(heard: &Heard) -> Option<Command> {
    (!heard.is_bot).then(|| Command::of(&heard.text)).flatten()
}
