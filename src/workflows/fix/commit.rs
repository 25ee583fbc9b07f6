//! The commit that leaves: made by mimir from what lies in the clone, on top of what is known, with a message of its own. What
//! the agent committed, and what it wrote about it, stays inside.

use std::time::Duration;

use super::settings::FixSettings;
use super::{FixDeps, inside};
use crate::model::frame::Frame;
use crate::workflows::stage::StageError;

/// How long git may take.
const TAKES: Duration = Duration::from_secs(5 * 60);

/// `$1` parent, `$2` second parent or nothing, `$3` branch, `$4` message, `$5` who, `$6` address, `$7` the time in seconds.
/// Prints `none`, `markers`, or the commit and how much it changes.
pub(super) const COMMIT: &str = r#"
set -eu
rm -f .git/index.lock
parent=$1 second=$2 branch=$3 message=$4 author=$5 email=$6 at=$7
git add -A
if [ -n "$second" ] && git diff --cached --check "$parent" | grep -q 'leftover conflict marker'; then
    echo markers
    exit 0
fi
tree=$(git write-tree)
if [ -z "$second" ] && [ "$tree" = "$(git rev-parse "$parent^{tree}")" ]; then
    echo none
    exit 0
fi
export GIT_AUTHOR_NAME=$author GIT_AUTHOR_EMAIL=$email GIT_COMMITTER_NAME=$author GIT_COMMITTER_EMAIL=$email
export GIT_AUTHOR_DATE="@$at +0000" GIT_COMMITTER_DATE="@$at +0000"
commit=$(git commit-tree "$tree" -p "$parent" ${second:+-p "$second"} -m "$message")
git update-ref "refs/heads/$branch" "$commit"
git symbolic-ref HEAD "refs/heads/$branch"
rm -f .git/MERGE_HEAD .git/MERGE_MSG .git/MERGE_MODE .git/CHERRY_PICK_HEAD .git/REVERT_HEAD
git reset -q
echo "$commit"
git diff --shortstat "$parent" "$commit"
"#;

/// What there is to commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Committed {
    /// Nothing differs.
    Nothing,
    /// A merge is not finished.
    Conflicts,
    /// It is there.
    Commit {
        /// Its id.
        id: String,
        /// `2 files changed, …`, as git says it.
        size: String,
    },
}

/// On top of what it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct On<'a> {
    /// The commit before it.
    pub parent: &'a str,
    /// What is merged in by it.
    pub second: Option<&'a str>,
    /// The branch.
    pub branch: &'a str,
    /// When, as git has it (UTC ms): one time for each commit, so that making it again gives the same one.
    pub at_ms: u64,
}

/// Commits everything that lies in the clone and is not ignored.
pub(super) async fn commit(
    deps: &FixDeps,
    frame: &Frame,
    settings: &FixSettings,
    on: On<'_>,
    message: &str,
) -> Result<Committed, StageError> {
    deps.failpoints.hit("workflows.fix.before_commit").await;
    let at = (on.at_ms / 1000).to_string();
    let args = [
        on.parent,
        on.second.unwrap_or_default(),
        on.branch,
        message,
        &settings.author,
        &settings.email,
        &at,
    ];
    let said = inside::must(deps, frame, "the commit", COMMIT, &args, TAKES).await?;
    deps.failpoints.hit("workflows.fix.after_commit").await;
    let mut lines = said.lines();
    let first = lines.next().unwrap_or_default();
    match (first, inside::commit_in(first)) {
        ("none", _) => Ok(Committed::Nothing),
        ("markers", _) => Ok(Committed::Conflicts),
        (_, Some(id)) => {
            let size = super::fence::line(lines.next().unwrap_or_default(), 100);
            Ok(Committed::Commit { id, size })
        }
        _ => Err(StageError::Infrastructure(format!("git in frame {} made no commit", frame.name))),
    }
}
