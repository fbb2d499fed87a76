//! The behaviour suite on object stores: one in memory, and the real ones of this machine.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use lazuli_blobs::suite::Store;
use lazuli_blobs::{Bucket, BucketOptions, BucketStore};
use object_store::memory::InMemory;

struct Opened {
    store: Store,
}

fn in_memory(part_size: usize) -> Opened {
    let options = BucketOptions {
        part_size,
        prefix: "some/folder".to_owned(),
        ..BucketOptions::default()
    };
    let bucket = Bucket::new(Arc::new(InMemory::new()));
    Opened {
        store: Arc::new(BucketStore::new(bucket, options)),
    }
}

mod in_one_part {
    lazuli_blobs::blob_store_suite!(bucket super::in_memory(8 << 20));
}

/// Parts so small that most uploads have several.
mod in_many_parts {
    lazuli_blobs::blob_store_suite!(bucket super::in_memory(64 << 10));
}
