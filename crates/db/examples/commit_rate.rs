//! Prints how many durable write transactions, relaxed ones and reads a second the embedded database does, for 1, 8
//! and 64 callers at a time: `cargo run --release -p lazuli-db --example commit_rate [folder [durable|relaxed|..]]`.
//!
//! A write transaction is seven small statements, about what a manifest push does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use lazuli_db::{Db, Error, SqliteOptions, Tx, params};

const RUN: Duration = Duration::from_secs(3);

fn push(tx: &mut Tx<'_>, number: i64) -> Result<(), Error> {
    let mut digest = [1_u8; 33];
    digest[1..9].copy_from_slice(&number.wrapping_mul(0x5851_f42d_4c95_7f2d).to_be_bytes());
    let mut id = [2_u8; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    let repository = number % 16;
    tx.query_one(
        "SELECT id FROM repositories WHERE registry_id = ?1 AND name = ?2",
        params![1, "library/app"],
        |row| row.get_i64(0),
    )?;
    tx.query_one(
        "SELECT size FROM blobs WHERE registry_id = ?1 AND digest = ?2",
        params![1, &digest],
        |row| row.get_i64(0),
    )?;
    tx.execute(
        "INSERT INTO blobs (registry_id, digest, size, content, created_at, leased_until) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![1, &digest, 1024, &[7_u8; 64], number, number],
    )?;
    tx.execute(
        "INSERT INTO repository_blobs (repository_id, digest, registry_id, size, linked_at, leased_until) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (repository_id, digest) DO UPDATE SET leased_until = excluded.leased_until",
        params![repository, &digest, 1, 1024, number, number],
    )?;
    tx.execute(
        "INSERT INTO tags (repository_id, name, digest, hlc, origin, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6) \
         ON CONFLICT (repository_id, name) DO UPDATE SET digest = excluded.digest, hlc = excluded.hlc, updated_at = excluded.updated_at",
        params![repository, "latest", &digest, number, 1, number],
    )?;
    tx.execute(
        "INSERT INTO tag_versions (repository_id, name, hlc, origin, digest) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![repository, "latest", number, 1, &digest],
    )?;
    tx.execute(
        "INSERT INTO operations (id, origin, hlc, registry_id, repository, kind, principal, request_id, payload, created_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![&id, 1, number, 1, "library/app", "tag.put", "admin", "0123456789abcdef", "{\"tag\":\"latest\"}", number],
    )?;
    Ok(())
}

#[derive(Clone, Copy)]
enum Kind {
    Durable,
    Relaxed,
    Snapshot,
    One,
}

async fn measure(db: &Db, name: &str, kind: Kind, callers: usize, next: &Arc<AtomicI64>) {
    let (before, cpu, start) = (db.stats(), cpu(), Instant::now());
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let (db, next) = (db.clone(), next.clone());
            tokio::spawn(async move {
                let mut done = 0_u64;
                while start.elapsed() < RUN {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let read = move |tx: &mut Tx<'_>| {
                        tx.query_one(
                            "SELECT digest FROM tags WHERE repository_id = ?1 AND name = ?2",
                            params![number % 16, "latest"],
                            |row| row.get_bytes(0),
                        )
                        .map(|digest| assert!(digest.is_some()))
                    };
                    match kind {
                        Kind::Durable => db.write(move |tx| push(tx, number)).await,
                        Kind::Relaxed => db.write_relaxed(move |tx| push(tx, number)).await,
                        Kind::Snapshot => db.read(read).await,
                        Kind::One => db.read_one(read).await,
                    }
                    .unwrap();
                    done += 1;
                }
                done
            })
        })
        .collect();
    let mut done = 0;
    for task in tasks {
        done += task.await.unwrap();
    }
    let seconds = start.elapsed().as_secs_f64();
    let commits = (db.stats().commits - before.commits) as f64;
    println!(
        "{name:9} {callers:3} callers: {:8.0}/s, {:6.1} us of CPU each, {:5.1} to a commit",
        done as f64 / seconds,
        (self::cpu() - cpu) / done as f64 * 1e6,
        if commits > 0.0 {
            done as f64 / commits
        } else {
            0.0
        },
    );
}

/// Seconds of CPU that this process has used.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn main() {
    let folder = std::env::args()
        .nth(1)
        .map_or_else(std::env::temp_dir, Into::into);
    let folder = tempfile::tempdir_in(folder).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let db = Db::open_sqlite(SqliteOptions::new(folder.path().join("lazuli.db"))).unwrap();
        let next = Arc::new(AtomicI64::new(0));
        for (name, kind) in [
            ("durable", Kind::Durable),
            ("relaxed", Kind::Relaxed),
            ("snapshot", Kind::Snapshot),
            ("one read", Kind::One),
        ] {
            if std::env::args().nth(2).is_some_and(|only| only != name) {
                continue;
            }
            for callers in [1, 8, 64] {
                measure(&db, name, kind, callers, &next).await;
            }
        }
        println!("{:?}", db.stats());
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        println!(
            "{}",
            status
                .lines()
                .find(|line| line.starts_with("VmHWM"))
                .unwrap_or_default()
        );
        db.close(Duration::from_secs(10)).await.unwrap();
    });
}
