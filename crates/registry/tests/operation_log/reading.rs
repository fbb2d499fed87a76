//! What was appended comes back, in order, after whatever happened.

use super::*;
use crate::on_both_engines;
use lazuli_registry::attributes::{Attributes, Subject};
use lazuli_wire::acr::{Flag, Flags};

async fn operations_come_back_as_they_were_appended(f: Fixture) {
    let log = Log::open(f.db.clone(), f.clock.clone(), 7, 42)
        .await
        .unwrap();
    let digest = lazuli_wire::oci::Digest::of(lazuli_wire::oci::Algorithm::Sha512, b"x");
    let tag = Tag::parse("v1.0-rc_1").unwrap();
    let put = |superseded| Operation::PutManifest {
        digest,
        media_type: "application/vnd.oci.image.manifest.v1+json; odd=\"\\\u{1}é\"".to_owned(),
        size: 9_007_199_254_740_993,
        blobs: vec![
            digest,
            lazuli_wire::oci::Digest::of(lazuli_wire::oci::Algorithm::Sha256, b"y"),
        ],
        tag: Some(tag.clone()),
        platform: lazuli_wire::oci::ImagePlatform {
            architecture: Some("arm64".into()),
            os: None,
        },
        superseded,
    };
    let context = log.context("admin", "request 1");
    let appended = |operation: Operation, repository: Option<&'static str>| {
        let (db, context) = (f.db.clone(), context.clone());
        async move {
            db.write(move |tx| operations::append(tx, &context, 3, repository, &operation, None))
                .await
                .unwrap()
                .id
        }
    };
    let first = appended(put(None), Some("a/b")).await;
    let second = appended(put(Some(first)), Some("a/b")).await;
    let rest = [
        Operation::DeleteManifest {
            digest,
            observed: vec![first, second],
            tags: vec![tag.clone(), tag.clone()],
        },
        Operation::Untag { tag: tag.clone() },
        Operation::DeleteBlob { digest },
        Operation::DeleteRepository {
            observed: Vec::new(),
        },
        Operation::DeleteRepository {
            observed: vec![second],
        },
        Operation::SetAttributes {
            subject: Subject::Repository,
            attributes: Attributes::default(),
        },
        Operation::SetAttributes {
            subject: Subject::Manifest(digest),
            attributes: Attributes {
                flags: Flags::ALL.with(Flag::Write, false),
                quarantine_state: Some("Passed".to_owned()),
                quarantine_details: Some("{\"a\":\"b\\n\"}".to_owned()),
            },
        },
        Operation::SetAttributes {
            subject: Subject::Tag(tag.clone()),
            attributes: Attributes {
                flags: Flags::from_bits(0),
                ..Attributes::default()
            },
        },
        setting("anonymous pull", "\"quoted\"\n"),
        Operation::Setting {
            name: String::new(),
            value: None,
        },
        Operation::Control {
            resource: "/subscriptions/s".to_owned(),
            action: "Microsoft.Resources/write".to_owned(),
            detail: Some("{\"a\":\"b\\n\"}".to_owned()),
        },
        Operation::Control {
            resource: "/".to_owned(),
            action: String::new(),
            detail: None,
        },
    ];
    for operation in &rest {
        appended(operation.clone(), None).await;
    }
    Sequencer::new(&log, "s", fast()).drain().await.unwrap();
    let entries = read_all(&log).await;
    assert_eq!(entries[0].operation, put(None));
    assert_eq!(entries[1].operation, put(Some(first)));
    assert!(entries[2..].iter().map(|entry| &entry.operation).eq(&rest));
    assert_eq!(entries[0].repository.as_deref(), Some("a/b"));
    assert_eq!(
        (entries[2].repository.as_deref(), entries[2].registry_id),
        (None, 3)
    );
    assert_eq!(
        (&*entries[0].principal, &*entries[0].request_id),
        ("admin", "request 1")
    );
    assert!(entries.is_sorted_by_key(|entry| entry.id) && first.origin() == 7);
}

async fn a_reader_gets_again_what_it_did_not_finish(f: Fixture) {
    let log = Log::open(f.db.clone(), f.clock.clone(), 1, 42)
        .await
        .unwrap();
    for _ in 0..10 {
        build_on(&f, &log, "one", false).await;
    }
    Sequencer::new(&log, "s", fast()).drain().await.unwrap();
    let sequences = |entries: &[Entry]| {
        entries
            .iter()
            .map(|entry| entry.sequence)
            .collect::<Vec<_>>()
    };
    let mut reader = LogReader::open(&log, "webhooks").await.unwrap();
    let page = reader.next(4).await.unwrap();
    assert_eq!(sequences(&page), [1, 2, 3, 4]);
    assert_eq!(reader.next(4).await.unwrap(), page);
    reader.advance(&page[1]).await.unwrap();
    // Stopped here, and started again by another process.
    let mut again = LogReader::open(&log, "webhooks").await.unwrap();
    assert_eq!(again.cursor().sequence, 2);
    let page = again.next(100).await.unwrap();
    assert_eq!(sequences(&page), (3..=10).collect::<Vec<_>>());
    again.advance(page.last().unwrap()).await.unwrap();
    // A late process does not move the place back.
    reader.advance(&page[0]).await.unwrap();
    assert_eq!(
        LogReader::open(&log, "webhooks")
            .await
            .unwrap()
            .cursor()
            .sequence,
        10
    );
    assert_eq!(
        LogReader::open(&log, "audit")
            .await
            .unwrap()
            .cursor()
            .sequence,
        0
    );
    // Nothing more: waits until there is.
    assert!(
        tokio::time::timeout(Duration::from_millis(50), again.next(1))
            .await
            .is_err()
    );
}

async fn a_reader_notices_that_operations_are_no_longer_kept(f: Fixture) {
    let log = Log::open(f.db.clone(), f.clock.clone(), 1, 42)
        .await
        .unwrap();
    for _ in 0..5 {
        build_on(&f, &log, "one", false).await;
    }
    Sequencer::new(&log, "s", fast()).drain().await.unwrap();
    f.db.write(|tx| tx.execute("DELETE FROM operations WHERE sequence <= 3", &[]))
        .await
        .unwrap();
    let read = log
        .read_from(
            Cursor {
                origin: 1,
                sequence: 1,
            },
            10,
        )
        .await;
    assert!(matches!(
        read,
        Err(ReadError::Gap {
            origin: 1,
            after: 1,
            found: 4
        })
    ));
    assert_eq!(
        log.read_from(
            Cursor {
                origin: 1,
                sequence: 3
            },
            10
        )
        .await
        .unwrap()
        .len(),
        2
    );
}

async fn after_a_restart_with_the_clock_set_back_new_operations_are_later(f: Fixture) {
    let log = Log::open(f.db.clone(), f.clock.clone(), 1, 42)
        .await
        .unwrap();
    let (_, before) = build_on(&f, &log, "one", false).await;
    let clock = Arc::new(ManualClock::new(1_700_000_000_000_000));
    let restarted = Log::open(f.db.clone(), clock, 1, 43).await.unwrap();
    let (_, after) = build_on(&f, &restarted, "one", false).await;
    assert!(after > before);
    // Also when the first numbering happens only now.
    Sequencer::new(&restarted, "s", fast())
        .drain()
        .await
        .unwrap();
    let ids: Vec<_> = read_all(&restarted)
        .await
        .iter()
        .map(|entry| entry.id)
        .collect();
    assert_eq!(ids, [before, after]);
}

async fn what_a_crashed_sequencer_left_is_numbered_by_the_next(f: Fixture) {
    let log = Log::open(f.db.clone(), f.clock.clone(), 1, 42)
        .await
        .unwrap();
    let options = Options {
        batch: 3,
        lease: Duration::from_secs(10),
        ..fast()
    };
    for _ in 0..3 {
        build_on(&f, &log, "one", false).await;
    }
    let mut first = Sequencer::new(&log, "first", options);
    assert_eq!(first.drain().await.unwrap(), 3);
    for _ in 0..7 {
        build_on(&f, &log, "one", false).await;
    }
    // The first holds the lease but is gone.
    let mut second = Sequencer::new(&log, "second", options);
    assert_eq!(second.drain().await.unwrap(), 0);
    f.clock.advance(Duration::from_secs(10));
    assert_eq!(second.drain().await.unwrap(), 7);
    // It was not gone after all: its lease is, so it has to wait for the second's end.
    build_on(&f, &log, "one", false).await;
    assert_eq!(first.drain().await.unwrap(), 0);
    assert_eq!(second.drain().await.unwrap(), 1);
    assert_eq!(read_all(&log).await.len(), 11);
}

on_both_engines!(
    operations_come_back_as_they_were_appended,
    a_reader_gets_again_what_it_did_not_finish,
    a_reader_notices_that_operations_are_no_longer_kept,
    after_a_restart_with_the_clock_set_back_new_operations_are_later,
    what_a_crashed_sequencer_left_is_numbered_by_the_next,
);
