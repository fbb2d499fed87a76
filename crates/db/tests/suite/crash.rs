//! A process that is killed while it writes loses nothing that it was told is done.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use lazuli_db::{Db, Error, PostgresOptions, SqliteOptions, params};

use crate::place::{Place, block};

crate::both_engines!(nothing_acknowledged_is_lost_by_a_kill);

/// Set for the process that is to be killed: where its database is.
const ROLE: &str = "LAZULI_TEST_WRITER";

fn nothing_acknowledged_is_lost_by_a_kill(place: &Place) {
    if let Ok(address) = std::env::var(ROLE) {
        return write_until_killed(place.is_sqlite(), &address);
    }
    let address = match place {
        Place::Sqlite(_) => place.path().to_str().unwrap().to_owned(),
        Place::Postgres(database) => database.url(),
    };
    let mut acknowledged = BTreeSet::new();
    for round in 0..5_usize {
        let name = if place.is_sqlite() {
            "crash::sqlite"
        } else {
            "crash::postgres"
        };
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "--nocapture",
                &format!("{name}::nothing_acknowledged_is_lost_by_a_kill"),
            ])
            .env(ROLE, &address)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok);
        let before = acknowledged.len();
        let wanted = before + 37 + 211 * round;
        while acknowledged.len() < wanted {
            let line = lines.next().expect("the writer ended by itself");
            acknowledged.extend(
                line.strip_prefix("ack ")
                    .and_then(|rest| rest.strip_suffix(" ."))
                    .map(|n| n.parse::<i64>().unwrap()),
            );
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it said before it died counts too. The last line may be cut off.
        acknowledged.extend(lines.filter_map(|line| {
            line.strip_prefix("ack ")?
                .strip_suffix(" .")?
                .parse::<i64>()
                .ok()
        }));
        check(&place.open(), &acknowledged);
    }
}

fn check(db: &Db, acknowledged: &BTreeSet<i64>) {
    let (origins, settings) = db
        .read_blocking(|tx| {
            let origins = tx.query("SELECT origin FROM origins", params![], |row| {
                row.get_i64(0)
            })?;
            let settings = tx.query("SELECT name FROM settings", params![], |row| {
                row.get_string(0)
            })?;
            Ok::<_, Error>((origins, settings))
        })
        .unwrap();
    let origins: BTreeSet<i64> = origins.into_iter().collect();
    let settings: BTreeSet<i64> = settings
        .into_iter()
        .map(|name| name.parse().unwrap())
        .collect();
    assert_eq!(origins, settings, "a transaction is there in half");
    let lost: Vec<_> = acknowledged.difference(&origins).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
}

fn write_until_killed(sqlite: bool, address: &str) {
    let db = if sqlite {
        Db::open_sqlite(SqliteOptions::new(address))
    } else {
        Db::open_postgres(PostgresOptions::new(address))
    }
    .unwrap();
    block(async {
        let first = db
            .read(|tx| {
                tx.query_one("SELECT MAX(origin) FROM origins", params![], |row| {
                    row.get_i64_opt(0)
                })
            })
            .await
            .unwrap()
            .flatten()
            .map_or(0, |last| last + 1);
        let mut tasks = Vec::new();
        for task in 0..8_i64 {
            let db = db.clone();
            tasks.push(tokio::spawn(async move {
                for round in 0.. {
                    let number = first + round * 8 + task;
                    let write = move |tx: &mut lazuli_db::Tx<'_>| {
                        tx.execute(
                            "INSERT INTO origins (origin, sequence) VALUES (?1, 0)",
                            params![number],
                        )?;
                        let name = number.to_string();
                        tx.execute(
                            "INSERT INTO settings (name, value) VALUES (?1, 'v')",
                            params![&name],
                        )
                    };
                    // Relaxed ones survive the end of the process too.
                    let done = if task % 2 == 0 {
                        db.write(write).await
                    } else {
                        db.write_relaxed(write).await
                    };
                    done.unwrap();
                    std::io::stdout()
                        .lock()
                        .write_all(format!("ack {number} .\n").as_bytes())
                        .unwrap();
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
    });
}
