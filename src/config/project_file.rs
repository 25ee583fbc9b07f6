//! The part of a project's `.mimir/config.yml` that we obey.
//!
//! The file arrives with a clone, so its author is a stranger. It may shape work
//! inside the frame. It may never reach the host, other people or a credit card;
//! keys that would are left out and reported. No variable is replaced in it: a
//! stranger could read our environment that way.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::error::{ConfigError, ConfigProblem};
use super::keys::{self, PROJECT_FILE};
use super::kinds::{Model, Optional, Text};
use super::rules::RuleEntry;
use super::schema::Config;
use super::section::{Reader, Setting, section};
use super::tree::{self, Node, Origin, Value};
use crate::model::policy::Action;

/// Where the file is, below the project's folder.
pub const NAME: &str = ".mimir/config.yml";

/// A larger one is not read.
const MOST_BYTES: u64 = 64 * 1024;

section! {
    /// What we obey.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct ProjectLayer {
        image: Optional<Text>, "The image its frames are made from";
        model: Optional<Model>, "The model for its frames";
        instructions: Optional<Text>, "What the agent should know about the project";
        rules("approvals.rules"): Vec<RuleEntry>,
            "What its agents must ask for or may not do; never what they may: the file is a stranger's";
    }
}

/// Sections of the configuration, each decided: whether a stranger's file has a say in it. The pattern has no `..` on
/// purpose: a new section does not compile until somebody has decided.
macro_rules! sections {
    (refused: $($refused:ident),+; obeyed in part: $($obeyed:ident),+) => {
        const _: fn(Config) = |Config { $($refused: _,)+ $($obeyed: _),+ }| ();
        const SECTIONS: &[&str] = &[$(stringify!($refused)),+];
    };
}

sections! {
    refused: server, database, events, audit, backup, engine, frames, network, git, turn, budget, queue, workflows, opencode, models, providers, notify, webhooks, ui, projects, schedules;
    obeyed in part: approvals
}

/// A key that we do not obey.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IgnoredKey {
    /// Which.
    pub key: String,
    /// Where it stands.
    pub at: Origin,
    /// Why.
    pub why: String,
}

/// Other keys that a project has no say in: they would reach the host, other people, or a credit card.
const REACH_OUT: &[&str] = &[
    "mounts",
    "environment",
    "env",
    "gateway",
    "plugins",
    "budgets",
    "webhooks",
    "cron",
    "teams",
    "allow",
    "limits",
    "ports",
];

/// Keys that run something.
const RUN: &[&str] = &["build", "setup", "command", "commands", "hooks", "test"];

/// Reads a project's file, if it has one.
///
/// # Errors
/// [`ConfigError`] when it is there and cannot be read: a link, too large, no YAML.
pub fn load(project: &Path) -> Result<Option<(ProjectLayer, Vec<IgnoredKey>)>, ConfigError> {
    let path = project.join(NAME);
    match read(&path)? {
        Some(text) => accept(&text, &path).map(Some),
        None => Ok(None),
    }
}

fn read(path: &Path) -> Result<Option<String>, ConfigProblem> {
    read_untrusted(path).map_err(|why| ConfigProblem::Unreadable { path: path.to_owned(), why })
}

/// A small text file that a stranger may have put there.
///
/// # Errors
/// Why it is not read: a link, a pipe, too large, no text.
pub fn read_untrusted(path: &Path) -> Result<Option<String>, String> {
    // The last step must not be a link out of the project, nor a pipe that never answers.
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(error.to_string()),
    };
    let found = file.metadata().map_err(|error| error.to_string())?;
    if !found.is_file() {
        return Err("it is not a plain file".into());
    }
    if found.len() > MOST_BYTES {
        return Err("it is larger than 64 KiB".into());
    }
    let mut text = String::new();
    file.take(MOST_BYTES).read_to_string(&mut text).map_err(|error| error.to_string())?;
    Ok(Some(text))
}

/// What of the text we obey, and what not.
///
/// # Errors
/// [`ConfigError`] when it is no YAML, or a key that we would obey holds something else.
pub fn accept(text: &str, path: &Path) -> Result<(ProjectLayer, Vec<IgnoredKey>), ConfigError> {
    let tree = tree::parse(text, path)?;
    let Value::Map(entries) = tree.value else { return Ok(Default::default()) };
    let mut obeyed = Vec::new();
    let mut ignored = Vec::new();
    for (key, node) in entries {
        match refusal(&key) {
            Some(why) => ignored.push(IgnoredKey { key, at: node.origin, why }),
            None => obeyed.push((key, node)),
        }
    }
    let obeyed = Node { value: Value::Map(obeyed), origin: tree.origin, place: None };
    super::error::none_of(keys::check(&PROJECT_FILE, &obeyed))?;
    let mut layer = ProjectLayer::read(&Reader::root(&obeyed))?;
    let at = obeyed.at("approvals.rules").map_or(&obeyed.origin, |node| &node.origin);
    layer.rules.retain(|rule| {
        let allows = rule.action == Action::Allow;
        ignored.extend(allows.then(|| IgnoredKey {
            key: "approvals.rules".to_owned(),
            at: at.clone(),
            why: format!("a project's own file may not allow anything (`{}`)", rule.line()),
        }));
        !allows
    });
    Ok((layer, ignored))
}

fn refusal(key: &str) -> Option<String> {
    if RUN.contains(&key) {
        Some("it runs something, and this file is not trusted".into())
    } else if REACH_OUT.contains(&key) || SECTIONS.contains(&key) {
        Some("a project's own file may not set it".into())
    } else if PROJECT_FILE.iter().any(|known| known.path.split('.').next() == Some(key)) {
        None
    } else {
        Some(match keys::nearest_key(&PROJECT_FILE, key) {
            Some(nearest) => format!("there is no such key; did its author mean `{nearest}`?"),
            None => "there is no such key".into(),
        })
    }
}
