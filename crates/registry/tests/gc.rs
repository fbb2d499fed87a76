//! Garbage collection: what stays, what goes, and when.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::*;
use lazuli_blobs::{
    BlobLister, BlobStore, BoxFuture, Hasher, Listed, Location, MemoryStore, Opened, UploadLister,
    UploadWriter,
};
use lazuli_registry::blobs::BlobBytes;
use lazuli_registry::gc::{Gc, Moment, Options, Pace, Run};
use lazuli_registry::{Error, Registry};
use lazuli_wire::oci::{Algorithm, Digest, Reference, UploadId};

const MINUTE: Duration = Duration::from_secs(60);

/// Does not rest.
struct Hurried;

impl Pace for Hurried {
    fn at(&self, _: Moment) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

fn hurried() -> Options {
    Options {
        batch: 3,
        pace: Arc::new(Hurried),
        ..Options::new(HOUR)
    }
}

async fn gc(f: &Fixture) -> Gc {
    Gc::open(&f.registry, hurried()).await.unwrap()
}

async fn run(gc: &Gc) -> Run {
    gc.run_once().await.unwrap().expect("nobody else is at it")
}

async fn has_blob(registry: &Registry, name: &str, digest: &Digest) -> bool {
    match registry.blob(&pull(name), digest).await {
        Ok(blob) => {
            registry.blob_bytes(&blob).await.unwrap();
            true
        }
        Err(Error::BlobUnknown | Error::NameUnknown) => false,
        Err(error) => panic!("{error}"),
    }
}

async fn files(store: &MemoryStore) -> usize {
    let (mut lister, mut count) = (store.list(), 0);
    while let Some(batch) = lister.next().await.unwrap() {
        count += batch
            .iter()
            .filter(|listed| matches!(listed, Listed::Blob(_)))
            .count();
    }
    count
}

async fn count(f: &Fixture, sql: &'static str) -> i64 {
    f.db.read(move |tx| tx.query_one(sql, &[], |row| row.get_i64(0)))
        .await
        .unwrap()
        .unwrap()
}

fn large(seed: &str) -> Vec<u8> {
    format!("large {seed} ").repeat(50).into_bytes()
}

async fn an_abandoned_blob_is_unlinked_condemned_and_deleted_each_after_its_wait(f: Fixture) {
    let gc = gc(&f).await;
    let digest = push_blob(&f.registry, "a", &large("x")).await;
    run(&gc).await;
    assert!(has_blob(&f.registry, "a", &digest).await, "leased");
    f.clock.advance(HOUR);
    let unlinked = run(&gc).await;
    assert_eq!(
        (unlinked.unlinked, unlinked.condemned, unlinked.deleted),
        (1, 1, 0)
    );
    assert!(!has_blob(&f.registry, "a", &digest).await);
    assert_eq!(files(&f.store).await, 1, "condemned, not deleted");
    let status = Gc::status(&f.registry).await.unwrap();
    assert_eq!(
        (status.condemned.blobs, status.condemned.bytes),
        (1, large("x").len() as u64)
    );
    f.clock.advance(HOUR - MINUTE);
    assert_eq!(run(&gc).await.deleted, 0);
    f.clock.advance(MINUTE);
    let deleted = run(&gc).await;
    assert_eq!(
        (deleted.deleted, deleted.freed_bytes),
        (1, large("x").len() as u64)
    );
    assert_eq!(files(&f.store).await, 0);
    let status = Gc::status(&f.registry).await.unwrap();
    assert!(!status.is_running && status.quiet_until.is_none());
    assert_eq!(status.last_run, Some(deleted));
    assert_eq!(
        (
            status.condemned.blobs,
            status.to_be_checked.blobs,
            status.to_be_removed.blobs
        ),
        (0, 0, 0)
    );
}

async fn a_small_blob_in_the_database_goes_the_same_way(f: Fixture) {
    let gc = gc(&f).await;
    let digest = push_blob(&f.registry, "a", b"small").await;
    assert!(has_blob(&f.registry, "a", &digest).await);
    f.clock.advance(HOUR);
    run(&gc).await;
    f.clock.advance(HOUR);
    assert_eq!(run(&gc).await.freed_bytes, 5);
    assert_eq!(count(&f, "SELECT COUNT(*) FROM blobs").await, 0);
}

async fn what_a_manifest_names_stays_until_the_manifest_is_deleted(f: Fixture) {
    let gc = gc(&f).await;
    let (manifest, layer) = push_image(&f.registry, "a", "v1", "x").await;
    for _ in 0..3 {
        f.clock.advance(10 * HOUR);
        assert_eq!(run(&gc).await.unlinked, 0);
    }
    assert!(has_blob(&f.registry, "a", &layer).await);
    f.registry
        .delete_manifest(&delete("a"), &manifest, &"r".into())
        .await
        .unwrap();
    assert_eq!(run(&gc).await.unlinked, 2);
    assert!(!has_blob(&f.registry, "a", &layer).await);
    f.clock.advance(HOUR);
    assert_eq!(run(&gc).await.deleted, 2);
    assert_eq!(
        (
            files(&f.store).await,
            count(&f, "SELECT COUNT(*) FROM blobs").await
        ),
        (0, 0)
    );
}

async fn a_layer_that_another_manifest_names_stays(f: Fixture) {
    let gc = gc(&f).await;
    let (manifest, layer) = push_image(&f.registry, "a", "v1", "x").await;
    let config = push_blob(&f.registry, "a", b"another config").await;
    put(
        &f.registry,
        "a",
        "v2",
        OCI,
        &image(&config, 14, &[(layer, 160)], ""),
    )
    .await
    .unwrap();
    f.registry
        .delete_manifest(&delete("a"), &manifest, &"r".into())
        .await
        .unwrap();
    f.clock.advance(10 * HOUR);
    assert_eq!(
        run(&gc).await.unlinked,
        1,
        "the first image's configuration"
    );
    assert!(has_blob(&f.registry, "a", &layer).await);
}

async fn deleting_a_repository_frees_what_no_other_has(f: Fixture) {
    let gc = gc(&f).await;
    let (_, layer) = push_image(&f.registry, "a", "v1", "x").await;
    push_image(&f.registry, "b", "v1", "x").await;
    let (_, own) = push_image(&f.registry, "a", "v2", "y").await;
    f.clock.advance(10 * HOUR);
    run(&gc).await;
    f.registry
        .delete_repository(&delete("a"), &"r".into())
        .await
        .unwrap();
    assert_eq!(run(&gc).await.unlinked, 4);
    f.clock.advance(HOUR);
    assert_eq!(run(&gc).await.deleted, 2);
    assert!(has_blob(&f.registry, "b", &layer).await);
    assert!(!has_blob(&f.registry, "a", &layer).await && !has_blob(&f.registry, "b", &own).await);
}

async fn an_index_keeps_its_children_and_a_subject_its_referrers(f: Fixture) {
    let gc = gc(&f).await;
    let (child, layer) = push_image(&f.registry, "a", "child", "x").await;
    let child_size = f
        .registry
        .manifest(&pull("a"), &Reference::Digest(child))
        .await
        .unwrap()
        .body
        .len();
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{{"mediaType":"{OCI}","digest":"{child}","size":{child_size}}}]}}"#
    );
    put(&f.registry, "a", "index", INDEX, &index).await.unwrap();
    let config = push_blob(&f.registry, "a", b"{}").await;
    let subject =
        format!(r#","subject":{{"mediaType":"{OCI}","digest":"{child}","size":{child_size}}}"#);
    let body = image(&config, 2, &[], &subject);
    let referrer = Digest::of(Algorithm::Sha256, body.as_bytes());
    put(&f.registry, "a", &referrer.to_string(), OCI, &body)
        .await
        .unwrap();
    let untagged = lazuli_wire::oci::Tag::parse("child").unwrap();
    f.registry
        .delete_tag(&delete("a"), &untagged, &"r".into())
        .await
        .unwrap();
    for _ in 0..3 {
        f.clock.advance(10 * HOUR);
        run(&gc).await;
    }
    for digest in [child, referrer] {
        f.registry
            .manifest(&pull("a"), &Reference::Digest(digest))
            .await
            .unwrap();
    }
    assert!(has_blob(&f.registry, "a", &layer).await && has_blob(&f.registry, "a", &config).await);
}

async fn a_digest_affirmed_by_head_stays_for_the_lease(f: Fixture) {
    let gc = gc(&f).await;
    let digest = push_blob(&f.registry, "a", &large("x")).await;
    f.clock.advance(HOUR - MINUTE);
    f.registry.affirm_blob(&pull("a"), &digest).await.unwrap();
    f.clock.advance(HOUR - MINUTE);
    run(&gc).await;
    // The client comes with its manifest just before the lease ends.
    let config = push_blob(&f.registry, "a", b"{}").await;
    put(
        &f.registry,
        "a",
        "v1",
        OCI,
        &image(&config, 2, &[(digest, large("x").len())], ""),
    )
    .await
    .unwrap();
    f.clock.advance(10 * HOUR);
    run(&gc).await;
    assert!(has_blob(&f.registry, "a", &digest).await);
}

async fn a_condemned_blob_that_is_pushed_again_is_condemned_no_more(f: Fixture) {
    let gc = gc(&f).await;
    let digest = push_blob(&f.registry, "a", &large("x")).await;
    f.clock.advance(HOUR);
    assert_eq!(run(&gc).await.condemned, 1);
    f.clock.advance(HOUR);
    // Due for deletion; the push comes first.
    assert_eq!(push_blob(&f.registry, "b", &large("x")).await, digest);
    assert_eq!(run(&gc).await.deleted, 0);
    assert!(has_blob(&f.registry, "b", &digest).await);
    assert_eq!(files(&f.store).await, 1, "the second copy was not kept");
}

async fn a_mounted_blob_outlives_its_source(f: Fixture) {
    let gc = gc(&f).await;
    let digest = push_blob(&f.registry, "a", &large("x")).await;
    f.clock.advance(HOUR - MINUTE);
    assert!(
        f.registry
            .mount_blob(&push("b"), &pull("a"), &digest)
            .await
            .unwrap()
    );
    f.clock.advance(MINUTE);
    let run = run(&gc).await;
    assert_eq!((run.unlinked, run.condemned), (1, 0));
    assert!(
        has_blob(&f.registry, "b", &digest).await && !has_blob(&f.registry, "a", &digest).await
    );
}

async fn a_blob_deleted_by_hand_is_freed_after_its_lease(f: Fixture) {
    let gc = gc(&f).await;
    let digest = push_blob(&f.registry, "a", &large("x")).await;
    f.registry.delete_blob(&delete("a"), &digest).await.unwrap();
    assert_eq!(run(&gc).await.deleted, 0);
    for _ in 0..2 {
        f.clock.advance(HOUR);
        run(&gc).await;
    }
    assert_eq!(files(&f.store).await, 0);
}

async fn expired_uploads_are_ended_and_their_bytes_freed(f: Fixture) {
    let gc = gc(&f).await;
    let session = f
        .registry
        .start_upload(&push("a"), Algorithm::Sha256)
        .unwrap();
    let half = f
        .registry
        .append_upload(&push("a"), request(&session), &mut Body::of(&large("x")))
        .await
        .unwrap();
    assert!(f.store.upload_len(half.id).await.unwrap().is_some());
    f.clock.advance(24 * HOUR);
    run(&gc).await;
    assert!(
        f.registry.upload(&push("a"), request(&half)).await.is_ok(),
        "not yet"
    );
    f.clock.advance(MINUTE);
    run(&gc).await;
    assert_eq!(f.store.upload_len(half.id).await.unwrap(), None);
    assert_eq!(count(&f, "SELECT COUNT(*) FROM uploads").await, 0);
    assert!(matches!(
        f.registry.upload(&push("a"), request(&half)).await,
        Err(Error::UploadUnknown)
    ));
}

async fn finished_and_cancelled_sessions_are_forgotten_in_the_end(f: Fixture) {
    let gc = gc(&f).await;
    let digest = push_blob(&f.registry, "a", &large("x")).await;
    let session = f
        .registry
        .start_upload(&push("a"), Algorithm::Sha256)
        .unwrap();
    let half = f
        .registry
        .append_upload(&push("a"), request(&session), &mut Body::of(&large("y")))
        .await
        .unwrap();
    f.registry
        .cancel_upload(&push("a"), request(&half))
        .await
        .unwrap();
    f.clock.advance(2 * HOUR);
    f.registry.affirm_blob(&pull("a"), &digest).await.unwrap();
    run(&gc).await;
    assert_eq!(count(&f, "SELECT COUNT(*) FROM uploads").await, 0);
    assert!(has_blob(&f.registry, "a", &digest).await);
}

/// Garbage collection opened anew, as a process does that starts now; the machine started as named.
async fn reopened(f: &Fixture, boot: &'static str, is_clean: bool) -> Gc {
    let word = if is_clean { "clean" } else { "running" };
    f.db.write(move |tx| {
        let text = tx.query_one(
            "SELECT value FROM settings WHERE name = 'gc.trust'",
            &[],
            |row| row.get_string(0),
        )?;
        let text = text.unwrap();
        let mut words: Vec<&str> = text.split(' ').collect();
        words[2] = word;
        if boot != "same" {
            words[0] = boot;
        }
        let text = words.join(" ");
        tx.execute(
            "UPDATE settings SET value = ?1 WHERE name = 'gc.trust'",
            &[(&text).into()],
        )
    })
    .await
    .unwrap();
    gc(f).await
}

async fn after_a_power_failure_nothing_goes_before_a_whole_lease_has_passed(f: Fixture) {
    let first = gc(&f).await;
    let digest = push_blob(&f.registry, "a", &large("x")).await;
    let condemned = push_blob(&f.registry, "b", &large("y")).await;
    f.registry
        .delete_blob(&delete("b"), &condemned)
        .await
        .unwrap();
    f.clock.advance(10 * HOUR);
    drop(first);
    let gc = reopened(&f, "another-start-of-the-machine", false).await;
    assert!(Gc::status(&f.registry).await.unwrap().quiet_until.is_some());
    f.clock.advance(HOUR - MINUTE);
    let quiet = run(&gc).await;
    assert_eq!((quiet.unlinked, quiet.deleted), (0, 0));
    // The process is started again meanwhile: the wait goes on, it does not begin anew and is not forgotten.
    let gc = reopened(&f, "same", false).await;
    let quiet = run(&gc).await;
    assert_eq!((quiet.unlinked, quiet.deleted), (0, 0));
    f.clock.advance(HOUR);
    let run = run(&gc).await;
    assert_eq!((run.unlinked, run.deleted), (1, 1));
    assert!(!has_blob(&f.registry, "a", &digest).await);
}

async fn after_an_orderly_end_collection_goes_on_at_once(f: Fixture) {
    let first = gc(&f).await;
    push_blob(&f.registry, "a", &large("x")).await;
    f.clock.advance(10 * HOUR);
    first.close().await.unwrap();
    let gc = reopened(&f, "another-start-of-the-machine", true).await;
    assert_eq!(run(&gc).await.unlinked, 1);
}

async fn after_a_killed_process_collection_goes_on_at_once(f: Fixture) {
    drop(gc(&f).await);
    push_blob(&f.registry, "a", &large("x")).await;
    f.clock.advance(10 * HOUR);
    let gc = reopened(&f, "same", false).await;
    assert_eq!(run(&gc).await.unlinked, 1);
}

async fn one_process_at_a_time(f: Fixture) {
    struct Inside(Arc<tokio::sync::Notify>, Arc<tokio::sync::Notify>);
    impl Pace for Inside {
        fn at(&self, _: Moment) -> BoxFuture<'_, ()> {
            Box::pin(async {
                self.0.notify_one();
                self.1.notified().await;
            })
        }
    }
    let (inside, go_on) = (
        Arc::new(tokio::sync::Notify::new()),
        Arc::new(tokio::sync::Notify::new()),
    );
    let options = Options {
        pace: Arc::new(Inside(inside.clone(), go_on.clone())),
        ..hurried()
    };
    let first = Gc::open(&f.registry, options).await.unwrap();
    let second = gc(&f).await;
    push_blob(&f.registry, "a", &large("x")).await;
    f.clock.advance(HOUR);
    let running = tokio::spawn(async move { first.run_once().await.unwrap() });
    inside.notified().await;
    assert!(second.run_once().await.unwrap().is_none());
    assert!(Gc::status(&f.registry).await.unwrap().is_running);
    while !running.is_finished() {
        go_on.notify_one();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(running.await.unwrap().unwrap().unlinked, 1);
    assert!(second.run_once().await.unwrap().is_some());
}

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

/// A store whose removals fail when told to.
struct Stubborn {
    store: MemoryStore,
    refuses: AtomicBool,
}

impl BlobStore for Stubborn {
    fn writer(
        &self,
        upload: UploadId,
        offset: u64,
        hasher: Hasher,
    ) -> BoxFuture<'_, Result<Box<dyn UploadWriter>, lazuli_blobs::Error>> {
        self.store.writer(upload, offset, hasher)
    }

    fn finish<'a>(
        &'a self,
        upload: UploadId,
        prefix: &'a str,
        digest: &'a Digest,
        size: u64,
    ) -> BoxFuture<'a, Result<Location, lazuli_blobs::Error>> {
        self.store.finish(upload, prefix, digest, size)
    }

    fn abort(&self, upload: UploadId) -> BoxFuture<'_, Result<(), lazuli_blobs::Error>> {
        self.store.abort(upload)
    }

    fn upload_len(
        &self,
        upload: UploadId,
    ) -> BoxFuture<'_, Result<Option<u64>, lazuli_blobs::Error>> {
        self.store.upload_len(upload)
    }

    fn rehash(
        &self,
        upload: UploadId,
        size: u64,
        algorithm: Algorithm,
    ) -> BoxFuture<'_, Result<Hasher, lazuli_blobs::Error>> {
        self.store.rehash(upload, size, algorithm)
    }

    fn open<'a>(
        &'a self,
        location: &'a Location,
        size: u64,
    ) -> BoxFuture<'a, Result<Opened, lazuli_blobs::Error>> {
        self.store.open(location, size)
    }

    fn remove<'a>(
        &'a self,
        location: &'a Location,
    ) -> BoxFuture<'a, Result<(), lazuli_blobs::Error>> {
        if self.refuses.load(Ordering::SeqCst) {
            return Box::pin(std::future::ready(Err(lazuli_blobs::Error::Busy)));
        }
        self.store.remove(location)
    }

    fn list(&self) -> Box<dyn BlobLister> {
        self.store.list()
    }

    fn list_uploads(&self) -> Box<dyn UploadLister> {
        self.store.list_uploads()
    }

    fn free_space(&self) -> Result<u64, lazuli_blobs::Error> {
        self.store.free_space()
    }

    fn is_writable(&self) -> bool {
        self.store.is_writable()
    }
}

async fn a_file_that_could_not_be_removed_is_removed_by_a_later_run(f: Fixture) {
    let store = Arc::new(Stubborn {
        store: MemoryStore::new(),
        refuses: AtomicBool::new(true),
    });
    let registry = Registry::open(f.db.clone(), store.clone(), f.clock.clone(), options())
        .await
        .unwrap();
    let gc = Gc::open(&registry, hurried()).await.unwrap();
    for seed in ["x", "y", "z", "zz"] {
        push_blob(&registry, "a", &large(seed)).await;
    }
    f.clock.advance(HOUR);
    run(&gc).await;
    f.clock.advance(HOUR);
    let refused = run(&gc).await;
    assert_eq!((refused.deleted, refused.freed_bytes), (4, 0));
    assert_eq!(Gc::status(&registry).await.unwrap().to_be_removed.blobs, 4);
    // As after a crash: another process finds what is left to do. A new copy is pushed meanwhile.
    let pushed = push_blob(&registry, "a", &large("x")).await;
    store.refuses.store(false, Ordering::SeqCst);
    let restarted = Gc::open(&registry, hurried()).await.unwrap();
    let again = run(&restarted).await;
    assert_eq!(
        again.freed_bytes,
        (["x", "y", "z", "zz"].map(|seed| large(seed).len() as u64))
            .iter()
            .sum::<u64>()
    );
    assert_eq!(Gc::status(&registry).await.unwrap().to_be_removed.blobs, 0);
    assert_eq!(files(&store.store).await, 1);
    let blob = registry.blob(&pull("a"), &pushed).await.unwrap();
    assert!(matches!(
        registry.blob_bytes(&blob).await.unwrap(),
        BlobBytes::File(_)
    ));
}

async fn runs_that_did_something_are_remembered_and_the_rest_is_not(f: Fixture) {
    let gc = gc(&f).await;
    for _ in 0..110 {
        run(&gc).await;
        f.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(
        count(&f, "SELECT COUNT(*) FROM gc_runs").await,
        100,
        "asked for, but bounded"
    );
}

on_both_engines!(
    an_abandoned_blob_is_unlinked_condemned_and_deleted_each_after_its_wait,
    a_small_blob_in_the_database_goes_the_same_way,
    what_a_manifest_names_stays_until_the_manifest_is_deleted,
    a_layer_that_another_manifest_names_stays,
    deleting_a_repository_frees_what_no_other_has,
    an_index_keeps_its_children_and_a_subject_its_referrers,
    a_digest_affirmed_by_head_stays_for_the_lease,
    a_condemned_blob_that_is_pushed_again_is_condemned_no_more,
    a_mounted_blob_outlives_its_source,
    a_blob_deleted_by_hand_is_freed_after_its_lease,
    expired_uploads_are_ended_and_their_bytes_freed,
    finished_and_cancelled_sessions_are_forgotten_in_the_end,
    after_a_power_failure_nothing_goes_before_a_whole_lease_has_passed,
    after_an_orderly_end_collection_goes_on_at_once,
    after_a_killed_process_collection_goes_on_at_once,
    one_process_at_a_time,
    the_janitor_removes_old_files_that_no_row_knows_and_nothing_else,
    a_file_that_could_not_be_removed_is_removed_by_a_later_run,
    runs_that_did_something_are_remembered_and_the_rest_is_not,
);
