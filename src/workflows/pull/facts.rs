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
    /// What of it there is more of than is read: what is listed here may be nothing of it.
    pub too_much: Option<String>,
    /// Who said something of whom the forge does not tell what they may do, and why.
    pub untold: Option<(String, String)>,
    /// The name that we have there; empty when nobody says so.
    pub own: String,
    /// Who closed what somebody else had opened; none where the forge does not tell.
    pub closed_by: Option<String>,
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
    let own = match &memory.own {
        Some(own) => own.clone(),
        None => forge.login().await?.unwrap_or_default(),
    };
    let mut facts = PullFacts { checks_of: pull.head_sha.clone(), own, pull, ..PullFacts::default() };
    if facts.pull.state == OpenState::Closed {
        let author = facts.pull.author.clone();
        if !facts.pull.merged && memory.is_of_another(&facts.own, &author) {
            // Whether it was theirs to close. Where nothing is told, it was not.
            facts.closed_by = forge.closed_by(number).await?;
            let permission = match forge.permission(&author).await {
                Err(ForgeError::Auth(_) | ForgeError::NotFound(_)) => Permission::None,
                other => other?,
            };
            facts.permissions.insert(name(&author), permission);
        }
        return Ok(facts);
    }
    if forge.kind() == ForgeKind::Gitea && facts.pull.is_draft && facts.pull.mergeable == Some(false) {
        // It says so of every draft.
        facts.pull.mergeable = None;
    }
    facts.checks = forge.checks(&facts.checks_of, &facts.pull.head_ref).await?;
    facts.reviews = unless_too_much(forge.reviews(number).await, &mut facts.too_much)?.unwrap_or_default();
    facts.comments = unless_too_much(forge.comments(number).await, &mut facts.too_much)?.unwrap_or_default();
    let all = to_ask(&facts, memory, answered, now);
    facts.is_unasked = all.len() > MOST_ASKED;
    for author in all.into_iter().take(MOST_ASKED) {
        let permission = match forge.permission(&author).await {
            Err(ForgeError::NotFound(_)) => Permission::None,
            // Another one may be told of. Where the credential is no good at all, the next call says so.
            Err(ForgeError::Auth(why)) => {
                facts.untold.get_or_insert((author, why));
                continue;
            }
            other => other?,
        };
        facts.permissions.insert(name(&author), permission);
    }
    if wants_change {
        // What is too much to be read is too much to be merged unseen.
        facts.change = unless_too_much(forge.changed_files(number).await, &mut None)?;
        // The files are those of the commit that is judged.
        if forge.pull(number).await?.head_sha != facts.pull.head_sha {
            return Err(ForgeError::Transient("it changed while it was looked at".to_owned()));
        }
    }
    Ok(facts)
}

/// None, and what it was, when there is more than is read: a fact like others.
fn unless_too_much<T>(
    read: Result<T, ForgeError>,
    too_much: &mut Option<String>,
) -> Result<Option<T>, ForgeError> {
    match read {
        Err(error @ ForgeError::TooMuch(_)) => {
            too_much.get_or_insert_with(|| error.to_string());
            Ok(None)
        }
        read => read.map(Some),
    }
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
