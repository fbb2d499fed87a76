//! The steps an upload goes through on the disk, each a blocking call.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lazuli_wire::oci::UploadId;

use super::DiskOptions;
use super::hashing::Hashing;
use super::health::Health;
use super::places::Places;
use super::sessions::{Claim, Sessions};
use super::walk;
use crate::disk::{Disk, DiskFile};
use crate::{BlobFile, Error, Hasher, Location, Opened, Operation};

/// What the store's pieces share.
pub(super) struct Core {
    pub(super) uploads: PathBuf,
    pub(super) blobs: PathBuf,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) options: DiskOptions,
    pub(super) health: Arc<Health>,
    pub(super) places: Places,
    pub(super) sessions: Arc<Sessions>,
    pub(super) hashing: Arc<Hashing>,
    /// Every writer has one: their number decides how much each may gather.
    pub(super) receiving: Arc<()>,
}

impl Core {
    pub(super) fn open(
        directory: &Path,
        options: DiskOptions,
        disk: Arc<dyn Disk>,
    ) -> Result<Self, Error> {
        let (uploads, blobs) = (directory.join("uploads"), directory.join("blobs"));
        prepare(&*disk, directory, [&uploads, &blobs])?;
        let health = Arc::new(Health::new(options.faults_until_read_only));
        Ok(Self {
            places: Places::new(blobs.clone(), disk.clone(), health.clone()),
            sessions: Sessions::new(options.max_idle_files),
            hashing: Arc::new(Hashing::new(options.concurrent_chunks)?),
            receiving: Arc::default(),
            uploads,
            blobs,
            disk,
            options,
            health,
        })
    }

    /// Bytes that one writer gathers before they are written: fewer when there are many writers.
    pub(super) fn chunk_size(&self) -> usize {
        /// What all writers together gather.
        const ALL: usize = 24 << 20;
        const LEAST: usize = 32 << 10;
        let writers = Arc::strong_count(&self.receiving).saturating_sub(1).max(1);
        (ALL / writers)
            .max(LEAST)
            .min(self.options.chunk_size.max(1))
    }

    pub(super) fn upload_path(&self, upload: UploadId) -> PathBuf {
        self.uploads.join(upload.to_string())
    }

    pub(super) fn quarantine_path(&self, upload: UploadId) -> PathBuf {
        self.uploads
            .join(format!("{upload}{}", walk::QUARANTINE_SUFFIX))
    }

    pub(super) fn free_space(&self) -> Result<u64, Error> {
        let free = self.disk.free_space(&self.uploads);
        let free = free.map_err(|source| Error::io(Operation::FileSystemStat, source))?;
        Ok(free.saturating_sub(self.options.reserved_space))
    }

    pub(super) fn check_space(&self) -> Result<(), Error> {
        match self.free_space()? {
            0 => Err(Error::OutOfSpace),
            _ => Ok(()),
        }
    }

    pub(super) fn check_length(&self, file: &dyn DiskFile, expected: u64) -> Result<u64, Error> {
        let found = self.health.check(Operation::Stat, file.length())?;
        if found < expected {
            return Err(Error::Damaged { expected, found });
        }
        Ok(found)
    }

    /// The file of an upload that exists.
    pub(super) fn upload_file(&self, claim: &Claim) -> Result<Arc<dyn DiskFile>, Error> {
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
    pub(super) fn create(&self, claim: &Claim) -> Result<Arc<dyn DiskFile>, Error> {
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

    pub(super) fn continue_at(
        &self,
        claim: &Claim,
        offset: u64,
    ) -> Result<Arc<dyn DiskFile>, Error> {
        let file = self.upload_file(claim)?;
        if self.check_length(&*file, offset)? > offset {
            self.health
                .check(Operation::SetLength, file.set_length(offset))?;
        }
        Ok(file)
    }

    /// Closes files of uploads that were not continued for long. What was written to them is synced first, for
    /// afterwards nobody would be told that it could not be.
    pub(super) fn close_surplus(&self) {
        while let Some(claim) = self.sessions.surplus() {
            if let Some(file) = claim.file()
                && self.sync_upload(&claim, &*file).is_ok()
            {
                claim.forget_file();
            }
        }
    }

    /// Makes an upload's bytes durable; if that fails, it is lost for good.
    pub(super) fn sync_upload(&self, claim: &Claim, file: &dyn DiskFile) -> Result<(), Error> {
        let outcome = file.sync_data();
        self.health
            .check(Operation::SyncData, outcome)
            .inspect_err(|_| self.quarantine(claim, &self.upload_path(claim.upload())))
    }

    /// Puts a file whose sync failed out of reach. The kernel may have dropped its bytes from memory, or may show them
    /// though the device does not have them, and will not fail the next sync.
    pub(super) fn quarantine(&self, claim: &Claim, path: &Path) {
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

    pub(super) fn publish(
        &self,
        claim: &Claim,
        location: &Location,
        size: u64,
    ) -> Result<(), Error> {
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

    pub(super) fn move_into_place(&self, claim: &Claim, location: &Location) -> Result<(), Error> {
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
    pub(super) fn publish_again(&self, location: &Location, size: u64) -> Result<(), Error> {
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

    pub(super) fn remove_upload(&self, upload: UploadId) -> Result<(), Error> {
        self.unlink(&self.upload_path(upload))?;
        self.unlink(&self.quarantine_path(upload))
    }

    pub(super) fn unlink(&self, path: &Path) -> Result<(), Error> {
        match self.disk.unlink(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            outcome => self.health.check(Operation::Unlink, outcome),
        }
    }

    pub(super) fn upload_len(&self, upload: UploadId) -> Result<Option<u64>, Error> {
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
        // The dot follows a link, should the directory be one.
        let stat = disk.stat(&path.join("."));
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

pub(super) fn check_opened(opened: io::Result<std::fs::File>, size: u64) -> Result<Opened, Error> {
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
pub(super) fn hash_file(
    file: &dyn DiskFile,
    mut hasher: Hasher,
    end: u64,
) -> Result<Hasher, Error> {
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
pub(super) async fn blocking<T: Send + 'static>(
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
