//! The certificate of the HTTPS listener: one's own or the made one, at the start and again whenever it changes.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Context as _;
use lazuli_api::Tls;

use crate::certificates::{self, Ensured, MadeCertificates, Pem};
use crate::config::{CertificateName, Settings};
use crate::data_folder::DataFolder;
use crate::wire_up;

/// Where the certificate comes from.
#[derive(Clone, Debug)]
pub(crate) enum Certificate {
    Own {
        chain: PathBuf,
        key: PathBuf,
    },
    Made {
        files: MadeCertificates,
        names: BTreeSet<CertificateName>,
    },
}

impl Certificate {
    pub(crate) fn of(settings: &Settings, folder: &DataFolder) -> Certificate {
        match (&settings.tls.certificate, &settings.tls.key) {
            (Some(chain), Some(key)) => Certificate::Own {
                chain: chain.clone(),
                key: key.clone(),
            },
            _ => Certificate::Made {
                files: MadeCertificates::new(folder.tls()),
                names: certificates::names(reached_by(settings)),
            },
        }
    }

    /// The same, also for these names and addresses, if it is a made one.
    pub(crate) fn also_for<'a>(&self, hosts: impl IntoIterator<Item = &'a str>) -> Certificate {
        let mut certificate = self.clone();
        if let Certificate::Made { names, .. } = &mut certificate {
            names.extend(hosts.into_iter().filter_map(CertificateName::parse));
        }
        certificate
    }

    /// The certificate of the made authority, for clients to trust.
    pub(crate) fn authority(&self) -> Option<PathBuf> {
        match self {
            Certificate::Own { .. } => None,
            Certificate::Made { files, .. } => Some(files.authority()),
        }
    }

    /// Reads it; a made one is made first, if it is not there or no longer fit. `now`: seconds since the Unix epoch.
    fn read(&self, now: u64) -> anyhow::Result<Pem> {
        match self {
            Certificate::Own { chain, key } => Pem::read(chain, key),
            Certificate::Made { files, names } => {
                match files.ensure(names, now)? {
                    Ensured::Kept => {}
                    Ensured::ServerMade => {
                        tracing::info!(file = %files.chain().display(), "made a certificate");
                    }
                    Ensured::AuthorityMade => tracing::info!(
                        file = %files.authority().display(),
                        "made a certificate authority; clients of https have to trust it"
                    ),
                }
                Pem::read(&files.chain(), &files.key())
            }
        }
    }

    /// What a listener starts with.
    pub(crate) fn open(&self, now: u64) -> anyhow::Result<Tls> {
        self.read(now)?.to_tls().with_context(|| self.describe())
    }

    /// Gives a running listener what the files hold now. On an error the old certificate stays.
    pub(crate) fn reload(&self, tls: &Tls, now: u64) -> anyhow::Result<()> {
        let pem = self.read(now)?;
        tls.reload(&pem.chain, &pem.key)
            .with_context(|| self.describe())
    }

    fn describe(&self) -> String {
        match self {
            Certificate::Own { chain, key } => {
                format!(
                    "the certificate {} and key {} cannot be used",
                    chain.display(),
                    key.display()
                )
            }
            Certificate::Made { files, .. } => format!(
                "the made certificate {} cannot be used",
                files.chain().display()
            ),
        }
    }
}

/// The names that clients dial besides those of this computer.
fn reached_by(settings: &Settings) -> Vec<CertificateName> {
    let general = &settings.general;
    let mut names = settings.tls.names.clone();
    let mut add = |name: &str| names.extend(CertificateName::parse(name));
    if let Some(url) = &general.public_url {
        add(url.host());
    }
    if let Some(suffix) = &general.domain_suffix {
        add(&format!("*.{}", suffix.0));
    }
    for name in wire_up::naming(settings, None).certificate_names() {
        add(&name);
    }
    if let Some(address) = general
        .https
        .address()
        .filter(|address| !address.ip().is_unspecified())
    {
        add(&address.ip().to_string());
    }
    names
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::config::{Configuration, Given};

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        Configuration::load(&Given::of(pairs)).unwrap().settings
    }

    #[test]
    fn the_certificate_covers_every_way_in_which_the_server_is_reached() {
        let settings = settings(&[
            ("public_url", "https://hub.example:8443"),
            ("domain_suffix", "registries.example"),
            ("https", "192.0.2.9:443"),
            ("tls.names", "alias.example"),
        ]);
        let names: Vec<String> = reached_by(&settings)
            .into_iter()
            .map(|name| name.0)
            .collect();
        assert_eq!(
            names,
            [
                "alias.example",
                "hub.example",
                "*.registries.example",
                "management.lazuli.test",
                "login.lazuli.test",
                "*.azurecr.lazuli.test",
                "*.blob.core.lazuli.test",
                "192.0.2.9"
            ]
        );
    }

    #[test]
    fn own_files_that_cannot_be_used_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let (chain, key) = (folder.path().join("own.crt"), folder.path().join("own.key"));
        let own = Certificate::Own {
            chain: chain.clone(),
            key: key.clone(),
        };
        assert!(format!("{:#}", own.open(0).unwrap_err()).contains("own.crt"));
        std::fs::write(&chain, "no PEM").unwrap();
        std::fs::write(&key, "no PEM").unwrap();
        let message = format!("{:#}", own.open(0).unwrap_err());
        assert!(
            message.contains("own.crt") && message.contains("own.key"),
            "{message}"
        );
    }
}
