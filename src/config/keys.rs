//! Every key there is. Files are checked against these tables, environment variables are named by them, and
//! `config/schema.json` is written from them; they are made from the declarations in [`super::schema`],
//! [`super::frame_file`], [`super::project_file`] and [`super::rules`].
//!
//! In a path, `*` stands for any name and `[]` for an item of a list.

use std::sync::LazyLock;

use super::error::ConfigProblem;
use super::frame_file::FrameFile;
use super::kinds::Form;
use super::project_file::ProjectLayer;
use super::rules::PolicyFile;
use super::schema::Config;
use super::section::Setting;
use super::tree::{Node, Value};
use crate::model::quantity::Refusal;

/// Whose a key of `config.yaml` is: who obeys a client's environment, and when a changed file is obeyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Owner {
    /// It shapes one request, and goes along with it from the environment of whoever asks, or is used there. The file is obeyed
    /// at once.
    Request,
    /// The gateway's; a changed file is obeyed at once.
    Live,
    /// The gateway's; what it began with holds until it is started again.
    Restart,
}

/// One key.
#[derive(Clone, Debug)]
pub struct Key {
    /// Dotted.
    pub path: String,
    /// What it is for.
    pub about: &'static str,
    /// Whose it is; only of keys of `config.yaml`.
    pub owner: Option<Owner>,
    /// How its value is treated.
    pub form: Form,
    /// Whether a text fits; of a list, one of its items. A refusal is the end of a sentence that begins with the key.
    pub check: fn(&str) -> Result<(), Refusal>,
    /// Its value as JSON Schema.
    pub schema: fn() -> serde_json::Value,
}

impl Key {
    /// Whether it is a list of texts.
    #[must_use]
    pub fn is_list(&self) -> bool {
        self.form == Form::List
    }

    /// Whether it is not to be shown.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        self.form == Form::Secret
    }
}

/// The keys of `config.yaml`.
pub static CONFIG: LazyLock<Vec<Key>> = LazyLock::new(table::<Config>);

/// The keys of a frame file (`mimir frame create --config`).
pub static FRAME_FILE: LazyLock<Vec<Key>> = LazyLock::new(table::<FrameFile>);

/// The keys of a project's own `.mimir/config.yml` that are obeyed.
pub static PROJECT_FILE: LazyLock<Vec<Key>> = LazyLock::new(table::<ProjectLayer>);

/// The keys of a policy file (`mimir frame create --policy`).
pub(super) static POLICY_FILE: LazyLock<Vec<Key>> = LazyLock::new(table::<PolicyFile>);

fn table<T: Setting>() -> Vec<Key> {
    let mut table = Vec::new();
    T::keys("", "", None, &mut table);
    table
}

/// The key of `config.yaml` to which a row belongs, such as `notify.webhooks[0].url`; of an empty list, one below it.
#[must_use]
pub fn of_row(row: &str) -> Option<&'static Key> {
    let mut pattern = String::new();
    let mut rest = row;
    while let Some((before, after)) = rest.split_once('[') {
        pattern.push_str(before);
        pattern.push_str(".[]");
        rest = after.split_once(']').map_or("", |(_, rest)| rest);
    }
    pattern.push_str(rest);
    let items = format!("{pattern}.[]");
    let below = || CONFIG.iter().find(|key| key.path.starts_with(&items));
    find(&CONFIG, &pattern).or_else(|| find(&CONFIG, &items)).or_else(below)
}

/// The key of the table that fits a dotted key, such as `providers.local.key`.
#[must_use]
pub fn find(table: &'static [Key], path: &str) -> Option<&'static Key> {
    table.iter().find(|key| fits(&key.path, path))
}

fn fits(pattern: &str, path: &str) -> bool {
    let (mut pattern, mut path) = (pattern.split('.'), path.split('.'));
    loop {
        match (pattern.next(), path.next()) {
            (None, None) => return true,
            (Some(wanted), Some(given)) if wanted == "*" || wanted == given => {}
            _ => return false,
        }
    }
}

/// What follows that path in the keys of the table.
fn below<'a>(table: &'a [Key], path: &str) -> impl Iterator<Item = &'a str> {
    let depth = if path.is_empty() { 0 } else { path.split('.').count() };
    table.iter().filter_map(move |key| {
        let parts: Vec<&str> = key.path.split('.').collect();
        let fits = depth == 0 || (parts.len() > depth && fits(&parts[..depth].join("."), path));
        if fits { parts.get(depth).copied() } else { None }
    })
}

/// Whether the path is the beginning of keys, by name.
fn is_section(table: &[Key], path: &str) -> bool {
    below(table, path).any(|part| part != "[]")
}

/// Whether the path is a list of sections or values.
fn is_list(table: &[Key], path: &str) -> bool {
    below(table, path).any(|part| part == "[]")
}

/// Everything in the tree that the table does not have or that does not fit.
#[must_use]
pub(super) fn check(table: &'static [Key], tree: &Node) -> Vec<ConfigProblem> {
    let mut problems = Vec::new();
    check_node(table, tree, "", &mut problems);
    problems
}

fn check_node(table: &'static [Key], node: &Node, path: &str, problems: &mut Vec<ConfigProblem>) {
    let leaf = find(table, path);
    let invalid = |why: String| ConfigProblem::Invalid { at: node.origin.clone(), key: path.to_owned(), why };
    match (&node.value, leaf) {
        (Value::Empty, _) => {}
        (Value::Scalar(_), Some(key)) if key.is_list() => problems.push(invalid("must be a list".into())),
        (Value::Scalar(text), Some(key)) => problems.extend((key.check)(text).err().map(invalid)),
        (Value::List(items), Some(key)) if key.is_list() => {
            for item in items {
                let misfit = match item.text() {
                    Some(text) => (key.check)(text).err(),
                    None => Some("must be a list of names".into()),
                };
                problems.extend(misfit.map(invalid));
            }
        }
        (Value::Map(entries), _) if is_section(table, path) => {
            for (name, child) in entries {
                let whole = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                let is_plain = !name.contains('.') && name != "[]";
                let is_known = find(table, &whole).is_some() || below(table, &whole).next().is_some();
                if is_plain && is_known {
                    check_node(table, child, &whole, problems);
                } else {
                    let nearest = nearest(table, path, name);
                    problems.push(ConfigProblem::UnknownKey {
                        at: child.origin.clone(),
                        key: whole,
                        nearest,
                    });
                }
            }
        }
        (Value::List(items), _) if is_list(table, path) => {
            for item in items {
                check_node(table, item, &format!("{path}.[]"), problems);
            }
        }
        (_, Some(_)) => problems.push(invalid("must be a single value".into())),
        (_, None) if is_list(table, path) => problems.push(invalid("must be a list".into())),
        (_, None) => problems.push(invalid("must have keys below it".into())),
    }
}

/// The key of that section whose name is most like the one that was written; or one of that very
/// name in another section.
fn nearest(table: &[Key], section: &str, name: &str) -> Option<String> {
    let siblings = below(table, section).filter(|part| !matches!(*part, "*" | "[]"));
    let most_like = siblings
        .map(|sibling| (strsim::damerau_levenshtein(sibling, name), sibling))
        .filter(|(distance, sibling)| *distance <= 1 + sibling.len().max(name.len()) / 4)
        .min();
    if let Some((_, sibling)) = most_like {
        return Some(if section.is_empty() { sibling.to_owned() } else { format!("{section}.{sibling}") });
    }
    table
        .iter()
        .find(|key| !key.path.contains(['*', '[']) && key.path.rsplit('.').next() == Some(name))
        .map(|key| key.path.clone())
}

/// The whole key that was probably meant by a dotted key that there is not.
#[must_use]
pub fn nearest_key(table: &[Key], path: &str) -> Option<String> {
    let (section, name) = path.rsplit_once('.').unwrap_or(("", path));
    nearest(table, section, name).filter(|found| found != path).or_else(|| {
        table
            .iter()
            .map(|key| (strsim::damerau_levenshtein(&key.path, path), &key.path))
            .filter(|(distance, _)| *distance <= 3)
            .min()
            .map(|(_, path)| path.clone())
    })
}
