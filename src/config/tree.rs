//! YAML as a tree of texts that remember where they were written.
//!
//! Every scalar stays the text of the file, so that a key of digits is not turned
//! into a number on its way. What a text means is decided by the key it belongs to.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use super::error::ConfigProblem;

/// Configuration files are small; a larger one is not a configuration file.
const MOST_BYTES: usize = 1 << 20;

/// Where a value was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// By mimir itself.
    BuiltIn,
    /// In a file.
    File {
        /// Which.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
    },
    /// By an environment variable.
    Env(String),
    /// By a flag of the command line.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("built in"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Env(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// A value and where it was set.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where it was set.
    pub origin: Origin,
    /// Bytes of the file: from and to. Only of scalars in a file, for edits.
    pub(super) place: Option<(usize, usize)>,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Written, but left empty.
    Empty,
    /// A text, a number, yes or no: as it was written.
    Scalar(String),
    /// A list.
    List(Vec<Node>),
    /// Keys and values in the order of the file.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// A text that was set in one piece.
    #[must_use]
    pub fn scalar(text: impl Into<String>, origin: Origin) -> Self {
        Self { value: Value::Scalar(text.into()), origin, place: None }
    }

    /// A section with nothing in it.
    #[must_use]
    pub fn section(origin: Origin) -> Self {
        Self { value: Value::Map(Vec::new()), origin, place: None }
    }

    /// The value of a key of this section.
    #[must_use]
    pub fn child(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, node)| node),
            _ => None,
        }
    }

    /// The value of a dotted key.
    #[must_use]
    pub fn at(&self, path: &str) -> Option<&Self> {
        path.split('.').try_fold(self, |node, key| node.child(key))
    }

    /// The text, if it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(text) => Some(text),
            _ => None,
        }
    }

    /// Sets a dotted key, making the sections on the way.
    pub(super) fn put(&mut self, path: &str, node: Self) {
        let (key, rest) = path.split_once('.').map_or((path, None), |(key, rest)| (key, Some(rest)));
        if !matches!(self.value, Value::Map(_)) {
            self.value = Value::Map(Vec::new());
        }
        let Value::Map(entries) = &mut self.value else { return };
        let at = entries.iter().position(|(name, _)| name == key).unwrap_or_else(|| {
            entries.push((key.to_owned(), Self::section(node.origin.clone())));
            entries.len() - 1
        });
        match rest {
            Some(rest) => entries[at].1.put(rest, node),
            None => entries[at].1 = node,
        }
    }

    /// Takes a dotted key out.
    pub(super) fn remove(&mut self, path: &str) {
        let Value::Map(entries) = &mut self.value else { return };
        match path.split_once('.') {
            None => entries.retain(|(name, _)| name != path),
            Some((key, rest)) => {
                entries.iter_mut().filter(|(name, _)| name == key).for_each(|(_, below)| below.remove(rest));
            }
        }
    }

    /// Lays `above` over this: sections merge, everything else is replaced, what is left empty changes nothing.
    pub(super) fn merge(&mut self, above: Self) {
        match (&mut self.value, above.value) {
            (_, Value::Empty) => {}
            (Value::Map(below), Value::Map(entries)) => {
                for (key, node) in entries {
                    match below.iter_mut().find(|(name, _)| *name == key) {
                        Some((_, existing)) => existing.merge(node),
                        None => below.push((key, node)),
                    }
                }
            }
            (_, value) => *self = Self { value, origin: above.origin, place: above.place },
        }
    }
}

/// Reads YAML. An empty file is an empty section.
///
/// # Errors
/// [`ConfigProblem::Syntax`] with file and line.
pub fn parse(text: &str, path: &Path) -> Result<Node, ConfigProblem> {
    parse_with(text, &|line| Origin::File { path: path.to_owned(), line })
}

/// Reads the built-in YAML.
pub(super) fn parse_built_in(text: &str) -> Result<Node, ConfigProblem> {
    parse_with(text, &|_| Origin::BuiltIn)
}

fn parse_with(text: &str, origin: &dyn Fn(u64) -> Origin) -> Result<Node, ConfigProblem> {
    let refuse = |line, why: &str| ConfigProblem::Syntax { at: origin(line), why: why.to_owned() };
    if text.len() > MOST_BYTES {
        return Err(refuse(1, "the file is larger than 1 MiB"));
    }
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    let raw: Spanned<Raw> = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let line = error.location().map_or(1, |location| location.line());
        refuse(line, &in_our_words(&error.to_string()))
    })?;
    let node = located(raw, text, origin);
    match node.value {
        Value::Map(_) => Ok(node),
        Value::Empty => Ok(Node { value: Value::Map(Vec::new()), ..node }),
        _ => Err(refuse(1, "expected keys and values")),
    }
}

/// What the parser says, as people say it.
fn in_our_words(said: &str) -> String {
    let said = said.split(" at line ").next().unwrap_or(said);
    let known: &[(&str, &str)] = &[
        ("unclosed bracket", "a bracket is opened and never closed"),
        ("unclosed quote", "a quote is opened and never closed"),
        ("multiline quoted", "a quote is opened and never closed"),
        ("mapping values are not allowed", "a value holds `: `: put it in quotes"),
        ("tabs", "YAML is indented with spaces, and there is a tab"),
        (
            "flow mapping",
            "a `{` is never closed, a comma is missing in it, or a `${NAME}` in it needs quotes",
        ),
        ("flow sequence", "a `[` is never closed, or a comma is missing in it"),
        ("block mapping", "the indentation does not fit the lines above"),
        ("indent", "the indentation does not fit the lines above"),
        ("unknown anchor", "`*` begins a reference to an anchor that is not there: put the value in quotes"),
        (
            "unexpected character",
            "a value begins with a character that means something in YAML: put it in quotes",
        ),
    ];
    let name = |rest: &str| rest.split([',', ' ']).next().unwrap_or_default().to_owned();
    if let Some((_, rest)) = said.split_once("duplicate mapping key: ") {
        return format!("`{}` is there twice", name(rest));
    }
    match known.iter().find(|(piece, _)| said.contains(piece)) {
        Some((_, ours)) => (*ours).to_owned(),
        None if said.contains("is there twice") => said.to_owned(),
        None => format!("this is no YAML that can be read ({said})"),
    }
}

fn located(raw: Spanned<Raw>, text: &str, origin: &dyn Fn(u64) -> Origin) -> Node {
    let span = raw.referenced.span();
    let place = span
        .byte_offset()
        .zip(span.byte_len())
        .and_then(|(from, length)| Some((usize::try_from(from).ok()?, usize::try_from(length).ok()?)))
        .map(|(from, length)| (from, from + length))
        .filter(|(from, to)| text.get(*from..*to).is_some());
    let value = match raw.value {
        Raw::Empty => Value::Empty,
        Raw::Text(text) => Value::Scalar(text),
        // Not what the parser made of it, but what is written: a key may look like a number.
        Raw::Plain(parsed) => Value::Scalar(
            place
                .and_then(|(from, to)| text.get(from..to))
                .map_or(parsed, |written| written.trim().to_owned()),
        ),
        Raw::List(items) => Value::List(items.into_iter().map(|item| located(item, text, origin)).collect()),
        Raw::Map(entries) => Value::Map(
            entries
                .into_iter()
                .map(|(key, value)| {
                    let line = key.referenced.line();
                    let mut node = located(value, text, origin);
                    // The key's line: it is where people look, also for a block that begins below it.
                    node.origin = origin(line);
                    (key.value, node)
                })
                .collect(),
        ),
    };
    Node { value, origin: origin(raw.referenced.line()), place }
}

/// YAML as the parser gives it.
enum Raw {
    Empty,
    Text(String),
    Plain(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyValue;
        impl<'de> Visitor<'de> for AnyValue {
            type Value = Raw;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }
            fn visit_unit<E>(self) -> Result<Raw, E> {
                Ok(Raw::Empty)
            }
            fn visit_none<E>(self) -> Result<Raw, E> {
                Ok(Raw::Empty)
            }
            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
                Raw::deserialize(deserializer)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
                Ok(Raw::Plain(value.to_string()))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
                Ok(Raw::Plain(value.to_string()))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
                Ok(Raw::Plain(value.to_string()))
            }
            fn visit_i128<E>(self, value: i128) -> Result<Raw, E> {
                Ok(Raw::Plain(value.to_string()))
            }
            fn visit_u128<E>(self, value: u128) -> Result<Raw, E> {
                Ok(Raw::Plain(value.to_string()))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
                Ok(Raw::Plain(value.to_string()))
            }
            fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
                Ok(Raw::Text(value.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = access.next_element()? {
                    items.push(item);
                }
                Ok(Raw::List(items))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
                let mut entries: Vec<(Spanned<String>, Spanned<Raw>)> = Vec::new();
                while let Some(key) = access.next_key::<Spanned<String>>()? {
                    if entries.iter().any(|(known, _)| known.value == key.value) {
                        return Err(serde::de::Error::custom(format!("`{}` is there twice", key.value)));
                    }
                    entries.push((key, access.next_value()?));
                }
                Ok(Raw::Map(entries))
            }
        }
        deserializer.deserialize_any(AnyValue)
    }
}
