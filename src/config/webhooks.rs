//! Who may tell us something over HTTP, and what follows from it.

use std::collections::BTreeMap;

use super::error::ConfigProblem;
use super::keys::{Key, Owner};
use super::kinds::{
    AuthorWord, DollarsOrOff, Forge, Free, Hidden, HttpUrl, HttpUrlOrOff, LevelWord, Optional, Pointer,
    Project, Repo, SenderWord, Size, Slug, Span, Text, TimeOrOff, UntoldWord, Whole,
};
use super::section::{List, Reader, Setting, below, section};
use crate::model::git::{ForgeHost, Repository};
use crate::model::names::ProjectName;
use crate::model::secret::Secret;
use crate::model::webhook::{AuthorRight, Level, SenderKind, Untold};

/// A shorter secret can be guessed.
const SHORTEST_SECRET: usize = 16;
/// The word that asks for something in a comment, unless a rule has another.
const MENTION: &str = "@mimir";

section! {
    /// Who may tell us something over HTTP, and what follows from it.
    #[derive(Clone, Debug)]
    pub struct Webhooks {
        body_limit: Size, "The largest message that is taken";
        parallel: Whole<1, 1024, usize>, "How many messages are stored at the same time; more are asked to come again";
        keep_days: Whole<1, 3650>, "After how many days messages are forgotten";
        catch_up: TimeOrOff, "How often error trackers and forges are asked for what they could not tell us; off: never";
        address: HttpUrlOrOff, "Where senders reach this gateway, such as https://mimir.example.org: each minute it is tried whether they do; off: nobody says";
        sources: Sources, "Who may tell us something, by name: they send to /webhooks/NAME";
        rules: Vec<RuleEntry>, "What follows; the first rule that fits decides";
    }
}

/// By name.
pub type Sources = BTreeMap<String, Source>;

/// Who may tell us something.
#[derive(Clone, Debug)]
pub struct Source {
    /// How it signs and speaks.
    pub kind: SenderKind,
    /// What it signs with.
    pub secret: Option<Secret>,
    /// What it signed with before.
    pub previous_secret: Option<Secret>,
    /// Where its API is.
    pub url: Option<url::Url>,
    /// Its organization's slug.
    pub organization: Option<String>,
    /// What opens its API.
    pub token: Option<Secret>,
    /// A forge's host.
    pub host: Option<ForgeHost>,
    /// Where the fields are.
    pub mapping: Mapping,
}

section! {
    struct SourceKeys {
        kind: SenderWord, "How it signs and speaks: sentry, github (Gitea and Forgejo too) or generic";
        secret: Hidden, "What it signs with; generic: whsec_ and base64 for Standard Webhooks, anything else is a bearer's";
        previous_secret: Hidden, "What it signed with before, while it is being changed";
        url: Optional<HttpUrl>, "Of sentry: where it is; https://sentry.io when absent";
        organization: Optional<Slug>, "Of sentry: the organization's slug";
        token: Hidden, "Of sentry: what opens its API (event:read, event:write, org:read)";
        host: Optional<Forge>, "Of github: the forge's host, where its messages do not say it";
        mapping: Mapping, "Of generic: where in a message the fields are";
    }
}

section! {
    /// Where in a message the fields are that rules look at.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct Mapping {
        id: Optional<Pointer>, "What makes a message unique, where no header does";
        event: Optional<Pointer>, "What happened, in a word";
        key: Optional<Pointer>, "What it is about: messages of one key join one run";
        title: Optional<Pointer>, "One line for people";
        message: Optional<Pointer>, "What an agent is shown";
        level: Optional<Pointer>, "How bad it is";
        environment: Optional<Pointer>, "Where it happened";
        fingerprint: Optional<Pointer>, "What makes two of them the same";
        project: Optional<Pointer>, "The project's name at the sender";
        commit: Optional<Pointer>, "The commit or release that it is about";
        url: Optional<Pointer>, "An address for people";
    }
}

impl Setting for Sources {
    type Value = Self;

    fn keys(path: &str, about: &'static str, owner: Option<Owner>, table: &mut Vec<Key>) {
        SourceKeys::keys(&below(path, "*"), about, owner, table);
    }

    fn read(at: &Reader<'_>) -> Result<Self, ConfigProblem> {
        at.entries().map(|(name, at)| Ok((name.to_owned(), source(name, &at)?))).collect()
    }
}

fn source(name: &str, at: &Reader<'_>) -> Result<Source, ConfigProblem> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    if !(1..=60).contains(&name.len()) || !name.bytes().all(plain) {
        return Err(at.invalid("needs another name: a-z, 0-9, - and _"));
    }
    let SourceKeys { kind, secret, previous_secret, url, organization, token, host, mapping } =
        SourceKeys::read(at)?;
    for (key, secret) in [("secret", &secret), ("previous_secret", &previous_secret)] {
        if let Some(why) = secret.as_ref().and_then(|secret| too_weak(kind, secret)) {
            return Err(at.at(key).invalid(&why));
        }
    }
    let is_sentry = kind == SenderKind::Sentry;
    for (key, is_set) in
        [("url", url.is_some()), ("organization", organization.is_some()), ("token", token.is_some())]
    {
        if is_set && !is_sentry {
            return Err(at.at(key).invalid("is for sources of kind sentry"));
        }
    }
    if host.is_some() && kind != SenderKind::Github {
        return Err(at.at("host").invalid("is for sources of kind github"));
    }
    if mapping != Mapping::default() && kind != SenderKind::Generic {
        return Err(at.at("mapping").invalid("is for sources of kind generic"));
    }
    if token.is_some() && organization.is_none() {
        return Err(at.at("organization").invalid("is needed with a token"));
    }
    Ok(Source { kind, secret, previous_secret, url, organization, token, host, mapping })
}

/// Why nobody should sign with it.
fn too_weak(kind: SenderKind, secret: &Secret) -> Option<String> {
    use base64::Engine as _;
    let text = secret.reveal();
    if kind == SenderKind::Generic
        && let Some(bare) = text.strip_prefix("whsec_")
    {
        let is_key = base64::engine::general_purpose::STANDARD
            .decode(bare)
            .is_ok_and(|bytes| bytes.len() >= SHORTEST_SECRET);
        return (!is_key).then(|| {
            "must be whsec_ and at least 16 bytes of base64: `openssl rand -base64 32` makes some".to_owned()
        });
    }
    (text.len() < SHORTEST_SECRET).then(|| {
        format!("must have at least {SHORTEST_SECRET} characters: `openssl rand -hex 32` makes some")
    })
}

/// What follows from messages that fit.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Of which source.
    pub source: String,
    /// Patterns of events.
    pub on: Vec<String>,
    /// A pattern of the project's name at the sender.
    pub from: Option<String>,
    /// At least that bad.
    pub level: Option<Level>,
    /// Patterns of environments.
    pub environment: Vec<String>,
    /// A pattern of a fingerprint.
    pub fingerprint: Option<String>,
    /// Labels of an issue.
    pub labels: Vec<String>,
    /// The word that asks for something in a comment.
    pub mention: String,
    /// What whoever asks must be allowed to do.
    pub author: AuthorRight,
    /// The workflow that is run.
    pub workflow: String,
    /// For which project.
    pub project: Option<ProjectName>,
    /// On which repository.
    pub repository: Option<Repository>,
    /// Larger is sooner.
    pub priority: i64,
    /// What it may cost.
    pub budget_microusd: Option<u64>,
    /// How long nothing is tried again after a failure.
    pub cooldown: std::time::Duration,
    /// How many runs an hour it may begin.
    pub limit: u32,
    /// What it takes of new issues that nobody told about.
    pub catch_up: Untold,
}

#[cfg(test)]
impl Rule {
    /// One that takes whatever `errors` tells, for tests that say what matters to them.
    pub(crate) fn example() -> Self {
        Self {
            source: "errors".into(),
            on: Vec::new(),
            from: None,
            level: None,
            environment: Vec::new(),
            fingerprint: None,
            labels: Vec::new(),
            mention: MENTION.into(),
            author: AuthorRight::Write,
            workflow: "fix".into(),
            project: None,
            repository: None,
            priority: 0,
            budget_microusd: None,
            cooldown: std::time::Duration::ZERO,
            limit: 1,
            catch_up: Untold::Missed,
        }
    }
}

section! {
    struct RuleKeys {
        source: Text, "Of which source";
        on: List<Free>, "Events, such as event_alert.triggered or issues.labeled; patterns; none: every event that can begin something";
        from: Optional<Text>, "The project's slug at sentry, owner/name at a forge; a pattern";
        level: Optional<LevelWord>, "At least that bad";
        environment: List<Free>, "Environments; patterns; none: all";
        fingerprint: Optional<Text>, "One of its fingerprints; a pattern";
        labels: List<Free>, "Of issues: one of these labels";
        mention: Optional<Text>, "The word that asks for something in a comment; @mimir when absent";
        author: Optional<AuthorWord>, "What whoever asks in an issue must be allowed to do: write (when absent) or admin";
        workflow: Text, "Which workflow is run";
        project: Optional<Project>, "For which project";
        repository: Optional<Repo>, "On which repository; of messages that name one, only those that name it";
        priority: Optional<Whole<0, 1000>>, "Larger is sooner";
        budget: Optional<DollarsOrOff>, "What a run may cost, instead of what the workflow says";
        cooldown: Optional<Span>, "How long nothing is tried again after a run failed, doubled each time; 24h when absent";
        limit: Optional<Whole<1, 1_000_000>>, "How many runs an hour it may begin; what is over it waits for its turn, for a day at most; 10 when absent";
        catch_up: Optional<UntoldWord>, "What it takes of new issues that nobody told about: missed (when absent; those of when the gateway could not be reached), all or off";
    }
}

/// A rule, its parts checked together.
pub struct RuleEntry;

impl Setting for RuleEntry {
    type Value = Rule;

    fn keys(path: &str, about: &'static str, owner: Option<Owner>, table: &mut Vec<Key>) {
        RuleKeys::keys(path, about, owner, table);
    }

    fn read(at: &Reader<'_>) -> Result<Rule, ConfigProblem> {
        let keys = RuleKeys::read(at)?;
        let day = std::time::Duration::from_secs(24 * 60 * 60);
        Ok(Rule {
            source: keys.source,
            on: keys.on,
            from: keys.from,
            level: keys.level,
            environment: keys.environment,
            fingerprint: keys.fingerprint,
            labels: keys.labels,
            mention: keys.mention.unwrap_or_else(|| MENTION.to_owned()),
            author: keys.author.unwrap_or_default(),
            workflow: keys.workflow,
            project: keys.project,
            repository: keys.repository,
            priority: keys.priority.unwrap_or_default().into(),
            budget_microusd: keys.budget.flatten(),
            cooldown: keys.cooldown.unwrap_or(day),
            limit: keys.limit.unwrap_or(10),
            catch_up: keys.catch_up.unwrap_or_default(),
        })
    }
}

impl Webhooks {
    /// Rules are about sources that there are, and two sources do not share an organization.
    pub(super) fn check(&self, at: &Reader<'_>) -> Result<(), ConfigProblem> {
        let known: Vec<&str> = self.sources.keys().map(String::as_str).collect();
        for (n, rule) in self.rules.iter().enumerate() {
            if !known.contains(&rule.source.as_str()) {
                let there_is = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                let why = format!("(rule {}) names the source {}; there is {there_is}", n + 1, rule.source);
                return Err(at.at("rules").invalid(&why));
            }
        }
        let mut seen = BTreeMap::new();
        for (name, source) in &self.sources {
            let Some(organization) = &source.organization else { continue };
            if let Some(other) = seen.insert(organization, name) {
                let why = format!("is that of webhooks.sources.{other} as well");
                return Err(at.at(&format!("sources.{name}.organization")).invalid(&why));
            }
        }
        Ok(())
    }
}
