//! Forges, and repositories at them: every spelling of one is the same.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Forges whose SSH addresses have an https twin of the same path.
pub const KNOWN_FORGES: &[&str] = &["github.com", "gitlab.com", "codeberg.org", "bitbucket.org", "git.sr.ht"];

/// The longest path of a repository.
const LONGEST: usize = 200;

/// Which words a forge understands beside git's: its HTTP API.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    strum::Display,
    strum::EnumIter,
    strum::EnumString,
    strum::IntoStaticStr,
)]
#[strum(serialize_all = "lowercase")]
pub enum ForgeKind {
    /// GitHub's, and that of GitHub Enterprise Server.
    Github,
    /// Gitea's, which Forgejo has as well.
    #[strum(to_string = "gitea", serialize = "forgejo")]
    Gitea,
}

/// Where a forge is: a host, perhaps with a port; behind TLS unless it is written with `http://`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ForgeHost {
    /// Lower case, with the port when it is not the usual one.
    pub authority: String,
    /// Whether it is spoken to without TLS.
    pub is_plain: bool,
    /// Its kind, where that is known or was said; else the forge is asked.
    pub kind: Option<ForgeKind>,
}

impl ForgeHost {
    /// Those that everybody knows.
    pub fn known() -> impl Iterator<Item = Self> {
        KNOWN_FORGES.iter().map(|&host| Self {
            authority: host.to_owned(),
            is_plain: false,
            kind: kind_of(host),
        })
    }

    /// Reads `git.example.org`, `git.example.org:8443` or `http://10.0.0.7:3000`. Before it may stand its kind:
    /// `gitea:https://git.example.org`, `forgejo:git.example.org`, `github:https://ghe.example.org`.
    ///
    /// # Errors
    /// The end of a sentence that begins with what was read.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lower = text.trim().to_ascii_lowercase();
        let said =
            lower.split_once(':').and_then(|(word, rest)| Some((word.parse::<ForgeKind>().ok()?, rest)));
        // `gitea:3000` is a host with a port.
        let said = said.filter(|(_, rest)| !rest.bytes().all(|b| b.is_ascii_digit()));
        let (said, lower) = said.map_or((None, lower.as_str()), |(kind, rest)| (Some(kind), rest));
        let (rest, is_plain) = match (lower.strip_prefix("https://"), lower.strip_prefix("http://")) {
            (Some(rest), _) => (rest, false),
            (None, Some(rest)) => (rest, true),
            (None, None) => (lower, false),
        };
        let authority = rest.trim_end_matches('/');
        if is_authority(authority) {
            let kind = said.or_else(|| kind_of(authority));
            Ok(Self { authority: authority.to_owned(), is_plain, kind })
        } else {
            Err(format!("must hold hosts such as git.example.org or git.example.org:8443, not `{text}`"))
        }
    }
}

/// Of those that everybody knows.
fn kind_of(authority: &str) -> Option<ForgeKind> {
    match authority {
        "github.com" => Some(ForgeKind::Github),
        "codeberg.org" => Some(ForgeKind::Gitea),
        _ => None,
    }
}

fn is_authority(text: &str) -> bool {
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (text, None),
    };
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    (1..=253).contains(&name.len())
        && name.split('.').all(is_label)
        && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// A repository at a forge: `github.com/owner/name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Repository {
    host: String,
    path: String,
}

/// A text that names no repository.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` names no repository: write HOST/OWNER/NAME, or an address such as https://HOST/OWNER/NAME.git"
)]
pub struct InvalidRepository(pub String);

impl Repository {
    /// A host and a path of two parts or more, with or without `.git` at its end.
    ///
    /// # Errors
    /// When one of the two is something else.
    pub fn new(host: &str, path: &str) -> Result<Self, InvalidRepository> {
        let refused = || InvalidRepository(format!("{host}/{path}"));
        let host = host.to_ascii_lowercase();
        let path = path.trim_matches('/');
        let path = path.strip_suffix(".git").unwrap_or(path);
        let is_part = |part: &str| {
            !part.is_empty()
                && !part.starts_with('-')
                && !part.ends_with('.')
                && !part.eq_ignore_ascii_case(".git")
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'~'))
        };
        let parts = path.split('/').count();
        let fits = (2..=8).contains(&parts) && path.len() <= LONGEST && path.split('/').all(is_part);
        if !fits || !is_authority(&host) {
            return Err(refused());
        }
        Ok(Self { host, path: path.to_owned() })
    }

    /// Reads `HOST/OWNER/NAME`, or any address that git takes for a host and a path. A user in it is dropped.
    ///
    /// # Errors
    /// When it is none, such as a folder of this machine.
    pub fn parse(text: &str) -> Result<Self, InvalidRepository> {
        let text = text.trim();
        let refused = || InvalidRepository(text.chars().take(LONGEST).collect());
        let after_user = |rest: &str| rest.rsplit_once('@').map_or(rest, |(_, rest)| rest).to_owned();
        let with_path = |rest: &str, keeps_port: bool| {
            let (authority, path) = rest.split_once('/').ok_or_else(refused)?;
            let authority = after_user(authority);
            let host = authority.split(':').next().unwrap_or_default();
            Self::new(if keeps_port { &authority } else { host }, path).map_err(|_| refused())
        };
        if let Some(rest) = text.strip_prefix("https://") {
            return with_path(rest.trim_end_matches('/'), true)
                .map(|found| Self { host: found.host.trim_end_matches(":443").to_owned(), ..found });
        }
        if let Some(rest) = text.strip_prefix("http://") {
            return with_path(rest, true);
        }
        // The port of SSH is not that of https.
        if let Some(rest) = text.strip_prefix("ssh://").or_else(|| text.strip_prefix("git+ssh://")) {
            return with_path(rest, false);
        }
        if text.contains("://") || text.starts_with(['/', '.']) {
            return Err(refused());
        }
        // `git@host:owner/name`, as scp writes it; not `host:8080/owner/name`.
        if let Some((authority, path)) = text.split_once(':')
            && !authority.contains('/')
            && !path.split('/').next().is_some_and(|first| first.bytes().all(|b| b.is_ascii_digit()))
        {
            return Self::new(&after_user(authority), path).map_err(|_| refused());
        }
        with_path(text, true)
    }

    /// The forge's host, with its port when that is not the usual one.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// `owner/name`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Where it is for git, behind `https://` or `http://`.
    #[must_use]
    pub fn address(&self, forge: &ForgeHost) -> String {
        let scheme = if forge.is_plain { "http" } else { "https" };
        // All forges take the ending but this one, whose names are names.
        let ending = if self.host == "git.sr.ht" { "" } else { ".git" };
        format!("{scheme}://{}/{}{ending}", self.host, self.path)
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.path)
    }
}

impl FromStr for Repository {
    type Err = InvalidRepository;
    fn from_str(text: &str) -> Result<Self, InvalidRepository> {
        let (host, path) = text.split_once('/').ok_or_else(|| InvalidRepository(text.to_owned()))?;
        Self::new(host, path)
    }
}

impl TryFrom<String> for Repository {
    type Error = InvalidRepository;
    fn try_from(text: String) -> Result<Self, InvalidRepository> {
        text.parse()
    }
}

impl From<Repository> for String {
    fn from(repository: Repository) -> Self {
        repository.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_repository_is_the_same_one() {
        let wanted = Repository::new("github.com", "me/blog").expect("fine");
        for text in [
            "github.com/me/blog",
            "https://github.com/me/blog",
            "https://GitHub.com/me/blog.git",
            "https://github.com:443/me/blog/",
            "https://me:token@github.com/me/blog.git",
            "git@github.com:me/blog.git",
            "ssh://git@github.com/me/blog.git",
            "ssh://git@github.com:22/me/blog",
        ] {
            assert_eq!(Repository::parse(text), Ok(wanted.clone()), "{text}");
        }
        let own = Repository::parse("http://10.0.0.7:3000/team/sub/app").expect("fine");
        assert_eq!((own.host(), own.path()), ("10.0.0.7:3000", "team/sub/app"));
        assert_eq!(Repository::parse("10.0.0.7:3000/team/sub/app"), Ok(own));
    }

    #[test]
    fn the_kind_of_a_forge_is_known_or_said() {
        let of = |text: &str| {
            let host = ForgeHost::parse(text).expect(text);
            (host.authority, host.is_plain, host.kind)
        };
        let (github, gitea) = (Some(ForgeKind::Github), Some(ForgeKind::Gitea));
        assert_eq!(of("git.example.org:8443"), ("git.example.org:8443".to_owned(), false, None));
        assert_eq!(of("github.com"), ("github.com".to_owned(), false, github));
        assert_eq!(of("https://codeberg.org/"), ("codeberg.org".to_owned(), false, gitea));
        assert_eq!(of("gitea:http://10.0.0.7:3000"), ("10.0.0.7:3000".to_owned(), true, gitea));
        assert_eq!(of("Forgejo:git.example.org"), ("git.example.org".to_owned(), false, gitea));
        assert_eq!(of("github:https://ghe.example.org"), ("ghe.example.org".to_owned(), false, github));
        assert_eq!(of("gitea:3000"), ("gitea:3000".to_owned(), false, None), "a host with a port");
        assert_eq!(of("gitea:gitea:3000"), ("gitea:3000".to_owned(), false, gitea));
        assert!(ForgeHost::parse("svn:https://x.example.org").is_err());
        assert!(ForgeHost::parse("gitea:").is_err());
    }

    #[test]
    fn what_names_no_repository_is_refused() {
        for text in [
            "",
            "/srv/git/blog.git",
            "../blog",
            "file:///srv/blog",
            "ext::sh -c true",
            "github.com",
            "https://github.com/me",
            "https://github.com/me/../you",
            "https://github.com/me/.git",
            "https://github.com/-me/blog",
            "https://github.com/me/blog?x",
            "https://github.com/me/blo g",
            "https://github.com/me/blog%2f..",
            "git@-oProxyCommand=x:me/blog",
        ] {
            assert!(Repository::parse(text).is_err(), "{text}");
        }
    }
}
