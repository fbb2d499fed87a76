//! Rows of any table as values that can be written down and read back: what a journal of an installation is made of.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use crate::copy::{TABLES, Table, marks, page};
use crate::{Error, Result, Tx, Value};

pub use crate::copy::Cell;

/// The tables of this program's schema with their columns, in the order in which they are made: one that refers to another
/// comes later.
pub fn tables() -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    TABLES.iter().map(|table| {
        let columns = table.columns.iter().map(|(column, _)| *column);
        (table.name, columns.collect())
    })
}

fn table(name: &str) -> Option<&'static Table> {
    TABLES.iter().find(|table| table.name == name)
}

/// Tells of all rows of a table, a bounded number at a time, in the order of its key. Errors: [`Error::Unsupported`] for a
/// table that is not in the schema.
pub fn read_table<E: From<Error>>(
    tx: &mut Tx<'_>,
    name: &str,
    mut on_rows: impl FnMut(Vec<Vec<Cell>>) -> Result<(), E>,
) -> Result<(), E> {
    let table = table(name).ok_or(Error::Unsupported("a table of another schema"))?;
    let mut last: Option<Vec<Cell>> = None;
    loop {
        let rows = page(tx, table, last.as_deref())?;
        let Some(end) = rows.last() else {
            return Ok(());
        };
        last = Some(table.key.iter().map(|place| end[*place].clone()).collect());
        on_rows(rows)?;
    }
}

/// Removes all rows of a table.
pub fn clear_table(tx: &mut Tx<'_>, name: &str) -> Result<()> {
    let table = table(name).ok_or(Error::Unsupported("a table of another schema"))?;
    tx.execute(table.clear, &[]).map(drop)
}

/// Adds rows to a table. `columns` are some of its own, in its order; the others get their defaults. What was written by
/// somebody else is checked: [`Error::Unsupported`] where it does not fit this schema.
pub fn insert_rows(
    tx: &mut Tx<'_>,
    name: &str,
    columns: &[String],
    rows: &[Vec<Cell>],
) -> Result<()> {
    let table = table(name).ok_or(Error::Unsupported("a table of another schema"))?;
    let statement = statement(table, columns)?;
    for row in rows {
        if row.len() != columns.len() {
            return Err(Error::Unsupported("a row of another length than its head"));
        }
        let values: Vec<Value<'_>> = row.iter().map(Cell::value).collect();
        tx.execute(statement, &values)?;
    }
    Ok(())
}

type Statements = HashMap<(&'static str, u64), &'static str>;

/// The statement for some columns of a table. There is one of each for the life of the process: columns come in the
/// table's order, so that there cannot be many.
fn statement(table: &'static Table, columns: &[String]) -> Result<&'static str> {
    static MADE: LazyLock<Mutex<Statements>> = LazyLock::new(Mutex::default);
    let (mut mask, mut from) = (0_u64, 0);
    for column in columns {
        let rest = table.columns.iter().skip(from);
        let ahead = rest.take_while(|(ours, _)| ours != column).count();
        from += ahead + 1;
        if from > table.columns.len() {
            return Err(Error::Unsupported("a column of another schema"));
        }
        mask |= 1 << (from - 1);
    }
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(made.entry((table.name, mask)).or_insert_with(|| {
        let (name, list, marks) = (table.name, columns.join(", "), marks(columns.len()));
        Box::leak(format!("INSERT INTO {name} ({list}) VALUES ({marks})").into_boxed_str())
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Db, SqliteOptions};

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn rows_are_read_and_written_and_what_does_not_fit_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open_sqlite(SqliteOptions::new(folder.path().join("db"))).unwrap();
        let row = |name: &str| vec![Cell::Text(name.to_owned()), Cell::Text("v".to_owned())];
        let rows = vec![row("a"), row("b")];
        let insert = move |table: &'static str, columns: Vec<String>, rows: Vec<Vec<Cell>>| {
            db.write_blocking(move |tx| insert_rows(tx, table, &columns, &rows))?;
            db.read_blocking(|tx| {
                let mut all = Vec::new();
                read_table(tx, "settings", |page| {
                    all.extend(page);
                    Ok::<_, Error>(())
                })?;
                Ok::<_, Error>(all)
            })
        };
        let both = strings(&["name", "value"]);
        assert_eq!(
            insert("settings", both.clone(), rows.clone()).unwrap(),
            rows
        );
        for (table, columns, rows) in [
            ("sqlite_master", both.clone(), rows.clone()),
            ("settings", strings(&["value", "name"]), rows.clone()),
            ("settings", strings(&["name", "name"]), rows.clone()),
            ("settings", strings(&["name", "value) --"]), rows.clone()),
            ("settings", strings(&["name"]), rows),
        ] {
            let outcome = insert(table, columns, rows);
            assert!(matches!(outcome, Err(Error::Unsupported(_))), "{outcome:?}");
        }
    }
}
