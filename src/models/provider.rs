//! Who the providers are: addresses, keys, and which calls a frame may make.

use crate::model::secret::Secret;
use crate::model::usage::Price;

use super::DEMO;
use super::usage::Format;

/// What kind of provider an address belongs to; decides how we log in and how answers are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase", parse_err_ty = UnknownProviderKind, parse_err_fn = unknown)]
pub enum ProviderKind {
    /// Anthropic's own API.
    Anthropic,
    /// OpenAI's own API.
    OpenAi,
    /// OpenRouter.
    OpenRouter,
    /// Google's Gemini API.
    Google,
    /// A local Ollama, through its OpenAI-compatible side.
    Ollama,
    /// Anything else that speaks `chat/completions`.
    #[strum(to_string = "openai-compatible", serialize = "vllm")]
    OpenAiCompatible,
    /// The built-in script.
    Demo,
}

/// A word that names no kind of provider.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a kind of provider: use anthropic, openai, openrouter, google, ollama, vllm or openai-compatible"
)]
pub struct UnknownProviderKind(pub String);

fn unknown(text: &str) -> UnknownProviderKind {
    UnknownProviderKind(text.to_owned())
}

impl ProviderKind {
    /// The word in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Where it is unless the configuration says otherwise, version included.
    #[must_use]
    pub fn default_base_url(self) -> Option<&'static str> {
        match self {
            Self::Anthropic => Some("https://api.anthropic.com/v1"),
            Self::OpenAi => Some("https://api.openai.com/v1"),
            Self::OpenRouter => Some("https://openrouter.ai/api/v1"),
            Self::Google => Some("https://generativelanguage.googleapis.com/v1beta"),
            Self::Ollama => Some("http://127.0.0.1:11434/v1"),
            Self::OpenAiCompatible | Self::Demo => None,
        }
    }

    /// Whether nothing works without a key.
    #[must_use]
    pub fn needs_key(self) -> bool {
        matches!(self, Self::Anthropic | Self::OpenAi | Self::OpenRouter | Self::Google)
    }

    /// The package inside opencode that speaks to it. Only bundled ones: another would be downloaded.
    pub(super) fn agent_package(self) -> &'static str {
        match self {
            Self::Anthropic => "@ai-sdk/anthropic",
            Self::OpenAi => "@ai-sdk/openai",
            Self::Google => "@ai-sdk/google",
            Self::OpenRouter | Self::Ollama | Self::OpenAiCompatible | Self::Demo => {
                "@ai-sdk/openai-compatible"
            }
        }
    }

    /// The header that carries the key.
    pub(super) fn key_header(self, key: &Secret) -> (&'static str, String) {
        match self {
            Self::Anthropic => ("x-api-key", key.reveal().to_owned()),
            Self::Google => ("x-goog-api-key", key.reveal().to_owned()),
            _ => ("authorization", format!("Bearer {}", key.reveal())),
        }
    }

    /// How the answer to a call is read; none when a frame has no business there. The owner's key
    /// opens far more than models (files, batches, billing), so everything is closed but these.
    pub(super) fn serves(self, is_post: bool, path: &str) -> Option<Format> {
        match (self, is_post, path) {
            (Self::Anthropic, true, "/messages") => Some(Format::Anthropic),
            (Self::Anthropic, true, "/messages/count_tokens") => Some(Format::Uncounted),
            (Self::Google, true, _) => {
                let (model, verb) = path.strip_prefix("/models/")?.split_once(':')?;
                let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
                let known = matches!(verb, "generateContent" | "streamGenerateContent");
                (known && !model.is_empty() && model.bytes().all(plain)).then_some(Format::Google)
            }
            (Self::Anthropic, true, _) => None,
            (Self::OpenAi, true, "/responses") => Some(Format::Responses),
            (_, true, "/chat/completions" | "/embeddings") => Some(Format::Chat),
            (_, false, "/models") => Some(Format::Uncounted),
            _ => None,
        }
    }
}

/// A model that the configuration names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelSettings {
    /// Its id at the provider.
    pub id: String,
    /// For people; the id when absent.
    pub name: Option<String>,
    /// How many tokens fit.
    pub context: Option<u64>,
    /// How many it may write at once.
    pub output: Option<u64>,
    /// What it costs; the built-in table is asked when absent.
    pub price: Option<Price>,
}

/// A provider as the configuration describes it.
#[derive(Clone, Debug)]
pub struct ProviderSettings {
    /// What models are prefixed with: `name/model`.
    pub name: String,
    /// How to talk to it.
    pub kind: ProviderKind,
    /// Where it is; the kind's own address when absent.
    pub base_url: Option<url::Url>,
    /// What opens it.
    pub key: Option<Secret>,
    /// Models to offer besides those that opencode's own catalogue knows.
    pub models: Vec<ModelSettings>,
}

impl ProviderSettings {
    pub(super) fn demo() -> Self {
        let model = ModelSettings {
            id: DEMO.to_owned(),
            name: Some("Demo (a fixed script, not a model)".to_owned()),
            context: Some(128_000),
            output: Some(8_192),
            price: Some(Price::default()),
        };
        Self {
            name: DEMO.to_owned(),
            kind: ProviderKind::Demo,
            base_url: None,
            key: None,
            models: vec![model],
        }
    }

    /// What nobody but the provider may hear: its key, and a password in its address.
    pub(super) fn secrets(&self) -> Vec<Secret> {
        let in_address = self.base_url.as_ref().and_then(|url| url.password()).map(|text| {
            let plain = url::form_urlencoded::parse(
                format!("p={}", text.replace('+', "%2B").replace('&', "%26")).as_bytes(),
            )
            .next()
            .map_or_else(String::new, |(_, value)| value.into_owned());
            Secret::new(plain)
        });
        self.key.clone().into_iter().chain(in_address).collect()
    }

    /// Whether a call has any chance: the key is there, or none is needed.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.key.is_some() || !self.kind.needs_key()
    }

    /// The address of one call, which the provider's own address is put before.
    pub(super) fn address(&self, path: &str, query: Option<&str>) -> Option<url::Url> {
        let mut url = match &self.base_url {
            Some(url) => url.clone(),
            None => url::Url::parse(self.kind.default_base_url()?).ok()?,
        };
        let full = format!("{}{path}", url.path().trim_end_matches('/'));
        url.set_path(&full);
        // Google's own parameters may leave out what is counted (`fields`), or bring another key.
        let query = query.filter(|query| self.kind != ProviderKind::Google || *query == "alt=sse");
        url.set_query(query);
        Some(url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_reaches_model_calls_and_nothing_else_of_an_account() {
        use ProviderKind::{Anthropic, Google, OpenAi, OpenAiCompatible};
        assert_eq!(Anthropic.serves(true, "/messages"), Some(Format::Anthropic));
        assert_eq!(OpenAi.serves(true, "/responses"), Some(Format::Responses));
        assert_eq!(OpenAiCompatible.serves(true, "/chat/completions"), Some(Format::Chat));
        assert_eq!(Google.serves(true, "/models/gemini-2.5-pro:streamGenerateContent"), Some(Format::Google));
        for (kind, is_post, path) in [
            (Anthropic, true, "/messages/batches"),
            (Anthropic, true, "/chat/completions"),
            (Anthropic, true, "/../admin"),
            (OpenAi, false, "/files"),
            (OpenAi, true, "/chat/completions/../files"),
            (OpenAi, true, "/fine_tuning/jobs"),
            (Google, true, "/models/../x:generateContent"),
            (Google, true, "/models/a/b:generateContent"),
            (Google, true, "/cachedContents"),
        ] {
            assert_eq!(kind.serves(is_post, path), None, "{path}");
        }
    }

    #[test]
    fn the_path_is_put_behind_the_configured_address() {
        let mut provider = ProviderSettings::demo();
        provider.base_url = url::Url::parse("http://127.0.0.1:11434/v1/").ok();
        let url = provider.address("/chat/completions", Some("a=b")).expect("an address");
        assert_eq!(url.as_str(), "http://127.0.0.1:11434/v1/chat/completions?a=b");
    }
}
