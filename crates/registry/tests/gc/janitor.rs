//! Files that no row knows.

use super::*;
use crate::on_both_engines;

async fn the_janitor_removes_old_files_that_no_row_knows_and_nothing_else(f: Fixture) {
    let gc = gc(&f).await;
    let (_, layer) = push_image(&f.registry, "a", "v1", "x").await;
    // A blob whose row was never committed.
    let orphan = large("orphan");
    let digest = Digest::of(Algorithm::Sha256, &orphan);
    let location = store_file(&*f.store, UploadId::from_bytes([7; 16]), &orphan).await;
    // One whose session is still open: its client may repeat the last request.
    let session = f
        .registry
        .start_upload(&push("a"), Algorithm::Sha256)
        .unwrap();
    let open = f
        .registry
        .append_upload(&push("a"), request(&session), &mut Body::of(&large("open")))
        .await
        .unwrap();
    let (bytes, digest_of_open) = (large("open"), Digest::of(Algorithm::Sha256, &large("open")));
    let kept = f
        .store
        .finish(open.id, "1", &digest_of_open, bytes.len() as u64)
        .await
        .unwrap();
    // An upload without a session.
    let lost = UploadId::from_bytes([9; 16]);
    let mut writer = f
        .store
        .writer(lost, 0, Hasher::new(Algorithm::Sha256))
        .await
        .unwrap();
    writer.write(b"lost"[..].into()).await.unwrap();
    writer.finish().await.unwrap();

    gc.walk_once().await.unwrap().unwrap();
    assert_eq!(f.store.upload_len(lost).await.unwrap(), None);
    assert!(
        f.store.open(&location, orphan.len() as u64).await.is_ok(),
        "met for the first time"
    );
    gc.walk_once().await.unwrap().unwrap();
    assert!(
        f.store.open(&location, orphan.len() as u64).await.is_ok(),
        "met for the first time a moment ago"
    );
    f.clock.advance(6 * HOUR);
    let walk = gc.walk_once().await.unwrap().unwrap();
    assert_eq!((walk.deleted, walk.freed_bytes), (1, orphan.len() as u64));
    assert!(f.store.open(&location, orphan.len() as u64).await.is_err());
    assert!(has_blob(&f.registry, "a", &layer).await);
    assert!(
        f.store.open(&kept, bytes.len() as u64).await.is_ok(),
        "its session may still complete it"
    );
    for _ in 0..2 {
        f.clock.advance(25 * HOUR);
        run(&gc).await;
        gc.walk_once().await.unwrap().unwrap();
    }
    assert!(f.store.open(&kept, bytes.len() as u64).await.is_err());
    assert!(!has_blob(&f.registry, "a", &digest).await);
}

async fn store_file(store: &dyn BlobStore, upload: UploadId, bytes: &[u8]) -> Location {
    let mut writer = store
        .writer(upload, 0, Hasher::new(Algorithm::Sha256))
        .await
        .unwrap();
    writer.write(bytes.to_vec().into()).await.unwrap();
    writer.finish().await.unwrap();
    store
        .finish(
            upload,
            "1",
            &Digest::of(Algorithm::Sha256, bytes),
            bytes.len() as u64,
        )
        .await
        .unwrap()
}

/// Nodes come and go: what one met, the next removes, and the time of the walk is one for all.
async fn what_a_walk_met_outlives_the_process(f: Fixture) {
    let orphan = large("orphan");
    let location = store_file(&*f.store, UploadId::from_bytes([7; 16]), &orphan).await;
    let is_there = async || f.store.open(&location, orphan.len() as u64).await.is_ok();
    let options = || Options {
        walk_interval: 6 * HOUR,
        ..hurried()
    };
    let node = async || Gc::open(&f.registry, options()).await.unwrap();
    let by_time = async || node().await.run_by_itself().await.unwrap().unwrap();
    by_time().await;
    for _ in 0..2 {
        f.clock.advance(4 * HOUR);
        by_time().await;
        assert!(is_there().await, "at most one walk met it");
    }
    f.clock.advance(4 * HOUR);
    assert_eq!(by_time().await.deleted, 0, "no walk is due");
    f.clock.advance(4 * HOUR);
    assert_eq!(by_time().await.deleted, 1);
    assert!(!is_there().await);
    let left = |tx: &mut lazuli_db::Tx<'_>| {
        tx.query_one("SELECT COUNT(*) FROM blob_suspects", &[], |row| {
            row.get_i64(0)
        })
    };
    assert_eq!(f.db.read(left).await.unwrap(), Some(0));
}

/// In steps of a thousand; of both kinds in each.
async fn what_a_walk_did_not_meet_is_forgotten(f: Fixture) {
    let orphan = large("orphan");
    let location = store_file(&*f.store, UploadId::from_bytes([7; 16]), &orphan).await;
    let former = |tx: &mut lazuli_db::Tx<'_>| {
        for number in 0..2500 {
            let location = format!("{}/{number:05}", number % 2);
            tx.execute(
                "INSERT INTO blob_suspects (location, met_at, walk) VALUES (?1, 1, 1)",
                &[location.as_str().into()],
            )?;
        }
        Ok::<_, lazuli_db::Error>(())
    };
    f.db.write(former).await.unwrap();
    f.clock.advance(25 * HOUR);
    let gc = Gc::open(&f.registry, hurried()).await.unwrap();
    gc.walk_once().await.unwrap().unwrap();
    let left = |tx: &mut lazuli_db::Tx<'_>| {
        tx.query("SELECT location FROM blob_suspects", &[], |row| {
            row.get_string(0)
        })
    };
    assert_eq!(f.db.read(left).await.unwrap(), [location.to_string()]);
}

/// A row that came late clears its file: it is no suspect when it is left alone again.
async fn a_file_that_a_row_names_after_all_is_no_suspect(f: Fixture) {
    let gc = gc(&f).await;
    let bytes = large("late");
    let location = store_file(&*f.store, UploadId::from_bytes([7; 16]), &bytes).await;
    let later = async || {
        gc.walk_once().await.unwrap().unwrap();
        f.clock.advance(7 * HOUR);
    };
    later().await;
    set_known(&f, &location, true).await;
    later().await;
    set_known(&f, &location, false).await;
    later().await;
    assert!(f.store.open(&location, bytes.len() as u64).await.is_ok());
    later().await;
    assert!(f.store.open(&location, bytes.len() as u64).await.is_err());
}

/// Whether some row names a place.
async fn set_known(f: &Fixture, location: &Location, is_known: bool) {
    let location = location.to_string();
    f.db.write(move |tx| {
        let sql = if is_known {
            "INSERT INTO quarantine (id, registry_id, digest, location, reason, created_at) VALUES (1, 1, ?2, ?1, 'test', 0)"
        } else {
            "DELETE FROM quarantine WHERE location = ?1 AND digest = ?2"
        };
        let digest = Digest::of(Algorithm::Sha256, b"late").to_bytes();
        tx.execute(sql, &[(&location).into(), (&digest).into()])
    })
    .await
    .unwrap();
}

on_both_engines!(
    the_janitor_removes_old_files_that_no_row_knows_and_nothing_else,
    what_a_walk_met_outlives_the_process,
    a_file_that_a_row_names_after_all_is_no_suspect,
    what_a_walk_did_not_meet_is_forgotten,
);
