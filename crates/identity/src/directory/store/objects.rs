//! Objects.

use lazuli_db::{Result, Row, Tx, params};
use lazuli_wire::Guid;

use super::bump;
use crate::directory::object::{Object, ObjectKind};

fn read(row: &Row<'_>) -> Result<Option<Object>> {
    let (Ok(id), Some(kind)) = (
        Guid::parse(row.get_text(0)?),
        ObjectKind::parse(row.get_text(1)?),
    ) else {
        return Ok(None);
    };
    Ok(Some(Object {
        id,
        kind,
        name_key: row.get_string(2)?,
        display_name: row.get_string(3)?,
        enabled: row.get_bool(4)?,
        attributes: serde_json::from_str(row.get_text(5)?).unwrap_or_default(),
        sessions_valid_from: row.get_i64(6)?,
        created_at: row.get_i64(7)?,
        updated_at: row.get_i64(8)?,
    }))
}

/// The object with this number.
pub(crate) fn get(tx: &mut Tx<'_>, id: Guid) -> Result<Option<Object>> {
    let found = tx.query_one(
        "SELECT id, kind, name_key, display_name, enabled, attributes, sessions_valid_from, created_at, updated_at
         FROM directory_objects WHERE id = ?1",
        params![&id.to_string()],
        read,
    )?;
    Ok(found.flatten())
}

/// The object of a kind with this name, whatever its case.
pub(crate) fn find(
    tx: &mut Tx<'_>,
    tenant: Guid,
    kind: ObjectKind,
    name: &str,
) -> Result<Option<Object>> {
    let found = tx.query_one(
        "SELECT id, kind, name_key, display_name, enabled, attributes, sessions_valid_from, created_at, updated_at
         FROM directory_objects WHERE tenant_id = ?1 AND kind = ?2 AND name_key = ?3",
        params![&tenant.to_string(), kind.as_str(), &name.to_lowercase()],
        read,
    )?;
    Ok(found.flatten())
}

/// The objects of a kind behind a name, in the order of their names.
pub(crate) fn list(
    tx: &mut Tx<'_>,
    tenant: Guid,
    kind: ObjectKind,
    after: &str,
    limit: u32,
) -> Result<Vec<Object>> {
    let found = tx.query(
        "SELECT id, kind, name_key, display_name, enabled, attributes, sessions_valid_from, created_at, updated_at
         FROM directory_objects WHERE tenant_id = ?1 AND kind = ?2 AND name_key > ?3 ORDER BY name_key LIMIT ?4",
        params![&tenant.to_string(), kind.as_str(), after, limit],
        read,
    )?;
    Ok(found.into_iter().flatten().collect())
}

/// The objects of a kind that people call so.
pub(crate) fn named(
    tx: &mut Tx<'_>,
    tenant: Guid,
    kind: ObjectKind,
    display_name: &str,
) -> Result<Vec<Object>> {
    let found = tx.query(
        "SELECT id, kind, name_key, display_name, enabled, attributes, sessions_valid_from, created_at, updated_at
         FROM directory_objects WHERE tenant_id = ?1 AND kind = ?2 AND display_name = ?3 ORDER BY name_key LIMIT 100",
        params![&tenant.to_string(), kind.as_str(), display_name],
        read,
    )?;
    Ok(found.into_iter().flatten().collect())
}

/// Adds an object; `false` when its name is taken.
pub(crate) fn insert(tx: &mut Tx<'_>, tenant: Guid, object: &Object) -> Result<bool> {
    let attributes = serde_json::Value::from(object.attributes.clone()).to_string();
    let added = tx.execute(
        "INSERT INTO directory_objects (id, tenant_id, kind, name_key, display_name, enabled, attributes,
           sessions_valid_from, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT DO NOTHING",
        params![
            &object.id.to_string(),
            &tenant.to_string(),
            object.kind.as_str(),
            &object.name_key,
            &object.display_name,
            object.enabled,
            &attributes,
            object.sessions_valid_from,
            object.created_at,
            object.updated_at
        ],
    )?;
    bump(tx)?;
    Ok(added == 1)
}

/// Replaces what is known of an object but its number, kind and beginning; `false` when it is gone.
pub(crate) fn update(tx: &mut Tx<'_>, object: &Object) -> Result<bool> {
    let attributes = serde_json::Value::from(object.attributes.clone()).to_string();
    let changed = tx.execute(
        "UPDATE directory_objects SET name_key = ?2, display_name = ?3, enabled = ?4, attributes = ?5,
           sessions_valid_from = ?6, updated_at = ?7 WHERE id = ?1",
        params![
            &object.id.to_string(),
            &object.name_key,
            &object.display_name,
            object.enabled,
            &attributes,
            object.sessions_valid_from,
            object.updated_at
        ],
    )?;
    bump(tx)?;
    Ok(changed == 1)
}

/// Removes an object, its credentials and memberships; `false` when it is gone already.
pub(crate) fn delete(tx: &mut Tx<'_>, id: Guid) -> Result<bool> {
    let id = id.to_string();
    tx.execute(
        "DELETE FROM directory_members WHERE group_id = ?1 OR member_id = ?1",
        params![&id],
    )?;
    tx.execute(
        "DELETE FROM directory_credentials WHERE object_id = ?1",
        params![&id],
    )?;
    let deleted = tx.execute("DELETE FROM directory_objects WHERE id = ?1", params![&id])?;
    bump(tx)?;
    Ok(deleted == 1)
}
