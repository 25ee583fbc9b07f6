//! Reading JSON that strangers send: every field may be missing or of another type, numbers may be texts, texts may
//! be endless. Whoever reads it gets what fits, cut, or nothing; never an error.

use serde_json::Value;

use crate::visible;

/// A text at a JSON pointer; a number or a truth value is one as well. Nothing for what is empty.
#[must_use]
pub fn text(value: &Value, pointer: &str, longest: usize) -> Option<String> {
    let found = match value.pointer(pointer)? {
        Value::String(text) => cut(text.trim(), longest),
        Value::Number(number) => cut(&number.to_string(), longest),
        Value::Bool(truth) => truth.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    (!found.is_empty()).then_some(found)
}

/// The first of several places that holds a text.
#[must_use]
pub fn first_text(value: &Value, pointers: &[&str], longest: usize) -> Option<String> {
    pointers.iter().find_map(|pointer| text(value, pointer, longest))
}

/// A whole number of 0 or more, written as a number or as a text.
#[must_use]
pub fn number(value: &Value, pointer: &str) -> Option<u64> {
    match value.pointer(pointer)? {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// The items of a list; none where there is no list.
#[must_use]
pub fn items<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A text that stands for a thing in an address or a key of ours: letters, digits and `. _ -`, nothing else.
#[must_use]
pub fn slug(value: &Value, pointer: &str) -> Option<String> {
    text(value, pointer, 200).filter(|text| is_slug(text))
}

/// Whether a text is one that [`slug`] lets through.
#[must_use]
pub fn is_slug(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    (1..=100).contains(&text.len()) && text.bytes().all(plain) && text.bytes().any(|b| b != b'.')
}

/// One line for lists: nothing invisible, no control characters.
#[must_use]
pub fn line(text: &str, longest: usize) -> String {
    // What is invisible is written out, which makes it longer.
    cut(visible::line(&cut(text, longest)).trim(), longest)
}

/// The beginning of a text, with `…` when something is missing.
#[must_use]
pub fn cut(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        None => text.to_owned(),
        Some(_) => {
            let mut kept: String = text.chars().take(longest.saturating_sub(1)).collect();
            kept.push('…');
            kept
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_does_not_fit_is_nothing_and_numbers_may_be_texts() {
        let value = json!({"a": {"id": 17, "text": "  x ", "none": null, "list": [1, 2], "count": "12", "wild": 1.5e300}});
        assert_eq!(text(&value, "/a/id", 10).as_deref(), Some("17"));
        assert_eq!(text(&value, "/a/text", 10).as_deref(), Some("x"));
        assert_eq!(text(&value, "/a/none", 10), None);
        assert_eq!(text(&value, "/a/list", 10), None);
        assert_eq!(text(&value, "/a/b/c", 10), None);
        assert_eq!(number(&value, "/a/count"), Some(12));
        assert_eq!(number(&value, "/a/wild"), None);
        assert_eq!(items(&value, "/a/list").len(), 2);
        assert!(items(&value, "/a/text").is_empty());
        assert_eq!(first_text(&value, &["/a/none", "/a/id"], 10).as_deref(), Some("17"));
    }

    #[test]
    fn texts_are_cut_between_letters() {
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(cut("äöüß", 3), "äö…");
        assert_eq!(line("a\u{202e}b\nc", 40), "a\\u{202e}b c");
        assert_eq!(line(&"\u{200b}".repeat(100), 10).chars().count(), 10);
    }

    #[test]
    fn what_goes_into_an_address_is_plain() {
        for good in ["shop", "my-org", "a.b_c", "1234"] {
            assert_eq!(slug(&json!(good), "").as_deref(), Some(good));
        }
        for bad in ["", "..", ".", "a/b", "a b", "a?b", "ä", "#1", "%2e"] {
            assert_eq!(slug(&json!(bad), ""), None, "{bad}");
        }
    }
}
