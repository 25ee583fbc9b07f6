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
