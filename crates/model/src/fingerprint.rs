//! Which certificate a gateway shows: what people compare and the command line pins.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

/// The SHA-256 of a certificate.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

/// A text that is no fingerprint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no fingerprint: it is `sha256:` and 64 hex digits")]
pub struct InvalidFingerprint(pub String);

impl Fingerprint {
    /// Of a certificate, as it travels (DER).
    #[must_use]
    pub fn of(certificate: &[u8]) -> Self {
        Self(Sha256::digest(certificate).into())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", hex::encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Also as `openssl x509 -fingerprint -sha256` writes it: capitals, with colons, with or without the beginning.
impl FromStr for Fingerprint {
    type Err = InvalidFingerprint;
    fn from_str(text: &str) -> Result<Self, InvalidFingerprint> {
        let invalid = || InvalidFingerprint(text.to_owned());
        let lower = text.trim().to_ascii_lowercase();
        let digits = lower.rsplit_once('=').map_or(lower.as_str(), |(_, digits)| digits);
        let digits = digits.strip_prefix("sha256:").unwrap_or(digits).replace(':', "");
        let bytes = hex::decode(digits).map_err(|_| invalid())?;
        bytes.try_into().map(Self).map_err(|_| invalid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_as_we_and_as_openssl_write_it() {
        let ours = Fingerprint::of(b"a certificate");
        assert_eq!(ours.to_string().parse(), Ok(ours));
        let digits = ours.to_string().to_ascii_uppercase().split_off("sha256:".len());
        let pairs: Vec<String> =
            digits.as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair).into()).collect();
        let theirs = format!("sha256 Fingerprint={}\n", pairs.join(":"));
        assert_eq!(theirs.parse(), Ok(ours));
        for bad in ["", "sha256:", "sha256:12", "sha1:00", &ours.to_string()[..70]] {
            assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
        }
    }
}
