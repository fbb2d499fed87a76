//! Statements on `blob_intervals` and `transfers`.

use lazuli_db::{Error, Tx};

use super::transfers::Count;
use super::{Interval, Sum, Window};
use crate::retention::{BY_DAY, BY_MONTH, DAY_US, digits, next_month};

/// Rows read at a time.
const PAGE: i64 = 1000;

/// An interval that begins where another did (unlinked and linked again within a microsecond) extends it.
pub(super) fn close_interval(
    tx: &mut Tx<'_>,
    repository: i64,
    digest: &[u8],
    now: i64,
) -> Result<(), Error> {
    tx.send(
        "INSERT INTO blob_intervals (registry_id, repository_id, digest, from_at, to_at, size) \
         SELECT registry_id, repository_id, digest, linked_at, ?3, size FROM repository_blobs \
         WHERE repository_id = ?1 AND digest = ?2 AND linked_at < ?3 \
         ON CONFLICT (registry_id, repository_id, digest, from_at) DO UPDATE SET to_at = excluded.to_at \
         WHERE blob_intervals.to_at < excluded.to_at",
        &[repository.into(), digest.into(), now.into()],
    )
}

/// Calls `each` for every interval of a repository that touches the window, in bounded pages.
pub(super) fn each_interval(
    tx: &mut Tx<'_>,
    registry: i64,
    repository: i64,
    window: Window,
    mut each: impl FnMut(&Interval),
) -> Result<(), Error> {
    let mut after: (Vec<u8>, i64) = (Vec::new(), i64::MIN);
    loop {
        let page = tx.query(
            "SELECT digest, from_at, to_at, size FROM blob_intervals WHERE registry_id = ?1 AND repository_id = ?2 \
             AND (digest, from_at) > (?3, ?4) AND to_at > ?5 AND from_at < ?6 ORDER BY digest, from_at LIMIT ?7",
            &[
                registry.into(),
                repository.into(),
                (&after.0).into(),
                after.1.into(),
                window.from.into(),
                window.to.into(),
                PAGE.into(),
            ],
            |row| {
                let interval = Interval { from: row.get_i64(1)?, to: Some(row.get_i64(2)?), size: row.get_i64(3)? };
                Ok((row.get_bytes(0)?, interval))
            },
        )?;
        for (_, interval) in &page {
            each(interval);
        }
        match page.into_iter().last() {
            Some((digest, interval)) => after = (digest, interval.from),
            None => break,
        }
    }
    let mut after = Vec::new();
    loop {
        let page = tx.query(
            "SELECT digest, linked_at, size FROM repository_blobs WHERE repository_id = ?1 AND digest > ?2 \
             ORDER BY digest LIMIT ?3",
            &[repository.into(), (&after).into(), PAGE.into()],
            |row| Ok((row.get_bytes(0)?, Interval { from: row.get_i64(1)?, to: None, size: row.get_i64(2)? })),
        )?;
        for (_, interval) in &page {
            each(interval);
        }
        match page.into_iter().last() {
            Some((digest, _)) => after = digest,
            None => return Ok(()),
        }
    }
}

/// Calls `each` for every sum of a repository that touches the window.
pub(super) fn each_sum(
    tx: &mut Tx<'_>,
    registry: i64,
    repository: i64,
    window: Window,
    mut each: impl FnMut(&Sum),
) -> Result<(), Error> {
    let last = window.to.saturating_sub(1).div_euclid(DAY_US);
    for (span, longest) in [(BY_DAY, 1), (BY_MONTH, 31)] {
        let mut from = window.from.div_euclid(DAY_US).saturating_sub(longest);
        loop {
            let page = tx.query(
                "SELECT day, byte_microseconds FROM storage_sums WHERE registry_id = ?1 AND span = ?2 AND day >= ?3 \
                 AND day <= ?4 AND repository_id = ?5 ORDER BY day LIMIT ?6",
                &[
                    registry.into(),
                    span.into(),
                    from.into(),
                    last.into(),
                    repository.into(),
                    PAGE.into(),
                ],
                |row| Ok((row.get_i64(0)?, digits(row.get_text(1)?)?)),
            )?;
            let Some((newest, _)) = page.last() else {
                break;
            };
            from = newest + 1;
            for (day, byte_microseconds) in page {
                let end = if span == BY_DAY {
                    day + 1
                } else {
                    next_month(day)
                };
                each(&Sum {
                    span: Window {
                        from: day * DAY_US,
                        to: end * DAY_US,
                    },
                    byte_microseconds,
                });
            }
        }
    }
    Ok(())
}

pub(super) fn add_transfers(tx: &mut Tx<'_>, hour: i64, count: &Count) -> Result<(), Error> {
    tx.send(
        "INSERT INTO transfers (registry_id, span, hour, repository, meter, events, bytes) VALUES (?1, 0, ?2, ?3, ?4, ?5, ?6) \
         ON CONFLICT (registry_id, span, hour, repository, meter) DO UPDATE \
         SET events = transfers.events + excluded.events, bytes = transfers.bytes + excluded.bytes",
        &[
            count.registry.into(),
            hour.into(),
            count.repository.as_ref().map_or("", |name| name.as_str()).into(),
            count.meter.as_str().into(),
            count.events.into(),
            count.bytes.into(),
        ],
    )
}
