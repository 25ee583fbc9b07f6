//! What the forge knows besides git: people, pull requests, what was said, checks, hooks. Heads and merges are git's own.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::Bare;

/// The app whose runs tests make, and the suite that they are in.
pub const OWN_APP: &str = "mimir-test";
pub const OWN_SUITE: u64 = 1;

/// What was done to the forge through its API, and only what was really done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    pub pulls: usize,
    pub comments: usize,
    pub replies: usize,
    pub merges: usize,
    pub closed: usize,
    pub closed_issues: usize,
    pub deleted_branches: usize,
    pub readied: usize,
    pub review_requests: usize,
    pub tokens: usize,
}

#[derive(Clone, Debug, Default)]
pub struct Repo {
    /// `owner/name`.
    pub path: String,
    pub bare: Option<Bare>,
    pub id: u64,
    pub is_archived: bool,
    /// What the credential may do: one of GitHub's words.
    pub own_right: &'static str,
    pub rights: BTreeMap<String, &'static str>,
    pub pulls: Vec<Pull>,
    pub issues: Vec<Issue>,
    pub comments: Vec<Said>,
    pub inline: Vec<Said>,
    pub reviews: Vec<Reviewed>,
    pub checks: Vec<CheckRun>,
    pub statuses: Vec<Status>,
    pub suites: Vec<Suite>,
    pub hooks: Vec<Hook>,
    pub deliveries: Vec<Delivered>,
    /// Branches as hooks were told of them.
    pub told: BTreeMap<String, String>,
    /// Whether drafts are among what is paid for.
    pub has_no_drafts: bool,
    pub next_number: u64,
    /// What git said of commits.
    pub known: Arc<Mutex<BTreeMap<Vec<String>, Option<String>>>>,
}

#[derive(Clone, Debug, Default)]
pub struct Pull {
    pub number: u64,
    pub author: String,
    pub title: String,
    pub body: String,
    pub head: String,
    pub base: String,
    /// As the branch was when it was seen last.
    pub head_sha: String,
    pub base_sha: String,
    pub is_draft: bool,
    pub is_closed: bool,
    /// Who did it, as far as anybody says.
    pub closed_by: Option<String>,
    pub merge_commit: Option<String>,
    pub reviewers: Vec<String>,
    pub at: u64,
}

#[derive(Clone, Debug, Default)]
pub struct Issue {
    pub number: u64,
    pub author: String,
    pub title: String,
    pub body: String,
    pub labels: Vec<String>,
    pub is_closed: bool,
    pub closed_by: Option<String>,
    pub at: u64,
}

/// A comment below a pull request or an issue, or beside a line.
#[derive(Clone, Debug, Default)]
pub struct Said {
    pub id: u64,
    pub number: u64,
    pub author: String,
    pub body: String,
    pub path: String,
    pub line: Option<u64>,
    pub reply_to: Option<u64>,
    pub review: Option<u64>,
    pub commit: String,
    pub at: u64,
}

#[derive(Clone, Debug, Default)]
pub struct Reviewed {
    pub id: u64,
    pub number: u64,
    pub author: String,
    /// GitHub's word.
    pub state: String,
    pub body: String,
    pub commit: String,
    pub at: u64,
}

#[derive(Clone, Debug, Default)]
pub struct CheckRun {
    pub id: u64,
    pub sha: String,
    pub name: String,
    /// None while it runs.
    pub conclusion: Option<String>,
    pub summary: String,
    pub annotations: Vec<(String, u64, String)>,
    /// Where its log is.
    pub log: Option<String>,
    /// The suite that it is in, when that is not [`OWN_SUITE`].
    pub suite: Option<u64>,
}

/// The runs of one app for a commit.
#[derive(Clone, Debug, Default)]
pub struct Suite {
    pub id: u64,
    pub sha: String,
    /// Its short name.
    pub app: String,
    pub is_done: bool,
    pub runs: u64,
    /// For which branch it was made.
    pub branch: String,
}

#[derive(Clone, Debug, Default)]
pub struct Status {
    pub id: u64,
    pub sha: String,
    pub context: String,
    pub state: String,
    pub description: String,
}

#[derive(Clone, Debug, Default)]
pub struct Hook {
    pub id: u64,
    pub url: String,
    pub secret: String,
}

/// One attempt to deliver.
#[derive(Clone, Debug, Default)]
pub struct Delivered {
    pub id: u64,
    pub hook: u64,
    pub guid: String,
    pub event: String,
    pub action: Option<String>,
    pub body: String,
    pub at: u64,
    pub is_redelivery: bool,
    /// 0 until it is made.
    pub status: u16,
}

#[derive(Default)]
pub struct State {
    /// Where it is: `http://127.0.0.1:1234`.
    pub root: String,
    pub repos: Vec<Repo>,
    pub effects: Effects,
    /// Tokens that an app got, each with the repository that it opens and until when (UTC ms).
    pub tokens: BTreeMap<String, (String, u64)>,
    /// By which tokens end; the machine's where a test has none of its own.
    pub clock: Option<mimir::clock::Clock>,
    /// The public key of the app, if there is one.
    pub app: Option<App>,
    pub blobs: BTreeMap<String, String>,
    /// Whether it does not tell whose a token is.
    pub tells_nobody: bool,
    /// What it says of the token that it was asked with.
    pub of_token: Vec<(&'static str, String)>,
    pub next_id: u64,
    /// Seconds since 1970; everything that happens is a second after what was before.
    pub now: u64,
}

/// An app that is installed.
#[derive(Clone, Debug, Default)]
pub struct App {
    pub public_key: Vec<u8>,
    /// For which repositories.
    pub repositories: Vec<String>,
    /// What it was granted.
    pub granted: BTreeMap<String, String>,
}

impl State {
    pub fn id(&mut self) -> u64 {
        self.next_id += 1;
        1_000 + self.next_id
    }

    pub fn tick(&mut self) -> u64 {
        self.now += 1;
        self.now
    }

    pub fn now_ms(&self) -> u64 {
        self.clock.clone().unwrap_or_else(mimir::clock::Clock::system).now_ms()
    }

    pub fn repo(&mut self, path: &str) -> Option<&mut Repo> {
        self.repos.iter_mut().find(|repo| repo.path.eq_ignore_ascii_case(path))
    }
}

impl Repo {
    pub fn bare(&self) -> &Bare {
        self.bare.as_ref().expect("its folder")
    }

    pub fn head(&self, branch: &str) -> Option<String> {
        self.bare().branch(branch)
    }

    pub fn pull(&self, number: u64) -> Option<&Pull> {
        self.pulls.iter().find(|pull| pull.number == number)
    }

    pub fn pull_mut(&mut self, number: u64) -> Option<&mut Pull> {
        self.pulls.iter_mut().find(|pull| pull.number == number)
    }

    /// Looks at the branches of those that are open.
    pub fn refresh(&mut self) {
        for at in 0..self.pulls.len() {
            let pull = &self.pulls[at];
            if pull.is_closed {
                continue;
            }
            let (head, base) = (self.head(&pull.head), self.head(&pull.base));
            let pull = &mut self.pulls[at];
            pull.head_sha = head.unwrap_or_else(|| pull.head_sha.clone());
            pull.base_sha = base.unwrap_or_else(|| pull.base_sha.clone());
        }
    }

    /// What git says of commits by their ids, which stays so: it is asked once.
    pub fn of_commits(&self, args: &[&str]) -> Option<String> {
        let key: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let known = self.known.lock().get(&key).cloned();
        known.unwrap_or_else(|| {
            let said = self.bare().attempt(args);
            self.known.lock().insert(key, said.clone());
            said
        })
    }

    /// The tree of both together; none when they do not go together.
    fn tree(&self, pull: &Pull) -> Option<String> {
        self.of_commits(&["merge-tree", "--write-tree", &pull.base_sha, &pull.head_sha])
    }

    pub fn is_mergeable(&self, pull: &Pull) -> bool {
        !pull.is_closed && self.tree(pull).is_some()
    }

    /// Merges it in the bare repository and gives the new commit, which says what its title says.
    pub fn merge(&mut self, number: u64, method: &str) -> Option<String> {
        let message = format!("{} (#{number})", self.pull(number)?.title);
        self.merge_as(number, method, &message)
    }

    /// The same in other words.
    pub fn merge_as(&mut self, number: u64, method: &str, message: &str) -> Option<String> {
        let pull = self.pull(number)?.clone();
        let tree = self.tree(&pull)?;
        let mut args = vec!["commit-tree", &tree, "-m", message, "-p", &pull.base_sha];
        if method == "merge" {
            args.extend(["-p", &pull.head_sha]);
        }
        let commit = self.bare().git(&args);
        let name = format!("refs/heads/{}", pull.base);
        self.bare().git(&["update-ref", &name, &commit, &pull.base_sha]);
        let pull = self.pull_mut(number)?;
        pull.is_closed = true;
        pull.merge_commit = Some(commit.clone());
        Some(commit)
    }

    /// The suites of a commit: those of the app whose runs there are, unless somebody said how it is, and all others.
    pub fn suites(&self, sha: &str) -> Vec<Suite> {
        let mut all: Vec<Suite> = self.suites.iter().filter(|suite| suite.sha == sha).cloned().collect();
        let runs: Vec<_> = self.checks.iter().filter(|run| run.sha == sha).collect();
        let is_known = all.iter().any(|suite| suite.app == OWN_APP);
        if !runs.is_empty() && !is_known {
            let is_done = runs.iter().all(|run| run.conclusion.is_some());
            let (sha, app, runs) = (sha.to_owned(), OWN_APP.to_owned(), runs.len() as u64);
            let branch = self.default_branch();
            all.push(Suite { id: OWN_SUITE, sha, app, is_done, runs, branch });
        }
        all
    }

    pub fn default_branch(&self) -> String {
        "main".to_owned()
    }
}
