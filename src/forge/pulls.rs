//! Pull requests: found, opened, changed, made ready, closed.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};

use super::call::Call;
use super::json::Json;
use super::received::{self, without_draft_words};
use super::{Forge, ForgeError};
use crate::model::forge::{NewPull, OpenState, PullRequest, Review};
use crate::model::git::ForgeKind;

/// What GitHub has no other words for.
const MARK_READY: &str = "mutation($id: ID!) { markPullRequestReadyForReview(input: {pullRequestId: $id}) \
                          { pullRequest { isDraft } } }";
/// How Gitea knows a draft.
const DRAFT: &str = "WIP: ";

impl Forge {
    /// The open pull request from a branch of this repository; when none is open, the newest that was.
    ///
    /// # Errors
    /// See [`ForgeError`].
    pub async fn find_pull(&self, head: &str) -> Result<Option<PullRequest>, ForgeError> {
        let newest = |all: Vec<PullRequest>| all.into_iter().max_by_key(|pull| pull.number);
        match newest(self.pulls_from(head, OpenState::Open).await?) {
            Some(open) => Ok(Some(open)),
            None => Ok(newest(self.pulls_from(head, OpenState::Closed).await?)),
        }
    }

    /// The pull requests from a branch of this repository, whoever opened them and wherever they go to. One whose
    /// repository is not said is from another.
    ///
    /// # Errors
    /// See [`ForgeError`].
    pub async fn pulls_from(&self, head: &str, state: OpenState) -> Result<Vec<PullRequest>, ForgeError> {
        let state = match state {
            OpenState::Open => "open",
            OpenState::Closed => "closed",
        };
        let call = Call::get(self.at(&["pulls"]), format!("pull requests from {head}")).with("state", state);
        let call = match self.transport().kind {
            ForgeKind::Github => call
                .with("head", &format!("{}:{head}", self.owner()))
                .with("sort", "created")
                .with("direction", "desc"),
            // It cannot be asked for a branch.
            ForgeKind::Gitea => call.with("sort", "recentupdate"),
        };
        let is_here = |path: &String| path.eq_ignore_ascii_case(self.name());
        // A forge that does not understand the question answers with all of them.
        let is_ours =
            |pull: &PullRequest| pull.head_ref == head && pull.head_repository.as_ref().is_some_and(is_here);
        let (found, _) = self.transport().pages(call, "", |_| true).await?;
        let all = found.iter().filter_map(|value| received::pull(value).ok());
        Ok(all.filter(is_ours).collect())
    }

    async fn open_as(&self, new: &NewPull) -> Result<Option<PullRequest>, ForgeError> {
        let open = self.pulls_from(&new.head, OpenState::Open).await?.into_iter();
        Ok(open.filter(|pull| pull.base_ref == new.base).max_by_key(|pull| pull.number))
    }

    /// Opens a pull request, unless one is open from that branch to that other one: that one then, whoever opened it.
    ///
    /// Where the forge knows no drafts (private repositories of some plans), it is opened as one that is ready.
    ///
    /// # Errors
    /// See [`ForgeError`]; [`ForgeError::Refused`] when the branch is not there or has nothing new.
    pub async fn open_pull(&self, new: &NewPull) -> Result<PullRequest, ForgeError> {
        Ok(self.open_or_find_pull(new).await?.0)
    }

    /// The same, and whether this call opened it. One whose answer is lost is found by the next call, which did not.
    ///
    /// # Errors
    /// The same.
    pub async fn open_or_find_pull(&self, new: &NewPull) -> Result<(PullRequest, bool), ForgeError> {
        if let Some(open) = self.open_as(new).await? {
            return Ok((open, false));
        }
        let transport = self.transport();
        let call = |is_draft: bool| {
            let mut body = json!({"head": new.head, "base": new.base, "title": new.title, "body": new.body});
            match transport.kind {
                ForgeKind::Github => body["draft"] = json!(is_draft),
                ForgeKind::Gitea if is_draft => body["title"] = json!(format!("{DRAFT}{}", new.title)),
                ForgeKind::Gitea => {}
            }
            let what = format!("a pull request from {} to {}", new.head, new.base);
            Call::change(Method::POST, self.at(&["pulls"]), Some(body), what)
        };
        let mut answer = transport.send(&call(new.is_draft)).await?;
        if answer.status == 422 && new.is_draft && transport.reason(&answer).to_lowercase().contains("draft")
        {
            answer = transport.send(&call(false)).await?;
        }
        if answer.is_fine() {
            return Ok((received::pull(&answer.value()?)?, true));
        }
        // Somebody else was faster, or we were, and did not hear of it.
        if matches!(answer.status, 409 | 422)
            && let Some(open) = self.open_as(new).await?
        {
            return Ok((open, false));
        }
        Err(transport.no(&answer))
    }

    /// A pull request as it is now.
    ///
    /// # Errors
    /// See [`ForgeError`].
    pub async fn pull(&self, number: u64) -> Result<PullRequest, ForgeError> {
        received::pull(&self.pull_as_said(number).await?)
    }

    async fn pull_as_said(&self, number: u64) -> Result<Value, ForgeError> {
        let url = self.at(&["pulls", &number.to_string()]);
        self.transport().value(&Call::get(url, format!("pull request {number}"))).await
    }

    /// Gives it another title or text. A draft stays one.
    ///
    /// # Errors
    /// See [`ForgeError`].
    pub async fn edit_pull(
        &self,
        number: u64,
        title: Option<&str>,
        body: Option<&str>,
    ) -> Result<PullRequest, ForgeError> {
        let mut change = BTreeMap::new();
        if let Some(title) = title {
            let words = match self.transport().kind {
                ForgeKind::Gitea if self.pull(number).await?.is_draft => DRAFT,
                _ => "",
            };
            change.insert("title", format!("{words}{title}"));
        }
        if let Some(body) = body {
            change.insert("body", body.to_owned());
        }
        if change.is_empty() {
            return self.pull(number).await;
        }
        received::pull(&self.change_pull(number, json!(change)).await?)
    }

    async fn change_pull(&self, number: u64, change: Value) -> Result<Value, ForgeError> {
        let url = self.at(&["pulls", &number.to_string()]);
        let call = Call::change(Method::PATCH, url, Some(change), format!("pull request {number}"));
        self.transport().value(&call).await
    }

    /// Makes it one that is no draft any more.
    ///
    /// # Errors
    /// See [`ForgeError`].
    pub async fn ready(&self, number: u64) -> Result<(), ForgeError> {
        let said = self.pull_as_said(number).await?;
        if !received::pull(&said)?.is_draft {
            return Ok(());
        }
        let said = Json::of(&said);
        if self.transport().kind == ForgeKind::Gitea {
            let title = said.at("/title").text();
            let change = json!({"title": without_draft_words(&title).0});
            return self.change_pull(number, change).await.map(drop);
        }
        let body = json!({"query": MARK_READY, "variables": {"id": said.at("/node_id").text()}});
        let what = format!("pull request {number}");
        let call = Call::change(Method::POST, self.graphql(), Some(body), what.clone());
        let value = self.transport().value(&call).await?;
        let value = Json::of(&value);
        // Its errors come with a 200.
        let Some(error) = value.at("/errors").items().next() else { return Ok(()) };
        let why = self.transport().clean(&error.at("/message").text());
        Err(match error.at("/type").text().as_str() {
            "RATE_LIMITED" => {
                ForgeError::RateLimited { until_ms: self.transport().clock.now_ms().saturating_add(60_000) }
            }
            "FORBIDDEN" | "INSUFFICIENT_SCOPES" => {
                ForgeError::Auth(format!("the credential may not make {what} ready: {why}"))
            }
            "NOT_FOUND" => ForgeError::NotFound(what),
            _ => ForgeError::Refused(format!("{what}: {why}")),
        })
    }

    /// Asks people to look at it. Who was asked before is asked once.
    ///
    /// # Errors
    /// See [`ForgeError`]; [`ForgeError::Refused`] when one of them cannot be asked there.
    pub async fn request_review(&self, number: u64, users: &[String]) -> Result<(), ForgeError> {
        if users.is_empty() {
            return Ok(());
        }
        let url = self.at(&["pulls", &number.to_string(), "requested_reviewers"]);
        let body = json!({"reviewers": users});
        let what = format!("a review of pull request {number}");
        self.transport().value(&Call::change(Method::POST, url, Some(body), what)).await.map(drop)
    }

    /// What reviewers said of it as a whole, the oldest first.
    ///
    /// # Errors
    /// See [`ForgeError`].
    pub async fn reviews(&self, number: u64) -> Result<Vec<Review>, ForgeError> {
        let said = self.reviews_as_said(number).await?;
        Ok(said.iter().filter_map(received::review).collect())
    }

    pub(super) async fn reviews_as_said(&self, number: u64) -> Result<Vec<Value>, ForgeError> {
        let url = self.at(&["pulls", &number.to_string(), "reviews"]);
        self.all(Call::get(url, format!("the reviews of pull request {number}"))).await
    }

    /// Closes it without a merge; one that is closed stays so.
    ///
    /// # Errors
    /// See [`ForgeError`].
    pub async fn close_pull(&self, number: u64) -> Result<(), ForgeError> {
        if self.pull(number).await?.state == OpenState::Closed {
            return Ok(());
        }
        self.change_pull(number, json!({"state": "closed"})).await.map(drop)
    }

    /// Who closed it last; none where the forge does not tell.
    ///
    /// # Errors
    /// See [`ForgeError`].
    pub async fn closed_by(&self, number: u64) -> Result<Option<String>, ForgeError> {
        let n = number.to_string();
        let what = format!("who closed pull request {number}");
        let told = match self.transport().kind {
            ForgeKind::Github => {
                let call = Call::get(self.at(&["issues", &n]), what);
                let said = self.transport().value(&call).await;
                said.map(|said| Json::of(&said).at("/closed_by/login").some_text())
            }
            // It says so in the list of all that happened, the oldest first.
            ForgeKind::Gitea => {
                let all = self.all(Call::get(self.at(&["issues", &n, "timeline"]), what)).await;
                all.map(|all| {
                    let close = all.iter().rev().map(Json::of).find(|it| it.at("/type").text() == "close")?;
                    close.at("/user/login").some_text()
                })
            }
        };
        match told {
            Err(
                ForgeError::Auth(_)
                | ForgeError::NotFound(_)
                | ForgeError::TooMuch(_)
                | ForgeError::Refused(_),
            ) => Ok(None),
            told => told,
        }
    }
}
