//! A repository at a forge, as the host's git reaches it: the credential is in the environment of one process alone.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::process::Command;

use super::credentials::Credential;
use super::error::GitError;
use super::program::{Git, last_words, nothing};
use crate::model::git::{ForgeHost, RefUpdate, Repository};
use crate::model::secret::Secret;
use crate::redact::Secrets;

/// How long a forge may take to say what it has.
const LISTS: Duration = Duration::from_secs(60);
/// And to take something.
const TAKES: Duration = Duration::from_secs(5 * 60);

/// A repository at a forge.
#[derive(Clone, Debug)]
pub struct Remote {
    /// Which.
    pub repository: Repository,
    /// Where.
    pub forge: ForgeHost,
    /// What opens it, if there is something.
    pub credential: Option<Credential>,
}

/// What became of one branch or tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// The forge has it now, or had it already.
    Done,
    /// It does not take it, for that reason.
    Refused(String),
}

impl Remote {
    /// Its address for git.
    #[must_use]
    pub fn address(&self) -> String {
        self.repository.address(&self.forge)
    }

    /// The header that opens it.
    #[must_use]
    pub fn header(&self) -> Option<Secret> {
        self.credential.as_ref().map(Credential::header)
    }

    /// A text of the forge's without what opens it.
    pub(super) fn clean(&self, text: &str) -> String {
        let Some(credential) = &self.credential else { return text.to_owned() };
        let encoded = Secret::new(STANDARD.encode(credential.token().reveal()));
        Secrets::new([credential.token(), &encoded, &credential.header()]).out_of(text)
    }

    /// Adds to a command what leads there.
    pub(super) fn equip(&self, command: &mut Command) {
        if self.forge.is_plain {
            command.args(["-c", "protocol.http.allow=always"]);
        }
        if let Some(header) = self.header() {
            // Not among the arguments, which every user of the machine can read.
            let scheme = if self.forge.is_plain { "http" } else { "https" };
            command.env("GIT_CONFIG_COUNT", "1");
            command.env("GIT_CONFIG_KEY_0", format!("http.{scheme}://{}/.extraHeader", self.forge.authority));
            command.env("GIT_CONFIG_VALUE_0", format!("Authorization: {}", header.reveal()));
        }
    }
}

impl Git {
    /// What the forge has: branches, tags, and which branch is its first.
    pub(super) async fn list(&self, within: &Path, remote: &Remote) -> Result<Listed, GitError> {
        let what = "asking the forge what it has";
        let mut command = self.command(within);
        remote.equip(&mut command);
        command.args(["ls-remote", "--symref", "--quiet", "--", &remote.address()]);
        let said = self.say(what, command, nothing(), LISTS).await?;
        if said.code != Some(0) {
            let why = remote.clean(&last_words(&said.stderr, said.code));
            return Err(GitError::Refused { what, why });
        }
        Ok(Listed::parse(&String::from_utf8_lossy(&said.stdout)))
    }

    /// Moves branches and tags at the forge, each only if it is still where it was. May be repeated: one that is where it
    /// shall be already is done.
    pub(super) async fn push(
        &self,
        from: &Path,
        remote: &Remote,
        updates: &[RefUpdate],
    ) -> Result<BTreeMap<String, Pushed>, GitError> {
        let before = self.list(from, remote).await?;
        let mut became = BTreeMap::new();
        let mut left = Vec::new();
        for update in updates {
            let there = before.heads.get(&update.name);
            if there == update.to.as_ref() {
                became.insert(update.name.clone(), Pushed::Done);
            } else if there != update.from.as_ref() {
                let why = "it was moved at the forge meanwhile: fetch, and push again".to_owned();
                became.insert(update.name.clone(), Pushed::Refused(why));
            } else {
                left.push(update);
            }
        }
        if left.is_empty() {
            return Ok(became);
        }
        let mut command = self.command(from);
        remote.equip(&mut command);
        command.args(["push", "--porcelain", "--no-verify", "--no-signed", "--no-follow-tags", "--no-thin"]);
        for update in &left {
            // Without a value it must not be there.
            let lease = update.from.as_deref().unwrap_or_default();
            command.arg(format!("--force-with-lease={}:{lease}", update.name));
        }
        command.args(["--", &remote.address()]);
        for update in &left {
            command.arg(format!("{}:{}", update.to.as_deref().unwrap_or_default(), update.name));
        }
        let said = self.say("pushing to the forge", command, nothing(), TAKES).await;
        // Whatever it said: what is there now is what counts.
        let after = self.list(from, remote).await;
        let words = match &said {
            Ok(said) => remote.clean(&refusals(&String::from_utf8_lossy(&said.stdout), &said.stderr)),
            Err(error) => error.to_string(),
        };
        let after = after?;
        for update in left {
            let is_done = after.heads.get(&update.name) == update.to.as_ref();
            let pushed = if is_done { Pushed::Done } else { Pushed::Refused(words.clone()) };
            became.insert(update.name.clone(), pushed);
        }
        Ok(became)
    }
}

/// What a forge has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) heads: BTreeMap<String, String>,
    /// The whole name of its first branch.
    pub(super) first: Option<String>,
}

impl Listed {
    fn parse(text: &str) -> Self {
        let mut listed = Self::default();
        for (value, name) in text.lines().filter_map(|line| line.split_once('\t')) {
            if let Some(first) = value.strip_prefix("ref: ") {
                listed.first = (name == "HEAD").then(|| first.to_owned()).or(listed.first);
            } else if (name.starts_with("refs/heads/") || name.starts_with("refs/tags/"))
                && !name.ends_with("^{}")
            {
                listed.heads.insert(name.to_owned(), value.to_owned());
            }
        }
        listed
    }
}

/// Why a forge did not take something: what it said to people first, then what git makes of it.
fn refusals(porcelain: &str, stderr: &str) -> String {
    let said = stderr.lines().filter_map(|line| line.strip_prefix("remote: ")).map(str::trim);
    let said: Vec<&str> = said.filter(|line| !line.is_empty()).take(4).collect();
    let of_git = porcelain.lines().filter(|line| line.starts_with('!'));
    let of_git: Vec<&str> = of_git.filter_map(|line| line.rsplit('\t').next()).take(4).collect();
    let words: Vec<&str> = of_git.into_iter().chain(said).collect();
    match words.is_empty() {
        false => words.join("; ").chars().take(500).collect(),
        true => last_words(stderr, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forge_is_understood() {
        let listed = Listed::parse(
            "ref: refs/heads/main\tHEAD\naa\tHEAD\naa\trefs/heads/main\nbb\trefs/tags/v1\ncc\trefs/tags/v1^{}\n\
             dd\trefs/pull/1/head\n",
        );
        assert_eq!(listed.first.as_deref(), Some("refs/heads/main"));
        assert_eq!(listed.heads.keys().collect::<Vec<_>>(), ["refs/heads/main", "refs/tags/v1"]);
        let why = refusals(
            "To x\n!\taa:refs/heads/x\t[remote rejected] (protected branch hook declined)\nDone\n",
            "",
        );
        assert_eq!(why, "[remote rejected] (protected branch hook declined)");
        let why = refusals("", "remote: error: GH006: Protected branch\nerror: failed to push\n");
        assert_eq!(why, "error: GH006: Protected branch");
    }
}
