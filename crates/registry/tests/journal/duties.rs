//! What comes back after a database is lost.

use lazuli_registry::attributes::Subject;
use lazuli_registry::details::Details;
use lazuli_registry::journal::{self, RebuildError};
use lazuli_wire::oci::{Algorithm, Digest, Tag};

use crate::common::*;
use crate::on_both_engines;
use crate::support::*;

/// An index over two images, with a referrer of one of them.
async fn push_family(f: &Fixture, name: &str) -> Digest {
    let (one, _) = push_image(&f.registry, name, "one", "1").await;
    let (two, layer) = push_image(&f.registry, name, "two", "2").await;
    let child =
        |digest: &Digest| format!(r#"{{"mediaType":"{OCI}","digest":"{digest}","size":9}}"#);
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{},{}]}}"#,
        child(&one),
        child(&two)
    );
    put(&f.registry, name, "both", INDEX, &index).await.unwrap();
    let config = push_blob(&f.registry, name, b"{}").await;
    let subject = format!(r#","subject":{},"annotations":{{"a":"b"}}"#, child(&one));
    let referrer = image(&config, 2, &[(layer, 160)], &subject);
    let digest = Digest::of(Algorithm::Sha512, referrer.as_bytes());
    let pushed = put(&f.registry, name, &digest.to_string(), OCI, &referrer).await;
    assert_eq!(pushed.unwrap().digest, digest);
    one
}

async fn everything_comes_back(f: Fixture) {
    install(&f).await;
    let journal = journal(&f.registry, journal_options()).await;
    push_image(&f.registry, "before/first", "v1", "0").await;
    assert!(journal.step().await.unwrap());
    let one = push_family(&f, "family").await;
    // What an image runs on is in a blob that no record holds.
    let config = format!(
        r#"{{"architecture":"arm64","os":"linux","x":"{}"}}"#,
        "x".repeat(1000)
    );
    let digest = push_blob(&f.registry, "family", config.as_bytes()).await;
    let body = image(&digest, config.len(), &[], "");
    put(&f.registry, "family", "arm", OCI, &body).await.unwrap();
    push_image(&f.registry, "moved", "v1", "a").await;
    push_image(&f.registry, "moved", "v1", "b").await;
    push_image(&f.registry, "moved", "v2", "a").await;
    let v2 = Tag::parse("v2").unwrap();
    let request = "request".into();
    let access = delete("moved");
    let deleted = f.registry.delete_tag(&access, &v2, &request);
    deleted.await.unwrap();
    push_image(&f.registry, "gone", "v1", "c").await;
    let access = delete("gone");
    let removed = f.registry.delete_repository(&access, &request);
    removed.await.unwrap();
    push_image(&f.registry, "gone", "v9", "d").await;
    push_image(&f.registry, "short", "x", "e").await;
    let (short, _) = push_image(&f.registry, "short", "x", "f").await;
    let access = delete("short");
    let removed = f.registry.delete_manifest(&access, &short, &request);
    removed.await.unwrap();
    change(
        &f.db,
        "INSERT INTO registry_hosts VALUES ('registry.example', 1)",
    )
    .await;
    change(&f.db, "INSERT INTO settings VALUES ('test', '1')").await;
    number(&f.registry).await;
    journal.step().await.unwrap();
    let status = journal.status();
    assert_eq!((status.generation, status.operations_behind), (1, 0));

    let rebuilt = rebuild(&f).await.unwrap();
    assert_eq!(rebuilt.report.lost, []);
    assert_eq!(facts(&rebuilt.db).await, facts(&f.db).await);
    assert_sound(&rebuilt.registry).await;
    let subject = Subject::Tag(Tag::parse("arm").unwrap());
    let Ok(Details::Tag(arm)) = rebuilt.registry.details(&pull("family"), subject).await else {
        panic!("the tag is there");
    };
    let subject = Subject::Manifest(arm.digest);
    let found = rebuilt.registry.details(&pull("family"), subject).await;
    let Ok(Details::Manifest(found)) = found else {
        panic!("{found:?}");
    };
    assert_eq!(found.architecture.as_deref(), Some("arm64"));
    // It answers.
    let referrers = rebuilt
        .registry
        .referrers(&pull("family"), &one, None, None, 10)
        .await;
    assert_eq!(referrers.unwrap().items.len(), 1);
    for (name, reference) in [("moved", "v1"), ("gone", "v9"), ("family", "both")] {
        let there = rebuilt
            .registry
            .manifest(&pull(name), &tag(reference))
            .await;
        let here = f.registry.manifest(&pull(name), &tag(reference)).await;
        assert_eq!(there.unwrap().body, here.unwrap().body);
    }
    // And goes on: with a journal of its own, after the numbers that were given.
    push_image(&rebuilt.registry, "family", "three", "3").await;
    number(&rebuilt.registry).await;
    let next = crate::support::journal(&rebuilt.registry, journal_options()).await;
    assert!(next.step().await.unwrap());
    assert_eq!(next.status().generation, 2);
    let again = rebuild(&f).await.unwrap();
    assert_eq!(facts(&again.db).await, facts(&rebuilt.db).await);
    assert_sound(&rebuilt.registry).await;
}

async fn what_is_in_use_is_not_touched(f: Fixture) {
    install(&f).await;
    push_image(&f.registry, "a", "v1", "0").await;
    let journal = journal(&f.registry, journal_options()).await;
    journal.step().await.unwrap();
    let before = facts(&f.db).await;
    let outcome = journal::rebuild(&target(&f, &f.db), |_| {}).await;
    assert!(
        matches!(outcome, Err(RebuildError::NotEmpty)),
        "{outcome:?}"
    );
    assert_eq!(facts(&f.db).await, before);
    assert!(!journal::is_unfinished(&f.db).await.unwrap());
}

async fn an_interrupted_rebuild_is_repeated(f: Fixture) {
    install(&f).await;
    let journal = journal(&f.registry, journal_options()).await;
    for number in 0..6 {
        push_image(&f.registry, "a", &format!("v{number}"), &number.to_string()).await;
    }
    number(&f.registry).await;
    journal.step().await.unwrap();
    let (_folder, db) = embedded();
    let to = target(&f, &db);
    // The future is dropped in the middle.
    let (told, mut met) = tokio::sync::mpsc::unbounded_channel();
    let work = journal::rebuild(&to, move |progress| drop(told.send(progress)));
    tokio::select! {
        _ = work => panic!("it was to be interrupted"),
        _ = async { met.recv().await; met.recv().await } => {}
    }
    assert!(journal::is_unfinished(&db).await.unwrap());
    let report = journal::rebuild(&to, |_| {}).await.unwrap();
    assert_eq!(report.lost, []);
    assert!(!journal::is_unfinished(&db).await.unwrap());
    assert_eq!(facts(&db).await, facts(&f.db).await);
}

async fn one_node_writes_and_another_goes_on(f: Fixture) {
    install(&f).await;
    let other = f.node().await;
    let (here, there) = (
        journal(&f.registry, journal_options()).await,
        journal(&other, journal_options()).await,
    );
    push_image(&f.registry, "a", "v1", "0").await;
    assert!(here.step().await.unwrap());
    push_image(&other, "a", "v2", "1").await;
    number(&f.registry).await;
    assert!(!there.step().await.unwrap(), "the lease is held");
    assert!(there.status().operations_behind > 0);
    here.close().await.unwrap();
    push_image(&other, "a", "v3", "2").await;
    number(&f.registry).await;
    assert!(there.step().await.unwrap());
    assert_eq!(there.status().generation, 1);
    let rebuilt = rebuild(&f).await.unwrap();
    assert_eq!(facts(&rebuilt.db).await, facts(&f.db).await);
}

on_both_engines!(
    everything_comes_back,
    what_is_in_use_is_not_touched,
    an_interrupted_rebuild_is_repeated,
    one_node_writes_and_another_goes_on,
);
