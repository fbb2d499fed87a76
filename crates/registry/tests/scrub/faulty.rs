//! A store whose reads fail when told to, and that counts what is opened.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lazuli_blobs::{
    BlobLister, BlobStore, BoxFuture, Error, Hasher, Location, MemoryStore, Opened, Operation,
    UploadLister, UploadWriter,
};
use lazuli_db::clock::ManualClock;
use lazuli_wire::oci::{Algorithm, Digest, UploadId};

/// What a read of the store does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The object store does not answer.
    Away,
    /// The disk has a sector that cannot be read.
    BadSector,
    /// No file can be opened now.
    TooManyFiles,
}

impl Fault {
    fn error(self) -> Error {
        let io = |code| Error::Io {
            op: Operation::Read,
            source: std::io::Error::from_raw_os_error(code),
        };
        match self {
            Self::Away => Error::ObjectStore {
                what: "get object",
                is_refused: false,
                message: "503".into(),
            },
            Self::BadSector => io(5),
            Self::TooManyFiles => io(24),
        }
    }
}

type Hook = Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send>;

#[derive(Default)]
struct State {
    opens: HashMap<Location, u32>,
    /// How many reads still fail.
    fault: Option<(Fault, u32)>,
    /// Reads take so long by this clock.
    slow: Option<(Arc<ManualClock>, Duration)>,
    /// Done before the next blob is opened.
    hook: Option<Hook>,
}

#[derive(Clone)]
pub(crate) struct Faulty {
    store: Arc<MemoryStore>,
    state: Arc<Mutex<State>>,
}

impl Faulty {
    pub(crate) fn on(store: &Arc<MemoryStore>) -> Self {
        Self {
            store: store.clone(),
            state: Arc::default(),
        }
    }

    pub(crate) fn fail(&self, fault: Fault, times: u32) {
        self.state.lock().unwrap().fault = Some((fault, times));
    }

    pub(crate) fn heal(&self) {
        self.state.lock().unwrap().fault = None;
    }

    pub(crate) fn slow_down(&self, clock: &Arc<ManualClock>, by: Duration) {
        self.state.lock().unwrap().slow = Some((clock.clone(), by));
    }

    pub(crate) fn before_next_open(&self, hook: Hook) {
        self.state.lock().unwrap().hook = Some(hook);
    }

    pub(crate) fn opens(&self) -> HashMap<Location, u32> {
        std::mem::take(&mut self.state.lock().unwrap().opens)
    }

    fn reading(&self) -> Result<(), Error> {
        let mut state = self.state.lock().unwrap();
        if let Some((clock, by)) = &state.slow {
            clock.advance(*by);
        }
        match &mut state.fault {
            Some((fault, times)) if *times > 0 => {
                *times -= 1;
                Err(fault.error())
            }
            _ => Ok(()),
        }
    }
}

impl BlobStore for Faulty {
    fn writer(
        &self,
        upload: UploadId,
        offset: u64,
        hasher: Hasher,
    ) -> BoxFuture<'_, Result<Box<dyn UploadWriter>, Error>> {
        self.store.writer(upload, offset, hasher)
    }

    fn finish<'a>(
        &'a self,
        upload: UploadId,
        prefix: &'a str,
        digest: &'a Digest,
        size: u64,
    ) -> BoxFuture<'a, Result<Location, Error>> {
        self.store.finish(upload, prefix, digest, size)
    }

    fn abort(&self, upload: UploadId) -> BoxFuture<'_, Result<(), Error>> {
        self.store.abort(upload)
    }

    fn upload_len(&self, upload: UploadId) -> BoxFuture<'_, Result<Option<u64>, Error>> {
        self.store.upload_len(upload)
    }

    fn rehash(
        &self,
        upload: UploadId,
        size: u64,
        algorithm: Algorithm,
    ) -> BoxFuture<'_, Result<Hasher, Error>> {
        self.store.rehash(upload, size, algorithm)
    }

    fn open<'a>(
        &'a self,
        location: &'a Location,
        size: u64,
    ) -> BoxFuture<'a, Result<Opened, Error>> {
        Box::pin(async move {
            let hook = self.state.lock().unwrap().hook.take();
            if let Some(hook) = hook {
                hook().await;
            }
            *self
                .state
                .lock()
                .unwrap()
                .opens
                .entry(location.clone())
                .or_default() += 1;
            self.store.open(location, size).await
        })
    }

    fn hash(&self, opened: Opened, algorithm: Algorithm) -> BoxFuture<'_, Result<Digest, Error>> {
        Box::pin(async move {
            self.reading()?;
            self.store.hash(opened, algorithm).await
        })
    }

    fn hash_on(
        &self,
        opened: Opened,
        hasher: Hasher,
        end: u64,
    ) -> BoxFuture<'_, Result<Hasher, Error>> {
        Box::pin(async move {
            self.reading()?;
            self.store.hash_on(opened, hasher, end).await
        })
    }

    fn remove<'a>(&'a self, location: &'a Location) -> BoxFuture<'a, Result<(), Error>> {
        self.store.remove(location)
    }

    fn list(&self) -> Box<dyn BlobLister> {
        self.store.list()
    }

    fn list_uploads(&self) -> Box<dyn UploadLister> {
        self.store.list_uploads()
    }

    fn free_space(&self) -> Result<u64, Error> {
        self.store.free_space()
    }

    fn is_writable(&self) -> bool {
        self.store.is_writable()
    }
}
