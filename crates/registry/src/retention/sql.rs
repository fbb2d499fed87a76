//! Retention's statements.

use lazuli_db::{Error, Tx};
use lazuli_wire::oci::Tag;

use super::calendar::{DAY, HOURS};
use super::log::{self, Reader};
use super::usage::{BY_DAY, BY_HOUR, day_of, month_of};
use super::{Retention, Step};
use crate::operations::{self, Operation};

/// Whether there is anything to do: looks at few rows, by an index.
pub(super) fn is_due(
    tx: &mut Tx<'_>,
    step: Step,
    retention: &Retention,
    now: i64,
) -> Result<bool, Error> {
    let since = |age| now.saturating_sub(crate::gc::micros(age));
    let hours = since(retention.usage_hours);
    let days = since(retention.usage_days);
    match step {
        Step::Operations => is_log_due(tx, since(retention.operations), retention.newest),
        Step::Intervals => {
            let found = tx.query_one(
                "SELECT to_at FROM blob_intervals WHERE to_at < ?1 LIMIT 1",
                &[(day_of(hours) * DAY).into()],
                |row| row.get_i64(0),
            )?;
            Ok(found.is_some())
        }
        Step::Hours => has_transfers(tx, BY_HOUR, day_of(hours) * HOURS),
        Step::Days => has_transfers(tx, BY_DAY, month_of(days) * HOURS),
        Step::StoredDays => {
            for registry in registries(tx)? {
                if !stored(tx, registry, BY_DAY, month_of(days), 1)?.is_empty() {
                    return Ok(true);
                }
            }
            Ok(false)
        }
    }
}

fn is_log_due(tx: &mut Tx<'_>, cutoff: i64, keep: u32) -> Result<bool, Error> {
    for (origin, newest) in origins(tx)? {
        let next = floor(tx, origin)? + 1;
        if next <= log::end(tx, origin, newest, keep)?
            && created_at(tx, origin, next)?.is_some_and(|made| made < cutoff)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

fn has_transfers(tx: &mut Tx<'_>, span: i64, end: i64) -> Result<bool, Error> {
    for registry in registries(tx)? {
        if !transfers(tx, registry, span, end, 1)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(super) fn registries(tx: &mut Tx<'_>) -> Result<Vec<i64>, Error> {
    tx.query("SELECT id FROM registries ORDER BY id", &[], |row| {
        row.get_i64(0)
    })
}

/// Each origin with its newest number.
pub(super) fn origins(tx: &mut Tx<'_>) -> Result<Vec<(i64, i64)>, Error> {
    tx.query(
        "SELECT origin, sequence FROM origins ORDER BY origin",
        &[],
        |row| Ok((row.get_i64(0)?, row.get_i64(1)?)),
    )
}

/// The last operation that was removed; 0: none was.
pub(super) fn floor(tx: &mut Tx<'_>, origin: i64) -> Result<i64, Error> {
    let floor = tx.query_one(
        "SELECT sequence FROM log_floors WHERE origin = ?1",
        &[origin.into()],
        |row| row.get_i64(0),
    )?;
    Ok(floor.unwrap_or(0))
}

pub(super) fn set_floor(tx: &mut Tx<'_>, origin: i64, sequence: i64) -> Result<(), Error> {
    tx.execute(
        "INSERT INTO log_floors (origin, sequence) VALUES (?1, ?2) \
         ON CONFLICT (origin) DO UPDATE SET sequence = excluded.sequence",
        &[origin.into(), sequence.into()],
    )
    .map(drop)
}

/// Readers on record, the last one first.
pub(super) fn readers(tx: &mut Tx<'_>, origin: i64) -> Result<Vec<Reader>, Error> {
    tx.query(
        "SELECT reader, sequence FROM log_cursors WHERE origin = ?1 ORDER BY sequence, reader",
        &[origin.into()],
        |row| {
            Ok(Reader {
                name: row.get_string(0)?,
                sequence: row.get_i64(1)?,
            })
        },
    )
}

/// When an operation was made.
pub(super) fn created_at(
    tx: &mut Tx<'_>,
    origin: i64,
    sequence: i64,
) -> Result<Option<i64>, Error> {
    tx.query_one(
        "SELECT created_at FROM operations WHERE origin = ?1 AND sequence = ?2",
        &[origin.into(), sequence.into()],
        |row| row.get_i64(0),
    )
}

/// An operation, as far as it matters here.
pub(super) struct Made {
    pub(super) sequence: i64,
    pub(super) hlc: i64,
    pub(super) registry: i64,
    pub(super) repository: Option<String>,
    /// `None`: this version cannot read it.
    pub(super) operation: Option<Operation>,
    pub(super) created_at: i64,
}

pub(super) fn operations(
    tx: &mut Tx<'_>,
    origin: i64,
    after: i64,
    end: i64,
    limit: u32,
) -> Result<Vec<Made>, Error> {
    tx.query(
        "SELECT sequence, hlc, registry_id, repository, kind, payload, created_at FROM operations \
         WHERE origin = ?1 AND sequence > ?2 AND sequence <= ?3 ORDER BY sequence LIMIT ?4",
        &[origin.into(), after.into(), end.into(), limit.into()],
        |row| {
            Ok(Made {
                sequence: row.get_i64(0)?,
                hlc: row.get_i64(1)?,
                registry: row.get_i64(2)?,
                repository: row.get_string_opt(3)?,
                operation: operations::decode(row.get_text(4)?, row.get_text(5)?, None).ok(),
                created_at: row.get_i64(6)?,
            })
        },
    )
}

pub(super) fn remove_operations(
    tx: &mut Tx<'_>,
    origin: i64,
    after: i64,
    last: i64,
) -> Result<u64, Error> {
    tx.execute(
        "DELETE FROM operations WHERE origin = ?1 AND sequence > ?2 AND sequence <= ?3",
        &[origin.into(), after.into(), last.into()],
    )
}

/// Removes a tag's versions up to a clock reading, but for the newest one if it names something.
pub(super) fn forget_versions(
    tx: &mut Tx<'_>,
    repository: i64,
    tag: &Tag,
    until: i64,
) -> Result<u64, Error> {
    tx.execute(
        "DELETE FROM tag_versions WHERE repository_id = ?1 AND name = ?2 AND hlc <= ?3 AND (digest IS NULL OR EXISTS \
         (SELECT 1 FROM tag_versions newer WHERE newer.repository_id = ?1 AND newer.name = ?2 \
          AND (newer.hlc, newer.origin) > (tag_versions.hlc, tag_versions.origin)))",
        &[repository.into(), tag.as_str().into(), until.into()],
    )
}

/// A closed interval.
pub(super) struct Closed {
    pub(super) registry: i64,
    pub(super) repository: i64,
    digest: Vec<u8>,
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) size: i64,
}

pub(super) fn closed_intervals(
    tx: &mut Tx<'_>,
    end: i64,
    limit: u32,
) -> Result<Vec<Closed>, Error> {
    tx.query(
        "SELECT registry_id, repository_id, digest, from_at, to_at, size FROM blob_intervals WHERE to_at < ?1 \
         ORDER BY to_at LIMIT ?2",
        &[end.into(), limit.into()],
        |row| {
            Ok(Closed {
                registry: row.get_i64(0)?,
                repository: row.get_i64(1)?,
                digest: row.get_bytes(2)?,
                from: row.get_i64(3)?,
                to: row.get_i64(4)?,
                size: row.get_i64(5)?,
            })
        },
    )
}

pub(super) fn remove_interval(tx: &mut Tx<'_>, closed: &Closed) -> Result<u64, Error> {
    tx.execute(
        "DELETE FROM blob_intervals WHERE registry_id = ?1 AND repository_id = ?2 AND digest = ?3 AND from_at = ?4",
        &[
            closed.registry.into(),
            closed.repository.into(),
            (&closed.digest).into(),
            closed.from.into(),
        ],
    )
}

/// Adds to what a repository stored in a span of days.
pub(super) fn add_stored(
    tx: &mut Tx<'_>,
    registry: i64,
    repository: i64,
    (span, day): (i64, i64),
    sum: i128,
) -> Result<(), Error> {
    let key = [registry.into(), span.into(), day.into(), repository.into()];
    let before = tx.query_one(
        "SELECT byte_microseconds FROM storage_sums WHERE registry_id = ?1 AND span = ?2 AND day = ?3 AND repository_id = ?4",
        &key,
        |row| digits(row.get_text(0)?),
    )?;
    let text = before.unwrap_or(0).saturating_add(sum).to_string();
    let [a, b, c, d] = key;
    tx.execute(
        "INSERT INTO storage_sums (registry_id, span, day, repository_id, byte_microseconds) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT (registry_id, span, day, repository_id) DO UPDATE SET byte_microseconds = excluded.byte_microseconds",
        &[a, b, c, d, (&text).into()],
    )
    .map(drop)
}

pub(crate) fn digits(text: &str) -> Result<i128, Error> {
    text.parse()
        .map_err(|_| Error::Corrupt("storage_sums.byte_microseconds"))
}

/// Sums of spans that begin before a day: first day, repository, bytes times microseconds.
pub(super) fn stored(
    tx: &mut Tx<'_>,
    registry: i64,
    span: i64,
    end: i64,
    limit: u32,
) -> Result<Vec<(i64, i64, i128)>, Error> {
    tx.query(
        "SELECT day, repository_id, byte_microseconds FROM storage_sums WHERE registry_id = ?1 AND span = ?2 AND day < ?3 \
         ORDER BY day, repository_id LIMIT ?4",
        &[registry.into(), span.into(), end.into(), limit.into()],
        |row| Ok((row.get_i64(0)?, row.get_i64(1)?, digits(row.get_text(2)?)?)),
    )
}

pub(super) fn remove_stored(
    tx: &mut Tx<'_>,
    registry: i64,
    repository: i64,
    (span, day): (i64, i64),
) -> Result<u64, Error> {
    tx.execute(
        "DELETE FROM storage_sums WHERE registry_id = ?1 AND span = ?2 AND day = ?3 AND repository_id = ?4",
        &[registry.into(), span.into(), day.into(), repository.into()],
    )
}

/// A row of `transfers`.
pub(super) struct Count {
    pub(super) hour: i64,
    pub(super) repository: String,
    pub(super) meter: String,
    pub(super) events: i64,
    pub(super) bytes: i64,
}

pub(super) fn transfers(
    tx: &mut Tx<'_>,
    registry: i64,
    span: i64,
    end: i64,
    limit: u32,
) -> Result<Vec<Count>, Error> {
    tx.query(
        "SELECT hour, repository, meter, events, bytes FROM transfers WHERE registry_id = ?1 AND span = ?2 AND hour < ?3 \
         ORDER BY hour, repository, meter LIMIT ?4",
        &[registry.into(), span.into(), end.into(), limit.into()],
        |row| {
            Ok(Count {
                hour: row.get_i64(0)?,
                repository: row.get_string(1)?,
                meter: row.get_string(2)?,
                events: row.get_i64(3)?,
                bytes: row.get_i64(4)?,
            })
        },
    )
}

pub(super) fn remove_transfers(
    tx: &mut Tx<'_>,
    registry: i64,
    span: i64,
    count: &Count,
) -> Result<u64, Error> {
    tx.execute(
        "DELETE FROM transfers WHERE registry_id = ?1 AND span = ?2 AND hour = ?3 AND repository = ?4 AND meter = ?5",
        &[
            registry.into(),
            span.into(),
            count.hour.into(),
            (&count.repository).into(),
            (&count.meter).into(),
        ],
    )
}

/// Adds to a row, or makes it. Sums stop at the largest number there is.
pub(super) fn add_transfers(
    tx: &mut Tx<'_>,
    registry: i64,
    span: i64,
    count: &Count,
) -> Result<(), Error> {
    let before = tx.query_one(
        "SELECT events, bytes FROM transfers \
         WHERE registry_id = ?1 AND span = ?2 AND hour = ?3 AND repository = ?4 AND meter = ?5",
        &[
            registry.into(),
            span.into(),
            count.hour.into(),
            (&count.repository).into(),
            (&count.meter).into(),
        ],
        |row| Ok((row.get_i64(0)?, row.get_i64(1)?)),
    )?;
    let (events, bytes) = before.unwrap_or_default();
    tx.execute(
        "INSERT INTO transfers (registry_id, span, hour, repository, meter, events, bytes) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
         ON CONFLICT (registry_id, span, hour, repository, meter) DO UPDATE SET events = excluded.events, bytes = excluded.bytes",
        &[
            registry.into(),
            span.into(),
            count.hour.into(),
            (&count.repository).into(),
            (&count.meter).into(),
            events.saturating_add(count.events).into(),
            bytes.saturating_add(count.bytes).into(),
        ],
    )
    .map(drop)
}
