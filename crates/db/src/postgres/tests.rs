//! Programs of different versions on one database.
#![allow(clippy::unwrap_used, clippy::panic)]

use lazuli_testkit::postgres::Database;

use super::*;
use crate::Db;

fn options(database: &Database) -> PostgresOptions {
    PostgresOptions {
        connections: 4,
        ..PostgresOptions::new(database.url())
    }
}

/// The migrations of the next version of this program.
fn newer() -> Vec<migrate::Migration> {
    let next = migrate::Migration {
        version: migrate::newest() + 1,
        name: "next",
        // An older program that writes on misses the new rule.
        sql: "ALTER TABLE settings ADD COLUMN checked {i64} NOT NULL DEFAULT 0;\n\
              UPDATE settings SET checked = 1;",
    };
    migrate::MIGRATIONS
        .iter()
        .map(|known| migrate::Migration { ..*known })
        .chain([next])
        .collect()
}

#[test]
fn a_program_that_runs_stops_when_a_newer_one_migrates() {
    let Some(database) = Database::create() else {
        return;
    };
    let db = Db::open_postgres(options(&database)).unwrap();
    let over = std::sync::atomic::AtomicBool::new(false);
    let (acknowledged, last) = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|writer| {
                let (db, over) = (&db, &over);
                scope.spawn(move || {
                    let (mut acknowledged, mut last) = (0, Ok(0));
                    let mut after = 0;
                    for round in 0.. {
                        // On a slow machine, too, it gets to write once more.
                        after += u32::from(over.load(std::sync::atomic::Ordering::SeqCst));
                        if after > 100 || (after > 0 && last.is_err()) {
                            break;
                        }
                        let name = format!("{writer} {round}");
                        last = db.write_blocking(move |tx| {
                            let sql = "INSERT INTO settings (name, value) VALUES (?1, 'x')";
                            tx.execute(sql, &[name.as_str().into()])
                        });
                        acknowledged += u32::from(last.is_ok());
                    }
                    (acknowledged, last)
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(200));
        let connector = Connector::new(&database.url()).unwrap();
        // Two of the newer version at once.
        let connections = [connector.dial().unwrap(), connector.dial().unwrap()];
        let migrating =
            connections.map(|connection| scope.spawn(|| migrate(connection, &newer(), true)));
        let outcomes = migrating.map(|thread| thread.join().unwrap());
        assert!(outcomes.iter().any(Result::is_ok), "{outcomes:?}");
        std::thread::sleep(Duration::from_millis(50));
        over.store(true, std::sync::atomic::Ordering::SeqCst);
        let ended = writers.into_iter().map(|writer| writer.join().unwrap());
        ended.fold((0, Vec::new()), |(sum, mut all), (count, last)| {
            all.push(last);
            (sum + count, all)
        })
    });
    assert!(acknowledged > 0);
    for last in last {
        assert!(matches!(last, Err(Error::SchemaTooNew { .. })), "{last:?}");
    }
    // Everything the old program wrote was there when the new schema was made.
    let unchecked = database.psql("SELECT COUNT(*) FROM settings WHERE checked = 0");
    assert_eq!(unchecked.unwrap().trim(), "0");
    let kept = database.psql("SELECT COUNT(*) FROM settings").unwrap();
    assert!(kept.trim().parse::<u32>().unwrap() >= acknowledged);
    let refused = db.read_blocking(|tx| tx.query_one("SELECT 1", &[], |row| row.get_i64(0)));
    assert!(
        matches!(refused, Err(Error::SchemaTooNew { .. })),
        "{refused:?}"
    );
}

#[test]
fn a_command_does_not_migrate_under_those_that_run() {
    let Some(database) = Database::create() else {
        return;
    };
    let connector = Connector::new(&database.url()).unwrap();
    let dial = || connector.dial().unwrap();
    // Without a schema there is nobody to disturb.
    migrate(dial(), migrate::MIGRATIONS, false).unwrap();
    let running = Db::open_postgres(options(&database)).unwrap();
    let known = migrate::newest();
    let refused = migrate(dial(), &newer(), false);
    assert!(
        matches!(refused, Err(Error::SchemaTooOld { found, known: wanted }) if found == known && wanted == known + 1),
        "{refused:?}"
    );
    let sql = "INSERT INTO settings (name, value) VALUES ('a', 'b')";
    running.write_blocking(|tx| tx.execute(sql, &[])).unwrap();
}
