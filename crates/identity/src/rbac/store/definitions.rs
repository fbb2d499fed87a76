//! Role definitions: the built-in ones and the rows of custom ones.

use std::sync::Arc;

use lazuli_db::Row;
use lazuli_db::{Result, Tx, params};
use lazuli_wire::Guid;
use lazuli_wire::arm_scope::ArmScope;

use super::{MAX_ROWS, guid, json, to_json};
use crate::rbac::policy;
use crate::rbac::roles::{RoleDefinition, RoleKind, built_in, built_in_roles};

/// Custom roles at most, as in Azure.
const MAX_CUSTOM: i64 = 5_000;

/// Why a role definition cannot be stored or removed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DefinitionError {
    /// Built-in roles never change.
    #[error("a built-in role cannot be changed")]
    BuiltIn,
    /// Another role has the name.
    #[error("another role has the name {0}")]
    NameTaken(String),
    /// There are as many custom roles as there can be.
    #[error("there are 5000 custom roles already")]
    TooMany,
    /// A custom role says where it can be assigned.
    #[error("a custom role has at least one assignable scope")]
    NoAssignableScope,
    /// Assignments use the role.
    #[error("there are role assignments that use the role")]
    InUse,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] lazuli_db::Error),
}

fn read(row: &Row<'_>) -> Result<Arc<RoleDefinition>> {
    let permissions: Vec<_> = json(row.get_text(3)?, "role_definitions.permissions")?;
    Ok(Arc::new(RoleDefinition {
        id: guid(row.get_text(0)?, "role_definitions.id")?,
        name: row.get_string(1)?,
        description: row.get_string(2)?,
        kind: RoleKind::Custom,
        permissions: permissions.into(),
        assignable_scopes: json(row.get_text(4)?, "role_definitions.assignable_scopes")?,
        created_at: row.get_i64(5)?,
        created_by: row.get_string(6)?,
        updated_at: row.get_i64(7)?,
        updated_by: row.get_string(8)?,
    }))
}

/// The role of an identifier.
pub fn definition(tx: &mut Tx<'_>, id: Guid) -> Result<Option<Arc<RoleDefinition>>> {
    if let Some(role) = built_in(id) {
        return Ok(Some(Arc::clone(role)));
    }
    tx.query_one(
        "SELECT id, name, description, permissions, assignable_scopes, created_at, created_by, updated_at, updated_by
         FROM role_definitions WHERE id = ?1",
        params![&id.to_string()],
        read,
    )
}

/// All roles: the built-in ones, then the custom ones, each by name.
pub fn list_definitions(tx: &mut Tx<'_>) -> Result<Vec<Arc<RoleDefinition>>> {
    let mut roles = built_in_roles().to_vec();
    roles.extend(tx.query(
        "SELECT id, name, description, permissions, assignable_scopes, created_at, created_by, updated_at, updated_by
         FROM role_definitions ORDER BY name, id LIMIT ?1",
        params![MAX_ROWS],
        read,
    )?);
    Ok(roles)
}

/// Makes a custom role or replaces the one with its identifier. Who made it, and when, stays.
pub fn put_definition(
    tx: &mut Tx<'_>,
    tenant: Guid,
    new: &RoleDefinition,
) -> std::result::Result<(), DefinitionError> {
    if built_in(new.id).is_some() {
        return Err(DefinitionError::BuiltIn);
    }
    if new.assignable_scopes.is_empty() {
        return Err(DefinitionError::NoAssignableScope);
    }
    let others = list_definitions(tx)?;
    let same_name =
        |role: &Arc<RoleDefinition>| role.id != new.id && role.name.eq_ignore_ascii_case(&new.name);
    if others.iter().any(same_name) {
        return Err(DefinitionError::NameTaken(new.name.clone()));
    }
    let custom = others.len() - built_in_roles().len();
    if custom as i64 >= MAX_CUSTOM && others.iter().all(|role| role.id != new.id) {
        return Err(DefinitionError::TooMany);
    }
    tx.execute(
        "INSERT INTO role_definitions (id, tenant_id, name, description, permissions, assignable_scopes, created_at,
           created_by, updated_at, updated_by)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
         ON CONFLICT (id) DO UPDATE SET name = excluded.name, description = excluded.description,
           permissions = excluded.permissions, assignable_scopes = excluded.assignable_scopes,
           updated_at = excluded.updated_at, updated_by = excluded.updated_by",
        params![
            &new.id.to_string(),
            &tenant.to_string(),
            &new.name,
            &new.description,
            &to_json(&new.permissions.as_ref()),
            &to_json(&new.assignable_scopes),
            new.created_at,
            &new.created_by,
            new.updated_at,
            &new.updated_by
        ],
    )?;
    policy::bump(tx)?;
    Ok(())
}

/// Where a role is assigned; the first thousand places.
pub fn assigned_scopes(tx: &mut Tx<'_>, id: Guid) -> lazuli_db::Result<Vec<ArmScope>> {
    let found = tx.query(
        "SELECT scope FROM role_assignments WHERE role = ?1 ORDER BY scope_key LIMIT 1000",
        params![&id.to_string()],
        |row| row.get_string(0),
    )?;
    let scopes = found.iter().map(|text| {
        ArmScope::parse(text).map_err(|_| lazuli_db::Error::Corrupt("role_assignments.scope"))
    });
    scopes.collect()
}

/// Removes a custom role that nobody has, and returns it.
pub fn delete_definition(
    tx: &mut Tx<'_>,
    id: Guid,
) -> std::result::Result<Option<Arc<RoleDefinition>>, DefinitionError> {
    if built_in(id).is_some() {
        return Err(DefinitionError::BuiltIn);
    }
    let Some(known) = definition(tx, id)? else {
        return Ok(None);
    };
    let used = tx.query_one(
        "SELECT 1 FROM role_assignments WHERE role = ?1",
        params![&id.to_string()],
        |row| row.get_i64(0),
    )?;
    if used.is_some() {
        return Err(DefinitionError::InUse);
    }
    tx.execute(
        "DELETE FROM role_definitions WHERE id = ?1",
        params![&id.to_string()],
    )?;
    policy::bump(tx)?;
    Ok(Some(known))
}
