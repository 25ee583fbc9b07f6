//! `config/schema.json`, written from the table of keys, for editors that know JSON Schema.

use serde_json::{Map, Value, json};

use super::keys::{CONFIG, Kind};

/// What a span of time looks like.
const SPAN: &str = r"^(\d+(s|sec|m|min|h|d)\s*)+$";

/// The schema of `config.yaml`.
#[must_use]
pub fn schema() -> Value {
    let mut root = section();
    for key in CONFIG {
        let parts: Vec<&str> = key.path.split('.').collect();
        insert(&mut root, &parts, leaf(key.kind, key.about));
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

fn leaf(kind: Kind, about: &str) -> Value {
    let mut leaf = Map::new();
    let mut set = |name: &str, value: Value| leaf.insert(name.to_owned(), value);
    match kind {
        Kind::Text | Kind::Free | Kind::Path | Kind::PathOrAuto | Kind::Address | Kind::Name => {
            set("type", json!("string"));
        }
        Kind::Secret => {
            set("type", json!(["string", "null"]));
        }
        Kind::Switch => {
            set("enum", json!(["on", "off", true, false]));
        }
        Kind::Whole(least, most) => {
            set("type", json!("integer"));
            set("minimum", json!(least));
            set("maximum", json!(most));
        }
        Kind::PortOrOff => {
            set(
                "anyOf",
                json!([{"type": "integer", "minimum": 0, "maximum": 65535}, {"enum": ["off", false]}]),
            );
        }
        Kind::Ports => {
            set("type", json!("string"));
            set("pattern", json!("^\\d{4,5}-\\d{4,5}$"));
        }
        Kind::Network => {
            set("enum", json!(["sealed", "allow", "open"]));
        }
        Kind::Hosts | Kind::HostNames => {
            set("type", json!("array"));
            set("items", json!({"type": "string"}));
        }
        Kind::Cpus => {
            set("type", json!("number"));
            set("minimum", json!(0.1));
        }
        Kind::Memory => {
            set("type", json!(["string", "integer"]));
        }
        Kind::Time | Kind::Span | Kind::Lifetime => {
            set("type", json!("string"));
            set("pattern", json!(SPAN));
        }
        Kind::TimeOrOff => {
            set("anyOf", json!([{"type": "string", "pattern": SPAN}, {"enum": ["off", false]}]));
        }
        Kind::Dollars => {
            set("type", json!("number"));
            set("minimum", json!(0.01));
        }
        Kind::Model => {
            set("type", json!("string"));
            set("pattern", json!("^[^/]+/.+$"));
        }
        Kind::ModelOrAuto => {
            set("type", json!("string"));
            set("pattern", json!("^([^/]+/.+|auto)$"));
        }
        Kind::HttpUrl => {
            set("type", json!("string"));
            set("format", json!("uri"));
        }
        Kind::OneOf(words) => {
            set("enum", json!(words));
        }
    }
    set("description", json!(about));
    Value::Object(leaf)
}
