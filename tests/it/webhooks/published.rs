//! What Sentry itself publishes about its API, and whether an exchange is like that. Both sides are looked at: what mimir
//! asks, and what the tracker of these tests answers in Sentry's place.
//!
//! `scripts/sentry-openapi` makes the file; without it nothing is compared, and one test says so.

use std::path::PathBuf;
use std::sync::OnceLock;

use hyper::Uri;
use serde_json::{Value, json};

/// What any call may be answered with, though the description does not say so of each.
const EVERYWHERE: [u16; 9] = [302, 400, 401, 403, 404, 429, 500, 502, 503];

fn known() -> Option<&'static Value> {
    static KNOWN: OnceLock<Option<Value>> = OnceLock::new();
    let file =
        || std::env::var_os("MIMIR_TEST_SENTRY_OPENAPI").map(PathBuf::from).filter(|path| path.is_file());
    let read = || {
        let text = std::fs::read_to_string(file()?).expect("a file");
        Some(serde_json::from_str(&text).expect("JSON"))
    };
    KNOWN.get_or_init(read).as_ref()
}

/// What is wrong with an exchange; nothing when nobody knows.
pub fn of_exchange(method: &str, uri: &Uri, body: &[u8], status: u16, answer: &[u8]) -> Vec<String> {
    let Some(known) = known() else { return Vec::new() };
    let line = format!("{method} {}", uri.path());
    let calls = known["calls"].as_array().expect("calls");
    let found = calls.iter().find_map(|call| Some((call, fits(call, method, uri.path())?)));
    let Some((call, named)) = found else {
        return vec![format!("{line}: Sentry has no such call")];
    };
    let mut wrong = Vec::new();
    let mut look = |what: &str, schema: &Value, value: &Value| {
        let validator = jsonschema::validator_for(schema).expect("a schema");
        let found = validator.iter_errors(value).take(5);
        wrong.extend(found.map(|error| {
            let text: String = error.to_string().chars().take(200).collect();
            format!("{line}: {what}: {}: {text}", error.instance_path())
        }));
    };
    for (name, value) in &named {
        look(name, &call["path_parameters"][name], &as_said(&call["path_parameters"][name], value));
    }
    let query = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned();
    for (name, value) in query {
        match &call["query"][&name] {
            Value::Null => look(&name, &json!(false), &json!(value)),
            schema => look(&name, schema, &as_said(schema, &value)),
        }
    }
    match (&call["body"], serde_json::from_slice::<Value>(body)) {
        (Value::Null, _) if body.is_empty() => {}
        (Value::Null, _) => look("takes no body", &json!(false), &json!(true)),
        (schema, Ok(said)) => {
            look("the body", schema, &said);
            look("fields of the body", &closed(schema), &said);
        }
        (_, Err(_)) => look("needs a body", &json!(false), &json!(null)),
    }
    let said: Value = serde_json::from_slice(answer).unwrap_or_default();
    match &call["responses"][status.to_string()] {
        Value::Null if EVERYWHERE.contains(&status) => {}
        Value::Null => look("is never answered", &json!(false), &json!(status)),
        schema => look(&format!("answer {status}"), schema, &said),
    }
    wrong
}

/// The same, and no field that it does not name.
fn closed(schema: &Value) -> Value {
    match schema {
        Value::Object(fields) => {
            let mut fields: serde_json::Map<String, Value> =
                fields.iter().map(|(name, value)| (name.clone(), closed(value))).collect();
            if fields.contains_key("properties") && !fields.contains_key("additionalProperties") {
                fields.insert("additionalProperties".into(), json!(false));
            }
            Value::Object(fields)
        }
        Value::Array(items) => items.iter().map(closed).collect(),
        other => other.clone(),
    }
}

/// A text of an address, as what its schema says it is.
fn as_said(schema: &Value, text: &str) -> Value {
    match schema["type"].as_str() {
        Some("number") => text.parse::<i64>().map_or(json!(text), |number| json!(number)),
        Some("array") => json!([as_said(&schema["items"], text)]),
        _ => json!(text),
    }
}

/// The parameters of its path, if it is that call.
fn fits(call: &Value, method: &str, path: &str) -> Option<Vec<(String, String)>> {
    let wanted: Vec<&str> = call["path"].as_str().expect("a path").split('/').collect();
    let given: Vec<&str> = path.split('/').collect();
    if call["method"] != method || wanted.len() != given.len() {
        return None;
    }
    let mut named = Vec::new();
    for (wanted, given) in wanted.into_iter().zip(given) {
        match wanted.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            Some(name) => named.push((name.to_owned(), given.to_owned())),
            None if wanted != given => return None,
            None => {}
        }
    }
    Some(named)
}

#[test]
fn what_is_not_as_sentry_describes_it_is_found() {
    let test = "webhooks::published::what_is_not_as_sentry_describes_it_is_found";
    if known().is_none() {
        let why = "Sentry's description is not here: scripts/sentry-openapi fetches it";
        return crate::podman::support::skip(test, why);
    }
    let issues = "/api/0/organizations/acme/issues/";
    let resolve = json!({"status": "resolved", "statusDetails": {"inCommit": {"commit": "a", "repository": "acme/shop"}}});
    let short = json!({"status": "resolved", "statusDetails": {"inCommit": "a"}});
    let unknown = json!({"status": "resolved", "why": "it is"});
    let cases: &[(&str, String, Value, u16, Value, &str)] = &[
        (
            "GET",
            format!("{issues}?query=x&sort=date&limit=100&cursor=0:0:0"),
            json!(null),
            200,
            json!([]),
            "",
        ),
        ("GET", format!("{issues}?sort=newest"), json!(null), 200, json!([]), "sort"),
        ("GET", format!("{issues}?limit=many"), json!(null), 200, json!([]), "limit"),
        ("GET", format!("{issues}?page=2"), json!(null), 200, json!([]), "page"),
        ("GET", issues.to_owned(), json!(null), 200, json!([{"id": "1"}]), "required property"),
        ("GET", issues.to_owned(), json!(null), 201, json!([]), "is never answered"),
        ("GET", issues.to_owned(), json!({}), 200, json!([]), "takes no body"),
        ("GET", format!("{issues}7/events/latest/"), json!(null), 404, json!({}), ""),
        ("GET", format!("{issues}7/events/newest/"), json!(null), 404, json!({}), "event_id"),
        ("GET", format!("{issues}x/events/latest/"), json!(null), 404, json!({}), "issue_id"),
        ("GET", format!("{issues}7/events"), json!(null), 404, json!({}), "no such call"),
        ("PUT", format!("{issues}7/"), resolve, 404, json!({}), ""),
        ("PUT", format!("{issues}7/"), short, 404, json!({}), "/statusDetails/inCommit"),
        ("PUT", format!("{issues}7/"), unknown, 404, json!({}), "fields of the body"),
        ("PUT", format!("{issues}7/"), json!(null), 404, json!({}), "needs a body"),
    ];
    for (method, uri, body, status, answer, wanted) in cases {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let uri: Uri = uri.parse().expect("an address");
        let wrong = of_exchange(method, &uri, &body, *status, answer.to_string().as_bytes()).join("\n");
        let is_found = if wanted.is_empty() { wrong.is_empty() } else { wrong.contains(wanted) };
        assert!(is_found, "{method} {uri}: {wanted:?} in {wrong:?}");
    }
}
