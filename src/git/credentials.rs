//! What opens a forge: asked for where the owner keeps it, just before it is used, and never written down.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::config::Live;
use crate::config::schema::{Git as Settings, GitCredential, TokenSource};
use crate::forge::{Apps, ForgeError, Key, Keys};
use crate::model::git::{ForgeHost, Repository};
use crate::model::secret::Secret;

/// How long a command or a helper may take.
const WITHIN: Duration = Duration::from_secs(20);
/// How long what it said is kept: a clone asks three times within a second.
const KEPT: Duration = Duration::from_secs(60);
/// The longest token.
const LONGEST: usize = 16 * 1024;
/// The name that forges expect beside a token, as far as they look at it.
const USER: &str = "x-access-token";

/// Why there is no credential where there should be one.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the credential for {host} cannot be had: {why}")]
pub struct CredentialError {
    /// For which forge.
    pub host: String,
    /// Why; nothing of it is secret.
    pub why: String,
}

/// What opens a forge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    user: String,
    token: Secret,
}

impl Credential {
    /// The value of the header `Authorization`.
    #[must_use]
    pub fn header(&self) -> Secret {
        Secret::new(format!("Basic {}", STANDARD.encode(format!("{}:{}", self.user, self.token.reveal()))))
    }

    /// The token itself, to look for.
    #[must_use]
    pub fn token(&self) -> &Secret {
        &self.token
    }
}

/// Where credentials come from. Cheap to clone.
#[derive(Clone)]
pub struct Credentials {
    settings: Live<Settings>,
    apps: Apps,
    kept: Arc<Mutex<HashMap<String, Kept>>>,
}

/// What was found a moment ago.
struct Kept {
    at: Instant,
    of: GitCredential,
    found: Credential,
}

impl Credentials {
    /// As the configuration says.
    #[must_use]
    pub fn new(settings: Live<Settings>, apps: Apps) -> Self {
        Self { settings, apps, kept: Arc::default() }
    }

    /// The forge at that host, if it is one.
    #[must_use]
    pub fn forge(&self, host: &str) -> Option<ForgeHost> {
        let settings = self.settings.now();
        let listed = settings.hosts.iter().find(|forge| forge.authority == host).cloned();
        listed.or_else(|| ForgeHost::known().find(|forge| forge.authority == host))
    }

    /// What opens a repository at that forge; none when the configuration knows nothing.
    ///
    /// # Errors
    /// When it does, and what it names gives nothing.
    pub async fn of(
        &self,
        forge: &ForgeHost,
        repository: &Repository,
    ) -> Result<Option<Credential>, CredentialError> {
        let Some(entry) = self.entry(forge) else { return Ok(None) };
        if let TokenSource::App(app) = &entry.source {
            let key = self
                .apps
                .key(forge, app, repository)
                .await
                .map_err(|error| CredentialError { host: forge.authority.clone(), why: error.to_string() })?;
            return Ok(Some(Credential { user: USER.to_owned(), token: key.token }));
        }
        self.kept_or_found(forge, &entry).await
    }

    fn entry(&self, forge: &ForgeHost) -> Option<GitCredential> {
        let settings = self.settings.now();
        settings.credentials.iter().find(|entry| entry.host.authority == forge.authority).cloned()
    }

    /// One that holds for everything at that forge.
    async fn kept_or_found(
        &self,
        forge: &ForgeHost,
        entry: &GitCredential,
    ) -> Result<Option<Credential>, CredentialError> {
        {
            let mut kept = self.kept.lock();
            kept.retain(|_, known| known.at.elapsed() < KEPT);
            if let Some(known) = kept.get(&forge.authority)
                && known.of == *entry
            {
                return Ok(Some(known.found.clone()));
            }
        }
        let failed = |why: String| CredentialError { host: forge.authority.clone(), why };
        let (user, token) = match &entry.source {
            TokenSource::Here(None) | TokenSource::App(_) => return Ok(None),
            TokenSource::Here(Some(token)) => (None, token.reveal().to_owned()),
            TokenSource::File(path) => (None, from_file(path.clone()).await.map_err(failed)?),
            TokenSource::Command(command) => (None, from_command(command).await.map_err(failed)?),
            TokenSource::Helper => from_helper(forge).await.map_err(failed)?,
        };
        let token = token.trim().to_owned();
        if token.is_empty() || token.len() > LONGEST || token.chars().any(char::is_control) {
            return Err(failed("what was found is no token".to_owned()));
        }
        let user = entry.user.clone().or(user).unwrap_or_else(|| USER.to_owned());
        let found = Credential { user, token: Secret::new(token) };
        let known = Kept { at: Instant::now(), of: entry.clone(), found: found.clone() };
        self.kept.lock().insert(forge.authority.clone(), known);
        Ok(Some(found))
    }
}

#[async_trait]
impl Keys for Credentials {
    fn host(&self, authority: &str) -> Option<ForgeHost> {
        self.forge(authority)
    }

    async fn key(&self, host: &ForgeHost, repository: &Repository) -> Result<Option<Key>, ForgeError> {
        let Some(entry) = self.entry(host) else { return Ok(None) };
        if let TokenSource::App(app) = &entry.source {
            return self.apps.key(host, app, repository).await.map(Some);
        }
        let found = self.kept_or_found(host, &entry).await;
        let found = found.map_err(|error| ForgeError::Auth(error.to_string()))?;
        Ok(found.map(|found| Key { token: found.token, login: None, expires_at: None }))
    }

    async fn instead_of(
        &self,
        host: &ForgeHost,
        repository: &Repository,
        token: &Secret,
    ) -> Result<Option<Key>, ForgeError> {
        let Some(entry) = self.entry(host) else { return Ok(None) };
        match &entry.source {
            TokenSource::App(app) => self.apps.instead_of(host, app, repository, token).await.map(Some),
            _ => Ok(None),
        }
    }
}

async fn from_file(path: PathBuf) -> Result<String, String> {
    let shown = path.display().to_string();
    tokio::fs::read_to_string(path).await.map_err(|error| format!("{shown} cannot be read: {error}"))
}

/// As the owner would type it: with the gateway's environment, in no project's folder.
async fn from_command(text: &str) -> Result<String, String> {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", text]);
    let said = said(command, Vec::new()).await.map_err(|why| format!("`{text}`: {why}"))?;
    Ok(said.lines().next().unwrap_or_default().to_owned())
}

/// The user's own git and its helpers, in no repository.
async fn from_helper(forge: &ForgeHost) -> Result<(Option<String>, String), String> {
    let mut git = Command::new("git");
    git.args(["-c", "core.askPass=", "credential", "fill"]).env("GIT_TERMINAL_PROMPT", "0");
    git.env_remove("SSH_ASKPASS");
    let protocol = if forge.is_plain { "http" } else { "https" };
    let question = format!("protocol={protocol}\nhost={}\n\n", forge.authority);
    let said = said(git, question.into_bytes())
        .await
        .map_err(|why| format!("git's credential helpers know none ({why})"))?;
    let value = |key: &str| said.lines().find_map(|line| line.strip_prefix(key)).map(str::to_owned);
    let token = value("password=").ok_or("git's credential helpers know none")?;
    Ok((value("username="), token))
}

/// What a program prints. Of what goes wrong nothing is repeated that it printed there: it may be half a token.
async fn said(mut command: Command, input: Vec<u8>) -> Result<String, String> {
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"GIT_") {
            command.env_remove(name);
        }
    }
    command.env("GIT_TERMINAL_PROMPT", "0").current_dir("/").kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let run = async {
        let mut child = command.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            let _ = stdin.write_all(&input).await;
        }
        child.wait_with_output().await
    };
    match tokio::time::timeout(WITHIN, run).await {
        Ok(Ok(done)) if done.status.success() => {
            String::from_utf8(done.stdout).map_err(|_| "it printed no text".to_owned())
        }
        Ok(Ok(done)) => Err(format!("it ended with {}", done.status.code().unwrap_or(-1))),
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => Err("it is not installed".to_owned()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("it took longer than {} s", WITHIN.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::outbound::HttpClients;

    fn of(source: TokenSource) -> Credentials {
        let host = ForgeHost::parse("git.test").expect("a host");
        let credentials = vec![GitCredential { host, user: None, source }];
        let apps = Apps::new(HttpClients::default(), Clock::system(), crate::forge::Settings::default());
        Credentials::new(Live::new(Settings { credentials, ..Settings::default() }), apps)
    }

    async fn header(source: TokenSource, host: &str) -> Result<Option<String>, String> {
        let forge = ForgeHost::parse(host).expect("a host");
        let repository = Repository::new(host, "me/blog").expect("a repository");
        let found = of(source).of(&forge, &repository).await.map_err(|error| error.to_string())?;
        Ok(found.map(|found| found.header().reveal().to_owned()))
    }

    #[tokio::test]
    async fn a_token_comes_from_where_its_owner_keeps_it() {
        let wanted = Ok(Some("Basic eC1hY2Nlc3MtdG9rZW46dDBrM24=".to_owned()));
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("token");
        std::fs::write(&file, "t0k3n\n").expect("written");
        for source in [
            TokenSource::Here(Some(Secret::new("t0k3n"))),
            TokenSource::File(file),
            TokenSource::Command("printf 't0k3n\\nmore\\n'".to_owned()),
        ] {
            assert_eq!(header(source.clone(), "git.test").await, wanted, "{source:?}");
            assert_eq!(header(source, "other.test").await, Ok(None), "it opens no other");
        }
        assert_eq!(header(TokenSource::Here(None), "git.test").await, Ok(None), "the variable is not set");
    }

    #[tokio::test]
    async fn one_that_cannot_be_had_is_said_and_nothing_of_it_repeated() {
        for (source, why) in [
            (TokenSource::File("/nowhere/at/all".into()), "cannot be read"),
            (TokenSource::Command("echo half-a-token; exit 3".to_owned()), "it ended with 3"),
            (TokenSource::Command("true".to_owned()), "is no token"),
            (TokenSource::Command("printf 'a\\033b'".to_owned()), "is no token"),
        ] {
            let error = header(source, "git.test").await.expect_err("none");
            assert!(error.contains(why) && !error.contains("half-a-token\n"), "{error}");
        }
    }
}
