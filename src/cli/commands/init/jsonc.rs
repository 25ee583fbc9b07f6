//! JSON with comments and commas too many, as opencode reads it, made plain. Pure.

/// The same without comments and without commas before a closing bracket.
pub fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    let (mut quoted, mut escaped) = (false, false);
    while let Some(c) = chars.next() {
        if quoted {
            quoted = escaped || c != '"';
            escaped = c == '\\' && !escaped;
            plain.push(c);
            continue;
        }
        match (c, chars.peek()) {
            ('/', Some('/')) => while chars.next_if(|c| *c != '\n').is_some() {},
            ('/', Some('*')) => {
                chars.next();
                let mut before = ' ';
                for c in chars.by_ref() {
                    if before == '*' && c == '/' {
                        break;
                    }
                    before = c;
                }
            }
            (']' | '}', _) => {
                let end = plain.trim_end().len();
                if plain[..end].ends_with(',') {
                    plain.truncate(end - 1);
                }
                plain.push(c);
            }
            _ => {
                quoted = c == '"';
                plain.push(c);
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn what_is_in_quotation_marks_stays() {
        let text = "{\"a\": \"http://x/*y*/\\\"//\", // end\n \"b\": [1, /* two */ 2, ], }";
        let value: serde_json::Value = serde_json::from_str(&plain(text)).expect("JSON");
        assert_eq!(value, serde_json::json!({"a": "http://x/*y*/\"//", "b": [1, 2]}));
        assert_eq!(plain("{\"a\": 1}"), "{\"a\": 1}");
        assert_eq!(plain("{ /* never closed"), "{ ");
    }
}
