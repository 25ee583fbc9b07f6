//! Model servers on this machine, found by asking where they usually listen.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;

use super::known::{Found, Key};
use crate::models::{ProviderKind, ProviderSettings, list_models};
use crate::outbound::HttpClients;

/// A server on this machine that does not answer in this time is none.
const PROBE: Duration = Duration::from_millis(700);

/// The servers that answer with a list of models.
pub async fn look(env: &BTreeMap<String, String>, http: &HttpClients) -> Vec<Found> {
    let asked = candidates(env).into_iter().map(|(name, kind, url)| async move {
        let settings = ProviderSettings {
            name: name.to_owned(),
            kind,
            base_url: Some(url.clone()),
            key: None,
            models: Vec::new(),
        };
        let models = list_models(&settings, http, PROBE).await.ok()?;
        let from = format!("{} on this machine", title(name));
        let base_url = (kind.default_base_url() != Some(url.as_str())).then_some(url);
        Some(Found { name: name.to_owned(), kind, base_url, key: Key::None, from, models })
    });
    join_all(asked).await.into_iter().flatten().collect()
}

/// Who they are, by the port that they listen on unless somebody has changed it.
fn candidates(env: &BTreeMap<String, String>) -> Vec<(&'static str, ProviderKind, url::Url)> {
    let local = |port: u16| url::Url::parse(&format!("http://127.0.0.1:{port}/v1")).ok();
    let ollama = env.get("OLLAMA_HOST").and_then(|host| of_ollama(host)).or_else(|| local(11_434));
    let all = [
        ("ollama", ProviderKind::Ollama, ollama),
        ("vllm", ProviderKind::OpenAiCompatible, local(8_000)),
        ("lmstudio", ProviderKind::OpenAiCompatible, local(1_234)),
    ];
    all.into_iter().filter_map(|(name, kind, url)| Some((name, kind, url?))).collect()
}

/// How it is called by people.
fn title(name: &str) -> &str {
    match name {
        "ollama" => "Ollama",
        "vllm" => "a server such as vLLM",
        "lmstudio" => "LM Studio",
        other => other,
    }
}

/// `OLLAMA_HOST` is a host, with or without a port and a scheme; as a server's it may be every address there is.
fn of_ollama(host: &str) -> Option<url::Url> {
    let host = host.trim();
    let whole = if host.contains("://") { host.to_owned() } else { format!("http://{host}") };
    let mut url = url::Url::parse(&whole).ok()?;
    if url.port().is_none() {
        url.set_port(Some(11_434)).ok()?;
    }
    if matches!(url.host_str(), Some("0.0.0.0" | "[::]")) {
        url.set_host(Some("127.0.0.1")).ok()?;
    }
    url.set_path("/v1");
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ollama_is_looked_for_where_its_own_variable_says() {
        let at = |host: &str| of_ollama(host).map(String::from);
        assert_eq!(at("0.0.0.0").as_deref(), Some("http://127.0.0.1:11434/v1"));
        assert_eq!(at("127.0.0.1:5000").as_deref(), Some("http://127.0.0.1:5000/v1"));
        assert_eq!(at("http://box:80").as_deref(), Some("http://box:11434/v1"));
        assert_eq!(at(""), None);
        assert_eq!(candidates(&BTreeMap::new())[0].2.as_str(), "http://127.0.0.1:11434/v1");
    }
}
