//! The mark of a place that is being filled: no server starts on it, and only the move that began it goes on.

use lazuli_blobs::{BlobStore, Listed};
use lazuli_db::{Db, Error, Tx, params, settings};

use crate::Result;

/// The row on the side that is filled.
pub(super) const ROW: &str = "arriving";

/// What was found in a place that is to be filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Empty,
    /// The same mark.
    Begun,
    /// Another mark.
    Other(String),
    /// An installation that nobody is filling.
    Used,
}

/// Which installation this is: a name that all its copies share. `None`: no server was ever started on the database.
pub async fn installation(db: &Db) -> Result<Option<String>> {
    let read = |tx: &mut Tx<'_>| {
        tx.query_one(
            "SELECT name, created_at FROM registries ORDER BY id LIMIT 1",
            params![],
            |row| Ok(format!("{}@{}", row.get_string(0)?, row.get_i64(1)?)),
        )
    };
    Ok(db.read_one(read).await?)
}

/// What is in a place; writes nothing. `mark` says where the installation comes from and what else has to be the same the next
/// time.
pub async fn look(db: &Db, mark: &str) -> Result<Found> {
    let mark = mark.to_owned();
    Ok(db.read_one(move |tx| find(tx, &mark)).await?)
}

/// Marks an empty place. Only when nothing else is in the way of the move: the mark makes a place one of this move's.
pub async fn begin(db: &Db, mark: &str) -> Result<Found> {
    let mark = mark.to_owned();
    let found = db
        .write(move |tx| {
            let found = find(tx, &mark)?;
            if found == Found::Empty {
                settings::set(tx, ROW, &mark)?;
            }
            Ok::<_, Error>(found)
        })
        .await?;
    Ok(found)
}

fn find(tx: &mut Tx<'_>, mark: &str) -> Result<Found, Error> {
    Ok(match read(tx)? {
        Some(other) if other == mark => Found::Begun,
        Some(other) => Found::Other(other),
        None if super::sql::has_registries(tx)? => Found::Used,
        None => Found::Empty,
    })
}

/// Whether blobs are in a store already, and one of them.
pub async fn blob_in(store: &dyn BlobStore) -> Result<Option<String>> {
    let mut lister = store.list_names();
    while let Some(listed) = lister.next().await? {
        for listed in listed {
            if let Listed::Blob(blob) = listed {
                return Ok(Some(blob.location.to_string()));
            }
        }
    }
    Ok(None)
}

/// The mark, if there is one.
pub async fn mark(db: &Db) -> Result<Option<String>> {
    Ok(db.read_one(read).await?)
}

fn read(tx: &mut Tx<'_>) -> Result<Option<String>, Error> {
    settings::get(tx, ROW)
}

/// Takes the mark away: from now on a server may start. It collects no garbage until `quiet_until`, in microseconds since the
/// epoch: the old place may have affirmed digests to clients until now.
pub async fn finish(db: &Db, quiet_until: i64) -> Result<()> {
    db.write(move |tx| {
        crate::gc::keep_quiet(tx, quiet_until)?;
        settings::remove(tx, ROW)
    })
    .await?;
    Ok(())
}
