//! A gateway elsewhere: `MIMIR_URL`, `MIMIR_TOKEN` and `MIMIR_FINGERPRINT` instead of this machine's own.

use std::path::Path;

use super::ask;
use super::exit::{Failure, usage};
use super::output::Out;
use crate::client::{BadAddress, KnownGateways, Remote};
use crate::model::fingerprint::Fingerprint;
use crate::model::secret::Secret;
use crate::wire::problem::Problem;

/// What the environment says about a gateway elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Elsewhere {
    /// `https://host:port`.
    pub url: String,
    /// The token itself,
    pub token: Option<Secret>,
    /// or the file that it is in.
    pub token_file: Option<String>,
    /// The only certificate to accept.
    pub fingerprint: Option<String>,
}

impl Elsewhere {
    /// From the environment; none when it names no gateway.
    pub fn of(env: &dyn Fn(&str) -> Option<String>) -> Option<Self> {
        let set = |name: &str| env(name).filter(|text| !text.trim().is_empty());
        Some(Self {
            url: set("MIMIR_URL")?,
            token: set("MIMIR_TOKEN").map(|text| Secret::new(text.trim())),
            token_file: set("MIMIR_TOKEN_FILE"),
            fingerprint: set("MIMIR_FINGERPRINT"),
        })
    }

    /// The gateway that is meant, with the certificate that was accepted for it.
    ///
    /// # Errors
    /// When something of it is missing or makes no sense.
    pub fn remote(&self, known: &KnownGateways) -> Result<Remote, Failure> {
        let remote = Remote::new(&self.url, self.secret()?).map_err(|error| {
            let hint = match error {
                BadAddress::NoAddress(_) => "write MIMIR_URL as https://host:port",
                BadAddress::Plain(_) => "use https://; the gateway needs `server.tls` for it",
            };
            usage(error.to_string()).hint(hint)
        })?;
        let given = self.fingerprint.as_deref().map(str::parse::<Fingerprint>).transpose();
        let given = given.map_err(|error| {
            usage(format!("MIMIR_FINGERPRINT: {error}"))
                .hint("`mimir status` on the gateway's machine shows it")
        })?;
        let pinned = match given {
            Some(fingerprint) => Some(fingerprint),
            None => known.find(&remote.address()).map_err(|error| unreadable(known.path(), &error))?,
        };
        Ok(remote.pinned(pinned))
    }

    fn secret(&self) -> Result<Secret, Failure> {
        if let Some(token) = &self.token {
            return Ok(token.clone());
        }
        let missing = |title: String| {
            Problem::new(401, "auth.no_token", title).hint(
                "set MIMIR_TOKEN or MIMIR_TOKEN_FILE; `mimir token create --scope …` on the gateway's machine makes one",
            )
        };
        let Some(file) = &self.token_file else {
            return Err(missing(format!("a token is needed for the gateway {}", self.url)).into());
        };
        let text = std::fs::read_to_string(file).map_err(|error| {
            missing("the file of MIMIR_TOKEN_FILE cannot be read".to_owned())
                .detail(format!("{file}: {error}"))
        })?;
        match text.trim() {
            "" => Err(missing(format!("there is no token in {file}")).into()),
            token => Ok(Secret::new(token)),
        }
    }
}

/// Asks the person at the terminal whether a certificate that nobody has looked at is the right one, and
/// remembers it. Without anybody to ask it is not accepted.
///
/// # Errors
/// When the answer cannot be kept.
pub fn accept(
    out: &Out,
    known: &KnownGateways,
    address: &str,
    fingerprint: Fingerprint,
) -> Result<bool, Failure> {
    if !ask::can_ask(out) {
        return Ok(false);
    }
    let question = format!(
        "The gateway {address} is not known here. It shows the certificate\n  {fingerprint}\n`mimir status` on its machine must show the same. Accept it?"
    );
    if !ask::yes_or_no(out, &question, false) {
        return Ok(false);
    }
    known.add(address, fingerprint).map_err(|error| unreadable(known.path(), &error))?;
    Ok(true)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Problem::new(403, "gateway.known_unreadable", format!("{} cannot be used", path.display()))
        .detail(error.to_string())
        .hint("mend or remove the line of this gateway, or set MIMIR_FINGERPRINT")
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elsewhere(env: &[(&str, &str)]) -> Option<Elsewhere> {
        Elsewhere::of(&|name| env.iter().find(|(key, _)| *key == name).map(|(_, text)| (*text).to_owned()))
    }

    #[test]
    fn what_is_missing_or_wrong_is_said_before_anything_is_sent() {
        let folder = tempfile::tempdir().expect("a folder");
        let known = KnownGateways::at(folder.path().join("known"));
        let file = folder.path().join("token");
        std::fs::write(&file, "mim_x\n").expect("written");
        let file = file.display().to_string();
        let url = ("MIMIR_URL", "https://gate.example:8443");
        assert_eq!(elsewhere(&[("MIMIR_URL", " "), ("MIMIR_TOKEN", "x")]), None);
        let code = |env: &[(&str, &str)]| {
            let found = elsewhere(env).expect("named").remote(&known);
            found.map_or_else(|failure| failure.problem.code.clone(), |remote| remote.address())
        };
        assert_eq!(code(&[url, ("MIMIR_TOKEN", "mim_x")]), "gate.example:8443");
        assert_eq!(code(&[url, ("MIMIR_TOKEN_FILE", &file)]), "gate.example:8443");
        assert_eq!(code(&[url]), "auth.no_token");
        assert_eq!(code(&[url, ("MIMIR_TOKEN_FILE", "/nonexistent")]), "auth.no_token");
        assert_eq!(code(&[("MIMIR_URL", "http://gate.example"), ("MIMIR_TOKEN", "x")]), "usage");
        assert_eq!(code(&[url, ("MIMIR_TOKEN", "x"), ("MIMIR_FINGERPRINT", "sha256:1")]), "usage");
    }
}
