//! Blobs: content by digest, readable in the repositories it was pushed or mounted into.
//!
//! A digest affirmed to a client (found by `HEAD`, mounted, pushed) is leased: garbage collection leaves it alone for the lease
//! time even if nothing refers to it, so that a client may rely on the answer while it pushes the manifest.

mod membership;
mod objects;
pub(crate) mod sql;

pub(crate) use membership::unlink;
pub(crate) use objects::Addresses;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use lazuli_blobs::{BlobFile, BlobObject, Location, Opened};
use lazuli_db::Tx;
use lazuli_identity::{Pull, RepositoryAccess};
use lazuli_wire::oci::{Digest, RepositoryName};
use quick_cache::sync::Cache as Store;

use crate::attributes::locks;
use crate::cache::Cache;
use crate::nodes::RECORD_AGE;
use crate::{Error, Registry, Result, repositories};

/// Most files kept open for reading.
const OPEN_FILES: usize = 512;
/// Most repositories looked at when a mount names no source.
const MOUNT_CANDIDATES: u32 = 32;

/// A blob as a repository holds it.
#[derive(Debug)]
pub struct StoredBlob {
    /// Its digest.
    pub digest: Digest,
    /// The digest as text.
    pub digest_text: Bytes,
    /// The digest as an entity tag: the text in quotation marks.
    pub entity_tag: Bytes,
    /// Length in bytes.
    pub size: u64,
    content: Content,
    /// Until when the digest is known to be leased, in microseconds since the Unix epoch.
    leased_until: AtomicI64,
    /// When the record was read, in microseconds since the Unix epoch.
    read_at: i64,
}

#[derive(Debug, Clone)]
pub(crate) enum Content {
    Inline(Bytes),
    Stored(Location),
}

impl StoredBlob {
    pub(crate) fn new(
        digest: Digest,
        size: u64,
        content: Content,
        leased_until: i64,
        read_at: i64,
    ) -> Self {
        let text = digest.to_string();
        Self {
            digest,
            entity_tag: format!("\"{text}\"").into(),
            digest_text: text.into(),
            size,
            content,
            leased_until: AtomicI64::new(leased_until),
            read_at,
        }
    }

    pub(crate) fn inline_len(&self) -> usize {
        match &self.content {
            Content::Inline(bytes) => bytes.len(),
            Content::Stored(_) => 0,
        }
    }
}

/// The bytes of a blob, ready to be sent.
#[derive(Debug, Clone)]
pub enum BlobBytes {
    /// All of them, in memory.
    Memory(Bytes),
    /// An open file.
    File(BlobFile),
    /// An object in a bucket.
    Object(BlobObject),
}

impl From<Opened> for BlobBytes {
    fn from(opened: Opened) -> Self {
        match opened {
            Opened::File(file) => Self::File(file),
            Opened::Object(object) => Self::Object(object),
        }
    }
}

/// Files of recently read blobs, kept open, and objects that were there. A file that is removed stays readable, so closing
/// one late does no harm; an object that is gone is looked up again.
#[derive(Debug)]
pub(crate) struct OpenFiles(Store<Location, Opened>);

impl OpenFiles {
    pub(crate) fn new() -> Self {
        Self(Store::new(OPEN_FILES))
    }
}

impl Registry {
    /// A blob that memory has: no waiting, for the common case.
    pub fn cached_blob(
        &self,
        access: &RepositoryAccess<Pull>,
        digest: &Digest,
    ) -> Option<Arc<StoredBlob>> {
        self.remembered_now(|cache| {
            self.recent_record(cache, access.registry().get(), access.repository(), digest)
        })
    }

    /// What memory knows of a blob, if it was read lately enough: that garbage collection took it, no other node tells.
    fn recent_record(
        &self,
        cache: &Cache,
        registry: i64,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Option<Arc<StoredBlob>> {
        let found = cache.blob(registry, name, digest)?;
        let relied_on = self.inner.nodes.is_none() || self.now() - found.read_at < RECORD_AGE;
        relied_on.then_some(found)
    }

    /// The blob of that digest, if the repository holds it.
    pub async fn blob(
        &self,
        access: &RepositoryAccess<Pull>,
        digest: &Digest,
    ) -> Result<Arc<StoredBlob>> {
        self.find_blob(access.registry().get(), access.repository(), digest)
            .await
    }

    /// As [`Registry::blob`], and the answer may be relied on for the lease time. A blob whose stored bytes are gone or cut is
    /// unknown here, so that a client that asks before it pushes pushes it again, which heals it.
    pub async fn affirm_blob(
        &self,
        access: &RepositoryAccess<Pull>,
        digest: &Digest,
    ) -> Result<Arc<StoredBlob>> {
        let blob = match self.open_blob(access, digest).await {
            Ok((blob, _)) => blob,
            Err(Error::Damaged) => {
                tracing::error!(%digest, "the bytes of a blob are gone or cut; pushing it again heals it");
                return Err(Error::BlobUnknown);
            }
            // Its record is there; whether its bytes can be read will show.
            Err(Error::Store(_)) => self.blob(access, digest).await?,
            Err(error) => return Err(error),
        };
        let (now, lease) = (self.now(), self.lease_us());
        if blob.leased_until.load(Ordering::Acquire) >= now + lease {
            return Ok(blob);
        }
        let (registry, name, digest, until) = (
            access.registry().get(),
            access.repository().clone(),
            *digest,
            self.leased_until(now),
        );
        let lease = move |tx: &mut Tx<'_>| {
            let repository =
                repositories::sql::find(tx, registry, &name)?.ok_or(Error::BlobUnknown)?;
            Ok::<_, Error>(sql::lease(
                tx,
                registry,
                repository.holder,
                &digest.to_bytes(),
                until,
            )?)
        };
        // A database server may crash, or a standby take over, without a node noticing: then nothing may be forgotten.
        let leased = match self.inner.nodes {
            None => self.inner.db.write_relaxed(lease).await?,
            Some(_) => self.inner.db.write(lease).await?,
        };
        if !leased {
            return Err(Error::BlobUnknown);
        }
        blob.leased_until.fetch_max(until, Ordering::AcqRel);
        Ok(blob)
    }

    /// A blob with its bytes. Where other nodes work on the same database, one whose bytes are gone is looked up again: one of
    /// them may have collected or replaced it.
    ///
    /// Errors: [`Error::Damaged`] when the store no longer has the bytes as recorded.
    pub async fn open_blob(
        &self,
        access: &RepositoryAccess<Pull>,
        digest: &Digest,
    ) -> Result<(Arc<StoredBlob>, BlobBytes)> {
        let blob = self.blob(access, digest).await?;
        match self.blob_bytes(&blob).await {
            Ok(bytes) => Ok((blob, bytes)),
            Err(Error::Damaged) if self.inner.nodes.is_some() => {
                let (registry, name) = (access.registry().get(), access.repository());
                let blob = self.read_blob(registry, name, digest).await?;
                let bytes = self.blob_bytes(&blob).await?;
                Ok((blob, bytes))
            }
            Err(error) => Err(error),
        }
    }

    async fn find_blob(
        &self,
        registry: i64,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Arc<StoredBlob>> {
        let look = |cache: &Cache| self.recent_record(cache, registry, name, digest);
        if let Some(found) = self.remembered(look).await {
            return Ok(found);
        }
        self.read_blob(registry, name, digest).await
    }

    /// Reads a blob's record, whatever memory has.
    async fn read_blob(
        &self,
        registry: i64,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Arc<StoredBlob>> {
        let now = self.now();
        let ticket = self.inner.cache.ticket(registry, Some(name));
        let (tx_name, tx_digest) = (name.clone(), *digest);
        let found = self
            .inner
            .db
            .read(move |tx| {
                let repository =
                    repositories::sql::find(tx, registry, &tx_name)?.ok_or(Error::NameUnknown)?;
                locks::check_pull(tx, &repository)?;
                let row = sql::find(tx, registry, repository.holder, &tx_digest.to_bytes())?
                    .ok_or(Error::BlobUnknown)?;
                row.into_blob(tx_digest, now)
            })
            .await?;
        let found = Arc::new(found);
        self.inner
            .cache
            .keep_blob(ticket, registry, name, *digest, found.clone());
        Ok(found)
    }

    /// The bytes of a blob, if no file has to be opened for it.
    pub fn ready_bytes(&self, blob: &StoredBlob) -> Option<BlobBytes> {
        match &blob.content {
            Content::Inline(bytes) => Some(BlobBytes::Memory(bytes.clone())),
            Content::Stored(location) => self.inner.files.0.get(location).map(BlobBytes::from),
        }
    }

    /// The bytes of a blob. Errors: [`Error::Damaged`] when the store no longer has them as recorded.
    pub async fn blob_bytes(&self, blob: &StoredBlob) -> Result<BlobBytes> {
        if let Some(ready) = self.ready_bytes(blob) {
            return Ok(ready);
        }
        let Content::Stored(location) = &blob.content else {
            return Err(Error::Internal("a blob has no bytes"));
        };
        match self.inner.store.open(location, blob.size).await {
            Ok(opened) => {
                self.inner.files.0.insert(location.clone(), opened.clone());
                Ok(opened.into())
            }
            Err(lazuli_blobs::Error::NotFound) => Err(Error::Damaged),
            Err(error) => Err(error.into()),
        }
    }

    /// Forgets an open file whose blob was removed from the store, so that its space is freed.
    pub(crate) fn forget_file(&self, location: &Location) {
        self.inner.files.0.remove(location);
    }
}
