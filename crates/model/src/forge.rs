//! What forges have besides git: pull requests and what is said about them, checks, issues, and who may do what.
//!
//! Times are UTC milliseconds. What a forge leaves out is absent or empty here; what it says in its own words and mimir
//! does not know stays `Unknown`, which nobody may take for a yes.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What is hidden at the end of a comment, so that it is found again: `<!-- mimir:run-7/answer-12 -->`.
#[must_use]
pub fn marker(name: &str) -> String {
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '/' | '.' | ':' | '=');
    let mut name: Vec<char> = name.chars().filter(is_plain).collect();
    // Two dashes would end the comment that it is hidden in.
    name.dedup_by(|next, before| *next == '-' && *before == '-');
    format!("<!-- mimir:{} -->", name.iter().collect::<String>())
}

/// An app of GitHub's that acts for the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct App {
    /// Its id, or its client id.
    pub id: String,
    /// Where its private key is (PEM).
    pub key_file: PathBuf,
    /// The number of the installation; else it is looked up for each repository.
    pub installation: Option<u64>,
}

/// A repository, as its forge describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryInfo {
    /// `owner/name`, as it is called now.
    pub path: String,
    /// The branch that pull requests go to unless they say another.
    pub default_branch: String,
    /// Whether only some may see it.
    pub is_private: bool,
    /// Whether nothing can be changed there any more.
    pub is_archived: bool,
    /// How pull requests may be merged there.
    pub merge_methods: Vec<MergeMethod>,
    /// What the holder of the credential may do there.
    pub permission: Permission,
}

/// How a pull request is merged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[derive(strum::Display, strum::EnumIter, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum MergeMethod {
    /// With a merge commit.
    Merge,
    /// As one commit.
    #[default]
    Squash,
    /// Its commits one after the other.
    Rebase,
}

impl MergeMethod {
    /// The word that forges have for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// What somebody may do with a repository. Each includes those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[derive(strum::Display, strum::EnumIter, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Permission {
    /// Nothing, or what everybody may.
    #[default]
    None,
    /// Read it.
    Read,
    /// Push to it, and merge.
    Write,
    /// Everything.
    Admin,
}

impl Permission {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Whether a pull request or an issue is still open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[derive(strum::Display, strum::EnumIter, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum OpenState {
    /// It is.
    #[default]
    Open,
    /// It is not; of a pull request `merged` says how it ended.
    Closed,
}

/// A pull request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRequest {
    /// Its number in the repository.
    pub number: u64,
    /// Where people look at it.
    pub url: String,
    /// The id of its newest commit.
    pub head_sha: String,
    /// The branch that it comes from, without `refs/heads/`.
    pub head_ref: String,
    /// The repository (`owner/name`) of that branch; absent when that is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_repository: Option<String>,
    /// The branch that it goes to.
    pub base_ref: String,
    /// What that branch was when the forge looked.
    pub base_sha: String,
    /// Whether it is open.
    pub state: OpenState,
    /// Whether it says that it is not done.
    pub is_draft: bool,
    /// Whether it was merged.
    pub merged: bool,
    /// The commit that it became.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merge_commit: Option<String>,
    /// Whether it could be merged without a conflict; absent while the forge finds out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mergeable: Option<bool>,
    /// What it is called; without the words by which some forges mark a draft.
    pub title: String,
    /// What it says.
    pub body: String,
    /// Who opened it.
    pub author: String,
}

/// What a reviewer says of a pull request as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[derive(strum::Display, strum::EnumIter, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum ReviewState {
    /// Yes.
    Approved,
    /// Not like this.
    ChangesRequested,
    /// Something, neither yes nor no.
    Commented,
    /// It was taken back.
    Dismissed,
    /// It is still being written.
    Pending,
    /// A word that is not known.
    #[default]
    Unknown,
}

/// One review of a pull request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// The forge's number of it.
    pub id: u64,
    /// Whose it is.
    pub author: String,
    /// What it comes to.
    pub state: ReviewState,
    /// What it says.
    pub body: String,
    /// The commit that was looked at.
    pub commit: String,
    /// When it was handed in; 0 when the forge does not say.
    pub at: u64,
}

/// Where something is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[derive(strum::Display, strum::EnumIter, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum CommentKind {
    /// Below a pull request or an issue.
    Issue,
    /// Beside a line of a file.
    Inline,
    /// As the text of a review.
    Review,
}

/// Something that somebody said of a pull request or an issue. Its key is `kind` and `id` together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comment {
    /// Where it is said.
    pub kind: CommentKind,
    /// The forge's number of it, among those of its kind.
    pub id: u64,
    /// Who said it.
    pub author: String,
    /// Whether that is a program, as far as the forge says so.
    pub is_bot: bool,
    /// The text.
    pub body: String,
    /// The file it stands beside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The line of that file; absent when the line is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The comment that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<u64>,
    /// The review that it is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<u64>,
    /// When it was said; 0 when the forge does not say.
    pub at: u64,
    /// When its text was changed last; the same as `at` when it never was.
    pub edited_at: u64,
    /// Where people look at it.
    pub url: String,
}

/// A file that a pull request changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedFile {
    /// Where it is now, or was when it is gone.
    pub path: String,
    /// Where it was before, when it was moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// How many lines came.
    pub added: u64,
    /// How many lines went.
    pub removed: u64,
}

/// How one check of a commit is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[derive(strum::Display, strum::EnumIter, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum CheckState {
    /// It has not ended, or nobody knows how.
    #[default]
    Pending,
    /// All is well; one that was left out counts too.
    Passed,
    /// It found something, or could not end.
    Failed,
}

/// Whether a check is a run of a program at the forge or a status that somebody set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[derive(strum::Display, strum::EnumIter, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum CheckKind {
    /// A run: it may have a log.
    Run,
    /// A status.
    Status,
}

/// One check of a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Which of the two.
    pub kind: CheckKind,
    /// The forge's number of it, among those of its kind.
    pub id: u64,
    /// What it is called.
    pub name: String,
    /// How it is.
    pub state: CheckState,
    /// The forge's own word for that: `completed`, `in_progress`, `success` …
    pub status: String,
    /// And for how it ended: `failure`, `timed_out` …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conclusion: Option<String>,
    /// Where people look at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// What it says of its outcome, cut to a few thousand letters.
    pub excerpt: String,
}

/// All checks of one commit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checks {
    /// As the forge counts them: of one that was run again the last.
    pub all: Vec<Check>,
    /// Whether the forge has more of them than were read. What was not read may have failed.
    pub is_cut: bool,
    /// Whether the forge says that not all of them are there yet: a program has ended some of its runs, and not said that
    /// these are all.
    pub is_running: bool,
}

impl Checks {
    /// What they come to. None at all is pending: they may not have begun.
    #[must_use]
    pub fn state(&self) -> CheckState {
        let any = |state| self.all.iter().any(|check| check.state == state);
        if any(CheckState::Failed) {
            CheckState::Failed
        } else if self.is_cut || self.is_running || self.all.is_empty() || any(CheckState::Pending) {
            CheckState::Pending
        } else {
            CheckState::Passed
        }
    }

    /// Those that failed.
    pub fn failed(&self) -> impl Iterator<Item = &Check> {
        self.all.iter().filter(|check| check.state == CheckState::Failed)
    }
}

/// An issue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issue {
    /// Its number in the repository.
    pub number: u64,
    /// What it is called.
    pub title: String,
    /// What it says.
    pub body: String,
    /// Who opened it.
    pub author: String,
    /// Its labels.
    pub labels: Vec<String>,
    /// Whether it is open.
    pub state: OpenState,
    /// Whether it is a pull request, which forges also count as an issue.
    pub is_pull_request: bool,
    /// Where people look at it.
    pub url: String,
}

/// One attempt of a forge to deliver a webhook.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookDelivery {
    /// The forge's number of this attempt.
    pub id: u64,
    /// Of the delivery; all attempts have the same.
    pub guid: String,
    /// Which event.
    pub event: String,
    /// What happened in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// When it was made.
    pub at: u64,
    /// Whether it is one that somebody asked for again.
    pub is_redelivery: bool,
    /// What was answered; 0 when nothing was.
    pub status: u16,
}

impl HookDelivery {
    /// Whether it was taken.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// A commit of a branch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// Its id.
    pub sha: String,
    /// Its message.
    pub message: String,
    /// Who wrote it: the name in the forge, or the one in the commit.
    pub author: String,
    /// When it was written.
    pub at: u64,
    /// Where people look at it.
    pub url: String,
}

/// What a credential can do for a repository, and what it cannot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preflight {
    /// Who it is, if the forge says so; an installation of an app is not somebody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    /// What is missing, each as a sentence that also says what to grant. Empty: all is there, as far as the forge says.
    pub missing: Vec<String>,
    /// When the credential ends, if the forge says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// What the forge said of the repository.
    pub repository: RepositoryInfo,
}

impl Preflight {
    /// Whether nothing is missing.
    #[must_use]
    pub fn is_fine(&self) -> bool {
        self.missing.is_empty()
    }
}

/// A pull request that is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewPull {
    /// The branch that it comes from, in the same repository.
    pub head: String,
    /// The branch that it goes to.
    pub base: String,
    /// What it is called.
    pub title: String,
    /// What it says.
    pub body: String,
    /// Whether it says that it is not done.
    pub is_draft: bool,
}

/// A merge that is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewMerge {
    /// The commit that was approved.
    pub head: String,
    /// The branch that it was approved for.
    pub base: String,
    /// How.
    pub method: MergeMethod,
    /// What the commit is called that it becomes, where one is made for it.
    pub title: String,
    /// What that says besides.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(state: CheckState) -> Check {
        let (kind, name) = (CheckKind::Run, "test".to_owned());
        let (status, conclusion) = (String::new(), None);
        Check { kind, id: 1, name, state, status, conclusion, url: None, excerpt: String::new() }
    }

    #[test]
    fn no_checks_are_not_yet_a_yes() {
        use CheckState::{Failed, Passed, Pending};
        let of = |states: &[CheckState], is_cut| {
            let all = states.iter().map(|state| check(*state)).collect();
            Checks { all, is_cut, is_running: false }.state()
        };
        let running = |state| Checks { all: vec![check(state)], is_cut: false, is_running: true }.state();
        assert_eq!(of(&[], false), Pending);
        assert_eq!(of(&[Passed], false), Passed);
        assert_eq!(of(&[Passed, Pending], false), Pending);
        assert_eq!(of(&[Passed, Pending, Failed], false), Failed, "what failed stays so");
        assert_eq!(of(&[Passed], true), Pending, "nobody knows what the others say");
        assert_eq!((running(Passed), running(Failed)), (Pending, Failed), "others may come");
    }

    #[test]
    fn a_marker_hides_and_cannot_be_left() {
        assert_eq!(marker("run-7/answer-12"), "<!-- mimir:run-7/answer-12 -->");
        assert_eq!(marker("a--> <b>hello</b> <!--"), "<!-- mimir:a-bhello/b- -->");
        assert_eq!(marker("a---b"), "<!-- mimir:a-b -->");
    }

    #[test]
    fn permissions_are_in_order() {
        assert!(Permission::Admin > Permission::Write && Permission::Read > Permission::None);
        assert_eq!("write".parse::<Permission>().ok(), Some(Permission::Write));
        assert!("maintain".parse::<Permission>().is_err());
    }
}
