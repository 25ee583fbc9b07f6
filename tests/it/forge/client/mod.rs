//! mimir's client against the test forge: every operation on both faces, and everything that can go wrong.

mod apps;
mod asked_to_push;
mod emulated;
mod operations;
mod said;
mod trouble;

use std::sync::Arc;
use std::time::Duration;

use mimir::clock::Clock;
use mimir::config::Live;
use mimir::config::schema::{Git, GitCredential, TokenSource};
use mimir::forge::{Apps, Forge as Client, ForgeError, Forges, Settings};
use mimir::git::Credentials;
use mimir::model::forge::{MergeMethod, NewMerge, NewPull, PullRequest};
use mimir::model::git::{ForgeHost, Repository};
use mimir::model::secret::Secret;
use mimir::outbound::HttpClients;

use super::{Bare, Forge, TOKEN};

/// The repository in all of these tests.
pub const BLOG: &str = "me/blog";
/// Both faces.
pub const KINDS: [&str; 2] = ["github", "gitea"];

/// A forge with a repository, and a client of it.
pub struct World {
    pub forge: Forge,
    pub blog: Bare,
    pub client: Client,
    pub clock: Clock,
    pub forges: Forges,
}

/// A merge of that commit into the first branch.
pub fn to_main(head: &str, method: MergeMethod) -> NewMerge {
    let (title, message) = ("Carts may be empty (#1)".to_owned(), "Made by a test.".to_owned());
    NewMerge { head: head.to_owned(), base: "main".to_owned(), method, title, message }
}

/// Nothing here takes so long.
pub fn settings() -> Settings {
    Settings { deadline: Duration::from_secs(10), between_changes: Duration::ZERO, ..Settings::default() }
}

/// Forges as a configuration with one host has them.
pub fn forges(host: &str, source: TokenSource, settings: Settings, clock: &Clock) -> (Forges, Credentials) {
    let host = ForgeHost::parse(host).expect("a host");
    let credentials = vec![GitCredential { host: host.clone(), user: None, source }];
    let git = Live::new(Git { hosts: vec![host], credentials, ..Git::default() });
    let apps = Apps::new(HttpClients::default(), clock.clone(), settings);
    let credentials = Credentials::new(git, apps);
    (Forges::new(Arc::new(credentials.clone()), HttpClients::default(), clock.clone(), settings), credentials)
}

impl World {
    pub async fn new(kind: &str) -> Self {
        Self::with(kind, settings()).await
    }

    pub async fn with(kind: &str, settings: Settings) -> Self {
        let forge = Forge::start().await;
        let blog = forge.repository(BLOG);
        forge.allow(BLOG, "ann", "write");
        // It tells others nothing of what people may do.
        forge.change(BLOG, |repo| repo.own_right = if kind == "gitea" { "admin" } else { "write" });
        let clock = Clock::manual(Clock::system().now_ms());
        let source = TokenSource::Here(Some(Secret::new(TOKEN)));
        let (forges, _) = forges(&forge.host_of_kind(kind), source, settings, &clock);
        let client = forges.of(&repository(&forge)).await.expect("a client");
        Self { forge, blog, client, clock, forges }
    }

    /// A branch with a commit that `main` does not have.
    pub fn branch(&self, name: &str) -> String {
        self.blog.add(name, "fix.txt", &format!("what {name} mends\n"))
    }

    /// A pull request that is ready, from a branch of its own.
    pub async fn opened(&self, branch: &str) -> PullRequest {
        self.branch(branch);
        self.client.open_pull(&new_pull(branch, false)).await.expect("opened")
    }
}

pub fn repository(forge: &Forge) -> Repository {
    Repository::parse(&forge.name_of(BLOG)).expect("a repository")
}

pub fn new_pull(head: &str, is_draft: bool) -> NewPull {
    NewPull {
        head: head.to_owned(),
        base: "main".to_owned(),
        title: "Mend it".to_owned(),
        body: "What was wrong, and how it is proved.".to_owned(),
        is_draft,
    }
}

/// What opens the forge is in no error.
pub fn without_token(error: ForgeError) -> ForgeError {
    let text = format!("{error} {error:?}");
    assert!(!text.contains(TOKEN) && !text.contains("ghs_canary"), "{text}");
    error
}
