//! Rules on what agents ask: the same in the configuration, in a frame's file and in a project's own.

use std::path::Path;

use super::error::{ConfigError, ConfigProblem, none_of};
use super::keys::{self, Key, Owner, POLICY_FILE};
use super::kinds::{Optional, RuleAction, Text};
use super::section::{Reader, Setting, section};
use super::tree;
use crate::model::policy::Rule;

section! {
    /// A policy file (`mimir frame create --policy`).
    #[derive(Clone, Debug)]
    pub struct PolicyFile {
        rules: Vec<RuleEntry>, "Later ones win";
    }
}

section! {
    for Rule {
        tool: Text, "Which tool: bash, edit, external_directory, webfetch, …; * fits all";
        command: Optional<Text>, "Of bash: which commands, such as git push *";
        path: Optional<Text>, "Of other tools: which paths or addresses";
        action: RuleAction, "allow, ask a person, or deny";
        why: Optional<Text>, "Why; an agent that is denied is told";
    }
}

/// A rule whose parts belong together.
pub struct RuleEntry;

impl Setting for RuleEntry {
    type Value = Rule;

    fn keys(path: &str, about: &'static str, owner: Option<Owner>, table: &mut Vec<Key>) {
        Rule::keys(path, about, owner, table);
    }

    fn read(at: &Reader<'_>) -> Result<Rule, ConfigProblem> {
        let rule = Rule::read(at)?;
        match (rule.tool.as_str(), &rule.command, &rule.path) {
            ("bash", _, Some(_)) => {
                Err(at.at("path").invalid("is for other tools than bash: write `command`"))
            }
            ("bash", _, None) | (_, None, _) => Ok(rule),
            (tool, Some(_), _) if tool.contains(['*', '?']) => Ok(rule),
            (tool, Some(_), _) => {
                let why = format!("`command` is for bash, not for {tool}: write `path`");
                Err(at.at("command").invalid(&why))
            }
        }
    }
}

/// Reads a policy file: `rules:` and a list of them.
///
/// # Errors
/// [`ConfigError`] with everything that is wrong, each with its line.
pub fn policy(text: &str, path: &Path) -> Result<Vec<Rule>, ConfigError> {
    let node = tree::parse(text, path)?;
    none_of(keys::check(&POLICY_FILE, &node))?;
    Ok(PolicyFile::read(&Reader::root(&node))?.rules)
}
