//! The rows and the operation of a deleted manifest, or of all of a repository.

use lazuli_db::Tx;
use lazuli_wire::oci::{Digest, Tag};

use super::{Removed, sql};
use crate::operations::{self, Appended, Operation, OperationId};
use crate::{Result, blobs, tags};

/// Removes one manifest with its tags; `None` if the repository does not hold it.
pub(super) fn remove(
    tx: &mut Tx<'_>,
    context: &operations::Context,
    registry: i64,
    (repository, name): (i64, &str),
    digest: &Digest,
    now: i64,
) -> Result<Option<Vec<Tag>>> {
    let bytes = digest.to_bytes();
    if !sql::exists(tx, repository, &bytes)? {
        return Ok(None);
    }
    let tags = tags::sql::of_digest(tx, repository, digest)?;
    let observed: Vec<_> = sql::dots(tx, repository, &bytes)?
        .iter()
        .filter_map(|b| OperationId::from_bytes(b))
        .collect();
    let after = newest_version(tx, repository, &tags)?;
    let operation = Operation::DeleteManifest {
        digest: *digest,
        observed,
        tags: tags.clone(),
    };
    let appended = operations::append(tx, context, registry, Some(name), &operation, after)?;
    record_untagged(tx, repository, &tags, &appended)?;
    tags::sql::remove_of_digest(tx, repository, &bytes)?;
    sql::check_children_later(tx, repository, &bytes, now)?;
    sql::remove(tx, repository, &bytes)?;
    Ok(Some(tags))
}

/// Removes every manifest and tag of a repository, and hands its blobs to garbage collection. Returns the dots it saw.
pub(crate) fn remove_all(
    tx: &mut Tx<'_>,
    repository: i64,
    now: i64,
) -> Result<(Removed, Vec<OperationId>)> {
    let manifests = sql::all(tx, repository)?;
    let tags = tags::sql::all(tx, repository)?;
    let observed = sql::all_dots(tx, repository)?
        .iter()
        .filter_map(|b| OperationId::from_bytes(b))
        .collect();
    sql::remove_all(tx, repository)?;
    tags::sql::remove_all(tx, repository)?;
    blobs::sql::check_all_later(tx, repository, now)?;
    Ok((Removed { manifests, tags }, observed))
}

/// The newest clock reading among the versions of some tags.
pub(crate) fn newest_version(
    tx: &mut Tx<'_>,
    repository: i64,
    tags: &[Tag],
) -> Result<Option<i64>> {
    let mut newest = None;
    for tag in tags {
        newest = newest.max(tags::sql::newest_hlc(tx, repository, tag)?);
    }
    Ok(newest)
}

/// Records in the history of some tags that they name nothing now.
pub(crate) fn record_untagged(
    tx: &mut Tx<'_>,
    repository: i64,
    tags: &[Tag],
    version: &Appended,
) -> Result<()> {
    for tag in tags {
        tags::sql::add_version(tx, repository, tag, None, version)?;
    }
    Ok(())
}
