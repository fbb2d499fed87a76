//! Certificates for HTTPS without anyone having to make them: an authority of the data folder's own, and a certificate
//! signed by it, renewed when it is about to expire or when its names change.
//!
//! ```text
//! tls/ca.crt      the authority's certificate: what clients are told to trust
//! tls/ca.key      its key, for the owner only
//! tls/server.crt  the server's certificate
//! tls/server.key  its key, for the owner only
//! ```

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use lazuli_api::{Tls, TlsError};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use crate::config::{CertificateName, is_host_name};
use crate::data_folder::{make_private_folder, write_private, write_public};

const DAY: u64 = 86_400;
const AUTHORITY_DAYS: u64 = 3653;
/// The longest that clients of the public web accept.
const SERVER_DAYS: u64 = 397;
/// A certificate with less than this left is renewed.
const RENEW_DAYS: u64 = 60;
/// Certificates begin a day early, for clients whose clocks are late.
const EARLY_DAYS: u64 = 1;

/// The made certificates of a data folder.
#[derive(Clone, Debug)]
pub(crate) struct MadeCertificates {
    folder: PathBuf,
}

/// What [`MadeCertificates::ensure`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ensured {
    Kept,
    ServerMade,
    AuthorityMade,
}

impl MadeCertificates {
    pub(crate) fn new(folder: PathBuf) -> MadeCertificates {
        MadeCertificates { folder }
    }

    /// The certificate that clients have to trust.
    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.join("ca.crt")
    }

    pub(crate) fn chain(&self) -> PathBuf {
        self.folder.join("server.crt")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.folder.join("server.key")
    }

    fn authority_key(&self) -> PathBuf {
        self.folder.join("ca.key")
    }

    /// Makes what is missing, no longer valid, about to expire (`now`: seconds since the Unix epoch) or for other names.
    pub(crate) fn ensure(
        &self,
        names: &BTreeSet<CertificateName>,
        now: u64,
    ) -> anyhow::Result<Ensured> {
        make_private_folder(&self.folder)?;
        let mut done = Ensured::Kept;
        if !self.authority_is_fit(now)? {
            self.make_authority(now)?;
            done = Ensured::AuthorityMade;
        }
        if done == Ensured::AuthorityMade || !self.server_is_fit(names, now) {
            self.make_server(names, now)?;
            done = done.max_with(Ensured::ServerMade);
        }
        Ok(done)
    }

    /// An authority that cannot be read is an error, not a reason for a new one: clients were told to trust it.
    fn authority_is_fit(&self, now: u64) -> anyhow::Result<bool> {
        let (certificate, key) = (self.authority(), self.authority_key());
        match (certificate.try_exists()?, key.try_exists()?) {
            (true, true) => {}
            // The key is written first, so this is a start that was interrupted, and no client knows the authority.
            (false, _) => return Ok(false),
            (true, false) => bail!(
                "{} is missing: bring it back, or remove {} to have a new authority made (clients then have to trust it)",
                key.display(),
                certificate.display()
            ),
        }
        let der = read_certificate(&certificate)?;
        Ok(parse(&der)?.validity().not_after.timestamp() > to_i64(now + RENEW_DAYS * DAY))
    }

    fn make_authority(&self, now: u64) -> anyhow::Result<()> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::default();
        // Every authority has a name of its own: clients confuse two keys under one name.
        let mut id = [0; 4];
        getrandom::fill(&mut id).context("no random bytes from the system")?;
        params.distinguished_name =
            common_name(&format!("Lazuli CA {:08x}", u32::from_be_bytes(id)));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        (params.not_before, params.not_after) = validity(now, AUTHORITY_DAYS);
        let certificate = params.self_signed(&key)?;
        write_private(&self.authority_key(), key.serialize_pem().as_bytes())?;
        write_public(&self.authority(), certificate.pem().as_bytes())?;
        Ok(())
    }

    /// Whether certificate and key belong together, are the authority's, are for these names and last long enough.
    fn server_is_fit(&self, names: &BTreeSet<CertificateName>, now: u64) -> bool {
        let fit = || -> anyhow::Result<bool> {
            Pem::read(&self.chain(), &self.key())?.to_tls()?;
            let (server, authority) = (
                read_certificate(&self.chain())?,
                read_certificate(&self.authority())?,
            );
            let (server, authority) = (parse(&server)?, parse(&authority)?);
            let from = server.validity().not_before.timestamp();
            let until = server.validity().not_after.timestamp();
            Ok(server.issuer() == authority.subject()
                && names_of(&server) == *names
                && from <= to_i64(now)
                && until > to_i64(now + RENEW_DAYS * DAY))
        };
        fit().unwrap_or(false)
    }

    fn make_server(&self, names: &BTreeSet<CertificateName>, now: u64) -> anyhow::Result<()> {
        let authority_key = self.authority_key();
        let key = KeyPair::from_pem(&std::fs::read_to_string(&authority_key)?)
            .with_context(|| format!("{} is not a private key", authority_key.display()))?;
        let issuer = Issuer::from_ca_cert_der(&read_certificate(&self.authority())?, key)?;

        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params =
            CertificateParams::new(names.iter().map(|name| name.0.clone()).collect::<Vec<_>>())?;
        params.distinguished_name = common_name("Lazuli");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        (params.not_before, params.not_after) = validity(now, SERVER_DAYS);
        let certificate = params.signed_by(&key, &issuer)?;
        // A crash between the two leaves a pair that does not match, which the next start replaces.
        write_private(&self.key(), key.serialize_pem().as_bytes())?;
        write_public(&self.chain(), certificate.pem().as_bytes())?;
        Ok(())
    }
}

impl Ensured {
    fn max_with(self, other: Ensured) -> Ensured {
        if self == Ensured::AuthorityMade {
            self
        } else {
            other
        }
    }
}

/// The names that the made certificate has to be valid for: this computer's, the configured ones, and those that the
/// registries are reached by.
pub(crate) fn names(
    configured: impl IntoIterator<Item = CertificateName>,
) -> BTreeSet<CertificateName> {
    let mut names: BTreeSet<CertificateName> = ["localhost", "127.0.0.1", "::1"]
        .map(|name| CertificateName(name.to_owned()))
        .into();
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .to_ascii_lowercase();
    if is_host_name(&host) {
        names.insert(CertificateName(host));
    }
    names.extend(configured);
    names
}

/// A certificate chain and its key, as PEM.
#[derive(Debug)]
pub(crate) struct Pem {
    pub(crate) chain: Vec<u8>,
    pub(crate) key: Vec<u8>,
}

impl Pem {
    /// Reads the two files.
    pub(crate) fn read(chain: &Path, key: &Path) -> anyhow::Result<Pem> {
        let read = |path: &Path| {
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
        };
        Ok(Pem {
            chain: read(chain)?,
            key: read(key)?,
        })
    }

    /// What a listener needs; an error if the two do not belong together.
    pub(crate) fn to_tls(&self) -> Result<Tls, TlsError> {
        Tls::from_pem(&self.chain, &self.key)
    }
}

fn read_certificate(path: &Path) -> anyhow::Result<CertificateDer<'static>> {
    CertificateDer::from_pem_file(path)
        .with_context(|| format!("{} cannot be read as a certificate (PEM)", path.display()))
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> anyhow::Result<X509Certificate<'a>> {
    Ok(X509Certificate::from_der(der)
        .context("not a certificate")?
        .1)
}

/// The subject alternative names, as the configuration writes them.
fn names_of(certificate: &X509Certificate<'_>) -> BTreeSet<CertificateName> {
    let Ok(Some(names)) = certificate.subject_alternative_name() else {
        return BTreeSet::new();
    };
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let address = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let address = address.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
            address.ok().map(|address| address.to_string())
        }
        _ => None,
    };
    names
        .value
        .general_names
        .iter()
        .filter_map(text)
        .map(CertificateName)
        .collect()
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// From a day before `now` until `days` after that.
fn validity<T>(now: u64, days: u64) -> (T, T)
where
    T: From<std::time::SystemTime>,
{
    let from = now.saturating_sub(EARLY_DAYS * DAY);
    let at = |seconds: u64| T::from(std::time::UNIX_EPOCH + Duration::from_secs(seconds));
    (at(from), at(from + days * DAY))
}

fn to_i64(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "certificates_tests.rs"]
mod tests;
