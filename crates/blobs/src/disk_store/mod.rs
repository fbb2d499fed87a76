//! The store on a local disk.
//!
//! ```text
//! <dir>/uploads/<uuid>               an upload, appended to
//! <dir>/uploads/<uuid>.quarantined   an upload whose sync failed: of use only to whoever examines the disk
//! <dir>/blobs/<location>             a blob
//! ```
//!
//! An upload becomes a blob by fdatasync, rename and a sync of the directory it moved to, in this order: a blob's name
//! is only ever seen with all its bytes behind it. The removal from `uploads` need not be durable; should it be lost in
//! a crash, the upload is found there again and aborted when it expires.

mod core;
mod hashing;
mod health;
mod places;
mod sessions;
mod walk;
mod writer;

use std::future::ready;
use std::path::Path;
use std::sync::Arc;

use lazuli_wire::oci::{Algorithm, Digest, UploadId};

use self::core::{Core, blocking, check_opened, hash_file};
use self::sessions::Claim;
use self::writer::join;
use crate::disk::{Disk, RealDisk};
use crate::{
    BlobLister, BlobStore, BoxFuture, Error, Hasher, Location, Opened, Operation, UploadLister,
    UploadWriter,
};

/// How a [`DiskStore`] works. The defaults are measured; see `examples/upload_rate.rs`.
#[derive(Debug, Clone)]
pub struct DiskOptions {
    /// Bytes that are hashed and written at a time. An upload holds at most two such chunks in memory; when there are
    /// more than a few dozen uploads at the same time, chunks are smaller.
    pub chunk_size: usize,
    /// After so many bytes of an upload the kernel is told to begin writing them to the device, so that little is left
    /// to wait for at the end.
    pub writeback_interval: u64,
    /// So many bytes at the beginning of an upload stay in the system's page cache, for those who pull it next. What
    /// follows leaves the cache soon after it is on the device, so that a large push neither evicts what is being
    /// pulled nor takes fresh memory page by page.
    pub cached_prefix: u64,
    /// After so many bytes of an upload they are synced in the background. At most two intervals are ever unsynced,
    /// which bounds the wait at the end on a slow disk.
    pub sync_interval: u64,
    /// Free bytes of the file system that uploads leave alone, so that the database, deletions and the system can go
    /// on when it is full.
    pub reserved_space: u64,
    /// The number of disk errors after which uploads are refused until the next start.
    pub faults_until_read_only: u32,
    /// Unfinished uploads whose files are kept open between requests.
    pub max_idle_files: usize,
    /// Chunks hashed at the same time. More than there are cores only delays other work.
    pub concurrent_chunks: usize,
}

impl Default for DiskOptions {
    fn default() -> Self {
        Self {
            chunk_size: 512 << 10,
            writeback_interval: 2 << 20,
            cached_prefix: 4 << 20,
            sync_interval: 64 << 20,
            reserved_space: 128 << 20,
            faults_until_read_only: 2,
            max_idle_files: 128,
            concurrent_chunks: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

/// Blobs and uploads below a directory of a local file system. Cheap to clone.
#[derive(Clone)]
pub struct DiskStore {
    core: Arc<Core>,
}

impl DiskStore {
    /// Opens the store in a directory, which is made if needed. Blocks; call it at start.
    pub fn open(directory: &Path, options: DiskOptions) -> Result<Self, Error> {
        Self::with_disk(directory, options, Arc::new(RealDisk::new()))
    }

    /// Opens the store on a given disk.
    pub fn with_disk(
        directory: &Path,
        options: DiskOptions,
        disk: Arc<dyn Disk>,
    ) -> Result<Self, Error> {
        Ok(Self {
            core: Arc::new(Core::open(directory, options, disk)?),
        })
    }

    async fn start_writer(
        &self,
        upload: UploadId,
        offset: u64,
        hasher: Hasher,
    ) -> Result<Box<dyn UploadWriter>, Error> {
        debug_assert_eq!(
            hasher.len(),
            offset,
            "the hash is of the bytes before the offset"
        );
        let core = &self.core;
        core.health.check_writable()?;
        core.check_space()?;
        let claim = core.sessions.claim(upload).await?;
        // Creating is left to the first chunk, which goes to another thread anyway.
        if offset == 0 {
            return Ok(writer::start(core.clone(), claim, None, hasher));
        }
        let (claim, file) = self
            .run(Operation::Open, claim, move |core, claim| {
                core.continue_at(claim, offset)
            })
            .await?;
        Ok(writer::start(core.clone(), claim, Some(file), hasher))
    }

    /// Runs work on an upload on a thread that may block. Gives the claim back, unless the work failed.
    async fn run<T: Send + 'static>(
        &self,
        op: Operation,
        claim: Claim,
        work: impl FnOnce(&Core, &Claim) -> Result<T, Error> + Send + 'static,
    ) -> Result<(Claim, T), Error> {
        let core = self.core.clone();
        let _watch = claim.watch();
        blocking(op, move || {
            let value = work(&core, &claim)?;
            Ok((claim, value))
        })
        .await
    }

    async fn rehash_upload(
        &self,
        upload: UploadId,
        size: u64,
        algorithm: Algorithm,
    ) -> Result<Hasher, Error> {
        let claim = self.core.sessions.claim(upload).await?;
        let (mut claim, file) = self
            .run(Operation::Open, claim, move |core, claim| {
                let file = core.upload_file(claim)?;
                core.check_length(&*file, size)?;
                Ok(file)
            })
            .await?;
        let mut hasher = Hasher::new(algorithm);
        while hasher.len() < size {
            let file = file.clone();
            let end = size.min(hasher.len() + TURN);
            let task = self.core.hashing.run(move || {
                claim.check()?;
                Ok((claim, hash_file(&*file, hasher, end)?))
            });
            (claim, hasher) = join(task, Operation::Read).await?;
        }
        drop(claim);
        Ok(hasher)
    }
}

/// Bytes hashed before others get their turn.
const TURN: u64 = 8 << 20;

impl BlobStore for DiskStore {
    fn writer(
        &self,
        upload: UploadId,
        offset: u64,
        hasher: Hasher,
    ) -> BoxFuture<'_, Result<Box<dyn UploadWriter>, Error>> {
        Box::pin(self.start_writer(upload, offset, hasher))
    }

    fn finish<'a>(
        &'a self,
        upload: UploadId,
        prefix: &'a str,
        digest: &'a Digest,
        size: u64,
    ) -> BoxFuture<'a, Result<Location, Error>> {
        Box::pin(async move {
            let location = Location::new(prefix, digest, upload)?;
            self.core.health.check_writable()?;
            let claim = self.core.sessions.claim(upload).await?;
            let target = location.clone();
            self.run(Operation::Rename, claim, move |core, claim| {
                core.publish(claim, &target, size)
            })
            .await?;
            Ok(location)
        })
    }

    fn abort(&self, upload: UploadId) -> BoxFuture<'_, Result<(), Error>> {
        let core = self.core.clone();
        // At once, so that a writer at work stops even if this future is dropped.
        let claim = core.sessions.abort(upload);
        Box::pin(blocking(Operation::Unlink, move || {
            let _claim = claim;
            core.remove_upload(upload)
        }))
    }

    fn upload_len(&self, upload: UploadId) -> BoxFuture<'_, Result<Option<u64>, Error>> {
        let core = self.core.clone();
        Box::pin(blocking(Operation::Stat, move || core.upload_len(upload)))
    }

    fn rehash(
        &self,
        upload: UploadId,
        size: u64,
        algorithm: Algorithm,
    ) -> BoxFuture<'_, Result<Hasher, Error>> {
        Box::pin(self.rehash_upload(upload, size, algorithm))
    }

    fn open<'a>(
        &'a self,
        location: &'a Location,
        size: u64,
    ) -> BoxFuture<'a, Result<Opened, Error>> {
        let path = self.core.places.path(location);
        if let Some(opened) = self.core.disk.open_without_waiting(&path) {
            return Box::pin(ready(check_opened(opened, size)));
        }
        let disk = self.core.disk.clone();
        Box::pin(blocking(Operation::Open, move || {
            check_opened(disk.open_for_reading(&path), size)
        }))
    }

    fn hash(&self, opened: Opened, algorithm: Algorithm) -> BoxFuture<'_, Result<Digest, Error>> {
        Box::pin(async move {
            let blob = match opened {
                Opened::File(blob) => blob,
                Opened::Object(object) => return object.hash(algorithm).await,
            };
            let mut hasher = Hasher::new(algorithm);
            while hasher.len() < blob.size {
                let (blob, end) = (blob.clone(), blob.size.min(hasher.len() + TURN));
                let turn = self.core.hashing.run(move || blob.hash(hasher, end));
                hasher = join(turn, Operation::Read).await?;
            }
            Ok(hasher.finish())
        })
    }

    fn hash_on(
        &self,
        opened: Opened,
        hasher: Hasher,
        end: u64,
    ) -> BoxFuture<'_, Result<Hasher, Error>> {
        Box::pin(async move {
            let blob = match opened {
                Opened::File(blob) => blob,
                Opened::Object(object) => return object.hash_on(hasher, end).await,
            };
            let turn = self.core.hashing.run(move || blob.hash(hasher, end));
            join(turn, Operation::Read).await
        })
    }

    fn remove<'a>(&'a self, location: &'a Location) -> BoxFuture<'a, Result<(), Error>> {
        let core = self.core.clone();
        let path = core.places.path(location);
        Box::pin(blocking(Operation::Unlink, move || core.unlink(&path)))
    }

    fn list(&self) -> Box<dyn BlobLister> {
        walk::blobs(self.core.disk.clone(), &self.core.blobs)
    }

    fn list_uploads(&self) -> Box<dyn UploadLister> {
        walk::uploads(self.core.disk.clone(), &self.core.uploads)
    }

    fn free_space(&self) -> Result<u64, Error> {
        self.core.free_space()
    }

    fn is_writable(&self) -> bool {
        self.core.health.is_writable()
    }
}
