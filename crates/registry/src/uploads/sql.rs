//! Statements on `uploads`.

use lazuli_db::Tx;
use lazuli_wire::oci::{Algorithm, UploadId};

use super::Loaded;
use super::commit::OwnedOwner;
use crate::{Error, Result};

/// What the table says of a session.
pub(super) enum Row {
    /// Nothing.
    None,
    /// It was finished or cancelled, has expired, or belongs to somebody else.
    Over,
    /// It takes chunks.
    Open(Loaded),
}

pub(super) fn find(tx: &mut Tx<'_>, owner: &OwnedOwner, id: UploadId, now: i64) -> Result<Row> {
    let found = tx.query_one(
        "SELECT registry_id, repository, principal, algorithm, size, hash_state, content, boot, version, cancelled, created_at, expires_at \
         FROM uploads WHERE id = ?1",
        &[id.as_bytes().as_slice().into()],
        |row| {
            let is_ours = row.get_i64(0)? == owner.registry
                && row.get_text(1)? == owner.repository.as_str()
                && row.get_text(2)? == &*owner.principal;
            if !is_ours || row.get_bool(9)? || row.get_i64(11)? < now {
                return Ok(Row::Over);
            }
            let algorithm =
                u8::try_from(row.get_i64(3)?).ok().and_then(Algorithm::from_code).ok_or(lazuli_db::Error::Corrupt("uploads.algorithm"))?;
            Ok(Row::Open(Loaded {
                id,
                algorithm,
                size: row.get_u64(4)?,
                hash_state: row.get_bytes(5)?,
                content: row.get_bytes_opt(6)?,
                boot: row.get_string(7)?,
                version: row.get_i64(8)?,
                created_at: row.get_i64(10)?,
                expires_at: row.get_i64(11)?,
            }))
        },
    )?;
    Ok(found.unwrap_or(Row::None))
}

/// Records how far a session is. Errors: [`Error::UploadBusy`] when another node did so meanwhile.
pub(super) fn save(tx: &mut Tx<'_>, owner: &OwnedOwner, session: &Loaded) -> Result<()> {
    let changed = if session.version == 0 {
        tx.execute(
            "INSERT INTO uploads (id, registry_id, repository, principal, algorithm, size, hash_state, content, boot, version, cancelled, \
             created_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 1, 0, ?10, ?11) ON CONFLICT DO NOTHING",
            &[
                session.id.as_bytes().as_slice().into(),
                owner.registry.into(),
                owner.repository.as_str().into(),
                (&*owner.principal).into(),
                i64::from(session.algorithm.code()).into(),
                (session.size as i64).into(),
                session.hash_state.as_slice().into(),
                session.content.as_deref().into(),
                session.boot.as_str().into(),
                session.created_at.into(),
                session.expires_at.into(),
            ],
        )?
    } else {
        tx.execute(
            "UPDATE uploads SET size = ?3, hash_state = ?4, content = ?5, boot = ?6, version = version + 1, expires_at = ?7 \
             WHERE id = ?1 AND version = ?2 AND cancelled = 0",
            &[
                session.id.as_bytes().as_slice().into(),
                session.version.into(),
                (session.size as i64).into(),
                session.hash_state.as_slice().into(),
                session.content.as_deref().into(),
                session.boot.as_str().into(),
                session.expires_at.into(),
            ],
        )?
    };
    if changed == 0 {
        Err(Error::UploadBusy)
    } else {
        Ok(())
    }
}

/// How this owner's session [ended](end); `None` if it did not.
pub(super) fn ended(tx: &mut Tx<'_>, owner: &OwnedOwner, id: UploadId) -> Result<Option<Vec<u8>>> {
    let how = tx.query_one(
        "SELECT hash_state FROM uploads WHERE id = ?1 AND registry_id = ?2 AND repository = ?3 AND principal = ?4 AND cancelled = 1",
        &[
            id.as_bytes().as_slice().into(),
            owner.registry.into(),
            owner.repository.as_str().into(),
            (&*owner.principal).into(),
        ],
        |row| row.get_bytes(0),
    )?;
    Ok(how)
}

/// Ends a session. It is remembered until `forget_at`, so that its first `Location` does not start it anew, with how it ended, so
/// that the closing request may be sent again.
pub(super) fn end(
    tx: &mut Tx<'_>,
    owner: &OwnedOwner,
    session: &Loaded,
    how: &[u8],
    forget_at: i64,
) -> Result<()> {
    let changed = if session.version == 0 {
        tx.execute(
            "INSERT INTO uploads (id, registry_id, repository, principal, algorithm, size, hash_state, content, boot, version, cancelled, \
             created_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6, NULL, '', 1, 1, ?7, ?8) ON CONFLICT DO NOTHING",
            &[
                session.id.as_bytes().as_slice().into(),
                owner.registry.into(),
                owner.repository.as_str().into(),
                (&*owner.principal).into(),
                i64::from(session.algorithm.code()).into(),
                how.into(),
                session.created_at.into(),
                forget_at.into(),
            ],
        )?
    } else {
        tx.execute(
            "UPDATE uploads SET cancelled = 1, hash_state = ?3, content = NULL, version = version + 1, expires_at = ?4 \
             WHERE id = ?1 AND version = ?2 AND cancelled = 0",
            &[session.id.as_bytes().as_slice().into(), session.version.into(), how.into(), forget_at.into()],
        )?
    };
    if changed == 0 {
        Err(Error::UploadBusy)
    } else {
        Ok(())
    }
}
