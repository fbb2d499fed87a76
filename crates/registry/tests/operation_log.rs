//! The operation log: numbered without gaps, in causal order, exactly once, whoever numbers.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use common::*;
use lazuli_db::clock::ManualClock;
use lazuli_registry::Error;
use lazuli_registry::operations::sequencer::{Options, Sequencer};
use lazuli_registry::operations::{
    self, Appended, Cursor, Entry, Log, LogReader, Operation, OperationId, ReadError,
};
use lazuli_wire::oci::Tag;

fn fast() -> Options {
    Options {
        delay: Duration::ZERO,
        poll: Duration::from_millis(5),
        ..Options::default()
    }
}

fn setting(name: &str, value: &str) -> Operation {
    Operation::Setting {
        name: name.to_owned(),
        value: Some(value.to_owned()),
    }
}

/// The end of the log, read whole.
async fn read_all(log: &Log) -> Vec<Entry> {
    let mut cursor = Cursor {
        origin: log.origin(),
        sequence: 0,
    };
    let mut entries = Vec::new();
    loop {
        let page = log.read_from(cursor, 100).await.unwrap();
        let Some(last) = page.last() else {
            return entries;
        };
        cursor.sequence = last.sequence;
        entries.extend(page);
    }
}

/// Appends one operation that builds on what the transaction reads: the newest one on the same register. Returns both.
/// `with_clock`: the clock of what was read is passed on, as it must be when several nodes write.
async fn build_on(
    f: &Fixture,
    log: &Arc<Log>,
    register: &'static str,
    with_clock: bool,
) -> (Option<OperationId>, OperationId) {
    let context = log.context("admin", "request");
    f.db.write(move |tx| {
        let before = tx.query_one("SELECT value FROM settings WHERE name = ?1", &[register.into()], |row| row.get_string(0))?;
        let before = before.map(|text| OperationId::from_bytes(&from_hex(&text)).unwrap());
        let after = before.filter(|_| with_clock).map(|id| id.hlc());
        let Appended { id, .. } = operations::append(tx, &context, 1, None, &setting(register, "x"), after)?;
        let text = id.to_string();
        tx.execute(
            "INSERT INTO settings (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            &[register.into(), (&text).into()],
        )?;
        Ok::<_, Error>((before, id))
    })
    .await
    .unwrap()
}

fn from_hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
        .collect()
}

const REGISTERS: [&str; 3] = ["one", "two", "three"];

/// Writers in many tasks, sequencers that fight for the lease, a reader that follows.
async fn race(f: Fixture, logs: Vec<Arc<Log>>, with_clock: bool) {
    const WRITERS: usize = 8;
    const EACH: usize = 40;
    let f = Arc::new(f);
    let sequencers: Vec<_> = (0..2)
        .map(|n| {
            let options = Options {
                batch: 7,
                lease: Duration::from_millis(3),
                ..fast()
            };
            let sequencer =
                Sequencer::new(&logs[n % logs.len()], &format!("sequencer {n}"), options);
            tokio::spawn(sequencer.run())
        })
        .collect();
    // Time goes on, so that leases expire and change hands while batches are numbered.
    let clock = f.clock.clone();
    let ticker = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(1)).await;
            clock.advance(Duration::from_millis(1));
        }
    });
    let reader = {
        let mut reader = LogReader::open(&logs[0], "follower").await.unwrap();
        tokio::spawn(async move {
            let mut seen = Vec::new();
            while seen.len() < WRITERS * EACH {
                let page = reader.next(10).await.unwrap();
                reader.advance(page.last().unwrap()).await.unwrap();
                seen.extend(page.into_iter().map(|entry| (entry.id, entry.sequence)));
            }
            seen
        })
    };
    let writers: Vec<_> = (0..WRITERS)
        .map(|n| {
            let (f, log) = (f.clone(), logs[n % logs.len()].clone());
            tokio::spawn(async move {
                let mut built = Vec::new();
                for round in 0..EACH {
                    built.push(
                        build_on(
                            &f,
                            &log,
                            REGISTERS[(n + round) % REGISTERS.len()],
                            with_clock,
                        )
                        .await,
                    );
                    log.committed();
                }
                built
            })
        })
        .collect();
    let mut built = Vec::new();
    for writer in writers {
        built.extend(writer.await.unwrap());
    }
    let followed = tokio::time::timeout(Duration::from_secs(60), reader)
        .await
        .expect("numbered in time")
        .unwrap();
    ticker.abort();
    sequencers.iter().for_each(tokio::task::JoinHandle::abort);

    let entries = read_all(&logs[0]).await;
    let numbers: HashMap<OperationId, i64> = entries
        .iter()
        .map(|entry| (entry.id, entry.sequence))
        .collect();
    assert_eq!(
        entries.len(),
        WRITERS * EACH,
        "every committed operation is numbered, once"
    );
    assert_eq!(numbers.len(), entries.len());
    assert!(
        entries
            .iter()
            .zip(1..)
            .all(|(entry, expected)| entry.sequence == expected),
        "without gaps"
    );
    assert_eq!(
        logs[0].newest_sequence().await.unwrap(),
        entries.len() as i64
    );
    let written: HashSet<_> = built.iter().map(|(_, id)| *id).collect();
    assert_eq!(written, numbers.keys().copied().collect());
    for (before, id) in &built {
        if let Some(before) = before {
            assert!(numbers[before] < numbers[id], "{before} was read by {id}");
        }
    }
    let delivered: Vec<_> = entries
        .iter()
        .map(|entry| (entry.id, entry.sequence))
        .collect();
    assert_eq!(
        followed, delivered,
        "a reader beside the writers saw the same numbers"
    );
    println!("{} operations, {:?}", entries.len(), f.db.stats());
}

async fn numbers_are_gapless_causal_and_given_once_under_concurrent_writers(f: Fixture) {
    let log = Log::open(f.db.clone(), f.clock.clone(), 1, 42)
        .await
        .unwrap();
    // One process: the order of the clock follows the order of commits by itself.
    race(f, vec![log], false).await;
}

async fn nodes_with_skewed_clocks_keep_causal_order(f: Fixture) {
    let mut logs = Vec::new();
    for (seed, skew) in [(1, 0), (2, 90), (3, -90)] {
        let clock = Arc::new(ManualClock::new(1_800_000_000_000_000 + skew * 1_000_000));
        logs.push(Log::open(f.db.clone(), clock, 1, seed).await.unwrap());
    }
    race(f, logs, true).await;
}

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
        Operation::DeleteRepository {
            observed: Vec::new(),
            tags: Vec::new(),
        },
        Operation::DeleteRepository {
            observed: vec![second],
            tags: vec![tag.clone()],
        },
        setting("anonymous pull", "\"quoted\"\n"),
        Operation::Setting {
            name: String::new(),
            value: None,
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

/// Appends from many tasks that share nothing; returns how often a transaction was repeated.
async fn append_apart(f: &Arc<Fixture>, log: &Arc<Log>) -> u64 {
    let before = f.db.stats().retries;
    let writers: Vec<_> = (0..8)
        .map(|_| {
            let (f, log) = (f.clone(), log.clone());
            tokio::spawn(async move {
                for _ in 0..100 {
                    let context = log.context("admin", "request");
                    let operation = setting("name", "value");
                    f.db.write(move |tx| {
                        operations::append(tx, &context, 1, None, &operation, None)
                    })
                    .await
                    .unwrap();
                    log.committed();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    f.db.stats().retries - before
}

async fn numbering_does_not_make_writers_collide(f: Fixture) {
    let f = Arc::new(f);
    let log = Log::open(f.db.clone(), f.clock.clone(), 1, 42)
        .await
        .unwrap();
    let options = Options {
        batch: 16,
        ..fast()
    };
    let sequencer = tokio::spawn(Sequencer::new(&log, "s", options).run());
    let repeated = append_apart(&f, &log).await;
    while log.newest_sequence().await.unwrap() < 800 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    sequencer.abort();
    println!("800 operations, {repeated} repetitions");
    assert!(repeated < 80, "{repeated} of 800 were repeated");
}

on_both_engines!(
    numbering_does_not_make_writers_collide,
    numbers_are_gapless_causal_and_given_once_under_concurrent_writers,
    nodes_with_skewed_clocks_keep_causal_order,
    operations_come_back_as_they_were_appended,
    a_reader_gets_again_what_it_did_not_finish,
    a_reader_notices_that_operations_are_no_longer_kept,
    after_a_restart_with_the_clock_set_back_new_operations_are_later,
    what_a_crashed_sequencer_left_is_numbered_by_the_next,
);
