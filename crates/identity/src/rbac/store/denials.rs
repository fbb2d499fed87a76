//! Deny assignments.

use lazuli_db::Row;
use lazuli_db::{Result, Tx, params};
use lazuli_wire::Guid;
use lazuli_wire::arm_scope::ArmScope;
use lazuli_wire::rbac::{Condition, ConditionError, Permissions};
use serde::{Deserialize, Serialize};

use super::{MAX_ROWS, guid, json, scope, to_json};
use crate::rbac::policy;

/// Deny assignments at most. All of them are looked at when somebody's rights are loaded.
const MAX_DENIALS: i64 = 2_000;

/// Whom a deny assignment is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DenyPrincipal {
    /// The object; zeros stand for everybody.
    pub id: Guid,
}

/// What principals may not do at a scope, whatever roles they have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DenyAssignment {
    /// Its identifier.
    pub id: Guid,
    /// The name people see.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Where it counts, and below.
    pub scope: ArmScope,
    /// Whether it counts at the scope itself only.
    pub is_not_inherited: bool,
    /// What it denies: everything that any of the entries covers.
    pub permissions: Vec<Permissions>,
    /// Who is denied.
    pub principals: Vec<DenyPrincipal>,
    /// Who is not, all the same.
    pub excluded: Vec<DenyPrincipal>,
    /// When it counts, in the condition language 2.0.
    pub condition: Option<String>,
    /// Microseconds since the Unix epoch.
    pub created_at: i64,
    /// The object that made it.
    pub created_by: String,
}

/// Why a deny assignment cannot be stored.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DenyError {
    /// There are as many as there can be.
    #[error("there are 2000 deny assignments already")]
    TooMany,
    /// The condition cannot be read.
    #[error("the condition is not valid: {0}")]
    Condition(#[from] ConditionError),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] lazuli_db::Error),
}

fn read(row: &Row<'_>) -> Result<DenyAssignment> {
    Ok(DenyAssignment {
        id: guid(row.get_text(0)?, "deny_assignments.id")?,
        name: row.get_string(1)?,
        description: row.get_string_opt(2)?,
        scope: scope(row.get_text(3)?, "deny_assignments.scope")?,
        is_not_inherited: row.get_bool(4)?,
        permissions: json(row.get_text(5)?, "deny_assignments.permissions")?,
        principals: json(row.get_text(6)?, "deny_assignments.principals")?,
        excluded: json(row.get_text(7)?, "deny_assignments.excluded")?,
        condition: row.get_string_opt(8)?,
        created_at: row.get_i64(9)?,
        created_by: row.get_string(10)?,
    })
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, description, scope, is_not_inherited, permissions, principals, excluded, condition,
               created_at, created_by FROM deny_assignments ",
            $rest
        )
    };
}

/// The deny assignment of an identifier.
pub fn deny(tx: &mut Tx<'_>, id: Guid) -> Result<Option<DenyAssignment>> {
    tx.query_one(select!("WHERE id = ?1"), params![&id.to_string()], read)
}

pub(crate) fn all_denials(tx: &mut Tx<'_>) -> Result<Vec<DenyAssignment>> {
    tx.query(
        select!("ORDER BY scope_key, id LIMIT ?1"),
        params![MAX_ROWS],
        read,
    )
}

/// Deny assignments at a scope and above it, and below it if wanted.
pub fn list_denials(tx: &mut Tx<'_>, at: &ArmScope, below: bool) -> Result<Vec<DenyAssignment>> {
    let mut all = all_denials(tx)?;
    all.retain(|one| one.scope.contains(at) || below && at.contains(&one.scope));
    Ok(all)
}

/// Makes a deny assignment or replaces the one with its identifier.
pub fn put_deny(tx: &mut Tx<'_>, new: &DenyAssignment) -> std::result::Result<(), DenyError> {
    if let Some(condition) = &new.condition {
        Condition::parse(condition)?;
    }
    let there = tx.query_one("SELECT count(*) FROM deny_assignments", params![], |row| {
        row.get_i64(0)
    })?;
    if there.unwrap_or(0) >= MAX_DENIALS && deny(tx, new.id)?.is_none() {
        return Err(DenyError::TooMany);
    }
    tx.execute(
        "INSERT INTO deny_assignments (id, name, scope, scope_key, permissions, principals, excluded, is_not_inherited,
           condition, description, created_at, created_by)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
         ON CONFLICT (id) DO UPDATE SET name = excluded.name, scope = excluded.scope, scope_key = excluded.scope_key,
           permissions = excluded.permissions, principals = excluded.principals, excluded = excluded.excluded,
           is_not_inherited = excluded.is_not_inherited, condition = excluded.condition,
           description = excluded.description",
        params![
            &new.id.to_string(),
            &new.name,
            new.scope.as_str(),
            new.scope.key(),
            &to_json(&new.permissions),
            &to_json(&new.principals),
            &to_json(&new.excluded),
            new.is_not_inherited,
            new.condition.as_deref(),
            new.description.as_deref(),
            new.created_at,
            &new.created_by
        ],
    )?;
    policy::bump(tx)?;
    Ok(())
}

/// Removes a deny assignment and returns it.
pub fn delete_deny(tx: &mut Tx<'_>, id: Guid) -> Result<Option<DenyAssignment>> {
    let Some(known) = deny(tx, id)? else {
        return Ok(None);
    };
    tx.execute(
        "DELETE FROM deny_assignments WHERE id = ?1",
        params![&id.to_string()],
    )?;
    policy::bump(tx)?;
    Ok(Some(known))
}
