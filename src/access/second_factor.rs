//! What is asked for besides the password: codes of an app that knows the time (TOTP, RFC 6238), and codes on paper.

use totp_rs::{Builder, Totp};

use super::AccessError;
use crate::clock;

/// Of the secret that the app is told, in bytes.
pub(super) const SECRET: usize = 20;
/// So many recovery codes there are.
const CODES: usize = 10;
/// Of each, in bytes: nobody guesses it, so its plain hash is kept.
const CODE: usize = 15;
/// So many letters that makes in base32.
const LETTERS: usize = 24;

/// A fresh secret.
pub(super) fn secret() -> [u8; SECRET] {
    clock::entropy()
}

fn totp(secret: &[u8], account: &str) -> Result<Totp, AccessError> {
    // Six digits, half a minute, and one step of clocks that differ: what every app does.
    Builder::new()
        .with_secret(totp_rs::Secret::new(secret.to_vec().into_boxed_slice()))
        .with_account_name(account)
        .with_issuer(Some("mimir"))
        .build()
        .map_err(|error| AccessError::NotHashed(error.to_string()))
}

/// What an app reads from a picture, and what a person types into it.
pub(super) fn for_apps(secret: &[u8], account: &str) -> Result<(String, String), AccessError> {
    // A colon ends the issuer.
    let account = account.replace(':', "-");
    let account = if account.is_empty() { "gateway" } else { account.as_str() };
    let totp = totp(secret, account)?;
    let uri = totp.to_url().map_err(|error| AccessError::NotHashed(error.to_string()))?;
    Ok((uri, totp.secret().to_base32()))
}

/// The step of time that this code is of, if it is one of now.
pub(super) fn step_of(secret: &[u8], code: &str, now_ms: u64) -> Option<u64> {
    totp(secret, "gateway").ok()?.check(code, now_ms / 1000)
}

/// Fresh recovery codes, as people write them down.
pub(super) fn recovery_codes() -> Vec<String> {
    (0..CODES).map(|_| written(&clock::entropy::<CODE>())).collect()
}

fn written(bytes: &[u8; CODE]) -> String {
    let letters = totp_rs::Secret::new(bytes.to_vec().into_boxed_slice()).to_base32().to_lowercase();
    let groups: Vec<&str> = (0..LETTERS / 4).filter_map(|at| letters.get(at * 4..at * 4 + 4)).collect();
    groups.join("-")
}

/// What is kept of a recovery code; none when it cannot be one.
pub(super) fn recovery_hash(code: &str) -> Option<String> {
    let letters: String = code.chars().filter(|letter| *letter != '-' && !letter.is_whitespace()).collect();
    let letters = letters.to_ascii_lowercase();
    let is_one = letters.len() == LETTERS
        && letters.bytes().all(|letter| letter.is_ascii_lowercase() || (b'2'..=b'7').contains(&letter));
    is_one.then(|| hex::encode(super::hash(&letters)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The secret and times of RFC 6238, appendix B; of its eight digits the last six.
    #[test]
    fn codes_are_those_of_the_standard_and_of_one_step_before_and_after() {
        let secret = b"12345678901234567890";
        for (seconds, code) in [(59, "287082"), (1_111_111_109, "081804"), (1_234_567_890, "005924")] {
            let step = seconds / 30;
            assert_eq!(step_of(secret, code, seconds * 1000), Some(step), "{code}");
            assert_eq!(step_of(secret, code, (seconds + 30) * 1000), Some(step), "a clock that is behind");
            assert_eq!(step_of(secret, code, (seconds + 90) * 1000), None, "over");
        }
        for other in ["287081", "28708", "2870820", "+28708", "", "287 082", "94287082"] {
            assert_eq!(step_of(secret, other, 59_000), None, "{other:?}");
        }
    }

    #[test]
    fn an_app_is_told_whose_it_is() {
        let (uri, typed) = for_apps(b"12345678901234567890", "desk:top").expect("a link");
        assert!(uri.starts_with("otpauth://totp/mimir:desk-top?"), "{uri}");
        assert!(
            uri.contains("secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ") && uri.contains("issuer=mimir"),
            "{uri}"
        );
        assert_eq!(typed, "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
    }

    #[test]
    fn recovery_codes_are_read_as_people_write_them() {
        let codes = recovery_codes();
        assert_eq!(codes.len(), CODES);
        let code = &codes[0];
        assert_eq!(code.len(), LETTERS + 5, "{code}");
        let hash = recovery_hash(code).expect("a code");
        assert_eq!(recovery_hash(&code.to_uppercase().replace('-', " ")).as_ref(), Some(&hash));
        assert_ne!(recovery_hash(&codes[1]), Some(hash));
        let others = ["".to_owned(), "123456".to_owned(), code[1..].to_owned(), format!("{code}a")];
        for other in others.iter().chain([&code.replace(&code[..1], "1")]) {
            assert_eq!(recovery_hash(other), None, "{other:?}");
        }
    }
}
