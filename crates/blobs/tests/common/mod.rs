//! A store on a disk with faults.
#![allow(clippy::unwrap_used, unreachable_pub)]

use std::sync::Arc;

use lazuli_blobs::faulty::FaultyDisk;
use lazuli_blobs::suite::Store;
use lazuli_blobs::{DiskOptions, DiskStore};
use tempfile::TempDir;

/// Small enough that a short upload passes through every stage.
pub fn options() -> DiskOptions {
    DiskOptions {
        chunk_size: 4 << 10,
        writeback_interval: 8 << 10,
        cached_prefix: 8 << 10,
        sync_interval: 16 << 10,
        reserved_space: 0,
        faults_until_read_only: 1000,
        max_idle_files: 2,
        concurrent_chunks: 1,
    }
}

pub struct Bench {
    pub directory: TempDir,
    pub disk: FaultyDisk,
    pub store: Store,
}

impl Bench {
    pub fn new(options: DiskOptions) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let disk = FaultyDisk::new(directory.path()).unwrap();
        let store = DiskStore::with_disk(directory.path(), options, Arc::new(disk.clone()));
        Self {
            store: Arc::new(store.unwrap()),
            disk,
            directory,
        }
    }

    /// Another process, after the first is gone.
    pub fn reopen(&mut self, options: DiskOptions) {
        let disk = Arc::new(self.disk.clone());
        let store = DiskStore::with_disk(self.directory.path(), options, disk);
        self.store = Arc::new(store.unwrap());
    }
}
