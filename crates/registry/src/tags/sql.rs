//! Statements on `tags` and `tag_versions`.

use lazuli_db::{Error, Tx};
use lazuli_wire::oci::{Digest, Tag};

use crate::operations::Appended;

pub(crate) fn find(tx: &mut Tx<'_>, repository: i64, tag: &Tag) -> Result<Option<Vec<u8>>, Error> {
    tx.query_one(
        "SELECT digest FROM tags WHERE repository_id = ?1 AND name = ?2",
        &[repository.into(), tag.as_str().into()],
        |row| row.get_bytes(0),
    )
}

/// The clock reading of a tag's newest version, deletions included.
pub(crate) fn newest_hlc(
    tx: &mut Tx<'_>,
    repository: i64,
    tag: &Tag,
) -> Result<Option<i64>, Error> {
    tx.query_one(
        "SELECT hlc FROM tag_versions WHERE repository_id = ?1 AND name = ?2 ORDER BY hlc DESC, origin DESC LIMIT 1",
        &[repository.into(), tag.as_str().into()],
        |row| row.get_i64(0),
    )
}

pub(crate) fn set(
    tx: &mut Tx<'_>,
    repository: i64,
    tag: &Tag,
    digest: &[u8],
    version: &Appended,
    now: i64,
) -> Result<(), Error> {
    tx.send(
        "INSERT INTO tags (repository_id, name, digest, hlc, origin, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6) \
         ON CONFLICT (repository_id, name) DO UPDATE SET digest = excluded.digest, hlc = excluded.hlc, origin = excluded.origin, \
         updated_at = excluded.updated_at",
        &[repository.into(), tag.as_str().into(), digest.into(), version.hlc.into(), i64::from(version.origin).into(), now.into()],
    )
}

pub(crate) fn add_version(
    tx: &mut Tx<'_>,
    repository: i64,
    tag: &Tag,
    digest: Option<&[u8]>,
    version: &Appended,
) -> Result<(), Error> {
    tx.send(
        "INSERT INTO tag_versions (repository_id, name, hlc, origin, digest) VALUES (?1, ?2, ?3, ?4, ?5)",
        &[repository.into(), tag.as_str().into(), version.hlc.into(), i64::from(version.origin).into(), digest.into()],
    )
}

pub(crate) fn remove(tx: &mut Tx<'_>, repository: i64, tag: &Tag) -> Result<u64, Error> {
    tx.execute(
        "DELETE FROM tags WHERE repository_id = ?1 AND name = ?2",
        &[repository.into(), tag.as_str().into()],
    )
}

/// Names of the tags of one manifest.
pub(crate) fn of_digest(
    tx: &mut Tx<'_>,
    repository: i64,
    digest: &Digest,
) -> Result<Vec<Tag>, Error> {
    let names = tx.query(
        "SELECT name FROM tags WHERE repository_id = ?1 AND digest = ?2 ORDER BY name",
        &[repository.into(), digest.to_bytes().as_slice().into()],
        |row| Ok(row.get_text(0)?.to_owned()),
    )?;
    Ok(names
        .iter()
        .filter_map(|name| Tag::parse(name).ok())
        .collect())
}

pub(crate) fn remove_of_digest(
    tx: &mut Tx<'_>,
    repository: i64,
    digest: &[u8],
) -> Result<u64, Error> {
    tx.execute(
        "DELETE FROM tags WHERE repository_id = ?1 AND digest = ?2",
        &[repository.into(), digest.into()],
    )
}

/// One name more than `limit`, if there are so many.
pub(crate) fn page(
    tx: &mut Tx<'_>,
    repository: i64,
    last: Option<&str>,
    limit: u32,
) -> Result<Vec<Box<str>>, Error> {
    tx.query(
        "SELECT name FROM tags WHERE repository_id = ?1 AND name > ?2 ORDER BY name LIMIT ?3",
        &[
            repository.into(),
            last.unwrap_or("").into(),
            (i64::from(limit) + 1).into(),
        ],
        |row| Ok(row.get_text(0)?.into()),
    )
}

/// As [`page`], without those that listings do not show.
pub(crate) fn page_of_listed(
    tx: &mut Tx<'_>,
    repository: i64,
    last: Option<&str>,
    limit: u32,
) -> Result<Vec<Box<str>>, Error> {
    tx.query(
        "SELECT name FROM tags t WHERE repository_id = ?1 AND name > ?2 AND NOT EXISTS (SELECT 1 FROM attributes a \
         WHERE a.repository_id = t.repository_id AND a.tag = t.name AND a.digest = ?4 AND (a.flags & 8) = 0) \
         ORDER BY name LIMIT ?3",
        &[
            repository.into(),
            last.unwrap_or("").into(),
            (i64::from(limit) + 1).into(),
            lazuli_db::Value::Bytes(&[]),
        ],
        |row| Ok(row.get_text(0)?.into()),
    )
}

/// Some tags of a repository.
pub(crate) fn some(tx: &mut Tx<'_>, repository: i64, limit: u32) -> Result<Vec<Tag>, Error> {
    let names = page(tx, repository, None, limit)?;
    Ok(names
        .iter()
        .take(limit as usize)
        .filter_map(|name| Tag::parse(name).ok())
        .collect())
}

/// The newest clock of the versions of a repository's tags, 0 if it has none; `None` if there are more than `limit`.
pub(crate) fn newest_of_few(
    tx: &mut Tx<'_>,
    repository: i64,
    limit: u32,
) -> Result<Option<i64>, Error> {
    let versions = tx.query(
        "SELECT hlc FROM tag_versions WHERE repository_id = ?1 LIMIT ?2",
        &[repository.into(), (i64::from(limit) + 1).into()],
        |row| row.get_i64(0),
    )?;
    let is_all = versions.len() <= limit as usize;
    Ok(is_all.then(|| versions.into_iter().max().unwrap_or(0)))
}

/// Removes up to `limit` tags, then as many versions; returns how many rows went.
pub(crate) fn remove_some(tx: &mut Tx<'_>, repository: i64, limit: u32) -> Result<u64, Error> {
    let gone = tx.execute(
        "DELETE FROM tags WHERE repository_id = ?1 AND name IN \
         (SELECT name FROM tags WHERE repository_id = ?1 ORDER BY name LIMIT ?2)",
        &[repository.into(), limit.into()],
    )?;
    if gone > 0 {
        return Ok(gone);
    }
    tx.execute(
        "DELETE FROM tag_versions WHERE repository_id = ?1 AND (name, hlc, origin) IN \
         (SELECT name, hlc, origin FROM tag_versions WHERE repository_id = ?1 ORDER BY name, hlc, origin LIMIT ?2)",
        &[repository.into(), limit.into()],
    )
}
