//! Metering: how long which bytes were stored in which repository, and what was transferred. Integers only.
//!
//! A blob's membership of a repository is an interval: open while the row in `repository_blobs` exists (it begins at
//! `linked_at`), closed into `blob_intervals` by the transaction that removes the row. Bytes times microseconds is i128:
//! 40 TiB for a month do not fit in 64 bits.
//!
//! Transfers are counted in memory and added to hourly rows every few seconds; what was not yet written is lost when
//! the process is killed. They are statistics, not acknowledgements.

mod sql;
mod transfers;

use lazuli_db::{Error, Tx};

pub use transfers::{Meter, Transfers};

/// A half-open span of time, in microseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// First microsecond.
    pub from: i64,
    /// The microsecond after the last.
    pub to: i64,
}

/// A blob in a repository for some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// When it was linked.
    pub from: i64,
    /// When it was unlinked; `None`: it is still there.
    pub to: Option<i64>,
    /// Length of the blob in bytes.
    pub size: i64,
}

impl Interval {
    /// Bytes times the microseconds that fall into the window. Never negative.
    pub fn byte_microseconds(&self, window: Window) -> i128 {
        let from = self.from.max(window.from);
        let to = self.to.map_or(window.to, |to| to.min(window.to));
        i128::from(self.size) * (i128::from(to) - i128::from(from)).max(0)
    }
}

/// Ends the open interval of a blob in a repository, in the transaction that removes the row. Does nothing if there
/// is none, or if it has no length.
pub(crate) fn close_interval(
    tx: &mut Tx<'_>,
    repository: i64,
    digest: &[u8],
    now: i64,
) -> Result<(), Error> {
    sql::close_interval(tx, repository, digest, now)
}

/// Bytes times microseconds summed up over a span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) span: Window,
    pub(crate) byte_microseconds: i128,
}

impl Sum {
    /// The part of the sum that falls into the window, as if it was even over its span; exact if the span is inside.
    fn within(&self, window: Window) -> i128 {
        let from = self.span.from.max(window.from);
        let common = i128::from(self.span.to.min(window.to)) - i128::from(from);
        let length = (i128::from(self.span.to) - i128::from(self.span.from)).max(1);
        // The quotient first: the product would not fit.
        let (each, rest) = (
            self.byte_microseconds / length,
            self.byte_microseconds % length,
        );
        let common = common.clamp(0, length);
        each * common + rest * common / length
    }
}

/// Bytes times microseconds stored by a repository (its holder) in a window: closed and open intervals, each link counted
/// once. What ended so long ago that it was summed up is exact for windows of whole days, and later of whole months (UTC).
pub fn stored(
    tx: &mut Tx<'_>,
    registry: i64,
    repository: i64,
    window: Window,
) -> Result<i128, Error> {
    let mut total = 0;
    sql::each_interval(tx, registry, repository, window, |interval| {
        total += interval.byte_microseconds(window);
    })?;
    sql::each_sum(tx, registry, repository, window, |sum| {
        total += sum.within(window);
    })?;
    Ok(total)
}

#[cfg(test)]
mod tests;
