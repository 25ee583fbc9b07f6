//! `${NAME}` and `~` in values.

use std::collections::BTreeMap;

use super::error::ConfigProblem;
use super::keys::{self, Key};
use super::kinds::Form;
use super::tree::{Node, Origin, Value};

/// Replaces `${NAME}` and `${NAME:-otherwise}` in every text of the tree, and `~/` at the beginning of paths.
///
/// What came from the environment or a flag is taken word for word.
pub(super) fn expand(
    tree: &mut Node,
    table: &'static [Key],
    env: &BTreeMap<String, String>,
    problems: &mut Vec<ConfigProblem>,
) {
    expand_node(tree, "", table, env, problems);
}

fn expand_node(
    node: &mut Node,
    path: &str,
    table: &'static [Key],
    env: &BTreeMap<String, String>,
    problems: &mut Vec<ConfigProblem>,
) {
    match &mut node.value {
        Value::Empty => {}
        Value::Map(entries) => {
            for (name, child) in entries {
                let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                expand_node(child, &below, table, env, problems);
            }
        }
        Value::List(items) => {
            let below = format!("{path}.[]");
            items.iter_mut().for_each(|item| expand_node(item, &below, table, env, problems));
        }
        Value::Scalar(text) => {
            if matches!(node.origin, Origin::BuiltIn | Origin::File { .. }) {
                match variables(text, env) {
                    Ok(expanded) => *text = expanded,
                    Err(name) => problems.push(ConfigProblem::MissingVariable {
                        at: node.origin.clone(),
                        key: path.to_owned(),
                        name,
                    }),
                }
            }
            let is_path = keys::find(table, path).is_some_and(|key| key.form == Form::Path);
            if is_path
                && let Some(rest) = text.strip_prefix("~/")
                && let Some(home) = env.get("HOME")
            {
                *text = format!("{}/{rest}", home.trim_end_matches('/'));
            }
        }
    }
}

/// The text with its variables replaced, or the name of one that is not set. `$${` stands for `${`.
fn variables(text: &str, env: &BTreeMap<String, String>) -> Result<String, String> {
    let mut done = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            done.push_str(&rest[..at]);
            done.push('{');
            rest = &rest[at + 2..];
            continue;
        }
        let Some(end) = rest[at..].find('}') else { break };
        let inner = &rest[at + 2..at + end];
        let (name, otherwise) = inner.split_once(":-").map_or((inner, None), |(name, it)| (name, Some(it)));
        let value = env.get(name).filter(|value| !value.is_empty()).map(String::as_str);
        done.push_str(&rest[..at]);
        done.push_str(value.or(otherwise).ok_or_else(|| name.to_owned())?);
        rest = &rest[at + end + 1..];
    }
    done.push_str(rest);
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced_and_a_missing_one_is_named() {
        let env: BTreeMap<_, _> =
            [("A", "1"), ("EMPTY", "")].map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        for (text, expanded) in [
            ("x${A}y${A}", Ok("x1y1")),
            ("${B:-two}", Ok("two")),
            ("${EMPTY:-}", Ok("")),
            ("$${A}", Ok("${A}")),
            ("$A and ${A", Ok("$A and ${A")),
            ("${B}", Err("B")),
            ("${EMPTY}", Err("EMPTY")),
        ] {
            let expected = expanded.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(variables(text, &env), expected, "{text}");
        }
    }
}
