//! Rules on what agents ask: the same in the configuration, in a frame's file and in a project's own.

use std::path::Path;

use super::error::{ConfigError, ConfigProblem, none_of};
use super::keys::{self, Key, Kind};
use super::schema::Reader;
use super::tree;
use super::values;
use crate::model::policy::{Action, Rule};

/// The keys of a policy file (`mimir frame create --policy`).
const POLICY_FILE: &[Key] = &[
    Key { path: "rules.[].tool", kind: Kind::Text, about: "Which tool" },
    Key { path: "rules.[].command", kind: Kind::Text, about: "Of bash: which commands" },
    Key { path: "rules.[].path", kind: Kind::Text, about: "Of other tools: which paths" },
    Key { path: "rules.[].action", kind: Kind::OneOf(Action::WORDS), about: "What then" },
    Key { path: "rules.[].why", kind: Kind::Text, about: "Why" },
];

/// The rules below `approvals`.
pub(super) fn rules(read: &Reader<'_>) -> Result<Vec<Rule>, ConfigProblem> {
    read.items("approvals.rules", rule)
}

/// Reads a policy file: `rules:` and a list of them.
///
/// # Errors
/// [`ConfigError`] with everything that is wrong, each with its line.
pub fn policy(text: &str, path: &Path) -> Result<Vec<Rule>, ConfigError> {
    let node = tree::parse(text, path)?;
    none_of(keys::check(POLICY_FILE, &node))?;
    let read = Reader { node: &node, path: String::new() };
    Ok(read.items("rules", rule)?)
}

fn rule(item: &Reader<'_>) -> Result<Rule, ConfigProblem> {
    let rule = Rule {
        tool: item.must("tool", values::text)?,
        command: item.may("command", values::text)?,
        path: item.may("path", values::text)?,
        action: item.must("action", |text| {
            Action::of_word(text).ok_or_else(|| format!("must be {}, not `{text}`", Action::WORDS.join(", ")))
        })?,
        why: item.may("why", values::text)?,
    };
    let misplaced = match (&rule.command, rule.tool.as_str()) {
        (Some(_), "bash") | (None, _) => None,
        (Some(_), tool) if tool.contains(['*', '?']) => None,
        (Some(_), tool) => Some(format!("`command` is for bash, not for {tool}: write `path`")),
    };
    match misplaced {
        Some(why) => Err(item.invalid(item.node, "command", &why)),
        None if rule.tool == "bash" && rule.path.is_some() => {
            Err(item.invalid(item.node, "path", "is for other tools than bash: write `command`"))
        }
        None => Ok(rule),
    }
}
