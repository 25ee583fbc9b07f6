//! How the gateway talks to forges about what they have besides git: pull requests, what is said about them, checks,
//! issues, and who may do what. GitHub and its API, and Gitea with Forgejo.
//!
//! Asking twice is safe: what would make something looks first whether it is there, and looks again when the forge says
//! that it cannot be made. So a caller that never heard the answer asks again, and there is one pull request, one
//! comment, one merge.
//!
//! A credential goes to its own host and nowhere else: redirects are followed within that host alone. What forges say
//! is a stranger's word: every field may be missing, sizes are limited, and what opens the forge is taken out of every
//! text.
//!
//! Not here: git itself (see `git`), who may be heard and what is said to them, and the search for secrets in what is
//! sent out, which is the caller's.

mod app;
mod call;
mod checks;
mod comments;
mod endpoints;
mod error;
mod files;
mod hooks;
mod json;
mod limits;
mod merging;
mod pages;
mod pulls;
mod received;
mod repository;
mod transport;

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::{Mutex, RwLock};
use serde_json::Value;
use tokio::sync::OnceCell;
use url::Url;

use crate::clock::Clock;
use crate::model::git::{ForgeHost, ForgeKind, Repository};
use crate::model::secret::Secret;
use crate::outbound::HttpClients;
use call::Call;
use endpoints::owner_and_name;
use limits::{Holder, Limits};
use transport::{Opener, Pace, Renewal, Transport};

pub use app::{Apps, Key};
pub use error::ForgeError;
pub use transport::Settings;

/// Who knows where forges are and what opens them.
#[async_trait]
pub trait Keys: Send + Sync {
    /// The forge at that host, if it is one.
    fn host(&self, authority: &str) -> Option<ForgeHost>;

    /// What opens a repository; none when nothing is known.
    async fn key(&self, host: &ForgeHost, repository: &Repository) -> Result<Option<Key>, ForgeError>;

    /// The forge does not take that token: another one where one can be made; none where nobody but its owner can.
    async fn instead_of(
        &self,
        host: &ForgeHost,
        repository: &Repository,
        token: &Secret,
    ) -> Result<Option<Key>, ForgeError>;
}

/// What came of a merge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Merged {
    /// It is merged, by this call or before it; the commit that it became.
    Merged {
        /// Its id.
        sha: String,
    },
    /// It is not what was approved any more: another commit, or it goes to another branch. Look again.
    HeadMoved,
    /// It cannot be merged as it is: a conflict, a draft, a check that is missing.
    NotMergeable(String),
    /// The forge will not let this credential do it, or not that way.
    Refused(String),
}

/// The forges, as the configuration has them. Cheap to clone.
#[derive(Clone)]
pub struct Forges {
    keys: Arc<dyn Keys>,
    http: HttpClients,
    clock: Clock,
    settings: Settings,
    limits: Limits,
    /// Of each repository that was changed.
    paces: Arc<Mutex<HashMap<Repository, Pace>>>,
    /// Of each forge that was asked.
    kinds: Arc<Mutex<HashMap<ForgeHost, ForgeKind>>>,
}

/// One repository at its forge, with what opens it now: take a new one for each piece of work. Cheap to clone.
#[derive(Clone)]
pub struct Forge(Arc<Inner>);

struct Inner {
    transport: Transport,
    graphql: Url,
    /// Where git asks whether it may push.
    push: Url,
    repository: Repository,
    /// Who the key says that it is of, and until when it holds.
    key: (Option<String>, Option<u64>),
    login: OnceCell<Option<String>>,
}

impl Forges {
    /// With nobody asked yet.
    #[must_use]
    pub fn new(keys: Arc<dyn Keys>, http: HttpClients, clock: Clock, settings: Settings) -> Self {
        let (limits, paces, kinds) = (Limits::default(), Arc::default(), Arc::default());
        Self { keys, http, clock, settings, limits, paces, kinds }
    }

    /// The client for a repository, with what opens it now. A forge of which nobody says of what kind it is, is asked
    /// once.
    ///
    /// # Errors
    /// [`ForgeError::Refused`] for a host that is no forge, or none whose API is known; [`ForgeError::Auth`] when its
    /// credential cannot be had; what keeps it from being asked.
    pub async fn of(&self, repository: &Repository) -> Result<Forge, ForgeError> {
        owner_and_name(repository)?;
        let host = self.keys.host(repository.host()).ok_or_else(|| {
            let text =
                format!("{} is no forge that mimir knows; `git.hosts` lists others", repository.host());
            ForgeError::Refused(text)
        })?;
        let kind = self.kind(&host).await?;
        let key = self.keys.key(&host, repository).await?;
        let pace = self.paces.lock().entry(repository.clone()).or_default().clone();
        let mut transport = self.transport(endpoints::api(&host, kind)?, &host, kind, key.as_ref(), pace);
        let (keys, repository_of, alone) = (self.keys.clone(), repository.clone(), Default::default());
        transport.renewal = Some(Renewal { keys, host: host.clone(), repository: repository_of, alone });
        let key = key.map_or((None, None), |key| (key.login, key.expires_at));
        let (graphql, push) = (endpoints::graphql(&host)?, endpoints::push(&host, repository)?);
        let (repository, login) = (repository.clone(), OnceCell::new());
        Ok(Forge(Arc::new(Inner { transport, graphql, push, repository, key, login })))
    }

    async fn kind(&self, host: &ForgeHost) -> Result<ForgeKind, ForgeError> {
        let known = host.kind.or_else(|| self.kinds.lock().get(host).copied());
        if let Some(kind) = known {
            return Ok(kind);
        }
        let to = |base: Url| self.transport(base, host, ForgeKind::Gitea, None, Pace::default());
        let kind = endpoints::kind(host, to).await?;
        self.kinds.lock().insert(host.clone(), kind);
        Ok(kind)
    }

    fn transport(
        &self,
        base: Url,
        host: &ForgeHost,
        kind: ForgeKind,
        key: Option<&Key>,
        pace: Pace,
    ) -> Transport {
        let token = key.map(|key| &key.token);
        Transport {
            http: self.http.clone(),
            clock: self.clock.clone(),
            settings: self.settings,
            limits: self.limits.clone(),
            holder: Holder::new(&host.authority, token),
            pace,
            base,
            kind,
            opener: RwLock::new(Arc::new(Opener::new(kind, token))),
            renewal: None,
        }
    }
}

impl Forge {
    /// Which repository it is.
    #[must_use]
    pub fn repository_name(&self) -> &Repository {
        &self.0.repository
    }

    /// Of which kind its forge is.
    #[must_use]
    pub fn kind(&self) -> ForgeKind {
        self.0.transport.kind
    }

    fn transport(&self) -> &Transport {
        &self.0.transport
    }

    /// `owner/name`.
    fn name(&self) -> &str {
        self.0.repository.path()
    }

    fn owner(&self) -> &str {
        self.name().split('/').next().unwrap_or_default()
    }

    fn graphql(&self) -> Url {
        self.0.graphql.clone()
    }

    fn push(&self) -> &Url {
        &self.0.push
    }

    fn key_login(&self) -> Option<String> {
        self.0.key.0.clone()
    }

    fn key_expires_at(&self) -> Option<u64> {
        self.0.key.1
    }

    fn known_login(&self) -> &OnceCell<Option<String>> {
        &self.0.login
    }

    /// A place below the repository's.
    fn at(&self, segments: &[&str]) -> Url {
        let names = ["repos"].into_iter().chain(self.name().split('/'));
        let all: Vec<&str> = names.chain(segments.iter().copied()).collect();
        self.0.transport.url(&all)
    }

    /// A whole list. Half of one would be taken for all of it.
    async fn all(&self, call: Call) -> Result<Vec<Value>, ForgeError> {
        let what = call.what.clone();
        match self.0.transport.pages(call, "", |_| true).await? {
            (all, false) => Ok(all),
            (_, true) => Err(ForgeError::TooMuch(what)),
        }
    }
}
