//! The reader of what buckets hold of unfinished uploads by itself, for fuzzing. Never part of a product build.

use bytes::Bytes;

pub use crate::bucket::testing::StoredUpload;

/// Reads a stored upload, if it is one.
pub fn stored_upload(text: &[u8]) -> Option<StoredUpload> {
    StoredUpload::read(&Bytes::copy_from_slice(text))
}
