//! What a forge says, read as a stranger's word: a field may be missing, null, a number or a text, and long.

use jiff::Timestamp;
use serde_json::Value;

/// The longest text that is taken; forges have limits of their own that are lower.
const LONGEST: usize = 256 * 1024;

/// A place in an answer; nothing may be there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Json<'a>(Option<&'a Value>);

impl<'a> Json<'a> {
    /// A whole answer.
    pub(super) fn of(value: &'a Value) -> Self {
        Self(Some(value))
    }

    /// What stands below, as a JSON pointer says it: `/head/sha`.
    pub(super) fn at(self, pointer: &str) -> Self {
        Self(self.0.and_then(|value| value.pointer(pointer)).filter(|value| !value.is_null()))
    }

    pub(super) fn is_there(self) -> bool {
        self.0.is_some()
    }

    /// The text, or a number as one; empty when it is something else.
    pub(super) fn text(self) -> String {
        match self.0 {
            Some(Value::String(text)) => cut(text, LONGEST).to_owned(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        }
    }

    /// The same, when it is not empty.
    pub(super) fn some_text(self) -> Option<String> {
        Some(self.text()).filter(|text| !text.is_empty())
    }

    /// A whole number, or a text that is one.
    pub(super) fn number(self) -> Option<u64> {
        match self.0 {
            Some(Value::Number(number)) => number.as_u64(),
            Some(Value::String(text)) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// Yes or no, when it is either.
    pub(super) fn yes_or_no(self) -> Option<bool> {
        match self.0 {
            Some(Value::Bool(yes)) => Some(*yes),
            Some(Value::String(text)) => text.parse().ok(),
            _ => None,
        }
    }

    /// Whether it is a yes.
    pub(super) fn is_yes(self) -> bool {
        self.yes_or_no() == Some(true)
    }

    /// A time, in UTC milliseconds.
    pub(super) fn time(self) -> Option<u64> {
        time(&self.text())
    }

    /// The items of a list.
    pub(super) fn items(self) -> impl Iterator<Item = Json<'a>> {
        self.0.and_then(Value::as_array).into_iter().flatten().map(Json::of)
    }
}

/// A time as forges write it (`2026-11-21T11:49:16Z`, `2026-12-31 00:00:00 UTC`), in UTC milliseconds.
pub(super) fn time(text: &str) -> Option<u64> {
    let text = text.trim().replace(" UTC", "Z").replace(" +", "+").replace(" -", "-");
    let time: Timestamp = text.parse().ok()?;
    u64::try_from(time.as_millisecond()).ok()
}

/// The beginning of a text, of whole letters.
pub(super) fn cut(text: &str, most: usize) -> &str {
    if text.len() <= most {
        return text;
    }
    let mut end = most;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_field_may_be_anything() {
        let value =
            json!({"a": "7", "b": 7, "c": null, "d": {"e": [1, "2"]}, "f": -1, "g": "x", "h": "true"});
        let value = Json::of(&value);
        assert_eq!((value.at("/a").number(), value.at("/b").number()), (Some(7), Some(7)));
        assert_eq!((value.at("/a").text(), value.at("/b").text()), ("7".to_owned(), "7".to_owned()));
        assert_eq!(
            (value.at("/f").number(), value.at("/g").number(), value.at("/c").number()),
            (None, None, None)
        );
        assert!(!value.at("/c").is_there() && !value.at("/d/x").is_there() && value.at("/d/e").is_there());
        let items: Vec<_> = value.at("/d/e").items().filter_map(Json::number).collect();
        assert_eq!(items, [1, 2]);
        assert_eq!(value.at("/a").items().count(), 0);
        assert!(value.at("/h").is_yes() && !value.at("/a").is_yes());
    }

    #[test]
    fn times_are_read_in_every_way_that_forges_write_them() {
        let noon = Some(1_795_262_400_000);
        for text in [
            "2026-11-21T12:00:00Z",
            "2026-11-21T14:00:00+02:00",
            "2026-11-21 12:00:00 UTC",
            "2026-11-21 13:00:00 +0100",
            "2026-11-21T12:00:00.000Z",
        ] {
            assert_eq!(time(text), noon, "{text}");
        }
        assert_eq!((time(""), time("soon"), time("1969-01-01T00:00:00Z")), (None, None, None));
    }

    #[test]
    fn a_long_text_is_cut_between_letters() {
        assert_eq!((cut("aä", 2), cut("aä", 3), cut("aä", 1)), ("a", "aä", "a"));
    }
}
