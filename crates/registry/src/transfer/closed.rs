//! A registry that takes no writes because it is being moved, or was.
//!
//! One row says so to every node. Every transaction of a push or a delete looks at it, so what was acknowledged was either
//! committed before the row, and is copied, or never. While a move is under way the row has an end, in case the move dies. A
//! writer that meets it after its end takes it away in the writer's own transaction: a move that finds its row gone knows
//! that the copy is not complete, whatever the clocks say. At the end of a move the row loses its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use lazuli_db::clock::Clock;
use lazuli_db::{Db, Tx, params};

use crate::{Error, Registry, Result};

/// The row on the side that is left. Statements of writers name it too.
pub(super) const ROW: &str = "moving";
/// How long an answer about the row is remembered, in microseconds. Only for refusing early: transactions always look.
const REMEMBERED_US: i64 = 1_000_000;

/// What the row says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// Which run of a move closed the registry.
    pub holder: String,
    /// Until when, in microseconds since the epoch; `None`: the move is complete.
    pub until: Option<i64>,
    /// Where to, for people.
    pub to: String,
}

impl Closed {
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.splitn(3, ' ');
        let (holder, until) = (words.next()?.to_owned(), words.next()?);
        Some(Self {
            holder,
            until: match until {
                "-" => None,
                number => Some(number.parse().ok()?),
            },
            to: words.next()?.to_owned(),
        })
    }

    fn to_text(&self) -> String {
        let until = self.until.map_or("-".to_owned(), |until| until.to_string());
        format!("{} {until} {}", self.holder, self.to)
    }

    fn has_ended(&self, now: i64) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

fn read(tx: &mut Tx<'_>) -> Result<Option<(String, Closed)>, lazuli_db::Error> {
    let text = tx.query_one(
        "SELECT value FROM closings WHERE name = ?1",
        params![ROW],
        |row| row.get_string(0),
    )?;
    let Some(text) = text else { return Ok(None) };
    let closed = Closed::parse(&text).ok_or(lazuli_db::Error::Corrupt("closings.value"))?;
    Ok(Some((text, closed)))
}

/// What the row says, if it is there and has not ended.
pub async fn state(db: &Db, now: i64) -> Result<Option<Closed>> {
    let found = db.read_one(read).await?;
    Ok(found
        .map(|(_, closed)| closed)
        .filter(|closed| !closed.has_ended(now)))
}

/// The look of a writer, in its transaction. A row that has ended is taken away.
pub(crate) fn check(tx: &mut Tx<'_>, now: i64) -> Result<()> {
    match read(tx)? {
        None => Ok(()),
        Some((_, closed)) if closed.has_ended(now) => {
            remove(tx)?;
            Ok(())
        }
        Some((_, closed)) => Err(Error::Moving {
            is_over: closed.until.is_none(),
        }),
    }
}

fn remove(tx: &mut Tx<'_>) -> Result<u64, lazuli_db::Error> {
    tx.execute("DELETE FROM closings WHERE name = ?1", params![ROW])
}

/// Closes the registry. `false`: another move has it closed, or a move is complete.
pub async fn close(db: &Db, closed: &Closed, now: i64) -> Result<bool> {
    let closed = closed.clone();
    let done = db
        .write(move |tx| {
            if let Some((_, other)) = read(tx)?
                && other.holder != closed.holder
                && !other.has_ended(now)
            {
                return Ok(false);
            }
            let text = closed.to_text();
            tx.execute(
                "INSERT INTO closings (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                params![ROW, text.as_str()],
            )?;
            Ok::<_, lazuli_db::Error>(true)
        })
        .await?;
    Ok(done)
}

/// Gives the row of this run another end, or none. `false`: it is gone, or another run's, or has ended: something may have been
/// written meanwhile, also by somebody who looked at the row before the transaction (an administrator's command).
pub async fn prolong(
    db: &Db,
    clock: &Arc<dyn Clock>,
    holder: &str,
    until: Option<i64>,
) -> Result<bool> {
    let (holder, clock) = (holder.to_owned(), clock.clone());
    let done = db
        .write(move |tx| {
            // Its turn to write may have come late.
            let now = clock.now_us();
            let is_ours = |closed: &Closed| closed.holder == holder && !closed.has_ended(now);
            let Some((text, closed)) = read(tx)?.filter(|(_, closed)| is_ours(closed)) else {
                return Ok(false);
            };
            let new = Closed { until, ..closed }.to_text();
            let changed = tx.execute(
                "UPDATE closings SET value = ?3 WHERE name = ?1 AND value = ?2",
                params![ROW, text.as_str(), new.as_str()],
            )?;
            Ok::<_, lazuli_db::Error>(changed == 1)
        })
        .await?;
    Ok(done)
}

/// Opens the registry for writes, whoever closed it, or only for one run. Returns what the row said.
pub async fn open(db: &Db, holder: Option<&str>) -> Result<Option<Closed>> {
    let holder = holder.map(str::to_owned);
    let found = db
        .write(move |tx| {
            let found = read(tx)?.map(|(_, closed)| closed);
            let is_meant =
                |closed: &Closed| holder.as_ref().is_none_or(|own| *own == closed.holder);
            let found = found.filter(is_meant);
            if found.is_some() {
                remove(tx)?;
            }
            Ok::<_, lazuli_db::Error>(found)
        })
        .await?;
    Ok(found)
}

/// What a process knows of the row, so that clients hear of it before they send much.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    looked_at: AtomicI64,
    is_closed: AtomicBool,
    is_over: AtomicBool,
}

impl Registry {
    /// Refuses when the registry is being moved, as known a second ago at most: for requests that begin something long.
    /// Whatever changes a repository is refused by its own transaction.
    ///
    /// Errors: [`Error::Moving`].
    pub async fn check_open(&self) -> Result<()> {
        let (watch, now) = (&self.inner.closed, self.now());
        let age = now - watch.looked_at.load(Ordering::Acquire);
        if !(0..REMEMBERED_US).contains(&age) {
            let closed = state(&self.inner.db, now).await?;
            let is_over = closed.as_ref().is_some_and(|closed| closed.until.is_none());
            watch.is_over.store(is_over, Ordering::Release);
            watch.is_closed.store(closed.is_some(), Ordering::Release);
            watch.looked_at.store(now, Ordering::Release);
        }
        if watch.is_closed.load(Ordering::Acquire) {
            let is_over = watch.is_over.load(Ordering::Acquire);
            return Err(Error::Moving { is_over });
        }
        Ok(())
    }

    /// Whether it was closed when somebody last looked; a look begins now, for the next who asks.
    pub fn was_closed(&self) -> bool {
        let registry = self.clone();
        // A database that does not answer is told of elsewhere.
        tokio::spawn(async move { registry.check_open().await.is_ok() });
        self.inner.closed.is_closed.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_row_reads_back_and_ends_when_it_says() {
        for until in [None, Some(7)] {
            let closed = Closed {
                holder: "0a".to_owned(),
                until,
                to: "postgres://h/d and s3://b c".to_owned(),
            };
            assert_eq!(Closed::parse(&closed.to_text()).unwrap(), closed);
            assert_eq!(closed.has_ended(7), until.is_some());
            assert!(!closed.has_ended(6));
        }
        for wrong in ["", "a", "a -", "a x b"] {
            assert_eq!(Closed::parse(wrong), None, "{wrong}");
        }
    }
}
