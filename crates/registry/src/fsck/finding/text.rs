//! Findings in words.

use std::fmt;

use super::Finding;

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BlobDamaged { digest, damage, .. } => write!(f, "blob {digest}: {damage}"),
            Self::BlobForgotten { digest, .. } => {
                write!(f, "blob {digest}: in no repository, and not condemned")
            }
            Self::BlobAboutToBeRemoved { location } => {
                write!(f, "file {location}: in use, yet to be removed")
            }
            Self::LinkWithoutBlob { place, digest } => write!(
                f,
                "{place}: holds {digest}, which the registry does not have"
            ),
            Self::LinkDiffers { place, digest } => write!(
                f,
                "{place}: the record of blob {digest} differs from the blob"
            ),
            Self::LinkForgotten { place, digest } => {
                write!(f, "{place}: no manifest names blob {digest}, yet it stays")
            }
            Self::ManifestDamaged {
                place,
                digest,
                found,
            } => {
                write!(
                    f,
                    "{place}: the bytes of manifest {digest} have the digest {found}"
                )
            }
            Self::ManifestUnreadable {
                place,
                digest,
                problem,
            } => write!(f, "{place}: manifest {digest}: {problem}"),
            Self::ManifestRecordDiffers { place, digest } => {
                write!(
                    f,
                    "{place}: the record of manifest {digest} differs from its bytes"
                )
            }
            Self::ReferencesDiffer { place, digest } => {
                write!(
                    f,
                    "{place}: the recorded references of manifest {digest} differ from its bytes"
                )
            }
            Self::ContentMissing {
                place,
                manifest,
                blob,
            } => {
                write!(
                    f,
                    "{place}: manifest {manifest} needs blob {blob}, which the repository does not hold"
                )
            }
            Self::ManifestWithoutDot { place, digest } => {
                write!(f, "{place}: no operation keeps manifest {digest} alive")
            }
            Self::ListingDiffers {
                place,
                has_manifests: true,
            } => write!(f, "{place}: holds manifests, yet is not listed"),
            Self::ListingDiffers { place, .. } => {
                write!(f, "{place}: is listed, yet holds no manifest")
            }
            Self::TagDangling { place, tag } => {
                write!(f, "{place}:{tag}: names a manifest that is not there")
            }
            Self::TagHistoryDiffers { place, tag } => write!(
                f,
                "{place}:{tag}: does not name what its newest version does"
            ),
            Self::DanglingRows { table, count } => write!(
                f,
                "table {table}: {count} row(s) of something that is no more"
            ),
            Self::ManifestsWithoutRepository { count } => {
                write!(f, "{count} manifest(s) of repositories that have no row")
            }
            Self::LogHasGap {
                origin,
                numbered,
                range,
                recorded,
                floor,
            } => write!(
                f,
                "operation log of origin {origin}: {numbered} operations are numbered {} to {}, {} to {recorded} on record",
                range.0,
                range.1,
                floor + 1
            ),
            Self::OperationUnreadable { sequence, problem } => {
                write!(f, "operation {sequence}: {problem}")
            }
            Self::OrphanFile { location, size } => {
                write!(f, "file {location}: {size} bytes that no row knows")
            }
            Self::ForeignFile { path } => write!(f, "file {path}: not made by the registry"),
            Self::OrphanUpload { upload, size } => {
                write!(f, "upload {upload}: {size} bytes without a session")
            }
            Self::UploadWithoutBytes { upload } => {
                write!(f, "upload {upload}: its bytes are not all there")
            }
        }
    }
}
