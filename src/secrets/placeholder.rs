//! Placeholders in the headers of a request: which there are, and what stands in their place. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HeaderValue};

use crate::model::secret::Secret;
use crate::model::secrets::PLACEHOLDER;

/// How many letters follow a placeholder's beginning: 128 random bits.
pub(super) const DIGITS: usize = 32;

/// The placeholders that stand in headers, each with the headers in which it does.
#[must_use]
pub fn in_headers(headers: &HeaderMap) -> BTreeMap<String, BTreeSet<String>> {
    let mut found = BTreeMap::<String, BTreeSet<String>>::new();
    for (name, value) in headers {
        let Ok(text) = value.to_str() else { continue };
        let pair = (name == AUTHORIZATION).then(|| basic(text)).flatten();
        for text in [Some(text), pair.as_deref()].into_iter().flatten() {
            for at in places(text) {
                found.entry(text[at].to_owned()).or_default().insert(name.as_str().to_owned());
            }
        }
    }
    found
}

/// Puts secrets in the place of their placeholders. Says whether every header could hold them.
#[must_use]
pub fn replace(headers: &mut HeaderMap, secrets: &BTreeMap<String, Secret>) -> bool {
    let mut fits = true;
    let is_meant = |text: &str| places(text).into_iter().any(|at| secrets.contains_key(&text[at]));
    for (name, value) in headers.iter_mut() {
        let Ok(text) = value.to_str() else { continue };
        let replaced = match (name == AUTHORIZATION).then(|| basic(text)).flatten() {
            // What a client has packed is packed again.
            Some(pair) if is_meant(&pair) => {
                Secret::new(format!("Basic {}", STANDARD.encode(fill(&pair, secrets).reveal())))
            }
            _ if is_meant(text) => fill(text, secrets),
            _ => continue,
        };
        match HeaderValue::from_str(replaced.reveal()) {
            Ok(mut new) => {
                new.set_sensitive(true);
                *value = new;
            }
            Err(_) => fits = false,
        }
    }
    fits
}

fn fill(text: &str, secrets: &BTreeMap<String, Secret>) -> Secret {
    let (mut filled, mut done) = (String::new(), 0);
    for at in places(text) {
        if let Some(secret) = secrets.get(&text[at.clone()]) {
            filled.push_str(&text[done..at.start]);
            filled.push_str(secret.reveal());
            done = at.end;
        }
    }
    filled.push_str(&text[done..]);
    Secret::new(filled)
}

/// `user:password` of a header that packs them.
fn basic(text: &str) -> Option<String> {
    let (scheme, packed) = text.split_once(' ')?;
    let pair = scheme.eq_ignore_ascii_case("basic").then(|| STANDARD.decode(packed.trim()).ok()).flatten()?;
    String::from_utf8(pair).ok()
}

/// Where placeholders stand in a text. What is found is what is replaced: nothing that only begins like one.
fn places(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (at, begin) in text.match_indices(PLACEHOLDER) {
        let digits = &text.as_bytes()[at + begin.len()..];
        let count = digits.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        if count == DIGITS {
            found.push(at..at + begin.len() + DIGITS);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "mimir-secret-0123456789abcdef0123456789abcdef";
    const TWO: &str = "mimir-secret-ffffffffffffffffffffffffffffffff";

    fn headers(all: &[(&'static str, String)]) -> HeaderMap {
        all.iter()
            .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")))
            .collect()
    }

    fn secrets() -> BTreeMap<String, Secret> {
        BTreeMap::from([(ONE.to_owned(), Secret::new("ghp_one")), (TWO.to_owned(), Secret::new("two:2"))])
    }

    #[test]
    fn placeholders_are_replaced_wherever_they_stand_in_a_header_packed_ones_too() {
        let packed = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        for (name, before, after) in [
            ("authorization", format!("Bearer {ONE}"), "Bearer ghp_one".to_owned()),
            ("authorization", format!("token {TWO}"), "token two:2".to_owned()),
            ("authorization", packed(&format!("me:{ONE}")), packed("me:ghp_one")),
            ("x-api-key", format!("{ONE},{TWO}"), "ghp_one,two:2".to_owned()),
            ("x-plain", "mimir-secret-short".to_owned(), "mimir-secret-short".to_owned()),
            ("x-basic", packed(&format!("me:{ONE}")), packed(&format!("me:{ONE}"))),
        ] {
            let mut headers = headers(&[(name, before.clone())]);
            let found = in_headers(&headers);
            assert!(replace(&mut headers, &secrets()));
            assert_eq!(headers[name], after.as_str());
            assert_eq!(headers[name].is_sensitive(), !found.is_empty(), "{before}");
        }
    }

    #[test]
    fn what_is_found_is_what_is_replaced() {
        let longer = format!("{ONE}0");
        let mut headers = headers(&[
            ("authorization", format!("Bearer {ONE}")),
            ("x-api-key", ONE.to_owned()),
            ("x-amz-meta-note", longer.clone()),
        ]);
        let found = in_headers(&headers);
        assert_eq!(found.keys().collect::<Vec<_>>(), [ONE]);
        assert_eq!(found[ONE].iter().collect::<Vec<_>>(), ["authorization", "x-api-key"]);
        assert!(replace(&mut headers, &secrets()));
        assert_eq!(headers["x-amz-meta-note"], longer.as_str(), "it only begins like one");
        assert_eq!(headers["authorization"], "Bearer ghp_one");
    }

    #[test]
    fn a_secret_that_no_header_can_hold_is_put_into_none() {
        let mut headers = headers(&[("authorization", format!("Bearer {ONE}"))]);
        let lines = BTreeMap::from([(ONE.to_owned(), Secret::new("two\nlines"))]);
        assert!(!replace(&mut headers, &lines));
        assert!(headers["authorization"].to_str().expect("text").contains(ONE));
    }
}
