//! A registry that moves: who may write when, and what follows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::*;
use lazuli_blobs::{BlobStore, Listed, MemoryStore};
use lazuli_db::clock::Clock;
use lazuli_db::{Db, SqliteOptions, Tx, params};
use lazuli_registry::gc::{self, Gc};
use lazuli_registry::transfer::closed::{self, Closed};
use lazuli_registry::transfer::{Follower, Pass};
use lazuli_registry::{Error, Registry};
use lazuli_wire::oci::{Algorithm, Digest, Tag};

const SECOND: i64 = 1_000_000;

fn by(holder: &str, until: Option<i64>) -> Closed {
    Closed {
        holder: holder.to_owned(),
        until,
        to: "elsewhere".to_owned(),
    }
}

async fn close(f: &Fixture, closed: &Closed) -> bool {
    closed::close(&f.db, closed, f.clock.now_us())
        .await
        .unwrap()
}

async fn prolong(f: &Fixture, holder: &str, until: Option<i64>) -> lazuli_registry::Result<bool> {
    let clock: Arc<dyn Clock> = f.clock.clone();
    closed::prolong(&f.db, &clock, holder, until).await
}

/// One of everything that changes a repository, of which each is refused.
async fn all_are_refused(f: &Fixture, image: &Digest, layer: &Digest) {
    let (registry, id) = (&f.registry, "request".into());
    let new = vec![9; 500];
    let digest = Digest::of(Algorithm::Sha256, &new);
    let mut outcomes = vec![
        registry
            .push_blob(&push("a"), &digest, &mut Body::of(&new))
            .await,
        registry
            .mount_blob(&push("new"), &pull("a"), layer)
            .await
            .map(drop),
        put(registry, "a", "v1", OCI, "{}")
            .await
            .map(drop)
            .and(Ok(())),
        registry
            .delete_manifest(&delete("a"), image, &id)
            .await
            .map(drop),
        registry
            .delete_tag(&delete("a"), &Tag::parse("v1").unwrap(), &id)
            .await,
        registry.delete_blob(&delete("a"), layer, &id).await,
        registry
            .delete_repository(&delete("a"), &id)
            .await
            .map(drop),
    ];
    // A manifest that is not well-formed is refused for that.
    assert!(matches!(outcomes.remove(2), Err(Error::ManifestInvalid(_))));
    for (number, outcome) in outcomes.into_iter().enumerate() {
        assert!(
            matches!(outcome, Err(Error::Moving { .. })),
            "{number}: {outcome:?}"
        );
    }
}

async fn while_it_moves_nothing_is_written_and_everything_read(f: Fixture) {
    let (image, layer) = push_image(&f.registry, "a", "v1", "x").await;
    let session = f
        .registry
        .start_upload(&push("a"), Algorithm::Sha256)
        .unwrap();
    let until = f.clock.now_us() + 10 * SECOND;
    assert!(close(&f, &by("one", Some(until))).await);
    all_are_refused(&f, &image, &layer).await;
    assert!(f.registry.manifest(&pull("a"), &tag("v1")).await.is_ok());
    assert!(f.registry.affirm_blob(&pull("a"), &layer).await.is_ok());
    // Neither is garbage collected.
    let gc = Gc::open(&f.registry, gc::Options::new(Duration::from_hours(1)))
        .await
        .unwrap();
    assert!(gc.run_once().await.unwrap().is_none());

    // It ends by itself, and an upload that was begun goes on.
    f.clock.advance(Duration::from_secs(11));
    let content = b"content of a session";
    let digest = Digest::of(Algorithm::Sha256, content);
    let finished = f
        .registry
        .finish_upload(
            &push("a"),
            request(&session),
            &digest,
            &mut Body::of(content),
        )
        .await;
    finished.unwrap();
    assert!(gc.run_once().await.unwrap().is_some());
    push_image(&f.registry, "a", "v2", "y").await;
    // The run that had closed it knows that something was written.
    assert!(!prolong(&f, "one", Some(until + 60 * SECOND)).await.unwrap());
    assert!(!prolong(&f, "one", None).await.unwrap());

    // Closed for good, it stays closed whatever the time.
    assert!(close(&f, &by("two", Some(f.clock.now_us() + 10 * SECOND))).await);
    assert!(prolong(&f, "two", None).await.unwrap());
    f.clock.advance(Duration::from_secs(1_000_000));
    all_are_refused(&f, &image, &layer).await;
    let again = f.restarted().await;
    assert!(matches!(
        again.check_open().await,
        Err(Error::Moving { is_over: true })
    ));
    // Until it is opened.
    assert_eq!(
        closed::open(&f.db, None).await.unwrap(),
        Some(by("two", None))
    );
    push_image(&f.registry, "a", "v3", "z").await;
}

async fn one_run_at_a_time_closes_a_registry(f: Fixture) {
    let now = f.clock.now_us();
    assert!(close(&f, &by("one", Some(now + 10 * SECOND))).await);
    assert!(!close(&f, &by("two", Some(now + 10 * SECOND))).await);
    assert!(!prolong(&f, "two", None).await.unwrap());
    assert_eq!(closed::open(&f.db, Some("two")).await.unwrap(), None);
    // What nobody met after its end is over for its own run too: not everybody who looked and then wrote met it.
    f.clock.advance(Duration::from_secs(20));
    assert_eq!(closed::state(&f.db, f.clock.now_us()).await.unwrap(), None);
    assert!(!prolong(&f, "one", Some(now + 60 * SECOND)).await.unwrap());
    assert!(!prolong(&f, "one", None).await.unwrap());
    assert!(closed::open(&f.db, Some("one")).await.unwrap().is_some());
    assert!(!prolong(&f, "one", None).await.unwrap());
    assert!(close(&f, &by("two", Some(now + 21 * SECOND))).await);
    // One that is complete is not taken over.
    assert!(prolong(&f, "two", None).await.unwrap());
    assert!(!close(&f, &by("one", Some(now + 100 * SECOND))).await);
}

struct There {
    _folder: tempfile::TempDir,
    db: Db,
    store: Arc<MemoryStore>,
}

impl There {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open_sqlite(SqliteOptions::new(folder.path().join("lazuli.db"))).unwrap();
        Self {
            _folder: folder,
            db,
            store: Arc::new(MemoryStore::new()),
        }
    }

    fn follower(&self, f: &Fixture) -> Follower {
        Follower::new(
            (f.db.clone(), f.store.clone()),
            (self.db.clone(), self.store.clone()),
        )
    }

    async fn open(&self, f: &Fixture) -> Registry {
        let store: Arc<dyn BlobStore> = self.store.clone();
        Registry::open(self.db.clone(), store, f.clock.clone(), options())
            .await
            .unwrap()
    }
}

async fn pass(follower: &mut Follower, leave_missing: bool) -> Pass {
    follower.pass(leave_missing, |_| {}).await.unwrap()
}

async fn blobs_of(store: &dyn BlobStore) -> Vec<(Digest, lazuli_blobs::Location)> {
    let mut found = Vec::new();
    let mut lister = store.list();
    while let Some(listed) = lister.next().await.unwrap() {
        found.extend(listed.into_iter().filter_map(|listed| match listed {
            Listed::Blob(entry) => Some((entry.digest, entry.location)),
            Listed::Foreign(_) => None,
        }));
    }
    found
}

async fn is_there(registry: &Registry, name: &str, digest: &Digest) -> bool {
    registry.open_blob(&pull(name), digest).await.is_ok()
}

async fn each_pass_brings_what_is_new_and_takes_away_what_is_gone(f: Fixture) {
    let there = There::new();
    let mut follower = there.follower(&f);
    let (first, layer) = push_image(&f.registry, "a", "v1", "x").await;
    let done = pass(&mut follower, false).await;
    assert_eq!(
        (done.blobs.0, done.brought.0, done.missing.len()),
        (1, 1, 0),
        "{done:?}"
    );
    assert_eq!(follower.compare(|_| {}).await.unwrap().different, []);
    let nothing = pass(&mut follower, false).await;
    assert_eq!((nothing.brought.0, nothing.rows), (0, 0));

    let (second, other) = push_image(&f.registry, "b", "v1", "y").await;
    f.registry
        .delete_manifest(&delete("a"), &first, &"r".into())
        .await
        .unwrap();
    let differences = follower.compare(|_| {}).await.unwrap().different;
    assert!(
        differences.iter().any(|(table, _)| *table == "blobs"),
        "{differences:?}"
    );
    assert_eq!(pass(&mut follower, false).await.brought.0, 1);
    assert_eq!(follower.compare(|_| {}).await.unwrap().different, []);
    let open = there.open(&f).await;
    assert!(matches!(
        open.manifest(&pull("a"), &tag("v1")).await,
        Err(Error::ManifestUnknown)
    ));
    assert_eq!(
        open.manifest(&pull("b"), &tag("v1"))
            .await
            .unwrap()
            .digest_text,
        second.to_string()
    );
    assert!(is_there(&open, "b", &other).await);

    // A row that is gone takes its bytes along.
    let key = layer.to_bytes();
    let gone = move |tx: &mut Tx<'_>| {
        tx.execute(
            "DELETE FROM blobs WHERE digest = ?1",
            params![key.as_slice()],
        )
    };
    f.db.write(gone).await.unwrap();
    pass(&mut follower, false).await;
    let gc = Gc::open(&open, gc::Options::new(Duration::from_hours(1)))
        .await
        .unwrap();
    gc.run_once().await.unwrap();
    let left: Vec<_> = blobs_of(&*there.store)
        .await
        .into_iter()
        .map(|(digest, _)| digest)
        .collect();
    assert_eq!(left, [other]);
}

async fn bytes_that_are_damaged_on_the_way_are_brought_again(f: Fixture) {
    let there = There::new();
    let mut follower = there.follower(&f);
    let (_, layer) = push_image(&f.registry, "a", "v1", "x").await;
    let (_, other) = push_image(&f.registry, "a", "v2", "y").await;
    pass(&mut follower, false).await;
    assert_eq!(follower.verify(|_| {}).await.unwrap(), []);
    let (_, third) = push_image(&f.registry, "a", "v3", "z").await;
    pass(&mut follower, false).await;
    for (digest, location) in blobs_of(&*there.store).await {
        if digest == third {
            there.store.remove(&location).await.unwrap();
        }
    }
    assert_eq!(follower.verify(|_| {}).await.unwrap(), [third]);
    assert_eq!(
        follower.compare(|_| {}).await.unwrap().different,
        [("blobs", 1)]
    );
    assert_eq!(pass(&mut follower, false).await.brought.0, 1);
    assert_eq!(follower.verify(|_| {}).await.unwrap(), []);
    assert_eq!(follower.compare(|_| {}).await.unwrap().different, []);

    // What the source has lost is told, and left only when that is asked for.
    let (_, lost) = push_image(&f.registry, "a", "v4", "w").await;
    for (digest, location) in blobs_of(&*f.store).await {
        if digest == lost {
            f.store.remove(&location).await.unwrap();
        }
    }
    assert_eq!(pass(&mut follower, false).await.missing, [lost]);
    assert_eq!(
        follower.compare(|_| {}).await.unwrap().different,
        [("blobs", 1)]
    );
    assert_eq!(pass(&mut follower, true).await.missing, [lost]);
    assert_eq!(follower.compare(|_| {}).await.unwrap().different, []);
    what_was_left_and_healed_comes(&f, &mut follower, &lost).await;
    let open = there.open(&f).await;
    for (digest, is_known) in [(layer, true), (other, true), (third, true), (lost, true)] {
        assert_eq!(is_there(&open, "a", &digest).await, is_known);
    }
}

/// A blob that came without its bytes is put aside, and pushed again while the same run goes on.
async fn what_was_left_and_healed_comes(f: &Fixture, follower: &mut Follower, lost: &Digest) {
    let key = lost.to_bytes();
    let put_aside = move |tx: &mut Tx<'_>| {
        tx.execute(
            "UPDATE blobs SET location = NULL WHERE digest = ?1",
            params![key.as_slice()],
        )
    };
    f.db.write(put_aside).await.unwrap();
    pass(follower, true).await;
    let content = format!("layer {} ", "w").repeat(20);
    push_blob(&f.registry, "a", content.as_bytes()).await;
    assert!(is_there(&f.registry, "a", lost).await);
    assert_eq!(
        follower.compare(|_| {}).await.unwrap().different,
        [("blobs", 1)]
    );
    let healed = pass(follower, true).await;
    assert_eq!((healed.brought.0, healed.missing), (1, vec![]));
    assert_eq!(follower.compare(|_| {}).await.unwrap().different, []);
}

on_both_engines! {
    while_it_moves_nothing_is_written_and_everything_read,
    one_run_at_a_time_closes_a_registry,
    each_pass_brings_what_is_new_and_takes_away_what_is_gone,
    bytes_that_are_damaged_on_the_way_are_brought_again,
}
