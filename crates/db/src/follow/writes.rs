//! The statements that make a table equal to another one.

use std::fmt::Write as _;
use std::sync::LazyLock;

use crate::copy::{Cell, TABLES, Table};
use crate::migrate::MIGRATIONS;
use crate::{Result, Tx, Value};

/// Rows written by one statement.
const AT_ONCE: usize = 50;

/// What is done to a row.
pub(super) enum Change {
    Put(Vec<Cell>),
    Remove(Vec<Cell>),
}

/// A table with the statements that change it.
pub(super) struct Writes {
    pub(super) table: &'static Table,
    /// Whether an index beside the primary key allows a value once.
    pub(super) is_unique: bool,
    put_one: &'static str,
    put_many: &'static str,
    remove: &'static str,
}

pub(super) static WRITES: LazyLock<Vec<Writes>> =
    LazyLock::new(|| TABLES.iter().map(Writes::of).collect());

impl Writes {
    fn of(table: &'static Table) -> Self {
        let names: Vec<_> = table.columns.iter().map(|(name, _)| *name).collect();
        let keys: Vec<_> = table.key.iter().map(|place| names[*place]).collect();
        let others = names.iter().filter(|name| !keys.contains(name));
        let updates: Vec<_> = others
            .map(|name| format!("{name} = excluded.{name}"))
            .collect();
        let conflict = if updates.is_empty() {
            "NOTHING".to_owned()
        } else {
            format!("UPDATE SET {}", updates.join(", "))
        };
        let put = |rows: usize| {
            let mut values = String::new();
            for row in 0..rows {
                values.push_str(if row > 0 { ", (" } else { "(" });
                for column in 0..names.len() {
                    let comma = if column > 0 { ", " } else { "" };
                    let _ = write!(values, "{comma}?{}", row * names.len() + column + 1);
                }
                values.push(')');
            }
            format!(
                "INSERT INTO {} ({}) VALUES {values} ON CONFLICT ({}) DO {conflict}",
                table.name,
                names.join(", "),
                keys.join(", ")
            )
        };
        let is: Vec<_> = (1..)
            .zip(&keys)
            .map(|(number, key)| format!("{key} = ?{number}"))
            .collect();
        // There is one of each for the life of the process: statements are known by their address.
        let keep = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
        let (on, made) = (
            format!(" ON {} (", table.name),
            format!("CREATE TABLE {} (", table.name),
        );
        let is_unique = MIGRATIONS.iter().any(|migration| {
            let indexes = migration.sql.split("CREATE UNIQUE INDEX ").skip(1);
            let mut lines = indexes.filter_map(|text| text.lines().next());
            let is_indexed = lines.any(|line| line.contains(&on));
            let body = migration.sql.split_once(&made).map_or("", |(_, rest)| rest);
            let body = body.split_once("\n)").map_or("", |(body, _)| body);
            is_indexed || body.lines().any(|line| line.trim().starts_with("UNIQUE ("))
        });
        Self {
            table,
            is_unique,
            put_one: keep(put(1)),
            put_many: keep(put(AT_ONCE)),
            remove: keep(format!(
                "DELETE FROM {} WHERE {}",
                table.name,
                is.join(" AND ")
            )),
        }
    }

    pub(super) fn key<'a>(&self, row: &'a [Cell]) -> Vec<&'a Cell> {
        self.table.key.iter().map(|place| &row[*place]).collect()
    }
}

impl Writes {
    pub(super) fn apply(&self, tx: &mut Tx<'_>, changes: &[Change]) -> Result<()> {
        let mut puts = Vec::new();
        for change in changes {
            match change {
                Change::Put(row) => puts.push(row),
                Change::Remove(row) => {
                    let key: Vec<Value<'_>> = self.key(row).into_iter().map(Cell::value).collect();
                    tx.execute(self.remove, &key)?;
                }
            }
        }
        for rows in puts.chunks(AT_ONCE) {
            if rows.len() == AT_ONCE {
                let values: Vec<_> = rows
                    .iter()
                    .flat_map(|row| row.iter().map(Cell::value))
                    .collect();
                tx.execute(self.put_many, &values)?;
                continue;
            }
            for row in rows {
                let values: Vec<_> = row.iter().map(Cell::value).collect();
                tx.execute(self.put_one, &values)?;
            }
        }
        Ok(())
    }
}
