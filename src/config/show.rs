//! The configuration for people: every value, and who set it.

use serde_json::Value as Json;

use super::keys::{self, Key};
use super::tree::{Node, Origin, Value};
use super::{Loaded, values};

/// One value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Dotted.
    pub key: String,
    /// As text; a secret is shown as dots, and as nothing when it is not set.
    pub value: String,
    /// Where it was set.
    pub origin: Origin,
}

impl Loaded {
    /// Every value with its origin, in the order of the files.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        rows(&self.tree, true)
    }

    /// The rows at and below a dotted key; none when there is no such key, or nothing is set there.
    #[must_use]
    pub fn rows_at(&self, key: &str) -> Vec<Row> {
        self.rows().into_iter().filter(|row| is_at(&row.key, key)).collect()
    }
}

/// Whether a row is at or below a dotted key.
#[must_use]
pub fn is_at(row: &str, key: &str) -> bool {
    row.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// Every value with its origin; secrets as dots when they are to be masked.
pub(super) fn rows(tree: &Node, mask: bool) -> Vec<Row> {
    let mut rows = Vec::new();
    collect(tree, "", &mut rows);
    if mask {
        for row in &mut rows {
            row.value = masked(&row.key, &row.value).to_owned();
        }
    }
    rows
}

/// The value of a row, or dots when it must not be seen. A key that the table does not know is not shown either.
pub(super) fn masked<'a>(row: &str, value: &'a str) -> &'a str {
    let is_secret = keys::of_row(row).is_none_or(Key::is_secret);
    if is_secret && !value.is_empty() { "•••" } else { value }
}

/// The text of a row as the value that it means: a number, true or false, a list, nothing. A key says by its schema
/// what it may hold; everything else, and dots, stays text.
#[must_use]
pub fn typed(row: &str, text: &str) -> Json {
    let Some(key) = keys::of_row(row).filter(|key| !key.is_secret()) else {
        return if text.is_empty() { Json::Null } else { text.into() };
    };
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match (key.is_list(), inner) {
        (true, Some("")) => return Json::Array(Vec::new()),
        (true, Some(items)) => return items.split(", ").map(Json::from).collect(),
        _ if text.is_empty() => return Json::Null,
        _ => {}
    }
    let schema = (key.schema)();
    if allows(&schema, &|it| it == "integer" || it == "number")
        && let Ok(number) = text.parse::<serde_json::Number>()
    {
        return number.into();
    }
    let is_switch = allows(&schema, &|it| it == &Json::Bool(true));
    match values::switch(text) {
        Ok(on) if is_switch => on.into(),
        _ => text.into(),
    }
}

/// Whether one of the types or words of a schema is like that.
fn allows(schema: &Json, like: &dyn Fn(&Json) -> bool) -> bool {
    let several = |at: &str| schema[at].as_array().into_iter().flatten();
    like(&schema["type"])
        || several("type").chain(several("enum")).any(like)
        || several("anyOf").any(|one| allows(one, like))
}

fn collect(node: &Node, path: &str, rows: &mut Vec<Row>) {
    let mut push = |value: String| {
        rows.push(Row { key: path.to_owned(), value, origin: node.origin.clone() });
    };
    match &node.value {
        Value::Empty => push(String::new()),
        Value::Scalar(text) => push(text.clone()),
        Value::List(items) if items.iter().all(|item| item.text().is_some()) => {
            let items: Vec<&str> = items.iter().filter_map(Node::text).collect();
            push(format!("[{}]", items.join(", ")));
        }
        Value::List(items) => {
            for (n, item) in items.iter().enumerate() {
                collect(item, &format!("{path}[{n}]"), rows);
            }
        }
        Value::Map(entries) => {
            for (name, child) in entries {
                let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                collect(child, &below, rows);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_is_what_its_key_means() {
        for (row, text, value) in [
            ("frames.limits.cpus", "1.5", json!(1.5)),
            ("frames.limits.pids", "1024", json!(1024)),
            ("frames.limits.memory", "4g", json!("4g")),
            ("server.http_port", "8080", json!(8080)),
            ("server.http_port", "off", json!("off")),
            ("server.tls.auto", "off", json!(false)),
            ("server.tls.auto", "yes", json!(true)),
            ("server.tls.cert", "", Json::Null),
            ("frames.allow", "[npm, pypi]", json!(["npm", "pypi"])),
            ("frames.allow", "[]", json!([])),
            ("frames.network", "allow", json!("allow")),
            ("frames.idle_stop", "2h", json!("2h")),
            ("notify.desktop", "off", json!("off")),
            ("providers.anthropic.key", "•••", json!("•••")),
            ("providers.anthropic.key", "", Json::Null),
            ("there.is.none", "1", json!("1")),
        ] {
            assert_eq!(typed(row, text), value, "{row}: {text}");
        }
    }
}
