//! `lazuli serve`: from the command line to a running server, and from a signal to an orderly end.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use lazuli_api::{Api, Ended, Listeners, Naming};
use lazuli_db::clock::Clock;
use lazuli_identity::{FirstStart, Identity, RegistryId};
use lazuli_registry::Registry;
use lazuli_registry::gc::Gc;
use lazuli_registry::journal::Journal;
use lazuli_registry::scrub::Scrub;
use lazuli_wire::token::Secret;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tracing::field::display;

use crate::background::Background;
use crate::banner::{Admin, Banner};
use crate::config::{Configuration, Given, Mark, Settings, absolute};
use crate::data_folder::{DataFolder, Held, write_private};
use crate::https::Certificate;
use crate::logging::Logging;
use crate::process::{Request, Signals, raise_file_limit};
use crate::roster::{Https, Roster};
use crate::{
    collecting, commands, identities, journal, master_key, notify, peer, proxy, scrubbing, wire_up,
};

/// How often a made certificate is looked at while the server runs.
const CERTIFICATE_CHECK: Duration = Duration::from_hours(12);
/// How long each step after the last request may take.
const CLOSING: Duration = Duration::from_secs(10);

/// Serves until a signal says to stop.
pub(crate) fn run(given: &Given) -> anyhow::Result<()> {
    let configuration = Configuration::load(given)?;
    let logging = Logging::start(&configuration.settings.log)?;
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("lazuli")
        .build()?;
    let outcome = runtime.block_on(async {
        let server = Server::start(&configuration).await?;
        server.run(given, configuration, &logging).await
    });
    // What the blocking pool still does must not hold up the end.
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

/// A server that listens and has everything it needs to answer.
struct Server {
    _held: Held,
    folder: DataFolder,
    signals: Signals,
    clock: Arc<dyn Clock>,
    registry: Registry,
    identity: Identity,
    gc: Gc,
    scrub: Scrub,
    journal: Option<Journal>,
    api: Arc<Api>,
    listeners: Listeners,
    roster: Roster,
    proxy: Option<(TcpListener, SocketAddr)>,
    naming: Arc<Naming>,
    banner: Banner,
}

impl Server {
    async fn start(configuration: &Configuration) -> anyhow::Result<Server> {
        let settings = &configuration.settings;
        let signals = Signals::listen()?;
        let (folder, held) = DataFolder::hold(&settings.general.data_dir)?;
        let master_key = master_key::for_server(settings, &folder, &held)?;
        if let Some(mode) = folder.permissions_for_others() {
            let folder = folder.path().display();
            tracing::warn!(%folder, mode = format!("{mode:o}"), "others on this computer can look into the data folder");
        }
        let clock = wire_up::clock();
        let certificate = Certificate::of(settings, &folder);
        // Listening comes first: an address in use is the likeliest mistake, and should change nothing.
        let mut listeners = Listeners::default();
        let http = settings
            .general
            .http
            .address()
            .map(|address| listen("http", address))
            .transpose()?;
        let https = settings
            .general
            .https
            .address()
            .map(|address| listen("https", address))
            .transpose()?;
        let addresses = (local(http.as_ref()), local(https.as_ref()));
        listeners.http.extend(http);
        let proxy = proxy::listen(settings, addresses.1)?;
        let tls = match https {
            Some(listener) => {
                let tls = certificate.open(wire_up::unix_seconds(&*clock))?;
                listeners.https.push((listener, tls.clone()));
                Some(tls)
            }
            None => None,
        };
        warn_of_plain_http(settings);

        let db = wire_up::open_database(settings, &folder)?;
        commands::migrate::look(&db).await?;
        journal::check_first_start(settings, &folder, &db).await?;
        let clock = wire_up::clock_of(&db).await?;
        let (identity, first_start) =
            identities::open_identity(configuration, &db, &clock, &master_key).await?;
        if let Some(first_start) = first_start {
            keep_password(&folder, &first_start)?;
        }
        let registry =
            wire_up::open_registry(settings, folder.path(), &db, &clock, &master_key).await?;
        let gc = Gc::open(&registry, wire_up::gc_options(settings)).await?;
        let scrub = Scrub::open_with(
            &registry,
            scrubbing::options(settings),
            peer::open(settings)?,
        )
        .await?;
        let journal = journal::open(settings, &registry, &master_key).await?;
        let control = identities::open_control(&registry, &identity, &clock).await?;
        let api = wire_up::open_api(settings, &registry, &identity, &clock, addresses.1).await?;
        let api = api.with_control(control.clone());
        let api = api.with_collector(scrubbing::collector(&scrub));
        let mut api = api.with_collector(collecting::collector(&gc));
        if let Some(journal) = &journal {
            api = api.with_collector(journal::collector(journal.clone()));
        }
        let api = Arc::new(api);
        let banner = Banner {
            http: addresses.0,
            https: addresses.1,
            public_url: settings
                .general
                .public_url
                .as_ref()
                .map(ToString::to_string),
            authority: certificate.authority().map(|path| absolute(&path)),
            data_dir: absolute(folder.path()),
            admin: settings.admin.enabled.then(|| Admin {
                name: settings.general.registry_name.0.clone(),
                password_file: Some(absolute(&folder.password_file("password")))
                    .filter(|path| path.metadata().is_ok()),
            }),
            administrator: format!("admin@{}", settings.azure.domain.0),
            flags: commands::az_env::flags(configuration),
        };
        let https = tls.zip(addresses.1);
        let https = https.map(|(tls, address)| Https::new(address, tls, certificate));
        let (later, more) = mpsc::unbounded_channel();
        listeners.later = Some(more);
        let roster = Roster::new(db, api.clone(), clock.clone(), https, later);
        roster.refresh().await?;
        control.set_hosts(Arc::new(roster.clone()));
        Ok(Server {
            _held: held,
            folder,
            signals,
            clock,
            registry,
            identity,
            gc,
            scrub,
            journal,
            api,
            listeners,
            roster,
            proxy,
            naming: Arc::new(wire_up::naming(settings, addresses.1)),
            banner,
        })
    }

    async fn run(
        mut self,
        given: &Given,
        mut configuration: Configuration,
        logging: &Logging,
    ) -> anyhow::Result<()> {
        let mut background = Background::start(
            &configuration.settings,
            &self.registry,
            &self.identity,
            &self.gc,
            &self.scrub,
            &self.clock,
        );
        if let Some(journal) = self.journal.clone() {
            background.keep("journal", move || {
                let journal = journal.clone();
                async move { journal.run().await }
            });
        }
        let roster = self.roster.clone();
        background.keep("registries", move || {
            let roster = roster.clone();
            async move { roster.run().await }
        });
        if let Some((listener, server)) = self.proxy.take() {
            let (listener, naming) = (Arc::new(listener), self.naming.clone());
            background.keep("proxy", move || {
                let (listener, naming) = (listener.clone(), naming.clone());
                async move { proxy::run(&listener, naming, server).await }
            });
        }
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = lazuli_api::serve(
            self.api.clone(),
            std::mem::take(&mut self.listeners),
            async {
                let _ = stopped.await;
            },
        );
        let mut serving = std::pin::pin!(serving);
        // Standard output may be closed; that is no reason not to serve.
        let _ = writeln!(std::io::stdout(), "{}", self.banner.render());
        notify::notify(notify::READY);
        let (http, https) = (
            self.banner.http.map(display),
            self.banner.https.map(display),
        );
        tracing::info!(version = env!("CARGO_PKG_VERSION"), http, https, "ready");
        if let Some(password) = configuration.settings.admin.password.clone() {
            tokio::spawn(warn_of_other_password(self.identity.clone(), password));
        }

        let mut stop = Some(stop);
        let mut certificate_check = tokio::time::interval(CERTIFICATE_CHECK);
        certificate_check.reset();
        let ended = loop {
            tokio::select! {
                ended = &mut serving => break ended,
                request = self.signals.next() => match (request, stop.take()) {
                    (Request::Stop, Some(first)) => {
                        tracing::info!("stopping; transfers may finish, a second signal stops at once");
                        notify::notify(notify::STOPPING);
                        let _ = first.send(());
                    }
                    (Request::Stop, None) => {
                        tracing::warn!("stopped at once by a second signal");
                        bail!("stopped at once; transfers were cut off");
                    }
                    (Request::Reload, not_stopped) => {
                        stop = not_stopped;
                        self.reload(given, &mut configuration, logging);
                    }
                },
                _ = certificate_check.tick() => self.roster.reload_certificate(),
            }
        };
        if ended == Ended::Cut {
            tracing::warn!(
                "some transfers took longer than limits.shutdown_grace and were cut off"
            );
        }
        if self.journal.is_some() {
            // It holds what is numbered.
            let log = self.registry.log().clone();
            if !matches!(log.await_numbers(CLOSING).await, Ok(true)) {
                tracing::warn!("the last changes have no numbers yet: the journal lacks them");
            }
        }
        background.stop().await;
        self.close().await
    }

    /// SIGHUP: reads the configuration again and applies what can be applied to a running server.
    fn reload(&mut self, given: &Given, configuration: &mut Configuration, logging: &Logging) {
        let new = match Configuration::load(given) {
            Ok(new) => new,
            Err(error) => return tracing::error!(%error, "nothing was reloaded"),
        };
        let changed = configuration.changed_keys(&new);
        let (applied, waiting): (Vec<_>, Vec<_>) =
            changed.into_iter().partition(|key| key.is(Mark::Reload));
        if let Err(error) = logging.reload(&new.settings.log) {
            tracing::error!(%error, "the log levels stay as they are");
        }
        self.roster
            .set_certificate(Certificate::of(&new.settings, &self.folder));
        self.roster.reload_certificate();
        let names = |keys: &[&crate::config::Key]| {
            keys.iter()
                .map(|key| key.name)
                .collect::<Vec<_>>()
                .join(" ")
        };
        tracing::info!(changed = names(&applied), "reloaded");
        if !waiting.is_empty() {
            tracing::warn!(keys = names(&waiting), "these changes wait for a restart");
        }
        *configuration = new;
    }

    /// After the last request. Everything acknowledged is durable already: a failure here costs the next start time.
    async fn close(self) -> anyhow::Result<()> {
        let db = self.registry.db().clone();
        self.registry
            .transfers()
            .flush(&db, &*self.clock)
            .await
            .context("counted transfers were lost")?;
        // At worst it reads half a minute's bytes again.
        if let Err(error) = self.scrub.close().await {
            tracing::warn!(%error, "how far the scrub is could not be written down");
        }
        // What is missing in it comes with the next start.
        if let Some(journal) = &self.journal {
            match tokio::time::timeout(CLOSING, journal.close()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "the journal lacks the last changes"),
                Err(_) => tracing::warn!("the journal lacks the last changes: the bucket is slow"),
            }
        }
        self.gc
            .close()
            .await
            .context("garbage collection did not end in order")?;
        drop(self);
        db.close(CLOSING)
            .await
            .context("the database did not close in order")?;
        tracing::info!("stopped");
        Ok(())
    }
}

fn listen(key: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    lazuli_api::listen(address).with_context(|| {
        format!("cannot listen on {address}; give {key} another address with --{key}, or \"off\"")
    })
}

fn local(listener: Option<&TcpListener>) -> Option<SocketAddr> {
    listener.and_then(|listener| listener.local_addr().ok())
}

/// The configured password counts at first start only. Comparing takes long, so that nobody waits for it.
async fn warn_of_other_password(identity: Identity, password: Secret) {
    let compared = identity.is_admin_password(RegistryId::DEFAULT, password.expose());
    if let Ok(false) = compared.await {
        tracing::warn!(
            "LAZULI_ADMIN_PASSWORD is not the admin user's password: it counts only when the data folder is made; \
             `lazuli admin reset-password` makes a new one"
        );
    }
}

fn warn_of_plain_http(settings: &Settings) {
    let Some(address) = settings.general.http.address() else {
        return;
    };
    let encrypted_outside = settings
        .general
        .public_url
        .as_ref()
        .is_some_and(|url| url.to_string().starts_with("https"));
    if !address.ip().is_loopback() && !encrypted_outside {
        tracing::warn!(%address, "plain HTTP beyond loopback: passwords and tokens cross the network unencrypted");
    }
}

/// Writes the generated password to where the administrator finds it.
fn keep_password(folder: &DataFolder, first_start: &FirstStart) -> anyhow::Result<()> {
    let Some(password) = &first_start.generated_password else {
        return Ok(());
    };
    write_private(&folder.password_file("password"), format!("{}\n", password.expose()).as_bytes()).context(
        "the generated admin password could not be written; make a new one with `lazuli admin reset-password`",
    )
}
