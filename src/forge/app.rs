//! A GitHub App: with its private key it says who it is, and gets a token for one repository that holds for an hour and
//! can do no more than is needed.
//!
//! The token of RFC 7519 that it shows for that is three parts long and signed with `ring`, which is here anyway.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use parking_lot::{Mutex, RwLock};
use reqwest::Method;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::json;
use zeroize::Zeroizing;

use super::call::Call;
use super::endpoints::{api, owner_and_name};
use super::error::ForgeError;
use super::json::Json;
use super::transport::{Opener, Settings, Transport};
use crate::clock::Clock;
use crate::model::forge::App;
use crate::model::git::{ForgeHost, ForgeKind, Repository};
use crate::model::secret::Secret;
use crate::outbound::HttpClients;
use crate::supervisor::failpoint::Failpoints;

/// A token is not used for the last minutes that it holds: what is begun with it must end.
const LAST_MS: u64 = 5 * 60 * 1000;
/// What the app must have been granted.
const NEEDED: [(&str, &str); 6] = [
    ("contents", "write"),
    ("pull_requests", "write"),
    ("issues", "write"),
    ("checks", "read"),
    ("statuses", "read"),
    ("metadata", "read"),
];
/// What it is granted as well, if it may have it: the logs of failed checks.
const WELCOME: (&str, &str) = ("actions", "read");

/// What opens a forge's API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The token.
    pub token: Secret,
    /// The name that stands beside what is said with it, where that is known without asking.
    pub login: Option<String>,
    /// Until when it holds, where that is known.
    pub expires_at: Option<u64>,
}

/// Tokens of apps. Clones share them.
#[derive(Clone)]
pub struct Apps {
    http: HttpClients,
    clock: Clock,
    settings: Settings,
    failpoints: Failpoints,
    kept: Arc<Mutex<HashMap<(App, Repository), Key>>>,
}

impl Apps {
    /// Without a token yet.
    #[must_use]
    pub fn new(http: HttpClients, clock: Clock, settings: Settings) -> Self {
        Self { http, clock, settings, failpoints: Failpoints::default(), kept: Arc::default() }
    }

    /// The same in a gateway that may die there.
    #[must_use]
    pub fn with_failpoints(self, failpoints: Failpoints) -> Self {
        Self { failpoints, ..self }
    }

    /// What opens that repository and nothing else.
    ///
    /// # Errors
    /// See [`ForgeError`]; [`ForgeError::Auth`] when the app is not installed there, or lacks something.
    pub async fn key(&self, host: &ForgeHost, app: &App, repository: &Repository) -> Result<Key, ForgeError> {
        let now = self.clock.now_ms();
        let mine = (app.clone(), repository.clone());
        {
            let mut kept = self.kept.lock();
            kept.retain(|_, key| key.expires_at.is_some_and(|at| at > now.saturating_add(LAST_MS)));
            if let Some(key) = kept.get(&mine) {
                return Ok(key.clone());
            }
        }
        let (owner, name) = owner_and_name(repository)?;
        let shown = self.shown(app).await?;
        let transport = self.transport(host, &shown)?;
        let who =
            transport.value(&Call::get(transport.url(&["app"]), "the app")).await.map_err(
                |error| match error {
                    ForgeError::Auth(_) => ForgeError::Auth(format!(
                        "{} does not know the app {} by the key in {}: `git.credentials[].app`",
                        host.authority,
                        app.id,
                        app.key_file.display()
                    )),
                    error => error,
                },
            )?;
        let login = Json::of(&who).at("/slug").some_text().map(|slug| format!("{slug}[bot]"));
        let installation = match app.installation {
            Some(number) => number,
            None => self.installation(&transport, app, repository, (owner, name)).await?,
        };
        self.failpoints.hit("forge.token.before").await;
        let key = self.made(&transport, app, installation, name).await?;
        self.failpoints.hit("forge.token.after").await;
        let key = Key { login, ..key };
        self.kept.lock().insert(mine, key.clone());
        Ok(key)
    }

    /// The forge does not take that token any more, though it should hold: another one.
    ///
    /// # Errors
    /// See [`Apps::key`].
    pub async fn instead_of(
        &self,
        host: &ForgeHost,
        app: &App,
        repository: &Repository,
        token: &Secret,
    ) -> Result<Key, ForgeError> {
        // What somebody else got meanwhile is another one already.
        self.kept.lock().retain(|_, key| key.token != *token);
        self.key(host, app, repository).await
    }

    async fn installation(
        &self,
        transport: &Transport,
        app: &App,
        repository: &Repository,
        (owner, name): (&str, &str),
    ) -> Result<u64, ForgeError> {
        let url = transport.url(&["repos", owner, name, "installation"]);
        let not_there = || {
            ForgeError::Auth(format!(
                "the app {} is not installed for {}: install it there",
                app.id,
                repository.path()
            ))
        };
        match transport.value(&Call::get(url, "the app's installation")).await {
            Ok(value) => Json::of(&value).at("/id").number().ok_or_else(not_there),
            Err(ForgeError::NotFound(_)) => Err(not_there()),
            Err(error) => Err(error),
        }
    }

    /// One that may do everything that is of use; where the app was not granted all of that, what is needed.
    async fn made(
        &self,
        transport: &Transport,
        app: &App,
        installation: u64,
        name: &str,
    ) -> Result<Key, ForgeError> {
        let url = transport.url(&["app", "installations", &installation.to_string(), "access_tokens"]);
        let call = |with_logs: bool| {
            let granted: serde_json::Map<String, serde_json::Value> = NEEDED
                .into_iter()
                .chain(with_logs.then_some(WELCOME))
                .map(|(what, how)| (what.to_owned(), json!(how)))
                .collect();
            let body = json!({"repositories": [name], "permissions": granted});
            Call::change(Method::POST, url.clone(), Some(body), "a token for the app")
        };
        let mut answer = transport.send(&call(true)).await?;
        if answer.status == 422 {
            answer = transport.send(&call(false)).await?;
        }
        if matches!(answer.status, 403 | 404 | 422) {
            let wanted: Vec<String> = NEEDED.iter().map(|(what, how)| format!("{what}: {how}")).collect();
            return Err(ForgeError::Auth(format!(
                "the app {} gets no token for {name} ({}): it must be installed there and have been granted {}",
                app.id,
                transport.reason(&answer),
                wanted.join(", ")
            )));
        }
        if !answer.is_fine() {
            return Err(transport.no(&answer));
        }
        let value = answer.value()?;
        let value = Json::of(&value);
        let (token, at) = (value.at("/token").some_text(), value.at("/expires_at").time());
        match (token, at) {
            (Some(token), Some(at)) => {
                Ok(Key { token: Secret::new(token), login: None, expires_at: Some(at) })
            }
            _ => Err(ForgeError::Transient(
                "what it said about a token lacks `token` or `expires_at`".to_owned(),
            )),
        }
    }

    /// What the app shows to say who it is. Its clock may go a minute after the forge's.
    async fn shown(&self, app: &App) -> Result<Secret, ForgeError> {
        let wrong = |why: String| {
            ForgeError::Auth(format!("the key of the app {} ({}) {why}", app.id, app.key_file.display()))
        };
        let pem = tokio::fs::read_to_string(&app.key_file).await;
        let pem = Zeroizing::new(pem.map_err(|error| wrong(format!("cannot be read: {error}")))?);
        let now = self.clock.now_ms() / 1000;
        let claims = json!({"iat": now.saturating_sub(60), "exp": now.saturating_add(540), "iss": app.id});
        token(&pem, &claims.to_string()).map(Secret::new).map_err(|why| wrong(why.to_owned()))
    }

    fn transport(&self, host: &ForgeHost, shown: &Secret) -> Result<Transport, ForgeError> {
        Ok(Transport {
            http: self.http.clone(),
            clock: self.clock.clone(),
            settings: self.settings,
            limits: Default::default(),
            holder: super::limits::Holder::new(&host.authority, Some(shown)),
            pace: Default::default(),
            base: api(host, ForgeKind::Github)?,
            kind: ForgeKind::Github,
            opener: RwLock::new(Arc::new(Opener::new(ForgeKind::Github, Some(shown)))),
            renewal: None,
        })
    }
}

/// Claims, signed (RS256).
fn token(pem: &str, claims: &str) -> Result<String, &'static str> {
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let text = format!("{}.{}", encode(br#"{"alg":"RS256","typ":"JWT"}"#), encode(claims.as_bytes()));
    let (label, der) = from_pem(pem).ok_or("is no private key in PEM")?;
    let key = match label {
        "RSA PRIVATE KEY" => RsaKeyPair::from_der(&der),
        "PRIVATE KEY" => RsaKeyPair::from_pkcs8(&der),
        _ => return Err("is no private key of RSA"),
    };
    let key = key.map_err(|_| "is no private key of RSA that can be used")?;
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
        .map_err(|_| "cannot sign")?;
    Ok(format!("{text}.{}", encode(&signature)))
}

/// The first thing in a PEM file, and what it is.
fn from_pem(pem: &str) -> Option<(&str, Zeroizing<Vec<u8>>)> {
    let (label, rest) = pem.split_once("-----BEGIN ")?.1.split_once("-----")?;
    let body = rest.split_once("-----END ")?.0;
    let body: Zeroizing<String> = Zeroizing::new(body.chars().filter(|c| !c.is_whitespace()).collect());
    Some((label, Zeroizing::new(STANDARD.decode(body.as_bytes()).ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_key_is_said() {
        for (pem, why) in [
            ("", "is no private key in PEM"),
            ("-----BEGIN PRIVATE KEY-----\n!\n-----END PRIVATE KEY-----", "is no private key in PEM"),
            (
                "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----",
                "is no private key of RSA",
            ),
            (
                "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----",
                "is no private key of RSA that can be used",
            ),
        ] {
            assert_eq!(token(pem, "{}"), Err(why), "{pem}");
        }
    }
}
