//! The certificate that the gateway shows: the owner's own, or one made once and kept.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::model::fingerprint::Fingerprint;

/// A certificate with its key, ready to be shown.
#[derive(Clone)]
pub struct Certificate {
    /// For the listener.
    pub config: Arc<ServerConfig>,
    /// For people.
    pub fingerprint: Fingerprint,
}

/// A certificate that cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file that cannot be read or written.
    #[error("{path}: {why}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Certificate and key that do not fit each other, or something else that TLS does not take.
    #[error("{path} cannot be used for TLS: {why}")]
    Unusable {
        /// The certificate.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// The files of a certificate that was made here.
const MADE_CERTIFICATE: &str = "certificate.pem";
const MADE_KEY: &str = "key.pem";

/// Reads the owner's own certificate and key (PEM).
///
/// # Errors
/// [`CertificateError`].
pub fn load(certificate: &Path, key: &Path) -> Result<Certificate, CertificateError> {
    let file = |path: &Path, why: String| CertificateError::File { path: path.to_owned(), why };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|error| file(certificate, error.to_string()))?;
    let first = chain.first().ok_or_else(|| file(certificate, "there is no certificate in it".into()))?;
    let fingerprint = Fingerprint::of(first);
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| file(key, error.to_string()))?;
    let unusable = |error: rustls::Error| CertificateError::Unusable {
        path: certificate.to_owned(),
        why: error.to_string(),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Certificate { config: Arc::new(config), fingerprint })
}

/// Reads the certificate that was made in that folder, or makes one for these names.
///
/// It is made once: whoever pinned it must not be asked again because a name was added.
///
/// # Errors
/// [`CertificateError`].
pub fn load_or_make(folder: &Path, names: Vec<String>) -> Result<Certificate, CertificateError> {
    let (certificate, key) = (folder.join(MADE_CERTIFICATE), folder.join(MADE_KEY));
    // The certificate is written last: when it is there, its key is.
    if !certificate.exists() {
        make(folder, &certificate, &key, names)?;
    }
    let found = fs::metadata(&key).map_err(|error| at(&key, &error))?;
    if found.permissions().mode() & 0o077 != 0 {
        tracing::warn!("others could read {}; its mode is now 0600", key.display());
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).map_err(|error| at(&key, &error))?;
    }
    load(&certificate, &key)
}

fn make(folder: &Path, certificate: &Path, key: &Path, names: Vec<String>) -> Result<(), CertificateError> {
    let unusable = |error: rcgen::Error| CertificateError::Unusable {
        path: certificate.to_owned(),
        why: error.to_string(),
    };
    let mut params = rcgen::CertificateParams::new(names).map_err(unusable)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, "mimir gateway");
    let pair = rcgen::KeyPair::generate().map_err(unusable)?;
    let made = params.self_signed(&pair).map_err(unusable)?;
    fs::create_dir_all(folder).map_err(|error| at(folder, &error))?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(|error| at(folder, &error))?;
    write_whole(key, &pair.serialize_pem())?;
    write_whole(certificate, &made.pem())
}

/// Writes a file that is there as a whole or not at all, for its owner alone.
fn write_whole(path: &Path, text: &str) -> Result<(), CertificateError> {
    let mut half = path.as_os_str().to_owned();
    half.push(".new");
    let written = || -> io::Result<()> {
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&half)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&half, path)
    };
    written().map_err(|error| at(path, &error))
}

fn at(path: &Path, error: &io::Error) -> CertificateError {
    CertificateError::File { path: path.to_owned(), why: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_made_once_and_its_key_stays_private() {
        let home = tempfile::tempdir().expect("a folder");
        let folder = home.path().join("tls");
        let names = || vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let first = load_or_make(&folder, names()).expect("made");
        let key = folder.join(MADE_KEY);
        assert_eq!(fs::metadata(&key).expect("there").permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("a careless chmod");
        let again = load_or_make(&folder, vec!["other.example".to_owned()]).expect("read");
        assert_eq!(again.fingerprint, first.fingerprint);
        assert_eq!(fs::metadata(&key).expect("there").permissions().mode() & 0o777, 0o600);
        // Died between the two files: nobody has seen that key.
        fs::remove_file(folder.join(MADE_CERTIFICATE)).expect("removed");
        assert_ne!(load_or_make(&folder, names()).expect("made anew").fingerprint, first.fingerprint);
    }

    #[test]
    fn a_key_of_another_certificate_is_refused_with_the_reason() {
        let home = tempfile::tempdir().expect("a folder");
        let (one, two) = (home.path().join("one"), home.path().join("two"));
        load_or_make(&one, vec!["a.example".to_owned()]).expect("made");
        load_or_make(&two, vec!["b.example".to_owned()]).expect("made");
        let mixed = load(&one.join(MADE_CERTIFICATE), &two.join(MADE_KEY)).err().expect("refused");
        assert!(matches!(mixed, CertificateError::Unusable { .. }), "{mixed}");
        let missing = load(&home.path().join("none.pem"), &two.join(MADE_KEY)).err().expect("refused");
        assert!(missing.to_string().contains("none.pem"), "{missing}");
    }
}
