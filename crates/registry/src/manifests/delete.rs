//! The rows and the operation of a deleted manifest, and what is left of a deleted repository.

use lazuli_db::Tx;
use lazuli_wire::oci::{Digest, Tag};

use super::sql;
use crate::attributes::{self, Subject, locks};
use crate::operations::{self, Appended, Operation, OperationId};
use crate::repositories::{self, sql::Row};
use crate::{Result, tags};

/// Removes one manifest with its tags; `None` if the repository does not hold it.
pub(super) fn remove(
    tx: &mut Tx<'_>,
    context: &operations::Context,
    registry: i64,
    (row, name): (&Row, &str),
    digest: &Digest,
    now: i64,
) -> Result<Option<Vec<Tag>>> {
    let (bytes, repository) = (digest.to_bytes(), row.id);
    if !sql::exists(tx, repository, &bytes)? {
        return Ok(None);
    }
    let tags = tags::sql::of_digest(tx, repository, digest)?;
    let said = locks::check_delete(tx, row, digest, &tags)?;
    let observed: Vec<_> = sql::dots(tx, repository, &bytes)?
        .iter()
        .filter_map(|b| OperationId::from_bytes(b))
        .collect();
    let after = newest_version(tx, repository, &tags)?
        .max(said)
        .max(Some(row.floor));
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
    if row.is_restricted {
        forget_attributes(tx, repository, digest, &tags)?;
    }
    Ok(Some(tags))
}

/// What was said of a manifest and of tags goes with them.
pub(crate) fn forget_attributes(
    tx: &mut Tx<'_>,
    repository: i64,
    digest: &Digest,
    tags: &[Tag],
) -> Result<()> {
    attributes::sql::remove(tx, repository, &Subject::Manifest(*digest))?;
    for tag in tags {
        attributes::sql::remove(tx, repository, &Subject::Tag(tag.clone()))?;
    }
    Ok(())
}

/// What one step removed of a deleted repository.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Drained {
    pub(crate) manifests: u64,
    /// Nothing is left of it, its row neither.
    pub(crate) is_done: bool,
}

/// Removes up to `limit` manifests of a deleted repository, then as many tags, then its row; hands its blobs to garbage
/// collection. Whoever does it again finds less to do.
pub(crate) fn drain(tx: &mut Tx<'_>, repository: i64, limit: u32, now: i64) -> Result<Drained> {
    let mut drained = Drained::default();
    if !repositories::sql::is_deleted(tx, repository)? {
        drained.is_done = true;
        return Ok(drained);
    }
    for digest in sql::some(tx, repository, limit)? {
        let bytes = digest.to_bytes();
        sql::check_children_later(tx, repository, &bytes, now)?;
        sql::remove(tx, repository, &bytes)?;
        drained.manifests += 1;
    }
    if drained.manifests == 0
        && tags::sql::remove_some(tx, repository, limit)? == 0
        && attributes::sql::remove_some(tx, repository, limit)? == 0
    {
        repositories::sql::remove_deleted(tx, repository)?;
        drained.is_done = true;
    }
    Ok(drained)
}

/// The newest clock reading among the versions of some tags.
fn newest_version(tx: &mut Tx<'_>, repository: i64, tags: &[Tag]) -> Result<Option<i64>> {
    let mut newest = None;
    for tag in tags {
        newest = newest.max(tags::sql::newest_hlc(tx, repository, tag)?);
    }
    Ok(newest)
}

/// Records in the history of some tags that they name nothing now.
fn record_untagged(
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
