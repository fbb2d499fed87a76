//! Reading the log: numbered operations, in order, from a cursor.

use std::sync::Arc;
use std::time::Duration;

use lazuli_db::{Error, Tx};

use super::{Log, Operation, OperationId, PayloadError, sql};

/// How often a waiting reader looks without having been woken (operations numbered by another node).
const POLL: Duration = Duration::from_secs(1);

/// A place in one origin's operations: the sequence number of the last one read, 0 before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cursor {
    /// Whose operations.
    pub origin: u16,
    /// The last one read.
    pub sequence: i64,
}

/// A numbered operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its identifier.
    pub id: OperationId,
    /// Its number, gapless within its origin, from 1.
    pub sequence: i64,
    /// The registry it belongs to.
    pub registry_id: i64,
    /// The repository's name; `None` for changes of the registry.
    pub repository: Option<String>,
    /// The change.
    pub operation: Operation,
    /// Who made it.
    pub principal: String,
    /// In which request.
    pub request_id: String,
    /// When, in microseconds since the epoch, by the origin's clock.
    pub created_at: i64,
}

/// Why the log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] Error),
    /// An operation is not readable.
    #[error("operation {id}: {source}")]
    Payload {
        /// Which one.
        id: OperationId,
        /// Why.
        source: PayloadError,
    },
    /// The cursor points before the oldest operation kept: the reader has to start afresh.
    #[error("operations of origin {origin} between {after} and {found} are no longer kept")]
    Gap {
        /// Whose operations.
        origin: u16,
        /// The last one read.
        after: i64,
        /// The next one there is.
        found: i64,
    },
}

impl Log {
    /// Up to `limit` operations after the cursor, in order. Empty when there are none yet.
    pub async fn read_from(&self, cursor: Cursor, limit: u32) -> Result<Vec<Entry>, ReadError> {
        let entries = self
            .db
            .read(move |tx| sql::entries_after(tx, cursor, limit))
            .await?;
        for (expected, entry) in (cursor.sequence + 1..).zip(&entries) {
            if entry.sequence != expected {
                return Err(ReadError::Gap {
                    origin: cursor.origin,
                    after: expected - 1,
                    found: entry.sequence,
                });
            }
        }
        Ok(entries)
    }

    /// The newest numbered operation of this log's origin; 0 before the first.
    pub async fn newest_sequence(&self) -> Result<i64, Error> {
        let origin = self.origin;
        self.db.read(move |tx| sql::last_sequence(tx, origin)).await
    }
}

/// A named reader of this log's origin whose place is kept in the database.
///
/// Delivers in order, at least once: after a crash it begins again after the last [`LogReader::advance`] that was kept.
pub struct LogReader {
    log: Arc<Log>,
    name: Arc<str>,
    cursor: Cursor,
}

impl LogReader {
    /// Continues where the reader of this name stopped, or begins with the first operation.
    pub async fn open(log: &Arc<Log>, name: &str) -> Result<Self, Error> {
        let name: Arc<str> = name.into();
        let origin = log.origin;
        let wanted = Arc::clone(&name);
        let sequence = log
            .db
            .read(move |tx| sql::cursor(tx, &wanted, origin))
            .await?
            .unwrap_or(0);
        Ok(Self {
            log: Arc::clone(log),
            name,
            cursor: Cursor { origin, sequence },
        })
    }

    /// The last operation this reader is done with.
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// Waits for operations and returns up to `limit` of them. Until [`LogReader::advance`] the same come again.
    pub async fn next(&self, limit: u32) -> Result<Vec<Entry>, ReadError> {
        loop {
            let woken = self.log.numbered.notified();
            tokio::pin!(woken);
            woken.as_mut().enable(); // before looking, so that nothing numbered in between is missed
            let entries = self.log.read_from(self.cursor, limit).await?;
            if !entries.is_empty() {
                return Ok(entries);
            }
            let _ = tokio::time::timeout(POLL, woken).await;
        }
    }

    /// Remembers that everything up to `entry` is done. Lost at power failure at worst, then it is delivered again.
    pub async fn advance(&mut self, entry: &Entry) -> Result<(), Error> {
        let (name, cursor) = (
            Arc::clone(&self.name),
            Cursor {
                sequence: entry.sequence,
                ..self.cursor
            },
        );
        self.log
            .db
            .write_relaxed(move |tx| store_cursor(tx, &name, cursor))
            .await?;
        self.cursor = cursor;
        Ok(())
    }
}

/// Moves a reader's place inside the reader's own transaction, so that its effect in the database happens exactly once.
/// Never moves back.
pub fn store_cursor(tx: &mut Tx<'_>, reader: &str, cursor: Cursor) -> Result<(), Error> {
    sql::store_cursor(tx, reader, cursor)
}
