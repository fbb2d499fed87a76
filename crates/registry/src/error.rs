//! The outcomes a caller can act on. Surfaces map each one to their own status and body, once.

use lazuli_wire::oci::{Digest, ManifestError};

use crate::attributes::Locked;

/// Why a call on the registry did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such repository in this registry.
    #[error("repository not known to registry")]
    NameUnknown,
    /// The repository holds no manifest of that tag or digest.
    #[error("manifest unknown")]
    ManifestUnknown,
    /// The repository holds no such tag.
    #[error("tag unknown")]
    TagUnknown,
    /// The repository holds no such blob, even if another one does.
    #[error("blob unknown to repository")]
    BlobUnknown,
    /// No such upload session for this repository and principal.
    #[error("upload session unknown")]
    UploadUnknown,
    /// Another request is writing to the same upload session.
    #[error("another request is writing to this upload session")]
    UploadBusy,
    /// A chunk does not begin where the session ends.
    #[error("the chunk must begin at byte {expected}")]
    RangeInvalid {
        /// Where the next chunk has to begin, in bytes.
        expected: u64,
    },
    /// The body's length is not the one announced.
    #[error("{0}")]
    SizeInvalid(&'static str),
    /// The bytes received do not have the digest asked for.
    #[error("the content has digest {}, not {}", .0.actual, .0.expected)]
    DigestMismatch(Box<Mismatch>),
    /// The manifest breaks a rule of its format.
    #[error("{0}")]
    ManifestInvalid(#[from] ManifestError),
    /// The manifest names blobs that its repository does not hold.
    #[error("the manifest names {} blob(s) this repository does not hold", .0.len())]
    ManifestBlobUnknown(Vec<Digest>),
    /// More tags in one request than allowed.
    #[error("at most {0} tags in one request")]
    TooManyTags(usize),
    /// A condition of the caller does not hold.
    #[error("the tag is not what the condition of the request says")]
    PreconditionFailed,
    /// A lock forbids it. Whoever may change attributes can open the lock.
    #[error("{0}")]
    Locked(Box<Locked>),
    /// The client's body ended early or stalled.
    #[error("the request body did not arrive whole")]
    BodyIncomplete,
    /// The body is larger than allowed.
    #[error("the request body is larger than {0} bytes")]
    BodyTooLarge(u64),
    /// Too much is under way at once; trying again later helps.
    #[error("too many requests at once")]
    Busy,
    /// No room for new content. Reads and deletes go on.
    #[error("no space left for new content")]
    OutOfSpace,
    /// Writes are switched off after a storage fault. Reads go on.
    #[error("the registry is read-only after a storage fault")]
    ReadOnly,
    /// The registry is being moved to another place, or was: it takes no writes. Reads go on.
    #[error("the registry is being moved to another place")]
    Moving {
        /// Whether the move is complete: writes go to the other place from now on.
        is_over: bool,
    },
    /// The stored bytes are missing or damaged; pushing the blob again heals it.
    #[error("the stored content is damaged")]
    Damaged,
    /// The database did not answer as it should.
    #[error(transparent)]
    Database(lazuli_db::Error),
    /// The blob store did not answer as it should.
    #[error(transparent)]
    Store(lazuli_blobs::Error),
    /// A fault of ours: the text is for the log, never for a client.
    #[error("internal: {0}")]
    Internal(&'static str),
}

/// Two digests that should be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mismatch {
    /// What the client named.
    pub expected: Digest,
    /// What the bytes hash to.
    pub actual: Digest,
}

impl Error {
    pub(crate) fn mismatch(expected: Digest, actual: Digest) -> Self {
        Self::DigestMismatch(Box::new(Mismatch { expected, actual }))
    }
}

/// What calls on the registry return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl From<lazuli_db::Error> for Error {
    fn from(error: lazuli_db::Error) -> Self {
        match error {
            lazuli_db::Error::Full(_) => Self::OutOfSpace,
            lazuli_db::Error::ReadOnly => Self::ReadOnly,
            lazuli_db::Error::Busy => Self::Busy,
            other => Self::Database(other),
        }
    }
}

impl From<lazuli_blobs::Error> for Error {
    fn from(error: lazuli_blobs::Error) -> Self {
        match error {
            e if e.is_out_of_space() => Self::OutOfSpace,
            lazuli_blobs::Error::ReadOnly => Self::ReadOnly,
            lazuli_blobs::Error::Busy => Self::UploadBusy,
            lazuli_blobs::Error::Overloaded => Self::Busy,
            lazuli_blobs::Error::Damaged { .. } => Self::Damaged,
            other => Self::Store(other),
        }
    }
}
