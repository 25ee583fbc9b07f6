//! The repository as a whole: what it is, who may do what with it, and whether the credential suffices.

use super::call::Call;
use super::json::{Json, time};
use super::{Forge, ForgeError, received};
use crate::clock::rfc3339;
use crate::model::forge::{Commit, Permission, Preflight, RepositoryInfo};
use crate::model::git::ForgeKind;

/// Until when a credential holds, as GitHub says it of its tokens.
const EXPIRES: &str = "github-authentication-token-expiration";
/// What an old token of GitHub's may do, in words of its own.
const SCOPES: &str = "x-oauth-scopes";

impl Forge {
    /// What the forge says of the repository.
    ///
    /// # Errors
    /// See [`ForgeError`]; [`ForgeError::NotFound`] also when the credential may not see it.
    pub async fn repository(&self) -> Result<RepositoryInfo, ForgeError> {
        let call = Call::get(self.at(&[]), format!("repository {}", self.name()));
        received::repository(&self.transport().value(&call).await?)
    }

    /// What a user may do with it; by the name that stands beside what they say.
    ///
    /// Of everything that forges say about people this alone is to be believed: the association that comes with a
    /// comment is another thing, and often wrong.
    ///
    /// # Errors
    /// See [`ForgeError`]; [`ForgeError::Auth`] when the credential may not ask that.
    pub async fn permission(&self, user: &str) -> Result<Permission, ForgeError> {
        if user.is_empty() {
            return Ok(Permission::None);
        }
        let url = self.at(&["collaborators", user, "permission"]);
        match self.transport().value(&Call::get(url, format!("what {user} may do there"))).await {
            Ok(value) => Ok(received::permission(&value)),
            // Nobody of that name, or nobody who has to do with it.
            Err(ForgeError::NotFound(_)) => Ok(Permission::None),
            Err(error) => Err(error),
        }
    }

    /// Whether the credential may push, open pull requests and read checks, as far as that can be found out without
    /// doing it. What is missing is in the answer and no error.
    ///
    /// # Errors
    /// What keeps it from being found out; [`ForgeError::Auth`] when the credential opens nothing at all.
    pub async fn preflight(&self) -> Result<Preflight, ForgeError> {
        let what = format!("repository {}", self.name());
        let answer = self.transport().send(&Call::get(self.at(&[]), what)).await?;
        if matches!(answer.status, 403 | 404) {
            let text = format!(
                "{} shows the credential no repository {}: give it access to that, or use another one",
                self.transport().host(),
                self.name()
            );
            return Ok(Preflight { missing: vec![text], ..Preflight::default() });
        }
        if !answer.is_fine() {
            return Err(self.transport().no(&answer));
        }
        let info = received::repository(&answer.value()?)?;
        let mut found = Preflight { repository: info, ..Preflight::default() };
        found.expires_at = answer.header(EXPIRES).and_then(time).or(self.key_expires_at());
        if let Some(at) = found.expires_at.filter(|at| *at <= self.transport().clock.now_ms()) {
            found.missing.push(format!("the credential has expired on {}: make a new one", rfc3339(at)));
        }
        self.look_at_rights(&mut found, answer.header(SCOPES));
        if found.repository.permission >= Permission::Write && !found.repository.is_archived {
            self.look_at_push(&mut found).await?;
        }
        let branch = found.repository.default_branch.clone();
        let mut reads = vec![("pull requests", self.at(&["pulls"]))];
        if self.transport().kind == ForgeKind::Github {
            reads.push(("checks", self.at(&["commits", &branch, "check-runs"])));
        }
        reads.push(("commit statuses", self.at(&["commits", &branch, "status"])));
        for (thing, url) in reads {
            let size = match self.transport().kind {
                ForgeKind::Github => "per_page",
                ForgeKind::Gitea => "limit",
            };
            match self.transport().value(&Call::get(url, thing).with(size, "1")).await {
                // A repository without a commit has no checks either.
                Ok(_) | Err(ForgeError::NotFound(_) | ForgeError::Refused(_) | ForgeError::TooMuch(_)) => {}
                Err(ForgeError::Auth(_)) => found.missing.push(self.grant(thing)),
                Err(error) => return Err(error),
            }
        }
        found.login = self.login().await?;
        Ok(found)
    }

    fn look_at_rights(&self, found: &mut Preflight, scopes: Option<&str>) {
        let info = &found.repository;
        if info.is_archived {
            found.missing.push(format!("{} is archived: nothing can be pushed there", self.name()));
        }
        if self.transport().kind == ForgeKind::Gitea && info.permission < Permission::Admin {
            // It tells nobody else what a person may do; a push alone would need less.
            found.missing.push(format!(
                "{} tells administrators alone who may write to {}, and mimir hears nobody else: make whoever the \
                 credential is of an administrator of that repository",
                self.transport().host(),
                self.name()
            ));
        } else if info.permission < Permission::Write {
            found.missing.push(format!(
                "whoever the credential is of may not push to {}: give them write access",
                self.name()
            ));
        }
        // Old tokens say what they may do. The others say nothing here.
        if let Some(scopes) = scopes.filter(|scopes| !scopes.trim().is_empty()) {
            let has = |wanted: &str| scopes.split(',').any(|scope| scope.trim() == wanted);
            if !has("repo") && (info.is_private || !has("public_repo")) {
                found.missing.push("the token lacks the scope `repo`: make one that has it".to_owned());
            }
        }
    }

    /// Of a token with rights of its own the API says what its owner may do; git is told what the token may.
    async fn look_at_push(&self, found: &mut Preflight) -> Result<(), ForgeError> {
        if !matches!(self.transport().status_of_a_push(self.push()).await?, 401 | 403) {
            return Ok(());
        }
        let grant = match self.transport().kind {
            ForgeKind::Github => "grant it `Contents: read and write`",
            ForgeKind::Gitea => "give the token write access to repositories (`write:repository`)",
        };
        found.missing.push(format!(
            "{} does not let the credential push to {}: {grant}",
            self.transport().host(),
            self.name()
        ));
        Ok(())
    }

    fn grant(&self, thing: &str) -> String {
        let (host, kind) = (self.transport().host(), self.transport().kind);
        match (kind, thing) {
            (ForgeKind::Gitea, _) => format!(
                "{host} does not let the credential read {thing}: give the token write access to repositories and issues"
            ),
            (ForgeKind::Github, "pull requests") => {
                "the credential may not read pull requests: grant it `Pull requests: read and write`"
                    .to_owned()
            }
            (ForgeKind::Github, "checks") => {
                "the credential may not read checks: grant it `Checks: read`".to_owned()
            }
            (ForgeKind::Github, _) => {
                format!("the credential may not read {thing}: grant it `Commit statuses: read`")
            }
        }
    }

    /// Who the credential is of: the name that stands beside what is said with it. None when nobody says so.
    ///
    /// # Errors
    /// See [`ForgeError`].
    pub async fn login(&self) -> Result<Option<String>, ForgeError> {
        let call = || async {
            if let Some(known) = self.key_login() {
                return Ok(Some(known));
            }
            let url = self.transport().url(&["user"]);
            match self.transport().value(&Call::get(url, "whose the credential is")).await {
                Ok(value) => Ok(Json::of(&value).at("/login").some_text()),
                // An app is nobody, and a narrow token may not ask.
                Err(ForgeError::Auth(_) | ForgeError::NotFound(_)) => Ok(None),
                Err(error) => Err(error),
            }
        };
        self.known_login().get_or_try_init(call).await.cloned()
    }

    /// The commits of a branch since that time, the newest first.
    ///
    /// # Errors
    /// See [`ForgeError`].
    pub async fn commits_since(&self, branch: &str, since_ms: u64) -> Result<Vec<Commit>, ForgeError> {
        let mut call = Call::get(self.at(&["commits"]), format!("the commits of {branch}"));
        call = call.with("sha", branch).with("since", &rfc3339(since_ms / 1000 * 1000));
        if self.transport().kind == ForgeKind::Gitea {
            call = call.with("stat", "false").with("verification", "false").with("files", "false");
        }
        let is_new = |commit: &Commit| commit.at >= since_ms / 1000 * 1000;
        let goes_on =
            |last: Json<'_>| last.at("/commit/committer/date").time().is_none_or(|at| at >= since_ms);
        let (found, _) = self.transport().pages(call, "", goes_on).await?;
        // Older versions of Gitea do not look at `since`.
        Ok(found.iter().filter_map(received::commit).filter(is_new).collect())
    }
}
