//! Rows of the directory.

use lazuli_db::{Result, Tx, params, settings};
use lazuli_wire::Guid;

use crate::directory::state::NO_REGISTRY;
use crate::keys::Purpose;
use crate::store::KeyRow;

/// The names of the installation's tenant and domain among the settings.
pub(crate) const TENANT: &str = "tenant_id";
pub(crate) const DOMAIN: &str = "tenant_domain";

/// What a [`DirectoryState`](crate::directory::state::DirectoryState) is made of.
pub(crate) struct DirectoryRows {
    pub(crate) tenant: Guid,
    pub(crate) domain: Box<str>,
    pub(crate) keys: Vec<KeyRow>,
    pub(crate) generation: i64,
}

/// Reads what decides about tokens; `None` before the directory was made.
pub(crate) fn load(tx: &mut Tx<'_>) -> Result<Option<DirectoryRows>> {
    let Some(tenant) = settings::get(tx, TENANT)?.and_then(|text| Guid::parse(&text).ok()) else {
        return Ok(None);
    };
    let domain = settings::get(tx, DOMAIN)?.unwrap_or_default();
    let keys = tx.query(
        "SELECT kid, sealed, created_at, retired_at FROM signing_keys WHERE registry_id = ?1 AND purpose = ?2
         ORDER BY created_at DESC, kid",
        params![NO_REGISTRY.get(), Purpose::Directory.as_str()],
        |row| {
            Ok(KeyRow {
                kid: row.get_string(0)?,
                purpose: Purpose::Directory.as_str().to_owned(),
                sealed: row.get_bytes(1)?,
                created_at: row.get_i64(2)?,
                retired_at: row.get_i64_opt(3)?,
            })
        },
    )?;
    Ok((!keys.is_empty()).then_some(DirectoryRows {
        tenant,
        domain: domain.into(),
        keys,
        generation: generation(tx)?,
    }))
}

fn generation(tx: &mut Tx<'_>) -> Result<i64> {
    let found = tx.query_one(
        "SELECT generation FROM policy WHERE name = 'policy'",
        params![],
        |row| row.get_i64(0),
    )?;
    Ok(found.unwrap_or(0))
}

/// What the object of a token is checked by.
pub(crate) struct Standing {
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) enabled: bool,
    pub(crate) sessions_valid_from: i64,
}

/// Whether an object may still do something.
pub(crate) fn standing(tx: &mut Tx<'_>, object: Guid) -> Result<Option<Standing>> {
    tx.query_one(
        "SELECT kind, display_name, enabled, sessions_valid_from FROM directory_objects WHERE id = ?1",
        params![&object.to_string()],
        |row| {
            Ok(Standing {
                kind: row.get_string(0)?,
                name: row.get_string(1)?,
                enabled: row.get_bool(2)?,
                sessions_valid_from: row.get_i64(3)?,
            })
        },
    )
}
