//! The operation log: every change of a registry is one operation, appended in the transaction that makes the change.
//!
//! Everything that follows changes reads this log from a cursor: webhooks, events, audit, metering, replication.
//! An operation is immutable. Its identifier sorts by time; its sequence number is given after the commit, by the
//! [`sequencer`], so that writers never queue on a counter.

mod control;
mod payload;
pub mod reader;
pub mod sequencer;
mod sql;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lazuli_db::clock::Clock;
use lazuli_db::hlc::Hlc;
use lazuli_db::{Db, Error, Tx};
use lazuli_wire::oci::{Digest, ImagePlatform, Tag};
use tokio::sync::Notify;

use crate::attributes::{Attributes, Subject};

pub use control::append_control;
pub use payload::PayloadError;
pub(crate) use payload::{decode, encode, encode_observed};
pub use reader::{Cursor, Entry, LogReader, ReadError};
pub(crate) use sql::{entries_after, last_sequence};

/// The identifier of an operation: clock (8 bytes, big-endian), origin (2), entropy (6).
///
/// Sorts by hybrid logical clock, then origin. Also the *dot* of a put: the mark that keeps a manifest alive until a
/// delete that has seen it removes it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationId([u8; 16]);

impl OperationId {
    /// Puts an identifier together. `entropy`: the low 48 bits count.
    pub fn new(hlc: i64, origin: u16, entropy: u64) -> Self {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&hlc.to_be_bytes());
        bytes[8..10].copy_from_slice(&origin.to_be_bytes());
        bytes[10..].copy_from_slice(&entropy.to_be_bytes()[2..]);
        Self(bytes)
    }

    /// Reads an identifier from a row; `None` when the length is wrong.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The 16 bytes, as stored.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The hybrid logical clock of the operation (milliseconds since the epoch << 16 | counter).
    pub fn hlc(&self) -> i64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.0[..8]);
        i64::from_be_bytes(bytes)
    }

    /// The origin that made the operation.
    pub fn origin(&self) -> u16 {
        u16::from_be_bytes([self.0[8], self.0[9]])
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OperationId({self})")
    }
}

/// A change, as every reader of the log sees it. The repository is a column of the log, not part of the payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// A manifest was pushed. Its dot is the operation's own identifier.
    PutManifest {
        /// What was pushed.
        digest: Digest,
        /// Its media type, as stored.
        media_type: String,
        /// Length of its body in bytes.
        size: u64,
        /// What has to be present before it is visible: configuration, layers and child manifests.
        blobs: Vec<Digest>,
        /// The tag it was pushed to, if any.
        tag: Option<Tag>,
        /// What it runs on, if it is an image that was not there before and its configuration says so.
        platform: ImagePlatform,
        /// The dot of this origin that the new one replaces.
        superseded: Option<OperationId>,
    },
    /// A manifest was deleted, and with it the tags that named it.
    DeleteManifest {
        /// What was deleted.
        digest: Digest,
        /// The dots the delete saw; only these are removed, so a concurrent push survives.
        observed: Vec<OperationId>,
        /// The tags that named it.
        tags: Vec<Tag>,
    },
    /// A tag was removed; what it named stays.
    Untag {
        /// The removed tag.
        tag: Tag,
    },
    /// A blob was taken out of a repository by hand.
    DeleteBlob {
        /// The blob.
        digest: Digest,
    },
    /// A repository was deleted, whatever its size: all dots of the operation's own origin that are older than it go, and those
    /// that it names. It is a version of every tag of the repository.
    DeleteRepository {
        /// The dots of other origins that the delete saw.
        observed: Vec<OperationId>,
    },
    /// Attributes of the repository, or of something in it, were changed. All of them are said; the last writer wins.
    SetAttributes {
        /// What they belong to.
        subject: Subject,
        /// What holds from now on.
        attributes: Attributes,
    },
    /// A setting was changed. Last writer wins, setting by setting.
    Setting {
        /// The setting's name.
        name: String,
        /// Its new value; `None`: back to the default.
        value: Option<String>,
    },
    /// A resource of the management plane was made, changed or deleted. Nothing of a repository changed by it.
    Control {
        /// The resource's identifier, as ARM writes it.
        resource: String,
        /// What was done, in the words of role definitions: `Microsoft.ContainerRegistry/registries/write`.
        action: String,
        /// More about it: a JSON object without secrets.
        detail: Option<String>,
    },
}

impl Operation {
    /// The word stored in the column `kind`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::PutManifest { .. } => "put-manifest",
            Self::DeleteManifest { .. } => "delete-manifest",
            Self::Untag { .. } => "untag",
            Self::DeleteBlob { .. } => "delete-blob",
            Self::DeleteRepository { .. } => "delete-repository",
            Self::SetAttributes { .. } => "set-attributes",
            Self::Setting { .. } => "setting",
            Self::Control { .. } => "control",
        }
    }

    /// The dots the operation removes.
    pub fn observed(&self) -> &[OperationId] {
        match self {
            Self::PutManifest { superseded, .. } => superseded.as_slice(),
            Self::DeleteManifest { observed, .. } | Self::DeleteRepository { observed } => observed,
            Self::Untag { .. }
            | Self::DeleteBlob { .. }
            | Self::SetAttributes { .. }
            | Self::Setting { .. }
            | Self::Control { .. } => &[],
        }
    }
}

/// The log of one origin, as seen by one process: makes identifiers, wakes the sequencer, reads.
pub struct Log {
    db: Db,
    origin: u16,
    clock: Arc<dyn Clock>,
    hlc: Hlc,
    entropy: AtomicU64,
    committed: Notify,
    numbered: Notify,
}

impl Log {
    /// Opens the log for writing as `origin`. The clock continues after the newest operation stored, even when the wall
    /// clock was set back in between. `seed` makes identifiers of processes with the same origin differ: random.
    pub async fn open(
        db: Db,
        clock: Arc<dyn Clock>,
        origin: u16,
        seed: u64,
    ) -> Result<Arc<Self>, Error> {
        let newest = db.read(sql::newest_id).await?;
        let hlc = Hlc::new(Arc::clone(&clock));
        if let Some(newest) = newest {
            hlc.tick(Some(newest.hlc()));
        }
        Ok(Arc::new(Self {
            db,
            origin,
            clock,
            hlc,
            entropy: AtomicU64::new(seed),
            committed: Notify::new(),
            numbered: Notify::new(),
        }))
    }

    /// This log's origin.
    pub fn origin(&self) -> u16 {
        self.origin
    }

    /// What a transaction needs to append operations in the name of `principal`, for one request.
    pub fn context(self: &Arc<Self>, principal: &str, request_id: &str) -> Context {
        Context {
            log: Arc::clone(self),
            principal: principal.into(),
            request_id: request_id.into(),
        }
    }

    /// To be called after a transaction that appended has committed: wakes the sequencer. Costs next to nothing.
    pub fn committed(&self) {
        self.committed.notify_one();
    }

    /// Waits until everything committed so far is numbered, by whichever sequencer; false if that takes longer than `patience`.
    pub async fn await_numbers(&self, patience: Duration) -> Result<bool, Error> {
        let wait = async {
            let origin = self.origin;
            while self
                .db
                .read(move |tx| sql::has_unnumbered(tx, origin))
                .await?
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok::<_, Error>(())
        };
        match tokio::time::timeout(patience, wait).await {
            Ok(outcome) => outcome.map(|()| true),
            Err(_) => Ok(false),
        }
    }

    /// A number that no other call, in this process or another, gives: for rows that need an identifier.
    pub fn unique_number(&self) -> i64 {
        (self.entropy() >> 1).cast_signed()
    }

    fn next_id(&self, hlc: i64) -> OperationId {
        OperationId::new(hlc, self.origin, self.entropy())
    }

    /// A Weyl sequence through a mixer: no system call, and no repetition within 2^64 steps.
    fn entropy(&self) -> u64 {
        let mut z = self
            .entropy
            .fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// Who changes something, in which request. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    log: Arc<Log>,
    principal: Arc<str>,
    request_id: Arc<str>,
}

impl Context {
    /// The log that the operations go to.
    pub fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// The principal's key, as stored with each operation.
    pub fn principal(&self) -> &str {
        &self.principal
    }

    /// The request's identifier, as stored with each operation.
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// Microseconds since the epoch, by the log's clock.
    pub fn now_us(&self) -> i64 {
        self.log.clock.now_us()
    }
}

/// What the transaction needs of an appended operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Its identifier: the dot of a put.
    pub id: OperationId,
    /// Its clock: orders tag versions.
    pub hlc: i64,
    /// Its origin: breaks ties between equal clocks.
    pub origin: u16,
}

/// The clock of the newest operation stored, of any origin: everything that was committed before is not newer.
pub(crate) fn newest_clock(tx: &mut Tx<'_>) -> Result<Option<i64>, Error> {
    Ok(sql::newest_id(tx)?.map(|id| id.hlc()))
}

/// Appends an operation in the caller's transaction: one INSERT.
///
/// To keep causal order, call it after the transaction's reads, and pass in `after` the greatest clock among the rows
/// the change builds on (the tag's version, the manifest's dots); the operation's clock is greater than that and than
/// every dot in [`Operation::observed`]. After the commit, call [`Log::committed`].
pub fn append(
    tx: &mut Tx<'_>,
    context: &Context,
    registry_id: i64,
    repository: Option<&str>,
    operation: &Operation,
    after: Option<i64>,
) -> Result<Appended, Error> {
    let log = &context.log;
    let after = operation
        .observed()
        .iter()
        .map(OperationId::hlc)
        .chain(after)
        .max();
    let hlc = log.hlc.tick(after);
    let id = log.next_id(hlc);
    sql::insert(tx, context, registry_id, repository, operation, id)?;
    Ok(Appended {
        id,
        hlc,
        origin: log.origin,
    })
}
