//! Gateways elsewhere whose certificate somebody has accepted: one a line, `host:port fingerprint`.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use mimir_model::fingerprint::Fingerprint;

/// The file.
#[derive(Clone, Debug)]
pub struct KnownGateways {
    path: PathBuf,
}

impl KnownGateways {
    /// That one; it need not be there.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Which file it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was accepted for that address, if anything was.
    ///
    /// # Errors
    /// When the file is there and cannot be read, or its line for this address says no fingerprint: to go on
    /// as if nothing had been accepted would be to ask a person for a certificate that they refused before.
    pub fn find(&self, address: &str) -> io::Result<Option<Fingerprint>> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        // The newest line counts.
        for line in text.lines().rev() {
            let mut words = line.split_whitespace();
            if words.next().is_some_and(|known| known.eq_ignore_ascii_case(address)) {
                let parsed = words.next().unwrap_or_default().parse();
                return parsed.map(Some).map_err(|error| io::Error::new(ErrorKind::InvalidData, error));
            }
        }
        Ok(None)
    }

    /// Accepts a certificate for that address from now on.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn add(&self, address: &str, fingerprint: Fingerprint) -> io::Result<()> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = fs::OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?;
        file.write_all(format!("{} {fingerprint}\n", address.to_ascii_lowercase()).as_bytes())?;
        file.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_accepted_is_found_again_and_a_broken_line_is_no_permission() {
        let folder = tempfile::tempdir().expect("a folder");
        let known = KnownGateways::at(folder.path().join("deep/known_gateways"));
        assert_eq!(known.find("gate.example:8443").expect("no file is no error"), None);
        let (first, second) = (Fingerprint::of(b"1"), Fingerprint::of(b"2"));
        known.add("Gate.example:8443", first).expect("written");
        known.add("other.example:8443", second).expect("written");
        assert_eq!(known.find("gate.EXAMPLE:8443").expect("read"), Some(first));
        assert_eq!(known.find("gate.example").expect("read"), None);
        known.add("gate.example:8443", second).expect("written");
        assert_eq!(known.find("gate.example:8443").expect("read"), Some(second));
        let broken = fs::read_to_string(known.path()).expect("there") + "gate.example:8443 sha256:12\n";
        fs::write(known.path(), broken).expect("written");
        assert!(known.find("gate.example:8443").is_err());
    }
}
