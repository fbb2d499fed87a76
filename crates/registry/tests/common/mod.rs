//! A registry on a database in a temporary folder and blobs in memory, with a clock that moves when told to.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lazuli_blobs::MemoryStore;
use lazuli_db::clock::{Clock, ManualClock};
use lazuli_db::{Db, PostgresOptions, SqliteOptions};
use lazuli_identity::{Delete, Permission, Pull, Push, RegistryId, RepositoryAccess, testing};
use lazuli_registry::manifests::{NewManifest, Stored};
use lazuli_registry::uploads::{Incoming, Session, SessionRequest};
use lazuli_registry::{CacheOptions, Error, Options, Registry, Result};
use lazuli_wire::oci::{Algorithm, Digest, ManifestLimits, Reference, RepositoryName, Tag};

pub const HOUR: Duration = Duration::from_hours(1);
pub const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// What has to outlive the registry.
pub enum Keep {
    Folder(tempfile::TempDir),
    Database(lazuli_testkit::postgres::Database),
}

/// Makes each of the named functions a test on SQLite and a test on PostgreSQL.
#[macro_export]
macro_rules! on_both_engines {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::common::Fixture::new().await).await;
            })*
        }

        mod postgresql {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                if let Some(fixture) = $crate::common::Fixture::on_postgresql().await {
                    super::$name(fixture).await;
                }
            })*
        }
    };
}

pub struct Fixture {
    pub registry: Registry,
    pub clock: Arc<ManualClock>,
    pub db: Db,
    pub store: Arc<MemoryStore>,
    keep: Keep,
}

pub fn options() -> Options {
    Options {
        origin: 1,
        session_key: [1; 32],
        inline_blob_max: 64,
        blob_max: 1 << 30,
        // Granted leases last half as long again: an hour.
        lease: HOUR * 2 / 3,
        upload_expiry: 24 * HOUR,
        manifest: ManifestLimits::default(),
        tags_per_push: 10,
        cache: CacheOptions::default(),
        staleness: Duration::ZERO,
    }
}

impl Fixture {
    /// On SQLite.
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open_sqlite(SqliteOptions::new(folder.path().join("lazuli.db"))).unwrap();
        Self::on(db, Keep::Folder(folder)).await
    }

    /// On PostgreSQL; `None` on a machine without it, which is said aloud and fails under `CI=true`.
    pub async fn on_postgresql() -> Option<Self> {
        let database = lazuli_testkit::postgres::Database::create()?;
        let db = Db::open_postgres(PostgresOptions {
            connections: 4,
            ..PostgresOptions::new(database.url())
        })
        .unwrap();
        Some(Self::on(db, Keep::Database(database)).await)
    }

    async fn on(db: Db, keep: Keep) -> Self {
        let clock = Arc::new(ManualClock::new(1_800_000_000_000_000));
        let store = Arc::new(MemoryStore::new());
        let registry = Registry::open(db.clone(), store.clone(), clock.clone(), options())
            .await
            .unwrap();
        Self {
            registry,
            clock,
            db,
            store,
            keep,
        }
    }

    /// Another node on the same data, with connections of its own. On SQLite, which has one, the same registry again.
    pub async fn node(&self) -> Registry {
        self.node_with(self.clock.clone(), options()).await
    }

    /// As [`Self::node`], with a clock and options of its own.
    pub async fn node_with(&self, clock: Arc<dyn Clock>, options: Options) -> Registry {
        let Keep::Database(database) = &self.keep else {
            return self.registry.clone();
        };
        let db = Db::open_postgres(PostgresOptions {
            connections: 4,
            ..PostgresOptions::new(database.url())
        });
        Registry::open(db.unwrap(), self.store.clone(), clock, options)
            .await
            .unwrap()
    }

    /// The same data, as another process sees it after a restart.
    pub async fn restarted(&self) -> Registry {
        Registry::open(
            self.db.clone(),
            self.store.clone(),
            self.clock.clone(),
            options(),
        )
        .await
        .unwrap()
    }
}

pub fn access<P: Permission>(name: &str) -> RepositoryAccess<P> {
    testing::repository_access(RegistryId::DEFAULT, &RepositoryName::parse(name).unwrap())
}

pub fn pull(name: &str) -> RepositoryAccess<Pull> {
    access(name)
}

pub fn push(name: &str) -> RepositoryAccess<Push> {
    access(name)
}

pub fn delete(name: &str) -> RepositoryAccess<Delete> {
    access(name)
}

/// A body of some pieces, which may break off.
pub struct Body {
    pieces: VecDeque<Bytes>,
    length: Option<u64>,
    breaks: bool,
}

impl Body {
    pub fn of(bytes: &[u8]) -> Self {
        Self {
            pieces: VecDeque::from([Bytes::copy_from_slice(bytes)]),
            length: Some(bytes.len() as u64),
            breaks: false,
        }
    }

    pub fn streamed(bytes: &[u8], piece: usize) -> Self {
        Self {
            pieces: bytes.chunks(piece).map(Bytes::copy_from_slice).collect(),
            length: None,
            breaks: false,
        }
    }

    pub fn broken(bytes: &[u8]) -> Self {
        Self {
            breaks: true,
            ..Self::of(bytes)
        }
    }

    pub fn empty() -> Self {
        Self {
            pieces: VecDeque::new(),
            length: Some(0),
            breaks: false,
        }
    }
}

impl Incoming for Body {
    fn length(&self) -> Option<u64> {
        self.length
    }

    async fn next(&mut self) -> Option<Result<Bytes>> {
        match self.pieces.pop_front() {
            Some(piece) => Some(Ok(piece)),
            None if self.breaks => Some(Err(Error::BodyIncomplete)),
            None => None,
        }
    }
}

pub fn request(session: &Session) -> SessionRequest<'_> {
    SessionRequest {
        id: session.id,
        state: session.state.as_deref(),
        range: None,
    }
}

pub async fn push_blob(registry: &Registry, name: &str, bytes: &[u8]) -> Digest {
    let digest = Digest::of(Algorithm::Sha256, bytes);
    let session = registry
        .start_upload(&push(name), Algorithm::Sha256)
        .unwrap();
    registry
        .finish_upload(
            &push(name),
            request(&session),
            &digest,
            &mut Body::of(bytes),
        )
        .await
        .unwrap();
    digest
}

pub fn image(
    config: &Digest,
    config_size: usize,
    layers: &[(Digest, usize)],
    extra: &str,
) -> String {
    let layers: Vec<_> = layers
        .iter()
        .map(|(d, n)| format!(r#"{{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"{d}","size":{n}}}"#))
        .collect();
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":{config_size}}},"layers":[{}]{extra}}}"#,
        layers.join(",")
    )
}

pub async fn put(
    registry: &Registry,
    name: &str,
    reference: &str,
    media_type: &str,
    body: &str,
) -> Result<Stored> {
    let new = NewManifest {
        reference: Reference::parse(reference).unwrap(),
        content_type: Some(media_type.into()),
        body: Bytes::copy_from_slice(body.as_bytes()),
        tags: Vec::new(),
        condition: None,
    };
    registry
        .put_manifest(&push(name), new, &"request".into())
        .await
}

/// Pushes an image of one configuration and one layer, made of `seed`.
pub async fn push_image(
    registry: &Registry,
    name: &str,
    tag: &str,
    seed: &str,
) -> (Digest, Digest) {
    let config = push_blob(registry, name, format!("config {seed}").as_bytes()).await;
    let layer_bytes = format!("layer {seed} ").repeat(20);
    let layer = push_blob(registry, name, layer_bytes.as_bytes()).await;
    let body = image(&config, 7 + seed.len(), &[(layer, layer_bytes.len())], "");
    (
        put(registry, name, tag, OCI, &body).await.unwrap().digest,
        layer,
    )
}

pub fn tag(name: &str) -> Reference {
    Reference::Tag(Tag::parse(name).unwrap())
}
