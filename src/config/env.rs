//! `MIMIR_*` as a layer of the configuration.

use std::collections::BTreeMap;

use super::error::ConfigProblem;
use super::keys::{CONFIG, Key};
use super::tree::{Node, Origin, Value};

/// The variable that sets a key: `frames.network` is `MIMIR_FRAMES_NETWORK`.
#[must_use]
pub fn variable_of(key: &str) -> String {
    format!("MIMIR_{}", key.to_ascii_uppercase().replace('.', "_"))
}

/// Keys that one variable can set.
fn settable() -> impl Iterator<Item = &'static Key> {
    CONFIG.iter().filter(|key| is_settable(key))
}

/// Whether one variable can set it: it is not below a name that somebody chose, and not in a list of sections.
#[must_use]
pub fn is_settable(key: &Key) -> bool {
    !key.path.contains(['*', '['])
}

/// The layer that the environment sets. An empty variable sets nothing.
pub(super) fn layer(env: &BTreeMap<String, String>, problems: &mut Vec<ConfigProblem>) -> Node {
    let mut layer = Node::section(Origin::BuiltIn);
    for (name, text) in env.iter().filter(|(_, text)| !text.is_empty()) {
        let origin = Origin::Env(name.clone());
        match settable().find(|key| variable_of(&key.path) == *name) {
            Some(key) => layer.put(&key.path, value(key, text, &origin)),
            // Other MIMIR_* variables (MIMIR_HOME, MIMIR_DB_KEY, …) are read elsewhere; one that begins
            // like a section is a slip of the pen.
            None if is_meant_as_key(name) => problems.push(ConfigProblem::UnknownKey {
                at: origin,
                key: name.clone(),
                nearest: settable()
                    .map(|key| variable_of(&key.path))
                    .min_by_key(|known| strsim::damerau_levenshtein(known, name)),
            }),
            None => {}
        }
    }
    layer
}

/// A value as one text: lists are written with commas.
pub(super) fn value(key: &Key, text: &str, origin: &Origin) -> Node {
    if !key.is_list() {
        return Node::scalar(text, origin.clone());
    }
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    let items = items.map(|item| Node::scalar(item, origin.clone())).collect();
    Node { value: Value::List(items), origin: origin.clone(), place: None }
}

fn is_meant_as_key(name: &str) -> bool {
    settable().filter_map(|key| key.path.split('.').next()).any(|section| {
        let prefix = format!("{}_", variable_of(section));
        name.starts_with(&prefix)
    })
}
