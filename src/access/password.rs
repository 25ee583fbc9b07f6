//! The owner's password: what is taken for one, what is kept of it, how it is compared.

use argon2::{Algorithm, Argon2, Params, Version};
use subtle::ConstantTimeEq;

use super::AccessError;
use crate::clock;
use crate::store::logins::PasswordHash;

/// More than OWASP's least (19 MiB, two passes), because one is compared at a time and no more than a few a minute.
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 1;
/// In bytes.
const HASH: usize = 32;
const SALT: usize = 16;

/// Shorter ones are guessed. Which letters they hold is the owner's business.
const SHORTEST: usize = 12;
/// In bytes; whoever sends more is not typing.
const LONGEST: usize = 1024;
/// A password of fewer different characters is a pattern.
const DIFFERENT: usize = 5;
/// Long enough, and among the first that anybody tries.
const COMMON: [&str; 12] = [
    "1q2w3e4r5t6y",
    "1qaz2wsx3edc",
    "administrator",
    "changemechangeme",
    "correct horse battery staple",
    "correcthorsebatterystaple",
    "iloveyou1234",
    "letmeinletmein",
    "password1234",
    "passwordpassword",
    "qwertyuiop123",
    "qwertyuiopasdf",
];

/// Says why a text is no password worth having.
pub(super) fn refuse_weak(password: &str) -> Result<(), AccessError> {
    let mut characters: Vec<char> = password.chars().collect();
    let length = characters.len();
    characters.sort_unstable();
    characters.dedup();
    let folded = password.to_lowercase();
    let digits_in_a_row = "01234567890123456789".contains(&folded);
    let why = if length < SHORTEST {
        "it needs at least 12 characters"
    } else if password.len() > LONGEST {
        "it is longer than 1024 bytes"
    } else if characters.len() < DIFFERENT {
        "it has too few different characters"
    } else if digits_in_a_row || COMMON.contains(&folded.as_str()) {
        "it is among those that are tried first"
    } else {
        return Ok(());
    };
    Err(AccessError::WeakPassword(why))
}

/// What is kept of a password. Takes a while and much memory: not for a thread that others wait for.
pub(super) fn keep(password: &str) -> Result<PasswordHash, AccessError> {
    let mut kept = PasswordHash {
        salt: clock::entropy::<SALT>().to_vec(),
        hash: Vec::new(),
        memory_kib: MEMORY_KIB,
        passes: PASSES,
        lanes: LANES,
    };
    let hash = computed(password, &kept).map_err(|error| AccessError::NotHashed(error.to_string()))?;
    kept.hash = hash.to_vec();
    Ok(kept)
}

/// Whether it is that password. Takes as long when there is none to compare it with.
pub(super) fn fits(password: &str, kept: Option<&PasswordHash>) -> bool {
    let nobodys = PasswordHash {
        salt: vec![0; SALT],
        hash: vec![0; HASH],
        memory_kib: MEMORY_KIB,
        passes: PASSES,
        lanes: LANES,
    };
    // No more of it is looked at than can be a password.
    let is_possible = password.len() <= LONGEST;
    let looked_at = if is_possible { password } else { "" };
    let expected = kept.unwrap_or(&nobodys);
    let is_same = match computed(looked_at, expected) {
        Ok(hash) => bool::from(hash.as_slice().ct_eq(expected.hash.as_slice())),
        Err(error) => {
            tracing::error!(%error, "a password could not be compared: {error}");
            false
        }
    };
    is_same && is_possible && kept.is_some()
}

fn computed(password: &str, how: &PasswordHash) -> Result<[u8; HASH], argon2::Error> {
    let params = Params::new(how.memory_kib, how.passes, how.lanes, Some(HASH))?;
    let mut hash = [0; HASH];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into(
        password.as_bytes(),
        &how.salt,
        &mut hash,
    )?;
    Ok(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_known_again_and_nothing_else_is() {
        let kept = keep("a lantern by the sea").expect("kept");
        assert!(kept.memory_kib >= 64 * 1024 && kept.passes >= 3, "what the threat model asks for");
        assert!(fits("a lantern by the sea", Some(&kept)));
        for other in ["a lantern by the se", "A lantern by the sea", "a lantern by the sea ", ""] {
            assert!(!fits(other, Some(&kept)), "{other:?}");
        }
        assert!(!fits("a lantern by the sea", None), "nobody set one");
        let again = keep("a lantern by the sea").expect("kept");
        assert_ne!((kept.salt, kept.hash), (again.salt, again.hash), "each has a salt of its own");
    }

    #[test]
    fn what_is_tried_first_is_no_password() {
        for weak in [
            "short",
            "elevenchars",
            "aaaaaaaaaaaaaaaa",
            "abababababab",
            "123456789012",
            "PasswordPassword",
            "Correct Horse Battery Staple",
        ] {
            assert!(refuse_weak(weak).is_err(), "{weak}");
        }
        assert!(refuse_weak(&"lantern ".repeat(129)).is_err(), "too long");
        // Any characters, blanks among them, and 64 of them at least.
        let long = "lantern ".repeat(16);
        for good in ["a lantern by the sea", "ünïcödé läntérn", long.as_str()] {
            assert!(refuse_weak(good).is_ok(), "{good}");
        }
    }
}
