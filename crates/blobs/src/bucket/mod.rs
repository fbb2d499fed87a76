//! Blobs in an object store: Amazon S3 and what speaks its protocol, Azure Blob Storage, Google Cloud Storage.
//!
//! Nothing here needs this machine: any node continues an upload that another one began, because what is known of it is in
//! the bucket. A small blob becomes an object named by its digest. The bytes of a larger one are sent while nobody knows its
//! digest yet, so they are named after the upload and stay where they are; an object named by the digest points at them.
//!
//! The order of the last steps decides what a crash can leave: it is decided which blob the bytes are, they become whole, the
//! pointer is written, the states of the upload go. While there is no pointer there are states, from which the end can be
//! repeated, or by which an abort finds the bytes. Whoever deletes bytes asks first what was decided of them: a node that
//! was thought dead may still be at work.

mod claims;
mod client;
mod connect;
mod fate;
mod layout;
mod listing;
mod read;
mod records;
mod state;
mod states;
mod steps;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use lazuli_wire::oci::{Algorithm, Digest, UploadId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use client::Bucket;
pub use connect::{Access, BucketUrl, ConnectError, Patience, Provider};
pub use read::BlobObject;

use self::claims::Claims;
use self::layout::Layout;
use self::state::Unfinished;
use self::writer::{Writer, units};
use crate::{
    BlobEntry, BlobLister, BlobStore, BoxFuture, Error, Hasher, Held, Location, Opened, Records,
    UploadLister, UploadWriter,
};

/// See [`crate::testing`].
#[cfg(any(test, feature = "testing"))]
pub(crate) mod testing {
    use bytes::Bytes;

    use super::state::Unfinished;

    /// What a bucket holds of an unfinished upload.
    #[derive(Debug, PartialEq, Eq)]
    pub struct StoredUpload(Unfinished);

    impl StoredUpload {
        pub(crate) fn read(text: &Bytes) -> Option<Self> {
            Unfinished::read(text).ok().map(Self)
        }

        /// As it is stored.
        pub fn write(&self) -> Bytes {
            self.0.write()
        }

        /// Bytes of the upload that are in parts, and all of them.
        pub fn sizes(&self) -> (u64, u64) {
            (self.0.base(), self.0.size())
        }
    }
}

/// What memory is counted in, in bytes.
const UNIT: usize = 64 << 10;

/// How blobs are kept in a bucket.
#[derive(Debug, Clone)]
pub struct BucketOptions {
    /// The folder of the bucket that is ours; empty: all of it.
    pub prefix: String,
    /// Bytes of a part, from 5 MiB on. Also the size up to which a blob is one object named by its digest.
    pub part_size: usize,
    /// Parts of one upload that are on their way at the same time.
    pub parts_in_flight: usize,
    /// Memory for parts of all uploads together, in bytes; further ones wait.
    pub memory: usize,
    /// How long an upload waits for memory.
    pub patience: Duration,
}

impl Default for BucketOptions {
    fn default() -> Self {
        Self {
            prefix: String::new(),
            part_size: 8 << 20,
            parts_in_flight: 4,
            memory: 256 << 20,
            patience: Duration::from_secs(30),
        }
    }
}

/// Blobs in a bucket. Cheap to clone.
#[derive(Clone)]
pub struct BucketStore {
    core: Arc<Core>,
}

/// What the pieces of the store share.
struct Core {
    bucket: Bucket,
    layout: Layout,
    options: BucketOptions,
    claims: Claims,
    memory: Arc<Semaphore>,
}

/// An upload between its last byte and its end.
#[derive(Debug)]
pub(crate) struct HeldUpload {
    state: Unfinished,
    /// The memory of its tail.
    _room: Option<OwnedSemaphorePermit>,
}

impl BucketStore {
    /// A store in that bucket. Nothing is read.
    pub fn new(bucket: Bucket, options: BucketOptions) -> Self {
        let options = BucketOptions {
            part_size: options.part_size.max(UNIT),
            ..options
        };
        let memory = units(options.memory.max(options.part_size * 16)) as usize;
        Self {
            core: Arc::new(Core {
                bucket,
                layout: Layout::new(&options.prefix),
                claims: Claims::default(),
                memory: Arc::new(Semaphore::new(memory)),
                options,
            }),
        }
    }

    /// Signs an address, to see whether these credentials can. If not, no more is asked of them.
    pub async fn check_signing(&mut self) -> Result<(), Error> {
        let bucket = &self.core.bucket;
        let object = BlobObject {
            bucket: bucket.clone(),
            path: self.core.layout.blobs(),
            size: 0,
        };
        let signed = object.signed_url(Duration::from_mins(1)).await;
        if signed.is_err() {
            let bucket = Bucket {
                signer: None,
                ..bucket.clone()
            };
            *self = Self::new(bucket, self.core.options.clone());
        }
        signed.map(drop)
    }

    /// Writes, reads and deletes a small object, to see whether the bucket is there and may be used.
    pub async fn check(&self) -> Result<(), Error> {
        let core = &self.core;
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|_| Error::Busy)?;
        let path = core.layout.state(UploadId::from_random(random), 0);
        let text = Unfinished::default().write();
        core.bucket.put(&path, vec![text.clone()]).await?;
        let read = core.bucket.get(&path).await?;
        core.bucket.delete(&path).await?;
        if read == text {
            Ok(())
        } else {
            Err(Error::Damaged {
                expected: text.len() as u64,
                found: read.len() as u64,
            })
        }
    }
}

impl BlobStore for BucketStore {
    fn writer(
        &self,
        upload: UploadId,
        offset: u64,
        hasher: Hasher,
    ) -> BoxFuture<'_, Result<Box<dyn UploadWriter>, Error>> {
        Box::pin(async move {
            let claim = self.core.claims.claim(upload)?;
            let (state, room) = if offset == 0 {
                (Unfinished::default(), None)
            } else {
                let content = hasher.clone().finish();
                self.core.state_at(upload, offset, &content).await?
            };
            let writer = Writer::new(self.core.clone(), claim, state, room, hasher);
            Ok(Box::new(writer) as Box<dyn UploadWriter>)
        })
    }

    fn finish<'a>(
        &'a self,
        upload: UploadId,
        prefix: &'a str,
        digest: &'a Digest,
        size: u64,
    ) -> BoxFuture<'a, Result<Location, Error>> {
        self.finish_held(upload, Held::default(), prefix, digest, size)
    }

    fn finish_held<'a>(
        &'a self,
        upload: UploadId,
        held: Held,
        prefix: &'a str,
        digest: &'a Digest,
        size: u64,
    ) -> BoxFuture<'a, Result<Location, Error>> {
        Box::pin(self.core.publish(upload, held, prefix, digest, size))
    }

    fn abort(&self, upload: UploadId) -> BoxFuture<'_, Result<(), Error>> {
        // At once, so that a writer at work stops even if this future is dropped.
        self.core.claims.cut_off(upload);
        Box::pin(self.core.abort(upload))
    }

    fn upload_len(&self, upload: UploadId) -> BoxFuture<'_, Result<Option<u64>, Error>> {
        Box::pin(async move { Ok(self.core.states(upload).await?.into_iter().max()) })
    }

    fn rehash(
        &self,
        upload: UploadId,
        size: u64,
        algorithm: Algorithm,
    ) -> BoxFuture<'_, Result<Hasher, Error>> {
        Box::pin(self.core.rehash(upload, size, algorithm))
    }

    fn open<'a>(
        &'a self,
        location: &'a Location,
        size: u64,
    ) -> BoxFuture<'a, Result<Opened, Error>> {
        Box::pin(self.core.open(location, size))
    }

    fn remove<'a>(&'a self, location: &'a Location) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.core.remove(location))
    }

    fn list(&self) -> Box<dyn BlobLister> {
        Box::new(listing::Blobs::new(self.core.clone(), true))
    }

    fn list_names(&self) -> Box<dyn BlobLister> {
        Box::new(listing::Blobs::new(self.core.clone(), false))
    }

    fn measure<'a>(&'a self, entry: &'a BlobEntry) -> BoxFuture<'a, Result<u64, Error>> {
        Box::pin(listing::measure(&self.core, entry))
    }

    fn list_uploads(&self) -> Box<dyn UploadLister> {
        Box::new(listing::Uploads::new(self.core.clone()))
    }

    fn free_space(&self) -> Result<u64, Error> {
        Ok(u64::MAX)
    }

    fn is_writable(&self) -> bool {
        true
    }

    fn keeps_unfinished(&self) -> bool {
        true
    }

    fn records(&self) -> Option<Arc<dyn Records>> {
        Some(Arc::new(records::BucketRecords(self.core.clone())))
    }
}
