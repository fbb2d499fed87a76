//! What can go wrong between a caller and the database.

use std::sync::Arc;

/// Why a transaction did not happen.
///
/// Cheap to clone: when a commit fails, every caller of the batch gets the same error.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Concurrent transactions kept colliding until the retries were used up. Nothing was changed.
    #[error("the transaction collided with others too often")]
    Conflict,
    /// A row with the same key exists. The text is the engine's and only for logs.
    #[error("unique constraint: {0}")]
    Unique(Arc<str>),
    /// Another constraint (NOT NULL, foreign key, type) refused the row. The text is the engine's and only for logs.
    #[error("constraint: {0}")]
    Constraint(Arc<str>),
    /// Too many transactions are waiting, or another process held the lock for too long. Try again later.
    #[error("the database is busy")]
    Busy,
    /// No space is left, on the disk or under the configured limit. Nothing was changed.
    #[error("the database is full: {0}")]
    Full(Arc<str>),
    /// Reading or writing the disk failed. After such an error at a commit the database stays read-only.
    #[error("database I/O error: {0}")]
    Io(Arc<str>),
    /// A commit failed in a way after which writing on would risk what was acknowledged before. Reads go on; a restart
    /// recovers.
    #[error("the database is read-only until it is restarted, because a write to its disk failed")]
    ReadOnly,
    /// The database server cannot be reached.
    #[error("the database is not reachable: {0}")]
    Unavailable(Arc<str>),
    /// The connection broke while the commit was under way: the transaction happened or did not.
    #[error("the connection broke during the commit; whether the transaction happened is unknown")]
    OutcomeUnknown,
    /// The closure panicked. Nothing was changed.
    #[error("a transaction panicked")]
    Panicked,
    /// The database was closed.
    #[error("the database is closed")]
    Closed,
    /// A stored value is not what the program writes there: `table.column`.
    #[error("a stored value is not valid: {0}")]
    Corrupt(&'static str),
    /// A parameter cannot be stored: an integer beyond 63 bits or text with a NUL byte.
    #[error("a parameter cannot be stored: {0}")]
    InvalidValue(&'static str),
    /// The schema was made by a newer version of the program.
    #[error(
        "the database has schema version {found}, this program knows versions up to {known}: run the newer program"
    )]
    SchemaTooNew {
        /// The version in the database.
        found: i64,
        /// The newest version this program knows.
        known: i64,
    },
    /// The schema is older than this program's, and was not to be changed.
    #[error(
        "the database has schema version {found}, this program works with version {known}: start a server of this version first, \
         or run the program that the servers run"
    )]
    SchemaTooOld {
        /// The version in the database.
        found: i64,
        /// The version this program works with.
        known: i64,
    },
    /// A migration was applied with another text than this program has.
    #[error(
        "schema migration {version} in the database differs from this program's: they do not belong together"
    )]
    MigrationChanged {
        /// The number of the migration.
        version: i64,
    },
    /// The folder or the server cannot hold this database (network file system, wrong encoding, unusable address, ..).
    #[error("unsuitable database: {0}")]
    Unsuitable(Arc<str>),
    /// The engine does not offer this (for example a backup of a PostgreSQL server by this program).
    #[error("not supported by this database: {0}")]
    Unsupported(&'static str),
    /// Anything else, most often a mistake in a statement.
    #[error("database error: {0}")]
    Other(Arc<str>),
}

impl Error {
    /// Whether space ran out.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full(_))
    }

    /// Whether a row with the same key exists.
    pub fn is_unique(&self) -> bool {
        matches!(self, Self::Unique(_))
    }

    /// Whether the same call may succeed a little later, here or on another node (nothing was changed by this one).
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Conflict | Self::Busy | Self::Unavailable(_) | Self::SchemaTooNew { .. }
        )
    }

    pub(crate) fn other(text: impl Into<Arc<str>>) -> Self {
        Self::Other(text.into())
    }
}

/// The result of a database call.
pub type Result<T, E = Error> = std::result::Result<T, E>;
