//! Statements on `repositories`.

use lazuli_db::{Error, Tx, Value};
use lazuli_wire::oci::RepositoryName;

pub(crate) fn find(
    tx: &mut Tx<'_>,
    registry: i64,
    name: &RepositoryName,
) -> Result<Option<i64>, Error> {
    tx.query_one(
        "SELECT id FROM repositories WHERE registry_id = ?1 AND name = ?2",
        &[registry.into(), name.as_str().into()],
        |row| row.get_i64(0),
    )
}

/// The id of a repository, which is made if need be, and whether it is listed. `new_id` must be unused so far.
pub(crate) fn ensure(
    tx: &mut Tx<'_>,
    registry: i64,
    name: &RepositoryName,
    now: i64,
    new_id: impl Fn() -> i64,
) -> Result<(i64, bool), Error> {
    loop {
        let found = tx.query_one(
            "SELECT id, listed FROM repositories WHERE registry_id = ?1 AND name = ?2",
            &[registry.into(), name.as_str().into()],
            |row| Ok((row.get_i64(0)?, row.get_i64(1)? != 0)),
        )?;
        if let Some(found) = found {
            return Ok(found);
        }
        // A clash is another repository of the same id (then the next id is tried) or this name made meanwhile.
        tx.send(
            "INSERT INTO repositories (id, registry_id, name, listed, created_at) VALUES (?1, ?2, ?3, 0, ?4) ON CONFLICT DO NOTHING",
            &[new_id().into(), registry.into(), name.as_str().into(), now.into()],
        )?;
    }
}

pub(crate) fn set_listed(tx: &mut Tx<'_>, repository: i64, listed: bool) -> Result<(), Error> {
    tx.send(
        "UPDATE repositories SET listed = ?2 WHERE id = ?1 AND listed <> ?2",
        &[repository.into(), Value::I64(i64::from(listed))],
    )
}

/// One name more than `limit`, if there are so many.
pub(crate) fn page(
    tx: &mut Tx<'_>,
    registry: i64,
    last: Option<&str>,
    limit: u32,
) -> Result<Vec<Box<str>>, Error> {
    tx.query(
        "SELECT name FROM repositories WHERE registry_id = ?1 AND name > ?2 AND listed = 1 ORDER BY name LIMIT ?3",
        &[registry.into(), last.unwrap_or("").into(), (i64::from(limit) + 1).into()],
        |row| Ok(row.get_text(0)?.into()),
    )
}
