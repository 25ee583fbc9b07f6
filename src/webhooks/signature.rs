//! Whether something comes from whom it says: over the bytes as they came, before anything reads them.
//!
//! Secrets are compared in constant time, by tags. During a rotation two are good. Without a secret nobody is believed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::headers::Headers;
use crate::model::secret::Secret;
use crate::model::webhook::SenderKind;

/// How much the clock of a sender may differ from ours, in seconds, where its signature covers a time.
const TOLERANCE: u64 = 300;
/// Of a list of signatures so many are looked at.
const SIGNATURES: usize = 16;
/// What secrets of Standard Webhooks begin with.
pub const STANDARD_PREFIX: &str = "whsec_";

/// Why it is not believed. For the log and the owner; the sender is told nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSigned {
    /// Nothing is configured that it could be signed with.
    #[error("there is no secret for it")]
    NoSecret,
    /// It brings no signature, or more than one where there is one.
    #[error("it brings no signature, or several")]
    Missing,
    /// The signature is of another form.
    #[error("its signature is malformed")]
    Malformed,
    /// It was signed too long ago, or in the future: the clocks differ, or somebody sends it again.
    #[error("it says that it was signed more than 5 minutes from now")]
    OtherTime,
    /// Signed with something else.
    #[error("its signature is of another secret or another body")]
    Wrong,
}

/// What a good signature also covers, besides the body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signed {
    /// The id of the message, where the signature covers one.
    pub id: Option<String>,
}

/// Believes it, or says why not.
///
/// # Errors
/// [`NotSigned`].
pub fn verify(
    kind: SenderKind,
    secrets: &[Secret],
    headers: &Headers,
    body: &[u8],
    now_ms: u64,
) -> Result<Signed, NotSigned> {
    if secrets.is_empty() {
        return Err(NotSigned::NoSecret);
    }
    match kind {
        SenderKind::Sentry => {
            let tag = hex_tag(headers.only("sentry-hook-signature").ok_or(NotSigned::Missing)?)?;
            is_tag_of_any(secrets, body, &tag)
        }
        SenderKind::Github => {
            let given = headers.only("x-hub-signature-256").ok_or(NotSigned::Missing)?;
            let tag = hex_tag(given.strip_prefix("sha256=").ok_or(NotSigned::Malformed)?)?;
            is_tag_of_any(secrets, body, &tag)
        }
        SenderKind::Generic => generic(secrets, headers, body, now_ms),
    }
}

/// Exactly as senders write it: 64 lower-case hex digits.
fn hex_tag(text: &str) -> Result<Vec<u8>, NotSigned> {
    let is_tag = text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if !is_tag {
        return Err(NotSigned::Malformed);
    }
    hex::decode(text).map_err(|_| NotSigned::Malformed)
}

fn is_tag_of_any(secrets: &[Secret], signed: &[u8], tag: &[u8]) -> Result<Signed, NotSigned> {
    // Every secret is tried, so that the time tells nothing.
    let fits =
        secrets.iter().fold(false, |fits, secret| is_tag(secret.reveal().as_bytes(), signed, tag) | fits);
    if fits { Ok(Signed::default()) } else { Err(NotSigned::Wrong) }
}

fn is_tag(secret: &[u8], signed: &[u8], tag: &[u8]) -> bool {
    !secret.is_empty() && hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed, tag).is_ok()
}

/// A secret says itself what it is for: `whsec_` is a key of Standard Webhooks, anything else a bearer's.
fn generic(secrets: &[Secret], headers: &Headers, body: &[u8], now_ms: u64) -> Result<Signed, NotSigned> {
    let keys: Vec<Vec<u8>> = secrets.iter().filter_map(|secret| standard_key(secret.reveal())).collect();
    let bearers: Vec<&Secret> =
        secrets.iter().filter(|secret| !secret.reveal().starts_with(STANDARD_PREFIX)).collect();
    if !keys.is_empty() && headers.has("webhook-signature") {
        return standard(&keys, headers, body, now_ms);
    }
    if bearers.is_empty() {
        return Err(NotSigned::Missing);
    }
    let given = headers.only("authorization").ok_or(NotSigned::Missing)?;
    let (scheme, token) = given.split_once(' ').ok_or(NotSigned::Malformed)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(NotSigned::Malformed);
    }
    // Of digests, so that not even the length shows.
    let given = Sha256::digest(token.trim().as_bytes());
    let fits = bearers.iter().fold(false, |fits, secret| {
        let own = Sha256::digest(secret.reveal().as_bytes());
        bool::from(own.as_slice().ct_eq(given.as_slice())) | fits
    });
    if fits { Ok(Signed::default()) } else { Err(NotSigned::Wrong) }
}

/// The bytes behind a secret of Standard Webhooks.
#[must_use]
pub fn standard_key(secret: &str) -> Option<Vec<u8>> {
    let bytes = STANDARD.decode(secret.strip_prefix(STANDARD_PREFIX)?).ok()?;
    (!bytes.is_empty()).then_some(bytes)
}

fn standard(keys: &[Vec<u8>], headers: &Headers, body: &[u8], now_ms: u64) -> Result<Signed, NotSigned> {
    let id = headers.only("webhook-id").ok_or(NotSigned::Missing)?;
    let at = headers.only("webhook-timestamp").ok_or(NotSigned::Missing)?;
    let given = headers.only("webhook-signature").ok_or(NotSigned::Missing)?;
    // What is signed is joined with full stops; an id with one could be read in two ways.
    let is_id = (1..=200).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic() && b != b'.');
    let is_time = (1..=12).contains(&at.len()) && at.bytes().all(|b| b.is_ascii_digit());
    if !is_id || !is_time {
        return Err(NotSigned::Malformed);
    }
    let seconds: u64 = at.parse().map_err(|_| NotSigned::Malformed)?;
    if seconds.abs_diff(now_ms / 1_000) > TOLERANCE {
        return Err(NotSigned::OtherTime);
    }
    let mut signed = format!("{id}.{at}.").into_bytes();
    signed.extend_from_slice(body);
    let tags: Vec<Vec<u8>> = given
        .split_ascii_whitespace()
        .filter_map(|signature| signature.strip_prefix("v1,"))
        .take(SIGNATURES)
        .filter_map(|tag| STANDARD.decode(tag).ok())
        .filter(|tag| tag.len() == 32)
        .collect();
    if tags.is_empty() {
        return Err(NotSigned::Malformed);
    }
    let pairs = keys.iter().flat_map(|key| tags.iter().map(move |tag| (key, tag)));
    let fits = pairs.fold(false, |fits, (key, tag)| is_tag(key, &signed, tag) | fits);
    if fits { Ok(Signed { id: Some(id.to_owned()) }) } else { Err(NotSigned::Wrong) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_614_265_330_000;
    /// The example of the specification.
    const STANDARD_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn headers(pairs: &[(&str, &str)]) -> Headers {
        Headers::new(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    fn tag(secret: &str, body: &[u8]) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        hex::encode(hmac::sign(&key, body).as_ref())
    }

    fn secrets(all: &[&str]) -> Vec<Secret> {
        all.iter().map(|text| Secret::new(*text)).collect()
    }

    #[test]
    fn the_published_example_of_github_is_believed() {
        // docs.github.com, "Validating webhook deliveries".
        let given = [(
            "X-Hub-Signature-256",
            "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
        )];
        let secret = secrets(&["It's a Secret to Everybody"]);
        let of = |body: &[u8]| verify(SenderKind::Github, &secret, &headers(&given), body, NOW);
        assert_eq!(of(b"Hello, World!"), Ok(Signed::default()));
        assert_eq!(of(b"Hello, World!\n"), Err(NotSigned::Wrong));
        assert_eq!(of(b""), Err(NotSigned::Wrong));
    }

    #[test]
    fn the_published_example_of_standard_webhooks_is_believed_for_five_minutes() {
        let body = br#"{"test": 2432232314}"#;
        let given = |signature: &str| {
            headers(&[
                ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
                ("webhook-timestamp", "1614265330"),
                ("webhook-signature", signature),
            ])
        };
        let good = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        let secret = secrets(&[STANDARD_SECRET]);
        let of = |signature: &str, now| verify(SenderKind::Generic, &secret, &given(signature), body, now);
        let id = Signed { id: Some("msg_p5jXN8AQM9LWM0D4loKWxJek".into()) };
        assert_eq!(of(good, NOW), Ok(id.clone()));
        assert_eq!(of(good, NOW + 300_000), Ok(id.clone()));
        assert_eq!(of(good, NOW + 301_000), Err(NotSigned::OtherTime));
        assert_eq!(of(good, NOW - 301_000), Err(NotSigned::OtherTime));
        let several = format!("v1a,b25l v1,{} nonsense {good}", STANDARD.encode([7; 32]));
        assert_eq!(of(&several, NOW), Ok(id), "one of several is enough");
        assert_eq!(of(&format!("v1,{}", STANDARD.encode([7; 32])), NOW), Err(NotSigned::Wrong));
        for malformed in ["", "v1,", "v1,AAAA", "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", "v1,%%%"] {
            assert_eq!(of(malformed, NOW), Err(NotSigned::Malformed), "{malformed}");
        }
    }

    #[test]
    fn what_is_covered_by_a_standard_signature_cannot_be_changed() {
        let sign = |id: &str, at: &str| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, &standard_key(STANDARD_SECRET).expect("a key"));
            format!("v1,{}", STANDARD.encode(hmac::sign(&key, format!("{id}.{at}.x").as_bytes())))
        };
        let of = |id: &str, at: &str, signature: &str| {
            let given =
                headers(&[("webhook-id", id), ("webhook-timestamp", at), ("webhook-signature", signature)]);
            verify(SenderKind::Generic, &secrets(&[STANDARD_SECRET]), &given, b"x", NOW)
        };
        let good = sign("msg_1", "1614265330");
        assert!(of("msg_1", "1614265330", &good).is_ok());
        assert_eq!(of("msg_2", "1614265330", &good), Err(NotSigned::Wrong));
        assert_eq!(of("msg_1", "1614265331", &good), Err(NotSigned::Wrong));
        assert_eq!(of("msg.1", "1614265330", &sign("msg.1", "1614265330")), Err(NotSigned::Malformed));
        assert_eq!(of("msg_1", "-5", &good), Err(NotSigned::Malformed));
        assert_eq!(of("msg_1", "99999999999999999999", &good), Err(NotSigned::Malformed));
    }

    #[test]
    fn the_bytes_are_signed_and_not_what_they_mean() {
        let escaped = br#"{"title":"caf\u00e9 \ud83d\udca5"}"#;
        let plain = "{\"title\":\"café 💥\"}".as_bytes();
        assert_eq!(
            serde_json::from_slice::<serde_json::Value>(escaped).expect("JSON"),
            serde_json::from_slice::<serde_json::Value>(plain).expect("JSON"),
        );
        let of = |body: &[u8], signed: &[u8]| {
            let given = headers(&[("sentry-hook-signature", &tag("client secret", signed))]);
            verify(SenderKind::Sentry, &secrets(&["client secret"]), &given, body, NOW)
        };
        assert!(of(escaped, escaped).is_ok());
        assert!(of(plain, plain).is_ok());
        assert_eq!(of(plain, escaped), Err(NotSigned::Wrong));
        assert!(of(b"", b"").is_ok(), "an empty body has a signature too");
        assert_eq!(of(b" ", b""), Err(NotSigned::Wrong));
    }

    #[test]
    fn a_signature_has_one_form_and_comes_once() {
        let good = tag("client secret", b"x");
        let of = |pairs: &[(&str, &str)]| {
            verify(SenderKind::Sentry, &secrets(&["client secret"]), &headers(pairs), b"x", NOW)
        };
        assert!(of(&[("Sentry-Hook-Signature", &good)]).is_ok(), "names of headers have no case");
        let upper = good.to_uppercase();
        for malformed in
            [upper.as_str(), &good[..63], "", "zz", &format!("sha256={good}"), &format!(" {good}x")]
        {
            assert_eq!(of(&[("sentry-hook-signature", malformed)]), Err(NotSigned::Malformed), "{malformed}");
        }
        assert_eq!(of(&[]), Err(NotSigned::Missing));
        let twice = [("sentry-hook-signature", good.as_str()), ("Sentry-Hook-Signature", "00")];
        assert_eq!(of(&twice), Err(NotSigned::Missing));
        assert_eq!(of(&[("x-hub-signature-256", &good)]), Err(NotSigned::Missing));
    }

    #[test]
    fn two_secrets_are_good_during_a_rotation_and_none_is_never() {
        let of = |all: &[&str], with: &str| {
            let given = headers(&[("x-hub-signature-256", &format!("sha256={}", tag(with, b"x")))]);
            verify(SenderKind::Github, &secrets(all), &given, b"x", NOW)
        };
        assert!(of(&["new secret", "old secret"], "new secret").is_ok());
        assert!(of(&["new secret", "old secret"], "old secret").is_ok());
        assert_eq!(of(&["new secret"], "old secret"), Err(NotSigned::Wrong));
        assert_eq!(of(&[], ""), Err(NotSigned::NoSecret));
        assert_eq!(of(&[""], ""), Err(NotSigned::Wrong), "an empty secret signs nothing");
        for kind in [SenderKind::Sentry, SenderKind::Github, SenderKind::Generic] {
            assert_eq!(verify(kind, &[], &headers(&[]), b"", NOW), Err(NotSigned::NoSecret));
        }
    }

    #[test]
    fn a_bearer_is_compared_whole_and_never_with_a_signing_secret() {
        let of = |all: &[&str], given: &str| {
            verify(SenderKind::Generic, &secrets(all), &headers(&[("authorization", given)]), b"x", NOW)
        };
        let own = "a secret of a sender";
        assert!(of(&[own], "Bearer a secret of a sender").is_ok());
        assert!(of(&["another", own], "bearer a secret of a sender").is_ok());
        assert_eq!(of(&[own], "Bearer a secret of a sende"), Err(NotSigned::Wrong));
        assert_eq!(of(&[own], "Basic a secret of a sender"), Err(NotSigned::Malformed));
        assert_eq!(of(&[own], own), Err(NotSigned::Malformed));
        assert_eq!(of(&[STANDARD_SECRET], &format!("Bearer {STANDARD_SECRET}")), Err(NotSigned::Missing));
    }
}
