//! Answers kept in memory, never older than the last acknowledged write.
//!
//! Each repository belongs to one of a fixed number of fences. A write closes its fence before its transaction and opens it after
//! the commit, removing what it changed; while a fence is closed its repositories are answered from the database. A reader that
//! missed notes the fence's epoch before it reads the database and may only keep what it read if the epoch is still the same.
//! So no acknowledged write is ever followed by an older answer, and no two readers see a tag move back.

mod keys;

use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use lazuli_wire::oci::{Digest, Reference, RepositoryName};
use quick_cache::{DefaultHashBuilder, sync::Cache as Store};

use crate::blobs::StoredBlob;
use crate::listing::Page;
use crate::manifests::StoredManifest;
use keys::{ByBytes, Entry, Key, KeyRef, PageRef};

pub(crate) use keys::PageKey;

const FENCES: usize = 1024;

/// How much memory the caches may take, in bytes (and open files).
#[derive(Debug, Clone, Copy)]
pub struct CacheOptions {
    /// Manifests by tag and by digest, in bytes.
    pub manifests: u64,
    /// Blob records and the bytes of small blobs, in bytes.
    pub blobs: u64,
    /// Rendered pages of tags and repositories, in bytes.
    pub pages: u64,
}

impl Default for CacheOptions {
    fn default() -> Self {
        Self {
            manifests: 8 << 20,
            blobs: 4 << 20,
            pages: 2 << 20,
        }
    }
}

/// One fence. `epoch` grows with every write, `generation` when everything behind the fence is forgotten.
#[derive(Debug, Default)]
struct Fence {
    closed_by: AtomicU32,
    epoch: AtomicU64,
    generation: AtomicU64,
    lock: Mutex<()>,
}

impl Fence {
    fn is_open(&self) -> bool {
        self.closed_by.load(Ordering::Acquire) == 0
    }
}

/// The caches of one process.
#[derive(Debug)]
pub struct Cache {
    hasher: DefaultHashBuilder,
    fences: Box<[Fence]>,
    manifests: Store<Key<Reference>, Entry<StoredManifest>, ByBytes>,
    blobs: Store<Key<Digest>, Entry<StoredBlob>, ByBytes>,
    pages: Store<(i64, Option<RepositoryName>, PageKey), Entry<Page>, ByBytes>,
}

/// Noted before a read of the database; decides whether what was read may be kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ticket {
    fence: usize,
    epoch: u64,
    generation: u64,
}

/// What a write has changed.
#[derive(Debug)]
pub(crate) enum Change {
    /// A tag names another manifest, or none; or a manifest came or went.
    Manifest(Reference),
    /// A blob came to or left the repository.
    Blob(Digest),
}

/// A closed fence. Opens when told what changed; when dropped without being told, everything behind it is forgotten.
#[derive(Debug)]
#[must_use]
pub(crate) struct ClosedFence {
    cache: Arc<Cache>,
    registry: i64,
    repository: Option<RepositoryName>,
    fence: usize,
    told: bool,
}

impl Cache {
    /// Empty caches of bounded size.
    pub fn new(options: CacheOptions) -> Arc<Self> {
        let items = |bytes: u64| (bytes / 1024).clamp(64, 1 << 20) as usize;
        Arc::new(Self {
            hasher: DefaultHashBuilder::default(),
            fences: (0..FENCES).map(|_| Fence::default()).collect(),
            manifests: Store::with_weighter(items(options.manifests), options.manifests, ByBytes),
            blobs: Store::with_weighter(items(options.blobs), options.blobs, ByBytes),
            pages: Store::with_weighter(items(options.pages), options.pages, ByBytes),
        })
    }

    /// `None` is the registry's catalog.
    fn fence_of(&self, registry: i64, repository: Option<&RepositoryName>) -> usize {
        let mut hasher = self.hasher.build_hasher();
        registry.hash(&mut hasher);
        repository.hash(&mut hasher);
        hasher.finish() as usize % FENCES
    }

    /// To be taken before the database is read. `None` while a write is under way: then nothing may be kept.
    pub(crate) fn ticket(
        &self,
        registry: i64,
        repository: Option<&RepositoryName>,
    ) -> Option<Ticket> {
        let fence = self.fence_of(registry, repository);
        let state = &self.fences[fence];
        let epoch = state.epoch.load(Ordering::Acquire);
        let generation = state.generation.load(Ordering::Acquire);
        state.is_open().then_some(Ticket {
            fence,
            epoch,
            generation,
        })
    }

    /// Closes the fence of a repository (or of the catalog) for the time of a write.
    pub(crate) fn close(
        self: &Arc<Self>,
        registry: i64,
        repository: Option<&RepositoryName>,
    ) -> ClosedFence {
        let fence = self.fence_of(registry, repository);
        let state = &self.fences[fence];
        let _guard = state.lock.lock().unwrap_or_else(PoisonError::into_inner);
        state.closed_by.fetch_add(1, Ordering::AcqRel);
        state.epoch.fetch_add(1, Ordering::AcqRel);
        ClosedFence {
            cache: self.clone(),
            registry,
            repository: repository.cloned(),
            fence,
            told: false,
        }
    }

    fn keep(&self, ticket: Ticket, insert: impl FnOnce()) {
        let state = &self.fences[ticket.fence];
        let _guard = state.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if state.is_open() && state.epoch.load(Ordering::Acquire) == ticket.epoch {
            insert();
        }
    }

    /// The manifest a tag or digest names, if known and no write is under way.
    pub(crate) fn manifest(
        &self,
        registry: i64,
        repository: &RepositoryName,
        item: &Reference,
    ) -> Option<Arc<StoredManifest>> {
        let state = &self.fences[self.fence_of(registry, Some(repository))];
        if !state.is_open() {
            return None;
        }
        let entry = self.manifests.get(&KeyRef {
            registry,
            repository,
            item,
        })?;
        (entry.generation == state.generation.load(Ordering::Acquire)).then_some(entry.value)
    }

    pub(crate) fn keep_manifest(
        &self,
        ticket: Option<Ticket>,
        registry: i64,
        repository: &RepositoryName,
        item: Reference,
        value: Arc<StoredManifest>,
    ) {
        let Some(ticket) = ticket else { return };
        let key = Key {
            registry,
            repository: repository.clone(),
            item,
        };
        self.keep(ticket, || {
            self.manifests.insert(
                key,
                Entry {
                    generation: ticket.generation,
                    value,
                },
            );
        });
    }

    pub(crate) fn blob(
        &self,
        registry: i64,
        repository: &RepositoryName,
        item: &Digest,
    ) -> Option<Arc<StoredBlob>> {
        let state = &self.fences[self.fence_of(registry, Some(repository))];
        if !state.is_open() {
            return None;
        }
        let entry = self.blobs.get(&KeyRef {
            registry,
            repository,
            item,
        })?;
        (entry.generation == state.generation.load(Ordering::Acquire)).then_some(entry.value)
    }

    pub(crate) fn keep_blob(
        &self,
        ticket: Option<Ticket>,
        registry: i64,
        repository: &RepositoryName,
        item: Digest,
        value: Arc<StoredBlob>,
    ) {
        let Some(ticket) = ticket else { return };
        let key = Key {
            registry,
            repository: repository.clone(),
            item,
        };
        self.keep(ticket, || {
            self.blobs.insert(
                key,
                Entry {
                    generation: ticket.generation,
                    value,
                },
            );
        });
    }

    /// A page is good only for the epoch it was read in: any write to its repository ends it.
    pub(crate) fn page(
        &self,
        registry: i64,
        repository: Option<&RepositoryName>,
        page: &PageKey,
    ) -> Option<Arc<Page>> {
        let state = &self.fences[self.fence_of(registry, repository)];
        let epoch = state.epoch.load(Ordering::Acquire);
        if !state.is_open() {
            return None;
        }
        let entry = self.pages.get(&PageRef {
            registry,
            repository,
            page,
        })?;
        (entry.generation == epoch).then_some(entry.value)
    }

    pub(crate) fn keep_page(
        &self,
        ticket: Option<Ticket>,
        registry: i64,
        repository: Option<&RepositoryName>,
        page: PageKey,
        value: Arc<Page>,
    ) {
        let Some(ticket) = ticket else { return };
        let key = (registry, repository.cloned(), page);
        self.keep(ticket, || {
            self.pages.insert(
                key,
                Entry {
                    generation: ticket.epoch,
                    value,
                },
            );
        });
    }

    /// Forgets everything, for instance after a repair.
    pub fn clear(&self) {
        for fence in &self.fences {
            let _guard = fence.lock.lock().unwrap_or_else(PoisonError::into_inner);
            fence.epoch.fetch_add(1, Ordering::AcqRel);
            fence.generation.fetch_add(1, Ordering::AcqRel);
        }
        self.manifests.clear();
        self.blobs.clear();
        self.pages.clear();
    }
}

impl ClosedFence {
    /// The write is over: forgets what it changed and lets readers keep answers again.
    pub(crate) fn open(mut self, changes: &[Change]) {
        self.told = true;
        let state = &self.cache.fences[self.fence];
        let _guard = state.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(repository) = &self.repository {
            for change in changes {
                match change {
                    Change::Manifest(item) => {
                        self.cache.manifests.remove(&KeyRef {
                            registry: self.registry,
                            repository,
                            item,
                        });
                    }
                    Change::Blob(item) => {
                        self.cache.blobs.remove(&KeyRef {
                            registry: self.registry,
                            repository,
                            item,
                        });
                    }
                }
            }
        }
        state.epoch.fetch_add(1, Ordering::AcqRel);
        state.closed_by.fetch_sub(1, Ordering::AcqRel);
    }

    /// The write is over and changed more than can be named.
    pub(crate) fn open_forgetting_all(self) {
        drop(self);
    }
}

impl Drop for ClosedFence {
    fn drop(&mut self) {
        if self.told {
            return;
        }
        let state = &self.cache.fences[self.fence];
        let _guard = state.lock.lock().unwrap_or_else(PoisonError::into_inner);
        state.epoch.fetch_add(1, Ordering::AcqRel);
        state.generation.fetch_add(1, Ordering::AcqRel);
        state.closed_by.fetch_sub(1, Ordering::AcqRel);
    }
}
