//! Statements on `repositories`.

use lazuli_db::{Error, Tx, Value};
use lazuli_wire::oci::{OrderBy, RepositoryName};

use crate::attributes;
use crate::details::{Start, before_all};
use crate::transfer::closed;

/// A repository's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    /// Whose its manifests and tags are.
    pub(crate) id: i64,
    /// Whose its blobs are: outlives a deletion of the repository.
    pub(crate) holder: i64,
    pub(crate) is_listed: bool,
    /// The clock of the delete that came before: a version of every tag. Operations here are later.
    pub(crate) floor: i64,
    /// Whether there may be attributes of it, or of something in it.
    pub(crate) is_restricted: bool,
    pub(crate) created_at: i64,
}

const FIND: &str = "SELECT id, holder, listed, floor, restricted, created_at FROM repositories \
    WHERE registry_id = ?1 AND name = ?2 AND deleted_at IS NULL";
/// Nothing also when the registry may be closed (`transfer/closed.rs`).
const FIND_OPEN: &str = "SELECT id, holder, listed, floor, restricted, created_at FROM repositories \
    WHERE registry_id = ?1 AND name = ?2 AND deleted_at IS NULL \
    AND NOT EXISTS (SELECT 1 FROM closings)";

pub(crate) fn find(
    tx: &mut Tx<'_>,
    registry: i64,
    name: &RepositoryName,
) -> Result<Option<Row>, Error> {
    tx.query_one(FIND, &[registry.into(), name.as_str().into()], row)
}

fn row(row: &lazuli_db::Row<'_>) -> Result<Row, Error> {
    Ok(Row {
        id: row.get_i64(0)?,
        holder: row.get_i64(1)?,
        is_listed: row.get_bool(2)?,
        floor: row.get_i64(3)?,
        is_restricted: row.get_bool(4)?,
        created_at: row.get_i64(5)?,
    })
}

/// The row of a repository, which is made if need be. `new_id` must be unused so far. Every push comes past here: it is
/// refused while the registry is being moved, and that is asked in the same statement.
pub(crate) fn ensure(
    tx: &mut Tx<'_>,
    registry: i64,
    name: &RepositoryName,
    now: i64,
    new_id: impl Fn() -> i64,
) -> crate::Result<Row> {
    let key = [registry.into(), name.as_str().into()];
    if let Some(found) = tx.query_one(FIND_OPEN, &key, row)? {
        return Ok(found);
    }
    closed::check(tx, now)?;
    loop {
        if let Some(found) = find(tx, registry, name)? {
            return Ok(found);
        }
        // A clash is another repository of the same id (then the next id is tried) or this name made meanwhile.
        insert(tx, registry, name, new_id(), None, now)?;
    }
}

/// `after`: the row that was deleted, and the clock of its delete.
fn insert(
    tx: &mut Tx<'_>,
    registry: i64,
    name: &RepositoryName,
    id: i64,
    after: Option<(&Row, i64)>,
    now: i64,
) -> Result<bool, Error> {
    let (holder, floor) = after.map_or((id, 0), |(row, floor)| (row.holder, floor));
    let made = tx.execute(
        "INSERT INTO repositories (id, registry_id, name, holder, listed, floor, created_at) \
         VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6) ON CONFLICT DO NOTHING",
        &[
            id.into(),
            registry.into(),
            name.as_str().into(),
            holder.into(),
            floor.into(),
            now.into(),
        ],
    )?;
    Ok(made > 0)
}

/// Gives the name to a new, empty row; what is left of the old one goes in steps.
pub(crate) fn replace(
    tx: &mut Tx<'_>,
    registry: i64,
    name: &RepositoryName,
    old: &Row,
    floor: i64,
    now: i64,
    new_id: impl Fn() -> i64,
) -> Result<(), Error> {
    tx.send(
        "UPDATE repositories SET deleted_at = ?2, listed = 0 WHERE id = ?1",
        &[old.id.into(), now.into()],
    )?;
    while !insert(tx, registry, name, new_id(), Some((old, floor)), now)? {}
    Ok(())
}

/// Whose the blobs of a repository are.
pub(crate) fn holder(tx: &mut Tx<'_>, id: i64) -> Result<Option<i64>, Error> {
    tx.query_one(
        "SELECT holder FROM repositories WHERE id = ?1",
        &[id.into()],
        |row| row.get_i64(0),
    )
}

/// Whether the row was replaced, and something may be left of it.
pub(crate) fn is_deleted(tx: &mut Tx<'_>, id: i64) -> Result<bool, Error> {
    let found = tx.query_one(
        "SELECT 1 FROM repositories WHERE id = ?1 AND deleted_at IS NOT NULL",
        &[id.into()],
        |row| row.get_i64(0),
    )?;
    Ok(found.is_some())
}

/// Repositories with content of registries that are not there any more: each with its registry and name. The first registry
/// always is there.
pub(crate) fn orphans(
    tx: &mut Tx<'_>,
    limit: u32,
) -> Result<Vec<(i64, RepositoryName, Row)>, Error> {
    tx.query(
        "SELECT r.id, r.holder, r.listed, r.floor, r.restricted, r.created_at, r.registry_id, r.name FROM repositories r \
         WHERE r.registry_id > 1 AND r.deleted_at IS NULL \
         AND NOT EXISTS (SELECT 1 FROM registries g WHERE g.id = r.registry_id) \
         AND (EXISTS (SELECT 1 FROM manifests m WHERE m.repository_id = r.id) \
           OR EXISTS (SELECT 1 FROM tag_versions t WHERE t.repository_id = r.id)) LIMIT ?1",
        &[limit.into()],
        |found| {
            let name = RepositoryName::parse(found.get_text(7)?)
                .map_err(|_| Error::Corrupt("repositories.name"))?;
            Ok((found.get_i64(6)?, name, row(found)?))
        },
    )
}

/// Repositories of such registries of which nothing is left but the row.
pub(crate) fn empty_orphans(tx: &mut Tx<'_>, limit: u32) -> Result<Vec<i64>, Error> {
    tx.query(
        "SELECT r.id FROM repositories r WHERE r.registry_id > 1 AND r.deleted_at IS NULL \
         AND NOT EXISTS (SELECT 1 FROM registries g WHERE g.id = r.registry_id) \
         AND NOT EXISTS (SELECT 1 FROM manifests m WHERE m.repository_id = r.id) \
         AND NOT EXISTS (SELECT 1 FROM tag_versions t WHERE t.repository_id = r.id) \
         AND NOT EXISTS (SELECT 1 FROM repository_blobs b WHERE b.repository_id = r.holder) \
         AND NOT EXISTS (SELECT 1 FROM repositories o WHERE o.holder = r.holder AND o.id <> r.id) LIMIT ?1",
        &[limit.into()],
        |row| row.get_i64(0),
    )
}

/// Removes such a row.
pub(crate) fn remove_empty_orphan(tx: &mut Tx<'_>, id: i64) -> Result<(), Error> {
    tx.send(
        "DELETE FROM attributes WHERE repository_id = ?1",
        &[id.into()],
    )?;
    tx.send("DELETE FROM repositories WHERE id = ?1", &[id.into()])
}

/// Rows that were replaced, the first deleted first.
pub(crate) fn deleted(tx: &mut Tx<'_>, limit: u32) -> Result<Vec<i64>, Error> {
    tx.query(
        "SELECT id FROM repositories WHERE deleted_at IS NOT NULL ORDER BY deleted_at, id LIMIT ?1",
        &[limit.into()],
        |row| row.get_i64(0),
    )
}

/// How many rows were replaced and are not removed yet.
pub(crate) fn count_deleted(tx: &mut Tx<'_>) -> Result<u64, Error> {
    let count = tx.query_one(
        "SELECT COUNT(*) FROM repositories WHERE deleted_at IS NOT NULL",
        &[],
        |row| row.get_u64(0),
    )?;
    Ok(count.unwrap_or(0))
}

pub(crate) fn remove_deleted(tx: &mut Tx<'_>, id: i64) -> Result<(), Error> {
    tx.send(
        "DELETE FROM repositories WHERE id = ?1 AND deleted_at IS NOT NULL",
        &[id.into()],
    )
}

/// The repository holds something now. One that held nothing before is new to everybody.
pub(crate) fn list(tx: &mut Tx<'_>, repository: i64, now: i64) -> Result<(), Error> {
    tx.send(
        "UPDATE repositories SET listed = 1, created_at = ?2 WHERE id = ?1 AND listed = 0",
        &[repository.into(), now.into()],
    )
}

/// The repository holds nothing any more: nobody knows it, and nothing is said of it.
pub(crate) fn unlist(tx: &mut Tx<'_>, repository: i64) -> Result<(), Error> {
    tx.send(
        "UPDATE repositories SET listed = 0, restricted = 0 WHERE id = ?1",
        &[repository.into()],
    )?;
    attributes::sql::remove_all(tx, repository)
}

/// There are attributes of the repository, or of something in it.
pub(crate) fn set_restricted(tx: &mut Tx<'_>, repository: i64) -> Result<(), Error> {
    tx.send(
        "UPDATE repositories SET restricted = 1 WHERE id = ?1",
        &[repository.into()],
    )
}

/// Whether listings show it: not while `listEnabled` is false. What is not restricted has no attributes to look at.
macro_rules! listed {
    ($select:literal, $rest:literal) => {
        concat!(
            $select,
            " FROM repositories r WHERE r.registry_id = ?1 AND r.listed = 1 AND r.deleted_at IS NULL \
             AND (r.restricted = 0 OR NOT EXISTS (SELECT 1 FROM attributes a WHERE a.repository_id = r.id AND a.tag = '' \
             AND a.digest = ?2 AND (a.flags & 8) = 0))",
            $rest
        )
    };
}

const NOTHING: Value<'static> = Value::Bytes(&[]);

/// One name more than `limit`, if there are so many.
pub(crate) fn page(
    tx: &mut Tx<'_>,
    registry: i64,
    last: Option<&str>,
    limit: u32,
) -> Result<Vec<Box<str>>, Error> {
    tx.query(
        listed!("SELECT r.name", " AND r.name > ?3 ORDER BY r.name LIMIT ?4"),
        &[
            registry.into(),
            NOTHING,
            last.unwrap_or("").into(),
            (i64::from(limit) + 1).into(),
        ],
        |row| Ok(row.get_text(0)?.into()),
    )
}

/// When something was pushed to it last.
macro_rules! updated {
    () => {
        "(SELECT MAX(u.at) FROM (SELECT MAX(updated_at) AS at FROM manifests WHERE repository_id = r.id \
          UNION ALL SELECT MAX(updated_at) FROM tags WHERE repository_id = r.id UNION ALL SELECT r.created_at) AS u)"
    };
}

macro_rules! by_time {
    ($after:literal, $order:literal) => {
        concat!(
            "SELECT x.name, x.at FROM (SELECT r.name AS name, ",
            updated!(),
            " AS at",
            listed!("", ") AS x WHERE "),
            $after,
            " ORDER BY ",
            $order,
            " LIMIT ?4"
        )
    };
}

const OLDEST: &str = by_time!("(x.at, x.name) > (?5, ?3)", "x.at, x.name");
const NEWEST: &str = by_time!("(x.at, x.name) < (?5, ?3)", "x.at DESC, x.name DESC");

/// As [`page`], by the time of the last push. Every repository is looked at: no push keeps a common row up to date.
pub(crate) fn page_by_time(
    tx: &mut Tx<'_>,
    registry: i64,
    start: &Start,
) -> Result<Vec<(Box<str>, i64)>, Error> {
    let statement = match start.order_by {
        OrderBy::TimeDescending => NEWEST,
        OrderBy::Name | OrderBy::TimeAscending => OLDEST,
    };
    let time = start.time(|last| updated_at(tx, registry, last))?;
    let last = start.last.as_deref().filter(|_| time.is_some());
    let time = time.unwrap_or(before_all(start.order_by));
    tx.query(
        statement,
        &[
            registry.into(),
            NOTHING,
            last.unwrap_or("").into(),
            (i64::from(start.limit) + 1).into(),
            time.into(),
        ],
        |row| Ok((row.get_text(0)?.into(), row.get_i64(1)?)),
    )
}

fn updated_at(tx: &mut Tx<'_>, registry: i64, name: &str) -> Result<Option<i64>, Error> {
    tx.query_one(
        concat!(
            "SELECT ",
            updated!(),
            " FROM repositories r WHERE r.registry_id = ?1 AND r.name = ?2 AND r.deleted_at IS NULL"
        ),
        &[registry.into(), name.into()],
        |row| row.get_i64(0),
    )
}
