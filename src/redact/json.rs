//! Secrets out of JSON, which stays JSON.

use bytes::Bytes;
use serde_json::Value;

use super::Secrets;

/// A document without secrets; itself when there are none in it. What is no JSON is cleaned as text.
#[must_use]
pub fn clean_document(document: Bytes, secrets: &Secrets) -> Bytes {
    if secrets.is_empty() || !secrets.are_in(&document) {
        return document;
    }
    match serde_json::from_slice::<Value>(&document) {
        Ok(mut value) => {
            clean_value(&mut value, secrets);
            serde_json::to_vec(&value).map_or_else(|_| Bytes::new(), Bytes::from)
        }
        Err(_) => secrets.out_of_bytes(&document).into(),
    }
}

/// Takes secrets out of all texts of a value, names of fields included.
pub fn clean_value(value: &mut Value, secrets: &Secrets) {
    match value {
        Value::String(text) => {
            if secrets.are_in(text.as_bytes()) {
                *text = secrets.out_of(text);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| clean_value(item, secrets)),
        Value::Object(fields) => {
            let unclean: Vec<String> =
                fields.keys().filter(|name| secrets.are_in(name.as_bytes())).cloned().collect();
            for name in unclean {
                if let Some(field) = fields.remove(&name) {
                    fields.insert(secrets.out_of(&name), field);
                }
            }
            fields.values_mut().for_each(|field| clean_value(field, secrets));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::secret::Secret;
    use serde_json::json;

    #[test]
    fn a_document_stays_one_whatever_the_secret_is() {
        for secret in ["sk-one-1234", "a\"b\\c/d,\"e\":1", "two\nlines\tand a tab", "\\\\u0022\\\\x"] {
            let secrets = Secrets::new(&[Secret::new(secret)]);
            let document = json!({"a": [secret, {"b": format!("x {secret} y"), "n": 1}], secret: null});
            let bytes = Bytes::from(document.to_string());
            let clean: Value = serde_json::from_slice(&clean_document(bytes, &secrets)).expect("JSON");
            let wanted = json!({"a": ["[redacted]", {"b": "x [redacted] y", "n": 1}], "[redacted]": null});
            assert_eq!(clean, wanted, "{secret}");
        }
    }

    #[test]
    fn what_has_none_is_the_same_and_what_is_no_json_is_text() {
        let secrets = Secrets::new(&[Secret::new("sk-one-1234")]);
        let plain = Bytes::from_static(b"{ \"a\" : 1.50 }");
        assert_eq!(clean_document(plain.clone(), &secrets), plain);
        assert_eq!(
            &clean_document(Bytes::from_static(b"bad: sk-one-1234!"), &secrets)[..],
            b"bad: [redacted]!"
        );
    }
}
