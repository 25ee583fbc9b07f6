//! What is said about pull requests and issues, and what is answered: each answer once, found again by its marker.

use reqwest::Method;
use serde_json::{Value, json};

use super::call::Call;
use super::json::Json;
use super::{Forge, ForgeError, received};
use crate::model::forge::{Comment, CommentKind, Issue, OpenState, marker};
use crate::model::git::ForgeKind;

impl Forge {
    /// An issue.
    ///
    /// # Errors
    /// See [`ForgeError`].
    pub async fn issue(&self, number: u64) -> Result<Issue, ForgeError> {
        let url = self.at(&["issues", &number.to_string()]);
        received::issue(&self.transport().value(&Call::get(url, format!("issue {number}"))).await?)
    }

    /// Closes an issue as done, unless it is closed; says whether this call did it.
    ///
    /// # Errors
    /// See [`ForgeError`].
    pub async fn close_issue(&self, number: u64) -> Result<bool, ForgeError> {
        if self.issue(number).await?.state == OpenState::Closed {
            return Ok(false);
        }
        let body = match self.transport().kind {
            ForgeKind::Github => json!({"state": "closed", "state_reason": "completed"}),
            ForgeKind::Gitea => json!({"state": "closed"}),
        };
        let url = self.at(&["issues", &number.to_string()]);
        let call = Call::change(Method::PATCH, url, Some(body), format!("issue {number}"));
        match received::issue(&self.transport().value(&call).await?)?.state {
            OpenState::Closed => Ok(true),
            // Some forges ignore what a credential may not do.
            OpenState::Open => Err(ForgeError::Refused(format!("issue {number} stays open"))),
        }
    }

    /// All that was said about a pull request: below it, beside its lines, and as the text of reviews; the oldest first.
    ///
    /// It is read from its beginning each time, without GitHub's `since`: a list from some time on does not tell what was
    /// taken away meanwhile, what somebody said before they might write, whether an answer of ours stands there already, nor
    /// that there is more than is read. Reviews have no such parameter, nor has Gitea's list beside lines.
    ///
    /// # Errors
    /// See [`ForgeError`]; [`ForgeError::TooMuch`] when there is more than is read.
    pub async fn comments(&self, number: u64) -> Result<Vec<Comment>, ForgeError> {
        let reviews = self.reviews_as_said(number).await?;
        let mut all = self.below(number).await?;
        all.extend(self.inline(number, &reviews).await?);
        all.extend(reviews.iter().filter_map(received::comment_of_review));
        all.sort_by_key(|comment| (comment.at, comment.kind, comment.id));
        Ok(all)
    }

    /// What stands below a pull request or an issue.
    async fn below(&self, number: u64) -> Result<Vec<Comment>, ForgeError> {
        let url = self.at(&["issues", &number.to_string(), "comments"]);
        let said = self.all(Call::get(url, format!("the comments below {number}"))).await?;
        Ok(said.iter().filter_map(|value| received::comment(value, CommentKind::Issue)).collect())
    }

    /// What stands beside lines. Gitea has it review by review.
    async fn inline(&self, number: u64, reviews: &[Value]) -> Result<Vec<Comment>, ForgeError> {
        let what = format!("the comments beside lines of {number}");
        let number = number.to_string();
        let mut said = Vec::new();
        match self.transport().kind {
            ForgeKind::Github => {
                said = self.all(Call::get(self.at(&["pulls", &number, "comments"]), what)).await?;
            }
            ForgeKind::Gitea => {
                for review in reviews.iter().map(Json::of) {
                    let Some(id) = review.at("/id").number() else { continue };
                    if review.at("/comments_count").number() == Some(0) {
                        continue;
                    }
                    let url = self.at(&["pulls", &number, "reviews", &id.to_string(), "comments"]);
                    said.extend(self.all(Call::get(url, what.clone())).await?);
                }
            }
        }
        Ok(said.iter().filter_map(|value| received::comment(value, CommentKind::Inline)).collect())
    }

    /// Says something below a pull request or an issue; once for each name of a marker.
    ///
    /// # Errors
    /// See [`ForgeError`]; [`ForgeError::TooMuch`] when there is more than is read: nobody knows whether it was said
    /// already, and it is not said.
    pub async fn comment(&self, number: u64, body: &str, name: &str) -> Result<Comment, ForgeError> {
        let text = marked(body, name);
        if let Some(there) = self.ours(self.below(number).await?, &text, name).await? {
            return Ok(there);
        }
        let url = self.at(&["issues", &number.to_string(), "comments"]);
        self.say(url, &text, CommentKind::Issue, format!("a comment below {number}")).await
    }

    /// The same.
    ///
    /// # Errors
    /// See [`ForgeError`].
    pub async fn comment_issue(&self, number: u64, body: &str, name: &str) -> Result<Comment, ForgeError> {
        self.comment(number, body, name).await
    }

    /// Answers something that was said: beside a line in its thread, where the forge can do that, else below; once for
    /// each name of a marker.
    ///
    /// # Errors
    /// See [`ForgeError`].
    pub async fn reply(
        &self,
        number: u64,
        to: &Comment,
        body: &str,
        name: &str,
    ) -> Result<Comment, ForgeError> {
        if to.kind != CommentKind::Inline {
            return self.comment(number, body, name).await;
        }
        if self.transport().kind == ForgeKind::Gitea {
            let path = to.path.as_deref().unwrap_or_default();
            let place = to.line.map_or_else(|| path.to_owned(), |line| format!("{path}:{line}"));
            return self
                .comment(number, &format!("About `{}`:\n\n{body}", place.replace('`', "")), name)
                .await;
        }
        let text = marked(body, name);
        if let Some(there) = self.ours(self.inline(number, &[]).await?, &text, name).await? {
            return Ok(there);
        }
        // Only the first of a thread can be answered.
        let first = to.reply_to.unwrap_or(to.id).to_string();
        let url = self.at(&["pulls", &number.to_string(), "comments", &first, "replies"]);
        self.say(url, &text, CommentKind::Inline, format!("an answer in {number}")).await
    }

    async fn say(
        &self,
        url: url::Url,
        text: &str,
        kind: CommentKind,
        what: String,
    ) -> Result<Comment, ForgeError> {
        let call = Call::change(Method::POST, url, Some(json!({"body": text})), what);
        let value = self.transport().value(&call).await?;
        received::comment(&value, kind)
            .ok_or_else(|| ForgeError::Transient(format!("what it said about {} lacks `id`", call.what)))
    }

    /// The one that we made before. Anybody can write a marker, so it must be ours; where nobody says who we are, it must
    /// say exactly the same.
    async fn ours(&self, all: Vec<Comment>, text: &str, name: &str) -> Result<Option<Comment>, ForgeError> {
        let end = marker(name);
        let mut marked = all.into_iter().filter(|comment| comment.body.trim_end().ends_with(&end)).peekable();
        if marked.peek().is_none() {
            return Ok(None);
        }
        let me = self.login().await?;
        let is_ours = |comment: &Comment| match &me {
            Some(me) => comment.author.eq_ignore_ascii_case(me),
            None => comment.body.replace("\r\n", "\n").trim() == text.trim(),
        };
        Ok(marked.find(is_ours))
    }
}

fn marked(body: &str, name: &str) -> String {
    format!("{}\n\n{}", body.trim_end(), marker(name))
}
