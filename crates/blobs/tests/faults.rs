//! Every operation on the disk fails once, on every path: the error is clear, nothing half-done is visible, and the
//! upload goes on or starts again.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{Bench, options};
use lazuli_blobs::faulty::Crash;
use lazuli_blobs::suite::{
    self, Store, content, list_blobs, list_uploads, new_upload, pull, push, receive,
};
use lazuli_blobs::{DiskOptions, Error, Hasher, Operation};
use lazuli_wire::oci::{Algorithm, Digest, UploadId};
use rustix::io::Errno;

/// A client that goes on after errors from what was last reported, as the registry lets it.
struct Client {
    upload: UploadId,
    reported: (u64, Vec<u8>),
    bytes: Bytes,
}

impl Client {
    fn new(bytes: &Bytes) -> Self {
        Self {
            upload: new_upload(),
            reported: (0, Hasher::new(Algorithm::Sha256).save()),
            bytes: bytes.clone(),
        }
    }

    /// Sends the rest in two requests, then finishes.
    async fn attempt(&mut self, store: &Store) -> Result<lazuli_blobs::Location, Error> {
        let total = self.bytes.len();
        for end in [total / 2 + 123, total] {
            let (offset, state) = &self.reported;
            if *offset >= end as u64 {
                continue;
            }
            let hasher = Hasher::restore(state).unwrap();
            let mut writer = store.writer(self.upload, *offset, hasher).await?;
            for piece in self.bytes[*offset as usize..end].chunks(3000) {
                writer.write(self.bytes.slice_ref(piece)).await?;
            }
            let (length, hasher) = writer.finish().await?;
            self.reported = (length, hasher.save());
        }
        let digest = Hasher::restore(&self.reported.1).unwrap().finish();
        assert_eq!(digest, Digest::of(Algorithm::Sha256, &self.bytes));
        store.finish(self.upload, "1", &digest, total as u64).await
    }
}

/// Fails the `nth` operation; false when there were not so many.
async fn fail_once(nth: u64, errno: Errno) -> bool {
    let bench = Bench::new(options());
    let (disk, store) = (&bench.disk, &bench.store);
    let bytes = content(50_000, nth);
    let mut client = Client::new(&bytes);
    let before = disk.total();
    disk.fail_nth_of_all(nth, errno);
    let outcome = client.attempt(store).await;
    let was_reached = disk.total() - before >= nth;
    disk.heal();
    let location = match outcome {
        Ok(location) => location,
        Err(error) => {
            let is_full = errno == Errno::NOSPC;
            assert_eq!(error.is_out_of_space(), is_full, "{nth}: {error}");
            assert!(was_reached, "{nth}: {error}");
            assert_eq!(list_blobs(store).await, [], "{nth}");
            match client.attempt(store).await {
                Ok(location) => location,
                Err(Error::Poisoned) => {
                    store.abort(client.upload).await.unwrap();
                    client = Client::new(&bytes);
                    client.attempt(store).await.unwrap()
                }
                Err(error) => panic!("{nth}: the retry failed: {error}"),
            }
        }
    };
    let pulled = pull(store, &location, bytes.len()).await.unwrap();
    assert!(pulled == bytes, "{nth}");
    assert_eq!(list_blobs(store).await.len(), 1, "{nth}");
    assert_eq!(list_uploads(store).await, [], "{nth}");
    assert!(store.is_writable());
    was_reached
}

async fn fail_each(errno: Errno) {
    let mut nth = 1;
    while fail_once(nth, errno).await {
        nth += 1;
    }
    // The path has that many operations at least, or this tests nothing.
    assert!(nth > 30, "only {nth} operations");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_operation_may_fail_once_for_an_io_error() {
    fail_each(Errno::IO).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_operation_may_fail_once_for_lack_of_space() {
    fail_each(Errno::NOSPC).await;
}

#[tokio::test]
async fn short_writes_are_completed() {
    let bench = Bench::new(options());
    bench.disk.limit_writes(700);
    let bytes = content(50_000, 1);
    let (_, location) = push(&bench.store, &bytes).await.unwrap();
    assert!(bench.disk.count(Operation::Write) > 70);
    assert!(pull(&bench.store, &location, 50_000).await.unwrap() == bytes);
}

#[tokio::test]
async fn an_upload_whose_sync_failed_is_lost_for_good() {
    let mut bench = Bench::new(options());
    let (upload, bytes) = (new_upload(), content(5000, 1));
    let digest = receive(&bench.store, upload, &bytes).await.unwrap();
    bench.disk.fail_nth(Operation::SyncData, 1, Errno::IO);
    let failed = bench.store.finish(upload, "1", &digest, 5000).await;
    assert!(matches!(
        failed,
        Err(Error::Io {
            op: Operation::SyncData,
            ..
        })
    ));
    // The next sync would succeed, and lie.
    let store = &bench.store;
    let again = store.finish(upload, "1", &digest, 5000).await;
    assert!(matches!(again, Err(Error::Poisoned)));
    let writer = store.writer(upload, 0, Hasher::new(Algorithm::Sha256));
    assert!(matches!(writer.await.err(), Some(Error::Poisoned)));
    let rehashed = store.rehash(upload, 10, Algorithm::Sha256).await;
    assert!(matches!(rehashed, Err(Error::Poisoned)));
    let length = store.upload_len(upload).await;
    assert!(matches!(length, Err(Error::Poisoned)));
    let listed = list_uploads(store).await;
    assert!(listed.len() == 1 && listed[0].is_quarantined && listed[0].upload == upload);
    // A process that was not there when it happened does not take it for good either.
    bench.reopen(options());
    assert_eq!(bench.store.upload_len(upload).await.unwrap(), None);
    let again = bench.store.finish(upload, "1", &digest, 5000).await;
    assert!(matches!(again, Err(Error::NotFound)));
    bench.store.abort(upload).await.unwrap();
    assert_eq!(list_uploads(&bench.store).await, []);
}

#[tokio::test]
async fn a_lost_upload_can_be_aborted_and_begun_again() {
    let bench = Bench::new(options());
    let (upload, bytes) = (new_upload(), content(5000, 1));
    let digest = receive(&bench.store, upload, &bytes).await.unwrap();
    bench.disk.fail_nth(Operation::SyncData, 1, Errno::NOSPC);
    let failed = bench.store.finish(upload, "1", &digest, 5000).await;
    assert!(failed.unwrap_err().is_out_of_space());
    bench.store.abort(upload).await.unwrap();
    assert_eq!(list_uploads(&bench.store).await, []);
    receive(&bench.store, upload, &bytes).await.unwrap();
    let finished = bench.store.finish(upload, "1", &digest, 5000).await;
    finished.unwrap();
}

#[tokio::test]
async fn a_failed_sync_in_the_background_ends_the_upload() {
    let bench = Bench::new(options());
    bench.disk.fail_nth(Operation::SyncData, 1, Errno::IO);
    let upload = new_upload();
    let received = receive(&bench.store, upload, &content(200_000, 1)).await;
    assert!(matches!(
        received,
        Err(Error::Poisoned
            | Error::Io {
                op: Operation::SyncData,
                ..
            })
    ));
    let digest = Digest::of(Algorithm::Sha256, b"");
    let finished = bench.store.finish(upload, "1", &digest, 0).await;
    assert!(matches!(finished, Err(Error::Poisoned)));
}

#[tokio::test]
async fn a_failed_directory_sync_ends_the_upload_and_hides_the_blob() {
    let mut bench = Bench::new(options());
    let bytes = content(5000, 1);
    // So that the directory is there, and its own sync is the next.
    push(&bench.store, &bytes).await.unwrap();
    let upload = new_upload();
    let digest = receive(&bench.store, upload, &bytes).await.unwrap();
    bench.disk.fail_nth(Operation::SyncDirectory, 1, Errno::IO);
    let failed = bench.store.finish(upload, "1", &digest, 5000).await;
    assert!(matches!(
        failed,
        Err(Error::Io {
            op: Operation::SyncDirectory,
            ..
        })
    ));
    let again = bench.store.finish(upload, "1", &digest, 5000).await;
    assert!(matches!(again, Err(Error::Poisoned)));
    assert_eq!(list_blobs(&bench.store).await.len(), 1);
    bench.reopen(options());
    let again = bench.store.finish(upload, "1", &digest, 5000).await;
    assert!(matches!(again, Err(Error::NotFound)));
}

#[tokio::test]
async fn a_directory_another_process_made_is_made_durable() {
    for nth in 1..=3 {
        let mut bench = Bench::new(options());
        let bytes = content(5000, 1);
        // It dies before it could sync the directory it made, on one level after the other.
        bench
            .disk
            .fail_nth(Operation::SyncDirectory, nth, Errno::IO);
        push(&bench.store, &bytes).await.unwrap_err();
        bench.reopen(options());
        let (_, location) = push(&bench.store, &bytes).await.unwrap();
        bench.disk.crash(Crash::LoseAll).unwrap();
        bench.reopen(options());
        let pulled = pull(&bench.store, &location, 5000).await;
        assert!(pulled.unwrap() == bytes, "{nth}");
    }
}

#[tokio::test]
async fn a_background_sync_that_fails_last_is_reported() {
    // No hint to the kernel is under way when the sync is due.
    let bench = Bench::new(DiskOptions {
        writeback_interval: 1 << 20,
        ..options()
    });
    bench.disk.fail_nth(Operation::SyncData, 1, Errno::IO);
    bench
        .disk
        .delay(Operation::SyncData, Duration::from_millis(100));
    // The sync begins with the last chunk.
    let received = receive(&bench.store, new_upload(), &content(20 << 10, 1)).await;
    assert!(
        matches!(
            received,
            Err(Error::Io {
                op: Operation::SyncData,
                ..
            })
        ),
        "{received:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abort_while_the_file_is_created_leaves_nothing() {
    let bench = Bench::new(options());
    bench
        .disk
        .delay(Operation::Create, Duration::from_millis(200));
    let upload = new_upload();
    let mut writer = suite::writer(&bench.store, upload, &[]).await;
    writer.write(content(4 << 10, 1)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    bench.store.abort(upload).await.unwrap();
    assert!(matches!(writer.finish().await, Err(Error::NotFound)));
    assert_eq!(bench.disk.count(Operation::Create), 1);
    assert_eq!(list_uploads(&bench.store).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finish_nobody_waits_for_runs_to_its_end() {
    let bench = Bench::new(options());
    let (disk, store) = (&bench.disk, &bench.store);
    let (upload, bytes) = (new_upload(), content(3000, 1));
    let digest = receive(store, upload, &bytes).await.unwrap();
    disk.delay(Operation::SyncData, Duration::from_millis(200));
    let first = store.finish(upload, "1", &digest, 3000);
    tokio::time::timeout(Duration::from_millis(50), first)
        .await
        .unwrap_err();
    // The retry waits for it, and finds the blob.
    let location = store.finish(upload, "1", &digest, 3000).await.unwrap();
    assert_eq!(disk.count(Operation::SyncData), 1);
    assert!(pull(store, &location, 3000).await.unwrap() == bytes);
}
