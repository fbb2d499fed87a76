//! PostgreSQL's own: connections that break, servers that are not there, collisions.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use lazuli_db::faults::{Fault, FaultPoint, Faults};
use lazuli_db::{Db, Error, PostgresOptions};
use lazuli_testkit::postgres::Database;

use crate::faults::Trap;
use crate::place::{Place, block, names, set, setting};

/// A write whose closure counts how often it runs.
async fn counted(db: &Db, name: &'static str) -> (Result<(), Error>, u32) {
    let runs = Arc::new(AtomicU32::new(0));
    let seen = runs.clone();
    let result = db
        .write(move |tx| {
            seen.fetch_add(1, Ordering::SeqCst);
            set(tx, name, "1")
        })
        .await;
    (result, runs.load(Ordering::SeqCst))
}

#[test]
fn collisions_are_repeated_wherever_they_show() {
    let Some(place) = Place::postgres() else {
        return;
    };
    let trap = Trap::default();
    let db = place.open_with(trap.faults());
    block(async {
        for point in [FaultPoint::Statement, FaultPoint::Commit] {
            trap.arm(point, 1, Fault::Conflict);
            let (result, runs) = counted(&db, "a").await;
            result.unwrap();
            assert_eq!(runs, 2);
        }
        assert_eq!(db.stats().retries, 2);
        assert_eq!(setting(&db, "a").await.as_deref(), Some("1"));
    });
}

#[test]
fn endless_collisions_are_given_up() {
    let Some(place) = Place::postgres() else {
        return;
    };
    let db = place.open_with(Faults::new(|at| {
        (at == FaultPoint::Commit).then_some(Fault::Conflict)
    }));
    block(async {
        let (result, runs) = counted(&db, "a").await;
        assert!(matches!(result, Err(Error::Conflict)));
        assert!((10..100).contains(&runs), "{runs}");
        assert!(db.read(names).await.unwrap().is_empty());
    });
}

#[test]
fn a_connection_that_breaks_before_the_commit_is_replaced() {
    let Some(place) = Place::postgres() else {
        return;
    };
    let trap = Trap::default();
    let db = place.open_with(trap.faults());
    block(async {
        trap.arm(FaultPoint::Statement, 1, Fault::ConnectionLost);
        let (result, runs) = counted(&db, "a").await;
        result.unwrap();
        assert_eq!(runs, 2);
    });
}

#[test]
fn a_connection_that_breaks_at_the_commit_leaves_the_outcome_open() {
    let Some(place) = Place::postgres() else {
        return;
    };
    let trap = Trap::default();
    let db = place.open_with(trap.faults());
    block(async {
        trap.arm(FaultPoint::Commit, 1, Fault::ConnectionLost);
        let (result, runs) = counted(&db, "a").await;
        assert!(matches!(result, Err(Error::OutcomeUnknown)));
        assert_eq!(runs, 1, "what may have happened is not done again");
        db.write(|tx| set(tx, "b", "1")).await.unwrap();
    });
}

#[test]
fn connections_that_the_server_ends_are_replaced() {
    let Some(place) = Place::postgres() else {
        return;
    };
    let Place::Postgres(database) = &place else {
        return;
    };
    let db = place.open();
    block(async {
        for round in 0..5 {
            database.break_connections().unwrap();
            let value = round.to_string();
            let expected = value.clone();
            db.write(move |tx| set(tx, "a", &value)).await.unwrap();
            database.break_connections().unwrap();
            assert_eq!(setting(&db, "a").await, Some(expected));
        }
        assert!(db.stats().retries >= 5);
    });
}

/// The real thing: the server ends the connection while transactions run. What is acknowledged is there, what failed
/// for sure is not.
#[test]
fn nothing_acknowledged_is_lost_when_connections_break_under_load() {
    let Some(place) = Place::postgres() else {
        return;
    };
    let Place::Postgres(database) = &place else {
        return;
    };
    let db = place.open();
    block(async {
        let tasks: Vec<_> = (0..8)
            .map(|task| {
                let db = db.clone();
                tokio::spawn(async move {
                    let mut outcomes = Vec::new();
                    for round in 0..60 {
                        let name = format!("{task} {round}");
                        let n = name.clone();
                        outcomes.push((name, db.write(move |tx| set(tx, &n, "1")).await));
                    }
                    outcomes
                })
            })
            .collect();
        while tasks.iter().any(|task| !task.is_finished()) {
            database.break_connections().unwrap();
        }
        let mut there = std::collections::BTreeSet::new();
        // A thread that has given up the server tries again a moment later.
        let read = loop {
            match db.read(names).await {
                Err(Error::Unavailable(_)) => tokio::time::sleep(Duration::from_millis(20)).await,
                other => break other,
            }
        };
        there.extend(read.unwrap());
        for task in tasks {
            for (name, outcome) in task.await.unwrap() {
                match outcome {
                    Ok(()) => assert!(there.contains(&name), "{name} was acknowledged"),
                    Err(Error::OutcomeUnknown) => {}
                    Err(e) => assert!(!there.contains(&name), "{name} failed: {e}"),
                }
            }
        }
    });
}

#[test]
fn a_plan_that_no_longer_fits_is_made_again() {
    let Some(place) = Place::postgres() else {
        return;
    };
    let db = place.open();
    block(async {
        db.write(|tx| set(tx, "a", "1")).await.unwrap();
        for _ in 0..8 {
            assert_eq!(setting(&db, "a").await.as_deref(), Some("1"));
        }
        place.raw("ALTER TABLE settings ALTER COLUMN value TYPE VARCHAR(99)");
        for _ in 0..8 {
            assert_eq!(setting(&db, "a").await.as_deref(), Some("1"));
        }
        db.write(|tx| set(tx, "a", "2")).await.unwrap();
    });
}

#[test]
fn servers_that_will_not_do_are_refused() {
    let Some(database) = Database::create() else {
        return;
    };
    let name = format!("ascii_{}", std::process::id());
    database
        .psql(&format!(
            "CREATE DATABASE {name} TEMPLATE template0 ENCODING 'SQL_ASCII'"
        ))
        .unwrap();
    let url = database.url();
    let elsewhere = format!("{} dbname={name}", url.split(" dbname=").next().unwrap());
    let cases = [
        (elsewhere.as_str(), "UTF8"),
        ("host=/nonexistent user=postgres", "connect"),
        (
            "host=/nonexistent user=postgres password=hunter2 nonsense=1",
            "nonsense",
        ),
    ];
    for (url, expected) in cases {
        match Db::open_postgres(PostgresOptions::new(url)) {
            Err(e @ (Error::Unsuitable(_) | Error::Unavailable(_))) => {
                assert!(e.to_string().contains(expected), "{e}");
                assert!(!e.to_string().contains("hunter2"), "{e}");
            }
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("opened {url}"),
        }
    }
}

#[test]
fn backups_are_left_to_the_server() {
    let Some(place) = Place::postgres() else {
        return;
    };
    let db = place.open();
    block(async {
        let result = db
            .backup_to(std::path::Path::new("/nonexistent/copy"))
            .await;
        assert!(matches!(result, Err(Error::Unsupported(_))));
        db.checkpoint().await.unwrap();
    });
}

/// Opening works from async code too, although the driver has a runtime of its own.
#[test]
fn opening_works_from_async_code() {
    let Some(place) = Place::postgres() else {
        return;
    };
    block(async {
        let db = place.open();
        db.write(|tx| set(tx, "a", "1")).await.unwrap();
        drop(db);
    });
}

/// Runs statements in a connection of their own, which then sleeps in its transaction until the test ends it.
fn asleep(database: &Arc<Database>, statements: &str) -> std::thread::JoinHandle<()> {
    let sleeper = std::thread::spawn({
        let (database, sql) = (
            database.clone(),
            format!("BEGIN; {statements}; SELECT pg_sleep(600)"),
        );
        move || drop(database.psql(&sql))
    });
    while sleepers(database, "COUNT(*)") != "1" {
        std::thread::sleep(Duration::from_millis(10));
    }
    sleeper
}

fn sleepers(database: &Database, what: &str) -> String {
    let sql = format!(
        "SELECT {what} FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
    );
    database.psql(&sql).unwrap().trim().to_owned()
}

#[test]
fn writers_of_all_roles_are_waited_for_and_nobodys_reading() {
    let Some(Place::Postgres(database)) = Place::postgres() else {
        return;
    };
    let database = Arc::new(database);
    let db = Db::open_postgres(PostgresOptions::new(database.url())).unwrap();
    // A role that may see nothing of what others do. Roles are of the whole server, which tests share.
    let role = format!("settler_{}", std::process::id());
    database
        .psql(&format!(
            "CREATE ROLE {role} LOGIN; GRANT ALL ON SCHEMA public TO {role}; GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}"
        ))
        .unwrap();
    let url = database
        .url()
        .replace("user=postgres", &format!("user={role}"));
    let other = Db::open_postgres(PostgresOptions::new(url)).unwrap();
    let both = [&db, &other];
    let settled = |limit| both.map(|db| block(lazuli_db::settle(db, limit)).unwrap());
    let (short, long) = (Duration::from_millis(200), Duration::from_mins(1));

    let read = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT COUNT(*) FROM settings";
    let reader = asleep(&database, read);
    assert_eq!(settled(long), [true, true]);
    // It was there all the time.
    assert_eq!(sleepers(&database, "COUNT(pg_terminate_backend(pid))"), "1");
    reader.join().unwrap();

    let serializable = "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; SELECT * FROM settings";
    for writes in [
        "INSERT INTO settings (name, value) VALUES ('b', 'c')",
        serializable,
    ] {
        let writer = asleep(&database, writes);
        assert_eq!(settled(short), [false, false], "{writes}");
        assert_eq!(sleepers(&database, "COUNT(pg_terminate_backend(pid))"), "1");
        writer.join().unwrap();
        assert_eq!(settled(long), [true, true]);
    }
}
