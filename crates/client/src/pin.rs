//! TLS towards a gateway whose certificate nobody vouches for but the person who saw its fingerprint.
//!
//! Nothing is sent before the certificate is the pinned one: a token that went to
//! somebody else is lost. The signature of the greeting is verified as always, so that
//! a copied certificate without its key does not help.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use mimir_model::fingerprint::Fingerprint;

/// Why there is no connection.
pub(super) enum Refused {
    /// Nobody has looked at this certificate yet.
    Unknown(Fingerprint),
    /// Another one was pinned.
    Changed {
        /// The one that was expected.
        pinned: Fingerprint,
        /// The one that came.
        shown: Fingerprint,
    },
    /// It ended before there was a certificate, or is no TLS.
    Broken(io::Error),
}

/// Greets a gateway that must show the pinned certificate.
pub(super) async fn greet(
    stream: TcpStream,
    name: ServerName<'static>,
    pinned: Option<Fingerprint>,
) -> Result<TlsStream<TcpStream>, Refused> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(Pin { pinned, shown: Mutex::default(), provider: provider.clone() });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Refused::Broken(io::Error::other(error)))?
        .dangerous()
        .with_custom_certificate_verifier(verifier.clone())
        .with_no_client_auth();
    let greeted = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    greeted.map_err(|error| match (verifier.shown(), pinned) {
        (Some(shown), None) => Refused::Unknown(shown),
        (Some(shown), Some(pinned)) if shown != pinned => Refused::Changed { pinned, shown },
        _ => Refused::Broken(error),
    })
}

#[derive(Debug)]
struct Pin {
    pinned: Option<Fingerprint>,
    shown: Mutex<Option<Fingerprint>>,
    provider: Arc<CryptoProvider>,
}

impl Pin {
    fn shown(&self) -> Option<Fingerprint> {
        *self.shown.lock()
    }
}

impl ServerCertVerifier for Pin {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let shown = Fingerprint::of(end_entity);
        *self.shown.lock() = Some(shown);
        if self.pinned == Some(shown) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::General("the certificate is not the pinned one".to_owned()))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
