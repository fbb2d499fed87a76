//! Writers, sequencers and readers at the same time.

use super::*;
use crate::on_both_engines;

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
    let followed = tokio::time::timeout(Duration::from_mins(1), reader)
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
);
