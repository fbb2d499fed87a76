//! One database is made equal to another one, whatever the engines, by writing what differs: a copy of a database at work is
//! brought up to date again and again until little is left.

mod writes;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::copy::{Cell, Table, page};
use crate::{Db, Result};
use writes::{Change, WRITES, Writes};

/// Changes written in one transaction.
const BATCH: usize = 500;

/// What is left as it is on both sides.
#[derive(Debug, Clone, Copy, Default)]
pub struct Exceptions {
    /// Whole tables.
    pub tables: &'static [&'static str],
    /// Rows of a table whose column has this value; `None`: any but NULL.
    pub rows: &'static [(&'static str, &'static str, Option<&'static str>)],
    /// Columns that may differ without being told of by [`compare_rows`]. They are copied with their row.
    pub columns: &'static [(&'static str, &'static str)],
}

/// What became of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Followed {
    /// The table.
    pub table: &'static str,
    /// Its rows in the source, without exceptions.
    pub rows: u64,
    /// Rows of the target that were missing, or other ones; removed rows are among them.
    pub different: u64,
}

/// Makes the rows of `target` those of `source`, table by table and page by page. Both have this program's schema. What is
/// written to the source meanwhile may be missed: the next call finds it. `on_table` is told of each table how many rows it
/// has and how many were looked at.
pub async fn follow_rows(
    source: &Db,
    target: &Db,
    exceptions: &Exceptions,
    on_table: impl FnMut(&'static str, u64, u64) + Send,
) -> Result<Vec<Followed>> {
    walk(source, target, exceptions, true, on_table).await
}

/// Compares every row of two databases, and changes nothing.
pub async fn compare_rows(
    source: &Db,
    target: &Db,
    exceptions: &Exceptions,
    on_table: impl FnMut(&'static str, u64, u64) + Send,
) -> Result<Vec<Followed>> {
    walk(source, target, exceptions, false, on_table).await
}

async fn walk(
    source: &Db,
    target: &Db,
    exceptions: &Exceptions,
    is_writing: bool,
    mut on_table: impl FnMut(&'static str, u64, u64) + Send,
) -> Result<Vec<Followed>> {
    let mut followed = Vec::new();
    for writes in WRITES.iter() {
        let table = writes.table;
        if exceptions.tables.contains(&table.name) {
            continue;
        }
        let count = table.count;
        let all = source
            .read_one(move |tx| tx.query_one(count, &[], |row| row.get_u64(0)))
            .await?
            .unwrap_or(0);
        on_table(table.name, 0, all);
        let mut walk = Walk {
            writes,
            rules: Rules::new(table, exceptions),
            source: Side::new(source, table),
            target: Side::new(target, table),
            changes: Vec::new(),
            purpose: if is_writing {
                Purpose::Follow
            } else {
                Purpose::Compare
            },
        };
        let mut different = 0;
        if is_writing && writes.is_unique {
            // A row may need a place in an index that another one holds until it is changed itself.
            walk.purpose = Purpose::Clear;
            different = walk.run(|_| {}).await?.1;
            walk.purpose = Purpose::Follow;
            (walk.source, walk.target) = (Side::new(source, table), Side::new(target, table));
        }
        let (rows, others) = walk.run(|done| on_table(table.name, done, all)).await?;
        on_table(table.name, rows, rows);
        followed.push(Followed {
            table: table.name,
            rows,
            different: different.max(others),
        });
    }
    Ok(followed)
}

/// The exceptions of one table, by the places of its columns.
struct Rules {
    rows: Vec<(usize, Option<&'static str>)>,
    columns: Vec<usize>,
}

impl Rules {
    fn new(table: &Table, exceptions: &Exceptions) -> Self {
        let place = |wanted: &str| table.columns.iter().position(|(name, _)| *name == wanted);
        let rows = exceptions.rows.iter().filter(|row| row.0 == table.name);
        let columns = exceptions
            .columns
            .iter()
            .filter(|column| column.0 == table.name);
        Self {
            rows: rows
                .filter_map(|row| Some((place(row.1)?, row.2)))
                .collect(),
            columns: columns.filter_map(|column| place(column.1)).collect(),
        }
    }

    fn leaves_out(&self, row: &[Cell]) -> bool {
        self.rows
            .iter()
            .any(|(place, value)| match (value, &row[*place]) {
                (None, cell) => *cell != Cell::Null,
                (Some(value), Cell::Text(text)) => text == value,
                _ => false,
            })
    }

    fn are_equal(&self, one: &[Cell], other: &[Cell], purpose: Purpose) -> bool {
        if purpose != Purpose::Compare || self.columns.is_empty() {
            return one == other;
        }
        let mut cells = one.iter().zip(other).enumerate();
        cells.all(|(place, (one, other))| one == other || self.columns.contains(&place))
    }
}

/// The rows of a table, in the order of its key.
struct Side {
    db: Db,
    table: &'static Table,
    rows: VecDeque<Vec<Cell>>,
    last: Option<Vec<Cell>>,
    is_over: bool,
}

impl Side {
    fn new(db: &Db, table: &'static Table) -> Self {
        Self {
            db: db.clone(),
            table,
            rows: VecDeque::new(),
            last: None,
            is_over: false,
        }
    }

    async fn fill(&mut self, rules: &Rules) -> Result<()> {
        while self.rows.is_empty() && !self.is_over {
            let (table, last) = (self.table, self.last.clone());
            let rows = self
                .db
                .read_one(move |tx| page(tx, table, last.as_deref()))
                .await?;
            let Some(end) = rows.last() else {
                self.is_over = true;
                return Ok(());
            };
            self.last = Some(table.key.iter().map(|place| end[*place].clone()).collect());
            self.rows
                .extend(rows.into_iter().filter(|row| !rules.leaves_out(row)));
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// Rows of the target that are other ones are removed.
    Clear,
    /// The target becomes equal.
    Follow,
    Compare,
}

/// The row of either side, or of both.
type Pair = (Option<Vec<Cell>>, Option<Vec<Cell>>);

struct Walk {
    writes: &'static Writes,
    rules: Rules,
    source: Side,
    target: Side,
    changes: Vec<Change>,
    purpose: Purpose,
}

impl Walk {
    /// How many rows the source has, and how many are different.
    async fn run(&mut self, mut on_rows: impl FnMut(u64)) -> Result<(u64, u64)> {
        let (mut rows, mut different) = (0, 0);
        loop {
            let (one, other) =
                tokio::join!(self.source.fill(&self.rules), self.target.fill(&self.rules));
            one?;
            other?;
            while let Some((mine, theirs)) = self.next_pair() {
                rows += u64::from(mine.is_some());
                let change = match (mine, theirs) {
                    (Some(mine), Some(theirs))
                        if self.rules.are_equal(&mine, &theirs, self.purpose) =>
                    {
                        continue;
                    }
                    (None, Some(theirs)) => Some(Change::Remove(theirs)),
                    (Some(_), Some(theirs)) if self.purpose == Purpose::Clear => {
                        Some(Change::Remove(theirs))
                    }
                    (Some(_), None) if self.purpose == Purpose::Clear => None,
                    (Some(mine), _) => Some(Change::Put(mine)),
                    (None, None) => None,
                };
                different += 1;
                if self.purpose != Purpose::Compare {
                    self.changes.extend(change);
                }
            }
            if self.changes.len() >= BATCH {
                self.write().await?;
            }
            on_rows(rows);
            if self.source.is_over && self.target.is_over && self.is_drained() {
                break;
            }
        }
        self.write().await?;
        Ok((rows, different))
    }

    fn is_drained(&self) -> bool {
        self.source.rows.is_empty() && self.target.rows.is_empty()
    }

    /// The next row of either side, or of both if they have the same key; `None` when a page has to be read first.
    fn next_pair(&mut self) -> Option<Pair> {
        let order = match (self.source.rows.front(), self.target.rows.front()) {
            (Some(mine), Some(theirs)) => self.writes.key(mine).cmp(&self.writes.key(theirs)),
            (Some(_), None) if self.target.is_over => std::cmp::Ordering::Less,
            (None, Some(_)) if self.source.is_over => std::cmp::Ordering::Greater,
            _ => return None,
        };
        let mine = order.is_le().then(|| self.source.rows.pop_front());
        let theirs = order.is_ge().then(|| self.target.rows.pop_front());
        Some((mine.flatten(), theirs.flatten()))
    }

    async fn write(&mut self) -> Result<()> {
        if self.changes.is_empty() {
            return Ok(());
        }
        let (writes, changes) = (self.writes, Arc::new(std::mem::take(&mut self.changes)));
        self.target
            .db
            .write(move |tx| writes.apply(tx, &changes))
            .await
    }
}
