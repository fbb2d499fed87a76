//! Deleted repositories: gone at once, their rows in steps.

use super::*;
use crate::on_both_engines;
use lazuli_identity::MetadataWrite;
use lazuli_registry::attributes::Subject;
use lazuli_registry::fsck;
use lazuli_registry::listing::PageRequest;
use lazuli_wire::acr::{AttributesChange, Flag};
use lazuli_wire::oci::Tag;

/// Lets so many moments pass, then never goes on.
pub(super) struct Until {
    pub(super) moments: std::sync::atomic::AtomicI64,
    pub(super) clock: Arc<lazuli_db::clock::ManualClock>,
    pub(super) stopped: tokio::sync::Notify,
}

impl Until {
    pub(super) fn new(moments: i64, f: &Fixture) -> Arc<Self> {
        Arc::new(Self {
            moments: moments.into(),
            clock: f.clock.clone(),
            stopped: tokio::sync::Notify::new(),
        })
    }
}

impl Pace for Until {
    fn at(&self, _: Moment) -> BoxFuture<'_, ()> {
        Box::pin(async {
            // Long enough for what was done to be written down.
            self.clock.advance(Duration::from_secs(1));
            if self.moments.fetch_sub(1, Ordering::SeqCst) <= 0 {
                self.stopped.notify_one();
                std::future::pending::<()>().await;
            }
        })
    }
}

/// Runs a pass that is killed after so many moments; the run if it came to its end before.
pub(super) async fn killed_after(f: &Fixture, moments: i64) -> Option<Run> {
    let pace = Until::new(moments, f);
    let options = Options {
        pace: pace.clone(),
        ..hurried()
    };
    // What a killed node held ends by itself.
    f.clock.advance(2 * MINUTE);
    let gc = Gc::open(&f.registry, options).await.unwrap();
    let running = tokio::spawn(async move { gc.run_once().await.unwrap().unwrap() });
    tokio::select! {
        () = pace.stopped.notified() => running.abort(),
        () = async { while !running.is_finished() { tokio::time::sleep(Duration::from_millis(1)).await } } => {}
    }
    running.await.ok()
}

async fn is_sound(registry: &Registry) {
    let mut findings = Vec::new();
    let options = fsck::Options {
        verify: true,
        repair: false,
    };
    let mut note = |finding: &fsck::Finding, _| findings.push(finding.to_string());
    let summary = fsck::check(registry, options, &mut note).await.unwrap();
    assert!(summary.is_sound() && summary.notes == 0, "{findings:#?}");
}

async fn tags(f: &Fixture, name: &str) -> usize {
    let request = PageRequest {
        last: None,
        limit: 100,
        ..PageRequest::default()
    };
    let page = f.registry.tags(&pull(name), request).await.unwrap();
    page.names.len()
}

async fn push_many(f: &Fixture, name: &str, count: usize) {
    for number in 0..count {
        push_image(
            &f.registry,
            name,
            &format!("v{number}"),
            &number.to_string(),
        )
        .await;
    }
}

async fn gone_at_once_and_its_rows_in_steps(f: Fixture) {
    push_many(&f, "a", 10).await;
    let (digest, layer) = push_image(&f.registry, "a", "kept", "y").await;
    switch(
        &f,
        "a",
        Subject::Tag(Tag::parse("kept").unwrap()),
        Flag::List,
    )
    .await;
    let (access, request) = (delete("a"), "r".into());
    let removed = f.registry.delete_repository(&access, &request);
    let removed = removed.await.unwrap();
    assert_eq!((removed.manifests.len(), removed.tags.len()), (11, 11));
    assert_eq!(count(&f, "SELECT COUNT(*) FROM attributes").await, 1);
    let asked = f.registry.manifest(&pull("a"), &tag("v1")).await;
    assert!(matches!(asked, Err(Error::ManifestUnknown)), "{asked:?}");
    assert_eq!(tags(&f, "a").await, 0);
    assert_eq!(count(&f, "SELECT COUNT(*) FROM manifests").await, 11);
    is_sound(&f.registry).await;

    // Made again while the old rows are still there, of blobs that are leased.
    assert!(has_blob(&f.registry, "a", &layer).await);
    let config = Digest::of(Algorithm::Sha256, b"config y");
    let layer_size = "layer y ".repeat(20).len();
    let body = image(&config, 8, &[(layer, layer_size)], "");
    let stored = put(&f.registry, "a", "kept", OCI, &body).await.unwrap();
    assert_eq!(stored.digest, digest);
    assert_eq!(tags(&f, "a").await, 1);
    // The push is later than the delete, wherever they are compared.
    let floor = count(
        &f,
        "SELECT floor FROM repositories WHERE deleted_at IS NULL",
    )
    .await;
    let version = count(&f, "SELECT MAX(hlc) FROM tag_versions").await;
    assert!(version > floor && floor > 0);
    is_sound(&f.registry).await;

    f.clock.advance(10 * HOUR);
    let run = run(&gc(&f).await).await;
    assert_eq!((run.manifests, run.unlinked), (11, 20));
    for (table, left) in [
        ("SELECT COUNT(*) FROM manifests", 1),
        ("SELECT COUNT(*) FROM manifest_dots", 1),
        ("SELECT COUNT(*) FROM manifest_references", 2),
        ("SELECT COUNT(*) FROM tags", 1),
        ("SELECT COUNT(*) FROM tag_versions", 1),
        ("SELECT COUNT(*) FROM repositories", 1),
        ("SELECT COUNT(*) FROM attributes", 0),
    ] {
        assert_eq!(count(&f, table).await, left, "{table}");
    }
    assert!(has_blob(&f.registry, "a", &layer).await);
    f.registry.manifest(&pull("a"), &tag("kept")).await.unwrap();
    is_sound(&f.registry).await;
}

async fn deleted_again_before_the_first_is_removed(f: Fixture) {
    for round in 0..3 {
        push_many(&f, "a", 4).await;
        let (access, request) = (delete("a"), "r".into());
        let removed = f.registry.delete_repository(&access, &request);
        assert_eq!(removed.await.unwrap().manifests.len(), 4, "{round}");
    }
    // What was affirmed is there through all of it.
    let config = Digest::of(Algorithm::Sha256, b"config 1");
    assert!(has_blob(&f.registry, "a", &config).await);
    let status = Gc::status(&f.registry).await.unwrap();
    assert_eq!(status.deleted_repositories, 3);
    is_sound(&f.registry).await;
    f.clock.advance(10 * HOUR);
    let gc = gc(&f).await;
    assert_eq!(run(&gc).await.manifests, 12);
    f.clock.advance(10 * HOUR);
    run(&gc).await;
    assert_eq!(count(&f, "SELECT COUNT(*) FROM blobs").await, 0);
    is_sound(&f.registry).await;
}

async fn a_removal_that_is_killed_between_steps_goes_on(f: Fixture) {
    push_many(&f, "a", 10).await;
    f.registry
        .delete_repository(&delete("a"), &"r".into())
        .await
        .unwrap();
    f.clock.advance(10 * HOUR);
    let (mut kills, mut left) = (0, 10);
    let run = loop {
        // Long enough for one step, and a bit more each time: every step is the last of some process.
        match killed_after(&f, 2 + kills % 2).await {
            Some(run) => break run,
            None => kills += 1,
        }
        let now = count(&f, "SELECT COUNT(*) FROM manifests").await;
        assert!(now <= left, "nothing comes back");
        left = now;
        is_sound(&f.registry).await;
        assert!(kills < 100, "it never ends");
    };
    assert!(kills > 3, "{kills}");
    assert_eq!(count(&f, "SELECT COUNT(*) FROM manifests").await, 0);
    assert_eq!(count(&f, "SELECT COUNT(*) FROM repositories").await, 1);
    assert_eq!(
        count(&f, "SELECT COUNT(*) FROM gc_runs").await,
        1,
        "one pass"
    );
    assert_eq!(run.resumed, kills as u64);
    assert_eq!(run.manifests, 10, "counted once, whoever did it");
}

async fn locks_keep_what_they_lock_and_nothing_that_nothing_needs(f: Fixture) {
    let (digest, layer) = push_image(&f.registry, "a", "v1", "x").await;
    let unneeded = push_blob(&f.registry, "a", b"no manifest names it").await;
    for flag in [Flag::Delete, Flag::Write] {
        switch(&f, "a", Subject::Repository, flag).await;
    }
    f.clock.advance(10 * HOUR);
    let gc = gc(&f).await;
    run(&gc).await;
    assert!(has_blob(&f.registry, "a", &layer).await);
    assert!(!has_blob(&f.registry, "a", &unneeded).await);
    f.clock.advance(10 * HOUR);
    run(&gc).await;
    assert_eq!(count(&f, "SELECT COUNT(*) FROM blobs").await, 2);
    let found = f.registry.manifest(&pull("a"), &tag("v1")).await.unwrap();
    assert_eq!(found.digest, digest);
    is_sound(&f.registry).await;
}

/// Switches something off.
async fn switch(f: &Fixture, name: &str, subject: Subject, flag: Flag) {
    let change = AttributesChange::default().with(flag, false);
    let (access, request) = (access::<MetadataWrite>(name), "r".into());
    let set = f
        .registry
        .set_attributes(&access, subject, change, &request);
    set.await.unwrap();
}

on_both_engines!(
    gone_at_once_and_its_rows_in_steps,
    deleted_again_before_the_first_is_removed,
    a_removal_that_is_killed_between_steps_goes_on,
    locks_keep_what_they_lock_and_nothing_that_nothing_needs,
);
