//! Repositories at forges: which one is a frame's, what it may push there, and what waits for a look.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::ids::{FrameId, MessageId};
use super::names::FrameName;
use super::visible::is_invisible;

/// Forges whose SSH addresses have an https twin of the same path.
pub const KNOWN_FORGES: &[&str] = &["github.com", "gitlab.com", "codeberg.org", "bitbucket.org", "git.sr.ht"];

/// The longest path of a repository, and the longest branch pattern.
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

/// What becomes of what a frame pushes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[derive(strum::Display, strum::EnumIter, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase", parse_err_ty = UnknownGitMode, parse_err_fn = unknown)]
pub enum GitMode {
    /// It goes on to the forge, unless there is something in it to look at.
    #[default]
    Direct,
    /// It waits until somebody has looked at it; what the frame fetches comes from a copy on this machine.
    Gate,
}

impl GitMode {
    /// The word in configuration, database and output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A word that is no such mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no mode of git: use direct or gate")]
pub struct UnknownGitMode(pub String);

fn unknown(text: &str) -> UnknownGitMode {
    UnknownGitMode(text.to_owned())
}

/// A frame's repository, and what it may push there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameForge {
    /// Which; none when its folder has no origin at a known forge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<Repository>,
    /// What becomes of a push.
    #[serde(default)]
    pub mode: GitMode,
    /// Branches that it may push besides the configured ones, as [`BranchRule`] reads them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub branches: Vec<String>,
}

/// Which branches may be pushed: `mimir/*`, or a whole name such as `refs/tags/v*`. With `+` before it they may be
/// rewritten and deleted as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BranchRule {
    pattern: String,
    /// Whether what is there may be rewritten and deleted.
    pub rewrites: bool,
}

impl BranchRule {
    /// The same as JSON Schema writes it.
    pub const PATTERN: &'static str = r"^\+?[A-Za-z0-9_*][A-Za-z0-9._/*-]{0,198}$";

    /// Reads one.
    ///
    /// # Errors
    /// The end of a sentence that begins with what was read.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (rewrites, pattern) = match text.strip_prefix('+') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let is_first = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'*');
        let is_letter = |b: u8| is_first(b) || matches!(b, b'.' | b'/' | b'-');
        let fits = pattern.len() < LONGEST
            && pattern.bytes().next().is_some_and(is_first)
            && pattern.bytes().all(is_letter);
        if !fits {
            return Err(format!("must hold branches such as mimir/* or +mimir/*, not `{text}`"));
        }
        Ok(Self { pattern: pattern.to_owned(), rewrites })
    }

    /// Whether it covers a whole name, such as `refs/heads/mimir/fix`.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        if self.pattern.starts_with("refs/") {
            return fits(self.pattern.as_bytes(), name.as_bytes(), true);
        }
        name.strip_prefix("refs/heads/")
            .is_some_and(|branch| fits(self.pattern.as_bytes(), branch.as_bytes(), true))
    }
}

/// Whether a text fits a pattern in which `*` is any text; of paths, only `**` goes past a slash.
fn fits(pattern: &[u8], text: &[u8], past_slashes: bool) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on when it does not fit: behind the last star of each kind, with one letter more in it.
    let (mut wide, mut narrow) = (None::<(usize, usize)>, None::<(usize, usize)>);
    loop {
        let stars = pattern[p..].iter().take_while(|b| **b == b'*').count();
        if stars > 0 {
            p += stars;
            if past_slashes || stars > 1 {
                (wide, narrow) = (Some((p, t)), None);
            } else {
                narrow = Some((p, t));
            }
            continue;
        }
        if p < pattern.len() && t < text.len() && pattern[p] == text[t] {
            (p, t) = (p + 1, t + 1);
            continue;
        }
        if p == pattern.len() && t == text.len() {
            return true;
        }
        let more = |star: Option<(usize, usize)>| star.filter(|(_, from)| *from < text.len());
        if let Some((after, from)) = more(narrow).filter(|(_, from)| text[*from] != b'/') {
            narrow = Some((after, from + 1));
            (p, t) = (after, from + 1);
        } else if let Some((after, from)) = more(wide) {
            (wide, narrow) = (Some((after, from + 1)), None);
            (p, t) = (after, from + 1);
        } else {
            return false;
        }
    }
}

/// Whether a path of a repository is one of those: a pattern without a slash fits a file or folder anywhere, one with a
/// slash from the root on. What lies below a folder that fits, fits. Case does not count: some file systems have none.
#[must_use]
pub fn is_protected(path: &str, patterns: &[String]) -> bool {
    let path = path.to_lowercase();
    let ends = || path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
    patterns.iter().any(|pattern| {
        let pattern = pattern.trim_matches('/').to_lowercase();
        match pattern.contains('/') {
            true => ends().any(|end| fits(pattern.as_bytes(), &path.as_bytes()[..end], false)),
            false => path.split('/').any(|part| fits(pattern.as_bytes(), part.as_bytes(), false)),
        }
    })
}

/// A branch or tag that is to be moved. Ids are 40 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RefUpdate {
    /// The whole name, such as `refs/heads/mimir/fix`.
    pub name: String,
    /// What it is at the forge; absent when it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What it is to be; absent when it is to go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

impl RefUpdate {
    /// The branch's or tag's own name.
    #[must_use]
    pub fn short(&self) -> &str {
        let name = self.name.strip_prefix("refs/heads/").or_else(|| self.name.strip_prefix("refs/tags/"));
        name.unwrap_or(&self.name)
    }
}

/// Whether git could take it for the whole name of a branch or tag, and nothing on its way could be led astray by it.
#[must_use]
pub fn is_ref_name(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("refs/heads/").or_else(|| name.strip_prefix("refs/tags/")) else {
        return false;
    };
    let is_part = |part: &str| {
        !part.is_empty() && !part.starts_with(['.', '-']) && !part.ends_with('.') && !part.ends_with(".lock")
    };
    let is_letter = |c: char| {
        !c.is_control()
            && !c.is_whitespace()
            && !is_invisible(c)
            && !matches!(c, '~' | '^' | ':' | '?' | '*' | '[' | '\\' | '"' | '\'' | '`')
    };
    name.len() <= 240
        && rest.split('/').all(is_part)
        && rest.chars().all(is_letter)
        && !rest.contains("..")
        && !rest.contains("@{")
        && !matches!(rest, "@" | "HEAD")
}

/// How far a push is.
///
/// ```text
///            approve               the forge has it
///  waiting ──────────► approved ───────────────────► pushed
///     │  ▲                 │ the forge says no
///     │  └── approve ── failed ◄─┘
///     ├── reject ──► rejected
///     └── another push of the same branch ──► replaced
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[derive(strum::Display, strum::EnumIter, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum PushState {
    /// Somebody is to look at it.
    Waiting,
    /// It is on its way to the forge.
    Approved,
    /// The forge has it.
    Pushed,
    /// Somebody said no.
    Rejected,
    /// The forge did not take it; it may be approved once more, or rejected.
    Failed,
    /// The frame pushed something else in its place.
    Replaced,
}

impl PushState {
    /// The word in the database and on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether somebody can still decide about it.
    #[must_use]
    pub fn can_be_decided(self) -> bool {
        matches!(self, Self::Waiting | Self::Failed)
    }

    /// Whether it is at its end, and what came along with it is not needed any more.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, Self::Pushed | Self::Rejected | Self::Replaced)
    }
}

/// Something in a push that looks like a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PushFinding {
    /// What it looks like.
    pub rule: String,
    /// In which line of the patches.
    pub line: u64,
    /// The text around it, with the secret itself left out.
    pub text: String,
}

/// What a look at a push found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushContents {
    /// How many commits are new.
    pub commits: u64,
    /// How many bytes came along.
    pub bytes: u64,
    /// How many files they change.
    pub files: u64,
    /// Changed paths that are protected.
    pub protected: Vec<String>,
    /// What looks like a secret.
    pub findings: Vec<PushFinding>,
    /// What else is worth a look.
    pub remarks: Vec<String>,
}

/// Something that a frame pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// Counted from 1.
    pub id: u64,
    /// By which frame.
    pub frame: FrameId,
    /// Its name, which outlives it.
    pub frame_name: FrameName,
    /// The message whose turn ran at that time, if one did.
    pub message: Option<MessageId>,
    /// Where to.
    pub repository: Repository,
    /// How far it is.
    pub state: PushState,
    /// What is to be moved.
    pub updates: Vec<RefUpdate>,
    /// What was found in it.
    pub contents: PushContents,
    /// Why it did not go on by itself; empty when it did.
    pub held_because: Vec<String>,
    /// The folder with its objects, below those of all pushes.
    pub folder: String,
    /// Who decided: a principal, or `policy`.
    pub decided_by: Option<String>,
    /// Why it was rejected, or what the forge said.
    pub reason: Option<String>,
    /// UTC ms.
    pub asked_at: u64,
    /// UTC ms.
    pub decided_at: Option<u64>,
    /// UTC ms.
    pub ended_at: Option<u64>,
}

impl Push {
    /// The branches and tags, in one line.
    #[must_use]
    pub fn names(&self) -> String {
        let names: Vec<&str> = self.updates.iter().map(RefUpdate::short).collect();
        names.join(", ")
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

    #[test]
    fn a_pattern_covers_branches_and_whole_names() {
        let covers = |pattern: &str, name: &str| BranchRule::parse(pattern).expect("fine").covers(name);
        assert!(covers("mimir/*", "refs/heads/mimir/fix") && covers("mimir/*", "refs/heads/mimir/a/b"));
        assert!(!covers("mimir/*", "refs/heads/mimir") && !covers("mimir/*", "refs/tags/mimir/x"));
        assert!(!covers("mimir/*", "refs/heads/x/mimir/y"));
        assert!(covers("+*", "refs/heads/main") && !covers("*", "refs/tags/v1"));
        assert!(covers("refs/tags/v*", "refs/tags/v1.2"));
        assert!(covers("a*b*c", "refs/heads/aXbXbc") && !covers("a*b*c", "refs/heads/aXc"));
        for bad in ["", "+", "a b", "-x", "../x", "a\n", "ä", "a:b"] {
            assert!(BranchRule::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn protected_paths_are_found_wherever_they_hide() {
        let patterns: Vec<String> =
            [".github/workflows", ".gitlab-ci.yml", "hooks", "*.lock", "deploy/**/x", "a/*.sh", "x/**/*.mk"]
                .map(str::to_owned)
                .into();
        let fits = |path: &str| is_protected(path, &patterns);
        for path in [
            ".github/workflows/ci.yml",
            ".GitHub/Workflows/ci.yml",
            ".gitlab-ci.yml",
            "sub/.gitlab-ci.yml",
            "tools/hooks/pre-commit",
            "Cargo.lock",
            "deploy/a/b/x",
            "a/run.sh",
            "x/y/z/build.mk",
        ] {
            assert!(fits(path), "{path}");
        }
        for path in
            ["src/main.rs", ".github/README.md", "x/.github/workflows/ci.yml", "a/b/run.sh", "hooks.md"]
        {
            assert!(!fits(path), "{path}");
        }
    }

    #[test]
    fn odd_names_are_no_names() {
        for good in ["refs/heads/main", "refs/heads/mimir/fix-1", "refs/tags/v1.0", "refs/heads/ü"] {
            assert!(is_ref_name(good), "{good}");
        }
        for bad in [
            "HEAD",
            "refs/heads/",
            "refs/heads/../../config",
            "refs/heads/a..b",
            "refs/heads/-x",
            "refs/heads/.x",
            "refs/heads/a/.b",
            "refs/heads/a.lock",
            "refs/heads/a b",
            "refs/heads/a\nb",
            "refs/heads/a:b",
            "refs/heads/@{x}",
            "refs/heads/HEAD",
            "refs/heads/a\u{7f}",
            "refs/heads/a\u{202e}b",
            "refs/notes/x",
            "refs/mimir/x",
            "refs/pull/1/head",
        ] {
            assert!(!is_ref_name(bad), "{bad}");
        }
    }
}
