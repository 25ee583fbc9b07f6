//! The configuration: every key is declared here, once.
//!
//! A line names the field, what it holds ([`super::kinds`]), whose it is ([`Owner`]; what stands below a line has the
//! same, unless it says so itself) and what it is for. From it come the key in files and in
//! `mimir config`, the variable `MIMIR_*`, the JSON Schema, and the value that the program uses: checked, nothing left
//! to parse. Its default stands in `config/default.yaml`.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::error::ConfigProblem;
use super::keys::{Key, Owner};
use super::kinds::{self, *};
pub use super::models::Models;
use super::provider::Providers;
use super::rules::RuleEntry;
use super::schedules::ScheduleEntry;
use super::section::{List, Reader, Setting, section};
use super::tree::Node;
use super::webhooks::Webhooks;
use crate::model::agent::ModelRef;
use crate::model::forge::App;
use crate::model::frame::Limits;
use crate::model::git::{ForgeHost, ForgeKind};
use crate::model::secret::Secret;

section! {
    /// Everything that is configured.
    #[derive(Clone, Debug)]
    pub struct Config {
        server: Server, restart, "How clients reach the gateway";
        database: Database, restart, "Where state is kept";
        events: Events, live, "How much of what happened is kept";
        audit: Audit, restart, "What makes the audit log tell when it was changed";
        backup: Backup, restart, "When the database is copied, and which copies are kept";
        engine: Engine, restart, "What runs containers";
        frames: Frames, "What frames are like unless somebody asks for something else";
        network: Asking, live, "What happens when a frame runs into a host that is not on its list";
        git: Git, live, "How frames come to the forges of their repositories, without a key inside";
        turn: Turn, live, "How far one turn may go before it is stopped";
        budget: Budget, live, "What model calls may cost, where `mimir budget set` says nothing else";
        queue: Queue, live, "How many messages may wait, and for how long";
        workflows: Workflows, live, "How runs of workflows share this machine";
        opencode: Opencode, restart, "What the agent is told";
        models: Models, live, "Which model answers a message that names none";
        providers: Providers, restart, "Who answers model calls, by name; the built-in `demo` is not among them";
        approvals: Approvals, "What agents may do without asking";
        notify: Notify, restart, "Who is told what agents ask";
        webhooks: Webhooks, live, "Who may tell us something over HTTP, and what follows from it";
        ui: Ui, request, "How `mimir ui` and the list of `mimir open` look";
        projects: Vec<ProjectEntry>, restart, "Projects to register at start";
        schedules: Vec<ScheduleEntry>, live, "What is done again and again; `mimir cron add` makes others";
    }
}

section! {
    /// How clients reach the gateway.
    #[derive(Clone, Debug)]
    pub struct Server {
        http_port: PortOrOff, "TCP port of the HTTP API; off for the Unix socket alone";
        bind: Address, "Address the HTTP API listens on; another than loopback needs TLS";
        hosts: List<HostName>, "Names under which clients reach the gateway, besides its addresses";
        connections_per_address: Whole<1, 512>,
            "How many connections one address may hold on the HTTP port, this machine's included";
        tls: Option<Tls>, "How it is encrypted, if it is";
    }
}

section! {
    struct TlsKeys {
        auto: Switch, "Speak TLS with a certificate that mimir makes and keeps";
        cert: Optional<AbsolutePath>, "Speak TLS with this certificate (PEM, the whole chain)";
        key: Optional<AbsolutePath>, "The key of that certificate (PEM)";
    }
}

section! {
    /// Where state is kept.
    #[derive(Clone, Debug)]
    pub struct Database {
        path: AbsolutePath, "The database file";
        encryption_key: Hidden, "64 hex digits or a passphrase";
    }
}

section! {
    /// How much of what happened is kept.
    #[derive(Clone, Copy, Debug)]
    pub struct Events {
        keep_days: Whole<1, 3650>, "After how many days events are forgotten";
        keep_mib: Whole<8, 1_048_576>, "How much all events may take, in MiB";
    }
}

section! {
    /// What makes the audit log tell when it was changed.
    #[derive(Clone, Debug)]
    pub struct Audit {
        heads: PathOrAuto, "The file in which the log's end is noted, outside the database; auto: audit.heads in the home";
    }
}

section! {
    /// When the database is copied, and which copies are kept.
    #[derive(Clone, Copy, Debug)]
    pub struct Backup {
        every: TimeOrOff, "How old the newest copy may become; off: only when somebody asks";
        keep: Whole<1, 1000, usize>, "How many copies are kept";
        keep_days: Whole<1, 3650>, "After how many days a copy is removed; the newest never";
    }
}

section! {
    /// What runs containers.
    #[derive(Clone, Debug)]
    pub struct Engine {
        kind: kinds::Engine, "The container engine";
        socket: PathOrAuto, "The engine's socket; auto finds it";
    }
}

section! {
    /// What frames are like unless somebody asks for something else.
    #[derive(Clone, Debug)]
    pub struct Frames {
        image: Text, request, "The image frames are made from";
        ports: Ports, live, "Host ports, two for each frame";
        network: Network, request, "What a frame may reach";
        allow: List<Host>, request, "Hosts and groups that a frame in mode allow may reach";
        upload_limit: SizeOrOff, live, "How much a frame may send to one listed host a day; off: as much as it likes";
        connection_limit: CountOrOff, live,
            "How many connections a frame may make to one listed host a day; off: as many as it likes";
        providers: List<ProviderName>, request,
            "Model providers that a frame may use besides those of the default model and the small model";
        limits: Limits, request, "What a frame may use";
        throwaway_ttl: Lifetime, request, "How long a throwaway frame lives";
        warm: Whole<0, 16, usize>, live,
            "How many frames of each kind that runs were given lately are kept running before they are needed";
        parallel_starts: Whole<1, 64, usize>, restart, "How many frames start at the same time";
        start_timeout: Time, live, "How long a frame may take to answer";
        stop_grace: Time, live, "How long a frame may take to stop by itself";
        crash_limit: Whole<1, 1000>, live, "Exits within crash_window after which a frame is left in error";
        crash_window: Time, live, "The time in which exits are counted";
        idle_stop: TimeOrOff, live, "After how long without anything to do a frame is stopped; off: never";
        disk: Memory, live, "How much a frame's own folder may hold, its home above all; with more it is stopped";
        disk_free: Memory, live,
            "With less free on the disk no frame is made or started, and those that write to it are stopped";
        recycle_at: Whole<10, 100>, live,
            "Percent of a frame's memory at which its agent is restarted while it is idle";
        recycle_limit: Whole<1, 60>, live,
            "How often an hour the agent of a frame is restarted for its memory or because it does not answer";
        runtime: RuntimeOrAuto, restart,
            "What runs containers below the engine: its own choice, runc, crun, runsc (gVisor) or krun (virtual machines)";
        git: GitModeOrAuto, request,
            "What becomes of a push: direct, gate (it waits until you have looked), auto (gate for throwaway frames)";
        trust_project: Switch, live, "Whether agents obey what every project brings, unseen; `mimir projects trust` does it for one";
    }
}

section! {
    for Limits {
        cpus_milli("cpus"): Cpus, "Processor cores of a frame";
        memory_bytes("memory"): Memory, "Memory of a frame";
        pids: Pids, "Processes and threads of a frame";
    }
}

section! {
    /// What happens when a frame runs into a host that is not on its list.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Asking {
        ask_wait: Patience, "How long such a connection waits while you are asked; 0s: it is refused unasked";
    }
}

section! {
    /// How frames come to the forges of their repositories.
    #[derive(Clone, Debug)]
    pub struct Git {
        hosts: List<Forge>,
            "Forges besides those that everybody knows; http://HOST:PORT for one without TLS, gitea: or github: before it for its kind";
        credentials: Vec<GitCredential>, "What opens a forge";
        branches: List<Branch>,
            "Branches that every frame may push to its own repository; with + they may be rewritten and deleted too";
        protected: List<Text>, "Files and folders whose change waits until you have looked, in every mode";
        push_limit: Size, "How much one push may hold";
        mirror_limit: Size, "How much the copy of one repository may hold that is kept on this machine";
        refresh: Time, "How old that copy may be when a frame with a gate reads it";
    }
}

section! {
    struct GitCredentialKeys {
        host: Forge, "The forge that it opens";
        user: Optional<Text>, "The name that goes with it; forges look at the token alone";
        token: Hidden, "The token itself; best from a variable: ${GITHUB_TOKEN:-}";
        file: Optional<AbsolutePath>, "Or a file that holds it";
        command: Optional<Text>, "Or a command that prints it, such as gh auth token";
        helper: Optional<Switch>, "Or your own git's credential helpers know it";
        app: AppKeys, "Or a GitHub App of yours gets one for each repository, which holds for an hour";
    }
}

section! {
    struct AppKeys {
        id: Optional<Text>, "Its id or its client id";
        key_file: Optional<AbsolutePath>, "A file that holds its private key (PEM)";
        installation: Optional<Whole<1, { u32::MAX }, u64>>,
            "The number of its installation; else it is looked up for each repository";
    }
}

section! {
    /// How far one turn may go before it is stopped.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Turn {
        work: Time,
            "How long a turn may work, over restarts of the gateway, without the time it waits for a person";
        silence: Time, "How long a working agent may give no sign";
        person: Time, "How long a question or permission prompt may wait for a person";
        steps: Whole<1, 1_000_000, usize>, "How many model calls a turn may make, sub-agents included";
        tokens: Whole<1000, { u32::MAX }, u64>,
            "How many tokens a turn may use, cached ones and sub-agents included";
        cost_microusd("cost"): Dollars, "How much a turn may cost, sub-agents included";
        retries: Whole<0, 10_000>, "How often a turn may ask a provider again after an error";
        retry_pause: Time, "The longest pause before such a retry that is waited for";
    }
}

section! {
    /// What model calls may cost, where `mimir budget set` says nothing else.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Budget {
        frame: DollarsOrOff, "What each frame may cost in all; off: no limit";
        day: DollarsOrOff, "What everything together may cost a day (UTC); off: no limit";
        month: DollarsOrOff, "What everything together may cost a month (UTC); off: no limit";
        warn_at: Whole<1, 99>, "Percent of a budget at which it is said that it comes to its end";
    }
}

section! {
    /// How many messages may wait, and for how long.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Queue {
        per_session: Whole<1, 10_000, u64>, "How many messages may wait in one conversation";
        per_frame: Whole<1, 100_000, u64>, "How many messages may wait in one frame";
        parallel: Whole<1, 64, usize>, "How many conversations of a frame run at the same time";
        wait: Time, "How long a message may wait before it fails";
    }
}

section! {
    /// How the dashboard looks.
    #[derive(Clone, Copy, Debug)]
    pub struct Ui {
        theme: Theme, "Its colours: the terminal's own, some for a dark or a light background, or none";
        accent: Optional<Color>, "The colour of keys and links, instead of the theme's: a name, a number or #rrggbb";
        good: Optional<Color>, "The colour of what goes well";
        warn: Optional<Color>, "The colour of what somebody should look at";
        bad: Optional<Color>, "The colour of what went wrong";
        faint: Optional<Color>, "The colour of what is there for completeness";
    }
}

section! {
    /// How runs of workflows share this machine.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Workflows {
        max_parallel: Whole<1, 64>, "How many runs are at work at the same time; those that wait or are held do not count";
    }
}

section! {
    /// What the agent is told.
    #[derive(Clone, Debug)]
    pub struct Opencode {
        default_model: ModelOrAuto, "The model that is used unless a message names one";
        small_model: ModelOrAuto, "The model for titles and summaries";
    }
}

section! {
    /// What agents may do without asking.
    #[derive(Clone, Debug)]
    pub struct Approvals {
        rules: Vec<RuleEntry>, live, "Later ones win";
        unattended: Span, request, "How long an unattended run waits for an answer before it is denied";
    }
}

section! {
    /// Who is told what agents ask.
    #[derive(Clone, Debug)]
    pub struct Notify {
        desktop: Desktop, "Whether the desktop shows what agents ask";
        webhooks: Vec<Webhook>, "Who is called";
    }
}

section! {
    struct WebhookKeys {
        url: HttpUrl, "Who is told what agents ask, signed as Standard Webhooks say";
        secret: Hidden, "whsec_ and base64; what the calls are signed with";
    }
}

section! {
    /// A project to register at start.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct ProjectEntry {
        name: Project, "The project's name";
        path: AbsolutePath, "The project's folder";
    }
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

impl Setting for Option<Tls> {
    type Value = Self;

    fn keys(path: &str, about: &'static str, owner: Option<Owner>, table: &mut Vec<Key>) {
        TlsKeys::keys(path, about, owner, table);
    }

    fn read(at: &Reader<'_>) -> Result<Self, ConfigProblem> {
        let TlsKeys { auto, cert, key } = TlsKeys::read(at)?;
        match (cert, key) {
            (Some(cert), Some(key)) => Ok(Some(Tls::Own { cert, key })),
            (Some(_), None) => Err(at.at("cert").invalid("needs server.tls.key as well")),
            (None, Some(_)) => Err(at.at("key").invalid("needs server.tls.cert as well")),
            (None, None) => Ok(auto.then_some(Tls::Made)),
        }
    }
}

/// Somebody who is called.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Where.
    pub url: url::Url,
    /// What the calls are signed with.
    pub secret: Secret,
}

impl Setting for Webhook {
    type Value = Self;

    fn keys(path: &str, about: &'static str, owner: Option<Owner>, table: &mut Vec<Key>) {
        WebhookKeys::keys(path, about, owner, table);
    }

    fn read(at: &Reader<'_>) -> Result<Self, ConfigProblem> {
        let WebhookKeys { url, secret } = WebhookKeys::read(at)?;
        let secret = secret.ok_or_else(|| at.at("secret").invalid("is missing"))?;
        let bare = secret.reveal().strip_prefix("whsec_").unwrap_or(secret.reveal());
        match STANDARD.decode(bare) {
            Ok(bytes) if bytes.len() >= 16 => Ok(Self { url, secret }),
            _ => Err(at.at("secret").invalid(
                "must be whsec_ and at least 16 bytes of base64: `openssl rand -base64 32` makes some",
            )),
        }
    }
}

/// What opens a forge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitCredential {
    /// Which one.
    pub host: ForgeHost,
    /// The name that goes with it.
    pub user: Option<String>,
    /// Where the token is.
    pub source: TokenSource,
}

/// Where a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// In the configuration, where nothing is set when a variable is not.
    Here(Option<Secret>),
    /// In a file.
    File(PathBuf),
    /// A command prints it.
    Command(String),
    /// The user's own git knows it.
    Helper,
    /// An app gets one for each repository.
    App(App),
}

impl Setting for GitCredential {
    type Value = Self;

    fn keys(path: &str, about: &'static str, owner: Option<Owner>, table: &mut Vec<Key>) {
        GitCredentialKeys::keys(path, about, owner, table);
    }

    fn read(at: &Reader<'_>) -> Result<Self, ConfigProblem> {
        let GitCredentialKeys { host, user, token, file, command, helper, app } =
            GitCredentialKeys::read(at)?;
        let helper = helper.unwrap_or(false);
        let app = match app {
            AppKeys { id: Some(id), key_file: Some(key_file), installation } => {
                Some(App { id, key_file, installation })
            }
            AppKeys { id: None, key_file: None, installation: None } => None,
            _ => return Err(at.at("app").invalid("needs both id and key_file")),
        };
        let said = [token.is_some(), file.is_some(), command.is_some(), helper, app.is_some()];
        if said.iter().filter(|said| **said).count() > 1 {
            return Err(at.invalid("says more than one of token, file, command, helper and app"));
        }
        if let Some(app) = app {
            if host.kind == Some(ForgeKind::Gitea) {
                return Err(at.at("app").invalid("is a thing of GitHub's, and this forge has none"));
            }
            return Ok(Self { host, user, source: TokenSource::App(app) });
        }
        let source = match (file, command) {
            (Some(file), _) => TokenSource::File(file),
            (None, Some(command)) => TokenSource::Command(command),
            (None, None) if helper => TokenSource::Helper,
            (None, None) => TokenSource::Here(token),
        };
        Ok(Self { host, user, source })
    }
}

/// Makes the configuration of a tree that has been checked.
pub(super) fn build(tree: &Node) -> Result<Config, ConfigProblem> {
    let root = Reader::root(tree);
    let config = Config::read(&root)?;
    let bind = config.server.bind;
    if !bind.is_loopback() && config.server.tls.is_none() {
        return Err(root.at("server.bind").invalid(&format!(
            "is {bind}, which other machines can reach, and that needs TLS: set server.tls.auto to on, or server.tls.cert and server.tls.key"
        )));
    }
    config.webhooks.check(&root.at("webhooks"))?;
    let Opencode { default_model, small_model } = &config.opencode;
    for (key, model) in [("opencode.default_model", default_model), ("opencode.small_model", small_model)] {
        if let Some(why) = model.as_ref().and_then(|model| unanswered(model, &config.providers)) {
            return Err(root.at(key).invalid(&why));
        }
    }
    let tiers = config.models.tiers.known();
    for (tier, model) in &tiers {
        if let Some(why) = unanswered(model, &config.providers) {
            return Err(root.at(&format!("models.tiers.{tier}")).invalid(&why));
        }
    }
    for route in &config.models.routes {
        match (route.target(&tiers), route.tier) {
            (None, Some(tier)) => {
                let why = format!("has no model, and a rule of models.routes leads to it ({})", route.line());
                return Err(root.at(&format!("models.tiers.{tier}")).invalid(&why));
            }
            (Some(model), _) => {
                if let Some(why) = unanswered(model, &config.providers) {
                    return Err(root.at("models.routes").invalid(&format!("({}) {why}", route.line())));
                }
            }
            (None, None) => {}
        }
    }
    Ok(config)
}

/// Why a model cannot answer: it must belong to a provider that can. Otherwise the first message would find out.
fn unanswered(model: &ModelRef, providers: &Providers) -> Option<String> {
    match providers.get(&model.provider) {
        _ if model.provider == "demo" => None,
        Some(provider) if provider.is_usable() => None,
        Some(provider) => Some(format!("needs providers.{}.key, which is not set", provider.name)),
        None => {
            let known: Vec<&str> = providers.keys().map(String::as_str).chain(["demo"]).collect();
            Some(format!("names the provider {}; there are {}", model.provider, known.join(", ")))
        }
    }
}

/// A section as it is built in. Only for sections without variables in them.
#[expect(clippy::expect_used, reason = "the built-in file is part of the program; a test reads all of it")]
fn built_in<T: Setting>(section: &str) -> T::Value {
    let tree = super::tree::parse_built_in(super::DEFAULTS).expect("the built-in configuration is YAML");
    T::read(&Reader::root(&tree).at(section)).expect("the built-in configuration is whole")
}

impl Default for Frames {
    fn default() -> Self {
        built_in::<Self>("frames")
    }
}

impl Default for Git {
    fn default() -> Self {
        built_in::<Self>("git")
    }
}

impl Default for Turn {
    fn default() -> Self {
        built_in::<Self>("turn")
    }
}

impl Default for Queue {
    fn default() -> Self {
        built_in::<Self>("queue")
    }
}
