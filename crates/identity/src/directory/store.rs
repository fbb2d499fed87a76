//! Rows of the directory, within a transaction.

mod credentials;
mod members;
mod objects;

pub(crate) use credentials::{credentials, delete_credential, put_credential};
pub(crate) use members::{add_member, groups_of, is_member, members, remove_member, within};
pub(crate) use objects::{delete, find, get, insert, list, named, update};

use lazuli_db::{Result, Tx, params, settings};
use lazuli_wire::Guid;

use crate::directory::state::NO_REGISTRY;
use crate::external::{self, TrustedIssuer};
use crate::keys::Purpose;
pub(crate) use crate::rbac::policy::bump;
use crate::rbac::policy::generation;
use crate::store::KeyRow;

/// The names of the installation's tenant and domain among the settings.
pub(crate) const TENANT: &str = "tenant_id";
pub(crate) const DOMAIN: &str = "tenant_domain";

/// What a [`DirectoryState`](crate::directory::state::DirectoryState) is made of.
pub(crate) struct DirectoryRows {
    pub(crate) tenant: Guid,
    pub(crate) domain: Box<str>,
    pub(crate) keys: Vec<KeyRow>,
    pub(crate) issuers: Vec<TrustedIssuer>,
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
        issuers: external::store::list(tx)?,
        generation: generation(tx)?,
    }))
}
