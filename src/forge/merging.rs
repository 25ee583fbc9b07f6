//! The merge, bound to the commit that was approved, and what is done with its branch.

use reqwest::Method;
use serde_json::json;

use super::call::Call;
use super::json::Json;
use super::{Forge, ForgeError, Merged};
use crate::model::forge::{MergeMethod, NewMerge, OpenState, PullRequest};
use crate::model::git::ForgeKind;

impl Forge {
    /// Merges a pull request whose newest commit is that one and that goes to that branch, and nothing else. When it was
    /// merged already with that commit, that is said.
    ///
    /// Where it goes is looked at right before: forges compare the commit alone. The commit that it becomes is called as is
    /// wanted: forges call it as the pull request is called just then, which is up to whoever may edit that. With `rebase`
    /// none is made.
    ///
    /// # Errors
    /// See [`ForgeError`]. What the forge says about the merge itself is a [`Merged`].
    pub async fn merge(&self, number: u64, wanted: &NewMerge) -> Result<Merged, ForgeError> {
        let NewMerge { head: sha, base, method, title, message } = wanted;
        let seen = self.pull(number).await?;
        if let Some(end) = without_asking(&seen, sha, base) {
            return Ok(end);
        }
        let url = self.at(&["pulls", &number.to_string(), "merge"]);
        let what = format!("the merge of pull request {number}");
        let call = match self.transport().kind {
            ForgeKind::Github => {
                let mut body = json!({"sha": sha, "merge_method": method.as_str()});
                if *method != MergeMethod::Rebase {
                    (body["commit_title"], body["commit_message"]) = (json!(title), json!(message));
                }
                Call::change(Method::PUT, url, Some(body), what)
            }
            ForgeKind::Gitea => {
                let mut body = json!({"Do": method.as_str(), "head_commit_id": sha});
                if *method != MergeMethod::Rebase {
                    (body["MergeTitleField"], body["MergeMessageField"]) = (json!(title), json!(message));
                }
                Call::change(Method::POST, url, Some(body), what)
            }
        };
        let answer = self.transport().send(&call).await?;
        let why = || self.transport().reason(&answer);
        if matches!(answer.status, 403 | 404) {
            return Ok(Merged::Refused(why()));
        }
        if answer.is_fine() && self.transport().kind == ForgeKind::Github {
            let value = answer.value()?;
            let value = Json::of(&value);
            if let Some(commit) = value.at("/sha").some_text().filter(|_| value.at("/merged").is_yes()) {
                return Ok(Merged::Merged { sha: commit });
            }
        }
        // What came of it is asked of the pull request: the answer is one of many words, or of none.
        let seen = self.pull(number).await?;
        match (answer.is_fine(), without_asking(&seen, sha, base)) {
            (_, Some(Merged::Merged { sha })) => Ok(Merged::Merged { sha }),
            (true, _) => {
                Err(ForgeError::Transient(format!("it says that {} is done, and it is not", call.what)))
            }
            (false, Some(end)) => Ok(end),
            (false, None) if matches!(answer.status, 405 | 409) => Ok(Merged::NotMergeable(why())),
            (false, None) => Ok(Merged::Refused(why())),
        }
    }

    /// Takes a branch away; one that is not there is gone.
    ///
    /// # Errors
    /// See [`ForgeError`]; [`ForgeError::Refused`] for a protected one.
    pub async fn delete_branch(&self, branch: &str) -> Result<(), ForgeError> {
        let before: &[&str] = match self.transport().kind {
            ForgeKind::Github => &["git", "refs", "heads"],
            ForgeKind::Gitea => &["branches"],
        };
        let segments: Vec<&str> = before.iter().copied().chain(branch.split('/')).collect();
        let call = Call::change(Method::DELETE, self.at(&segments), None, format!("branch {branch}"));
        let answer = self.transport().send(&call).await?;
        let is_gone = || self.transport().reason(&answer).to_lowercase().contains("does not exist");
        match answer.status {
            200..300 | 404 => Ok(()),
            422 if is_gone() => Ok(()),
            403 | 422 => {
                Err(ForgeError::Refused(format!("{}: {}", call.what, self.transport().reason(&answer))))
            }
            _ => Err(self.transport().no(&answer)),
        }
    }
}

/// How a merge of that commit into that branch ends without a word to the forge; none when it can only be tried.
fn without_asking(seen: &PullRequest, sha: &str, base: &str) -> Option<Merged> {
    let is_that = seen.head_sha.eq_ignore_ascii_case(sha);
    match (&seen.merge_commit, seen.merged) {
        (Some(commit), true) if is_that => return Some(Merged::Merged { sha: commit.clone() }),
        (None, true) if is_that => return Some(Merged::Merged { sha: seen.head_sha.clone() }),
        _ => {}
    }
    if !is_that || seen.base_ref != base {
        return Some(Merged::HeadMoved);
    }
    let no = |why: &str| Some(Merged::NotMergeable(why.to_owned()));
    match (seen.state, seen.is_draft) {
        (OpenState::Closed, _) => no("it is closed"),
        (OpenState::Open, true) => no("it is a draft"),
        (OpenState::Open, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_commit_that_was_approved_is_merged() {
        let (head_sha, base_ref) = ("aa".to_owned(), "main".to_owned());
        let open = PullRequest { head_sha, base_ref, ..PullRequest::default() };
        let without_asking = |seen: &PullRequest, sha: &str| without_asking(seen, sha, "main");
        let merged = PullRequest {
            merged: true,
            state: OpenState::Closed,
            merge_commit: Some("cc".to_owned()),
            ..open.clone()
        };
        assert_eq!(without_asking(&open, "aa"), None);
        assert_eq!(without_asking(&open, "bb"), Some(Merged::HeadMoved));
        assert_eq!(without_asking(&merged, "AA"), Some(Merged::Merged { sha: "cc".to_owned() }));
        assert_eq!(without_asking(&merged, "bb"), Some(Merged::HeadMoved), "something else was merged");
        let elsewhere = PullRequest { base_ref: "release".to_owned(), ..open.clone() };
        assert_eq!(without_asking(&elsewhere, "aa"), Some(Merged::HeadMoved));
        let draft = PullRequest { is_draft: true, ..open.clone() };
        assert!(matches!(without_asking(&draft, "aa"), Some(Merged::NotMergeable(_))));
        let closed = PullRequest { state: OpenState::Closed, ..open };
        assert!(matches!(without_asking(&closed, "aa"), Some(Merged::NotMergeable(_))));
    }
}
