//! TLS: one certificate, replaced while running. The only place that knows rustls.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

/// Why a certificate and its key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate file is no PEM file with at least one certificate.
    #[error("the certificate cannot be read: {0}")]
    Certificate(String),
    /// The key file is no PEM file with a private key.
    #[error("the private key cannot be read: {0}")]
    Key(String),
    /// They do not belong together, or are of a kind that is not supported.
    #[error("the certificate and key cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
}

/// A TLS server's identity. Cloning shares, so that any clone can replace the certificate.
#[derive(Debug, Clone)]
pub struct Tls {
    current: Arc<Current>,
    config: Arc<rustls::ServerConfig>,
}

impl Tls {
    /// From a certificate chain, the server's own first, and its key, as PEM.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let certified = certified_key(chain, key, &provider)?;
        let current = Arc::new(Current(ArcSwap::from_pointee(certified)));
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(current.clone());
        // Only HTTP/1.1: bodies are large, and there is no HTTP/2 to attack.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        Ok(Self {
            current,
            config: Arc::new(config),
        })
    }

    /// Replaces the certificate for new connections. On an error the old one stays.
    pub fn reload(&self, chain: &[u8], key: &[u8]) -> Result<(), TlsError> {
        let certified = certified_key(chain, key, self.config.crypto_provider())?;
        self.current.0.store(Arc::new(certified));
        Ok(())
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.config.clone().into()
    }
}

#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

fn certified_key(
    chain: &[u8],
    key: &[u8],
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsError> {
    let chain = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| TlsError::Certificate(error.to_string()))?;
    if chain.is_empty() {
        return Err(TlsError::Certificate("it holds no certificate".to_owned()));
    }
    let key =
        PrivateKeyDer::from_pem_slice(key).map_err(|error| TlsError::Key(error.to_string()))?;
    // Also checks that the key is the certificate's.
    Ok(CertifiedKey::from_der(chain, key, provider)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn pem() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn a_certificate_can_be_replaced_by_another_with_its_own_key_only() {
        let (chain, key) = pem();
        let tls = Tls::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
        let (other_chain, other_key) = pem();
        let before = tls.current.0.load_full();
        assert!(matches!(
            tls.reload(other_chain.as_bytes(), key.as_bytes()),
            Err(TlsError::Unusable(_))
        ));
        assert!(Arc::ptr_eq(&before, &tls.current.0.load_full()));
        tls.reload(other_chain.as_bytes(), other_key.as_bytes())
            .unwrap();
        assert_ne!(before.cert, tls.current.0.load_full().cert);
    }

    #[test]
    fn unreadable_files_are_told_apart() {
        let (chain, key) = pem();
        assert!(matches!(
            Tls::from_pem(b"", key.as_bytes()),
            Err(TlsError::Certificate(_))
        ));
        assert!(matches!(
            Tls::from_pem(chain.as_bytes(), b""),
            Err(TlsError::Key(_))
        ));
    }
}
