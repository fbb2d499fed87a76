//! The behaviour suite on every store.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use lazuli_blobs::suite::Store;
use lazuli_blobs::{DiskOptions, DiskStore, MemoryStore};

struct Opened {
    store: Store,
    _directory: Option<tempfile::TempDir>,
}

fn memory() -> Opened {
    Opened {
        store: Arc::new(MemoryStore::new()),
        _directory: None,
    }
}

fn disk() -> Opened {
    let directory = tempfile::tempdir().unwrap();
    let store = DiskStore::open(directory.path(), DiskOptions::default()).unwrap();
    Opened {
        store: Arc::new(store),
        _directory: Some(directory),
    }
}

/// With all that happens at intervals happening all the time.
fn busy_disk() -> Opened {
    let directory = tempfile::tempdir().unwrap();
    let options = DiskOptions {
        chunk_size: 1000,
        writeback_interval: 3000,
        cached_prefix: 5000,
        sync_interval: 10_000,
        max_idle_files: 0,
        concurrent_chunks: 1,
        ..DiskOptions::default()
    };
    let store = DiskStore::open(directory.path(), options).unwrap();
    Opened {
        store: Arc::new(store),
        _directory: Some(directory),
    }
}

mod in_memory {
    lazuli_blobs::blob_store_suite!(super::memory());
    lazuli_blobs::blob_store_suite!(super::memory() => records_are_made_once);
}

mod on_disk {
    lazuli_blobs::blob_store_suite!(super::disk());
}

mod on_a_busy_disk {
    lazuli_blobs::blob_store_suite!(super::busy_disk());
}
