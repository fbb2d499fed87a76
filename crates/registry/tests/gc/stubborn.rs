//! A store that does not always obey.

use super::*;

/// A store whose removals fail when told to.
pub(crate) struct Stubborn {
    pub(crate) store: MemoryStore,
    pub(crate) refuses: AtomicBool,
}

impl BlobStore for Stubborn {
    fn writer(
        &self,
        upload: UploadId,
        offset: u64,
        hasher: Hasher,
    ) -> BoxFuture<'_, Result<Box<dyn UploadWriter>, lazuli_blobs::Error>> {
        self.store.writer(upload, offset, hasher)
    }

    fn finish<'a>(
        &'a self,
        upload: UploadId,
        prefix: &'a str,
        digest: &'a Digest,
        size: u64,
    ) -> BoxFuture<'a, Result<Location, lazuli_blobs::Error>> {
        self.store.finish(upload, prefix, digest, size)
    }

    fn abort(&self, upload: UploadId) -> BoxFuture<'_, Result<(), lazuli_blobs::Error>> {
        self.store.abort(upload)
    }

    fn upload_len(
        &self,
        upload: UploadId,
    ) -> BoxFuture<'_, Result<Option<u64>, lazuli_blobs::Error>> {
        self.store.upload_len(upload)
    }

    fn rehash(
        &self,
        upload: UploadId,
        size: u64,
        algorithm: Algorithm,
    ) -> BoxFuture<'_, Result<Hasher, lazuli_blobs::Error>> {
        self.store.rehash(upload, size, algorithm)
    }

    fn open<'a>(
        &'a self,
        location: &'a Location,
        size: u64,
    ) -> BoxFuture<'a, Result<Opened, lazuli_blobs::Error>> {
        self.store.open(location, size)
    }

    fn remove<'a>(
        &'a self,
        location: &'a Location,
    ) -> BoxFuture<'a, Result<(), lazuli_blobs::Error>> {
        if self.refuses.load(Ordering::SeqCst) {
            return Box::pin(std::future::ready(Err(lazuli_blobs::Error::Busy)));
        }
        self.store.remove(location)
    }

    fn list(&self) -> Box<dyn BlobLister> {
        self.store.list()
    }

    fn list_uploads(&self) -> Box<dyn UploadLister> {
        self.store.list_uploads()
    }

    fn free_space(&self) -> Result<u64, lazuli_blobs::Error> {
        self.store.free_space()
    }

    fn is_writable(&self) -> bool {
        self.store.is_writable()
    }
}
