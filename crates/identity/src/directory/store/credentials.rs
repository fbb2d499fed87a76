//! What objects prove themselves with.

use lazuli_db::{Result, Tx, params};
use lazuli_wire::Guid;

use super::bump;
use crate::directory::object::{Credential, CredentialKind};

/// Most credentials of one object that are looked at.
const MOST: u32 = 256;

/// The credentials of an object.
pub(crate) fn credentials(tx: &mut Tx<'_>, object: Guid) -> Result<Vec<Credential>> {
    let found = tx.query(
        "SELECT id, kind, name, hint, starts_at, expires_at, data FROM directory_credentials WHERE object_id = ?1
         ORDER BY created_at DESC, id LIMIT ?2",
        params![&object.to_string(), MOST],
        |row| {
            let (Ok(id), Some(kind)) = (
                Guid::parse(row.get_text(0)?),
                CredentialKind::parse(row.get_text(1)?),
            ) else {
                return Ok(None);
            };
            Ok(Some(Credential {
                id,
                kind,
                name: row.get_string(2)?,
                hint: row.get_string(3)?,
                starts_at: row.get_i64(4)?,
                expires_at: row.get_i64_opt(5)?,
                data: row.get_bytes(6)?,
            }))
        },
    )?;
    Ok(found.into_iter().flatten().collect())
}

/// Adds a credential, or replaces the one with its number.
pub(crate) fn put_credential(
    tx: &mut Tx<'_>,
    object: Guid,
    credential: &Credential,
    now: i64,
) -> Result<()> {
    tx.execute(
        "INSERT INTO directory_credentials (object_id, id, kind, name, data, hint, starts_at, expires_at, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (object_id, id) DO UPDATE SET kind = excluded.kind, name = excluded.name, data = excluded.data,
           hint = excluded.hint, starts_at = excluded.starts_at, expires_at = excluded.expires_at,
           created_at = excluded.created_at",
        params![
            &object.to_string(),
            &credential.id.to_string(),
            credential.kind.as_str(),
            &credential.name,
            &credential.data,
            &credential.hint,
            credential.starts_at,
            credential.expires_at,
            now
        ],
    )?;
    bump(tx)
}

/// Removes a credential; `false` when there is none with this number.
pub(crate) fn delete_credential(tx: &mut Tx<'_>, object: Guid, id: Guid) -> Result<bool> {
    let deleted = tx.execute(
        "DELETE FROM directory_credentials WHERE object_id = ?1 AND id = ?2",
        params![&object.to_string(), &id.to_string()],
    )?;
    bump(tx)?;
    Ok(deleted == 1)
}
