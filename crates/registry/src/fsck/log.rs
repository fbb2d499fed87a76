//! The operation log, and rows of things that are no more.

use super::{Checker, Finding, sql};
use crate::Result;
use crate::operations::{Cursor, ReadError};

const PAGE: u32 = 500;

impl Checker<'_> {
    /// Every origin's operations are numbered without a gap, from the first that is kept on, and readable.
    pub(super) async fn check_log(&mut self) -> Result<()> {
        for origin in self.registry.inner.db.read(sql::origins).await? {
            self.summary.operations += origin.numbered;
            let (first, last) = origin.range;
            // The newest always stay, so that a log is never empty again.
            let expected = u64::try_from(last - origin.floor).unwrap_or(0);
            if origin.numbered != expected || first != origin.floor + 1 || last != origin.recorded {
                let sql::Origin {
                    number: origin,
                    numbered,
                    range,
                    recorded,
                    floor,
                } = origin;
                self.report(Finding::LogHasGap {
                    origin,
                    numbered,
                    range,
                    recorded,
                    floor,
                })
                .await?;
            }
            let Ok(number) = u16::try_from(origin.number) else {
                continue;
            };
            self.check_operations(Cursor {
                origin: number,
                sequence: first - 1,
            })
            .await?;
        }
        Ok(())
    }

    async fn check_operations(&mut self, mut cursor: Cursor) -> Result<()> {
        let mut limit = PAGE;
        loop {
            match self.registry.inner.log.read_from(cursor, limit).await {
                Ok(entries) => match entries.last() {
                    Some(last) => (cursor.sequence, limit) = (last.sequence, PAGE),
                    None => return Ok(()),
                },
                // One at a time until the one that is meant is passed.
                Err(ReadError::Payload { .. }) if limit > 1 => limit = 1,
                Err(ReadError::Payload { id, source }) => {
                    cursor.sequence += 1;
                    let problem = format!("{id}: {source}");
                    self.report(Finding::OperationUnreadable {
                        sequence: cursor.sequence,
                        problem,
                    })
                    .await?;
                }
                Err(ReadError::Gap { found, .. }) => cursor.sequence = found - 1,
                Err(ReadError::Database(error)) => return Err(error.into()),
            }
        }
    }

    pub(super) async fn check_dangling_rows(&mut self) -> Result<()> {
        for table in sql::DEPENDENT_TABLES {
            let count = self
                .registry
                .inner
                .db
                .read(move |tx| sql::dangling(tx, table))
                .await?;
            if count > 0 {
                self.report(Finding::DanglingRows { table, count }).await?;
            }
        }
        let count = self
            .registry
            .inner
            .db
            .read(sql::manifests_without_repository)
            .await?;
        if count > 0 {
            self.report(Finding::ManifestsWithoutRepository { count })
                .await?;
        }
        Ok(())
    }
}
