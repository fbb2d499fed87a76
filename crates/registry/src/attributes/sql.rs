//! Statements on `attributes`.

use lazuli_db::{Error, Row, Tx, Value};
use lazuli_wire::acr::{Flag, Flags};

use super::{Attributes, Subject};

/// What a subject is found by.
struct Key {
    tag: String,
    digest: Vec<u8>,
}

impl Key {
    fn of(subject: &Subject) -> Self {
        let (tag, digest) = match subject {
            Subject::Repository => (String::new(), Vec::new()),
            Subject::Manifest(digest) => (String::new(), digest.to_bytes()),
            Subject::Tag(tag) => (tag.as_str().to_owned(), Vec::new()),
        };
        Self { tag, digest }
    }

    fn params(&self, repository: i64) -> [Value<'_>; 3] {
        [
            repository.into(),
            self.tag.as_str().into(),
            self.digest.as_slice().into(),
        ]
    }
}

pub(crate) fn find(
    tx: &mut Tx<'_>,
    repository: i64,
    subject: &Subject,
) -> Result<Option<Attributes>, Error> {
    tx.query_one(
        "SELECT flags, quarantine_state, quarantine_details FROM attributes \
         WHERE repository_id = ?1 AND tag = ?2 AND digest = ?3",
        &Key::of(subject).params(repository),
        |row| read(row, 0).map(Option::unwrap_or_default),
    )
}

/// Attributes in three columns from `first` on, which are NULL where nothing was said.
pub(crate) fn read(row: &Row<'_>, first: usize) -> Result<Option<Attributes>, Error> {
    let Some(flags) = row.get_i64_opt(first)? else {
        return Ok(None);
    };
    Ok(Some(Attributes {
        flags: Flags::from_bits(flags),
        quarantine_state: row.get_string_opt(first + 1)?,
        quarantine_details: row.get_string_opt(first + 2)?,
    }))
}

/// What is switched on, and the clock of the operation that said so.
pub(super) fn flags(
    tx: &mut Tx<'_>,
    repository: i64,
    subject: &Subject,
) -> Result<Option<(Flags, i64)>, Error> {
    tx.query_one(
        "SELECT flags, hlc FROM attributes WHERE repository_id = ?1 AND tag = ?2 AND digest = ?3",
        &Key::of(subject).params(repository),
        |row| Ok((Flags::from_bits(row.get_i64(0)?), row.get_i64(1)?)),
    )
}

/// Something of the repository that may not be deleted.
pub(super) fn any_kept(
    tx: &mut Tx<'_>,
    repository: i64,
) -> Result<Option<(String, Vec<u8>, Flags)>, Error> {
    const BOTH: i64 = Flag::Delete as i64 | Flag::Write as i64;
    tx.query_one(
        "SELECT tag, digest, flags FROM attributes WHERE repository_id = ?1 AND (flags & ?2) <> ?2 LIMIT 1",
        &[repository.into(), BOTH.into()],
        |row| {
            let flags = Flags::from_bits(row.get_i64(2)?);
            Ok((row.get_string(0)?, row.get_bytes(1)?, flags))
        },
    )
}

/// The clock of the newest operation that said something of the repository.
pub(super) fn newest_hlc(tx: &mut Tx<'_>, repository: i64) -> Result<Option<i64>, Error> {
    let newest = tx.query_one(
        "SELECT MAX(hlc) FROM attributes WHERE repository_id = ?1",
        &[repository.into()],
        |row| row.get_i64_opt(0),
    )?;
    Ok(newest.flatten())
}

pub(super) fn set(
    tx: &mut Tx<'_>,
    repository: i64,
    subject: &Subject,
    attributes: &Attributes,
    hlc: i64,
    now: i64,
) -> Result<(), Error> {
    let key = Key::of(subject);
    let [repository, tag, digest] = key.params(repository);
    tx.send(
        "INSERT INTO attributes (repository_id, tag, digest, flags, quarantine_state, quarantine_details, hlc, updated_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (repository_id, tag, digest) DO UPDATE SET flags = excluded.flags, \
         quarantine_state = excluded.quarantine_state, quarantine_details = excluded.quarantine_details, hlc = excluded.hlc, \
         updated_at = excluded.updated_at",
        &[
            repository,
            tag,
            digest,
            i64::from(attributes.flags.bits()).into(),
            attributes.quarantine_state.as_deref().into(),
            attributes.quarantine_details.as_deref().into(),
            hlc.into(),
            now.into(),
        ],
    )
}

/// Its subject is gone.
pub(crate) fn remove(tx: &mut Tx<'_>, repository: i64, subject: &Subject) -> Result<(), Error> {
    tx.send(
        "DELETE FROM attributes WHERE repository_id = ?1 AND tag = ?2 AND digest = ?3",
        &Key::of(subject).params(repository),
    )
}

/// The repository is gone, or holds nothing any more.
pub(crate) fn remove_all(tx: &mut Tx<'_>, repository: i64) -> Result<(), Error> {
    tx.send(
        "DELETE FROM attributes WHERE repository_id = ?1",
        &[repository.into()],
    )
}

/// Some rows of a repository that was deleted; returns how many went.
pub(crate) fn remove_some(tx: &mut Tx<'_>, repository: i64, limit: u32) -> Result<u64, Error> {
    tx.execute(
        "DELETE FROM attributes WHERE repository_id = ?1 AND (tag, digest) IN \
         (SELECT tag, digest FROM attributes WHERE repository_id = ?1 ORDER BY tag, digest LIMIT ?2)",
        &[repository.into(), limit.into()],
    )
}
