//! The interface every blob store implements.

use std::fs::File;
use std::future::Future;
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use lazuli_wire::oci::{Algorithm, Digest, UploadId};

use crate::bucket::BlobObject;
use crate::{Error, Hasher, Location, Operation, Records};

/// A future that can be kept behind a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Bytes by digest. See the crate's documentation for what it promises.
///
/// Dropping a future never leaves a half-done change behind: work that has begun runs to its end by itself, and calls
/// for the same upload get [`Error::Busy`] until then.
pub trait BlobStore: Send + Sync + 'static {
    /// Continues an upload at `offset`, with the hash of the bytes before it. Bytes past the offset, left by an
    /// interrupted request, are dropped; offset 0 creates the upload.
    ///
    /// Errors: [`Error::NotFound`] for an unknown upload, [`Error::Damaged`] when fewer than `offset` bytes are there
    /// (a crash of the machine lost them), [`Error::Busy`] while another writer or call holds the upload,
    /// [`Error::OutOfSpace`], [`Error::ReadOnly`], [`Error::Poisoned`].
    fn writer(
        &self,
        upload: UploadId,
        offset: u64,
        hasher: Hasher,
    ) -> BoxFuture<'_, Result<Box<dyn UploadWriter>, Error>>;

    /// Makes the upload a blob. When this returns, the bytes and their place are durable. The caller has verified that
    /// they hash to `digest`; the store verifies that there are `size` of them.
    ///
    /// Repeating a call that succeeded, or was interrupted, is allowed and gives the same location.
    fn finish<'a>(
        &'a self,
        upload: UploadId,
        prefix: &'a str,
        digest: &'a Digest,
        size: u64,
    ) -> BoxFuture<'a, Result<Location, Error>>;

    /// [`BlobStore::finish`] for what [`UploadWriter::finish_last`] held back.
    fn finish_held<'a>(
        &'a self,
        upload: UploadId,
        held: Held,
        prefix: &'a str,
        digest: &'a Digest,
        size: u64,
    ) -> BoxFuture<'a, Result<Location, Error>> {
        drop(held);
        self.finish(upload, prefix, digest, size)
    }

    /// Frees what an upload holds; fine when there is nothing. A writer at work is cut off: its next call gets
    /// [`Error::NotFound`].
    fn abort(&self, upload: UploadId) -> BoxFuture<'_, Result<(), Error>>;

    /// How many bytes of an upload are there, durable or not; `None` when it is unknown.
    fn upload_len(&self, upload: UploadId) -> BoxFuture<'_, Result<Option<u64>, Error>>;

    /// Hashes the first `size` bytes of an upload again: for another algorithm, or after the machine went down, when
    /// the saved hash may be ahead of the bytes. Errors as [`BlobStore::writer`].
    fn rehash(
        &self,
        upload: UploadId,
        size: u64,
        algorithm: Algorithm,
    ) -> BoxFuture<'_, Result<Hasher, Error>>;

    /// Opens a blob of the recorded `size` for reading. Errors: [`Error::NotFound`], [`Error::Damaged`].
    fn open<'a>(
        &'a self,
        location: &'a Location,
        size: u64,
    ) -> BoxFuture<'a, Result<Opened, Error>>;

    /// The digest of all bytes of an open blob, which are read for it, in turns with whoever else hashes.
    fn hash(&self, opened: Opened, algorithm: Algorithm) -> BoxFuture<'_, Result<Digest, Error>> {
        Box::pin(async move {
            match opened {
                Opened::Object(object) => object.hash(algorithm).await,
                Opened::File(blob) => {
                    let (hasher, size) = (Hasher::new(algorithm), blob.size);
                    let hashing = tokio::task::spawn_blocking(move || blob.hash(hasher, size));
                    Ok(hashing.await.map_err(|_| Error::Busy)??.finish())
                }
            }
        })
    }

    /// Hashes an open blob on, from where the hash is to `end`: for who reads large blobs a part at a time.
    fn hash_on(
        &self,
        opened: Opened,
        hasher: Hasher,
        end: u64,
    ) -> BoxFuture<'_, Result<Hasher, Error>> {
        Box::pin(async move {
            match opened {
                Opened::Object(object) => object.hash_on(hasher, end).await,
                Opened::File(blob) => {
                    let hashing = tokio::task::spawn_blocking(move || blob.hash(hasher, end));
                    hashing.await.map_err(|_| Error::Busy)?
                }
            }
        })
    }

    /// Removes a blob; fine when there is none. Files open for reading stay readable. After a power failure the blob
    /// may be back, as one that nothing refers to.
    fn remove<'a>(&'a self, location: &'a Location) -> BoxFuture<'a, Result<(), Error>>;

    /// Walks over all blobs, in no particular order. What comes or goes meanwhile may be missed or met.
    fn list(&self) -> Box<dyn BlobLister>;

    /// As [`BlobStore::list`], but without what costs a request for each blob: where sizes do, they are 0, and
    /// [`BlobStore::measure`] asks for the one that is wanted.
    fn list_names(&self) -> Box<dyn BlobLister> {
        self.list()
    }

    /// The size of a blob that [`BlobStore::list_names`] met; 0 when it is gone.
    fn measure<'a>(&'a self, entry: &'a BlobEntry) -> BoxFuture<'a, Result<u64, Error>> {
        Box::pin(std::future::ready(Ok(entry.size)))
    }

    /// Walks over all uploads.
    fn list_uploads(&self) -> Box<dyn UploadLister>;

    /// Whether what [`UploadWriter::finish`] reported survives the machine, so that a saved hash is never ahead of it.
    fn keeps_unfinished(&self) -> bool {
        false
    }

    /// Where this store keeps records beside the blobs; `None` where it keeps none.
    fn records(&self) -> Option<Arc<dyn Records>> {
        None
    }

    /// Bytes that uploads may still take, the reserve already subtracted. Cheap: one system call at most.
    fn free_space(&self) -> Result<u64, Error>;

    /// Whether uploads are accepted; false from repeated disk errors to the next start.
    fn is_writable(&self) -> bool;
}

/// The receiving side of an upload.
///
/// Dropping it is fine at any time: what an earlier writer's `finish` reported stays. After an error the writer is
/// spent; the upload continues from the last reported offset with a new one.
pub trait UploadWriter: Send {
    /// Takes more bytes. They are hashed and written while more are gathered; the future is pending when both this
    /// and the previous chunk are full, so that memory stays bounded.
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<(), Error>>;

    /// Waits until all bytes are written (not synced) and returns the upload's length with the hash of it.
    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<(u64, Hasher), Error>>;

    /// The same when [`BlobStore::finish_held`] comes next: nothing has to be kept for another request, so that a store
    /// may hold the last bytes back until then. What is dropped instead of being finished is lost.
    fn finish_last(self: Box<Self>) -> BoxFuture<'static, Result<(u64, Hasher, Held), Error>> {
        let finished = self.finish();
        Box::pin(async move {
            let (size, hasher) = finished.await?;
            Ok((size, hasher, Held::default()))
        })
    }
}

/// What a store holds of an upload between its last byte and its end.
#[derive(Debug, Clone, Default)]
pub struct Held(pub(crate) Option<Arc<crate::bucket::HeldUpload>>);

/// A blob ready to be read.
#[derive(Debug, Clone)]
pub enum Opened {
    /// A file of this machine.
    File(BlobFile),
    /// An object of an object store.
    Object(BlobObject),
}

impl BlobFile {
    /// Hashes the bytes from where the hash is to `end`.
    pub(crate) fn hash(&self, mut hasher: Hasher, end: u64) -> Result<Hasher, Error> {
        let mut buffer = vec![0; 256 << 10];
        while hasher.len() < end {
            let wanted = (end - hasher.len()).min(buffer.len() as u64) as usize;
            let outcome = self.file.read_exact_at(&mut buffer[..wanted], hasher.len());
            outcome.map_err(|source| Error::io(Operation::Read, source))?;
            hasher.update(&buffer[..wanted]);
        }
        Ok(hasher)
    }
}

/// An open blob file; reads are positioned, so it can be shared.
#[derive(Debug, Clone)]
pub struct BlobFile {
    /// The file, opened read-only.
    pub file: Arc<File>,
    /// Its length in bytes, as checked when opened.
    pub size: u64,
}

/// A walk over blobs.
pub trait BlobLister: Send {
    /// The next bounded batch, which may be empty; `None` at the end.
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Vec<Listed>>, Error>>;
}

/// A walk over uploads.
pub trait UploadLister: Send {
    /// The next bounded batch, which may be empty; `None` at the end.
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Vec<ListedUpload>>, Error>>;
}

/// Something found where blobs are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listed {
    /// A blob.
    Blob(BlobEntry),
    /// Something the store did not put there, by its path below the root.
    Foreign(String),
}

/// A stored blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobEntry {
    /// Its place.
    pub location: Location,
    /// The digest its name carries; whether the bytes agree is for the caller to check.
    pub digest: Digest,
    /// Length in bytes.
    pub size: u64,
    /// When its last byte was written, in microseconds since 1970.
    pub modified_us: i64,
}

/// A stored upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedUpload {
    /// Its identifier.
    pub upload: UploadId,
    /// Length in bytes.
    pub size: u64,
    /// When it was last written, in microseconds since 1970.
    pub modified_us: i64,
    /// Whether a failed sync made it unusable; it waits for an abort.
    pub is_quarantined: bool,
}
