//! What every blob store has to do, as tests that run on each of them: see [`blob_store_suite!`](crate::blob_store_suite).
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod places;
mod records;
mod rules;

use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use lazuli_wire::oci::{Algorithm, Digest, UploadId};

use crate::{
    BlobEntry, BlobStore, Error, Hasher, Listed, ListedUpload, Location, Opened, UploadWriter,
};

pub use places::*;
pub use records::*;
pub use rules::*;

/// A store under test.
pub type Store = Arc<dyn BlobStore>;

/// A fresh upload identifier.
pub fn new_upload() -> UploadId {
    let mut random = [0; 16];
    getrandom::fill(&mut random).unwrap();
    UploadId::from_random(random)
}

/// Bytes that differ from one place to the next and from one seed to another.
pub fn content(length: usize, seed: u64) -> Bytes {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// Begins a writer at the end of what is there.
pub async fn writer(store: &Store, upload: UploadId, before: &[u8]) -> Box<dyn UploadWriter> {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(before);
    let offset = before.len() as u64;
    store.writer(upload, offset, hasher).await.unwrap()
}

/// Receives bytes without making them a blob.
pub async fn receive(store: &Store, upload: UploadId, bytes: &Bytes) -> Result<Digest, Error> {
    let mut writer = store
        .writer(upload, 0, Hasher::new(Algorithm::Sha256))
        .await?;
    for piece in bytes.chunks(100_000) {
        writer.write(bytes.slice_ref(piece)).await?;
    }
    let (length, hasher) = writer.finish().await?;
    assert_eq!(length, bytes.len() as u64);
    Ok(hasher.finish())
}

/// Uploads bytes as one blob.
pub async fn push(store: &Store, bytes: &Bytes) -> Result<(UploadId, Location), Error> {
    let upload = new_upload();
    let digest = receive(store, upload, bytes).await?;
    assert_eq!(digest, Digest::of(Algorithm::Sha256, bytes));
    let size = bytes.len() as u64;
    let location = store.finish(upload, "1", &digest, size).await?;
    Ok((upload, location))
}

/// Reads a whole blob.
pub async fn pull(store: &Store, location: &Location, size: usize) -> Result<Vec<u8>, Error> {
    read(&store.open(location, size as u64).await?, size).await
}

/// All bytes of an open blob.
pub async fn read(opened: &Opened, size: usize) -> Result<Vec<u8>, Error> {
    match opened {
        Opened::File(blob) => {
            let mut bytes = vec![0; size];
            blob.file.read_exact_at(&mut bytes, 0).unwrap();
            Ok(bytes)
        }
        Opened::Object(object) => {
            let mut pieces = object.read(0..object.size()).await?;
            let mut bytes = Vec::new();
            while let Some(piece) = futures_util::StreamExt::next(&mut pieces).await {
                bytes.extend_from_slice(&piece?);
            }
            Ok(bytes)
        }
    }
}

/// Everything found where blobs are.
pub async fn list(store: &Store) -> Vec<Listed> {
    let mut lister = store.list();
    let mut all = Vec::new();
    while let Some(batch) = lister.next().await.unwrap() {
        all.extend(batch);
    }
    all
}

/// All blobs; anything else is a failure.
pub async fn list_blobs(store: &Store) -> Vec<BlobEntry> {
    let expect_blob = |listed| match listed {
        Listed::Blob(entry) => entry,
        Listed::Foreign(path) => panic!("'{path}' is no blob"),
    };
    list(store).await.into_iter().map(expect_blob).collect()
}

/// All uploads.
pub async fn list_uploads(store: &Store) -> Vec<ListedUpload> {
    let mut lister = store.list_uploads();
    let mut all = Vec::new();
    while let Some(batch) = lister.next().await.unwrap() {
        all.extend(batch);
    }
    all
}

/// Makes one test of each rule below, on the stores an expression gives. The expression, which may await, gives a
/// value with the store in its field `store`; the rest of the value is kept until the test ends.
#[macro_export]
macro_rules! blob_store_suite {
    ($open:expr) => {
        $crate::blob_store_suite! { bucket $open }
        $crate::blob_store_suite! { $open =>
            removing_a_blob_leaves_open_files_readable
            rehashing_gives_the_hash_of_the_first_bytes
        }
    };
    // Buckets have no open files, and parts of theirs cannot be read.
    (bucket $open:expr) => {
        $crate::blob_store_suite! { $open =>
            pushed_bytes_come_back
            nothing_is_visible_before_it_is_finished
            an_upload_continues_from_a_saved_hash
            bytes_past_the_offset_are_dropped
            an_offset_past_the_end_is_damage
            unknown_uploads_are_not_found
            unknown_blobs_are_not_found
            an_upload_has_one_writer_at_a_time
            a_dropped_writer_loses_nothing_reported
            finishing_checks_the_size
            finishing_can_be_repeated
            aborting_removes_an_upload
            aborting_cuts_a_writer_off
            equal_content_has_a_place_for_each_upload
            opening_checks_the_size
            what_is_held_back_is_finished
            lists_tell_what_is_there
            prefixes_keep_to_their_alphabet
            a_stored_location_finds_its_blob
            uploads_at_the_same_time_do_not_mix
        }
    };
    ($open:expr => $($rule:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                let opened = $open;
                $crate::suite::$rule(opened.store.clone()).await;
            }
        )*
    };
}
