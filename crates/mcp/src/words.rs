//! Texts of others (agents, models, files, strangers) in results: nothing in them is invisible, and each is marked.

use std::borrow::Cow;

use mimir_model::visible;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;

/// By this a schema says that a text is of others; [`crate::schema`] makes words of it.
pub const MARK: &str = "words-of-others";

/// A text that comes from inside a frame, or from a stranger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Words(String);

impl Words {
    /// One line of at most so many characters.
    pub fn line(text: &str, most: usize) -> Self {
        Self(cut(&visible::line(text), most))
    }

    /// Prose of at most so many characters.
    pub fn prose(text: &str, most: usize) -> Self {
        Self(cut(&visible::prose(text), most))
    }

    /// What somebody decides upon, whole: every character that does something unseen is written out.
    pub fn exact(text: &str) -> Self {
        Self(visible::exact(text))
    }

    /// The beginning of what somebody decides upon, of at most so many characters.
    pub fn beginning(text: &str, most: usize) -> Self {
        Self(cut(&visible::exact(text), most))
    }

    /// As text.
    #[cfg(test)]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl JsonSchema for Words {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Words".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let mut schema = Schema::default();
        schema.insert("type".to_owned(), "string".into());
        schema.insert("format".to_owned(), MARK.into());
        schema
    }
}

/// The first `most` characters, and how many are missing.
pub fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((end, _)) => {
            let rest = text[end..].chars().count();
            format!("{} … ({rest} more characters)", &text[..end])
        }
    }
}

/// A moment as RFC 3339 writes it.
pub fn time(at_ms: u64) -> String {
    let at = i64::try_from(at_ms).ok().and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
    at.unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_them_is_invisible() {
        assert_eq!(Words::line("a\x1b[2J\nb\u{202e}c", 80).as_str(), "a [2J b\\u{202e}c");
        assert_eq!(Words::prose("a\x1b[2J\nb", 80).as_str(), "a[2J\nb");
        assert_eq!(Words::exact("rm\r-rf \u{200b}").as_str(), "rm\\u{d}-rf \\u{200b}");
    }

    #[test]
    fn a_long_text_says_how_much_is_missing() {
        assert_eq!(Words::line("äöüß", 2).as_str(), "äö … (2 more characters)");
        assert_eq!(Words::line("äö", 2).as_str(), "äö");
        assert_eq!(Words::beginning("a\u{202e}", 4).as_str(), "a\\u{ … (5 more characters)");
    }

    #[test]
    fn moments_are_told_in_utc() {
        assert_eq!(time(0), "1970-01-01T00:00:00Z");
        assert_eq!(time(1_764_525_901_000), "2025-11-30T18:05:01Z");
    }
}
