//! `config/schema.json`, written from the table of keys, for editors that know JSON Schema.

use serde_json::{Value, json};

use super::keys::CONFIG;

/// The schema of `config.yaml`.
#[must_use]
pub fn schema() -> Value {
    let mut root = section();
    for key in CONFIG.iter() {
        let parts: Vec<&str> = key.path.split('.').collect();
        let mut leaf = (key.schema)();
        leaf["description"] = json!(key.about);
        insert(&mut root, &parts, leaf);
    }
    root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    root["title"] = json!("mimir config.yaml");
    root
}

fn section() -> Value {
    json!({"type": "object", "additionalProperties": false, "properties": {}})
}

/// Puts the leaf where the path says, making what is on the way.
fn insert(at: &mut Value, path: &[&str], leaf: Value) {
    let Some((first, rest)) = path.split_first() else {
        // An item that may also be a section (`models: [name, {id: name}]`) is one or the other.
        *at = leaf;
        return;
    };
    let slot = match *first {
        "[]" => {
            at["type"] = json!("array");
            if let Some(object) = at.as_object_mut() {
                object.remove("properties");
                object.remove("additionalProperties");
            }
            &mut at["items"]
        }
        "*" => {
            if !at["additionalProperties"].is_object() {
                at["additionalProperties"] = section();
            }
            &mut at["additionalProperties"]
        }
        name => {
            if at.get("type").is_some_and(|kind| kind != "object") {
                *at = json!({"anyOf": [at.clone(), section()]});
            }
            let object = match at.get("anyOf") {
                Some(_) => &mut at["anyOf"][1],
                None => at,
            };
            let properties = object["properties"].as_object_mut();
            match properties {
                Some(properties) => properties.entry(name).or_insert(Value::Null),
                None => return,
            }
        }
    };
    if slot.is_null() {
        *slot = section();
    }
    insert(slot, rest, leaf);
}
