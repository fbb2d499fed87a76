//! The schema: made, kept, and refused.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lazuli_db::dialect::Engine;
use lazuli_db::faults::Faults;
use lazuli_db::{Db, Error, params};
use sha2::Digest as _;

use crate::place::{Place, block, set, setting};

crate::both_engines!(
    a_schema_is_made_once,
    several_programs_may_start_at_once,
    a_newer_schema_is_refused,
    a_changed_migration_is_refused,
    the_first_released_schema_is_brought_up,
);

/// The tables and columns of an engine: table to columns, each with whether it may be NULL.
type Tables = BTreeMap<String, Vec<(String, bool)>>;

fn tables(db: &Db) -> Tables {
    let sql = if db.engine() == "sqlite" {
        "SELECT t.name, c.name, c.\"notnull\" FROM sqlite_schema t, pragma_table_info(t.name) c \
         WHERE t.type = 'table' ORDER BY t.name, c.cid"
    } else {
        "SELECT CAST(table_name AS TEXT), CAST(column_name AS TEXT), is_nullable = 'NO' FROM information_schema.columns \
         WHERE table_schema = 'public' ORDER BY table_name, ordinal_position"
    };
    let columns = db
        .read_blocking(move |tx| {
            tx.query(sql, params![], |row| {
                Ok((row.get_string(0)?, row.get_string(1)?, row.get_bool(2)?))
            })
        })
        .unwrap();
    let mut tables = Tables::new();
    for (table, column, required) in columns {
        tables.entry(table).or_default().push((column, !required));
    }
    tables
}

#[test]
fn both_engines_have_the_same_tables() {
    let sqlite = tables(&Place::sqlite().open());
    assert!(sqlite.contains_key("manifests") && sqlite.contains_key("schema_migrations"));
    if let Some(place) = Place::postgres() {
        assert_eq!(tables(&place.open()), sqlite);
    }
}

fn a_schema_is_made_once(place: &Place) {
    let db = place.open();
    let made = tables(&db);
    block(async { db.write(|tx| set(tx, "a", "1")).await.unwrap() });
    let db = place.open();
    assert_eq!(tables(&db), made);
    block(async { assert_eq!(setting(&db, "a").await.as_deref(), Some("1")) });
    let versions = db
        .read_blocking(|tx| {
            tx.query(
                "SELECT version, LENGTH(checksum) FROM schema_migrations ORDER BY version",
                params![],
                |row| Ok((row.get_i64(0)?, row.get_i64(1)?)),
            )
        })
        .unwrap();
    assert_eq!(versions.first(), Some(&(1, 64)));
    let numbers: Vec<i64> = versions.iter().map(|(version, _)| *version).collect();
    assert_eq!(numbers, (1..=versions.len() as i64).collect::<Vec<_>>());
}

fn several_programs_may_start_at_once(place: &Place) {
    let tables: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| tables(&place.open())))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(tables.windows(2).all(|pair| pair[0] == pair[1]));
}

fn a_newer_schema_is_refused(place: &Place) {
    drop(place.open());
    place.raw("INSERT INTO schema_migrations (version, name, checksum, applied_at) VALUES (9000, 'future', 'x', 0)");
    match place.try_open(Faults::default(), 10) {
        Err(e @ Error::SchemaTooNew { found: 9000, .. }) => {
            assert!(e.to_string().contains("newer program"));
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("opened"),
    }
    place.raw("DELETE FROM schema_migrations WHERE version = 9000");
    place.open();
}

fn a_changed_migration_is_refused(place: &Place) {
    drop(place.open());
    place.raw("UPDATE schema_migrations SET checksum = 'other' WHERE version = 1");
    match place.try_open(Faults::default(), 10) {
        Err(Error::MigrationChanged { version: 1 }) => {}
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("opened"),
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

/// The fixture is the schema as it was first released and never changes after that. Until then it follows
/// `0001_init.sql`: run the tests with `LAZULI_BLESS=1` to write it anew.
#[test]
fn the_fixture_is_the_first_migration() {
    let first = include_str!("../../migrations/0001_init.sql");
    let checksum = sha2::Sha256::digest(first)
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    let noted = format!(
        "\nCREATE TABLE schema_migrations (\n  version {{i64}} NOT NULL PRIMARY KEY,\n  name TEXT NOT NULL,\n  \
         checksum TEXT NOT NULL,\n  applied_at {{i64}} NOT NULL\n) {{table}};\n\
         INSERT INTO schema_migrations (version, name, checksum, applied_at)\n  VALUES (1, 'init', '{checksum}', 1);\n"
    );
    let expected = format!("{first}{noted}");
    let path = fixture("schema-0001.sql");
    if std::env::var_os("LAZULI_BLESS").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    assert!(
        std::fs::read_to_string(&path).unwrap() == expected,
        "0001_init.sql and {} differ",
        path.display()
    );
}

fn the_first_released_schema_is_brought_up(place: &Place) {
    let engine = if place.is_sqlite() {
        Engine::Sqlite
    } else {
        Engine::Postgres
    };
    for name in ["schema-0001.sql", "rows-0001.sql"] {
        place.raw(&engine.render_migration(&std::fs::read_to_string(fixture(name)).unwrap()));
    }
    let db = place.open();
    let fresh = if place.is_sqlite() {
        Some(Place::sqlite())
    } else {
        Place::postgres()
    };
    assert_eq!(tables(&db), tables(&fresh.unwrap().open()));
    let kept = db
        .read_blocking(|tx| {
            tx.query_one(
                "SELECT r.name, t.name, t.digest, length(m.body) FROM repositories r \
                 JOIN tags t ON t.repository_id = r.id \
                 JOIN manifests m ON m.repository_id = r.id AND m.digest = t.digest",
                params![],
                |row| {
                    Ok((
                        row.get_string(0)?,
                        row.get_string(1)?,
                        row.get_bytes(2)?.len(),
                        row.get_i64(3)?,
                    ))
                },
            )
        })
        .unwrap();
    assert_eq!(
        kept,
        Some(("library/app".to_owned(), "latest".to_owned(), 33, 2))
    );
}
