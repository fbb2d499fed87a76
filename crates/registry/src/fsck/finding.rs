//! What a check can find.

mod text;

use std::fmt;

use lazuli_blobs::Location;
use lazuli_wire::oci::{Digest, UploadId};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Leftovers that take space and will go by themselves.
    Note,
    /// Records that do not agree; content is there.
    Warning,
    /// Content cannot be served, or will be lost.
    Error,
}

/// A repository, by number and, if there is one of that number, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The registry's number.
    pub registry: i64,
    /// The repository's number.
    pub repository: i64,
    /// The repository's name.
    pub name: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)
    }
}

/// What is wrong with stored content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// It is not there.
    Missing,
    /// It has another length.
    Length {
        /// The length found, in bytes.
        found: u64,
    },
    /// Its bytes hash to something else.
    Digest {
        /// What they hash to.
        found: Digest,
    },
    /// It is there and cannot be read.
    Unreadable,
    /// The row does not say where it is, or names a place of another digest.
    NoPlace,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("its bytes are missing"),
            Self::Length { found } => write!(f, "it has {found} bytes, not those on record"),
            Self::Digest { found } => write!(f, "its bytes have the digest {found}"),
            Self::Unreadable => f.write_str("its bytes cannot be read"),
            Self::NoPlace => f.write_str("its row names no place where it could be"),
        }
    }
}

/// A fault, or a leftover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// A blob cannot be served. Repair: the bytes are put aside and the blob is forgotten, so that a push brings it back;
    /// or, if the store has a good copy that no row knows, that is taken.
    BlobDamaged {
        /// Its registry.
        registry: i64,
        /// Its digest.
        digest: Digest,
        /// What is wrong.
        damage: Damage,
        /// A good copy in the store that no row knows.
        copy: Option<Location>,
    },
    /// A blob in no repository that garbage collection does not know of. Repair: it is condemned.
    BlobForgotten {
        /// Its registry.
        registry: i64,
        /// Its digest.
        digest: Digest,
    },
    /// The file of a blob in use is on the list of files to be removed. Repair: it is taken off the list.
    BlobAboutToBeRemoved {
        /// Its file.
        location: String,
    },
    /// A repository holds a blob that the registry does not have. Repair: the repository no longer holds it.
    LinkWithoutBlob {
        /// The repository.
        place: Place,
        /// The blob's digest.
        digest: Digest,
    },
    /// A repository's record of a blob's length or registry is wrong. Repair: it is taken from the blob.
    LinkDiffers {
        /// The repository.
        place: Place,
        /// The blob's digest.
        digest: Digest,
    },
    /// A blob of a repository that no manifest names and garbage collection will not look at. Repair: it will.
    LinkForgotten {
        /// The repository.
        place: Place,
        /// The blob's digest.
        digest: Digest,
    },
    /// A manifest's bytes do not have its digest. Repair: they are put aside and the manifest is forgotten.
    ManifestDamaged {
        /// The repository.
        place: Place,
        /// The manifest's digest.
        digest: Digest,
        /// What its bytes hash to.
        found: Digest,
    },
    /// A manifest's bytes break a rule of its format. It is served as it was pushed.
    ManifestUnreadable {
        /// The repository.
        place: Place,
        /// The manifest's digest.
        digest: Digest,
        /// Which rule.
        problem: String,
    },
    /// What is recorded of a manifest (its length, its subject) is not what its bytes say. Repair: taken from the bytes.
    ManifestRecordDiffers {
        /// The repository.
        place: Place,
        /// The manifest's digest.
        digest: Digest,
    },
    /// The references recorded for a manifest are not those in its bytes, so that garbage collection could take what it
    /// needs, or never take what it does not. Repair: taken from the bytes.
    ReferencesDiffer {
        /// The repository.
        place: Place,
        /// The manifest's digest.
        digest: Digest,
    },
    /// A manifest needs a blob that its repository does not hold. Repair: if the registry has it, the repository gets it.
    ContentMissing {
        /// The repository.
        place: Place,
        /// The manifest's digest.
        manifest: Digest,
        /// The blob's digest.
        blob: Digest,
    },
    /// No operation of the log keeps a manifest alive: another region would not keep it.
    ManifestWithoutDot {
        /// The repository.
        place: Place,
        /// The manifest's digest.
        digest: Digest,
    },
    /// A repository that holds manifests is not listed, or one without is. Repair: corrected.
    ListingDiffers {
        /// The repository.
        place: Place,
        /// Whether it holds manifests.
        has_manifests: bool,
    },
    /// A tag names a manifest that is not there. Repair: the tag is removed, as an operation of the log.
    TagDangling {
        /// The repository.
        place: Place,
        /// The tag.
        tag: String,
    },
    /// A tag does not name what the newest version in its history does.
    TagHistoryDiffers {
        /// The repository.
        place: Place,
        /// The tag.
        tag: String,
    },
    /// Rows of something that is no more. Repair: removed.
    DanglingRows {
        /// Their table.
        table: &'static str,
        /// How many.
        count: u64,
    },
    /// Manifests of a repository that has no row: nobody can ask for them.
    ManifestsWithoutRepository {
        /// How many.
        count: u64,
    },
    /// The operations of an origin are not numbered without a gap.
    LogHasGap {
        /// Whose operations.
        origin: i64,
        /// How many are numbered.
        numbered: u64,
        /// The first and the last number.
        range: (i64, i64),
        /// The last number on record.
        recorded: i64,
        /// The last one that went by age.
        floor: i64,
    },
    /// An operation of the log is not readable.
    OperationUnreadable {
        /// Its number.
        sequence: i64,
        /// Why.
        problem: String,
    },
    /// A file in the store that no row knows. The janitor removes it when it is old enough.
    OrphanFile {
        /// Where.
        location: Location,
        /// Its length in bytes.
        size: u64,
    },
    /// A file in the store that the registry did not make.
    ForeignFile {
        /// Its path in the store.
        path: String,
    },
    /// Bytes of an upload that has no session. The janitor frees them when they are old enough.
    OrphanUpload {
        /// Its identifier.
        upload: UploadId,
        /// Length in bytes.
        size: u64,
    },
    /// An upload session whose bytes are not all there. Repair: it is ended.
    UploadWithoutBytes {
        /// Its identifier.
        upload: UploadId,
    },
}

impl Finding {
    /// How bad it is.
    pub fn severity(&self) -> Severity {
        match self {
            Self::BlobDamaged { .. }
            | Self::BlobAboutToBeRemoved { .. }
            | Self::LinkWithoutBlob { .. }
            | Self::ManifestDamaged { .. }
            | Self::ReferencesDiffer { .. }
            | Self::ContentMissing { .. }
            | Self::TagDangling { .. }
            | Self::ManifestsWithoutRepository { .. }
            | Self::LogHasGap { .. } => Severity::Error,
            Self::BlobForgotten { .. }
            | Self::LinkDiffers { .. }
            | Self::LinkForgotten { .. }
            | Self::ManifestUnreadable { .. }
            | Self::ManifestRecordDiffers { .. }
            | Self::ManifestWithoutDot { .. }
            | Self::ListingDiffers { .. }
            | Self::TagHistoryDiffers { .. }
            | Self::DanglingRows { .. }
            | Self::OperationUnreadable { .. } => Severity::Warning,
            // Nothing of an upload was promised before its end; the client begins anew.
            Self::OrphanFile { .. }
            | Self::ForeignFile { .. }
            | Self::OrphanUpload { .. }
            | Self::UploadWithoutBytes { .. } => Severity::Note,
        }
    }

    /// What a repair does about it; `None`: nothing.
    pub fn repair(&self) -> Option<&'static str> {
        Some(match self {
            Self::BlobDamaged { copy: Some(_), .. } => "the good copy is taken",
            Self::BlobDamaged { .. } => {
                "the blob is forgotten, so that a push brings it back; its bytes are put aside"
            }
            Self::BlobForgotten { .. } => "the blob is handed to garbage collection",
            Self::BlobAboutToBeRemoved { .. } => {
                "the file is taken off the list of files to be removed"
            }
            Self::LinkWithoutBlob { .. } => {
                "the repository no longer holds it, so that a push brings it back"
            }
            Self::LinkDiffers { .. } => "the record is taken from the blob",
            Self::LinkForgotten { .. } => "garbage collection will look at it",
            Self::ManifestDamaged { .. } => {
                "the manifest is forgotten, so that a push brings it back; its bytes are put aside"
            }
            Self::ManifestRecordDiffers { .. } | Self::ReferencesDiffer { .. } => {
                "the record is taken from the bytes"
            }
            Self::ContentMissing { .. } => {
                "the repository gets the blob, if the registry has it; else a push of it heals"
            }
            Self::ListingDiffers { .. } => "the listing is corrected",
            Self::TagDangling { .. } => "the tag is removed",
            Self::DanglingRows { .. } => "the rows are removed",
            Self::UploadWithoutBytes { .. } => "the session is ended",
            Self::ManifestUnreadable { .. }
            | Self::ManifestWithoutDot { .. }
            | Self::TagHistoryDiffers { .. }
            | Self::ManifestsWithoutRepository { .. }
            | Self::LogHasGap { .. }
            | Self::OperationUnreadable { .. }
            | Self::OrphanFile { .. }
            | Self::ForeignFile { .. }
            | Self::OrphanUpload { .. } => return None,
        })
    }
}
