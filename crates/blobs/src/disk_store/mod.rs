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

mod health;
mod places;
mod sessions;
mod walk;
mod writer;

use std::future::ready;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lazuli_wire::oci::{Algorithm, Digest, UploadId};
use tokio::sync::Semaphore;

use self::health::Health;
use self::places::Places;
use self::sessions::{Claim, Sessions};
use crate::disk::{Disk, DiskFile, RealDisk};
use crate::{
    BlobFile, BlobLister, BlobStore, BoxFuture, Error, Hasher, Location, Opened, Operation,
    UploadLister, UploadWriter,
};

/// How a [`DiskStore`] works. The defaults are measured; see `examples/upload_rate.rs`.
#[derive(Debug, Clone)]
pub struct DiskOptions {
    /// Bytes that are hashed and written at a time. An upload holds at most two such chunks in memory.
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

/// What the store's pieces share.
struct Core {
    uploads: PathBuf,
    blobs: PathBuf,
    disk: Arc<dyn Disk>,
    options: DiskOptions,
    health: Arc<Health>,
    places: Places,
    sessions: Arc<Sessions>,
    /// One permit for each chunk being hashed.
    hashing: Arc<Semaphore>,
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
        let (uploads, blobs) = (directory.join("uploads"), directory.join("blobs"));
        prepare(&*disk, directory, [&uploads, &blobs])?;
        let health = Arc::new(Health::new(options.faults_until_read_only));
        let core = Core {
            places: Places::new(blobs.clone(), disk.clone(), health.clone()),
            sessions: Sessions::new(options.max_idle_files),
            hashing: Arc::new(Semaphore::new(options.concurrent_chunks.max(1))),
            uploads,
            blobs,
            disk,
            options,
            health,
        };
        Ok(Self {
            core: Arc::new(core),
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
        /// Bytes hashed before others get their turn.
        const TURN: u64 = 8 << 20;
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
            let permit = self.core.hashing.clone().acquire_owned().await;
            let file = file.clone();
            let end = size.min(hasher.len() + TURN);
            (claim, hasher) = self
                .run(Operation::Read, claim, move |_, claim| {
                    let _permit = permit;
                    claim.check()?;
                    hash_file(&*file, hasher, end)
                })
                .await?;
        }
        drop(claim);
        Ok(hasher)
    }
}

/// Makes the store's directories, and sees to it that files can be moved from one to the other.
fn prepare(disk: &dyn Disk, directory: &Path, children: [&Path; 2]) -> Result<(), Error> {
    let make = |path: &Path| match disk.make_directory(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(Error::io(Operation::MakeDirectory, error))
        }
        _ => Ok(()),
    };
    let sync = |path: &Path| {
        disk.sync_directory(path)
            .map_err(|source| Error::io(Operation::SyncDirectory, source))
    };
    make(directory)?;
    if let Some(parent) = directory.parent().filter(|parent| *parent != Path::new("")) {
        sync(parent)?;
    }
    children.into_iter().try_for_each(make)?;
    sync(directory)?;
    let device = |path: &Path| {
        let stat = disk.stat(path);
        stat.map(|stat| stat.device)
            .map_err(|source| Error::io(Operation::Stat, source))
    };
    if device(children[0])? != device(children[1])? {
        return Err(Error::Io {
            op: Operation::Rename,
            source: io::Error::new(
                io::ErrorKind::CrossesDevices,
                "the directories 'uploads' and 'blobs' have to be on one file system",
            ),
        });
    }
    Ok(())
}

impl Core {
    fn upload_path(&self, upload: UploadId) -> PathBuf {
        self.uploads.join(upload.to_string())
    }

    fn quarantine_path(&self, upload: UploadId) -> PathBuf {
        self.uploads
            .join(format!("{upload}{}", walk::QUARANTINE_SUFFIX))
    }

    fn free_space(&self) -> Result<u64, Error> {
        let free = self.disk.free_space(&self.uploads);
        let free = free.map_err(|source| Error::io(Operation::FileSystemStat, source))?;
        Ok(free.saturating_sub(self.options.reserved_space))
    }

    fn check_space(&self) -> Result<(), Error> {
        match self.free_space()? {
            0 => Err(Error::OutOfSpace),
            _ => Ok(()),
        }
    }

    fn check_length(&self, file: &dyn DiskFile, expected: u64) -> Result<u64, Error> {
        let found = self.health.check(Operation::Stat, file.length())?;
        if found < expected {
            return Err(Error::Damaged { expected, found });
        }
        Ok(found)
    }

    /// The file of an upload that exists.
    fn upload_file(&self, claim: &Claim) -> Result<Arc<dyn DiskFile>, Error> {
        if let Some(file) = claim.file() {
            return Ok(file);
        }
        self.close_surplus();
        let opened = self
            .disk
            .open_for_writing(&self.upload_path(claim.upload()));
        let file = self.health.check(Operation::Open, opened)?;
        claim.keep(&file)?;
        Ok(file)
    }

    /// Creates an upload's file, or empties it.
    fn create(&self, claim: &Claim) -> Result<Arc<dyn DiskFile>, Error> {
        self.close_surplus();
        let path = self.upload_path(claim.upload());
        let file = self
            .health
            .check(Operation::Create, self.disk.create(&path))?;
        if let Err(error) = claim.keep(&file) {
            // Aborted in the meantime, maybe before there was a file to remove.
            let _ = self.disk.unlink(&path);
            return Err(error);
        }
        Ok(file)
    }

    fn continue_at(&self, claim: &Claim, offset: u64) -> Result<Arc<dyn DiskFile>, Error> {
        let file = self.upload_file(claim)?;
        if self.check_length(&*file, offset)? > offset {
            self.health
                .check(Operation::SetLength, file.set_length(offset))?;
        }
        Ok(file)
    }

    /// Closes files of uploads that were not continued for long. What was written to them is synced first, for
    /// afterwards nobody would be told that it could not be.
    fn close_surplus(&self) {
        while let Some(claim) = self.sessions.surplus() {
            if let Some(file) = claim.file()
                && self.sync_upload(&claim, &*file).is_ok()
            {
                claim.forget_file();
            }
        }
    }

    /// Makes an upload's bytes durable; if that fails, it is lost for good.
    fn sync_upload(&self, claim: &Claim, file: &dyn DiskFile) -> Result<(), Error> {
        let outcome = file.sync_data();
        self.health
            .check(Operation::SyncData, outcome)
            .inspect_err(|_| self.quarantine(claim, &self.upload_path(claim.upload())))
    }

    /// Puts a file whose sync failed out of reach. The kernel may have dropped its bytes from memory, or may show them
    /// though the device does not have them, and will not fail the next sync.
    fn quarantine(&self, claim: &Claim, path: &Path) {
        let upload = claim.upload();
        if !claim.poison() {
            return;
        }
        let target = self.quarantine_path(upload);
        let moved = self.disk.rename(path, &target);
        if let Err(error) = moved.or_else(|_| self.unlink(path)) {
            // In memory it stays marked, and the disk that refuses this will soon be read-only.
            tracing::error!(%upload, %error, "an upload whose sync failed could not be moved away");
        }
    }

    fn publish(&self, claim: &Claim, location: &Location, size: u64) -> Result<(), Error> {
        let file = match self.upload_file(claim) {
            Err(Error::NotFound) => return self.publish_again(location, size),
            other => other?,
        };
        let found = self.check_length(&*file, size)?;
        if found != size {
            return Err(Error::Damaged {
                expected: size,
                found,
            });
        }
        self.sync_upload(claim, &*file)?;
        let kept = self.options.cached_prefix;
        if size > kept {
            // All of it is on the device now, so that what is left in memory can go.
            let _ = file.write_back(kept, size - kept);
        }
        self.move_into_place(claim, location)?;
        self.places
            .sync_directory_of(location)
            .inspect_err(|_| self.quarantine(claim, &self.places.path(location)))?;
        claim.forget_file();
        Ok(())
    }

    fn move_into_place(&self, claim: &Claim, location: &Location) -> Result<(), Error> {
        let from = self.upload_path(claim.upload());
        let to = self.places.path(location);
        self.places.ensure(location)?;
        let mut outcome = self.disk.rename(&from, &to);
        if matches!(&outcome, Err(error) if error.kind() == io::ErrorKind::NotFound) {
            // Either the upload was aborted, or somebody tidied up the directory.
            claim.check()?;
            self.places.forget(location);
            self.places.ensure(location)?;
            outcome = self.disk.rename(&from, &to);
        }
        self.health.check(Operation::Rename, outcome)
    }

    /// The upload is gone: fine if that is because it is a blob already. Its bytes were synced before it moved.
    fn publish_again(&self, location: &Location, size: u64) -> Result<(), Error> {
        let stat = self.disk.stat(&self.places.path(location));
        let found = self.health.check(Operation::Stat, stat)?.length;
        if found != size {
            return Err(Error::Damaged {
                expected: size,
                found,
            });
        }
        self.places.ensure(location)?;
        self.places.sync_directory_of(location)
    }

    fn remove_upload(&self, upload: UploadId) -> Result<(), Error> {
        self.unlink(&self.upload_path(upload))?;
        self.unlink(&self.quarantine_path(upload))
    }

    fn unlink(&self, path: &Path) -> Result<(), Error> {
        match self.disk.unlink(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            outcome => self.health.check(Operation::Unlink, outcome),
        }
    }

    fn upload_len(&self, upload: UploadId) -> Result<Option<u64>, Error> {
        if self.sessions.is_poisoned(upload) {
            return Err(Error::Poisoned);
        }
        match self.disk.stat(&self.upload_path(upload)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            outcome => {
                let stat = outcome.map_err(|source| Error::io(Operation::Stat, source))?;
                Ok(Some(stat.length))
            }
        }
    }
}

fn check_opened(opened: io::Result<std::fs::File>, size: u64) -> Result<Opened, Error> {
    let file = opened.map_err(|source| Error::io(Operation::Open, source))?;
    let metadata = file
        .metadata()
        .map_err(|source| Error::io(Operation::Stat, source))?;
    let found = metadata.len();
    if found != size || !metadata.is_file() {
        return Err(Error::Damaged {
            expected: size,
            found,
        });
    }
    Ok(Opened::File(BlobFile {
        file: Arc::new(file),
        size,
    }))
}

/// Hashes a file on, from where the hash stands to `end`.
fn hash_file(file: &dyn DiskFile, mut hasher: Hasher, end: u64) -> Result<Hasher, Error> {
    let mut buffer = vec![0; 256 << 10];
    while hasher.len() < end {
        let wanted = buffer.len().min((end - hasher.len()) as usize);
        match file.read_at(&mut buffer[..wanted], hasher.len()) {
            Ok(0) => {
                return Err(Error::Damaged {
                    expected: end,
                    found: hasher.len(),
                });
            }
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(Error::io(Operation::Read, source)),
        }
    }
    Ok(hasher)
}

/// Runs a closure on a thread that may block.
async fn blocking<T: Send + 'static>(
    op: Operation,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        // It panicked, or the runtime is shutting down.
        Err(error) => Err(Error::Io {
            op,
            source: io::Error::other(error),
        }),
    }
}

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
