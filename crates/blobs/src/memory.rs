//! A store in memory, for tests of what stands on it.

mod records;

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::future::ready;
use std::io::{Seek, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use lazuli_wire::oci::{Algorithm, Digest, UploadId};

use crate::{
    BlobEntry, BlobFile, BlobLister, BlobStore, BoxFuture, Error, Hasher, Listed, ListedUpload,
    Location, Opened, Operation, Records, UploadLister, UploadWriter,
};

/// Blobs and uploads in memory; nothing survives it.
#[derive(Debug, Clone)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
    capacity: u64,
}

#[derive(Debug, Default)]
struct State {
    uploads: HashMap<UploadId, Upload>,
    blobs: BTreeMap<Location, Blob>,
    records: BTreeMap<String, Bytes>,
    used: u64,
    writers: u64,
}

#[derive(Debug, Default)]
struct Upload {
    bytes: Vec<u8>,
    modified_us: i64,
    /// The writer at work, by number.
    writer: Option<u64>,
}

#[derive(Debug)]
struct Blob {
    bytes: Arc<[u8]>,
    modified_us: i64,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::with_capacity(u64::MAX)
    }
}

impl MemoryStore {
    /// An empty store without a limit.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store that is full when it holds `capacity` bytes.
    pub fn with_capacity(capacity: u64) -> Self {
        Self {
            state: Arc::default(),
            capacity,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn start(
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
        let mut state = self.state();
        state.writers += 1;
        let number = state.writers;
        if offset == 0 {
            state.uploads.entry(upload).or_default();
        }
        let found = idle(&mut state, upload)?;
        let length = found.bytes.len() as u64;
        if length < offset {
            return Err(Error::Damaged {
                expected: offset,
                found: length,
            });
        }
        found.bytes.truncate(offset as usize);
        found.writer = Some(number);
        found.modified_us = now_us();
        state.used -= length - offset;
        Ok(Box::new(Writer {
            store: self.clone(),
            upload,
            number,
            hasher: Some(hasher),
        }))
    }

    fn publish(
        &self,
        upload: UploadId,
        prefix: &str,
        digest: &Digest,
        size: u64,
    ) -> Result<Location, Error> {
        let location = Location::new(prefix, digest, upload)?;
        let mut state = self.state();
        let done = state.blobs.get(&location).map(|blob| blob.bytes.len());
        let found = match done.filter(|_| !state.uploads.contains_key(&upload)) {
            Some(length) => length,
            None => idle(&mut state, upload)?.bytes.len(),
        } as u64;
        if found != size {
            return Err(Error::Damaged {
                expected: size,
                found,
            });
        }
        if let Some(done) = state.uploads.remove(&upload) {
            let blob = Blob {
                bytes: done.bytes.into(),
                modified_us: done.modified_us,
            };
            state.blobs.insert(location.clone(), blob);
        }
        Ok(location)
    }

    fn hash_again(
        &self,
        upload: UploadId,
        size: u64,
        algorithm: Algorithm,
    ) -> Result<Hasher, Error> {
        let mut state = self.state();
        let bytes = &idle(&mut state, upload)?.bytes;
        let expected = Error::Damaged {
            expected: size,
            found: bytes.len() as u64,
        };
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes.get(..size as usize).ok_or(expected)?);
        Ok(hasher)
    }

    fn open_blob(&self, location: &Location, size: u64) -> Result<Opened, Error> {
        let bytes = self
            .state()
            .blobs
            .get(location)
            .ok_or(Error::NotFound)?
            .bytes
            .clone();
        let found = bytes.len() as u64;
        if found != size {
            return Err(Error::Damaged {
                expected: size,
                found,
            });
        }
        let file = in_memory_file(&bytes).map_err(|source| Error::io(Operation::Open, source))?;
        Ok(Opened::File(BlobFile {
            file: Arc::new(file),
            size,
        }))
    }
}

/// The upload, if no writer is at work on it.
fn idle(state: &mut State, upload: UploadId) -> Result<&mut Upload, Error> {
    let found = state.uploads.get_mut(&upload).ok_or(Error::NotFound)?;
    if found.writer.is_some() {
        return Err(Error::Busy);
    }
    Ok(found)
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // No code that can panic runs under the lock with the state half changed.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn in_memory_file(bytes: &[u8]) -> std::io::Result<File> {
    let descriptor = rustix::fs::memfd_create("blob", rustix::fs::MemfdFlags::CLOEXEC)?;
    let mut file = File::from(descriptor);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}

#[expect(
    clippy::disallowed_methods,
    reason = "stands in for the time stamps of a file system"
)]
fn now_us() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    since.as_micros() as i64
}

impl BlobStore for MemoryStore {
    fn writer(
        &self,
        upload: UploadId,
        offset: u64,
        hasher: Hasher,
    ) -> BoxFuture<'_, Result<Box<dyn UploadWriter>, Error>> {
        Box::pin(ready(self.start(upload, offset, hasher)))
    }

    fn finish<'a>(
        &'a self,
        upload: UploadId,
        prefix: &'a str,
        digest: &'a Digest,
        size: u64,
    ) -> BoxFuture<'a, Result<Location, Error>> {
        Box::pin(ready(self.publish(upload, prefix, digest, size)))
    }

    fn abort(&self, upload: UploadId) -> BoxFuture<'_, Result<(), Error>> {
        let mut state = self.state();
        if let Some(gone) = state.uploads.remove(&upload) {
            state.used -= gone.bytes.len() as u64;
        }
        Box::pin(ready(Ok(())))
    }

    fn upload_len(&self, upload: UploadId) -> BoxFuture<'_, Result<Option<u64>, Error>> {
        let state = self.state();
        let length = state
            .uploads
            .get(&upload)
            .map(|found| found.bytes.len() as u64);
        Box::pin(ready(Ok(length)))
    }

    fn rehash(
        &self,
        upload: UploadId,
        size: u64,
        algorithm: Algorithm,
    ) -> BoxFuture<'_, Result<Hasher, Error>> {
        Box::pin(ready(self.hash_again(upload, size, algorithm)))
    }

    fn open<'a>(
        &'a self,
        location: &'a Location,
        size: u64,
    ) -> BoxFuture<'a, Result<Opened, Error>> {
        Box::pin(ready(self.open_blob(location, size)))
    }

    fn remove<'a>(&'a self, location: &'a Location) -> BoxFuture<'a, Result<(), Error>> {
        let mut state = self.state();
        if let Some(gone) = state.blobs.remove(location) {
            state.used -= gone.bytes.len() as u64;
        }
        Box::pin(ready(Ok(())))
    }

    fn list(&self) -> Box<dyn BlobLister> {
        let state = self.state();
        let entries = state.blobs.iter().filter_map(|(location, blob)| {
            Some(Listed::Blob(BlobEntry {
                location: location.clone(),
                digest: location.digest()?,
                size: blob.bytes.len() as u64,
                modified_us: blob.modified_us,
            }))
        });
        Box::new(Once(Some(entries.collect())))
    }

    fn list_uploads(&self) -> Box<dyn UploadLister> {
        let state = self.state();
        let entries = state.uploads.iter().map(|(upload, found)| ListedUpload {
            upload: *upload,
            size: found.bytes.len() as u64,
            modified_us: found.modified_us,
            is_quarantined: false,
        });
        Box::new(Once(Some(entries.collect())))
    }

    fn free_space(&self) -> Result<u64, Error> {
        Ok(self.capacity.saturating_sub(self.state().used))
    }

    fn is_writable(&self) -> bool {
        true
    }

    fn records(&self) -> Option<Arc<dyn Records>> {
        Some(Arc::new(self.clone()))
    }
}

struct Writer {
    store: MemoryStore,
    upload: UploadId,
    number: u64,
    /// `None` after an error.
    hasher: Option<Hasher>,
}

impl Writer {
    fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let mut hasher = self.hasher.take().ok_or(Error::NotFound)?;
        let mut state = lock(&self.store.state);
        if state.used.saturating_add(bytes.len() as u64) > self.store.capacity {
            return Err(Error::OutOfSpace);
        }
        let found = state.uploads.get_mut(&self.upload).ok_or(Error::NotFound)?;
        if found.writer != Some(self.number) {
            return Err(Error::NotFound);
        }
        found.bytes.extend_from_slice(bytes);
        found.modified_us = now_us();
        state.used += bytes.len() as u64;
        hasher.update(bytes);
        self.hasher = Some(hasher);
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let mut state = lock(&self.store.state);
        if let Some(found) = state.uploads.get_mut(&self.upload)
            && found.writer == Some(self.number)
        {
            found.writer = None;
        }
    }
}

impl UploadWriter for Writer {
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(ready(self.append(&bytes)))
    }

    fn finish(mut self: Box<Self>) -> BoxFuture<'static, Result<(u64, Hasher), Error>> {
        let outcome = self
            .append(&[])
            .and_then(|()| self.hasher.take().ok_or(Error::NotFound))
            .map(|hasher| (hasher.len(), hasher));
        Box::pin(ready(outcome))
    }
}

/// A walk that is one batch.
struct Once<T>(Option<Vec<T>>);

impl BlobLister for Once<Listed> {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Vec<Listed>>, Error>> {
        Box::pin(ready(Ok(self.0.take())))
    }
}

impl UploadLister for Once<ListedUpload> {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Vec<ListedUpload>>, Error>> {
        Box::pin(ready(Ok(self.0.take())))
    }
}
