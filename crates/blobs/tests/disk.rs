//! What only the store on a disk has to do.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lazuli_blobs::faulty::FaultyDisk;
use lazuli_blobs::suite::{
    Store, content, list, list_blobs, list_uploads, new_upload, pull, push, receive,
};
use lazuli_blobs::{DiskOptions, DiskStore, Error, Hasher, Listed, Operation};
use lazuli_wire::oci::Algorithm;
use tempfile::TempDir;

fn open(directory: &Path) -> Store {
    Arc::new(DiskStore::open(directory, DiskOptions::default()).unwrap())
}

fn fresh() -> (TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    (directory, store)
}

fn counting() -> (TempDir, FaultyDisk, Store) {
    let directory = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::new(directory.path()).unwrap();
    let disk_of_store = Arc::new(disk.clone());
    let options = DiskOptions::default();
    let store = DiskStore::with_disk(directory.path(), options, disk_of_store).unwrap();
    (directory, disk, Arc::new(store))
}

#[tokio::test]
async fn others_may_not_read() {
    let (directory, store) = fresh();
    let (_, location) = push(&store, &content(10, 1)).await.unwrap();
    receive(&store, new_upload(), &content(10, 2))
        .await
        .unwrap();
    let blobs = directory.path().join("blobs");
    let file = blobs.join(location.as_str());
    let fan = file.parent().unwrap();
    for path in [
        directory.path().join("uploads").as_path(),
        &blobs,
        fan,
        &file,
    ] {
        let mode = std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o027, 0, "{} has mode {mode:o}", path.display());
    }
}

#[tokio::test]
async fn links_are_not_followed() {
    let (directory, store) = fresh();
    let outside = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(outside.path(), b"not yours").unwrap();
    let (_, location) = push(&store, &content(9, 1)).await.unwrap();
    let path = directory.path().join("blobs").join(location.as_str());
    std::fs::remove_file(&path).unwrap();
    symlink(outside.path(), &path).unwrap();
    assert!(matches!(
        store.open(&location, 9).await,
        Err(Error::Io { .. })
    ));
    assert_eq!(
        list(&store).await,
        [Listed::Foreign(location.as_str().to_owned())]
    );
    // Neither for writing.
    let upload = new_upload();
    let path = directory.path().join("uploads").join(upload.to_string());
    symlink(outside.path(), path).unwrap();
    assert!(receive(&store, upload, &content(10, 1)).await.is_err());
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(b"n");
    assert!(store.writer(upload, 1, hasher).await.is_err());
    assert_eq!(std::fs::read(outside.path()).unwrap(), b"not yours");
}

#[tokio::test]
async fn blobs_and_unfinished_uploads_outlive_the_process() {
    let (directory, store) = fresh();
    let bytes = content(2_000_000, 1);
    let (_, location) = push(&store, &bytes).await.unwrap();
    let upload = new_upload();
    let digest = receive(&store, upload, &bytes).await.unwrap();
    drop(store);
    let store = open(directory.path());
    assert!(pull(&store, &location, 2_000_000).await.unwrap() == bytes);
    let finished = store.finish(upload, "1", &digest, 2_000_000).await;
    assert_eq!(finished.unwrap().digest(), Some(digest));
    assert_eq!(list_blobs(&store).await.len(), 2);
}

#[tokio::test]
async fn a_small_push_costs_one_sync_of_data_and_one_of_a_directory() {
    let (_directory, disk, store) = counting();
    let bytes = content(100_000, 1);
    push(&store, &bytes).await.unwrap();
    let counts = || [Operation::SyncData, Operation::SyncDirectory].map(|op| disk.count(op));
    let [data, directories] = counts();
    push(&store, &bytes).await.unwrap();
    assert_eq!(counts(), [data + 1, directories + 1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_finish_together_share_the_sync_of_a_directory() {
    let (_directory, disk, store) = counting();
    let bytes = content(1000, 1);
    push(&store, &bytes).await.unwrap();
    let before = disk.count(Operation::SyncDirectory);
    disk.delay(Operation::SyncDirectory, Duration::from_millis(100));
    let tasks: Vec<_> = (0..32)
        .map(|_| {
            let (store, bytes) = (store.clone(), bytes.clone());
            tokio::spawn(async move { push(&store, &bytes).await.unwrap() })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(list_blobs(&store).await.len(), 33);
    let syncs = disk.count(Operation::SyncDirectory) - before;
    assert!(syncs <= 8, "{syncs} syncs for 32 blobs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_may_need_a_new_directory_at_once() {
    let (_directory, store) = fresh();
    let tasks: Vec<_> = (0..64)
        .map(|seed| {
            let store = store.clone();
            tokio::spawn(async move { push(&store, &content(100, seed)).await.unwrap() })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(list_blobs(&store).await.len(), 64);
}

#[tokio::test]
async fn a_directory_that_was_tidied_away_is_made_again() {
    let (directory, store) = fresh();
    let bytes = content(1000, 1);
    let (_, location) = push(&store, &bytes).await.unwrap();
    store.remove(&location).await.unwrap();
    let blobs = directory.path().join("blobs");
    std::fs::remove_dir_all(blobs.join("1")).unwrap();
    let (_, location) = push(&store, &bytes).await.unwrap();
    assert_eq!(pull(&store, &location, 1000).await.unwrap(), bytes);
}

#[tokio::test]
async fn foreign_files_are_told_apart() {
    let (directory, store) = fresh();
    let (_, location) = push(&store, &content(10, 1)).await.unwrap();
    let (fan, name) = location.as_str().rsplit_once('/').unwrap();
    let foreign = [
        "stray",
        "bad.prefix",
        "1/md5",
        "1/sha256/stray",
        "1/sha256/XY",
        &format!("{fan}/stray"),
        &format!("{fan}/{name}.tmp"),
        &format!("{fan}/{}", name.to_uppercase()),
    ];
    let blobs = directory.path().join("blobs");
    for path in foreign {
        std::fs::write(blobs.join(path), b"").unwrap();
    }
    // A blob's name in a directory it does not belong to.
    let elsewhere = blobs
        .join("1/sha256/zz")
        .with_file_name(if fan.ends_with("00") { "01" } else { "00" });
    std::fs::create_dir_all(&elsewhere).unwrap();
    std::fs::write(elsewhere.join(name), b"").unwrap();
    let mut found = list(&store).await;
    found.retain(|listed| matches!(listed, Listed::Foreign(_)));
    assert_eq!(found.len(), foreign.len() + 1);
    for path in foreign {
        assert!(found.contains(&Listed::Foreign(path.to_owned())), "{path}");
    }
    // Among the uploads they are passed over.
    std::fs::write(directory.path().join("uploads/stray"), b"").unwrap();
    assert_eq!(list_uploads(&store).await, []);
}

#[tokio::test]
async fn long_lists_come_in_bounded_batches() {
    let (directory, store) = fresh();
    let (_, location) = push(&store, &content(10, 1)).await.unwrap();
    let (path, suffix) = location.as_str().rsplit_once('-').unwrap();
    assert_eq!(suffix.len(), 12);
    for number in 0..2500 {
        let name = format!("blobs/{path}-{number:012x}");
        std::fs::write(directory.path().join(name), b"").unwrap();
    }
    let (mut lister, mut total, mut batches) = (store.list(), 0, 0);
    while let Some(batch) = lister.next().await.unwrap() {
        assert!(batch.len() <= 1000);
        total += batch.len();
        batches += 1;
    }
    assert_eq!(total, 2501);
    assert!(batches >= 3);
    assert!(lister.next().await.unwrap().is_none());
}

#[tokio::test]
async fn both_directories_have_to_be_on_one_file_system() {
    let (directory, elsewhere) = (tempfile::tempdir().unwrap(), Path::new("/dev/shm"));
    let other = tempfile::tempdir_in(elsewhere).unwrap();
    symlink(other.path(), directory.path().join("blobs")).unwrap();
    let opened = DiskStore::open(directory.path(), DiskOptions::default());
    assert!(
        opened
            .err()
            .unwrap()
            .to_string()
            .contains("one file system")
    );
}

#[tokio::test]
async fn a_link_to_a_place_on_the_same_file_system_is_fine() {
    let parent = tempfile::tempdir().unwrap();
    let (directory, real) = (parent.path().join("data"), parent.path().join("real"));
    std::fs::create_dir(&real).unwrap();
    std::fs::create_dir(&directory).unwrap();
    symlink(&real, directory.join("blobs")).unwrap();
    let store = open(&directory);
    let bytes = content(10, 1);
    let (_, location) = push(&store, &bytes).await.unwrap();
    assert_eq!(pull(&store, &location, 10).await.unwrap(), bytes);
}

#[tokio::test]
async fn a_store_opens_in_a_new_directory_and_not_in_a_file() {
    let parent = tempfile::tempdir().unwrap();
    let store = open(&parent.path().join("new"));
    push(&store, &content(10, 1)).await.unwrap();
    std::fs::write(parent.path().join("file"), b"").unwrap();
    let refused = DiskStore::open(&parent.path().join("file"), DiskOptions::default());
    assert!(matches!(refused.err(), Some(Error::Io { .. })));
}
