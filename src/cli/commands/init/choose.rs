//! Whose a key is, what of it may be shown, and which model to begin with. Pure.

use crate::config::provider::preferred_model;
use crate::models::ProviderKind;

/// Kinds that have keys, with their names for people.
pub const WITH_KEYS: &[(ProviderKind, &str)] = &[
    (ProviderKind::Anthropic, "Anthropic"),
    (ProviderKind::OpenAi, "OpenAI"),
    (ProviderKind::OpenRouter, "OpenRouter"),
    (ProviderKind::Google, "Google"),
];

/// Whose key it is, by how it begins.
pub fn kind_of_key(key: &str) -> Option<ProviderKind> {
    let begins: &[(&str, ProviderKind)] = &[
        ("sk-ant-", ProviderKind::Anthropic),
        ("sk-or-", ProviderKind::OpenRouter),
        ("sk-proj-", ProviderKind::OpenAi),
        ("sk-svcacct-", ProviderKind::OpenAi),
        ("AIza", ProviderKind::Google),
    ];
    begins.iter().find(|(begin, _)| key.starts_with(begin)).map(|(_, kind)| *kind)
}

/// Enough of a key to know it again, and not more.
pub fn masked(key: &str) -> String {
    let chars: Vec<char> = key.chars().collect();
    if chars.len() < 20 {
        return "•••".to_owned();
    }
    let begin: String = chars[..6].iter().collect();
    let end: String = chars[chars.len() - 4..].iter().collect();
    format!("{begin}…{end}")
}

/// The text with every key in it masked.
pub fn without_keys(text: &str, keys: &[String]) -> String {
    let mut keys: Vec<&String> =
        keys.iter().filter(|key| !key.is_empty() && !key.starts_with("${")).collect();
    keys.sort_by_key(|key| std::cmp::Reverse(key.len()));
    keys.into_iter().fold(text.to_owned(), |text, key| text.replace(key.as_str(), &masked(key)))
}

/// The model to begin with, of those that a provider lists; none when none of them is known to be a good one.
pub fn first_model(kind: ProviderKind, models: &[String]) -> Option<&str> {
    let preferred = preferred_model(kind.as_str());
    if let Some(model) = preferred.filter(|model| models.iter().any(|listed| listed == model)) {
        return Some(model);
    }
    let fits = |model: &str| match kind {
        ProviderKind::Anthropic => model.starts_with("claude-sonnet"),
        ProviderKind::OpenAi => {
            model.starts_with("gpt-5") && !["mini", "nano"].iter().any(|it| model.contains(it))
        }
        ProviderKind::OpenRouter => model.starts_with("anthropic/claude-sonnet"),
        ProviderKind::Google => model.starts_with("gemini-") && model.ends_with("-pro"),
        ProviderKind::Ollama | ProviderKind::OpenAiCompatible => !model.contains("embed"),
        ProviderKind::Demo => false,
    };
    models.iter().map(String::as_str).find(|model| fits(model))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_says_whose_it_is_and_shows_little_of_itself() {
        assert_eq!(kind_of_key("sk-ant-api03-x"), Some(ProviderKind::Anthropic));
        assert_eq!(kind_of_key("sk-or-v1-x"), Some(ProviderKind::OpenRouter));
        assert_eq!(kind_of_key("AIzaSyx"), Some(ProviderKind::Google));
        assert_eq!(kind_of_key("sk-0123"), None, "many begin so");
        assert_eq!(masked("sk-ant-api03-0123456789abcdef"), "sk-ant…cdef");
        assert_eq!(masked("short"), "•••");
        let keys = ["sk-ant-api03-0123456789abcdef".to_owned(), "${X:-}".to_owned(), String::new()];
        let text = format!("key: {}\nother: ${{X:-}}", keys[0]);
        assert_eq!(without_keys(&text, &keys), "key: sk-ant…cdef\nother: ${X:-}");
    }

    #[test]
    fn one_begins_with_a_model_that_is_there() {
        let first = |kind, models: &[&str]| {
            let models: Vec<String> = models.iter().map(|model| (*model).to_owned()).collect();
            first_model(kind, &models).map(str::to_owned)
        };
        let newer = ["claude-opus-9", "claude-sonnet-9", "claude-sonnet-8"];
        assert_eq!(first(ProviderKind::Anthropic, &newer).as_deref(), Some("claude-sonnet-9"));
        assert_eq!(
            first(ProviderKind::OpenAi, &["gpt-5-mini", "gpt-5.9", "gpt-5"]).as_deref(),
            Some("gpt-5")
        );
        assert_eq!(first(ProviderKind::Ollama, &["nomic-embed", "qwen3:8b"]).as_deref(), Some("qwen3:8b"));
        assert_eq!(first(ProviderKind::Google, &["palm"]), None);
    }
}
