//! A process that is killed while it writes loses nothing that it was told is done.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use lazuli_db::{Db, Error, PostgresOptions, SqliteOptions, params};

use crate::place::{Place, block};

/// Set for the process that is to be killed: where its database is.
const ROLE: &str = "LAZULI_TEST_WRITER";

#[test]
fn sqlite_loses_nothing_acknowledged_by_a_kill() {
    if let Ok(address) = std::env::var(ROLE) {
        return write_until_killed(&Db::open_sqlite(SqliteOptions::new(address)).unwrap());
    }
    let place = Place::sqlite();
    let address = place.path().to_str().unwrap().to_owned();
    kill_again_and_again(
        &place,
        &address,
        "crash::sqlite_loses_nothing_acknowledged_by_a_kill",
    );
}

#[test]
fn postgres_loses_nothing_acknowledged_by_a_kill() {
    if let Ok(address) = std::env::var(ROLE) {
        return write_until_killed(&Db::open_postgres(PostgresOptions::new(address)).unwrap());
    }
    let Some(place) = Place::postgres() else {
        return;
    };
    let Place::Postgres(database) = &place else {
        return;
    };
    let address = database.url();
    kill_again_and_again(
        &place,
        &address,
        "crash::postgres_loses_nothing_acknowledged_by_a_kill",
    );
}

fn kill_again_and_again(place: &Place, address: &str, test: &str) {
    let mut acknowledged = BTreeSet::new();
    for round in 0..5_usize {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", test])
            .env(ROLE, address)
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

fn write_until_killed(db: &Db) {
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

/// Writes that the system refuses, for real: a limit on the size of files, which is an I/O error and not a full disk.
#[test]
fn nothing_acknowledged_is_lost_when_the_system_refuses_to_write() {
    if let Ok(address) = std::env::var(ROLE) {
        return write_until_refused(&Db::open_sqlite(SqliteOptions::new(address)).unwrap());
    }
    let place = Place::sqlite();
    // The limit is in blocks of 512 bytes. Going past it would kill the process if the signal were not ignored.
    let output = Command::new("sh")
        .args(["-c", r#"trap '' XFSZ; ulimit -f 2000; exec "$0" "$@""#])
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "--nocapture",
            "crash::nothing_acknowledged_is_lost_when_the_system_refuses_to_write",
        ])
        .env(ROLE, place.path())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let acknowledged: BTreeSet<i64> = text
        .lines()
        .filter_map(|line| line.strip_prefix("ack ")?.strip_suffix(" .")?.parse().ok())
        .collect();
    assert!(
        acknowledged.len() > 10 && text.contains("refused ."),
        "{text}"
    );
    check(&place.open(), &acknowledged);
}

fn write_until_refused(db: &Db) {
    block(async {
        for number in 0..1_000_000_i64 {
            let result = db
                .write(move |tx| {
                    tx.execute(
                        "INSERT INTO origins (origin, sequence) VALUES (?1, 0)",
                        params![number],
                    )?;
                    let (name, value) = (number.to_string(), "v".repeat(20_000));
                    tx.execute(
                        "INSERT INTO settings (name, value) VALUES (?1, ?2)",
                        params![&name, &value],
                    )
                })
                .await;
            match result {
                Ok(_) => std::io::stdout()
                    .lock()
                    .write_all(format!("ack {number} .\n").as_bytes())
                    .unwrap(),
                Err(Error::ReadOnly) => break,
                Err(e) => assert!(matches!(e, Error::Io(_)), "{e:?}"),
            }
        }
        // After some failures in a row the disk is taken for broken; what is there can still be read.
        assert!(db.stats().read_only && db.stats().failed_commits >= 3);
        db.read(|tx| {
            tx.query("SELECT origin FROM origins", params![], |row| {
                row.get_i64(0)
            })
        })
        .await
        .unwrap();
        std::io::stdout().lock().write_all(b"refused .\n").unwrap();
    });
}
