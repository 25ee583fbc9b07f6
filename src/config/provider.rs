//! Who answers model calls.

use std::collections::BTreeMap;

use super::Config;
use super::error::ConfigProblem;
use super::keys::{Key, Owner};
use super::kinds::{Hidden, HttpUrl, Optional, PROVIDER_KINDS, ProviderWord, Text, Whole};
use super::section::{Reader, Setting, below, section};
use crate::model::agent::ModelRef;
use crate::model::secret::Secret;

/// By name.
pub type Providers = BTreeMap<String, Provider>;

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

section! {
    struct ProviderKeys {
        kind: Optional<ProviderWord>, "How to talk to it; the provider's name when it is one of these";
        base_url: Optional<HttpUrl>, "Where it is; the kind's own address when absent";
        key: Hidden, "What opens it";
        models: Vec<IdOrModel>, "A model to offer";
    }
}

section! {
    /// A model of a provider.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct ModelEntry {
        id: Text, "Its id at the provider";
        name: Optional<Text>, "Its name for people";
        context: Optional<Whole<1, { u32::MAX }, u64>>, "How many tokens fit";
        output: Optional<Whole<1, { u32::MAX }, u64>>, "How many tokens it may write at once";
    }
}

/// A model, or its id alone.
struct IdOrModel;

impl Setting for IdOrModel {
    type Value = ModelEntry;

    fn keys(path: &str, about: &'static str, owner: Option<Owner>, table: &mut Vec<Key>) {
        <Text as Setting>::keys(path, about, owner, table);
        ModelEntry::keys(path, about, owner, table);
    }

    fn read(at: &Reader<'_>) -> Result<ModelEntry, ConfigProblem> {
        if !at.is_text() {
            return ModelEntry::read(at);
        }
        Ok(ModelEntry { id: at.text()?.to_owned(), name: None, context: None, output: None })
    }
}

impl Setting for Providers {
    type Value = Self;

    fn keys(path: &str, about: &'static str, owner: Option<Owner>, table: &mut Vec<Key>) {
        ProviderKeys::keys(&below(path, "*"), about, owner, table);
    }

    fn read(at: &Reader<'_>) -> Result<Self, ConfigProblem> {
        at.entries().map(|(name, at)| Ok((name.to_owned(), provider(name, &at)?))).collect()
    }
}

fn provider(name: &str, at: &Reader<'_>) -> Result<Provider, ConfigProblem> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    if name.is_empty() || name == "demo" || !name.bytes().all(plain) {
        return Err(at.invalid("needs another name: a-z, 0-9, - and _, and not demo"));
    }
    let ProviderKeys { kind, base_url, key, models } = ProviderKeys::read(at)?;
    let kind = kind
        .or_else(|| PROVIDER_KINDS.contains(&name).then(|| name.to_owned()))
        .ok_or_else(|| at.invalid(&format!("needs `kind`: {}", PROVIDER_KINDS.join(", "))))?;
    if base_url.is_none() && matches!(kind.as_str(), "openai-compatible" | "vllm") {
        return Err(at.invalid("needs `base_url`, such as http://127.0.0.1:8000/v1"));
    }
    Ok(Provider { name: name.to_owned(), kind, base_url, key, models })
}

impl Provider {
    /// Whether a call has any chance: there is a key, or its kind needs none.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.key.is_some() || matches!(self.kind.as_str(), "ollama" | "vllm" | "openai-compatible")
    }
}

/// What each provider is used for when nobody names a model; in this order.
const PREFERRED: &[(&str, &str)] = &[
    ("anthropic", "claude-sonnet-4-20250514"),
    ("openai", "gpt-5"),
    ("openrouter", "anthropic/claude-sonnet-4"),
    ("google", "gemini-2.5-pro"),
];

/// The model of that kind of provider that is used when nobody names one.
#[must_use]
pub fn preferred_model(kind: &str) -> Option<&'static str> {
    PREFERRED.iter().find(|(of, _)| *of == kind).map(|(_, model)| *model)
}

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
