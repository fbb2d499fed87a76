//! All rows of one database into another, whatever the engines: for backups, restores and moves.

use std::fmt::Write as _;
use std::sync::LazyLock;

use crate::migrate::MIGRATIONS;
use crate::row::Row;
use crate::{Db, Error, Result, Tx, Value};

/// Rows read and written at a time.
const PAGE: i64 = 500;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Integer,
    Text,
    Bytes,
}

/// A table as the migrations make it, with the statements that copy it.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) columns: Vec<(&'static str, Kind)>,
    /// Places of the primary key's columns.
    pub(crate) key: Vec<usize>,
    first_page: &'static str,
    next_page: &'static str,
    insert: &'static str,
    pub(crate) clear: &'static str,
    pub(crate) count: &'static str,
}

/// The tables, in the order in which they are made: one that refers to another comes later.
pub(crate) static TABLES: LazyLock<Vec<Table>> = LazyLock::new(|| {
    let mut tables = Vec::new();
    for migration in MIGRATIONS {
        for text in migration.sql.split("CREATE TABLE ").skip(1) {
            tables.extend(Table::parse(text));
        }
    }
    tables
});

impl Table {
    /// Reads what follows `CREATE TABLE`. The migrations are ours: one column to a line, keys as in the first one; a test
    /// compares the outcome with what SQLite says of the schema.
    fn parse(text: &'static str) -> Option<Self> {
        let (name, rest) = text.split_once(" (")?;
        let (body, _) = rest.split_once("\n)")?;
        let mut columns = Vec::new();
        let mut key_names: Vec<&'static str> = Vec::new();
        for line in body.lines().map(str::trim) {
            if line.is_empty() || line.starts_with("--") || line.starts_with("UNIQUE") {
                continue;
            }
            if let Some(names) = line.strip_prefix("PRIMARY KEY (") {
                let (names, _) = names.split_once(')')?;
                key_names = names.split(", ").collect();
                continue;
            }
            let (column, declared) = line.split_once(' ')?;
            let kind = match declared.split([' ', ',']).next()? {
                "{i64}" => Kind::Integer,
                "{bytes}" => Kind::Bytes,
                _ => Kind::Text,
            };
            if declared.contains("PRIMARY KEY") {
                key_names.push(column);
            }
            columns.push((column, kind));
        }
        let place = |name: &&str| columns.iter().position(|(column, _)| column == name);
        let key = key_names.iter().map(place).collect::<Option<Vec<_>>>()?;
        Some(Self::with_statements(name, columns, key))
    }

    fn with_statements(
        name: &'static str,
        columns: Vec<(&'static str, Kind)>,
        key: Vec<usize>,
    ) -> Self {
        let list = |names: &mut dyn Iterator<Item = &str>| names.collect::<Vec<_>>().join(", ");
        let all = list(&mut columns.iter().map(|(column, _)| *column));
        let keys = list(&mut key.iter().map(|place| columns[*place].0));
        // There is one of each for the life of the process: statements are known by their address.
        let keep = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
        Self {
            first_page: keep(format!(
                "SELECT {all} FROM {name} ORDER BY {keys} LIMIT {PAGE}"
            )),
            next_page: keep(format!(
                "SELECT {all} FROM {name} WHERE ({keys}) > ({}) ORDER BY {keys} LIMIT {PAGE}",
                marks(key.len())
            )),
            insert: keep(format!(
                "INSERT INTO {name} ({all}) VALUES ({})",
                marks(columns.len())
            )),
            clear: keep(format!("DELETE FROM {name}")),
            count: keep(format!("SELECT COUNT(*) FROM {name}")),
            name,
            columns,
            key,
        }
    }
}

/// `?1, ?2, …`
pub(crate) fn marks(count: usize) -> String {
    let mut text = String::new();
    for number in 1..=count {
        let comma = if number > 1 { ", " } else { "" };
        let _ = write!(text, "{comma}?{number}");
    }
    text
}

/// A value on its way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cell {
    /// SQL NULL.
    Null,
    /// An integer.
    Integer(i64),
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl Cell {
    /// As a parameter of a statement.
    pub fn value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Integer(number) => Value::I64(*number),
            Self::Text(text) => Value::Text(text),
            Self::Bytes(bytes) => Value::Bytes(bytes),
        }
    }
}

fn cells(row: &Row<'_>, table: &Table) -> Result<Vec<Cell>> {
    let mut cells = Vec::with_capacity(table.columns.len());
    for (place, (_, kind)) in table.columns.iter().enumerate() {
        let cell = match kind {
            Kind::Integer => row.get_i64_opt(place)?.map(Cell::Integer),
            Kind::Text => row.get_string_opt(place)?.map(Cell::Text),
            Kind::Bytes => row.get_bytes_opt(place)?.map(Cell::Bytes),
        };
        cells.push(cell.unwrap_or(Cell::Null));
    }
    Ok(cells)
}

/// Copies every row of `source`, as it is at one moment, into `target`, whose rows are removed first. Both have this
/// program's schema. `on_table` is told of each table, how many rows it has and how many are copied.
///
/// Blocking; not for async code. On an error the target is half full, and of no use until the next attempt.
pub fn copy_rows(
    source: &Db,
    target: &Db,
    mut on_table: impl FnMut(&'static str, u64, u64) + Send + 'static,
) -> Result<()> {
    let target = target.clone();
    source.read_blocking(move |tx| {
        // A transaction that is repeated begins anew here too: nothing of another moment may stay.
        target.write_blocking(|tx| {
            for table in TABLES.iter().rev() {
                tx.execute(table.clear, &[])?;
            }
            Ok::<_, Error>(())
        })?;
        for table in TABLES.iter() {
            let all = tx
                .query_one(table.count, &[], |row| row.get_u64(0))?
                .unwrap_or(0);
            on_table(table.name, 0, all);
            let mut done = 0;
            let mut last: Option<Vec<Cell>> = None;
            loop {
                let page = page(tx, table, last.as_deref())?;
                let Some(end) = page.last() else { break };
                last = Some(table.key.iter().map(|place| end[*place].clone()).collect());
                done += page.len() as u64;
                target.write_blocking(move |tx| {
                    for row in &page {
                        let values: Vec<Value<'_>> = row.iter().map(Cell::value).collect();
                        tx.execute(table.insert, &values)?;
                    }
                    Ok::<_, Error>(())
                })?;
                on_table(table.name, done, all);
            }
        }
        Ok(())
    })
}

pub(crate) fn page(
    tx: &mut Tx<'_>,
    table: &'static Table,
    after: Option<&[Cell]>,
) -> Result<Vec<Vec<Cell>>> {
    match after {
        None => tx.query(table.first_page, &[], |row| cells(row, table)),
        Some(key) => {
            let values: Vec<Value<'_>> = key.iter().map(Cell::value).collect();
            tx.query(table.next_page, &values, |row| cells(row, table))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{SqliteOptions, params};

    fn fresh() -> (tempfile::TempDir, Db) {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open_sqlite(SqliteOptions::new(folder.path().join("db"))).unwrap();
        (folder, db)
    }

    /// Name, type and place in the key of each column.
    type Columns = Vec<(String, String, i64)>;

    /// The schema as SQLite knows it.
    fn known(db: &Db) -> Vec<(String, Columns)> {
        db.read_blocking(|tx| {
            let names = tx.query(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'schema_migrations' \
                 AND name NOT LIKE 'sqlite_%' ORDER BY name",
                params![],
                |row| row.get_string(0),
            )?;
            let mut tables = Vec::new();
            for name in names {
                let columns = tx.query(
                    "SELECT name, type, pk FROM pragma_table_info(?1) ORDER BY cid",
                    params![name.as_str()],
                    |row| Ok((row.get_string(0)?, row.get_string(1)?, row.get_i64(2)?)),
                )?;
                tables.push((name, columns));
            }
            Ok::<_, Error>(tables)
        })
        .unwrap()
    }

    #[test]
    fn every_table_is_copied_with_every_column() {
        let (_folder, db) = fresh();
        let mut ours: Vec<_> = TABLES
            .iter()
            .map(|table| {
                let columns = table
                    .columns
                    .iter()
                    .enumerate()
                    .map(|(place, (name, kind))| {
                        let declared = match kind {
                            Kind::Integer => "INTEGER",
                            Kind::Text => "TEXT",
                            Kind::Bytes => "BLOB",
                        };
                        let in_key = table.key.iter().position(|key| *key == place);
                        let in_key = in_key.map_or(0, |nth| nth as i64 + 1);
                        ((*name).to_owned(), declared.to_owned(), in_key)
                    });
                (table.name.to_owned(), columns.collect::<Vec<_>>())
            })
            .collect();
        ours.sort();
        assert_eq!(ours, known(&db));
    }

    #[test]
    fn rows_of_all_kinds_arrive_and_others_are_gone() {
        let ((_one, source), (_other, target)) = (fresh(), fresh());
        source
            .write_blocking(|tx| {
                for number in 0..1234_i64 {
                    let name = format!("r{number}");
                    let digest = number.to_be_bytes();
                    tx.execute(
                        "INSERT INTO blobs (registry_id, digest, size, location, content, created_at, leased_until) \
                         VALUES (1, ?1, ?2, NULL, ?3, 5, 6)",
                        params![&digest[..], number, name.as_bytes()],
                    )?;
                }
                tx.execute(
                    "INSERT INTO registries (id, name, anonymous_pull, created_at) VALUES (1, 'a', 0, 7)",
                    params![],
                )?;
                tx.execute("INSERT INTO registry_hosts (host, registry_id) VALUES ('h', 1)", params![])?;
                Ok::<_, Error>(())
            })
            .unwrap();
        target
            .write_blocking(|tx| {
                tx.execute(
                    "INSERT INTO settings (name, value) VALUES ('old', 'x')",
                    params![],
                )?;
                Ok::<_, Error>(())
            })
            .unwrap();
        for _ in 0..2 {
            copy_rows(&source, &target, |_, done, all| assert!(done <= all)).unwrap();
        }
        let sums = |db: &Db| {
            db.read_blocking(|tx| {
                let blobs = tx.query_one(
                    "SELECT COUNT(*), SUM(size), MAX(content) FROM blobs",
                    params![],
                    |row| Ok((row.get_i64(0)?, row.get_i64(1)?, row.get_bytes(2)?)),
                )?;
                let rest = tx.query_one(
                    "SELECT (SELECT COUNT(*) FROM settings), (SELECT COUNT(*) FROM registry_hosts)",
                    params![],
                    |row| Ok((row.get_i64(0)?, row.get_i64(1)?)),
                )?;
                Ok::<_, Error>((blobs, rest))
            })
            .unwrap()
        };
        assert_eq!(sums(&target), sums(&source));
        assert_eq!(sums(&target).1, Some((0, 1)));
    }
}
