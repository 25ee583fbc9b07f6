//! What Sentry's documentation says of its webhooks, and whether a message is like that. It publishes no schema of them;
//! the one in `tests/fixtures/sentry-webhooks.json` is written after the documentation's pages.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use jsonschema::Validator;
use serde_json::{Value, json};

use super::samples;

const SCHEMAS: &str = include_str!("../../fixtures/sentry-webhooks.json");

/// By what the header `Sentry-Hook-Resource` says.
fn known() -> &'static BTreeMap<String, Validator> {
    static KNOWN: OnceLock<BTreeMap<String, Validator>> = OnceLock::new();
    KNOWN.get_or_init(|| {
        let whole: Value = serde_json::from_str(SCHEMAS).expect("JSON");
        let names = whole["resources"].as_array().expect("resources").iter();
        let of = |name: &Value| {
            let name = name.as_str().expect("a name").to_owned();
            let schema = json!({
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "$defs": whole["$defs"], "$ref": format!("#/$defs/{name}"),
            });
            let made = jsonschema::validator_for(&schema).unwrap_or_else(|error| panic!("{name}: {error}"));
            (name, made)
        };
        names.map(of).collect()
    })
}

/// What is not as it is documented.
pub fn wrong(resource: &str, body: &str) -> Vec<String> {
    let Some(validator) = known().get(resource) else {
        return vec![format!("no webhook {resource} is documented")];
    };
    let said: Value = match serde_json::from_str(body) {
        Ok(said) => said,
        Err(error) => return vec![format!("{resource}: no JSON: {error}")],
    };
    let found = validator.iter_errors(&said).take(8).map(|error| {
        let text: String = error.to_string().chars().take(200).collect();
        format!("{resource}: {}: {text}", error.instance_path())
    });
    found.collect::<Vec<_>>()
}

#[test]
fn there_is_a_message_of_each_documented_kind_and_each_is_as_documented() {
    let all = samples::all();
    for (resource, said) in &all {
        assert_eq!(wrong(resource, &said.to_string()), [""; 0], "{said:#}");
    }
    for resource in known().keys() {
        assert!(all.iter().any(|(known, _)| known == resource), "there is no message of {resource}");
    }
}

#[test]
fn what_is_not_as_it_is_documented_is_found() {
    for (resource, said) in samples::all() {
        for field in ["action", "actor", "data", "installation"] {
            let mut less = said.clone();
            less.as_object_mut().expect("a message").remove(field);
            let found = wrong(resource, &less.to_string()).join("\n");
            assert!(found.contains(field), "{resource} without {field}: {found:?}");
        }
        for (field, value) in [("action", json!("flown")), ("why", json!("so")), ("data", json!({}))] {
            let mut other = said.clone();
            other[field] = value;
            assert!(!wrong(resource, &other.to_string()).is_empty(), "{resource}: {}", other[field]);
        }
    }
    // A field of a message, what it is instead (null: it is not there), and what is said of it.
    let cases = [
        ("event_alert", "/data/event", "issue_id", Value::Null, "issue_id"),
        ("event_alert", "/data/event", "issue_id", json!(7), "/data/event/issue_id"),
        ("event_alert", "/data/event", "web_url", Value::Null, "web_url"),
        ("event_alert", "/data/event", "tags", json!({"a": "b"}), "/data/event/tags"),
        ("event_alert", "/data/event", "level", json!("bad"), "/data/event/level"),
        (
            "event_alert",
            "/data/event/exception/values/0/stacktrace/frames/0",
            "lineno",
            json!("17"),
            "lineno",
        ),
        ("event_alert", "/data", "triggered_rule", Value::Null, "triggered_rule"),
        ("event_alert", "/data", "issue", json!({}), "issue"),
        ("error", "/data/error", "event_id", json!(""), "/data/error/event_id"),
        ("issue", "/data/issue", "substatus", json!("old"), "/data/issue/substatus"),
        ("issue", "/data/issue", "status", json!("closed"), "/data/issue/status"),
        ("issue", "/data/issue", "count", json!(3), "/data/issue/count"),
        ("issue", "/data/issue", "web_url", Value::Null, "web_url"),
        ("issue", "/data/issue", "fixed", json!(true), "fixed"),
        ("comment", "/data", "comment_id", json!("1"), "/data/comment_id"),
        ("comment", "/data", "project_slug", Value::Null, "project_slug"),
        ("installation", "/data/installation", "status", json!("gone"), "/data/installation/status"),
        ("metric_alert", "/data/metric_alert", "alert_rule", Value::Null, "alert_rule"),
        ("seer", "/data", "group_id", json!("7"), "/data/group_id"),
        ("activity_alert", "/data/activity", "type", json!("seer_slept"), "/data/activity/type"),
    ];
    for (resource, place, field, value, wanted) in cases {
        let all = samples::all();
        let (_, said) = all.iter().find(|(known, _)| *known == resource).expect("a message");
        let mut said = said.clone();
        let fields = said.pointer_mut(place).and_then(Value::as_object_mut).expect(place);
        match value {
            Value::Null => drop(fields.remove(field)),
            value => drop(fields.insert(field.to_owned(), value)),
        }
        let found = wrong(resource, &said.to_string()).join("\n");
        assert!(found.contains(wanted), "{resource} {place}/{field}: {wanted:?} in {found:?}");
    }
    assert_eq!(wrong("event_flown", "{}"), ["no webhook event_flown is documented"]);
    assert!(wrong("issue", "{")[0].contains("no JSON"));
    // Without its pull requests it does not say what it is about.
    let mut created = samples::pr_created(7);
    created["data"].as_object_mut().expect("fields").remove("pull_requests");
    assert!(wrong("seer", &created.to_string()).join("\n").contains("pull_requests"));
}
