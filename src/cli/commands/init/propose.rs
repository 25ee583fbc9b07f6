//! What `mimir init` would write. Pure.

use std::collections::BTreeMap;
use std::path::Path;

use super::detect::Folder;
use super::known::Key;
use super::providers::Answer;
use crate::config::{Config, ConfigError, edit};
use crate::model::network::NetworkMode;

/// The start of a new file.
const HEAD: &str = "# mimir's configuration. What is not here has its built-in value:
# `mimir config show --origin` prints every setting and where it comes from.
#
# Model keys are read from ANTHROPIC_API_KEY, OPENAI_API_KEY and OPENROUTER_API_KEY,
# or set them here: `mimir config set providers.anthropic.key --stdin`.
";

/// What somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wishes {
    /// What frames may reach.
    pub network: NetworkMode,
    /// Hosts and groups for mode `allow`.
    pub allow: Vec<String>,
    /// `provider/model` or `auto`.
    pub model: String,
    /// What is to be said about a provider: keys below it, with their values.
    pub provider: Vec<(String, String)>,
}

impl Wishes {
    /// With a provider that is to be used. Its model is proposed unless the file names one already.
    pub fn take(&mut self, answer: &Answer) {
        if let Some(model) = answer.model.as_ref().filter(|_| self.model == "auto") {
            self.model.clone_from(model);
        }
        let Some(found) = &answer.taken else { return };
        let mut say = |key: &str, value: String| {
            self.provider.push((format!("providers.{}.{key}", found.name), value));
        };
        if found.kind.as_str() != found.name {
            say("kind", found.kind.as_str().to_owned());
        }
        if let Some(url) = &found.base_url {
            say("base_url", url.to_string());
        }
        match &found.key {
            Key::None => {}
            Key::Text(key) => say("key", key.reveal().to_owned()),
            Key::Variable(variable) => say("key", format!("${{{variable}:-}}")),
        }
        if !found.models.is_empty() {
            say("models", found.models.join(","));
        }
    }
}

/// What fits this folder, and what is configured already.
pub fn wishes(config: &Config, folder: &Folder, env: &BTreeMap<String, String>) -> Wishes {
    let mut allow = config.frames.allow.clone();
    for kind in &folder.kinds {
        if !allow.iter().any(|group| group == kind.group) {
            allow.push(kind.group.to_owned());
        }
    }
    // A model that only this environment names is no setting of the file.
    let named_here = env.contains_key("MIMIR_OPENCODE_DEFAULT_MODEL");
    let model = config.opencode.default_model.as_ref().filter(|_| !named_here);
    Wishes {
        network: config.frames.network,
        allow,
        model: model.map_or_else(|| "auto".to_owned(), ToString::to_string),
        provider: Vec::new(),
    }
}

/// The file with the wishes in it. What it says already stays as it was written.
pub fn text(before: Option<&str>, file: &Path, wishes: &Wishes) -> Result<String, ConfigError> {
    let mut text = before.map_or_else(|| HEAD.to_owned(), str::to_owned);
    let fresh = before.is_none();
    let wanted = [
        ("frames.network", wishes.network.to_string(), "allow".to_owned()),
        ("frames.allow", wishes.allow.join(","), "npm,pypi,crates,debian,github".to_owned()),
        ("opencode.default_model", wishes.model.clone(), "auto".to_owned()),
    ];
    for (key, value, built_in) in wanted {
        let said = crate::config::tree::parse(&text, file)?.at(key).map(said_value);
        let differs = said.as_ref().map_or(value != built_in || fresh, |said| *said != value);
        if differs {
            text = edit::with_value(&text, file, key, &value)?;
        }
    }
    for (key, value) in &wishes.provider {
        let said = crate::config::tree::parse(&text, file)?.at(key).map(said_value);
        if said.as_ref() != Some(value) {
            text = edit::with_value(&text, file, key, value)?;
        }
    }
    Ok(text)
}

/// The keys of providers that a file holds, to mask them where it is shown.
pub fn keys_in(text: &str, file: &Path) -> Vec<String> {
    use crate::config::tree::Value;
    let Ok(tree) = crate::config::tree::parse(text, file) else { return Vec::new() };
    match tree.at("providers").map(|node| &node.value) {
        Some(Value::Map(entries)) => {
            entries.iter().filter_map(|(_, provider)| provider.at("key")?.text().map(str::to_owned)).collect()
        }
        _ => Vec::new(),
    }
}

/// What the file says, as `config set` would be given it.
fn said_value(node: &crate::config::Node) -> String {
    use crate::config::tree::Value;
    match &node.value {
        Value::List(items) => items.iter().filter_map(|item| item.text()).collect::<Vec<_>>().join(","),
        _ => node.text().unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usual() -> Wishes {
        let allow = ["npm", "pypi", "crates", "debian", "github"].map(str::to_owned).to_vec();
        Wishes { network: NetworkMode::Allow, allow, model: "auto".to_owned(), provider: Vec::new() }
    }

    fn written(before: Option<&str>, wishes: &Wishes) -> String {
        text(before, Path::new("config.yaml"), wishes).expect("it can be written")
    }

    #[test]
    fn a_second_run_changes_nothing() {
        let once = written(None, &usual());
        assert!(once.contains("network: allow"), "{once}");
        assert_eq!(written(Some(&once), &usual()), once);
    }

    #[test]
    fn a_file_that_is_there_keeps_its_words() {
        let before = "# mine\nframes:\n  network: sealed   # on purpose\n";
        let wishes = Wishes { network: NetworkMode::Sealed, ..usual() };
        assert_eq!(written(Some(before), &wishes), before);
        let mut go = wishes;
        go.allow.push("go".to_owned());
        let after = written(Some(before), &go);
        assert!(after.contains("# mine") && after.contains("# on purpose"), "{after}");
        assert!(after.contains("[npm, pypi, crates, debian, github, go]"), "{after}");
    }

    #[test]
    fn a_provider_is_written_with_its_key_and_its_model() {
        use super::super::known::Found;
        use crate::model::secret::Secret;
        use crate::models::ProviderKind;
        let found = |kind: ProviderKind, name: &str, key| Found {
            name: name.to_owned(),
            kind,
            base_url: None,
            key,
            from: String::new(),
            models: Vec::new(),
        };
        let mut wishes = usual();
        let key = Key::Text(Secret::new("sk-ant-api03-0123456789abcdef"));
        let model = Some("anthropic/claude-sonnet-9".to_owned());
        let taken = Some(found(ProviderKind::Anthropic, "anthropic", key));
        wishes.take(&Answer { taken, model });
        let file = written(None, &wishes);
        assert!(file.contains("  anthropic:\n    key: sk-ant-api03-0123456789abcdef\n"), "{file}");
        assert!(file.contains("default_model: anthropic/claude-sonnet-9"), "{file}");
        assert_eq!(written(Some(&file), &wishes), file, "a second run changes nothing");
        assert_eq!(keys_in(&file, Path::new("x")), ["sk-ant-api03-0123456789abcdef"]);

        let mut local = usual();
        let mut server = found(ProviderKind::OpenAiCompatible, "local", Key::Variable("WORK".to_owned()));
        server.base_url = url::Url::parse("http://127.0.0.1:1/v1").ok();
        server.models = vec!["qwen3:8b".to_owned(), "glm".to_owned()];
        local.take(&Answer { taken: Some(server), model: Some("local/qwen3:8b".to_owned()) });
        let file = written(
            Some("opencode:\n  default_model: demo/demo\n"),
            &Wishes { model: "demo/demo".to_owned(), ..local },
        );
        assert!(file.contains("default_model: demo/demo"), "what the file says stays: {file}");
        for line in [
            "kind: openai-compatible",
            "base_url: \"http://127.0.0.1:1/v1\"",
            "key: \"${WORK:-}\"",
            "models: [\"qwen3:8b\", glm]",
        ] {
            assert!(file.contains(line), "{line}: {file}");
        }
    }
}
