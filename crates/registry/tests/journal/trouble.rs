//! Journals that do not fit, are damaged, or were left by somebody else.

use bytes::Bytes;
use lazuli_blobs::BlobStore;
use lazuli_registry::journal::{self, Lost, Options, RebuildError, RecordError, Target};

use crate::common::*;
use crate::support::*;

/// A registry with some segments.
async fn written() -> Fixture {
    let f = Fixture::new().await;
    install(&f).await;
    let journal = journal(&f.registry, journal_options()).await;
    journal.step().await.unwrap();
    for seed in 0..4 {
        push_image(&f.registry, "a", &format!("v{seed}"), &seed.to_string()).await;
        number(&f.registry).await;
        journal.step().await.unwrap();
    }
    journal.close().await.unwrap();
    f
}

async fn replace(f: &Fixture, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let mut text = records(f).read(name.to_owned()).await.unwrap().to_vec();
    change(&mut text);
    records(f).remove(name.to_owned()).await.unwrap();
    let made = records(f).create(name.to_owned(), Bytes::from(text)).await;
    assert!(made.unwrap());
}

#[tokio::test]
async fn a_damaged_or_missing_segment_is_named_and_what_came_before_is_there() {
    for is_missing in [false, true] {
        let f = written().await;
        let third = segments(&f).await[2].clone();
        if is_missing {
            records(&f).remove(third.clone()).await.unwrap();
        } else {
            replace(&f, &third, |text| text[100] ^= 1).await;
        }
        let rebuilt = rebuild(&f).await.unwrap();
        assert!(
            matches!(&rebuilt.report.lost[..], [Lost::Record { name, .. }] if *name == third),
            "{:?}",
            rebuilt.report
        );
        assert_eq!(rebuilt.report.tags, 2);
        assert_sound(&rebuilt.registry).await;
    }
}

#[tokio::test]
async fn a_damaged_snapshot_is_refused_and_the_one_before_can_be_asked_for() {
    let f = written().await;
    let renewed = journal(
        &f.registry,
        Options {
            renew_segments: 1,
            ..journal_options()
        },
    )
    .await;
    renewed.step().await.unwrap();
    replace(&f, "00000002/snapshot-000001.jsonl", |text| text[100] ^= 1).await;
    let (_folder, db) = embedded();
    let outcome = journal::rebuild(&target(&f, &db), |_| {}).await;
    assert!(
        matches!(
            &outcome,
            Err(RebuildError::Record {
                source: RecordError::Altered,
                ..
            })
        ),
        "{outcome:?}"
    );
    let earlier = Target {
        generation: Some(1),
        ..target(&f, &db)
    };
    let report = journal::rebuild(&earlier, |_| {}).await.unwrap();
    assert_eq!(report.lost, []);
    assert_eq!(facts(&db).await, facts(&f.db).await);
}

#[tokio::test]
async fn another_key_is_told_before_anything_is_touched() {
    let f = written().await;
    let (_folder, db) = embedded();
    let other = Target {
        key: [8; 32],
        ..target(&f, &db)
    };
    let outcome = journal::rebuild(&other, |_| {}).await;
    assert!(
        matches!(
            &outcome,
            Err(RebuildError::Record {
                source: RecordError::Altered,
                ..
            })
        ),
        "{outcome:?}"
    );
    assert!(!journal::is_unfinished(&db).await.unwrap());
}

#[tokio::test]
async fn blobs_that_are_not_in_the_bucket_are_named() {
    let f = written().await;
    let mut lister = f.store.list();
    let found = lister.next().await.unwrap().unwrap();
    let lazuli_blobs::Listed::Blob(entry) = &found[0] else {
        panic!("{found:?}");
    };
    f.store.remove(&entry.location).await.unwrap();
    let rebuilt = rebuild(&f).await.unwrap();
    let expected = Lost::Blob {
        registry: 1,
        digest: entry.digest,
        repository: "a".to_owned(),
    };
    assert_eq!(rebuilt.report.lost, [expected]);
    // Pushed again, it is whole.
    let seed = (0..4).find(|seed| {
        let bytes = format!("layer {seed} ").repeat(20);
        lazuli_wire::oci::Digest::of(lazuli_wire::oci::Algorithm::Sha256, bytes.as_bytes())
            == entry.digest
    });
    push_image(&rebuilt.registry, "a", "again", &seed.unwrap().to_string()).await;
    assert_sound(&rebuilt.registry).await;
}

#[tokio::test]
async fn a_bucket_without_a_journal_is_told() {
    let f = Fixture::new().await;
    let (_folder, db) = embedded();
    let outcome = journal::rebuild(&target(&f, &db), |_| {}).await;
    assert!(
        matches!(outcome, Err(RebuildError::NoJournal(_))),
        "{outcome:?}"
    );
}

/// A database that was restored from a copy goes its own way; its journal does too.
#[tokio::test]
async fn a_database_that_was_set_back_gets_a_journal_of_its_own() {
    for is_behind in [false, true] {
        let f = written().await;
        let copy = tempfile::tempdir().unwrap();
        let path = copy.path().join("lazuli.db");
        let before = journal(&f.registry, journal_options()).await;
        f.db.backup_to(&path).await.unwrap();
        push_image(&f.registry, "a", "forgotten", "x").await;
        number(&f.registry).await;
        before.step().await.unwrap();
        before.close().await.unwrap();
        let db = lazuli_db::Db::open_sqlite(lazuli_db::SqliteOptions::new(&path)).unwrap();
        let opened = lazuli_registry::Registry::open(
            db.clone(),
            f.store.clone(),
            f.clock.clone(),
            options(),
        );
        let restored = opened.await.unwrap();
        if !is_behind {
            // The same number, another operation.
            push_image(&restored, "a", "other", "y").await;
            number(&restored).await;
        }
        let after = journal(&restored, journal_options()).await;
        after.step().await.unwrap();
        if is_behind {
            push_image(&restored, "a", "other", "y").await;
            number(&restored).await;
            after.step().await.unwrap();
        }
        assert_eq!(after.status().generation, 2);
        let rebuilt = rebuild(&f).await.unwrap();
        assert_eq!(facts(&rebuilt.db).await, facts(&db).await);
        assert_sound(&rebuilt.registry).await;
    }
}

/// A bucket that was emptied, or is another one.
#[tokio::test]
async fn a_journal_that_is_gone_is_written_anew() {
    let f = written().await;
    for name in names(&f).await {
        records(&f).remove(name).await.unwrap();
    }
    let anew = journal(&f.registry, journal_options()).await;
    anew.step().await.unwrap();
    let rebuilt = rebuild(&f).await.unwrap();
    assert_eq!(facts(&rebuilt.db).await, facts(&f.db).await);
}

#[tokio::test]
async fn old_generations_go_and_the_last_one_stays() {
    let f = Fixture::new().await;
    install(&f).await;
    let options = Options {
        renew_segments: 2,
        ..journal_options()
    };
    let journal = journal(&f.registry, options).await;
    for seed in 0..12 {
        push_image(&f.registry, "a", "v", &seed.to_string()).await;
        number(&f.registry).await;
        journal.step().await.unwrap();
    }
    let newest = journal.status().generation;
    assert!(newest > 3);
    let mut kept: Vec<u64> = names(&f)
        .await
        .iter()
        .map(|name| name[..8].parse().unwrap())
        .collect();
    kept.dedup();
    assert_eq!(kept, [newest - 1, newest]);
}
