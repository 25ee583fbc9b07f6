//! Which headers of a provider's answer a frame gets to see, and what may stand in them. Pure.
//!
//! A closed list: a provider may repeat the key that it was asked with in any header, in its name too.

use hyper::HeaderMap;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, TRANSFER_ENCODING};

use crate::redact::Secrets;

/// Names of the answer, by which a provider's people find it again.
const IDS: &[&str] = &["request-id", "x-request-id"];

/// Numbers, times and spans of time.
const NUMBERS: &[&str] = &[
    "retry-after",
    "retry-after-ms",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
    "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-tokens",
    "anthropic-ratelimit-requests-limit",
    "anthropic-ratelimit-requests-remaining",
    "anthropic-ratelimit-requests-reset",
    "anthropic-ratelimit-tokens-limit",
    "anthropic-ratelimit-tokens-remaining",
    "anthropic-ratelimit-tokens-reset",
    "anthropic-ratelimit-input-tokens-limit",
    "anthropic-ratelimit-input-tokens-remaining",
    "anthropic-ratelimit-input-tokens-reset",
    "anthropic-ratelimit-output-tokens-limit",
    "anthropic-ratelimit-output-tokens-remaining",
    "anthropic-ratelimit-output-tokens-reset",
];

/// What goes on to the frame, and whether a secret was in it.
pub(super) fn pass_on(headers: &HeaderMap, secrets: &Secrets) -> (HeaderMap, bool) {
    let mut passed = HeaderMap::new();
    let mut hit = false;
    let mut take = |name: &'static str, fits: fn(&str) -> bool| {
        // The first of several: two halves of a key may stand in two.
        let Some(text) = headers.get(name).and_then(|value| value.to_str().ok()) else { return };
        let clean = secrets.out_of(text);
        let is_hit = clean != text;
        hit |= is_hit;
        if let (true, Ok(value)) = (is_hit || fits(text), HeaderValue::try_from(clean)) {
            passed.insert(HeaderName::from_static(name), value);
        }
    };
    take(CONTENT_TYPE_NAME, is_media_type);
    IDS.iter().for_each(|name| take(name, is_id));
    NUMBERS.iter().for_each(|name| take(name, is_number));
    if passed.get(CONTENT_TYPE).is_some_and(|value| value.to_str().map_or(true, |text| !is_media_type(text)))
    {
        passed.remove(CONTENT_TYPE);
    }
    (passed, hit)
}

const CONTENT_TYPE_NAME: &str = "content-type";

/// Whether a body is written in a way in which nothing would be found.
pub(super) fn is_encoded(headers: &HeaderMap) -> bool {
    let words = |name: HeaderName| {
        let values = headers.get_all(name).into_iter();
        values.flat_map(|value| {
            let text = value.to_str().unwrap_or("unreadable").to_ascii_lowercase();
            text.split(',').map(|word| word.trim().to_owned()).collect::<Vec<_>>()
        })
    };
    words(CONTENT_ENCODING).any(|word| !matches!(word.as_str(), "" | "identity"))
        || words(TRANSFER_ENCODING).any(|word| !matches!(word.as_str(), "" | "identity" | "chunked"))
}

/// `type/subtype`, perhaps with a character set.
fn is_media_type(text: &str) -> bool {
    let (essence, more) = text.split_once(';').map_or((text, ""), |(essence, more)| (essence, more.trim()));
    let plain = |word: &str| {
        (1..=60).contains(&word.len())
            && word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.'))
    };
    let named = essence.trim().split_once('/').is_some_and(|(kind, of)| plain(kind) && plain(of));
    let charset = more.to_ascii_lowercase();
    named
        && (more.is_empty()
            || charset.strip_prefix("charset=").is_some_and(|set| plain(set.trim_matches('"'))))
}

fn is_id(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':'))
}

/// A number, a span (`6m0s`) or a time (RFC 3339, HTTP): no word is longer than three letters.
fn is_number(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.' | b':' | b',' | b' ');
    let longest = text.split(|c: char| !c.is_ascii_alphabetic()).map(str::len).max().unwrap_or(0);
    (1..=40).contains(&text.len())
        && longest <= 3
        && text.bytes().all(plain)
        && text.bytes().any(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::secret::Secret;

    fn passed(name: &'static str, value: &str) -> (Option<String>, bool) {
        let headers = HeaderMap::from_iter([(
            HeaderName::from_static(name),
            HeaderValue::from_str(value).expect("a value"),
        )]);
        let (passed, hit) = pass_on(&headers, &Secrets::new(&[Secret::new("sk-canary-5e1f")]));
        (passed.get(name).map(|value| value.to_str().expect("text").to_owned()), hit)
    }

    #[test]
    fn known_headers_pass_with_what_belongs_into_them() {
        for (name, value) in [
            ("content-type", "text/event-stream"),
            ("content-type", "application/json; charset=utf-8"),
            ("request-id", "req_011CQxyz"),
            ("x-request-id", "5f1c6e2a-0d3b-4a7e-9d57-1f0c1a2b3c4d"),
            ("retry-after", "2"),
            ("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT"),
            ("x-ratelimit-reset-tokens", "6m0s"),
            ("anthropic-ratelimit-tokens-reset", "2026-01-27T12:00:00Z"),
        ] {
            assert_eq!(passed(name, value), (Some(value.to_owned()), false), "{name}: {value}");
        }
    }

    #[test]
    fn others_do_not_and_no_key_is_in_any() {
        for (name, value) in [
            ("set-cookie", "a=b"),
            ("x-ratelimit-of-a-name-of-its-own", "1"),
            ("x-ratelimit-limit", "unlimited"),
            ("content-type", "text/plain; boundary=abc"),
            ("request-id", "a b"),
        ] {
            assert_eq!(passed(name, value), (None, false), "{name}: {value}");
        }
        for (name, value, left) in [
            ("request-id", "req-sk-canary-5e1f", Some("req-[redacted]")),
            ("x-request-id", "c2stY2FuYXJ5LTVlMWY=", Some("[redacted]=")),
            ("retry-after", "sk%2Dcanary-5e1f", Some("[redacted]")),
            ("content-type", "text/sk-canary-5e1f", None),
        ] {
            let (found, hit) = passed(name, value);
            assert!(hit, "{name}: {value}");
            assert!(!format!("{found:?}").contains("canary"), "{found:?}");
            if let Some(left) = left {
                assert!(
                    found.as_deref().is_some_and(|found| found.starts_with("[redacted]") || found == left),
                    "{found:?}"
                );
            } else {
                assert_eq!(found, None);
            }
        }
    }

    #[test]
    fn a_body_that_is_packed_is_known_by_its_headers() {
        let with = |name: HeaderName, value: &str| {
            is_encoded(&HeaderMap::from_iter([(name, HeaderValue::from_str(value).expect("a value"))]))
        };
        for packed in ["gzip", "br", "deflate", "identity, zstd", "GZIP"] {
            assert!(with(CONTENT_ENCODING, packed), "{packed}");
        }
        assert!(with(TRANSFER_ENCODING, "gzip, chunked"));
        assert!(!with(CONTENT_ENCODING, "identity") && !with(TRANSFER_ENCODING, "chunked"));
        assert!(!is_encoded(&HeaderMap::new()));
    }
}
