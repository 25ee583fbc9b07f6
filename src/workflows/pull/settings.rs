//! What a workflow's file says of the stages from the pull request to the end of the watch.

use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::model::forge::MergeMethod;
use crate::model::quantity::span;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// The stage `preflight`: whether the forge lets mimir do what the run will come to, before anything is spent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PreflightSettings {}

/// The stage `pull_request`: opens it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PullRequestSettings {
    /// Whether it says that it is not done until its checks are green.
    pub draft: bool,
    /// The branch that it goes to; none: the repository's own.
    pub base: Option<String>,
}

impl Default for PullRequestSettings {
    fn default() -> Self {
        Self { draft: true, base: None }
    }
}

/// What follows from a commit that has no checks at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoChecks {
    /// It is ready for people.
    #[default]
    Ready,
    /// People have to see to it.
    HandOver,
}

/// What follows from a conflict with the branch that it goes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conflicts {
    /// The agent merges that branch in.
    #[default]
    Resolve,
    /// People have to see to it.
    HandOver,
}

/// The stage `follow`: reviews and checks are worked in until it is ready to be merged.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FollowSettings {
    /// How often red checks and conflicts are worked on without a word of a person in between.
    pub check_rounds: u32,
    /// How often reviews are worked in.
    pub review_rounds: u32,
    /// Who is asked for a review when its checks are green.
    pub reviewers: Vec<String>,
    /// Programs whose comments are worked in like those of people; all others are not read.
    pub bots: Vec<String>,
    /// Comments are worked in when nobody has added one for so long.
    #[serde(deserialize_with = "time")]
    pub quiet: Duration,
    /// How soon the forge is asked again when nobody tells of anything; doubled each time,
    #[serde(deserialize_with = "time")]
    pub poll: Duration,
    /// up to this.
    #[serde(deserialize_with = "time")]
    pub poll_most: Duration,
    /// A commit without checks has none after so long,
    #[serde(deserialize_with = "time")]
    pub no_checks_after: Duration,
    /// and then: `ready` or `hand_over`.
    pub no_checks: NoChecks,
    /// Checks are green when the same ones have been green for so long: one that waits for another is not listed before
    /// it begins.
    #[serde(deserialize_with = "time")]
    pub green_for: Duration,
    /// When a check has failed, the others are waited for so long.
    #[serde(deserialize_with = "time")]
    pub others_wait: Duration,
    /// Checks that have not ended after so long are handed over.
    #[serde(deserialize_with = "time")]
    pub checks_within: Duration,
    /// What follows from a conflict: `resolve` or `hand_over`.
    pub conflicts: Conflicts,
}

impl Default for FollowSettings {
    fn default() -> Self {
        Self {
            check_rounds: 3,
            review_rounds: 5,
            reviewers: Vec::new(),
            bots: Vec::new(),
            quiet: Duration::from_secs(10),
            poll: Duration::from_secs(30),
            poll_most: Duration::from_secs(5 * MINUTE),
            no_checks_after: Duration::from_secs(10 * MINUTE),
            no_checks: NoChecks::Ready,
            green_for: Duration::from_secs(MINUTE),
            others_wait: Duration::from_secs(10 * MINUTE),
            checks_within: Duration::from_secs(6 * HOUR),
            conflicts: Conflicts::Resolve,
        }
    }
}

/// Who says that it is merged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MergePolicy {
    /// A person: `mimir runs approve`, for exactly that commit.
    #[default]
    Person,
    /// Nobody, when all that is asked of a small change is there; else a person.
    Auto,
    /// Somebody at the forge; mimir never does.
    Never,
}

/// The stage `merge`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MergeSettings {
    /// Who says that it is merged: `person`, `auto` or `never`.
    pub policy: MergePolicy,
    /// How: `squash`, `merge` or `rebase`; none: the first of these that the repository allows.
    pub method: Option<MergeMethod>,
    /// So many approving reviews of the commit come before a person is asked. `auto` needs one in any case.
    pub approvals: u32,
    /// `auto`: with more changed lines a person is asked.
    pub max_lines: u64,
    /// `auto`: with more changed files a person is asked.
    pub max_files: u64,
    /// `auto`: also for runs that an error tracker began, to which anybody can report errors.
    pub reported_errors: bool,
    /// Whether the branch is taken away afterwards.
    pub delete_branch: bool,
}

impl Default for MergeSettings {
    fn default() -> Self {
        Self {
            policy: MergePolicy::Person,
            method: None,
            approvals: 0,
            max_lines: 200,
            max_files: 10,
            reported_errors: false,
            delete_branch: true,
        }
    }
}

/// In what an issue of an error tracker is said to be resolved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResolveWith {
    /// In the release that has the commit; where the tracker does not know the repository, in the next one.
    #[default]
    Commit,
    /// In the next release.
    NextRelease,
    /// It is left to people.
    Nothing,
}

/// The stage `resolve`: says where the problem was reported that it is solved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResolveSettings {
    /// `commit`, `next_release` or `nothing`.
    pub sentry: ResolveWith,
}

/// The stage `watch`: whether the problem comes back.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WatchSettings {
    /// How long.
    #[serde(rename = "for", deserialize_with = "time")]
    pub length: Duration,
    /// How often it is asked, in case that nobody tells.
    #[serde(deserialize_with = "time")]
    pub every: Duration,
}

impl Default for WatchSettings {
    fn default() -> Self {
        Self { length: Duration::from_secs(7 * DAY), every: Duration::from_secs(6 * HOUR) }
    }
}

fn time<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    span::parse_some(&String::deserialize(from)?).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn what_is_not_said_is_as_usual_and_what_nobody_knows_is_refused() {
        let read: FollowSettings =
            from_value(json!({"quiet": "1m", "no_checks": "hand_over"})).expect("settings");
        let usual = FollowSettings::default();
        let quiet = Duration::from_secs(60);
        assert_eq!(read, FollowSettings { quiet, no_checks: NoChecks::HandOver, ..usual });
        let read: MergeSettings =
            from_value(json!({"policy": "auto", "method": "rebase"})).expect("settings");
        assert_eq!((read.policy, read.method), (MergePolicy::Auto, Some(MergeMethod::Rebase)));
        let read: WatchSettings = from_value(json!({"for": "2d"})).expect("settings");
        assert_eq!(read.length, Duration::from_secs(2 * DAY));
        assert!(from_value::<MergeSettings>(json!({"policy": "always"})).is_err());
        assert!(from_value::<FollowSettings>(json!({"quiet": "soon"})).is_err());
        assert!(from_value::<PullRequestSettings>(json!({"drafts": true})).is_err());
        assert!(from_value::<PreflightSettings>(json!({"x": 1})).is_err());
    }

    #[test]
    fn nothing_is_merged_without_a_person_unless_somebody_wrote_so() {
        assert_eq!(MergeSettings::default().policy, MergePolicy::Person);
        assert!(!MergeSettings::default().reported_errors);
    }
}
