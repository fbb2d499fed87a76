//! From settings to the parts of a registry: database, blob store, registry, HTTP server.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use lazuli_api::{Api, ApiOptions, Cors, Exposition, HostedRegistry, Naming, ResolverOptions};
use lazuli_db::clock::Clock;
use lazuli_db::{Db, PostgresOptions, SqliteOptions, params};
use lazuli_identity::{Identity, RegistryId};
use lazuli_registry::retention::Retention;
use lazuli_registry::{CacheOptions, Registry, gc};
use lazuli_wire::oci::{Algorithm, Digest, ManifestLimits};

use crate::bounds;
use crate::config::{DatabaseUrl, Settings};
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
        limits: bounds::limits(settings),
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

pub(crate) fn to_usize(bytes: u64) -> usize {
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
