//! The rules of a registry: repositories, manifests, tags, blobs, uploads, referrers; the operation log; garbage collection.
//!
//! Each noun has its rules in `noun.rs` and its SQL in `noun/sql.rs`. Calls on a repository take a
//! [`RepositoryAccess`](lazuli_identity::RepositoryAccess), which only the identity crate can make. Nothing here knows HTTP.

pub mod attributes;
pub mod blobs;
pub mod cache;
pub mod details;
mod error;
pub mod fsck;
pub mod gc;
pub mod journal;
pub mod leases;
pub mod listing;
pub mod manifests;
pub mod merge;
pub mod metering;
pub mod nodes;
pub mod operations;
pub mod referrers;
mod repositories;
pub mod retention;
pub mod scrub;
mod sessions;
pub mod tags;
#[cfg(feature = "testing")]
pub mod testing;
pub mod transfer;
mod turns;
pub mod uploads;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use lazuli_blobs::BlobStore;
use lazuli_db::{Db, clock::Clock};
use lazuli_wire::oci::ManifestLimits;

pub use cache::{Cache, CacheOptions};
pub use error::{Error, Mismatch, Result};

/// What one process of the registry may do and for how long.
#[derive(Debug, Clone)]
pub struct Options {
    /// This region's number in the operation log.
    pub origin: u16,
    /// Key of the message authentication code on the state of fresh upload sessions.
    pub session_key: [u8; 32],
    /// Blobs up to this many bytes are kept in the database.
    pub inline_blob_max: usize,
    /// The largest blob, in bytes.
    pub blob_max: u64,
    /// How long a digest affirmed to a client stays, even if nothing refers to it.
    pub lease: Duration,
    /// How long an upload session lives after its last chunk.
    pub upload_expiry: Duration,
    /// Limits of a manifest.
    pub manifest: ManifestLimits,
    /// Most tags one manifest push may set by `tag=` parameters.
    pub tags_per_push: usize,
    /// Sizes of the caches.
    pub cache: CacheOptions,
    /// How old an answer may be that other nodes of the same database have changed meanwhile. Zero: it never is. Without
    /// meaning for a process that is alone with its database.
    pub staleness: Duration,
}

/// One process's view of every registry it serves. Cheap to clone.
#[derive(Clone)]
pub struct Registry {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) db: Db,
    pub(crate) store: Arc<dyn BlobStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) options: Options,
    pub(crate) cache: Arc<Cache>,
    /// `None`: no other process changes the database.
    pub(crate) nodes: Option<nodes::Nodes>,
    pub(crate) sessions: sessions::Sessions,
    pub(crate) files: blobs::OpenFiles,
    pub(crate) addresses: blobs::Addresses,
    pub(crate) transfers: metering::Transfers,
    pub(crate) log: Arc<operations::Log>,
    pub(crate) boot: String,
    pub(crate) closed: transfer::closed::Watch,
    pub(crate) turns: turns::Turns,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry")
            .field("options", &self.inner.options.origin)
            .finish_non_exhaustive()
    }
}

impl Registry {
    /// A registry on an opened database and blob store. Reads one row: nothing is scanned.
    pub async fn open(
        db: Db,
        store: Arc<dyn BlobStore>,
        clock: Arc<dyn Clock>,
        options: Options,
    ) -> Result<Self> {
        let cache = Cache::new(options.cache);
        let seed =
            getrandom::u64().map_err(|_| Error::Internal("the system gave no random bytes"))?;
        let (origin, staleness) = (options.origin, options.staleness);
        let log = operations::Log::open(db.clone(), clock.clone(), origin, seed).await?;
        let is_alone = db.engine() == "sqlite";
        let nodes = if is_alone {
            None
        } else {
            Some(nodes::Nodes::follow(&db, &clock, &cache, origin, staleness).await?)
        };
        Ok(Self {
            inner: Arc::new(Inner {
                sessions: sessions::Sessions::new(options.session_key, is_alone),
                files: blobs::OpenFiles::new(),
                addresses: blobs::Addresses::new(),
                transfers: metering::Transfers::new(),
                boot: sessions::boot_id(),
                closed: transfer::closed::Watch::default(),
                turns: turns::Turns::default(),
                db,
                store,
                clock,
                options,
                cache,
                nodes,
                log,
            }),
        })
    }

    /// The database, for the health check and background work.
    pub fn db(&self) -> &Db {
        &self.inner.db
    }

    /// The blob store, for the health check and background work.
    pub fn store(&self) -> &Arc<dyn BlobStore> {
        &self.inner.store
    }

    /// Counted transfers.
    pub fn transfers(&self) -> &metering::Transfers {
        &self.inner.transfers
    }

    /// The operation log.
    pub fn log(&self) -> &Arc<operations::Log> {
        &self.inner.log
    }

    /// The answers kept in memory.
    pub fn cache(&self) -> &Arc<Cache> {
        &self.inner.cache
    }

    /// How this node follows the others; `None` when it is alone with its database.
    pub fn node_stats(&self) -> Option<nodes::NodeStats> {
        self.inner.nodes.as_ref().map(nodes::Nodes::stats)
    }

    /// What memory has, if it may be asked without waiting.
    pub(crate) fn remembered_now<T>(&self, look: impl Fn(&Cache) -> Option<T>) -> Option<T> {
        if let Some(nodes) = &self.inner.nodes
            && !nodes.is_fresh()
        {
            return None;
        }
        look(&self.inner.cache)
    }

    /// What memory has, and no other node has changed.
    pub(crate) async fn remembered<T>(&self, look: impl Fn(&Cache) -> Option<T>) -> Option<T> {
        let found = look(&self.inner.cache)?;
        let Some(nodes) = &self.inner.nodes else {
            return Some(found);
        };
        drop(found);
        // Asked again afterwards: what was found before may be what has to be forgotten.
        (nodes.is_fresh() || nodes.catch_up().await).then_some(())?;
        look(&self.inner.cache)
    }

    pub(crate) fn now(&self) -> i64 {
        self.inner.clock.now_us()
    }

    /// Microseconds a digest affirmed now stays.
    pub(crate) fn lease_us(&self) -> i64 {
        self.inner.options.lease.as_micros() as i64
    }

    /// Until when a digest affirmed now is leased: half a lease longer than promised, so that the next half lease's answers
    /// need no write.
    pub(crate) fn leased_until(&self, now: i64) -> i64 {
        now + self.lease_us() + self.lease_us() / 2
    }

    /// Runs work that must come to its end even if the client goes away: a commit and what follows from it.
    pub(crate) async fn to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        tokio::spawn(work)
            .await
            .unwrap_or(Err(Error::Internal("a committing task ended early")))
    }
}
