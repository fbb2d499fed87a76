//! The operation log's beginning, and with it the former versions of tags.

use lazuli_db::{Error, Tx};
use lazuli_wire::oci::{RepositoryName, Tag};

use super::sql;
use crate::operations::Operation;
use crate::repositories;

/// Tags whose versions are looked at in one transaction, but for those of its first operation.
const TAGS: usize = 1000;

/// What is kept of an origin's operations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptLog {
    /// Whose operations.
    pub origin: i64,
    /// The last one that was removed by age; 0: none was.
    pub floor: i64,
    /// The newest number.
    pub newest: i64,
    /// When the oldest that is kept was made, in microseconds since the epoch.
    pub since: Option<i64>,
    /// Who reads it and how far each is, the last one first: nothing is removed that it has not read.
    pub readers: Vec<Reader>,
}

/// A reader of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reader {
    /// Its name.
    pub name: String,
    /// The last operation that it is done with.
    pub sequence: i64,
}

/// What is kept of each origin's operations.
pub(crate) fn kept(tx: &mut Tx<'_>) -> Result<Vec<KeptLog>, Error> {
    let mut logs = Vec::new();
    for (origin, newest) in sql::origins(tx)? {
        let floor = sql::floor(tx, origin)?;
        logs.push(KeptLog {
            origin,
            floor,
            newest,
            since: sql::created_at(tx, origin, floor + 1)?,
            readers: sql::readers(tx, origin)?,
        });
    }
    Ok(logs)
}

/// The last operation of an origin that may go.
pub(super) fn end(tx: &mut Tx<'_>, origin: i64, newest: i64, keep: u32) -> Result<i64, Error> {
    let readers = sql::readers(tx, origin)?;
    let read = readers.first().map_or(i64::MAX, |reader| reader.sequence);
    // One at least: a log is never empty again.
    Ok((newest - i64::from(keep.max(1))).min(read))
}

/// Removes operations made before `cutoff`, at most `limit` of each origin; returns how many rows went.
pub(super) fn trim(tx: &mut Tx<'_>, cutoff: i64, keep: u32, limit: u32) -> Result<u64, Error> {
    let mut gone = 0;
    for (origin, newest) in sql::origins(tx)? {
        let (floor, end) = (sql::floor(tx, origin)?, end(tx, origin, newest, keep)?);
        let (mut last, mut tags) = (floor, 0);
        for made in sql::operations(tx, origin, floor, end, limit)? {
            let changed = tags_of(&made);
            let is_much = last > floor && tags + changed.len() > TAGS;
            if made.created_at >= cutoff || is_much {
                break;
            }
            gone += forget_versions(tx, &made, &changed)?;
            tags += changed.len();
            last = made.sequence;
        }
        if last > floor {
            gone += sql::remove_operations(tx, origin, floor, last)?;
            sql::set_floor(tx, origin, last)?;
        }
    }
    Ok(gone)
}

/// The tags that an operation made a version of. One that cannot be read made none that anybody knows of.
fn tags_of(made: &sql::Made) -> Vec<Tag> {
    match &made.operation {
        Some(Operation::PutManifest { tag, .. }) => tag.iter().cloned().collect(),
        Some(Operation::DeleteManifest { tags, .. }) => tags.clone(),
        Some(Operation::Untag { tag }) => vec![tag.clone()],
        _ => Vec::new(),
    }
}

fn forget_versions(tx: &mut Tx<'_>, made: &sql::Made, tags: &[Tag]) -> Result<u64, Error> {
    let name = made.repository.as_deref().map(RepositoryName::parse);
    let Some(Ok(name)) = name.filter(|_| !tags.is_empty()) else {
        return Ok(0);
    };
    // Where the repository was deleted since, its versions went with it.
    let Some(repository) = repositories::sql::find(tx, made.registry, &name)? else {
        return Ok(0);
    };
    let mut gone = 0;
    for tag in tags {
        gone += sql::forget_versions(tx, repository.id, tag, made.hlc)?;
    }
    Ok(gone)
}
