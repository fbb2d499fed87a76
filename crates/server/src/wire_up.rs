//! From settings to the parts of a registry: database, blob store, identity, registry.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use lazuli_api::{
    Api, ApiOptions, Cors, Exposition, HostedRegistry, Limits, Naming, Quota, Quotas, Rate,
    ResolverOptions,
};
use lazuli_control::{Control, ControlOptions};
use lazuli_db::clock::Clock;
use lazuli_db::{Db, PostgresOptions, SqliteOptions, params};
use lazuli_identity::{
    DirectoryOptions, FirstStart, Identity, IdentityOptions, KeyError, RegistryId,
};
use lazuli_registry::retention::Retention;
use lazuli_registry::{CacheOptions, Registry, gc};
use lazuli_wire::oci::{Algorithm, Digest, ManifestLimits};

use crate::config::{Configuration, DatabaseUrl, QuotaTier, Settings};
use crate::data_folder::DataFolder;
use crate::storage;
pub(crate) use crate::time::{clock, clock_of};

/// Tags that one push of a manifest may set.
const TAGS_PER_PUSH: usize = 100;

/// Seconds since the Unix epoch.
pub(crate) fn unix_seconds(clock: &dyn Clock) -> u64 {
    u64::try_from(clock.now_us() / 1_000_000).unwrap_or(0)
}

/// Opens the database, and brings its schema up to date.
pub(crate) fn open_database(settings: &Settings, folder: &DataFolder) -> anyhow::Result<Db> {
    open_database_and(settings, folder, true)
}

/// Opens the database for a command beside servers, whose schema is not to change under them.
pub(crate) fn open_database_beside(settings: &Settings, folder: &DataFolder) -> anyhow::Result<Db> {
    open_database_and(settings, folder, false)
}

fn open_database_and(
    settings: &Settings,
    folder: &DataFolder,
    upgrade: bool,
) -> anyhow::Result<Db> {
    let connections = settings.database.connections as usize;
    match &settings.database.url {
        DatabaseUrl::Embedded => {
            let path = folder.database();
            let mut options = SqliteOptions::new(&path);
            if connections > 0 {
                options.readers = connections;
            }
            Db::open_sqlite(options)
                .with_context(|| format!("cannot open the database {}", path.display()))
        }
        DatabaseUrl::Postgres(url) => {
            let mut options = PostgresOptions::new(url.as_str());
            options.upgrade = upgrade;
            if connections > 0 {
                options.connections = connections;
            }
            let masked = settings.database.url.masked();
            Db::open_postgres(options).with_context(|| format!("cannot open the database {masked}"))
        }
    }
}

/// Opens identity as the server does: the configuration says how the default registry is called and, if it says so at all,
/// who may pull.
pub(crate) async fn open_identity(
    configuration: &Configuration,
    db: &Db,
    clock: &Arc<dyn Clock>,
    master_key: &[u8; 32],
) -> anyhow::Result<(Identity, Option<FirstStart>)> {
    let settings = &configuration.settings;
    // What was not configured may have been set by az.
    let anonymous_pull = configuration
        .is_set("anonymous_pull")
        .then_some(settings.general.anonymous_pull);
    let options = IdentityOptions {
        anonymous_pull,
        admin_enabled: settings.admin.enabled,
        admin_password: settings.admin.password.clone(),
        ..IdentityOptions::new(settings.general.registry_name.0.as_str())
    };
    let (identity, first_start) = Identity::open(db.clone(), clock.clone(), master_key, options)
        .await
        .map_err(identity_error)?;
    install_directory(settings, &identity, first_start.as_ref()).await?;
    Ok((identity, first_start))
}

/// Makes the directory at first start. Its first administrator has the admin user's first password.
async fn install_directory(
    settings: &Settings,
    identity: &Identity,
    first_start: Option<&FirstStart>,
) -> anyhow::Result<()> {
    let generated = first_start.and_then(|first| first.generated_password.clone());
    let options = DirectoryOptions {
        domain: naming(settings, None).domain,
        admin_password: generated.or_else(|| settings.admin.password.clone()),
    };
    let start = identity.install_directory(options).await;
    let start = start.context("cannot make the directory")?;
    if let Some(made) = start.made
        && made.generated_password.is_some()
    {
        tracing::warn!(
            name = made.name,
            "the directory is new and its administrator has no password yet: run `lazuli identity user set-password admin`"
        );
    }
    Ok(())
}

fn identity_error(error: lazuli_identity::Error) -> anyhow::Error {
    if let lazuli_identity::Error::Password(_) = error {
        return anyhow::Error::new(error)
            .context("LAZULI_ADMIN_PASSWORD cannot be the admin user's password");
    }
    let wrong_key = matches!(error, lazuli_identity::Error::Key(KeyError::WrongMasterKey));
    let error = anyhow::Error::new(error);
    if wrong_key {
        error.context(
            "the secrets in this database were sealed with another master key: give the one that its first server made \
             (the file master.key in its data folder) by LAZULI_MASTER_KEY or master_key_file",
        )
    } else {
        error.context("cannot open the identities")
    }
}

/// Opens identity for a command beside a server, which may have been started with other settings: everything stays as
/// the server made it.
pub(crate) async fn open_identity_beside(
    db: &Db,
    clock: &Arc<dyn Clock>,
    master_key: &[u8; 32],
) -> anyhow::Result<Identity> {
    let name = db
        .read(|tx| {
            let id = RegistryId::DEFAULT.get();
            tx.query_one(
                "SELECT name FROM registries WHERE id = ?1",
                params![id],
                |row| row.get_string(0),
            )
        })
        .await?;
    let name = name.context("the database holds no registry yet: start lazuli once")?;
    let (identity, _) = Identity::open(
        db.clone(),
        clock.clone(),
        master_key,
        IdentityOptions::new(name),
    )
    .await
    .map_err(identity_error)?;
    Ok(identity)
}

/// Opens the management plane; at first start it gets its subscription, resource group and default registry.
pub(crate) async fn open_control(
    registry: &Registry,
    identity: &Identity,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Control> {
    let options = ControlOptions::default();
    let control = Control::new(registry.clone(), identity.clone(), clock.clone(), options);
    let tenant = identity.tenant().await.context("there is no directory")?;
    control
        .install(tenant.id)
        .await
        .context("cannot make the first subscription")?;
    Ok(control)
}

/// Opens the blob store and the registry.
pub(crate) async fn open_registry(
    settings: &Settings,
    folder: &Path,
    db: &Db,
    clock: &Arc<dyn Clock>,
    master_key: &[u8; 32],
) -> anyhow::Result<Registry> {
    let store = storage::open(settings, folder).await?;
    if db.engine() != "sqlite" {
        storage::check(settings, db, &folder.join("store-id")).await?;
    }
    let options = lazuli_registry::Options {
        origin: origin(db).await?,
        session_key: derive(master_key, "upload sessions"),
        inline_blob_max: to_usize(settings.storage.inline_blob_max.0),
        blob_max: settings.limits.blob_bytes.0,
        lease: settings.leases.duration.0,
        upload_expiry: settings.uploads.expiry.0,
        manifest: ManifestLimits {
            max_bytes: to_usize(settings.limits.manifest_bytes.0),
            ..ManifestLimits::default()
        },
        tags_per_push: TAGS_PER_PUSH,
        cache: CacheOptions {
            manifests: settings.memory.manifest_cache.0,
            blobs: settings.memory.blob_cache.0,
            pages: settings.memory.page_cache.0,
        },
        staleness: settings.cluster.staleness.0,
    };
    Registry::open(db.clone(), store, clock.clone(), options)
        .await
        .context("cannot open the registry")
}

/// How garbage is collected.
pub(crate) fn gc_options(settings: &Settings) -> gc::Options {
    let lease = settings.leases.duration.0;
    gc::Options {
        condemned_for: lease.max(storage::sent_for(settings)),
        enabled: settings.gc.enabled,
        interval: settings.gc.interval.0,
        retention: Retention {
            operations: settings.retention.operations.0,
            usage_hours: settings.retention.usage_hours.0,
            usage_days: settings.retention.usage_days.0,
            ..Retention::default()
        },
        ..gc::Options::new(lease)
    }
}

/// The limits of the HTTP server.
pub(crate) fn limits(settings: &Settings) -> Limits {
    let limits = &settings.limits;
    let rate = f64::from(limits.requests_per_second);
    let burst = match limits.requests_burst {
        0 => rate * 2.0,
        burst => f64::from(burst),
    };
    Limits {
        max_connections: limits.max_connections as usize,
        max_header_bytes: to_usize(limits.request_header_bytes.0),
        header_timeout: limits.header_timeout.0,
        handshake_timeout: limits.handshake_timeout.0,
        keep_alive: limits.idle_timeout.0,
        body_stall: limits.body_stall_timeout.0,
        write_stall: limits.response_stall_timeout.0,
        max_manifest_bytes: limits.manifest_bytes.0,
        max_blob_bytes: limits.blob_bytes.0,
        buffered_bodies: to_usize(limits.buffered_bytes.0),
        max_uploads: limits.max_concurrent_uploads as usize,
        rate: (limits.requests_per_second > 0).then_some(Rate {
            per_second: rate,
            burst,
        }),
        quotas: quotas(settings),
        shutdown_grace: limits.shutdown_grace.0,
        ..Limits::default()
    }
}

fn quotas(settings: &Settings) -> Quotas {
    let given = &settings.quotas;
    let tier = match given.tier {
        QuotaTier::Off => Quotas::default(),
        QuotaTier::Standard => Quotas::STANDARD,
        QuotaTier::Premium => Quotas::PREMIUM,
    };
    let or = |number: u32, tier: Option<u32>| if number > 0 { Some(number) } else { tier };
    let quota = |registry: u32, identity: u32, tier: Quota| Quota {
        registry: or(registry, tier.registry),
        identity: or(identity, tier.identity),
    };
    Quotas {
        read: quota(given.read_per_registry, given.read_per_identity, tier.read),
        write: quota(
            given.write_per_registry,
            given.write_per_identity,
            tier.write,
        ),
        delete: quota(
            given.delete_per_registry,
            given.delete_per_identity,
            tier.delete,
        ),
        referrers: quota(
            given.referrers_per_registry,
            given.referrers_per_identity,
            tier.referrers,
        ),
        token: quota(given.tokens_per_registry, 0, tier.token),
    }
}

/// The names under which clients find this server. `https`: where it listens.
pub(crate) fn naming(settings: &Settings, https: Option<SocketAddr>) -> Naming {
    let suffix = settings.general.domain_suffix.as_ref();
    Naming {
        domain: settings.azure.domain.0.clone(),
        suffix: suffix.map(|suffix| suffix.0.clone()),
        https_port: https.map(|address| address.port()),
    }
}

/// Puts the HTTP server on top of registry and identity.
pub(crate) async fn open_api(
    settings: &Settings,
    registry: &Registry,
    identity: &Identity,
    clock: &Arc<dyn Clock>,
    https: Option<SocketAddr>,
) -> anyhow::Result<Api> {
    let general = &settings.general;
    let options = ApiOptions {
        limits: limits(settings),
        resolver: ResolverOptions {
            suffixes: naming(settings, None).suffixes(),
            public_url: general.public_url.as_ref().map(|url| url.parsed.clone()),
            trusted_proxies: general
                .trusted_proxies
                .iter()
                .map(|network| network.parsed)
                .collect(),
            ..ResolverOptions::default()
        },
        cors: Cors {
            origins: general
                .cors_origins
                .iter()
                .map(|origin| origin.0.clone())
                .collect(),
        },
        metrics: settings.metrics.access,
        delete_enabled: settings.delete.enabled,
        naming: naming(settings, https),
        redirects: storage::redirects(settings),
    };
    let store = registry.store().clone();
    let free_space = move |out: &mut Exposition| {
        if let Ok(bytes) = store.free_space() {
            out.family(
                "lazuli_storage_free_bytes",
                "gauge",
                "Bytes that uploads may still take: what the file system has free, without storage.reserved_free_space.",
            );
            out.sample("", &[], bytes as f64);
        }
    };
    let clock = clock.clone();
    let clock_ahead = move |out: &mut Exposition| {
        out.family(
            "lazuli_wall_clock_ahead_seconds",
            "gauge",
            "How far the system's clock is ahead of the time the server goes by; not 0 when it was set meanwhile.",
        );
        out.sample("", &[], clock.wall_ahead_us() as f64 / 1e6);
    };
    let (node, moved) = (registry.clone(), registry.clone());
    let writes_closed = move |out: &mut Exposition| {
        out.family(
            "lazuli_writes_closed",
            "gauge",
            "1 when pushes and deletes are refused because the registry is being moved, or was; as of the last time this was asked.",
        );
        out.sample("", &[], f64::from(u8::from(moved.was_closed())));
    };
    let api = Api::new(registry.clone(), identity.clone(), options)
        .with_collector(Box::new(free_space))
        .with_collector(Box::new(clock_ahead))
        .with_collector(Box::new(writes_closed))
        .with_collector(Box::new(move |out| node_metrics(&node, out)));
    api.set_registries(hosted_registries(registry.db()).await?);
    Ok(api)
}

/// How a node follows the others.
fn node_metrics(registry: &Registry, out: &mut Exposition) {
    let Some(stats) = registry.node_stats() else {
        return;
    };
    out.family(
        "lazuli_node_polls_total",
        "counter",
        "How often the database was asked for changes by other nodes, each time for all requests that waited.",
    );
    out.sample("", &[], stats.polls as f64);
    out.family(
        "lazuli_node_changes_total",
        "counter",
        "Changes that were met, and what they concern forgotten from memory.",
    );
    out.sample("", &[], stats.operations as f64);
}

/// The registries of this server and how each is reached.
pub(crate) async fn hosted_registries(db: &Db) -> anyhow::Result<Vec<HostedRegistry>> {
    let registries = db
        .read(|tx| {
            let rows = tx.query(
                "SELECT id, name FROM registries ORDER BY id",
                params![],
                |row| Ok((row.get_i64(0)?, row.get_string(1)?)),
            )?;
            let hosts = tx.query(
                "SELECT registry_id, host FROM registry_hosts ORDER BY host",
                params![],
                |row| Ok((row.get_i64(0)?, row.get_string(1)?)),
            )?;
            Ok::<_, lazuli_db::Error>((rows, hosts))
        })
        .await?;
    let (rows, hosts) = registries;
    let hosts_of = |id: i64| {
        hosts
            .iter()
            .filter(|(owner, _)| *owner == id)
            .map(|(_, host)| host.clone())
            .collect()
    };
    Ok(rows
        .into_iter()
        .map(|(id, name)| HostedRegistry {
            id: RegistryId::new(id),
            name,
            hosts: hosts_of(id),
        })
        .collect())
}

/// This region's number in the operation log, given at first start.
async fn origin(db: &Db) -> anyhow::Result<u16> {
    let text = db.read(|tx| lazuli_db::settings::get(tx, "origin")).await?;
    text.and_then(|text| text.parse().ok())
        .context("the database does not say which region this is (settings.origin)")
}

/// A key for one purpose, the same at every start and on every node. The hash of a secret of full length: nobody who
/// sees what is made with one such key learns anything of another or of the master key.
pub(crate) fn derive(master_key: &[u8; 32], purpose: &str) -> [u8; 32] {
    let mut input = format!("lazuli key v1: {purpose}\0").into_bytes();
    input.extend_from_slice(master_key);
    let mut key = [0; 32];
    key.copy_from_slice(Digest::of(Algorithm::Sha256, &input).hash());
    key
}

fn to_usize(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_for_different_purposes_and_masters_differ() {
        let key = derive(&[7; 32], "upload sessions");
        assert_eq!(key, derive(&[7; 32], "upload sessions"));
        assert_ne!(key, derive(&[7; 32], "something else"));
        assert_ne!(key, derive(&[8; 32], "upload sessions"));
        assert_ne!(key, [7; 32]);
    }
}
