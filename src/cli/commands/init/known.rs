//! What this environment and opencode already know of providers. Read, never taken: that is asked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::jsonc;
use crate::config::project_file::read_untrusted;
use crate::model::secret::Secret;
use crate::models::ProviderKind;

/// Where a key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// None is needed.
    None,
    /// The key itself.
    Text(Secret),
    /// A variable of the environment, which the configuration refers to.
    Variable(String),
}

/// A provider that could be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What models would be prefixed with.
    pub name: String,
    /// How to talk to it.
    pub kind: ProviderKind,
    /// Where; the kind's own address when absent.
    pub base_url: Option<url::Url>,
    /// What opens it.
    pub key: Key,
    /// Who knows it, for people.
    pub from: String,
    /// Models that are known to be there, the first ones first.
    pub models: Vec<String>,
}

impl Found {
    /// The key, whether it stands here or in the environment.
    pub fn secret(&self, env: &BTreeMap<String, String>) -> Option<Secret> {
        match &self.key {
            Key::None => None,
            Key::Text(key) => Some(key.clone()),
            Key::Variable(name) => env.get(name).filter(|key| !key.is_empty()).map(Secret::new),
        }
    }
}

/// The variables in which keys are kept, the usual one first.
const VARIABLES: &[(&str, ProviderKind)] = &[
    ("ANTHROPIC_API_KEY", ProviderKind::Anthropic),
    ("OPENAI_API_KEY", ProviderKind::OpenAi),
    ("OPENROUTER_API_KEY", ProviderKind::OpenRouter),
    ("GEMINI_API_KEY", ProviderKind::Google),
    ("GOOGLE_GENERATIVE_AI_API_KEY", ProviderKind::Google),
];

/// Keys in the environment.
pub fn of_environment(env: &BTreeMap<String, String>) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    for (variable, kind) in VARIABLES {
        let is_set = env.get(*variable).is_some_and(|key| !key.trim().is_empty());
        if is_set && !found.iter().any(|found| found.kind == *kind) {
            found.push(Found {
                name: kind.as_str().to_owned(),
                kind: *kind,
                base_url: None,
                key: Key::Variable((*variable).to_owned()),
                from: format!("{variable} of this environment"),
                models: Vec::new(),
            });
        }
    }
    found
}

/// What opencode knows on this machine, and what of it is of no use here.
pub fn of_opencode(env: &BTreeMap<String, String>) -> (Vec<Found>, Vec<String>) {
    let (mut found, mut notes) = (Vec::new(), Vec::new());
    let folder = |variable: &str, usual: &str| -> Option<PathBuf> {
        let given = env.get(variable).filter(|path| Path::new(path).is_absolute()).map(PathBuf::from);
        given.or_else(|| Some(Path::new(env.get("HOME").filter(|home| !home.is_empty())?).join(usual)))
    };
    if let Some(file) = folder("XDG_DATA_HOME", ".local/share").map(|data| data.join("opencode/auth.json")) {
        match read(&file) {
            Ok(Some(text)) => of_auth(&text, &file, &mut found, &mut notes),
            Ok(None) => {}
            Err(why) => notes.push(format!("{} cannot be read: {why}", file.display())),
        }
    }
    for name in ["opencode.json", "opencode.jsonc"] {
        let Some(file) =
            folder("XDG_CONFIG_HOME", ".config").map(|config| config.join("opencode").join(name))
        else {
            continue;
        };
        match read(&file) {
            Ok(Some(text)) => of_config(&text, &file, &mut found, &mut notes),
            Ok(None) => {}
            Err(why) => notes.push(format!("{} cannot be read: {why}", file.display())),
        }
    }
    (found, notes)
}

/// A file of another program: no pipe, not without end. One that is kept elsewhere is followed.
fn read(file: &Path) -> Result<Option<String>, String> {
    read_untrusted(&std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned()))
}

/// `auth.json`: `{"anthropic": {"type": "api", "key": "…"}}`.
fn of_auth(text: &str, file: &Path, found: &mut Vec<Found>, notes: &mut Vec<String>) {
    let Ok(Value::Object(entries)) = serde_json::from_str(text) else {
        notes.push(format!("{} is not understood", file.display()));
        return;
    };
    for (name, entry) in entries {
        let kind = own_kind(&name);
        match (entry["type"].as_str(), entry["key"].as_str(), kind) {
            (Some("api"), Some(key), Some(kind)) if !key.trim().is_empty() => found.push(Found {
                name,
                kind,
                base_url: None,
                key: Key::Text(Secret::new(key.trim())),
                from: format!("opencode ({})", file.display()),
                models: Vec::new(),
            }),
            (Some("oauth"), _, _) => notes.push(format!(
                "opencode is logged in to {name} with an account; that is no key and stays where it is"
            )),
            (Some("api"), Some(_), None) => notes.push(format!(
                "opencode has a key of {name}; mimir does not know its address: \
                 `mimir config set providers.{name}.base_url …`"
            )),
            _ => {}
        }
    }
}

/// `provider` of `opencode.json`.
fn of_config(text: &str, file: &Path, found: &mut Vec<Found>, notes: &mut Vec<String>) {
    let Ok(config) = serde_json::from_str::<Value>(&jsonc::plain(text)) else {
        notes.push(format!("{} is not understood", file.display()));
        return;
    };
    for (name, entry) in config["provider"].as_object().into_iter().flatten() {
        let options = &entry["options"];
        let base_url = options["baseURL"].as_str().and_then(|text| text.parse::<url::Url>().ok());
        // Its key may stand elsewhere; where it goes is said here.
        if let Some(known) = found.iter_mut().find(|it| it.name == *name) {
            if known.base_url.is_none() {
                known.base_url = base_url;
            }
            continue;
        }
        let kind = own_kind(name).or_else(|| kind_of_package(entry["npm"].as_str()?));
        let key = match options["apiKey"].as_str().map(str::trim) {
            None | Some("") => Key::None,
            Some(text) => match variable_in(text) {
                Some(variable) => Key::Variable(variable),
                // A file that it refers to is read by opencode alone.
                None if text.starts_with('{') => continue,
                None => Key::Text(Secret::new(text)),
            },
        };
        let Some(kind) = kind else { continue };
        let has_address = base_url.is_some() || kind.default_base_url().is_some();
        if !has_address || (kind.needs_key() && key == Key::None) {
            continue;
        }
        let models = entry["models"].as_object().map(|models| models.keys().cloned().collect());
        found.push(Found {
            name: name.clone(),
            kind,
            base_url,
            key,
            from: format!("opencode ({})", file.display()),
            models: models.unwrap_or_default(),
        });
    }
}

/// Providers that are called here as everywhere.
fn own_kind(name: &str) -> Option<ProviderKind> {
    use ProviderKind::{Anthropic, Google, Ollama, OpenAi, OpenRouter};
    [Anthropic, OpenAi, OpenRouter, Google, Ollama].into_iter().find(|kind| kind.as_str() == name)
}

fn kind_of_package(package: &str) -> Option<ProviderKind> {
    Some(match package {
        "@ai-sdk/anthropic" => ProviderKind::Anthropic,
        "@ai-sdk/openai" => ProviderKind::OpenAi,
        "@ai-sdk/google" => ProviderKind::Google,
        "@openrouter/ai-sdk-provider" => ProviderKind::OpenRouter,
        "@ai-sdk/openai-compatible" => ProviderKind::OpenAiCompatible,
        _ => return None,
    })
}

/// `{env:NAME}`.
fn variable_in(text: &str) -> Option<String> {
    let name = text.strip_prefix("{env:")?.strip_suffix('}')?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (!name.is_empty() && name.bytes().all(plain)).then(|| name.to_owned())
}

#[cfg(test)]
#[path = "known_tests.rs"]
mod tests;
