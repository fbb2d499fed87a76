//! A disk that is full, failing or short of open files.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{Bench, options};
use lazuli_blobs::suite::{
    self, content, list_blobs, list_uploads, new_upload, pull, push, receive,
};
use lazuli_blobs::{DiskOptions, Error, Hasher, Operation};
use lazuli_wire::oci::{Algorithm, Digest};
use rustix::io::Errno;

#[tokio::test]
async fn repeated_faults_end_writing_and_nothing_else() {
    let limit = DiskOptions {
        faults_until_read_only: 2,
        ..options()
    };
    let mut bench = Bench::new(limit.clone());
    let bytes = content(5000, 1);
    let (_, location) = push(&bench.store, &bytes).await.unwrap();
    let waiting = new_upload();
    let digest = receive(&bench.store, waiting, &bytes).await.unwrap();
    for fault in 1..=2 {
        assert!(bench.store.is_writable());
        bench.disk.fail_nth(Operation::Write, 1, Errno::IO);
        let failed = receive(&bench.store, new_upload(), &bytes).await;
        assert!(matches!(
            failed,
            Err(Error::Io {
                op: Operation::Write,
                ..
            })
        ));
        assert_eq!(bench.store.is_writable(), fault < 2);
    }
    let refused = receive(&bench.store, new_upload(), &bytes).await;
    assert!(matches!(refused, Err(Error::ReadOnly)));
    let refused = bench.store.finish(waiting, "1", &digest, 5000).await;
    assert!(matches!(refused, Err(Error::ReadOnly)));
    assert!(pull(&bench.store, &location, 5000).await.unwrap() == bytes);
    bench.store.remove(&location).await.unwrap();
    assert_eq!(list_blobs(&bench.store).await, []);
    // An upload under way can be freed, and after a restart another one goes on.
    for upload in list_uploads(&bench.store).await {
        if upload.upload != waiting {
            bench.store.abort(upload.upload).await.unwrap();
        }
    }
    bench.reopen(limit);
    assert!(bench.store.is_writable());
    let finished = bench.store.finish(waiting, "1", &digest, 5000).await;
    finished.unwrap();
}

#[tokio::test]
async fn a_full_disk_does_not_end_writing() {
    let bench = Bench::new(DiskOptions {
        faults_until_read_only: 1,
        ..options()
    });
    bench.disk.fail_from(Operation::Write, 1, Errno::NOSPC);
    for _ in 0..5 {
        let failed = receive(&bench.store, new_upload(), &content(10, 1)).await;
        assert!(failed.unwrap_err().is_out_of_space());
    }
    bench.disk.heal();
    assert!(bench.store.is_writable());
    push(&bench.store, &content(10, 1)).await.unwrap();
}

#[tokio::test]
async fn a_file_system_that_turned_read_only_ends_writing_at_once() {
    let bench = Bench::new(options());
    bench.disk.fail_nth(Operation::Create, 1, Errno::ROFS);
    let failed = receive(&bench.store, new_upload(), &content(10, 1)).await;
    assert!(matches!(failed, Err(Error::ReadOnly)));
    assert!(!bench.store.is_writable());
}

#[tokio::test]
async fn the_reserve_is_left_alone() {
    let bench = Bench::new(DiskOptions {
        reserved_space: 1_000_000,
        ..options()
    });
    let (disk, store) = (&bench.disk, &bench.store);
    disk.set_free_space(Some(1_000_000));
    assert_eq!(store.free_space().unwrap(), 0);
    let refused = store.writer(new_upload(), 0, Hasher::new(Algorithm::Sha256));
    assert!(refused.await.err().unwrap().is_out_of_space());
    // It fills up while an upload is under way.
    disk.set_free_space(Some(1_000_001));
    assert_eq!(store.free_space().unwrap(), 1);
    let (upload, bytes) = (new_upload(), content(100_000, 1));
    let mut writer = suite::writer(store, upload, &[]).await;
    disk.set_free_space(Some(999_999));
    let refused = writer.write(bytes.clone()).await;
    assert!(refused.unwrap_err().is_out_of_space());
    drop(writer);
    disk.heal();
    let digest = receive(store, upload, &bytes).await.unwrap();
    store.finish(upload, "1", &digest, 100_000).await.unwrap();
}

#[tokio::test]
async fn files_closed_early_are_synced_first() {
    let bench = Bench::new(options());
    let (disk, store) = (&bench.disk, &bench.store);
    let bytes = content(3000, 1);
    let uploads: Vec<_> = (0..6).map(|_| new_upload()).collect();
    for upload in &uploads {
        receive(store, *upload, &bytes).await.unwrap();
    }
    // Two may stay open beside the newest.
    assert_eq!(disk.count(Operation::SyncData), 3);
    disk.fail_nth(Operation::SyncData, 1, Errno::IO);
    let opened = disk.count(Operation::Open);
    let digest = Digest::of(Algorithm::Sha256, &bytes);
    // The oldest was closed; to open it the next has to be, which fails.
    let finished = store.finish(uploads[0], "1", &digest, 3000).await;
    finished.unwrap();
    assert_eq!(disk.count(Operation::Open), opened + 1);
    let lost = store.finish(uploads[3], "1", &digest, 3000).await;
    assert!(matches!(lost, Err(Error::Poisoned)));
    for upload in [1, 2, 4, 5] {
        let finished = store.finish(uploads[upload], "1", &digest, 3000).await;
        finished.unwrap();
    }
}
