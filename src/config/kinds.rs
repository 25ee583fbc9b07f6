//! What a key can hold: how its text is read, and how JSON Schema describes it.

use std::marker::PhantomData;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value as Json, json};
use strum::VariantNames;

use super::values;
use crate::model::agent::ModelRef;
use crate::model::git::{BranchRule, ForgeHost, GitMode, Repository};
use crate::model::look::{ThemeName, Tint};
use crate::model::names::{FrameName, ProjectName, ScheduleName};
use crate::model::network::NetworkMode;
use crate::model::policy::Action;
use crate::model::port::PortRange;
use crate::model::quantity::{Refusal, cpus, memory, money, pids, span, whole};
use crate::model::routing::Tier;
use crate::model::schedule::{CatchUp, Expression, Overlap, Zone};
use crate::model::secret::Secret;
use crate::model::webhook::{AuthorRight, Level, SenderKind, Untold};

/// How the value of a key is treated, whatever it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One text.
    Plain,
    /// One text, in which `~/` at the beginning is the home.
    Path,
    /// One text that is not to be shown.
    Secret,
    /// A list of texts.
    List,
}

/// What a key holds: one text with a meaning.
pub trait Kind {
    /// As the program uses it.
    type Value;
    /// How it is treated.
    const FORM: Form = Form::Plain;

    /// Reads a text.
    ///
    /// # Errors
    /// Why it does not fit, as the end of a sentence that begins with the key.
    fn parse(text: &str) -> Result<Self::Value, Refusal>;

    /// The value of a key that is not set, where that is allowed.
    #[must_use]
    fn absent() -> Option<Self::Value> {
        None
    }

    /// As JSON Schema.
    #[must_use]
    fn schema() -> Json;
}

/// The words for kinds of providers.
pub const PROVIDER_KINDS: &[&str] =
    &["anthropic", "openai", "openrouter", "google", "ollama", "vllm", "openai-compatible"];

/// What may run containers below the engine.
pub const RUNTIMES: &[&str] = &["auto", "runc", "crun", "runsc", "krun"];

/// What schedules do.
pub const SCHEDULE_VERBS: &[&str] = &["prompt", "workflow", "review", "start", "stop", "restart"];

/// What a span of time looks like.
const SPAN: &str = r"^(\d+(s|sec|m|min|h|d)\s*)+$";

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident $($form:ident)? => $value:ty: $parse:expr, $schema:tt;)*) => {$(
        $(#[$doc])*
        pub struct $name;

        impl Kind for $name {
            type Value = $value;
            $(const FORM: Form = Form::$form;)?

            fn parse(text: &str) -> Result<$value, Refusal> {
                let parse: fn(&str) -> Result<$value, Refusal> = $parse;
                parse(text)
            }

            fn schema() -> Json {
                json!($schema)
            }
        }
    )*};
}

kinds! {
    /// Some text.
    Text => String: values::text, {"type": "string"};
    /// Some text that may be left empty.
    Free => String: |text| Ok(text.to_owned()), {"type": "string"};
    /// `on` or `off`.
    Switch => bool: values::switch, {"enum": ["on", "off", true, false]};
    /// A TCP port or `off`.
    PortOrOff => Option<u16>: values::port_or_off,
        {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 65535}, {"enum": ["off", false]}]};
    /// An IP address.
    Address => IpAddr: values::address, {"type": "string"};
    /// An absolute path.
    AbsolutePath Path => PathBuf: values::path, {"type": "string"};
    /// An absolute path or `auto`.
    PathOrAuto Path => Option<PathBuf>: values::path_or_auto, {"type": "string"};
    /// A range of ports.
    Ports => PortRange: values::ports, {"type": "string", "pattern": "^\\d{4,5}-\\d{4,5}$"};
    /// A network mode.
    Network => NetworkMode: values::network, {"enum": ["sealed", "allow", "open"]};
    /// A host or a group of hosts.
    Host => String: values::host, {"type": "string"};
    /// A forge's host, with or without a port; with `http://` before it one without TLS.
    Forge => ForgeHost: ForgeHost::parse, {"type": "string"};
    /// Branches that may be pushed.
    Branch => String: |text| BranchRule::parse(text).map(|_| text.to_owned()),
        {"type": "string", "pattern": (BranchRule::PATTERN)};
    /// What becomes of a push, or `auto`.
    GitModeOrAuto => Option<GitMode>: values::git_mode_or_auto, {"enum": ["auto", "direct", "gate"]};
    /// What becomes of a push.
    GitWord => GitMode: values::git_mode, {"enum": ["direct", "gate"]};
    /// How the dashboard looks.
    Theme => ThemeName: values::theme, {"enum": ["terminal", "dark", "light", "mono"]};
    /// A colour of a terminal.
    Color => Tint: Tint::parse, {"type": ["string", "integer", "null"]};
    /// A repository at a forge.
    Repo => Repository: values::repository, {"type": "string"};
    /// A host name, with or without a port.
    HostName => String: values::host_name, {"type": "string"};
    /// Thousandths of a core.
    Cpus => u32: cpus::parse, {"type": "number", "minimum": 0.1};
    /// Bytes.
    Memory => u64: memory::parse, {"type": ["string", "integer"]};
    /// Bytes, also few of them.
    Size => u64: memory::parse_any, {"type": ["string", "integer"]};
    /// Bytes, or `off`.
    SizeOrOff => Option<u64>: values::size_or_off,
        {"anyOf": [{"type": ["string", "integer"]}, {"enum": ["off", false]}]};
    /// How many of something, or `off`.
    CountOrOff => Option<u64>: values::count_or_off,
        {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 1_000_000_000}, {"enum": ["off", false]}]};
    /// Processes and threads.
    Pids => u32: pids::parse, {"type": "integer", "minimum": (pids::LEAST), "maximum": (pids::MOST)};
    /// A time that is longer than nothing.
    Time => Duration: span::parse_some, {"type": "string", "pattern": SPAN};
    /// A time, or none at all.
    Span => Duration: span::parse, {"type": "string", "pattern": SPAN};
    /// How long somebody is waited for, or not at all.
    Patience => Duration: values::patience, {"type": "string", "pattern": SPAN};
    /// How long a throwaway frame lives.
    Lifetime => Duration: span::parse_lifetime, {"type": "string", "pattern": SPAN};
    /// A time or `off`.
    TimeOrOff => Option<Duration>: values::time_or_off,
        {"anyOf": [{"type": "string", "pattern": SPAN}, {"enum": ["off", false]}]};
    /// Millionths of a US dollar.
    Dollars => u64: money::parse, {"type": "number", "minimum": 0.01};
    /// Millionths of a US dollar, or `off`.
    DollarsOrOff => Option<u64>: values::dollars_or_off,
        {"anyOf": [{"type": "number", "minimum": 0.01}, {"enum": ["off", false]}]};
    /// `provider/model`.
    Model => ModelRef: values::model, {"type": "string", "pattern": "^[^/]+/.+$"};
    /// `provider/model` or `auto`.
    ModelOrAuto => Option<ModelRef>: values::model_or_auto, {"type": "string", "pattern": "^([^/]+/.+|auto)$"};
    /// The address of an HTTP service.
    HttpUrl => url::Url: values::http_url, {"type": "string", "format": "uri"};
    /// The same, or `off`.
    HttpUrlOrOff => Option<url::Url>: values::http_url_or_off,
        {"anyOf": [{"type": "string", "format": "uri"}, {"enum": ["off", false]}]};
    /// A frame's name.
    Frame => FrameName: |text| FrameName::parse(text).map_err(|_| values::no_name(text)), {"type": "string"};
    /// A project's name.
    Project => ProjectName: |text| ProjectName::parse(text).map_err(|_| values::no_name(text)), {"type": "string"};
    /// A schedule's name.
    ScheduleWord => ScheduleName: |text| ScheduleName::parse(text).map_err(|_| values::no_name(text)), {"type": "string"};
    /// When a schedule is due.
    CronText => Expression: |text| Expression::parse(text).map_err(|error| format!("cannot be: {error}")), {"type": "string"};
    /// A time zone.
    ZoneName => Zone: |text| Zone::parse(text).map_err(|error| format!("cannot be: {error}")), {"type": "string"};
    /// What a schedule does.
    ScheduleVerb => String: |text| values::one_of(text, SCHEDULE_VERBS), {"enum": SCHEDULE_VERBS};
    /// What happens while a schedule's last run goes on.
    OverlapWord => Overlap: |text| values::one_of(text, Overlap::VARIANTS).map(|word| word.parse().unwrap_or_default()),
        {"enum": (Overlap::VARIANTS)};
    /// What becomes of times that passed.
    CatchUpWord => CatchUp: |text| values::one_of(text, CatchUp::VARIANTS).map(|word| word.parse().unwrap_or_default()),
        {"enum": (CatchUp::VARIANTS)};
    /// The engine.
    Engine => String: |text| values::one_of(text, &["podman"]), {"enum": ["podman"]};
    /// What runs containers below the engine, or `auto`.
    RuntimeOrAuto => Option<String>: |text| {
        values::one_of(text, RUNTIMES).map(|word| (word != "auto").then_some(word))
    }, {"enum": RUNTIMES};
    /// What a model is good for.
    TierWord => Tier: values::tier, {"enum": (Tier::VARIANTS)};
    /// A kind of provider.
    ProviderWord => String: |text| values::one_of(text, PROVIDER_KINDS), {"enum": PROVIDER_KINDS};
    /// A provider's name.
    ProviderName => String: values::provider_name, {"type": "string", "pattern": "^[a-z0-9_-]+$"};
    /// Whether the desktop shows something, when there is one.
    Desktop => bool: |text| values::one_of(text, &["auto", "off"]).map(|word| word == "auto"),
        {"enum": ["auto", "off"]};
    /// A JSON pointer.
    Pointer => String: values::pointer, {"type": "string", "pattern": "^(/[^/]*)+$"};
    /// A name that stands in an address.
    Slug => String: values::slug, {"type": "string", "pattern": "^[A-Za-z0-9._-]+$"};
    /// How a sender of webhooks signs and speaks.
    SenderWord => SenderKind: values::sender, {"enum": (SenderKind::VARIANTS)};
    /// How bad something is.
    LevelWord => Level: values::level, {"enum": (Level::VARIANTS)};
    /// What somebody must be allowed to do.
    AuthorWord => AuthorRight: values::author, {"enum": (AuthorRight::VARIANTS)};
    /// What a rule takes of what nobody told about.
    UntoldWord => Untold: values::untold, {"enum": (Untold::VARIANTS)};
    /// What a rule does.
    RuleAction => Action: values::action, {"enum": (Action::VARIANTS)};
}

/// A whole number, both ends included.
pub struct Whole<const LEAST: u32, const MOST: u32, T = u32>(PhantomData<T>);

impl<const LEAST: u32, const MOST: u32, T: TryFrom<u32>> Kind for Whole<LEAST, MOST, T> {
    type Value = T;

    fn parse(text: &str) -> Result<T, Refusal> {
        let number = whole::parse(text, LEAST, MOST)?;
        T::try_from(number).map_err(|_| format!("is too large for this machine: `{text}`"))
    }

    fn schema() -> Json {
        json!({"type": "integer", "minimum": LEAST, "maximum": MOST})
    }
}

/// Not to be shown; what is empty is not set.
pub struct Hidden;

impl Kind for Hidden {
    type Value = Option<Secret>;
    const FORM: Form = Form::Secret;

    fn parse(text: &str) -> Result<Self::Value, Refusal> {
        Ok((!text.is_empty()).then(|| Secret::new(text)))
    }

    fn absent() -> Option<Self::Value> {
        Some(None)
    }

    fn schema() -> Json {
        json!({"type": ["string", "null"]})
    }
}

/// What need not be set.
pub struct Optional<K>(PhantomData<K>);

impl<K: Kind> Kind for Optional<K> {
    type Value = Option<K::Value>;
    const FORM: Form = K::FORM;

    fn parse(text: &str) -> Result<Self::Value, Refusal> {
        K::parse(text).map(Some)
    }

    fn absent() -> Option<Self::Value> {
        Some(None)
    }

    fn schema() -> Json {
        K::schema()
    }
}
