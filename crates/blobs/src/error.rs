//! What can go wrong with stored bytes.

use std::fmt;
use std::io;

/// An operation on the disk, named in errors and counted by fault injection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Create or truncate a file.
    Create,
    /// Open an existing file for reading or writing.
    Open,
    /// Positioned read.
    Read,
    /// Positioned, gathered write.
    Write,
    /// Change of a file's length.
    SetLength,
    /// Ask the kernel to begin writing dirty pages and forget clean ones, without waiting.
    WriteBack,
    /// `fdatasync`: wait until a file's bytes and length are durable.
    SyncData,
    /// `rename` within the file system.
    Rename,
    /// `fsync` of a directory: wait until its entries are durable.
    SyncDirectory,
    /// Create a directory.
    MakeDirectory,
    /// Remove a file.
    Unlink,
    /// Length and times of a file.
    Stat,
    /// Free space of the file system.
    FileSystemStat,
    /// Read a directory.
    List,
}

impl Operation {
    /// Every operation, in the order of declaration.
    pub const ALL: [Self; 14] = [
        Self::Create,
        Self::Open,
        Self::Read,
        Self::Write,
        Self::SetLength,
        Self::WriteBack,
        Self::SyncData,
        Self::Rename,
        Self::SyncDirectory,
        Self::MakeDirectory,
        Self::Unlink,
        Self::Stat,
        Self::FileSystemStat,
        Self::List,
    ];

    /// The words used in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create file",
            Self::Open => "open file",
            Self::Read => "read",
            Self::Write => "write",
            Self::SetLength => "set length",
            Self::WriteBack => "write back",
            Self::SyncData => "sync data",
            Self::Rename => "rename",
            Self::SyncDirectory => "sync directory",
            Self::MakeDirectory => "make directory",
            Self::Unlink => "remove file",
            Self::Stat => "stat",
            Self::FileSystemStat => "stat file system",
            Self::List => "list directory",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why the store refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such blob or upload.
    #[error("no such blob or upload")]
    NotFound,
    /// The stored length is not the one on record: the file was cut, or bytes of the upload were lost in a crash.
    #[error("stored bytes are damaged: {found} bytes where {expected} are on record")]
    Damaged {
        /// Length on record, in bytes.
        expected: u64,
        /// Length found, in bytes.
        found: u64,
    },
    /// The disk, or what may be used of it, is full. Nothing was acknowledged; the upload can go on from its last
    /// reported offset once there is room.
    #[error("out of disk space")]
    OutOfSpace,
    /// Writes are refused until a restart, because the disk failed repeatedly. Reads and removals go on.
    #[error("the blob store is read-only after repeated disk errors")]
    ReadOnly,
    /// A sync of this upload failed, so its bytes can never be called durable; only aborting it is left.
    #[error("the upload is lost: a sync to disk failed")]
    Poisoned,
    /// The upload is in use by another request.
    #[error("the upload is in use by another request")]
    Busy,
    /// Too much is being received at the same time; later there is room again.
    #[error("too many uploads at the same time")]
    Overloaded,
    /// The prefix cannot be part of a location.
    #[error(transparent)]
    Location(#[from] crate::LocationError),
    /// The object store did not do what was asked, after all attempts.
    #[error("the object store failed to {what}: {message}")]
    ObjectStore {
        /// What was being done.
        what: &'static str,
        /// Whether it says that it was not allowed: credentials or rights are wrong.
        is_refused: bool,
        /// What it said.
        message: String,
    },
    /// Any other failure of the file system.
    #[error("{op} failed: {source}")]
    Io {
        /// What was being done.
        op: Operation,
        /// The operating system's answer.
        source: io::Error,
    },
}

impl Error {
    /// Whether freeing disk space would help.
    pub fn is_out_of_space(&self) -> bool {
        matches!(self, Self::OutOfSpace)
    }

    /// Sorts an operating system's error: a full disk and a missing file have variants of their own.
    pub(crate) fn io(op: Operation, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Self::OutOfSpace,
            // The file system gave up; so does the store (`Health`).
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly,
            // Elsewhere a missing name is a missing directory, which no client could have asked for.
            io::ErrorKind::NotFound if matches!(op, Operation::Open | Operation::Stat) => {
                Self::NotFound
            }
            _ => Self::Io { op, source },
        }
    }
}
