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
    let walk = gc.walk_once().await.unwrap().unwrap();
    assert_eq!((walk.deleted, walk.freed_bytes), (1, orphan.len() as u64));
    assert!(f.store.open(&location, orphan.len() as u64).await.is_err());
    assert!(has_blob(&f.registry, "a", &layer).await);
    assert!(
        f.store.open(&kept, bytes.len() as u64).await.is_ok(),
        "its session may still complete it"
    );
    f.clock.advance(25 * HOUR);
    run(&gc).await;
    gc.walk_once().await.unwrap().unwrap();
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

on_both_engines!(the_janitor_removes_old_files_that_no_row_knows_and_nothing_else,);
