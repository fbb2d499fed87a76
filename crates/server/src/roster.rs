//! The registries as clients reach them: when one comes or goes, the names that lead to it, the loopback address that is its
//! own and the certificate follow.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use lazuli_api::{Api, Tls};
use lazuli_control::Hosts;
use lazuli_db::Db;
use lazuli_db::clock::Clock;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::https::Certificate;
use crate::wire_up;

/// How often it is looked for registries that another node made.
const LOOK: Duration = Duration::from_secs(5);

/// Where further listeners are given to a running server.
pub(crate) type Later = mpsc::UnboundedSender<(TcpListener, Option<Tls>)>;

/// What follows the registries. Cloning shares.
#[derive(Clone)]
pub(crate) struct Roster(Arc<Inner>);

struct Inner {
    db: Db,
    api: Arc<Api>,
    clock: Arc<dyn Clock>,
    https: Option<Https>,
    later: Later,
    /// One refresh at a time.
    turn: tokio::sync::Mutex<()>,
}

/// The HTTPS listener that the others are like.
pub(crate) struct Https {
    pub(crate) address: SocketAddr,
    pub(crate) tls: Tls,
    certificate: Mutex<Certificate>,
    /// The hosts that are in the certificate, and where it is listened besides.
    hosts: Mutex<BTreeSet<String>>,
    listening: Mutex<BTreeSet<SocketAddr>>,
}

impl Https {
    pub(crate) fn new(address: SocketAddr, tls: Tls, certificate: Certificate) -> Self {
        Self {
            address,
            tls,
            certificate: Mutex::new(certificate),
            hosts: Mutex::default(),
            listening: Mutex::default(),
        }
    }
}

impl Roster {
    pub(crate) fn new(
        db: Db,
        api: Arc<Api>,
        clock: Arc<dyn Clock>,
        https: Option<Https>,
        later: Later,
    ) -> Self {
        Self(Arc::new(Inner {
            db,
            api,
            clock,
            https,
            later,
            turn: tokio::sync::Mutex::default(),
        }))
    }

    /// Follows until the future is dropped.
    pub(crate) async fn run(&self) {
        let mut looks = tokio::time::interval(LOOK);
        loop {
            looks.tick().await;
            if let Err(error) = self.refresh().await {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "the registries could not be read again"
                );
            }
        }
    }

    /// Takes over the registries as they are now. Afterwards each is reached under all its names.
    pub(crate) async fn refresh(&self) -> anyhow::Result<()> {
        let inner = &self.0;
        let _turn = inner.turn.lock().await;
        let registries = wire_up::hosted_registries(&inner.db).await?;
        if let Some(https) = &inner.https {
            let hosts: BTreeSet<String> = registries
                .iter()
                .flat_map(|registry| &registry.hosts)
                .filter(|host| !host.starts_with(':'))
                .cloned()
                .collect();
            for host in &hosts {
                self.listen(https, host);
            }
            if *lock(&https.hosts) != hosts {
                *lock(&https.hosts) = hosts;
                self.reload_certificate();
            }
        }
        inner.api.set_registries(registries);
        Ok(())
    }

    /// Listens on a registry's own loopback address, beside the first one.
    fn listen(&self, https: &Https, host: &str) {
        let Ok(IpAddr::V4(ip)) = host.parse::<IpAddr>() else {
            return;
        };
        let is_beside = https.address.is_ipv4() && https.address.ip().is_loopback();
        let address = SocketAddr::new(ip.into(), https.address.port());
        if !ip.is_loopback() || !is_beside || address == https.address {
            return;
        }
        if !lock(&https.listening).insert(address) {
            return;
        }
        match lazuli_api::listen(address) {
            Ok(listener) => {
                let _ = self.0.later.send((listener, Some(https.tls.clone())));
            }
            Err(error) => {
                tracing::warn!(%address, %error, "a registry is not reached at its own address; domain_suffix gives names instead");
            }
        }
    }

    /// After the configuration was read again.
    pub(crate) fn set_certificate(&self, certificate: Certificate) {
        if let Some(https) = &self.0.https {
            *lock(&https.certificate) = certificate;
        }
    }

    /// Reads the certificate again, or makes a new one if it is time or names are missing. On an error the old one stays.
    pub(crate) fn reload_certificate(&self) {
        let Some(https) = &self.0.https else {
            return;
        };
        let hosts = lock(&https.hosts).clone();
        let certificate = lock(&https.certificate).also_for(hosts.iter().map(String::as_str));
        let now = wire_up::unix_seconds(&*self.0.clock);
        let reloaded = certificate
            .reload(&https.tls, now)
            .context("the certificate stays as it is");
        if let Err(error) = reloaded {
            tracing::error!(error = format!("{error:#}"), "TLS");
        }
    }
}

impl Hosts for Roster {
    /// A loopback address of its own, where the others listen on one: the same port of it leads to this registry.
    fn allocate(&self, _name: &str, taken: &[String]) -> Vec<String> {
        let is_beside = self
            .0
            .https
            .as_ref()
            .is_some_and(|https| https.address.is_ipv4() && https.address.ip().is_loopback());
        let free = is_beside.then(|| lazuli_api::free_address(taken.iter().map(String::as_str)));
        free.flatten()
            .map(|ip| ip.to_string())
            .into_iter()
            .collect()
    }

    fn changed(&self) -> lazuli_control::Pending {
        let roster = self.clone();
        Box::pin(async move {
            if let Err(error) = roster.refresh().await {
                let error = format!("{error:#}");
                tracing::warn!(error, "the registries could not be read again");
            }
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
