//! The configuration that a frame's opencode gets. No secret is in it: it shows in the frame's environment.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{BROKER_INSIDE, Models, ProviderKind, ProviderSettings, permission};
use crate::model::agent::ModelRef;
use crate::model::policy::Rule;
use crate::model::usage::Price;

/// opencode insists on a key; this one opens nothing.
const NO_KEY: &str = "the-gateway-adds-the-key";

/// How long opencode waits for the next piece of an answer, and for its beginning. Its own 300 s, six
/// times, would make a silent model look like half an hour of work. A total limit would kill healthy
/// long answers, so there is none.
const PATIENCE_MS: u32 = 60_000;

impl Models {
    /// opencode's configuration: every usable provider that the frame is granted, reached through the broker.
    ///
    /// What `rules` have a say in is asked for. The models that are named here are added to what opencode's own catalogue knows.
    #[must_use]
    pub fn agent_config<'a>(
        &self,
        default_model: &ModelRef,
        small_model: Option<&ModelRef>,
        granted: &BTreeSet<String>,
        rules: impl IntoIterator<Item = &'a Rule>,
    ) -> Value {
        let small_model = small_model.unwrap_or(default_model);
        let usable: Vec<&ProviderSettings> =
            self.providers().filter(|it| it.is_usable() && granted.contains(&it.name)).collect();
        let described: Map<String, Value> = usable
            .iter()
            .map(|provider| {
                let named =
                    [default_model, small_model].into_iter().filter(|model| model.provider == provider.name);
                (provider.name.clone(), self.describe(provider, named.map(|model| model.model.as_str())))
            })
            .collect();
        let mut config = json!({
            "$schema": "https://opencode.ai/config.json",
            "model": default_model.to_string(),
            "small_model": small_model.to_string(),
            "autoupdate": false,
            "share": "disabled",
            "enabled_providers": usable.iter().map(|provider| provider.name.as_str()).collect::<Vec<_>>(),
            "provider": described,
        });
        permission::ask_for(&mut config, rules);
        config
    }

    fn describe<'a>(&self, provider: &ProviderSettings, named: impl Iterator<Item = &'a str>) -> Value {
        let mut models = Map::new();
        for model in &provider.models {
            let mut entry = Map::new();
            entry.insert("name".to_owned(), json!(model.name.as_ref().unwrap_or(&model.id)));
            if model.context.is_some() || model.output.is_some() {
                // opencode wants both. An unknown context is none at all, which only turns compaction off.
                let (context, output) = (model.context.unwrap_or(0), model.output.unwrap_or(8_192));
                entry.insert("limit".to_owned(), json!({"context": context, "output": output}));
            }
            models.insert(model.id.clone(), Value::Object(entry));
        }
        for model in named {
            models.entry(model).or_insert_with(|| json!({}));
        }
        for (id, entry) in &mut models {
            if let Some(price) = self.price_of(provider, id) {
                entry["cost"] = cost(&price);
            }
            if provider.kind.agent_package() == ProviderKind::Demo.agent_package() {
                entry["tool_call"] = true.into();
            }
        }
        json!({
            "npm": provider.kind.agent_package(),
            "name": provider.name,
            "options": {
                "baseURL": format!("{BROKER_INSIDE}/models/{}", provider.name),
                "apiKey": NO_KEY,
                "chunkTimeout": PATIENCE_MS,
                "headerTimeout": PATIENCE_MS,
            },
            "models": models,
        })
    }
}

/// opencode counts in dollars for a million tokens.
#[expect(clippy::cast_precision_loss, reason = "prices are far below 2^52")]
fn cost(price: &Price) -> Value {
    let usd = |micro: u64| micro as f64 / 1_000_000.0;
    json!({
        "input": usd(price.input),
        "output": usd(price.output),
        "cache_read": usd(price.cache_read),
        "cache_write": usd(price.cache_write),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::secret::Secret;
    use crate::models::{ModelSettings, Prices};
    use crate::outbound::HttpClients;

    fn provider(name: &str, kind: ProviderKind, key: Option<&str>) -> ProviderSettings {
        ProviderSettings {
            name: name.to_owned(),
            kind,
            base_url: None,
            key: key.map(Secret::new),
            models: Vec::new(),
        }
    }

    fn models() -> Models {
        let mut local = provider("local", ProviderKind::Ollama, None);
        local.models.push(ModelSettings {
            id: "qwen".to_owned(),
            context: Some(32_000),
            ..Default::default()
        });
        let providers = vec![
            provider("anthropic", ProviderKind::Anthropic, Some("sk-ant-canary")),
            provider("openai", ProviderKind::OpenAi, None),
            local,
        ];
        Models::new(providers, Prices::built_in().expect("prices"), HttpClients::default())
    }

    #[test]
    fn a_frame_never_sees_a_key_and_only_usable_providers() {
        let default: ModelRef = "anthropic/claude-sonnet-4-20250514".parse().expect("a model");
        let all = ["anthropic", "demo", "local", "openai"].map(str::to_owned).into();
        let config = models().agent_config(&default, None, &all, []);
        let text = config.to_string();
        assert!(!text.contains("canary"), "{text}");
        assert_eq!(config["enabled_providers"], json!(["anthropic", "demo", "local"]));
        let sonnet = &config["provider"]["anthropic"]["models"]["claude-sonnet-4-20250514"];
        assert_eq!(sonnet["cost"]["cache_write"], json!(3.75));
        assert_eq!(
            config["provider"]["local"]["options"]["baseURL"],
            json!("http://127.0.0.1:8118/models/local")
        );
        assert_eq!(config["provider"]["local"]["models"]["qwen"]["limit"]["context"], json!(32_000));
        assert_eq!(config["provider"]["demo"]["options"]["chunkTimeout"], json!(60_000));
        assert_eq!(config["provider"]["demo"]["options"]["timeout"], Value::Null);
        let some = models().for_every_frame(["anthropic"]).granted(&["local".to_owned()]);
        let config = models().agent_config(&default, None, &some, []);
        assert_eq!(config["enabled_providers"], json!(["anthropic", "demo", "local"]));
        let config = models().agent_config(&default, None, &models().granted(&[]), []);
        assert_eq!(config["enabled_providers"], json!(["demo"]), "what is not granted is not told of");
    }

    #[test]
    fn a_fresh_install_has_the_demo_only() {
        let models = Models::new(Vec::new(), Prices::default(), HttpClients::default());
        assert!(!models.has_real_provider());
        let none = models.granted(&[]);
        let config = models.agent_config(&"demo/demo".parse().expect("a model"), None, &none, []);
        assert_eq!(config["enabled_providers"], json!(["demo"]));
        assert_eq!(config["model"], json!("demo/demo"));
    }
}
