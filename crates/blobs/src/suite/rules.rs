//! The rules, one function each.

use std::os::unix::fs::FileExt;

use bytes::Bytes;
use lazuli_wire::oci::{Algorithm, Digest};

use super::{Store, content, list_blobs, list_uploads, new_upload, pull, push, receive, writer};
use crate::{Error, Hasher, Listed, Location, Opened};

/// Of every size around the edges of what is gathered at a time.
pub async fn pushed_bytes_come_back(store: Store) {
    let edge = 512 << 10;
    for size in [0, 1, 63, 64, 65, 4095, edge - 1, edge, edge + 1, 3_000_000] {
        let bytes = content(size, size as u64 + 7);
        let (_, location) = push(&store, &bytes).await.unwrap();
        assert_eq!(pull(&store, &location, size).await.unwrap(), bytes);
        let digest = Digest::of(Algorithm::Sha256, &bytes);
        assert_eq!(location.digest(), Some(digest));
    }
    // In pieces of one byte, and in pieces of uneven sizes.
    for step in [1, 5000] {
        let bytes = content(20_011, 3);
        let mut writer = writer(&store, new_upload(), &[]).await;
        for piece in bytes.chunks(step) {
            writer.write(bytes.slice_ref(piece)).await.unwrap();
        }
        let (length, hasher) = writer.finish().await.unwrap();
        assert_eq!(length, 20_011);
        assert_eq!(hasher.finish(), Digest::of(Algorithm::Sha256, &bytes));
    }
}

/// See the name.
pub async fn nothing_is_visible_before_it_is_finished(store: Store) {
    let (upload, bytes) = (new_upload(), content(1000, 1));
    let digest = receive(&store, upload, &bytes).await.unwrap();
    let location = Location::new("1", &digest, upload).unwrap();
    let opened = store.open(&location, 1000).await;
    assert!(matches!(opened, Err(Error::NotFound)));
    assert_eq!(list_blobs(&store).await, []);
    let finished = store.finish(upload, "1", &digest, 1000).await.unwrap();
    assert_eq!(finished, location);
    assert_eq!(pull(&store, &location, 1000).await.unwrap(), bytes);
    assert_eq!(store.upload_len(upload).await.unwrap(), None);
}

/// For both algorithms, split at a block's edge and off it.
pub async fn an_upload_continues_from_a_saved_hash(store: Store) {
    for algorithm in Algorithm::ALL {
        let (upload, bytes) = (new_upload(), content(300_000, 5));
        let mut hasher = Hasher::new(algorithm);
        for (start, end) in [
            (0, 128),
            (128, 131_072),
            (131_072, 131_073),
            (131_073, 300_000),
        ] {
            let mut writer = store.writer(upload, start, hasher).await.unwrap();
            let piece = bytes.slice(start as usize..end);
            writer.write(piece).await.unwrap();
            let (length, reached) = writer.finish().await.unwrap();
            assert_eq!(length, end as u64);
            assert_eq!(store.upload_len(upload).await.unwrap(), Some(length));
            hasher = Hasher::restore(&reached.save()).unwrap();
        }
        let digest = hasher.finish();
        assert_eq!(digest, Digest::of(algorithm, &bytes));
        let location = store.finish(upload, "1", &digest, 300_000).await.unwrap();
        assert_eq!(pull(&store, &location, 300_000).await.unwrap(), bytes);
    }
}

/// See the name.
pub async fn bytes_past_the_offset_are_dropped(store: Store) {
    let (upload, bytes) = (new_upload(), content(9000, 2));
    receive(&store, upload, &bytes).await.unwrap();
    let mut again = writer(&store, upload, &bytes[..5000]).await;
    again.write(Bytes::from_static(b"end")).await.unwrap();
    let (length, hasher) = again.finish().await.unwrap();
    assert_eq!(length, 5003);
    let digest = hasher.finish();
    let location = store.finish(upload, "1", &digest, 5003).await.unwrap();
    let expected = [&bytes[..5000], b"end"].concat();
    assert_eq!(pull(&store, &location, 5003).await.unwrap(), expected);
    // From the beginning as well.
    let upload = new_upload();
    receive(&store, upload, &bytes).await.unwrap();
    receive(&store, upload, &content(10, 1)).await.unwrap();
    assert_eq!(store.upload_len(upload).await.unwrap(), Some(10));
}

/// See the name.
pub async fn an_offset_past_the_end_is_damage(store: Store) {
    let (upload, bytes) = (new_upload(), content(100, 2));
    receive(&store, upload, &bytes).await.unwrap();
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(&content(101, 2));
    let refused = store.writer(upload, 101, hasher).await.err();
    assert!(matches!(
        refused,
        Some(Error::Damaged {
            expected: 101,
            found: 100
        })
    ));
    assert_eq!(store.upload_len(upload).await.unwrap(), Some(100));
}

/// See the name.
pub async fn unknown_uploads_are_not_found(store: Store) {
    let upload = new_upload();
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(b"x");
    let digest = hasher.clone().finish();
    assert!(matches!(
        store.writer(upload, 1, hasher).await.err(),
        Some(Error::NotFound)
    ));
    assert!(matches!(
        store.finish(upload, "1", &digest, 1).await,
        Err(Error::NotFound)
    ));
    assert!(matches!(
        store.rehash(upload, 1, Algorithm::Sha512).await,
        Err(Error::NotFound)
    ));
    assert_eq!(store.upload_len(upload).await.unwrap(), None);
    store.abort(upload).await.unwrap();
}

/// See the name.
pub async fn unknown_blobs_are_not_found(store: Store) {
    let digest = Digest::of(Algorithm::Sha512, b"nowhere");
    let location = Location::new("1", &digest, new_upload()).unwrap();
    let opened = store.open(&location, 7).await;
    assert!(matches!(opened, Err(Error::NotFound)));
    store.remove(&location).await.unwrap();
}

/// See the name.
pub async fn an_upload_has_one_writer_at_a_time(store: Store) {
    let (upload, bytes) = (new_upload(), content(4000, 9));
    let mut first = writer(&store, upload, &[]).await;
    first.write(bytes.clone()).await.unwrap();
    let second = store.writer(upload, 0, Hasher::new(Algorithm::Sha256));
    assert!(matches!(second.await.err(), Some(Error::Busy)));
    let digest = Digest::of(Algorithm::Sha256, &bytes);
    let finished = store.finish(upload, "1", &digest, 4000).await;
    assert!(matches!(finished, Err(Error::Busy)));
    let rehashed = store.rehash(upload, 10, Algorithm::Sha512).await;
    assert!(matches!(rehashed, Err(Error::Busy)));
    // None of this disturbed the first.
    let (length, hasher) = first.finish().await.unwrap();
    assert_eq!((length, hasher.finish()), (4000, digest));
    store.finish(upload, "1", &digest, 4000).await.unwrap();
}

/// See the name.
pub async fn a_dropped_writer_loses_nothing_reported(store: Store) {
    let (upload, bytes) = (new_upload(), content(2_000_000, 4));
    receive(&store, upload, &bytes.slice(..700_000))
        .await
        .unwrap();
    let mut dropped = writer(&store, upload, &bytes[..700_000]).await;
    dropped.write(content(1_000_000, 77)).await.unwrap();
    drop(dropped);
    // At once: the store waits for what the dropped writer had begun.
    let mut last = writer(&store, upload, &bytes[..700_000]).await;
    last.write(bytes.slice(700_000..)).await.unwrap();
    let (length, hasher) = last.finish().await.unwrap();
    assert_eq!(length, 2_000_000);
    let digest = hasher.finish();
    let location = store.finish(upload, "1", &digest, length).await.unwrap();
    assert_eq!(pull(&store, &location, 2_000_000).await.unwrap(), bytes);
}

/// See the name.
pub async fn finishing_checks_the_size(store: Store) {
    let (upload, bytes) = (new_upload(), content(500, 8));
    let digest = receive(&store, upload, &bytes).await.unwrap();
    for wrong in [499, 501, 0] {
        let finished = store.finish(upload, "1", &digest, wrong).await;
        assert!(matches!(finished, Err(Error::Damaged { found: 500, .. })));
    }
    assert_eq!(list_blobs(&store).await, []);
    store.finish(upload, "1", &digest, 500).await.unwrap();
}

/// See the name.
pub async fn finishing_can_be_repeated(store: Store) {
    let bytes = content(500, 8);
    let (upload, location) = push(&store, &bytes).await.unwrap();
    let digest = Digest::of(Algorithm::Sha256, &bytes);
    let again = store.finish(upload, "1", &digest, 500).await.unwrap();
    assert_eq!(again, location);
    assert_eq!(list_blobs(&store).await.len(), 1);
    // Not with another size, and not after the blob was removed.
    assert!(store.finish(upload, "1", &digest, 499).await.is_err());
    store.remove(&location).await.unwrap();
    let gone = store.finish(upload, "1", &digest, 500).await;
    assert!(matches!(gone, Err(Error::NotFound)));
}

/// See the name.
pub async fn aborting_removes_an_upload(store: Store) {
    let (upload, bytes) = (new_upload(), content(500, 8));
    let digest = receive(&store, upload, &bytes).await.unwrap();
    assert_eq!(list_uploads(&store).await.len(), 1);
    store.abort(upload).await.unwrap();
    assert_eq!(store.upload_len(upload).await.unwrap(), None);
    assert_eq!(list_uploads(&store).await, []);
    let finished = store.finish(upload, "1", &digest, 500).await;
    assert!(matches!(finished, Err(Error::NotFound)));
    store.abort(upload).await.unwrap();
}

/// See the name.
pub async fn aborting_cuts_a_writer_off(store: Store) {
    let upload = new_upload();
    let mut cut_off = writer(&store, upload, &[]).await;
    cut_off.write(content(600_000, 1)).await.unwrap();
    store.abort(upload).await.unwrap();
    let mut outcome = Ok(());
    for _ in 0..20 {
        outcome = cut_off.write(content(600_000, 1)).await;
        if outcome.is_err() {
            break;
        }
    }
    assert!(matches!(outcome, Err(Error::NotFound)));
    assert!(cut_off.finish().await.is_err());
    assert_eq!(store.upload_len(upload).await.unwrap(), None);
    assert_eq!(list_uploads(&store).await, []);
    // Before the first byte as well.
    let upload = new_upload();
    let cut_off = writer(&store, upload, &[]).await;
    store.abort(upload).await.unwrap();
    assert!(matches!(cut_off.finish().await, Err(Error::NotFound)));
    assert_eq!(list_uploads(&store).await, []);
}

/// See the name.
pub async fn equal_content_has_a_place_for_each_upload(store: Store) {
    let bytes = content(500, 8);
    let (_, one) = push(&store, &bytes).await.unwrap();
    let (_, other) = push(&store, &bytes).await.unwrap();
    assert_ne!(one, other);
    assert_eq!(one.digest(), other.digest());
    store.remove(&one).await.unwrap();
    assert!(matches!(store.open(&one, 500).await, Err(Error::NotFound)));
    assert_eq!(pull(&store, &other, 500).await.unwrap(), bytes);
}

/// See the name.
pub async fn removing_a_blob_leaves_open_files_readable(store: Store) {
    let bytes = content(5000, 8);
    let (_, location) = push(&store, &bytes).await.unwrap();
    let Opened::File(open) = store.open(&location, 5000).await.unwrap() else {
        panic!("a store with files");
    };
    store.remove(&location).await.unwrap();
    store.remove(&location).await.unwrap();
    let mut read = vec![0; 5000];
    open.file.read_exact_at(&mut read, 0).unwrap();
    assert_eq!(read, bytes);
    assert_eq!(list_blobs(&store).await, []);
}

/// See the name.
pub async fn opening_checks_the_size(store: Store) {
    let (_, location) = push(&store, &content(5000, 8)).await.unwrap();
    for expected in [4999, 5001] {
        let opened = store.open(&location, expected).await;
        assert!(matches!(opened, Err(Error::Damaged { found: 5000, .. })));
    }
}

/// See the name.
pub async fn rehashing_gives_the_hash_of_the_first_bytes(store: Store) {
    let (upload, bytes) = (new_upload(), content(1_000_000, 8));
    receive(&store, upload, &bytes).await.unwrap();
    for algorithm in Algorithm::ALL {
        for size in [0, 1, 999_999, 1_000_000] {
            let hasher = store.rehash(upload, size, algorithm).await.unwrap();
            assert_eq!(hasher.len(), size);
            let expected = Digest::of(algorithm, &bytes[..size as usize]);
            assert_eq!(hasher.finish(), expected);
        }
    }
    let beyond = store.rehash(upload, 1_000_001, Algorithm::Sha256).await;
    assert!(matches!(beyond, Err(Error::Damaged { .. })));
}

/// See the name.
pub async fn lists_tell_what_is_there(store: Store) {
    let mut expected = Vec::new();
    for seed in 0..20 {
        let bytes = content(seed as usize * 10, seed);
        let (_, location) = push(&store, &bytes).await.unwrap();
        expected.push((location, bytes.len() as u64));
    }
    let upload = new_upload();
    receive(&store, upload, &content(77, 1)).await.unwrap();
    let blobs = list_blobs(&store).await;
    for blob in &blobs {
        assert_eq!(blob.location.digest(), Some(blob.digest));
        assert!(blob.modified_us > 1_600_000_000_000_000);
    }
    // The shorter list has the same blobs, and their sizes when asked for.
    let (mut lister, mut named) = (store.list_names(), Vec::new());
    while let Some(batch) = lister.next().await.unwrap() {
        for listed in batch {
            if let Listed::Blob(blob) = listed {
                let size = store.measure(&blob).await.unwrap();
                named.push((blob.location, size));
            }
        }
    }
    named.sort();
    let found = blobs.into_iter().map(|blob| (blob.location, blob.size));
    let mut found: Vec<_> = found.collect();
    found.sort();
    expected.sort();
    assert_eq!((&found, &named), (&expected, &expected));
    let uploads = list_uploads(&store).await;
    assert_eq!(uploads.len(), 1);
    assert_eq!((uploads[0].upload, uploads[0].size), (upload, 77));
    assert!(!uploads[0].is_quarantined);
}

/// See the name.
pub async fn uploads_at_the_same_time_do_not_mix(store: Store) {
    let tasks: Vec<_> = (0..16)
        .map(|seed| {
            let store = store.clone();
            tokio::spawn(async move {
                let bytes = content(200_000 + seed * 61_111, seed as u64);
                let (_, location) = push(&store, &bytes).await.unwrap();
                (location, bytes)
            })
        })
        .collect();
    for task in tasks {
        let (location, bytes) = task.await.unwrap();
        let pulled = pull(&store, &location, bytes.len()).await.unwrap();
        assert!(pulled == bytes);
    }
    assert_eq!(list_uploads(&store).await, []);
    assert!(store.is_writable());
    assert!(store.free_space().unwrap() > 0);
}

/// The last request of an upload need not leave anything behind for another one.
pub async fn what_is_held_back_is_finished(store: Store) {
    for (first, last) in [
        (0, 0),
        (0, 1000),
        (1000, 0),
        (70_000, 5),
        (5, 300_000),
        (300_000, 300_000),
    ] {
        let (upload, bytes) = (new_upload(), content(first + last, 3));
        if first > 0 {
            receive(&store, upload, &bytes.slice(..first))
                .await
                .unwrap();
        }
        let mut writer = writer(&store, upload, &bytes[..first]).await;
        writer.write(bytes.slice(first..)).await.unwrap();
        let (length, hasher, held) = writer.finish_last().await.unwrap();
        assert_eq!(length, (first + last) as u64);
        let digest = hasher.finish();
        assert_eq!(digest, Digest::of(Algorithm::Sha256, &bytes));
        let finished = store.finish_held(upload, held, "1", &digest, length).await;
        let location = finished.unwrap();
        assert_eq!(pull(&store, &location, bytes.len()).await.unwrap(), bytes);
        let again = store.finish(upload, "1", &digest, length).await.unwrap();
        assert_eq!(again, location);
        assert_eq!(list_uploads(&store).await, []);
    }
}
