//! Asks a provider which models it has: the one call that costs nothing and says whether a key opens anything.

use std::time::Duration;

use serde_json::Value;

use super::{ProviderKind, ProviderSettings};
use crate::outbound::{HttpClients, innermost};
use crate::redact::Secrets;

/// The longest list that is read; OpenRouter's has half a megabyte.
const LONGEST: usize = 8 << 20;
/// What Anthropic wants to be told by whoever calls.
const ANTHROPIC_VERSION: &str = "2023-06-01";

/// Why nothing is known about a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// Another key is needed.
    #[error("the key is refused (HTTP {status}): {why}")]
    Refused {
        /// The status of the answer.
        status: u16,
        /// In the provider's words.
        why: String,
    },
    /// Try again later, or look at the network.
    #[error("{host} cannot be reached: {why}")]
    Unreachable {
        /// Who was asked.
        host: String,
        /// What the network says.
        why: String,
    },
    /// Something answers, but not such a provider, or it has trouble of its own.
    #[error("{host} answers otherwise than expected: {why}")]
    Strange {
        /// Who was asked.
        host: String,
        /// What it says.
        why: String,
    },
}

/// The models that a provider lists, in its order.
///
/// # Errors
/// [`CheckError`], at the latest after that time.
pub async fn list_models(
    provider: &ProviderSettings,
    http: &HttpClients,
    within: Duration,
) -> Result<Vec<String>, CheckError> {
    let host = provider.address("", None).and_then(|url| url.host_str().map(str::to_owned));
    let host = host.unwrap_or_else(|| provider.name.clone());
    let late = CheckError::Unreachable {
        host: host.clone(),
        why: format!("no answer within {} s", within.as_secs_f32()),
    };
    let answer = tokio::time::timeout(within, ask(provider, http, &host)).await.unwrap_or(Err(late));
    // Some servers repeat the key.
    let secrets = Secrets::new(&provider.secrets());
    let clean = |text: String| secrets.out_of(&text);
    match answer {
        Ok(models) => Ok(models.into_iter().map(clean).collect()),
        Err(CheckError::Refused { status, why }) => Err(CheckError::Refused { status, why: clean(why) }),
        Err(CheckError::Unreachable { host, why }) => Err(CheckError::Unreachable { host, why: clean(why) }),
        Err(CheckError::Strange { host, why }) => Err(CheckError::Strange { host, why: clean(why) }),
    }
}

async fn ask(provider: &ProviderSettings, http: &HttpClients, host: &str) -> Result<Vec<String>, CheckError> {
    // Its list of models is open to everybody; this is what a key opens.
    if provider.kind == ProviderKind::OpenRouter {
        get(provider, http, host, "/key", None).await?;
    }
    let query = match provider.kind {
        ProviderKind::Anthropic => Some("limit=1000"),
        ProviderKind::Google => Some("pageSize=1000"),
        _ => None,
    };
    let answer = get(provider, http, host, "/models", query).await?;
    models_in(&answer).ok_or_else(|| CheckError::Strange {
        host: host.to_owned(),
        why: "there is no list of models in what it says".to_owned(),
    })
}

async fn get(
    provider: &ProviderSettings,
    http: &HttpClients,
    host: &str,
    path: &str,
    query: Option<&str>,
) -> Result<Value, CheckError> {
    let unreachable =
        |error: &reqwest::Error| CheckError::Unreachable { host: host.to_owned(), why: innermost(error) };
    let strange = |why: String| CheckError::Strange { host: host.to_owned(), why };
    let url = provider.address(path, query).ok_or_else(|| strange("it has no address".to_owned()))?;
    let mut request = http.to(&url).map_err(|error| unreachable(&error))?.get(url);
    if let Some(key) = &provider.key {
        let (name, value) = provider.kind.key_header(key);
        request = request.header(name, value);
    }
    if provider.kind == ProviderKind::Anthropic {
        request = request.header("anthropic-version", ANTHROPIC_VERSION);
    }
    let mut response = request.send().await.map_err(|error| unreachable(&error))?;
    let status = response.status().as_u16();
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| unreachable(&error))? {
        body.extend_from_slice(&piece);
        if body.len() > LONGEST {
            return Err(strange("its answer has no end".to_owned()));
        }
    }
    let answer: Option<Value> = serde_json::from_slice(&body).ok();
    match (status, answer) {
        (200..=299, Some(answer)) => Ok(answer),
        (200..=299, None) => Err(strange("what it says is no JSON".to_owned())),
        (status, answer) => Err(refusal(status, answer.as_ref(), host)),
    }
}

/// Why a provider says no.
fn refusal(status: u16, answer: Option<&Value>, host: &str) -> CheckError {
    let why = answer.and_then(|answer| {
        let error = &answer["error"];
        error["message"].as_str().or(error.as_str()).or(answer["message"].as_str())
    });
    let why = why.map(|why| why.chars().take(300).collect::<String>());
    // Google says 400 of a key that it does not know.
    let is_of_the_key = matches!(status, 401 | 403)
        || (status == 400 && why.as_deref().is_some_and(|why| why.to_lowercase().contains("api key")));
    if is_of_the_key {
        return CheckError::Refused { status, why: why.unwrap_or_else(|| "without a reason".to_owned()) };
    }
    let why = why.map_or_else(String::new, |why| format!(": {why}"));
    CheckError::Strange { host: host.to_owned(), why: format!("HTTP {status}{why}") }
}

/// `data` of everybody, `models` of Google, whose names have a folder in front.
fn models_in(answer: &Value) -> Option<Vec<String>> {
    let list = answer["data"].as_array().or(answer["models"].as_array())?;
    let name = |model: &Value| {
        let name = model["id"].as_str().or(model["name"].as_str())?;
        Some(name.strip_prefix("models/").unwrap_or(name).to_owned())
    };
    Some(list.iter().filter_map(name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn models_are_found_in_the_lists_of_all_providers() {
        let open_ai = json!({"object": "list", "data": [{"id": "gpt-5"}, {"id": "o3"}]});
        assert_eq!(models_in(&open_ai), Some(vec!["gpt-5".to_owned(), "o3".to_owned()]));
        let google = json!({"models": [{"name": "models/gemini-2.5-pro"}]});
        assert_eq!(models_in(&google), Some(vec!["gemini-2.5-pro".to_owned()]));
        assert_eq!(models_in(&json!({"data": []})), Some(Vec::new()));
        assert_eq!(models_in(&json!({"hello": "world"})), None);
    }

    #[test]
    fn a_refused_key_is_told_apart_from_trouble() {
        let refused = |status, answer: Value| refusal(status, Some(&answer), "x");
        let why = "invalid x-api-key".to_owned();
        let error = json!({"type": "error", "error": {"message": why}});
        assert_eq!(refused(401, error), CheckError::Refused { status: 401, why });
        let google =
            json!({"error": {"code": 400, "message": "API key not valid. Please pass a valid API key."}});
        assert!(matches!(refused(400, google), CheckError::Refused { status: 400, .. }));
        assert!(matches!(refused(400, json!({})), CheckError::Strange { .. }));
        let busy = refused(529, json!({"error": {"message": "Overloaded"}}));
        assert_eq!(busy.to_string(), "x answers otherwise than expected: HTTP 529: Overloaded");
    }
}
