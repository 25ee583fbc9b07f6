//! `mimir config set`: changes one value and leaves every comment, blank line and order as it was.
//!
//! The file is text with places in it. A value that stands there is replaced where
//! it stands; a new one gets a line of its own. Whatever came out is read again and
//! must differ from before in this one key; otherwise nothing is changed.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use super::error::{ConfigError, ConfigProblem};
use super::keys::{self, Key};
use super::kinds::Form;
use super::tree::{self, Node, Origin, Value};
use super::{LoadOptions, env, load_with, read_file};

/// What a change did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The text before; empty when there was no file.
    pub before: String,
    /// The text after.
    pub after: String,
    /// The environment variable that wins over the file, so that the change shows no effect.
    pub overridden_by: Option<String>,
}

/// Sets a key in the user's file, after checking the whole configuration with it.
///
/// # Errors
/// [`ConfigError`]; then the file is as it was.
pub fn set(options: &LoadOptions, key: &str, value: &str) -> Result<Changed, ConfigError> {
    let path = options.paths.config_file();
    let before = read_file(&path)?.unwrap_or_default();
    let after = with_value(&before, &path, key, value)?;
    load_with(options, &path, Some(&after))?;
    options.paths.ensure_home()?;
    write_atomically(&path, &after)?;
    let variable = env::variable_of(key);
    let overridden_by = options.env.get(&variable).filter(|it| !it.is_empty()).map(|_| variable);
    Ok(Changed { before, after, overridden_by })
}

/// Takes a key out of the user's file, after checking the whole configuration without it.
///
/// # Errors
/// [`ConfigError`]; then the file is as it was.
pub fn unset(options: &LoadOptions, key: &str) -> Result<Changed, ConfigError> {
    let path = options.paths.config_file();
    let before = read_file(&path)?.unwrap_or_default();
    let after = without_value(&before, &path, key)?;
    if before != after {
        load_with(options, &path, Some(&after))?;
        write_atomically(&path, &after)?;
    }
    let variable = env::variable_of(key);
    let overridden_by = options.env.get(&variable).filter(|it| !it.is_empty()).map(|_| variable);
    Ok(Changed { before, after, overridden_by })
}

/// Replaces the user's file, after checking the whole configuration with the new text.
///
/// # Errors
/// [`ConfigError`]; then the file is as it was.
pub fn replace(options: &LoadOptions, text: &str) -> Result<(), ConfigError> {
    let path = options.paths.config_file();
    load_with(options, &path, Some(text))?;
    options.paths.ensure_home()?;
    write_atomically(&path, text)?;
    Ok(())
}

/// The text with that value.
///
/// # Errors
/// An unknown key, a value that does not fit, or a place that cannot be changed alone.
pub fn with_value(text: &str, path: &Path, key: &str, value: &str) -> Result<String, ConfigError> {
    let origin = Origin::Flag("config set".into());
    let plain = keys::find(&keys::CONFIG, key).filter(|known| !known.path.contains('[')).cloned();
    let Some(known) = &plain.or_else(|| list_of_texts(key)) else {
        let nearest = keys::nearest_key(&keys::CONFIG, key);
        return Err(ConfigProblem::UnknownKey { at: origin, key: key.to_owned(), nearest }.into());
    };
    let wanted = env::value(known, value, &origin);
    check(known, key, &wanted)?;

    let tree = tree::parse(text, path)?;
    let changed = changed_text(text, &tree, key, &written(known, value));

    // Trust is good; reading it again is better.
    let mut expected = tree;
    expected.put(key, wanted);
    match tree::parse(&changed, path) {
        Ok(read) if same(&read, &expected) => Ok(changed),
        _ => Err(ConfigProblem::NotEditable { path: path.to_owned(), key: key.to_owned() }.into()),
    }
}

/// The text without that key, and without the sections that were there for it alone.
///
/// # Errors
/// An unknown key, or one that stands among others in one line.
pub fn without_value(text: &str, path: &Path, key: &str) -> Result<String, ConfigError> {
    if keys::find(&keys::CONFIG, key).is_none() {
        let origin = Origin::Flag("config unset".into());
        let nearest = keys::nearest_key(&keys::CONFIG, key);
        return Err(ConfigProblem::UnknownKey { at: origin, key: key.to_owned(), nearest }.into());
    }
    let tree = tree::parse(text, path)?;
    if tree.at(key).is_none() {
        return Ok(text.to_owned());
    }
    let refused = || ConfigProblem::NotEditable { path: path.to_owned(), key: key.to_owned() };
    let mut expected = tree.clone();
    let parts: Vec<&str> = key.split('.').collect();
    // A section that would be left empty goes with it.
    let depth = (1..parts.len())
        .find(|depth| {
            tree.at(&parts[..*depth].join(".")).is_some_and(|section| is_only(section, &parts[*depth..]))
        })
        .unwrap_or(parts.len());
    let gone = parts[..depth].join(".");
    expected.remove(&gone);
    let node = tree.at(&gone).ok_or_else(refused)?;
    let changed = without_lines(text, node, parts[depth - 1]).ok_or_else(refused)?;
    match tree::parse(&changed, path) {
        Ok(read) if same(&read, &expected) => Ok(changed),
        _ => Err(refused().into()),
    }
}

/// Whether a section holds nothing but that path.
fn is_only(section: &Node, rest: &[&str]) -> bool {
    match (&section.value, rest.split_first()) {
        (Value::Map(entries), Some((first, rest))) => {
            matches!(entries.as_slice(), [(name, below)] if name == first && (rest.is_empty() || is_only(below, rest)))
        }
        _ => false,
    }
}

/// The text without the lines of a key: its own, and those below it that belong to its value.
fn without_lines(text: &str, node: &Node, name: &str) -> Option<String> {
    let (start, line) = line_of(text, node)?;
    let indent = line.len() - line.trim_start().len();
    if !line[indent..].starts_with(&format!("{name}:")) {
        return None;
    }
    let (mut end, mut seen) = (start, start);
    for (number, whole) in text[start..].split_inclusive('\n').enumerate() {
        let bare = whole.trim_end();
        let inner = bare.len() - bare.trim_start().len();
        // The items of a list may stand as far in as its key.
        let belongs = number == 0 || inner > indent || (inner == indent && bare[inner..].starts_with("- "));
        seen += whole.len();
        // Empty lines go only when more of the value follows them.
        match bare.is_empty() {
            true => {}
            false if belongs => end = seen,
            false => break,
        }
    }
    Some(format!("{}{}", &text[..start], &text[end..]))
}

/// A list whose items may be texts, such as the models of a provider, as a list of texts.
fn list_of_texts(key: &str) -> Option<Key> {
    let item = keys::find(&keys::CONFIG, &format!("{key}.[]"))?;
    Some(Key { form: Form::List, ..item.clone() })
}

fn check(known: &Key, key: &str, node: &Node) -> Result<(), ConfigProblem> {
    let texts: Vec<&str> = match &node.value {
        Value::List(items) => items.iter().filter_map(Node::text).collect(),
        _ => node.text().into_iter().collect(),
    };
    for text in texts.into_iter().filter(|text| !text.contains("${") && !text.starts_with("~/")) {
        (known.check)(text).map_err(|why| ConfigProblem::Invalid {
            at: node.origin.clone(),
            key: key.to_owned(),
            why,
        })?;
    }
    Ok(())
}

/// The value as YAML.
fn written(known: &Key, value: &str) -> String {
    if known.is_list() {
        let items: Vec<String> =
            value.split(',').map(str::trim).filter(|it| !it.is_empty()).map(quoted).collect();
        return format!("[{}]", items.join(", "));
    }
    quoted(value)
}

/// Plain where that is safe anywhere in YAML, quoted otherwise.
fn quoted(text: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "-_./+".contains(c);
    let plain = !text.is_empty() && text.chars().all(safe) && !text.starts_with('-');
    if plain {
        return text.to_owned();
    }
    serde_json::to_string(text).unwrap_or_else(|_| format!("\"{text}\""))
}

fn changed_text(text: &str, tree: &Node, key: &str, value: &str) -> String {
    // Replace a value that stands there.
    if let Some((from, to)) = tree.at(key).and_then(|node| node.place.filter(|_| node.text().is_some())) {
        return format!("{}{value}{}", &text[..from], &text[to..]);
    }
    let parts: Vec<&str> = key.split('.').collect();
    if tree.at(key).is_some()
        && let Some(changed) = replaced_rest_of_line(text, tree, key, value)
    {
        return changed;
    }
    // The deepest section on the way that is there takes the rest as new lines.
    let section = (1..parts.len())
        .rev()
        .find_map(|depth| Some((depth, first_of(tree.at(&parts[..depth].join("."))?)?)));
    match section {
        Some((depth, first)) => insert_into(text, first, &parts[depth..], value),
        None => appended(text, &parts, value),
    }
}

/// The first key of a section that has any.
fn first_of(node: &Node) -> Option<&(String, Node)> {
    match &node.value {
        Value::Map(entries) => entries.first(),
        _ => None,
    }
}

/// For a value without a place of its own (a list, or nothing): what stands behind the key on its line.
fn replaced_rest_of_line(text: &str, tree: &Node, key: &str, value: &str) -> Option<String> {
    let node = tree.at(key)?;
    let name = key.rsplit('.').next()?;
    let (start, line) = line_of(text, node)?;
    let at = line.find(&format!("{name}:"))? + name.len() + 1;
    let rest = &line[at..];
    let end = match &node.value {
        Value::List(_) => rest.find(']')? + 1,
        Value::Empty => rest.find('#').unwrap_or(rest.len()),
        _ => return None,
    };
    let gap = if rest[end..].starts_with('#') { " " } else { "" };
    Some(format!("{} {value}{gap}{}", &text[..start + at], &text[start + at + end..]))
}

/// New lines in front of the first key of a section, indented as that one is; or inside its braces.
fn insert_into(text: &str, (name, first): &(String, Node), rest: &[&str], value: &str) -> String {
    let Some((start, line)) = line_of(text, first) else { return text.to_owned() };
    let indent = line.len() - line.trim_start().len();
    if line.trim_start().starts_with(name) {
        let lines = nested(rest, value, indent);
        return format!("{}{lines}{}", &text[..start], &text[start..]);
    }
    match line.find('{') {
        Some(brace) if rest.len() == 1 => {
            let at = start + brace + 1;
            format!("{}{}: {value}, {}", &text[..at], rest[0], text[at..].trim_start_matches(' '))
        }
        _ => text.to_owned(),
    }
}

/// New lines at the end of the file.
fn appended(text: &str, parts: &[&str], value: &str) -> String {
    let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    format!("{text}{gap}{}", nested(parts, value, 0))
}

/// `a: ↵ b: value` for `a.b`.
fn nested(parts: &[&str], value: &str, indent: usize) -> String {
    let mut lines = String::new();
    for (depth, part) in parts.iter().enumerate() {
        let is_last = depth + 1 == parts.len();
        let spaces = " ".repeat(indent + 2 * depth);
        let end = if is_last { format!(" {value}") } else { String::new() };
        lines.push_str(&format!("{spaces}{part}:{end}\n"));
    }
    lines
}

/// Where the line of a node begins, and the line.
fn line_of<'a>(text: &'a str, node: &Node) -> Option<(usize, &'a str)> {
    let Origin::File { line, .. } = &node.origin else { return None };
    let wanted = usize::try_from(*line).ok()?.checked_sub(1)?;
    let mut start = 0;
    for (n, line) in text.split_inclusive('\n').enumerate() {
        if n == wanted {
            return Some((start, line.trim_end_matches(['\n', '\r'])));
        }
        start += line.len();
    }
    None
}

/// Whether two trees say the same, wherever they say it. Order counts for lists only.
fn same(one: &Node, two: &Node) -> bool {
    match (&one.value, &two.value) {
        (Value::Map(one), Value::Map(two)) => {
            one.len() == two.len()
                && one.iter().all(|(name, node)| {
                    two.iter().find(|(other, _)| other == name).is_some_and(|(_, other)| same(node, other))
                })
        }
        (Value::List(one), Value::List(two)) => {
            one.len() == two.len() && one.iter().zip(two).all(|(one, two)| same(one, two))
        }
        (one, two) => one == two,
    }
}

/// Whoever reads the file sees the old text or the new one, also when we die in between.
fn write_atomically(path: &Path, text: &str) -> Result<(), ConfigProblem> {
    let refuse =
        |error: std::io::Error| ConfigProblem::Unreadable { path: path.to_owned(), why: error.to_string() };
    // A link (dotfiles are often kept elsewhere) stays a link.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    // It may hold keys now, wherever a link leads.
    let mode = fs::metadata(&target).map_or(0o600, |found| found.mode() & 0o700);
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temporary = target.with_file_name(name);
    let _ = fs::remove_file(&temporary);
    let mut file =
        fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary).map_err(refuse)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.and_then(|()| fs::rename(&temporary, &target)).map_err(|error| {
        let _ = fs::remove_file(&temporary);
        refuse(error)
    })
}
