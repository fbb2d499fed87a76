//! Who is trusted, as rows.

use lazuli_db::{Result, Tx, params};
use lazuli_wire::Guid;
use serde_json::{Map, Value};

use super::{IssuerKind, TrustedIssuer};
use crate::rbac::policy::bump;

/// Most trusted issuers.
const MOST: u32 = 1000;

/// All of them.
pub(crate) fn list(tx: &mut Tx<'_>) -> Result<Vec<TrustedIssuer>> {
    let found = tx.query(
        "SELECT name, kind, issuer, tenant_id, audiences, rules, enabled FROM trusted_issuers ORDER BY name LIMIT ?1",
        params![MOST],
        |row| {
            let Some(kind) = IssuerKind::parse(row.get_text(1)?) else {
                return Ok(None);
            };
            let rules: Map<String, Value> = serde_json::from_str(row.get_text(5)?).unwrap_or_default();
            Ok(Some(TrustedIssuer {
                name: row.get_string(0)?,
                kind,
                issuer: row.get_string(2)?,
                tenant: Guid::parse(row.get_text(3)?).unwrap_or(Guid::ZERO),
                audiences: serde_json::from_str(row.get_text(4)?).unwrap_or_default(),
                rules,
                enabled: row.get_bool(6)?,
            }))
        },
    )?;
    Ok(found.into_iter().flatten().collect())
}

/// Adds one, or replaces the one of its name.
pub(crate) fn put(tx: &mut Tx<'_>, issuer: &TrustedIssuer, now: i64) -> Result<()> {
    let audiences = Value::from(issuer.audiences.clone()).to_string();
    let rules = Value::from(issuer.rules.clone()).to_string();
    tx.execute(
        "INSERT INTO trusted_issuers (name, kind, issuer, tenant_id, audiences, rules, enabled, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8)
         ON CONFLICT (name) DO UPDATE SET kind = excluded.kind, issuer = excluded.issuer,
           tenant_id = excluded.tenant_id, audiences = excluded.audiences, rules = excluded.rules,
           enabled = excluded.enabled, updated_at = excluded.updated_at",
        params![
            &issuer.name,
            issuer.kind.as_str(),
            &issuer.issuer,
            &issuer.tenant.to_string(),
            &audiences,
            &rules,
            issuer.enabled,
            now
        ],
    )?;
    bump(tx)
}

/// Removes one; `false` when there is none of this name.
pub(crate) fn delete(tx: &mut Tx<'_>, name: &str) -> Result<bool> {
    let deleted = tx.execute("DELETE FROM trusted_issuers WHERE name = ?1", params![name])?;
    bump(tx)?;
    Ok(deleted == 1)
}

/// The tenant that named a principal of another directory first.
pub(crate) fn tenant_of(tx: &mut Tx<'_>, object: Guid) -> Result<Option<String>> {
    tx.query_one(
        "SELECT tenant_id FROM external_principals WHERE object_id = ?1",
        params![&object.to_string()],
        |row| row.get_string(0),
    )
}

/// Binds a principal of another directory to its tenant.
pub(crate) fn bind(
    tx: &mut Tx<'_>,
    object: Guid,
    tenant: Guid,
    kind: &str,
    name: &str,
    now: i64,
) -> Result<()> {
    tx.execute(
        "INSERT INTO external_principals (object_id, tenant_id, kind, display_name, first_seen)
         VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
        params![&object.to_string(), &tenant.to_string(), kind, name, now],
    )
    .map(drop)
}
