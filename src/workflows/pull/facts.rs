//! What the forge says of a pull request at one look: its truth, whatever messages came or were lost.

use std::collections::{BTreeMap, BTreeSet};

use super::memory::Memory;
use super::speakers::{is_ours, key, name};
use crate::forge::{Forge, ForgeError};
use crate::model::forge::{
    ChangedFile, Checks, Comment, OpenState, Permission, PullRequest, Review, ReviewState,
};
use crate::model::git::ForgeKind;

/// So many people are asked about at one look; the others at the next.
const MOST_ASKED: usize = 50;

/// What the forge says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PullFacts {
    /// The pull request.
    pub pull: PullRequest,
    /// The commit whose checks these are.
    pub checks_of: String,
    /// Its checks.
    pub checks: Checks,
    /// What reviewers said of it as a whole.
    pub reviews: Vec<Review>,
    /// What was said.
    pub comments: Vec<Comment>,
    /// What the forge says that people may do, by name in small letters. Who is not in it may nothing.
    pub permissions: BTreeMap<String, Permission>,
    /// Whether somebody was not asked about yet who said something: nothing that hangs on it is done.
    pub is_unasked: bool,
    /// The name that we have there.
    pub own: String,
    /// What it changes; none when nobody asked.
    pub change: Option<Vec<ChangedFile>>,
    /// How its matter was settled elsewhere, in a sentence.
    pub settled: Option<String>,
}

impl PullFacts {
    /// Whether somebody may push to the repository, as the forge says now.
    #[must_use]
    pub fn may_write(&self, author: &str) -> bool {
        self.permissions.get(&name(author)).is_some_and(|permission| *permission >= Permission::Write)
    }
}

/// Asks the forge. `wants_change`: also what the pull request changes.
///
/// # Errors
/// See [`ForgeError`].
pub async fn look(
    forge: &Forge,
    number: u64,
    memory: &Memory,
    answered: &[String],
    wants_change: bool,
    now: u64,
) -> Result<PullFacts, ForgeError> {
    let pull = forge.pull(number).await?;
    let own = memory.own.clone().unwrap_or_else(|| pull.author.clone());
    let mut facts = PullFacts { checks_of: pull.head_sha.clone(), own, pull, ..PullFacts::default() };
    if facts.pull.state == OpenState::Closed {
        return Ok(facts);
    }
    if forge.kind() == ForgeKind::Gitea && facts.pull.is_draft && facts.pull.mergeable == Some(false) {
        // It says so of every draft.
        facts.pull.mergeable = None;
    }
    facts.checks = forge.checks(&facts.checks_of).await?;
    facts.reviews = forge.reviews(number).await?;
    facts.comments = forge.comments(number).await?;
    let all = to_ask(&facts, memory, answered, now);
    facts.is_unasked = all.len() > MOST_ASKED;
    for author in all.into_iter().take(MOST_ASKED) {
        let permission = match forge.permission(&author).await {
            Err(ForgeError::NotFound(_)) => Permission::None,
            other => other?,
        };
        facts.permissions.insert(name(&author), permission);
    }
    if wants_change {
        facts.change = Some(forge.changed_files(number).await?);
        // The files are those of the commit that is judged.
        if forge.pull(number).await?.head_sha != facts.pull.head_sha {
            return Err(ForgeError::Transient("it changed while it was looked at".to_owned()));
        }
    }
    Ok(facts)
}

/// Whose rights matter: who says something that nobody has answered, and who judges. Strangers are not asked about at
/// every look. Those whose word stops something come first.
fn to_ask(facts: &PullFacts, memory: &Memory, answered: &[String], now: u64) -> Vec<String> {
    let said = facts
        .comments
        .iter()
        .filter(|comment| {
            !comment.is_bot && !is_ours(&facts.own, comment) && !answered.contains(&key(comment))
        })
        .map(|comment| &comment.author);
    let judged = facts
        .reviews
        .iter()
        .filter(|review| matches!(review.state, ReviewState::Approved | ReviewState::ChangesRequested))
        .map(|review| &review.author);
    let mut seen = BTreeSet::new();
    let heard = memory.heard.values().filter(|heard| !heard.is_bot).map(|heard| &heard.author);
    judged
        .chain(heard)
        .chain(said)
        .filter(|author| !author.is_empty() && seen.insert(name(author)) && !memory.is_stranger(author, now))
        .cloned()
        .collect()
}
