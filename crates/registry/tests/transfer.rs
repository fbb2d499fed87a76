//! A whole installation in another place.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;

use common::*;
use lazuli_blobs::{BlobStore, Listed, MemoryStore};
use lazuli_db::{Db, SqliteOptions};
use lazuli_registry::blobs::BlobBytes;
use lazuli_registry::transfer::{self, Progress};
use lazuli_registry::{Error, Registry};
use lazuli_wire::oci::{Algorithm, Digest};

fn embedded() -> (tempfile::TempDir, Db) {
    let folder = tempfile::tempdir().unwrap();
    let db = Db::open_sqlite(SqliteOptions::new(folder.path().join("lazuli.db"))).unwrap();
    (folder, db)
}

async fn rows(source: &Db, target: &Db) {
    let (source, target) = (source.clone(), target.clone());
    tokio::task::spawn_blocking(move || transfer::copy_rows(&source, &target, |_| {}))
        .await
        .unwrap()
        .unwrap();
}

async fn read(registry: &Registry, name: &str, digest: &Digest) -> Result<Vec<u8>, Error> {
    let blob = registry.blob(&pull(name), digest).await?;
    match registry.blob_bytes(&blob).await? {
        BlobBytes::Memory(bytes) => Ok(bytes.to_vec()),
        BlobBytes::File(file) => {
            let mut bytes = vec![0; file.size as usize];
            std::os::unix::fs::FileExt::read_exact_at(&*file.file, &mut bytes, 0).unwrap();
            Ok(bytes)
        }
        BlobBytes::Object(_) => panic!("the store has files"),
    }
}

async fn everything_is_there_in_another_place(f: Fixture) {
    let mut digests = Vec::new();
    for number in 0..12_usize {
        // Some in the database, some in the store.
        let content = vec![number as u8; 10 + number * 300_000];
        let digest = Digest::of(Algorithm::Sha256, &content);
        let mut body = Body::of(&content);
        f.registry
            .push_blob(&push("a/b"), &digest, &mut body)
            .await
            .unwrap();
        digests.push((digest, content));
    }
    let (image, _) = push_image(&f.registry, "a/b", "v1", "x").await;
    let (_folder, db) = embedded();
    let store: Arc<dyn BlobStore> = Arc::new(MemoryStore::new());
    let source: Arc<dyn BlobStore> = f.store.clone();
    assert!(!transfer::is_used(&db).await.unwrap());
    rows(&f.db, &db).await;
    let mut last = None;
    let copied = transfer::copy_blobs(&db, &source, &store, &[], |progress| last = Some(progress))
        .await
        .unwrap();
    assert_eq!((copied.brought, copied.reused), (12, 0), "{copied:?}");
    assert!(copied.missing.is_empty());
    let Some(Progress::Blobs {
        blobs,
        all,
        bytes,
        all_bytes,
    }) = last
    else {
        panic!("no progress was told");
    };
    assert_eq!((blobs, bytes), (all, all_bytes));
    let there = Registry::open(db.clone(), store.clone(), f.clock.clone(), options())
        .await
        .unwrap();
    for (digest, content) in &digests {
        assert!(read(&there, "a/b", digest).await.unwrap() == *content);
    }
    let manifest = there.manifest(&pull("a/b"), &tag("v1")).await.unwrap();
    assert_eq!(manifest.digest_text, image.to_string());

    // Again, into a fresh database: nothing is brought twice, and what is new is.
    let content = vec![99; 100_000];
    let digest = Digest::of(Algorithm::Sha256, &content);
    let mut body = Body::of(&content);
    f.registry
        .push_blob(&push("c"), &digest, &mut body)
        .await
        .unwrap();
    // One whose bytes are gone is told, and does not stop the others.
    let (gone, _) = &digests[3];
    let listed = source.list().next().await.unwrap().unwrap();
    let place = listed.into_iter().find_map(|listed| match listed {
        Listed::Blob(entry) if entry.digest == *gone => Some(entry.location),
        _ => None,
    });
    source.remove(&place.unwrap()).await.unwrap();
    let (_other, second) = embedded();
    rows(&f.db, &second).await;
    let copied = transfer::copy_blobs(&second, &source, &store, std::slice::from_ref(&db), |_| {})
        .await
        .unwrap();
    // The earlier copy has even that one.
    assert_eq!((copied.brought, copied.reused), (1, 12), "{copied:?}");
    let fresh: Arc<dyn BlobStore> = Arc::new(MemoryStore::new());
    rows(&f.db, &second).await;
    let copied = transfer::copy_blobs(&second, &source, &fresh, &[], |_| {})
        .await
        .unwrap();
    assert_eq!((copied.brought, copied.missing), (12, vec![*gone]));

    // And back, into the engine it came from.
    rows(&db, &f.db).await;
    let copied = transfer::copy_blobs(&f.db, &store, &source, &[], |_| {})
        .await
        .unwrap();
    assert_eq!(copied.brought, 12);
    let back = f.restarted().await;
    for (digest, content) in &digests {
        assert!(read(&back, "a/b", digest).await.unwrap() == *content);
    }
    assert!(matches!(
        read(&back, "c", &digest).await,
        Err(Error::NameUnknown)
    ));
}

async fn an_unfinished_upload_stays_behind(f: Fixture) {
    let session = f
        .registry
        .start_upload(&push("a"), Algorithm::Sha256)
        .unwrap();
    let mut body = Body::of(&[1; 1000]);
    let appended = f
        .registry
        .append_upload(&push("a"), request(&session), &mut body)
        .await;
    let session = appended.unwrap();
    let (_folder, db) = embedded();
    rows(&f.db, &db).await;
    let there = Registry::open(db, Arc::new(MemoryStore::new()), f.clock.clone(), options())
        .await
        .unwrap();
    let outcome = there.upload(&push("a"), request(&session)).await;
    assert!(matches!(outcome, Err(Error::UploadUnknown)));
    assert!(
        f.registry
            .upload(&push("a"), request(&session))
            .await
            .is_ok()
    );
}

on_both_engines! {
    everything_is_there_in_another_place,
    an_unfinished_upload_stays_behind,
}
