//! The power goes at every operation in turn. What was acknowledged is whole afterwards; what is visible is whole; the
//! rest can be resumed or begun again.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use lazuli_blobs::faulty::{Crash, FaultyDisk};
use lazuli_blobs::suite::{Store, content, list_blobs, list_uploads, new_upload, pull, push};
use lazuli_blobs::{DiskOptions, DiskStore, Error, Hasher, Location};
use lazuli_wire::oci::{Algorithm, Digest, UploadId};

fn options() -> DiskOptions {
    DiskOptions {
        chunk_size: 4 << 10,
        writeback_interval: 8 << 10,
        cached_prefix: 8 << 10,
        sync_interval: 16 << 10,
        reserved_space: 0,
        faults_until_read_only: 1000,
        max_idle_files: 1,
        concurrent_chunks: 2,
    }
}

fn open(directory: &tempfile::TempDir, disk: &FaultyDisk) -> Store {
    let disk = Arc::new(disk.clone());
    let store = DiskStore::with_disk(directory.path(), options(), disk);
    Arc::new(store.unwrap())
}

/// What clients were told.
#[derive(Default)]
struct Ledger {
    blobs: Vec<(Location, Bytes)>,
    /// Uploads with the length and hash last reported, and what they will be.
    uploads: Vec<(UploadId, u64, Vec<u8>, Bytes)>,
}

/// Pushes until the power goes: some blobs one after the other, and beside them one in several requests.
async fn work(store: &Store, ledger: &Arc<Mutex<Ledger>>) {
    let (one, other) = (store.clone(), ledger.clone());
    let beside = tokio::spawn(async move {
        let _ = push_in_requests(&one, &other, content(30_000, 99)).await;
    });
    for seed in 0..2 {
        let bytes = content(9000 + seed * 11_000, seed as u64);
        let Ok((_, location)) = push(store, &bytes).await else {
            break;
        };
        ledger.lock().unwrap().blobs.push((location, bytes));
    }
    beside.await.unwrap();
}

async fn push_in_requests(
    store: &Store,
    ledger: &Arc<Mutex<Ledger>>,
    bytes: Bytes,
) -> Result<(), Error> {
    let upload = new_upload();
    let mut hasher = Hasher::new(Algorithm::Sha256);
    for (start, end) in [(0, 10_000), (10_000, 17_001), (17_001, 30_000)] {
        let mut writer = store.writer(upload, start, hasher).await?;
        writer.write(bytes.slice(start as usize..end)).await?;
        let (length, reached) = writer.finish().await?;
        let reported = (upload, length, reached.save(), bytes.clone());
        ledger.lock().unwrap().uploads = vec![reported];
        hasher = reached;
    }
    let digest = hasher.finish();
    let location = store.finish(upload, "2", &digest, 30_000).await?;
    let mut ledger = ledger.lock().unwrap();
    ledger.uploads.clear();
    ledger.blobs.push((location, bytes));
    Ok(())
}

async fn check(store: &Store, ledger: &Ledger, case: &str) {
    for (location, bytes) in &ledger.blobs {
        let pulled = pull(store, location, bytes.len()).await;
        assert!(pulled.unwrap() == *bytes, "{case}: {location} is damaged");
    }
    for blob in list_blobs(store).await {
        let bytes = pull(store, &blob.location, blob.size as usize).await;
        let digest = Digest::of(Algorithm::Sha256, &bytes.unwrap());
        assert_eq!(digest, blob.digest, "{case}: half a blob is visible");
    }
    for (upload, length, state, bytes) in &ledger.uploads {
        resume(store, *upload, *length, state, bytes, case).await;
    }
    // What nobody knows of can be cleared away.
    for found in list_uploads(store).await {
        store.abort(found.upload).await.unwrap();
    }
    assert_eq!(list_uploads(store).await, []);
}

/// As the registry does after the machine was down: trusts the saved hash only if the bytes still have it.
async fn resume(
    store: &Store,
    upload: UploadId,
    length: u64,
    state: &[u8],
    bytes: &Bytes,
    case: &str,
) {
    let size = bytes.len() as u64;
    let hasher = match store.rehash(upload, length, Algorithm::Sha256).await {
        Ok(hasher) if hasher.save() == state => hasher,
        Ok(_) | Err(Error::Damaged { .. } | Error::NotFound) => {
            store.abort(upload).await.unwrap();
            push(store, bytes).await.unwrap();
            return;
        }
        Err(error) => panic!("{case}: {error}"),
    };
    let mut writer = store.writer(upload, length, hasher).await.unwrap();
    writer.write(bytes.slice(length as usize..)).await.unwrap();
    let (_, hasher) = writer.finish().await.unwrap();
    let digest = hasher.finish();
    let location = store.finish(upload, "2", &digest, size).await.unwrap();
    let pulled = pull(store, &location, bytes.len()).await.unwrap();
    assert!(pulled == *bytes, "{case}");
}

/// Cuts the power at the `nth` operation; false when there were not so many.
async fn crash_at(nth: u64, mode: Crash) -> bool {
    let case = format!("power cut at operation {nth}, {mode:?}");
    let directory = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::new(directory.path()).unwrap();
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    disk.cut_power_at(nth);
    let disk_of_store = Arc::new(disk.clone());
    let store = DiskStore::with_disk(directory.path(), options(), disk_of_store);
    // The power may go while the store is being opened.
    if let Ok(store) = store {
        work(&(Arc::new(store) as Store), &ledger).await;
    }
    let was_reached = !disk.is_powered();
    disk.crash(mode).unwrap();
    let store = open(&directory, &disk);
    let ledger = std::mem::take(&mut *ledger.lock().unwrap());
    check(&store, &ledger, &case).await;
    push(&store, &content(100, 5)).await.unwrap();
    was_reached
}

async fn crash_everywhere(modes: impl Fn(u64) -> Vec<Crash>) {
    for nth in 1.. {
        let mut was_reached = false;
        for mode in modes(nth) {
            was_reached |= crash_at(nth, mode).await;
        }
        if !was_reached {
            assert!(nth > 60, "only {nth} operations");
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_cuts_that_lose_everything_unsynced() {
    crash_everywhere(|_| vec![Crash::LoseAll]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn process_deaths_that_lose_nothing() {
    crash_everywhere(|_| vec![Crash::KeepAll]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_cuts_that_lose_at_random() {
    crash_everywhere(|nth| {
        (0..4)
            .map(|seed| Crash::Random(nth * 1000 + seed))
            .collect()
    })
    .await;
}

/// The process dies at an operation, another carries on, and only then the power goes.
async fn die_at(nth: u64) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::new(directory.path()).unwrap();
    let store = open(&directory, &disk);
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    disk.cut_power_at(nth);
    let _ = push_in_requests(&store, &ledger, content(30_000, 99)).await;
    let was_reached = !disk.is_powered();
    disk.kill();
    let store = open(&directory, &disk);
    let mut ledger = std::mem::take(&mut *ledger.lock().unwrap());
    for (upload, length, state, bytes) in std::mem::take(&mut ledger.uploads) {
        let mut hasher = Hasher::restore(&state).unwrap();
        if length < 30_000 {
            let mut writer = store.writer(upload, length, hasher).await.unwrap();
            writer.write(bytes.slice(length as usize..)).await.unwrap();
            hasher = writer.finish().await.unwrap().1;
        }
        // It may have become a blob without anybody being told.
        let finished = store.finish(upload, "2", &hasher.finish(), 30_000).await;
        ledger.blobs.push((finished.unwrap(), bytes));
    }
    disk.crash(Crash::LoseAll).unwrap();
    let store = open(&directory, &disk);
    check(&store, &ledger, &format!("death at operation {nth}")).await;
    was_reached
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn process_deaths_before_a_power_cut() {
    let mut nth = 1;
    while die_at(nth).await {
        nth += 1;
    }
    assert!(nth > 25, "only {nth} operations");
}

/// The disk that forgets has to forget, or the tests above pass for nothing.
#[tokio::test]
async fn what_was_not_synced_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::new(directory.path()).unwrap();
    let store = open(&directory, &disk);
    let upload = new_upload();
    let bytes = content(9000, 1);
    lazuli_blobs::suite::receive(&store, upload, &bytes)
        .await
        .unwrap();
    assert_eq!(store.upload_len(upload).await.unwrap(), Some(9000));
    drop(store);
    disk.crash(Crash::LoseAll).unwrap();
    let store = open(&directory, &disk);
    assert_eq!(store.upload_len(upload).await.unwrap(), None);
}
