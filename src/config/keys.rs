//! Every key there is, what it holds, and what it is for.
//!
//! This table is the specification: files are checked against it, environment
//! variables are named by it, and `config/schema.json` is written from it.
//! In a path, `*` stands for any name and `[]` for an item of a list.

use super::error::ConfigProblem;
use super::tree::{Node, Value};
use super::values;
use crate::model::quantity::{Refusal, cpus, memory, money, pids, span, whole};

/// What a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Some text.
    Text,
    /// Some text that may be left empty.
    Free,
    /// Not to be shown; may be empty.
    Secret,
    /// `on` or `off`.
    Switch,
    /// A whole number, both ends included.
    Whole(u32, u32),
    /// A TCP port or `off`.
    PortOrOff,
    /// An IP address.
    Address,
    /// An absolute path.
    Path,
    /// An absolute path or `auto`.
    PathOrAuto,
    /// A range of ports.
    Ports,
    /// A network mode.
    Network,
    /// A list of hosts and groups.
    Hosts,
    /// A list of host names, each with or without a port.
    HostNames,
    /// Cores.
    Cpus,
    /// Bytes.
    Memory,
    /// A time that is longer than nothing.
    Time,
    /// A time, or none at all.
    Span,
    /// How long a throwaway frame lives.
    Lifetime,
    /// A time or `off`.
    TimeOrOff,
    /// An amount of US dollars.
    Dollars,
    /// `provider/model`.
    Model,
    /// `provider/model` or `auto`.
    ModelOrAuto,
    /// The address of an HTTP service.
    HttpUrl,
    /// A name as frames and projects have it.
    Name,
    /// One of these words.
    OneOf(&'static [&'static str]),
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Dotted.
    pub path: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// What it is for.
    pub about: &'static str,
}

/// The words for kinds of providers.
pub const PROVIDER_KINDS: &[&str] =
    &["anthropic", "openai", "openrouter", "google", "ollama", "vllm", "openai-compatible"];

const fn key(path: &'static str, kind: Kind, about: &'static str) -> Key {
    Key { path, kind, about }
}

/// The words for what a rule does; [`crate::model::policy::Action`] has the same.
const ACTIONS: &[&str] = &["allow", "ask", "deny"];

/// A table with the keys of rules at its end; `$action` is what their actions are for.
macro_rules! with_rules {
    ($action:expr, $($own:expr),* $(,)?) => {
        &[
            $($own,)*
            key(
                "approvals.rules.[].tool",
                Kind::Text,
                "Which tool: bash, edit, external_directory, webfetch, …; * fits all",
            ),
            key("approvals.rules.[].command", Kind::Text, "Of bash: which commands, such as git push *"),
            key("approvals.rules.[].path", Kind::Text, "Of other tools: which paths or addresses"),
            key("approvals.rules.[].action", Kind::OneOf(ACTIONS), $action),
            key("approvals.rules.[].why", Kind::Text, "Why; an agent that is denied is told"),
        ]
    };
}

/// The keys of `config.yaml`.
pub const CONFIG: &[Key] = with_rules![
    "allow, ask a person, or deny",
    key("server.http_port", Kind::PortOrOff, "TCP port of the HTTP API; off for the Unix socket alone"),
    key("server.bind", Kind::Address, "Address the HTTP API listens on; another than loopback needs TLS"),
    key(
        "server.hosts",
        Kind::HostNames,
        "Names under which clients reach the gateway, besides its addresses",
    ),
    key(
        "server.connections_per_address",
        Kind::Whole(1, 512),
        "How many connections one address may hold on the HTTP port, this machine's included",
    ),
    key("server.tls.auto", Kind::Switch, "Speak TLS with a certificate that mimir makes and keeps"),
    key("server.tls.cert", Kind::Path, "Speak TLS with this certificate (PEM, the whole chain)"),
    key("server.tls.key", Kind::Path, "The key of that certificate (PEM)"),
    key("database.path", Kind::Path, "The database file"),
    key("database.encryption_key", Kind::Secret, "64 hex digits or a passphrase"),
    key("events.keep_days", Kind::Whole(1, 3650), "After how many days events are forgotten"),
    key("events.keep_mib", Kind::Whole(8, 1_048_576), "How much all events may take, in MiB"),
    key("engine.kind", Kind::OneOf(&["podman"]), "The container engine"),
    key("engine.socket", Kind::PathOrAuto, "The engine's socket; auto finds it"),
    key("frames.image", Kind::Text, "The image frames are made from"),
    key("frames.ports", Kind::Ports, "Host ports, two for each frame"),
    key("frames.network", Kind::Network, "What a frame may reach"),
    key("frames.allow", Kind::Hosts, "Hosts and groups that a frame in mode allow may reach"),
    key("frames.limits.cpus", Kind::Cpus, "Processor cores of a frame"),
    key("frames.limits.memory", Kind::Memory, "Memory of a frame"),
    key("frames.limits.pids", Kind::Whole(pids::LEAST, pids::MOST), "Processes and threads of a frame"),
    key("frames.throwaway_ttl", Kind::Lifetime, "How long a throwaway frame lives"),
    key("frames.parallel_starts", Kind::Whole(1, 64), "How many frames start at the same time"),
    key("frames.start_timeout", Kind::Time, "How long a frame may take to answer"),
    key("frames.stop_grace", Kind::Time, "How long a frame may take to stop by itself"),
    key(
        "frames.crash_limit",
        Kind::Whole(1, 1000),
        "Exits within crash_window after which a frame is left in error",
    ),
    key("frames.crash_window", Kind::Time, "The time in which exits are counted"),
    key(
        "frames.idle_stop",
        Kind::TimeOrOff,
        "After how long without anything to do a frame is stopped; off: never",
    ),
    key(
        "frames.recycle_at",
        Kind::Whole(10, 100),
        "Percent of a frame's memory at which its agent is restarted while it is idle",
    ),
    key(
        "frames.recycle_limit",
        Kind::Whole(1, 60),
        "How often an hour the agent of a frame is restarted for its memory or because it does not answer",
    ),
    key(
        "frames.trust_project",
        Kind::Switch,
        "Whether agents obey the opencode configuration found in a project",
    ),
    key(
        "turn.work",
        Kind::Time,
        "How long a turn may work, over restarts of the gateway, without the time it waits for a person",
    ),
    key("turn.silence", Kind::Time, "How long a working agent may give no sign"),
    key("turn.person", Kind::Time, "How long a question or permission prompt may wait for a person"),
    key("turn.steps", Kind::Whole(1, 1_000_000), "How many model calls a turn may make, sub-agents included"),
    key(
        "turn.tokens",
        Kind::Whole(1000, u32::MAX),
        "How many tokens a turn may use, cached ones and sub-agents included",
    ),
    key("turn.cost", Kind::Dollars, "How much a turn may cost, sub-agents included"),
    key("turn.retries", Kind::Whole(0, 10_000), "How often a turn may ask a provider again after an error"),
    key("turn.retry_pause", Kind::Time, "The longest pause before such a retry that is waited for"),
    key("queue.per_session", Kind::Whole(1, 10_000), "How many messages may wait in one conversation"),
    key("queue.per_frame", Kind::Whole(1, 100_000), "How many messages may wait in one frame"),
    key("queue.parallel", Kind::Whole(1, 64), "How many conversations of a frame run at the same time"),
    key("queue.wait", Kind::Time, "How long a message may wait before it fails"),
    key("opencode.default_model", Kind::ModelOrAuto, "The model that is used unless a message names one"),
    key("opencode.small_model", Kind::ModelOrAuto, "The model for titles and summaries"),
    key(
        "providers.*.kind",
        Kind::OneOf(PROVIDER_KINDS),
        "How to talk to it; the provider's name when it is one of these",
    ),
    key("providers.*.base_url", Kind::HttpUrl, "Where it is; the kind's own address when absent"),
    key("providers.*.key", Kind::Secret, "What opens it"),
    key("providers.*.models.[]", Kind::Text, "A model to offer"),
    key("providers.*.models.[].id", Kind::Text, "Its id at the provider"),
    key("providers.*.models.[].name", Kind::Text, "Its name for people"),
    key("providers.*.models.[].context", Kind::Whole(1, u32::MAX), "How many tokens fit"),
    key("providers.*.models.[].output", Kind::Whole(1, u32::MAX), "How many tokens it may write at once"),
    key(
        "approvals.unattended",
        Kind::Span,
        "How long an unattended run waits for an answer before it is denied",
    ),
    key("notify.desktop", Kind::OneOf(&["auto", "off"]), "Whether the desktop shows what agents ask"),
    key(
        "notify.webhooks.[].url",
        Kind::HttpUrl,
        "Who is told what agents ask, signed as Standard Webhooks say",
    ),
    key("notify.webhooks.[].secret", Kind::Secret, "whsec_ and base64; what the calls are signed with"),
    key("projects.[].name", Kind::Name, "The project's name"),
    key("projects.[].path", Kind::Path, "The project's folder"),
];

/// The keys of a frame file (`mimir frame create --config`).
pub const FRAME_FILE: &[Key] = with_rules![
    "allow, ask a person, or deny",
    key("name", Kind::Name, "The frame's name"),
    key("workspace", Kind::Path, "The folder that is /workspace inside"),
    key("project", Kind::Name, "A registered project, instead of workspace"),
    key("image", Kind::Text, "The image it is made from"),
    key("network", Kind::Network, "What it may reach"),
    key("allow", Kind::Hosts, "Hosts and groups it may reach in mode allow, besides the configured ones"),
    key("limits.cpus", Kind::Cpus, "Processor cores"),
    key("limits.memory", Kind::Memory, "Memory"),
    key("limits.pids", Kind::Whole(pids::LEAST, pids::MOST), "Processes and threads"),
    key("env.*", Kind::Free, "Extra environment inside"),
    key("throwaway", Kind::Switch, "Whether it destroys itself"),
    key("ttl", Kind::Lifetime, "After how long"),
    key("start", Kind::Switch, "Start it at once"),
];

/// The keys of a project's own `.mimir/config.yml` that are obeyed.
pub const PROJECT_FILE: &[Key] = with_rules![
    "ask a person, or deny; a project's own file cannot allow",
    key("image", Kind::Text, "The image its frames are made from"),
    key("model", Kind::Model, "The model for its frames"),
    key("instructions", Kind::Text, "What the agent should know about the project"),
];

impl Kind {
    /// Whether the text fits.
    ///
    /// # Errors
    /// Why it does not, as the end of a sentence that begins with the key.
    pub fn check(self, text: &str) -> Result<(), Refusal> {
        match self {
            Self::Free | Self::Secret => Ok(()),
            Self::Text => values::text(text).map(drop),
            Self::Switch => values::switch(text).map(drop),
            Self::Whole(least, most) => whole::parse(text, least, most).map(drop),
            Self::PortOrOff => values::port_or_off(text).map(drop),
            Self::Address => values::address(text).map(drop),
            Self::PathOrAuto if text == "auto" => Ok(()),
            Self::Path | Self::PathOrAuto => values::path(text).map(drop),
            Self::Ports => values::ports(text).map(drop),
            Self::Network => values::network(text).map(drop),
            Self::Hosts => values::host(text).map(drop),
            Self::HostNames => values::host_name(text).map(drop),
            Self::Cpus => cpus::parse(text).map(drop),
            Self::Memory => memory::parse(text).map(drop),
            Self::Time => span::parse_some(text).map(drop),
            Self::Span => span::parse(text).map(drop),
            Self::Lifetime => span::parse_lifetime(text).map(drop),
            Self::TimeOrOff => values::time_or_off(text).map(drop),
            Self::Dollars => money::parse(text).map(drop),
            Self::Model => values::model(text).map(drop),
            Self::ModelOrAuto => values::model_or_auto(text).map(drop),
            Self::HttpUrl => values::http_url(text).map(drop),
            Self::Name => crate::model::names::FrameName::parse(text)
                .map(drop)
                .map_err(|_| format!("must be 1 to 40 of a-z, 0-9 and inner -, not `{text}`")),
            Self::OneOf(words) if words.contains(&text) => Ok(()),
            Self::OneOf(words) => Err(format!("must be {}, not `{text}`", words.join(", "))),
        }
    }

    /// Whether it is a list of texts.
    #[must_use]
    pub fn is_list(self) -> bool {
        matches!(self, Self::Hosts | Self::HostNames)
    }
}

/// The key of the table that fits a dotted key, such as `providers.local.key`.
#[must_use]
pub fn find(table: &'static [Key], path: &str) -> Option<&'static Key> {
    table.iter().find(|key| fits(key.path, path))
}

fn fits(pattern: &str, path: &str) -> bool {
    let (mut pattern, mut path) = (pattern.split('.'), path.split('.'));
    loop {
        match (pattern.next(), path.next()) {
            (None, None) => return true,
            (Some(wanted), Some(given)) if wanted == "*" || wanted == given => {}
            _ => return false,
        }
    }
}

/// What follows that path in the keys of the table.
fn below<'a>(table: &'a [Key], path: &str) -> impl Iterator<Item = &'a str> {
    let depth = if path.is_empty() { 0 } else { path.split('.').count() };
    table.iter().filter_map(move |key| {
        let parts: Vec<&str> = key.path.split('.').collect();
        let fits = depth == 0 || (parts.len() > depth && fits(&parts[..depth].join("."), path));
        if fits { parts.get(depth).copied() } else { None }
    })
}

/// Whether the path is the beginning of keys, by name.
fn is_section(table: &[Key], path: &str) -> bool {
    below(table, path).any(|part| part != "[]")
}

/// Whether the path is a list of sections or values.
fn is_list(table: &[Key], path: &str) -> bool {
    below(table, path).any(|part| part == "[]")
}

/// Everything in the tree that the table does not have or that does not fit.
#[must_use]
pub(super) fn check(table: &'static [Key], tree: &Node) -> Vec<ConfigProblem> {
    let mut problems = Vec::new();
    check_node(table, tree, "", &mut problems);
    problems
}

fn check_node(table: &'static [Key], node: &Node, path: &str, problems: &mut Vec<ConfigProblem>) {
    let leaf = find(table, path);
    let invalid = |why: String| ConfigProblem::Invalid { at: node.origin.clone(), key: path.to_owned(), why };
    match (&node.value, leaf) {
        (Value::Empty, _) => {}
        (Value::Scalar(_), Some(key)) if key.kind.is_list() => {
            problems.push(invalid("must be a list".into()))
        }
        (Value::Scalar(text), Some(key)) => problems.extend(key.kind.check(text).err().map(invalid)),
        (Value::List(items), Some(key)) if key.kind.is_list() => {
            for item in items {
                let misfit = match item.text() {
                    Some(text) => key.kind.check(text).err(),
                    None => Some("must be a list of names".into()),
                };
                problems.extend(misfit.map(invalid));
            }
        }
        (Value::Map(entries), _) if is_section(table, path) => {
            for (name, child) in entries {
                let whole = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                let is_plain = !name.contains('.') && name != "[]";
                let is_known = find(table, &whole).is_some() || below(table, &whole).next().is_some();
                if is_plain && is_known {
                    check_node(table, child, &whole, problems);
                } else {
                    let nearest = nearest(table, path, name);
                    problems.push(ConfigProblem::UnknownKey {
                        at: child.origin.clone(),
                        key: whole,
                        nearest,
                    });
                }
            }
        }
        (Value::List(items), _) if is_list(table, path) => {
            for item in items {
                check_node(table, item, &format!("{path}.[]"), problems);
            }
        }
        (_, Some(_)) => problems.push(invalid("must be a single value".into())),
        (_, None) if is_list(table, path) => problems.push(invalid("must be a list".into())),
        (_, None) => problems.push(invalid("must have keys below it".into())),
    }
}

/// The key of that section whose name is most like the one that was written; or one of that very
/// name in another section.
fn nearest(table: &[Key], section: &str, name: &str) -> Option<String> {
    let siblings = below(table, section).filter(|part| !matches!(*part, "*" | "[]"));
    let most_like = siblings
        .map(|sibling| (strsim::damerau_levenshtein(sibling, name), sibling))
        .filter(|(distance, sibling)| *distance <= 1 + sibling.len().max(name.len()) / 4)
        .min();
    if let Some((_, sibling)) = most_like {
        return Some(if section.is_empty() { sibling.to_owned() } else { format!("{section}.{sibling}") });
    }
    table
        .iter()
        .find(|key| !key.path.contains(['*', '[']) && key.path.rsplit('.').next() == Some(name))
        .map(|key| key.path.to_owned())
}

/// The whole key that was probably meant by a dotted key that there is not.
#[must_use]
pub fn nearest_key(table: &[Key], path: &str) -> Option<String> {
    let (section, name) = path.rsplit_once('.').unwrap_or(("", path));
    nearest(table, section, name).filter(|found| found != path).or_else(|| {
        table
            .iter()
            .map(|key| (strsim::damerau_levenshtein(key.path, path), key.path))
            .filter(|(distance, _)| *distance <= 3)
            .min()
            .map(|(_, path)| path.to_owned())
    })
}
