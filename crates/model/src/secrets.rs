//! Secrets that frames may use: where each comes from, for which host it is, and how a frame sees it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::container::inside;
use super::names::SecretName;

/// What a placeholder begins with, which stands for a secret inside a frame.
pub const PLACEHOLDER: &str = "mimir-secret-";

/// A shorter text is no secret: it can be guessed, and looking for it would tear ordinary words apart.
pub const LEAST_BYTES: usize = 8;

/// A longer text is no secret but a file.
pub const MOST_BYTES: usize = 64 * 1024;

/// Headers that say who asks. Hosts check what they say and do not keep it; of every other header they may keep it, as the
/// metadata of an object or as a destination, and show it to whoever asks later.
pub const AUTHENTICATING: &[&str] = &[
    "api-key",
    "apikey",
    "authorization",
    "deploy-token",
    "job-token",
    "private-token",
    "x-access-token",
    "x-api-key",
    "x-api-token",
    "x-auth-token",
    "x-goog-api-key",
    "x-vault-token",
];

/// Headers that are between neighbours or lead a request: no secret is ever put into them.
const NEVER: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The name of a header in which a placeholder is to be replaced as well, in small letters.
///
/// # Errors
/// Why it cannot be.
pub fn check_header(name: &str) -> Result<String, String> {
    let name = name.to_ascii_lowercase();
    let is_letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    if !(1..=100).contains(&name.len()) || !name.bytes().all(is_letter) {
        return Err(format!("`{name}` is not the name of a header"));
    }
    match NEVER.contains(&name.as_str()) {
        true => {
            Err(format!("no secret is put into `{name}`: it is between neighbours, or leads the request"))
        }
        false => Ok(name),
    }
}

/// Where a secret comes from when it is needed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum SecretSource {
    /// It is kept in the gateway's database.
    #[default]
    Kept,
    /// A command of the gateway's user prints it: `pass show github`, `op read …`, `bw get password …`.
    Command {
        /// For a shell.
        command: String,
    },
    /// It is in a file of the gateway's machine.
    File {
        /// Absolute.
        path: String,
    },
    /// The desktop's keyring has it, under attributes as `secret-tool` takes them.
    Keyring {
        /// `service`, as most programs call it.
        service: String,
        /// `account`, where a service has several.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        account: Option<String>,
    },
}

/// For people; never the secret.
impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kept => f.write_str("kept here"),
            Self::Command { command } => write!(f, "command: {command}"),
            Self::File { path } => write!(f, "file: {path}"),
            Self::Keyring { service, account: None } => write!(f, "keyring: {service}"),
            Self::Keyring { service, account: Some(account) } => write!(f, "keyring: {service}/{account}"),
        }
    }
}

/// How a frame sees a secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[derive(strum::EnumIter, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum SecretForm {
    /// Not at all: it sees a text that stands for it, and that the broker replaces on the way to one host.
    #[default]
    Placeholder,
    /// As a variable of its environment. Whatever runs in the frame can read it, and send it away.
    Environment,
    /// As a file. The same holds.
    File,
}

impl SecretForm {
    /// The word in the database and on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A host to which a secret may go, and how it is spoken to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretHost {
    /// Whether by TLS.
    pub tls: bool,
    /// Its name, in small letters, or its IPv4 address.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// A text that names no host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no host: give its name, such as api.github.com, registry.example.org:8443 or http://10.0.0.7:8080"
)]
pub struct InvalidHost(pub String);

impl SecretHost {
    /// The same host as a request names it.
    #[must_use]
    pub fn new(tls: bool, host: &str, port: u16) -> Self {
        Self { tls, host: host.trim_end_matches('.').to_ascii_lowercase(), port }
    }

    /// Host and port as they stand in an address; the usual port is left out.
    #[must_use]
    pub fn authority(&self) -> String {
        let usual = if self.tls { 443 } else { 80 };
        if self.port == usual { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }

    /// Where a frame reaches it so that its placeholders are replaced: for TLS, a place of the broker's, which speaks
    /// TLS for the frame.
    #[must_use]
    pub fn inside(&self) -> String {
        match self.tls {
            true => format!("http://127.0.0.1:{}/https/{}", inside::BROKER_PORT, self.authority()),
            false => self.to_string(),
        }
    }
}

/// `https://api.github.com`, `http://10.0.0.7:8080`
impl fmt::Display for SecretHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.tls { "https://" } else { "http://" })?;
        f.write_str(&self.authority())
    }
}

impl FromStr for SecretHost {
    type Err = InvalidHost;

    /// Without a scheme it is spoken to by TLS.
    fn from_str(text: &str) -> Result<Self, InvalidHost> {
        let invalid = || InvalidHost(text.to_owned());
        let (tls, rest) = match text.split_once("://") {
            None => (true, text),
            Some(("https", rest)) => (true, rest),
            Some(("http", rest)) => (false, rest),
            Some(_) => return Err(invalid()),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.split_once(':') {
            None => (rest, if tls { 443 } else { 80 }),
            Some((host, port)) => {
                (host, port.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(invalid)?)
            }
        };
        let label = |label: &str| {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
            (1..=63).contains(&label.len()) && label.bytes().all(plain) && !label.starts_with('-')
        };
        let host = host.strip_suffix('.').unwrap_or(host);
        let fits = host.len() <= 253 && host.split('.').all(label);
        if fits { Ok(Self::new(tls, host, port)) } else { Err(invalid()) }
    }
}

/// What a frame was given of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretGrant {
    /// Which.
    pub secret: SecretName,
    /// How the frame sees it.
    pub form: SecretForm,
    /// The variable that holds it, or its placeholder, or the path of its file.
    pub variable: String,
    /// Where it may go; a placeholder's alone.
    pub host: Option<SecretHost>,
    /// What stands for it; a placeholder's alone. New for each grant.
    pub placeholder: Option<String>,
    /// Headers in which it is replaced besides those that authenticate, in small letters.
    pub headers: Vec<String>,
    /// UTC ms.
    pub granted_at: u64,
}

impl SecretGrant {
    /// Whether its placeholder is replaced in that header.
    #[must_use]
    pub fn may_stand_in(&self, header: &str) -> bool {
        AUTHENTICATING.contains(&header) || self.headers.iter().any(|named| named == header)
    }

    /// What is loosened by it, in a sentence; nothing by a placeholder.
    #[must_use]
    pub fn loosened(&self) -> Option<String> {
        let Self { secret, variable, .. } = self;
        match self.form {
            SecretForm::Placeholder => None,
            SecretForm::Environment => Some(format!(
                "the secret {secret} is in its environment, as {variable}: whatever runs in it can read it"
            )),
            SecretForm::File => Some(format!(
                "the secret {secret} is a file in it, named by {variable}: whatever runs in it can read it"
            )),
        }
    }
}

/// The variable of a secret for which none was named.
#[must_use]
pub fn usual_variable(name: &SecretName, form: SecretForm) -> String {
    let upper = name.as_str().replace('-', "_").to_ascii_uppercase();
    let name = if upper.starts_with(|first: char| first.is_ascii_digit()) {
        format!("SECRET_{upper}")
    } else {
        upper
    };
    match form {
        SecretForm::File => format!("{name}_FILE"),
        SecretForm::Placeholder | SecretForm::Environment => name,
    }
}

/// Checks the name of a variable.
///
/// # Errors
/// Why a frame cannot have it.
pub fn check_variable(variable: &str) -> Result<(), String> {
    let mut letters = variable.bytes();
    let is_name = letters.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && letters.all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && variable.len() <= 100;
    let is_ours = inside::is_reserved(variable)
        || matches!(variable, "PATH" | "LD_PRELOAD" | "LD_LIBRARY_PATH" | "ENV" | "BASH_ENV")
        || variable.to_ascii_lowercase().ends_with("_proxy");
    match (is_name, is_ours) {
        (false, _) => Err(format!("`{variable}` is not the name of a variable")),
        (true, true) => Err(format!("`{variable}` is what the frame itself stands on")),
        (true, false) => Ok(()),
    }
}

/// Checks the value of a secret.
///
/// # Errors
/// Why it cannot be kept from being seen.
pub fn check_value(value: &str) -> Result<(), &'static str> {
    let is_word = value.bytes().all(|b| b.is_ascii_lowercase()) && value.len() < 16;
    if value.len() < LEAST_BYTES {
        Err("it is shorter than 8 letters: it can be guessed, and could not be told from ordinary words")
    } else if value.len() > MOST_BYTES {
        Err("it is longer than 64 KiB")
    } else if is_word {
        Err("it looks like an ordinary word, which would be taken out of everything that agents say")
    } else if value.contains('\0') {
        Err("it has a zero in it")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_read_as_people_write_it_and_nothing_else_is_one() {
        for (text, shown, inside) in [
            ("api.github.com", "https://api.github.com", "http://127.0.0.1:8118/https/api.github.com"),
            (
                "https://API.github.com./",
                "https://api.github.com",
                "http://127.0.0.1:8118/https/api.github.com",
            ),
            ("x.test:8443", "https://x.test:8443", "http://127.0.0.1:8118/https/x.test:8443"),
            ("http://10.0.0.7:8080", "http://10.0.0.7:8080", "http://10.0.0.7:8080"),
            ("http://x.test:80", "http://x.test", "http://x.test"),
        ] {
            let host: SecretHost = text.parse().expect(text);
            assert_eq!((host.to_string().as_str(), host.inside().as_str()), (shown, inside));
            assert_eq!(host.to_string().parse(), Ok(host));
        }
        for bad in [
            "",
            "*.test",
            "a b",
            "ftp://x.test",
            "x.test/path",
            "x.test:0",
            "x.test:http",
            "u@x.test",
            "..",
            "[::1]",
        ] {
            assert!(bad.parse::<SecretHost>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_secret_has_a_variable_of_its_name() {
        let name = |text| SecretName::parse(text).expect("a name");
        assert_eq!(usual_variable(&name("github-token"), SecretForm::Placeholder), "GITHUB_TOKEN");
        assert_eq!(usual_variable(&name("2fa"), SecretForm::File), "SECRET_2FA_FILE");
        assert!(check_variable("GITHUB_TOKEN").is_ok());
        for bad in ["", "1A", "A-B", "HOME", "MIMIR_FRAME", "https_proxy", "PATH"] {
            assert!(check_variable(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_could_not_be_told_from_words_is_no_secret() {
        for good in ["correct-horse", "12345678", "abcdefghijklmnop", "two\nlines of it"] {
            assert_eq!(check_value(good), Ok(()), "{good}");
        }
        for bad in ["", "short", "postgres", "assistant"] {
            assert!(check_value(bad).is_err(), "{bad}");
        }
    }
}
