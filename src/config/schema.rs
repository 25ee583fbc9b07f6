//! The configuration as the program uses it: every value checked, nothing left to parse.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::error::ConfigProblem;
use super::keys::PROVIDER_KINDS;
use super::rules;
use super::tree::{Node, Value};
use super::values;
use crate::model::agent::ModelRef;
use crate::model::frame::Limits;
use crate::model::names::ProjectName;
use crate::model::network::NetworkMode;
use crate::model::policy::Rule;
use crate::model::port::PortRange;
use crate::model::quantity::{Refusal, cpus, memory, money, span, whole};
use crate::model::secret::Secret;

/// Everything that is configured.
#[derive(Clone, Debug)]
pub struct Config {
    /// How clients reach the gateway.
    pub server: Server,
    /// Where state is kept.
    pub database: Database,
    /// How much of what happened is kept.
    pub events: Events,
    /// What runs containers.
    pub engine: Engine,
    /// What frames are like unless somebody asks for something else.
    pub frames: Frames,
    /// How far one turn may go.
    pub turn: Turn,
    /// How many messages may wait, and for how long.
    pub queue: Queue,
    /// What the agent is told.
    pub opencode: Opencode,
    /// What agents may do without asking.
    pub approvals: Approvals,
    /// Who is told what agents ask.
    pub notify: Notify,
    /// Who answers model calls, by name. The built-in `demo` is not among them.
    pub providers: BTreeMap<String, Provider>,
    /// Projects to register at start.
    pub projects: Vec<ProjectEntry>,
}

/// How clients reach the gateway.
#[derive(Clone, Debug)]
pub struct Server {
    /// None: the Unix socket alone.
    pub http_port: Option<u16>,
    /// Where the port is opened; loopback, or there is TLS.
    pub bind: IpAddr,
    /// Names under which clients reach it, each with or without a port.
    pub hosts: Vec<String>,
    /// How many connections one address may hold.
    pub connections_per_address: u32,
    /// How it is encrypted, if it is.
    pub tls: Option<Tls>,
}

/// Which certificate is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// One that mimir makes and keeps.
    Made,
    /// The owner's own (PEM files).
    Own {
        /// The certificate, with its chain.
        cert: PathBuf,
        /// Its key.
        key: PathBuf,
    },
}

/// Where state is kept.
#[derive(Clone, Debug)]
pub struct Database {
    /// The file.
    pub path: PathBuf,
    /// 64 hex digits or a passphrase; absent when the keyring or the key file has it.
    pub encryption_key: Option<Secret>,
}

/// How much of what happened is kept.
#[derive(Clone, Copy, Debug)]
pub struct Events {
    /// For how many days.
    pub keep_days: u32,
    /// In how many MiB.
    pub keep_mib: u32,
}

/// What runs containers.
#[derive(Clone, Debug)]
pub struct Engine {
    /// `podman`.
    pub kind: String,
    /// None: found by itself.
    pub socket: Option<PathBuf>,
}

/// What frames are like unless somebody asks for something else.
#[derive(Clone, Debug)]
pub struct Frames {
    /// The image they are made from.
    pub image: String,
    /// Where their host ports come from.
    pub ports: PortRange,
    /// What they may reach.
    pub network: NetworkMode,
    /// Hosts and groups for mode `allow`.
    pub allow: Vec<String>,
    /// What they may use.
    pub limits: Limits,
    /// How long a throwaway frame lives.
    pub throwaway_ttl: Duration,
    /// How many start at the same time.
    pub parallel_starts: u32,
    /// How long one may take to answer.
    pub start_timeout: Duration,
    /// How long one may take to stop by itself.
    pub stop_grace: Duration,
    /// So many exits within `crash_window`, and a frame is left in `error`.
    pub crash_limit: u32,
    /// The time in which exits are counted.
    pub crash_window: Duration,
    /// After how long without anything to do one is stopped.
    pub idle_stop: Option<Duration>,
    /// Percent of its memory at which its agent is restarted while it is idle.
    pub recycle_at: u32,
    /// How often an hour its agent is restarted.
    pub recycle_limit: u32,
    /// Whether agents obey the opencode configuration found in a project.
    pub trust_project: bool,
}

/// How far one turn may go before it is stopped.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// Working time in all, without the time it waits for a person.
    pub work: Duration,
    /// Time without any sign of life while it works.
    pub silence: Duration,
    /// Time that one question or permission prompt may wait for a person.
    pub person: Duration,
    /// Model calls.
    pub steps: u32,
    /// Tokens, cached ones included.
    pub tokens: u32,
    /// Millionths of a US dollar.
    pub cost_microusd: u64,
    /// Retries after an error of the provider.
    pub retries: u32,
    /// The longest pause before one of them.
    pub retry_pause: Duration,
}

/// How many messages may wait, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Queue {
    /// In one conversation.
    pub per_session: u32,
    /// In one frame.
    pub per_frame: u32,
    /// How many conversations of a frame run at the same time.
    pub parallel: u32,
    /// How long a message may wait before it fails.
    pub wait: Duration,
}

/// What the agent is told.
#[derive(Clone, Debug)]
pub struct Opencode {
    /// None: chosen by [`Config::default_model`].
    pub default_model: Option<ModelRef>,
    /// None: the default model.
    pub small_model: Option<ModelRef>,
}

/// What agents may do without asking.
#[derive(Clone, Debug)]
pub struct Approvals {
    /// Later ones win.
    pub rules: Vec<Rule>,
    /// How long an unattended run waits for an answer.
    pub unattended: Duration,
}

/// Who is told what agents ask.
#[derive(Clone, Debug)]
pub struct Notify {
    /// Whether the desktop shows it, when there is one.
    pub desktop: bool,
    /// Who is called.
    pub webhooks: Vec<Webhook>,
}

/// Somebody who is called.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Where.
    pub url: url::Url,
    /// What the calls are signed with.
    pub secret: Secret,
}

/// Who answers model calls.
#[derive(Clone, Debug)]
pub struct Provider {
    /// What models are prefixed with.
    pub name: String,
    /// How to talk to it; one of [`PROVIDER_KINDS`].
    pub kind: String,
    /// None: the kind's own address.
    pub base_url: Option<url::Url>,
    /// What opens it.
    pub key: Option<Secret>,
    /// Models to offer besides those that the agent knows.
    pub models: Vec<ModelEntry>,
}

impl Provider {
    /// Whether a call has any chance: there is a key, or its kind needs none.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.key.is_some() || matches!(self.kind.as_str(), "ollama" | "vllm" | "openai-compatible")
    }
}

/// A model of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelEntry {
    /// Its id at the provider.
    pub id: String,
    /// Its name for people.
    pub name: Option<String>,
    /// How many tokens fit.
    pub context: Option<u64>,
    /// How many it may write at once.
    pub output: Option<u64>,
}

/// A project to register at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectEntry {
    /// Its name.
    pub name: ProjectName,
    /// Its folder.
    pub path: PathBuf,
}

/// What each provider is used for when nobody names a model; in this order.
const PREFERRED: &[(&str, &str)] = &[
    ("anthropic", "claude-sonnet-4-20250514"),
    ("openai", "gpt-5"),
    ("openrouter", "anthropic/claude-sonnet-4"),
    ("google", "gemini-2.5-pro"),
];

impl Config {
    /// The model that is used unless a message names one: the configured one, else that of the first
    /// provider with a key, else the first model of a provider that needs none, else the demo.
    #[must_use]
    pub fn default_model(&self) -> ModelRef {
        let of_kind = |kind: &str, model: &str| {
            let usable =
                self.providers.values().find(|provider| provider.kind == kind && provider.is_usable())?;
            let model = usable.models.first().map_or(model, |entry| entry.id.as_str());
            Some(ModelRef { provider: usable.name.clone(), model: model.to_owned() })
        };
        let of_own = || {
            let usable = self.providers.values().find(|it| it.is_usable() && !it.models.is_empty())?;
            Some(ModelRef { provider: usable.name.clone(), model: usable.models.first()?.id.clone() })
        };
        self.opencode
            .default_model
            .clone()
            .or_else(|| PREFERRED.iter().find_map(|(kind, model)| of_kind(kind, model)))
            .or_else(of_own)
            .unwrap_or_else(|| ModelRef { provider: "demo".into(), model: "demo".into() })
    }

    /// The model for titles and summaries.
    #[must_use]
    pub fn small_model(&self) -> ModelRef {
        self.opencode.small_model.clone().unwrap_or_else(|| self.default_model())
    }
}

/// Makes the configuration of a tree that has been checked.
pub(super) fn build(tree: &Node) -> Result<Config, ConfigProblem> {
    let read = Reader { node: tree, path: String::new() };
    let config = Config {
        server: server(&read)?,
        database: Database {
            path: read.must("database.path", values::path)?,
            encryption_key: read.secret("database.encryption_key"),
        },
        events: Events {
            keep_days: read.must("events.keep_days", number)?,
            keep_mib: read.must("events.keep_mib", number)?,
        },
        engine: Engine {
            kind: read.must("engine.kind", values::text)?,
            socket: read.must("engine.socket", |text| match text {
                "auto" => Ok(None),
                path => values::path(path).map(Some),
            })?,
        },
        frames: frames(&read)?,
        turn: Turn {
            work: read.must("turn.work", span::parse_some)?,
            silence: read.must("turn.silence", span::parse_some)?,
            person: read.must("turn.person", span::parse_some)?,
            steps: read.must("turn.steps", number)?,
            tokens: read.must("turn.tokens", number)?,
            cost_microusd: read.must("turn.cost", money::parse)?,
            retries: read.must("turn.retries", number)?,
            retry_pause: read.must("turn.retry_pause", span::parse_some)?,
        },
        queue: Queue {
            per_session: read.must("queue.per_session", number)?,
            per_frame: read.must("queue.per_frame", number)?,
            parallel: read.must("queue.parallel", number)?,
            wait: read.must("queue.wait", span::parse_some)?,
        },
        opencode: Opencode {
            default_model: read.must("opencode.default_model", values::model_or_auto)?,
            small_model: read.must("opencode.small_model", values::model_or_auto)?,
        },
        approvals: Approvals {
            rules: rules::rules(&read)?,
            unattended: read.must("approvals.unattended", span::parse)?,
        },
        notify: Notify {
            desktop: read.must("notify.desktop", values::text)? == "auto",
            webhooks: read.items("notify.webhooks", webhook)?,
        },
        providers: providers(&read)?,
        projects: read.items("projects", |item| {
            Ok(ProjectEntry {
                name: item
                    .must("name", |text| ProjectName::parse(text).map_err(|error| error.to_string()))?,
                path: item.must("path", values::path)?,
            })
        })?,
    };
    for (key, model) in [
        ("opencode.default_model", &config.opencode.default_model),
        ("opencode.small_model", &config.opencode.small_model),
    ] {
        check_model(&read, &config.providers, key, model.as_ref())?;
    }
    Ok(config)
}

fn server(read: &Reader<'_>) -> Result<Server, ConfigProblem> {
    let at = |key: &str| read.node.at(key).unwrap_or(read.node);
    let own = (read.may("server.tls.cert", values::path)?, read.may("server.tls.key", values::path)?);
    let made = read.must("server.tls.auto", values::switch)?;
    let tls = match own {
        (Some(cert), Some(key)) => Some(Tls::Own { cert, key }),
        (Some(_), None) => {
            return Err(read.invalid(
                at("server.tls.cert"),
                "server.tls.cert",
                "needs server.tls.key as well",
            ));
        }
        (None, Some(_)) => {
            return Err(read.invalid(
                at("server.tls.key"),
                "server.tls.key",
                "needs server.tls.cert as well",
            ));
        }
        (None, None) => made.then_some(Tls::Made),
    };
    let bind = read.must("server.bind", values::address)?;
    if !bind.is_loopback() && tls.is_none() {
        let why = format!(
            "is {bind}, which other machines can reach, and that needs TLS: set server.tls.auto to on, or server.tls.cert and server.tls.key"
        );
        return Err(read.invalid(at("server.bind"), "server.bind", &why));
    }
    Ok(Server {
        http_port: read.must("server.http_port", values::port_or_off)?,
        bind,
        hosts: read.texts("server.hosts", values::host_name)?,
        connections_per_address: read.must("server.connections_per_address", number)?,
        tls,
    })
}

fn frames(read: &Reader<'_>) -> Result<Frames, ConfigProblem> {
    Ok(Frames {
        image: read.must("frames.image", values::text)?,
        ports: read.must("frames.ports", values::ports)?,
        network: read.must("frames.network", values::network)?,
        allow: read.texts("frames.allow", values::host)?,
        limits: Limits {
            cpus_milli: read.must("frames.limits.cpus", cpus::parse)?,
            memory_bytes: read.must("frames.limits.memory", memory::parse)?,
            pids: read.must("frames.limits.pids", number)?,
        },
        throwaway_ttl: read.must("frames.throwaway_ttl", span::parse_lifetime)?,
        parallel_starts: read.must("frames.parallel_starts", number)?,
        start_timeout: read.must("frames.start_timeout", span::parse_some)?,
        stop_grace: read.must("frames.stop_grace", span::parse_some)?,
        crash_limit: read.must("frames.crash_limit", number)?,
        crash_window: read.must("frames.crash_window", span::parse_some)?,
        idle_stop: read.must("frames.idle_stop", values::time_or_off)?,
        recycle_at: read.must("frames.recycle_at", number)?,
        recycle_limit: read.must("frames.recycle_limit", number)?,
        trust_project: read.must("frames.trust_project", values::switch)?,
    })
}

fn providers(read: &Reader<'_>) -> Result<BTreeMap<String, Provider>, ConfigProblem> {
    let mut found = BTreeMap::new();
    let Some(Value::Map(entries)) = read.node.child("providers").map(|node| &node.value) else {
        return Ok(found);
    };
    for (name, node) in entries {
        let item = Reader { node, path: format!("providers.{name}") };
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
        if name.is_empty() || name == "demo" || !name.bytes().all(plain) {
            return Err(item.invalid(node, "", "needs another name: a-z, 0-9, - and _, and not demo"));
        }
        let kind = match item.may("kind", values::text)? {
            Some(kind) => kind,
            None if PROVIDER_KINDS.contains(&name.as_str()) => name.clone(),
            None => {
                let why = format!("needs `kind`: {}", PROVIDER_KINDS.join(", "));
                return Err(item.invalid(node, "", &why));
            }
        };
        let base_url = item.may("base_url", values::http_url)?;
        if base_url.is_none() && matches!(kind.as_str(), "openai-compatible" | "vllm") {
            return Err(item.invalid(node, "", "needs `base_url`, such as http://127.0.0.1:8000/v1"));
        }
        let models = item.items("models", model_entry)?;
        let key = item.secret("key");
        found.insert(name.clone(), Provider { name: name.clone(), kind, base_url, key, models });
    }
    Ok(found)
}

fn model_entry(item: &Reader<'_>) -> Result<ModelEntry, ConfigProblem> {
    if let Some(id) = item.node.text() {
        return Ok(ModelEntry { id: id.to_owned(), name: None, context: None, output: None });
    }
    Ok(ModelEntry {
        id: item.must("id", values::text)?,
        name: item.may("name", values::text)?,
        context: item.may("context", number)?.map(u64::from),
        output: item.may("output", number)?.map(u64::from),
    })
}

/// A model must belong to a provider that can answer; otherwise the first message would find out.
fn check_model(
    read: &Reader<'_>,
    providers: &BTreeMap<String, Provider>,
    key: &str,
    model: Option<&ModelRef>,
) -> Result<(), ConfigProblem> {
    let Some(model) = model else { return Ok(()) };
    let why = match providers.get(&model.provider) {
        _ if model.provider == "demo" => return Ok(()),
        Some(provider) if provider.is_usable() => return Ok(()),
        Some(provider) => format!("needs providers.{}.key, which is not set", provider.name),
        None => {
            let known: Vec<&str> = providers.keys().map(String::as_str).chain(["demo"]).collect();
            format!("names the provider {}; there are {}", model.provider, known.join(", "))
        }
    };
    let node = read.node.at(key).unwrap_or(read.node);
    Err(read.invalid(node, key, &why))
}

fn webhook(item: &Reader<'_>) -> Result<Webhook, ConfigProblem> {
    let url = item.must("url", values::http_url)?;
    let secret = item.secret("secret").ok_or_else(|| item.invalid(item.node, "secret", "is missing"))?;
    let bare = secret.reveal().strip_prefix("whsec_").unwrap_or(secret.reveal());
    match STANDARD.decode(bare) {
        Ok(bytes) if bytes.len() >= 16 => Ok(Webhook { url, secret }),
        _ => {
            let why = "must be whsec_ and at least 16 bytes of base64: `openssl rand -base64 32` makes some";
            Err(item.invalid(item.node.child("secret").unwrap_or(item.node), "secret", why))
        }
    }
}

fn number(text: &str) -> Result<u32, Refusal> {
    whole::parse(text, 0, u32::MAX)
}

/// Reads keys of a section.
pub(super) struct Reader<'a> {
    pub(super) node: &'a Node,
    pub(super) path: String,
}

impl Reader<'_> {
    /// A value that must be there: the built-in file has all of them.
    pub(super) fn must<T>(
        &self,
        key: &str,
        parse: impl Fn(&str) -> Result<T, Refusal>,
    ) -> Result<T, ConfigProblem> {
        self.may(key, parse)?.ok_or_else(|| self.invalid(self.node, key, "is missing"))
    }

    /// A value that may be absent.
    pub(super) fn may<T>(
        &self,
        key: &str,
        parse: impl Fn(&str) -> Result<T, Refusal>,
    ) -> Result<Option<T>, ConfigProblem> {
        match self.node.at(key) {
            None | Some(Node { value: Value::Empty, .. }) => Ok(None),
            Some(node) => {
                let text = node.text().ok_or_else(|| self.invalid(node, key, "must be a single value"))?;
                parse(text).map(Some).map_err(|why| self.invalid(node, key, &why))
            }
        }
    }

    /// A secret; one that is empty is none.
    pub(super) fn secret(&self, key: &str) -> Option<Secret> {
        self.node.at(key)?.text().filter(|text| !text.is_empty()).map(Secret::new)
    }

    /// A list of texts; absent is empty.
    pub(super) fn texts<T>(
        &self,
        key: &str,
        parse: impl Fn(&str) -> Result<T, Refusal>,
    ) -> Result<Vec<T>, ConfigProblem> {
        let Some(Value::List(items)) = self.node.at(key).map(|node| &node.value) else {
            return Ok(Vec::new());
        };
        items
            .iter()
            .map(|item| {
                let parsed = item.text().ok_or_else(|| "must be a list of names".to_owned()).and_then(&parse);
                parsed.map_err(|why| self.invalid(item, key, &why))
            })
            .collect()
    }

    /// A list of sections; absent is empty.
    pub(super) fn items<T>(
        &self,
        key: &str,
        each: impl Fn(&Reader<'_>) -> Result<T, ConfigProblem>,
    ) -> Result<Vec<T>, ConfigProblem> {
        let Some(Value::List(items)) = self.node.at(key).map(|node| &node.value) else {
            return Ok(Vec::new());
        };
        items
            .iter()
            .enumerate()
            .map(|(n, node)| each(&Reader { node, path: self.whole(&format!("{key}[{n}]")) }))
            .collect()
    }

    fn whole(&self, key: &str) -> String {
        match (self.path.as_str(), key) {
            ("", key) => key.to_owned(),
            (path, "") => path.to_owned(),
            (path, key) => format!("{path}.{key}"),
        }
    }

    pub(super) fn invalid(&self, node: &Node, key: &str, why: &str) -> ConfigProblem {
        ConfigProblem::Invalid { at: node.origin.clone(), key: self.whole(key), why: why.to_owned() }
    }
}
