//! The configuration for people: every value, and who set it.

use super::Loaded;
use super::keys::{self, Key};
use super::tree::{Node, Origin, Value};

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
        let mut rows = Vec::new();
        collect(&self.tree, "", &mut rows);
        rows
    }

    /// The rows at and below a dotted key; none when there is no such key, or nothing is set there.
    #[must_use]
    pub fn rows_at(&self, key: &str) -> Vec<Row> {
        let below = format!("{key}.");
        let item = format!("{key}[");
        self.rows()
            .into_iter()
            .filter(|row| row.key == key || row.key.starts_with(&below) || row.key.starts_with(&item))
            .collect()
    }
}

fn collect(node: &Node, path: &str, rows: &mut Vec<Row>) {
    let mut push = |value: String| {
        rows.push(Row { key: path.to_owned(), value, origin: node.origin.clone() });
    };
    match &node.value {
        Value::Empty => push(String::new()),
        Value::Scalar(text) if is_secret(path) && !text.is_empty() => push("•••".to_owned()),
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

/// Whether a key holds something that must not be seen. A key that the table does not know is not shown either.
fn is_secret(path: &str) -> bool {
    let mut pattern = String::new();
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('[') {
        pattern.push_str(before);
        pattern.push_str(".[]");
        rest = after.split_once(']').map_or("", |(_, rest)| rest);
    }
    pattern.push_str(rest);
    keys::find(&keys::CONFIG, &pattern).is_none_or(Key::is_secret)
}
