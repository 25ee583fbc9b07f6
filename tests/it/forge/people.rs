//! What people and other programs do at the forge, as tests say it; and what was done there.

use std::path::Path;
use std::time::{Duration, Instant};

use mimir::model::forge::App as AppKey;

use super::api::Trip;
use super::state::{App, CheckRun, Effects, Hook, Issue, OWN_APP, Pull, Repo, Reviewed, Said, Status, Suite};
use super::{Bare, Forge, described, github, hooks};

impl Forge {
    /// As `git.hosts` has it, with its kind said.
    pub fn host_of_kind(&self, kind: &str) -> String {
        format!("{kind}:http://{}", self.address)
    }

    /// As mimir names a repository.
    pub fn name_of(&self, path: &str) -> String {
        format!("{}/{path}", self.address)
    }

    pub(super) fn register(&self, path: &str, bare: &Bare) {
        let mut state = self.shared.api.state.lock();
        let id = state.id();
        let repo = Repo {
            path: path.to_owned(),
            bare: Some(bare.clone()),
            id,
            own_right: "write",
            ..Repo::default()
        };
        state.repos.push(repo);
    }

    /// Changes what the forge knows of a repository.
    pub fn change<T>(&self, path: &str, change: impl FnOnce(&mut Repo) -> T) -> T {
        change(self.shared.api.state.lock().repo(path).expect("a repository"))
    }

    /// A user's role there: admin, maintain, write, triage, read.
    pub fn allow(&self, path: &str, user: &str, role: &'static str) {
        self.change(path, |repo| repo.rights.insert(user.to_owned(), role));
    }

    /// A pull request as it is.
    pub fn pull(&self, path: &str, number: u64) -> Pull {
        self.change(path, |repo| {
            repo.refresh();
            repo.pull(number).expect("a pull request").clone()
        })
    }

    /// Somebody says something below a pull request or an issue.
    pub fn say(&self, path: &str, number: u64, user: &str, body: &str) -> u64 {
        let mut state = self.shared.api.state.lock();
        let repo = github::say(&mut state, path, user, number, body);
        let id = repo.comments.last().expect("it was just said").id;
        // What mimir does is counted, not what people do.
        state.effects.comments -= 1;
        self.shared.api.wake.notify_one();
        id
    }

    /// Somebody reviews a pull request: GitHub's word for the outcome, a text, and what stands beside lines.
    pub fn review(
        &self,
        path: &str,
        number: u64,
        user: &str,
        word: &str,
        body: &str,
        inline: &[(&str, u64, &str)],
    ) -> u64 {
        let mut state = self.shared.api.state.lock();
        let (id, at) = (state.id(), state.tick());
        let repo = state.repo(path).expect("a repository");
        repo.refresh();
        let commit = repo.pull(number).expect("a pull request").head_sha.clone();
        let (state_word, author) = (word.to_owned(), user.to_owned());
        repo.reviews.push(Reviewed {
            id,
            number,
            author,
            state: state_word,
            body: body.to_owned(),
            commit: commit.clone(),
            at,
        });
        for (file, line, text) in inline {
            let said = Said {
                number,
                author: user.to_owned(),
                body: (*text).to_owned(),
                path: (*file).to_owned(),
                line: Some(*line),
                review: Some(id),
                commit: commit.clone(),
                ..Said::default()
            };
            github::say_inline(&mut state, path, said);
        }
        hooks::of_review(&mut state, path, id);
        self.shared.api.wake.notify_one();
        id
    }

    /// A check of a commit; without a conclusion it runs.
    pub fn check(&self, path: &str, sha: &str, name: &str, conclusion: Option<&str>) -> u64 {
        self.check_with(
            path,
            CheckRun {
                sha: sha.to_owned(),
                name: name.to_owned(),
                conclusion: conclusion.map(str::to_owned),
                ..CheckRun::default()
            },
        )
    }

    /// The same with everything that a check may have. One of that name for that commit is run again.
    pub fn check_with(&self, path: &str, mut run: CheckRun) -> u64 {
        let mut state = self.shared.api.state.lock();
        run.id = state.id();
        let (id, is_done) = (run.id, run.conclusion.is_some());
        let repo = state.repo(path).expect("a repository");
        repo.checks.retain(|known| known.sha != run.sha || known.name != run.name);
        repo.checks.push(run);
        if is_done {
            hooks::of_check(&mut state, path, id);
            self.shared.api.wake.notify_one();
        }
        id
    }

    /// The runs of an app for a commit: whether these are all, and how many there are until now.
    pub fn suite(&self, path: &str, sha: &str, app: &str, is_done: bool, runs: u64) {
        let id = self.shared.api.state.lock().id();
        self.change(path, |repo| {
            repo.suites.retain(|known| known.sha != sha || known.app != app);
            let (sha, app, branch) = (sha.to_owned(), app.to_owned(), repo.default_branch());
            repo.suites.push(Suite { id, sha, app, is_done, runs, branch });
        });
    }

    /// One more suite of the app whose checks there are, for a branch: with a run of that name, which goes on without a
    /// conclusion.
    pub fn suite_for(&self, path: &str, sha: &str, branch: &str, name: &str, conclusion: Option<&str>) {
        let mut state = self.shared.api.state.lock();
        let (id, run) = (state.id(), state.id());
        let repo = state.repo(path).expect("a repository");
        let (sha, app, branch) = (sha.to_owned(), OWN_APP.to_owned(), branch.to_owned());
        let (name, conclusion) = (name.to_owned(), conclusion.map(str::to_owned));
        let is_done = conclusion.is_some();
        repo.suites.push(Suite { id, sha: sha.clone(), app, is_done, runs: 1, branch });
        repo.checks.push(CheckRun { id: run, sha, name, conclusion, suite: Some(id), ..CheckRun::default() });
    }

    /// Somebody opens a pull request from a branch of that repository.
    pub fn open(&self, path: &str, user: &str, head: &str, base: &str) -> u64 {
        let mut state = self.shared.api.state.lock();
        let repo = state.repo(path).expect("a repository");
        let (head_sha, base_sha) = (repo.head(head).expect("a branch"), repo.head(base).expect("a branch"));
        let (author, title) = (user.to_owned(), format!("{head}, please"));
        let (head, base) = (head.to_owned(), base.to_owned());
        let pull = Pull { author, title, head, base, head_sha, base_sha, ..Pull::default() };
        let number = github::insert(&mut state, path, pull);
        // What mimir does is counted, not what people do.
        state.effects.pulls -= 1;
        number
    }

    /// Somebody closes a pull request without a merge.
    pub fn close(&self, path: &str, user: &str, number: u64) {
        self.change(path, |repo| {
            let pull = repo.pull_mut(number).expect("a pull request");
            (pull.is_closed, pull.closed_by) = (true, Some(user.to_owned()));
        });
    }

    /// From now on nobody is told whose a token is.
    pub fn tells_nobody_who_we_are(&self) {
        self.shared.api.state.lock().tells_nobody = true;
    }

    /// The tokens of the app end by that clock.
    pub fn ends_tokens_by(&self, clock: &mimir::clock::Clock) {
        self.shared.api.state.lock().clock = Some(clock.clone());
    }

    /// No token of the app opens anything any more.
    pub fn revoke_tokens(&self) {
        self.shared.api.state.lock().tokens.clear();
    }

    /// The app is not installed any more.
    pub fn remove_app(&self) {
        let mut state = self.shared.api.state.lock();
        state.tokens.clear();
        state.app.as_mut().expect("an app").repositories.clear();
    }

    /// A status of a commit: pending, success, failure or error.
    pub fn status(&self, path: &str, sha: &str, context: &str, word: &str) {
        let mut state = self.shared.api.state.lock();
        let id = state.id();
        let repo = state.repo(path).expect("a repository");
        repo.statuses.retain(|known| known.sha != sha || known.context != context);
        let description = format!("{context} says {word}");
        let (sha, context, state) = (sha.to_owned(), context.to_owned(), word.to_owned());
        repo.statuses.push(Status { id, sha, context, state, description });
    }

    /// An issue; hooks hear of it and of each label.
    pub fn issue(&self, path: &str, user: &str, title: &str, body: &str, labels: &[&str]) -> u64 {
        let mut state = self.shared.api.state.lock();
        let at = state.tick();
        let repo = state.repo(path).expect("a repository");
        repo.next_number += 1;
        let number = repo.next_number;
        let labels: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
        let (author, title, body) = (user.to_owned(), title.to_owned(), body.to_owned());
        let labelled = labels.clone();
        repo.issues.push(Issue { number, author, title, body, labels: labelled, at, ..Issue::default() });
        hooks::of_issue(&mut state, path, number, "opened", None);
        labels.iter().for_each(|label| hooks::of_issue(&mut state, path, number, "labeled", Some(label)));
        self.shared.api.wake.notify_one();
        number
    }

    /// Whoever is behind that address hears of everything that happens there, signed with that secret.
    pub fn hook(&self, path: &str, url: &str, secret: &str) -> u64 {
        let mut state = self.shared.api.state.lock();
        let id = state.id();
        hooks::register(&mut state, path, Hook { id, url: url.to_owned(), secret: secret.to_owned() });
        self.shared.api.wake.notify_one();
        id
    }

    /// Pushes made from within are told to hooks.
    pub fn pushed(&self) {
        self.shared.api.was_pushed_to();
    }

    /// Installs an app, whose new key is put into that folder.
    pub fn app(&self, folder: &Path, repositories: &[&str], granted: &[(&str, &str)]) -> AppKey {
        let key_file = folder.join("app.pem");
        let made = std::process::Command::new("openssl")
            .args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out"])
            .arg(&key_file)
            .output()
            .expect("openssl");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let public = std::process::Command::new("openssl")
            .args(["rsa", "-RSAPublicKey_out", "-outform", "DER", "-in"])
            .arg(&key_file)
            .output()
            .expect("openssl");
        assert!(public.status.success(), "{}", String::from_utf8_lossy(&public.stderr));
        let app = App {
            public_key: public.stdout,
            repositories: repositories.iter().map(|path| (*path).to_owned()).collect(),
            granted: granted.iter().map(|(what, how)| ((*what).to_owned(), (*how).to_owned())).collect(),
        };
        self.shared.api.state.lock().app = Some(app);
        AppKey { id: "77".to_owned(), key_file, installation: None }
    }

    /// What the forge says of the token from now on, in headers.
    pub fn says_of_token(&self, headers: &[(&'static str, &str)]) {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned()));
        self.shared.api.state.lock().of_token = headers.collect();
    }

    /// A text that anybody may read, at an address of its own.
    pub fn blob(&self, name: &str, text: &str) -> String {
        self.shared.api.state.lock().blobs.insert(name.to_owned(), text.to_owned());
        format!("http://{}/blob/{name}", self.address)
    }

    /// The next exchange of that method, whose path contains that, goes wrong so.
    pub fn plan(&self, method: &'static str, path: &str, trip: Trip) {
        self.shared.api.plan(method, path, trip);
    }

    /// From now on, of each kind of exchange (`POST /api/v3/repos/me/blog/pulls/*/comments`) for which `fits` says yes, the
    /// one of that number goes wrong so.
    pub fn plan_each(&self, trip: Trip, nth: u32, fits: fn(&str) -> bool) {
        self.shared.api.plan_each(trip, nth, fits);
    }

    /// The kinds of which one went wrong so.
    pub fn tripped(&self) -> Vec<String> {
        self.shared.api.tripped()
    }

    /// How many of those did not come yet.
    pub fn planned(&self) -> usize {
        self.shared.api.planned()
    }

    /// What was done through the API.
    pub fn effects(&self) -> Effects {
        self.shared.api.state.lock().effects.clone()
    }

    /// Waits until a hook was told of so many things, and says which.
    pub async fn told(&self, path: &str, hook: u64, count: usize) -> Vec<(String, Option<String>, u16)> {
        let begun = Instant::now();
        loop {
            let told: Vec<_> = self.change(path, |repo| {
                let made = repo.deliveries.iter().filter(|it| it.hook == hook && it.status > 0);
                made.map(|it| (it.event.clone(), it.action.clone(), it.status)).collect()
            });
            if told.len() >= count {
                return told;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "it was told of {told:?}, and not of {count} things"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Nothing was said, in either direction, that GitHub's own description does not allow.
    pub fn assert_as_described(&self) {
        let violations = self.shared.api.violations.lock().clone();
        assert!(violations.is_empty(), "not as GitHub describes it:\n{}", violations.join("\n"));
        let asked = self.seen().iter().filter(|it| it.path.starts_with("/api/v3/")).count();
        let looked_at = *self.shared.api.looked_at.lock();
        assert!(
            looked_at > 0 || asked == 0 || !described::is_there(),
            "of {asked} exchanges none was compared"
        );
    }
}
