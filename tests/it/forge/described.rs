//! What GitHub itself publishes about its API and its webhooks, and whether an exchange is like that. Both sides are
//! looked at: what mimir asks, and what this forge answers in GitHub's place.
//!
//! `scripts/github-openapi` makes the file; without it nothing is compared, and one test says so.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{Hash as _, Hasher as _};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use jsonschema::Validator;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use super::api::{Answer, Asked};

/// What any call may be answered with, though the description does not say so of each.
const EVERYWHERE: [u16; 5] = [401, 403, 404, 429, 503];

struct Description {
    whole: Value,
    compiled: Mutex<BTreeMap<String, Arc<Validator>>>,
    /// What was looked at and found right: long lists are answered again and again.
    right: Mutex<HashSet<u64>>,
}

fn file() -> Option<PathBuf> {
    std::env::var_os("MIMIR_TEST_GITHUB_OPENAPI").map(PathBuf::from).filter(|path| path.is_file())
}

fn known() -> Option<&'static Description> {
    static KNOWN: OnceLock<Option<Description>> = OnceLock::new();
    let read = || {
        let text = std::fs::read_to_string(file()?).expect("a file");
        let whole = serde_json::from_str(&text).expect("JSON");
        Some(Description { whole, compiled: Mutex::default(), right: Mutex::default() })
    };
    KNOWN.get_or_init(read).as_ref()
}

/// Whether the description is on this machine.
pub fn is_there() -> bool {
    known().is_some()
}

/// What is wrong with an exchange; none when nobody knows.
pub fn of_exchange(asked: &Asked, answer: &Answer) -> Option<Vec<String>> {
    let known = known()?;
    let line = format!("{} /{}", asked.method, asked.path.join("/"));
    let calls = known.whole["calls"].as_array().expect("calls");
    let Some((call, named)) = calls.iter().find_map(|call| Some((call, fits(call, asked)?))) else {
        // What is asked for by mistake is answered with 404, by GitHub too.
        return Some(vec![format!("{line}: GitHub has no such call")]);
    };
    let mut wrong = Vec::new();
    let parameters = call["parameters"].as_array().expect("parameters");
    let given = named.iter().map(|(name, value)| ("path", name, value));
    for (place, name, value) in given.chain(asked.query.iter().map(|(name, value)| ("query", name, value))) {
        match parameters.iter().find(|it| it["name"] == name.as_str() && it["where"] == place) {
            None => wrong.push(format!("{line}: no parameter `{name}`")),
            Some(parameter) => {
                let value = match parameter["schema"]["type"].as_str() {
                    Some("integer") => value.parse::<i64>().map_or(json!(value), |number| json!(number)),
                    Some("boolean") => value.parse::<bool>().map_or(json!(value), |yes| json!(yes)),
                    _ => json!(value),
                };
                let key = format!("{} {} {name}", call["method"], call["path"]);
                known.look(
                    &key,
                    &parameter["schema"],
                    "defs",
                    &value,
                    &format!("{line}: `{name}`"),
                    &mut wrong,
                );
            }
        }
    }
    let key = |part: &str| format!("{} {} {part}", call["method"], call["path"]);
    match (&call["body"], &asked.body) {
        (Value::Null, Value::Null) => {}
        (Value::Null, _) => wrong.push(format!("{line}: takes no body")),
        (_, Value::Null) if call["body_required"] == true => wrong.push(format!("{line}: needs a body")),
        (_, Value::Null) => {}
        (schema, body) => {
            known.look(&key("body"), schema, "defs", body, &format!("{line}: the body"), &mut wrong);
            let fields = schema["properties"].as_object();
            let unknown = body
                .as_object()
                .into_iter()
                .flatten()
                .filter(|(name, _)| fields.is_some_and(|fields| !fields.contains_key(*name)));
            wrong.extend(
                unknown.map(|(name, _)| format!("{line}: the body has a field `{name}` that there is not")),
            );
        }
    }
    let status = answer.status.to_string();
    match (call["responses"].get(&status), &answer.body) {
        (None, _) if EVERYWHERE.contains(&answer.status) => {}
        (None, _) => wrong.push(format!("{line}: GitHub never answers {status}")),
        (Some(Value::Null), None) => {}
        // An error without a shape has the usual one all the same.
        (Some(Value::Null), Some(_)) if answer.status >= 400 => {}
        (Some(Value::Null), Some(_)) => wrong.push(format!("{line}: {status} has no body")),
        (Some(_), None) => wrong.push(format!("{line}: {status} has a body")),
        (Some(schema), Some(body)) => {
            known.look(&key(&status), schema, "defs", body, &format!("{line}: {status}"), &mut wrong);
        }
    }
    Some(wrong)
}

/// What is wrong with a webhook.
pub fn of_hook(event: &str, action: Option<&str>, headers: &[&str], body: &str) -> Vec<String> {
    let Some(known) = known() else { return Vec::new() };
    let name = [Some(event), action].into_iter().flatten().collect::<Vec<_>>().join("-").replace('_', "-");
    let hook = &known.whole["hooks"][&name];
    if hook.is_null() {
        return vec![format!("GitHub has no webhook {name}")];
    }
    let mut wrong = Vec::new();
    let wanted = hook["headers"].as_array().into_iter().flatten().filter_map(Value::as_str);
    wrong.extend(wanted.filter(|it| !headers.contains(it)).map(|it| format!("{name}: no header {it}")));
    let body: Value = serde_json::from_str(body).expect("JSON");
    known.look(&format!("hook {name}"), &hook["body"], "hook_defs", &body, &name, &mut wrong);
    wrong
}

/// The parameters of its path, if it is that call.
fn fits(call: &Value, asked: &Asked) -> Option<Vec<(String, String)>> {
    if call["method"] != asked.method.as_str() {
        return None;
    }
    let path = call["path"].as_str().expect("a path").trim_start_matches('/');
    let wanted: Vec<&str> = path.split('/').collect();
    let mut named = Vec::new();
    for (at, part) in wanted.iter().enumerate() {
        let Some(name) = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) else {
            if asked.path.get(at).map(String::as_str) != Some(*part) {
                return None;
            }
            continue;
        };
        // The last one of a reference holds slashes.
        let is_rest = name == "ref" && at + 1 == wanted.len();
        let value = if is_rest { asked.path.get(at..)?.join("/") } else { asked.path.get(at)?.clone() };
        named.push((name.to_owned(), value));
        if is_rest {
            return Some(named);
        }
    }
    (asked.path.len() == wanted.len()).then_some(named)
}

impl Description {
    fn look(
        &self,
        key: &str,
        schema: &Value,
        defs: &str,
        value: &Value,
        line: &str,
        wrong: &mut Vec<String>,
    ) {
        let mut hasher = DefaultHasher::new();
        (key, defs, value.to_string()).hash(&mut hasher);
        let looked_at = hasher.finish();
        if self.right.lock().contains(&looked_at) {
            return;
        }
        let before = wrong.len();
        let validator = self.validator(key, schema, defs);
        wrong.extend(validator.iter_errors(value).take(8).map(|error| {
            let text: String = error.to_string().chars().take(300).collect();
            format!("{line}: {}: {text}", error.instance_path())
        }));
        if wrong.len() == before {
            self.right.lock().insert(looked_at);
        }
    }

    fn validator(&self, key: &str, schema: &Value, defs: &str) -> Arc<Validator> {
        let mut compiled = self.compiled.lock();
        if let Some(known) = compiled.get(key) {
            return known.clone();
        }
        let all = self.whole[defs].as_object().expect("definitions");
        let (mut names, mut left) = (BTreeSet::new(), vec![schema]);
        while let Some(next) = left.pop() {
            match next {
                Value::Object(fields) => {
                    let name =
                        fields.get("$ref").and_then(Value::as_str).and_then(|it| it.strip_prefix("#/$defs/"));
                    if let Some(name) = name.filter(|name| names.insert((*name).to_owned())) {
                        left.push(&all[name]);
                    }
                    left.extend(fields.values());
                }
                Value::Array(items) => left.extend(items),
                _ => {}
            }
        }
        let used: Map<String, Value> =
            names.into_iter().map(|name| (name.clone(), all[&name].clone())).collect();
        let whole = json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "$defs": used, "allOf": [schema]});
        let made =
            Arc::new(jsonschema::validator_for(&whole).unwrap_or_else(|error| panic!("{key}: {error}")));
        compiled.insert(key.to_owned(), made.clone());
        made
    }
}

#[test]
fn what_is_not_as_github_describes_it_is_found() {
    let test = "what_is_not_as_github_describes_it_is_found";
    if !is_there() {
        return crate::podman::support::skip(
            test,
            "GitHub's description is not here: scripts/github-openapi fetches it",
        );
    }
    let asked = |method: &str, path: &str, query: &[(&str, &str)], body: Value| Asked {
        method: method.to_owned(),
        path: path.split('/').map(str::to_owned).collect(),
        query: query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        body,
        root: String::new(),
        login: String::new(),
        only: None,
    };
    let fine = || Answer::json(200, json!([]));
    let pulls = "repos/me/blog/pulls";
    let merged = || Answer::json(200, json!({"sha": "a", "merged": true, "message": "m"}));
    let cases = [
        (asked("GET", pulls, &[("state", "open")], Value::Null), fine(), ""),
        (
            asked("GET", pulls, &[("state", "opened")], Value::Null),
            fine(),
            "`state`: : \"opened\" is not one of",
        ),
        (
            asked("GET", pulls, &[("per_page", "many")], Value::Null),
            fine(),
            "`per_page`: : \"many\" is not of type",
        ),
        (asked("GET", pulls, &[("limit", "3")], Value::Null), fine(), "no parameter `limit`"),
        (asked("GET", pulls, &[], json!({})), fine(), "takes no body"),
        (asked("GET", pulls, &[], Value::Null), Answer::json(200, json!([{}])), "is a required property"),
        (asked("GET", pulls, &[], Value::Null), Answer::json(201, json!([])), "GitHub never answers 201"),
        (asked("GET", pulls, &[], Value::Null), Answer::empty(200), "200 has a body"),
        (asked("GET", "repos/me/blog/pull", &[], Value::Null), fine(), "GitHub has no such call"),
        (asked("PUT", "repos/me/blog/pulls/1/merge", &[], json!({"sha": "a"})), merged(), ""),
        (asked("PUT", "repos/me/blog/pulls/1/merge", &[], json!({"sha": 3})), merged(), "the body: /sha"),
        (
            asked("PUT", "repos/me/blog/pulls/1/merge", &[], json!({"head": "a"})),
            merged(),
            "a field `head` that there is not",
        ),
        (asked("PUT", "repos/me/blog/pulls/x/merge", &[], json!({})), merged(), "`pull_number`"),
        (asked("DELETE", "repos/me/blog/git/refs/heads/a/b", &[], Value::Null), Answer::empty(204), ""),
    ];
    for (asked, answer, wanted) in cases {
        let wrong = of_exchange(&asked, &answer).expect("it is there").join("\n");
        assert!(
            if wanted.is_empty() { wrong.is_empty() } else { wrong.contains(wanted) },
            "{wanted:?} in {wrong:?}"
        );
    }
    assert!(of_hook("push", None, &[], "{}").len() > 6);
    assert_eq!(
        of_hook("pull_request", Some("flown"), &[], "{}"),
        ["GitHub has no webhook pull-request-flown"]
    );
}
