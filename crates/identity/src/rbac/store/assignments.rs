//! Role assignments.

use lazuli_db::Row;
use lazuli_db::{Result, Tx, params};
use lazuli_wire::Guid;
use lazuli_wire::arm_scope::ArmScope;
use lazuli_wire::rbac::{Condition, ConditionError};

use super::{MAX_ROWS, below, definition, guid, scope};
use crate::rbac::policy;

/// A role, given to a principal, at a scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleAssignment {
    /// Its identifier.
    pub id: Guid,
    /// Where it counts, and below.
    pub scope: ArmScope,
    /// The role definition.
    pub role: Guid,
    /// Who has it: a user, a group, a service principal.
    pub principal: Guid,
    /// `User`, `Group`, `ServicePrincipal`, `ForeignGroup`, `Device`.
    pub principal_type: String,
    /// What it is for.
    pub description: Option<String>,
    /// When it counts, in the condition language 2.0.
    pub condition: Option<String>,
    /// Microseconds since the Unix epoch.
    pub created_at: i64,
    /// The object that made it.
    pub created_by: String,
    /// Microseconds since the Unix epoch.
    pub updated_at: i64,
    /// The object that changed it last.
    pub updated_by: String,
}

/// Why a role cannot be assigned.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AssignmentError {
    /// The principal has the role at the scope already, by another assignment.
    #[error("the role assignment exists already: {0}")]
    Exists(Guid),
    /// An assignment of this identifier has another role, principal or scope, which never change.
    #[error("role, principal and scope of a role assignment cannot be changed")]
    Fixed,
    /// There is no such role.
    #[error("there is no role definition {0}")]
    UnknownRole(Guid),
    /// The role may not be assigned here.
    #[error("the role cannot be assigned at this scope: it is not below its assignable scopes")]
    NotAssignable,
    /// The condition cannot be read.
    #[error("the condition is not valid: {0}")]
    Condition(#[from] ConditionError),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] lazuli_db::Error),
}

/// Which assignments are listed.
#[derive(Debug, Clone)]
pub struct AssignmentFilter {
    /// Those at this scope and above it.
    pub scope: ArmScope,
    /// And those below it.
    pub below: bool,
    /// Of these principals only.
    pub principals: Option<Vec<Guid>>,
}

fn read(row: &Row<'_>) -> Result<RoleAssignment> {
    Ok(RoleAssignment {
        id: guid(row.get_text(0)?, "role_assignments.id")?,
        scope: scope(row.get_text(1)?, "role_assignments.scope")?,
        role: guid(row.get_text(2)?, "role_assignments.role")?,
        principal: guid(row.get_text(3)?, "role_assignments.principal_id")?,
        principal_type: row.get_string(4)?,
        description: row.get_string_opt(5)?,
        condition: row.get_string_opt(6)?,
        created_at: row.get_i64(7)?,
        created_by: row.get_string(8)?,
        updated_at: row.get_i64(9)?,
        updated_by: row.get_string(10)?,
    })
}

macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT id, scope, role, principal_id, principal_type, description, condition, created_at, created_by,
               updated_at, updated_by FROM role_assignments WHERE ",
            $condition
        )
    };
}

/// The assignment of an identifier.
pub fn assignment(tx: &mut Tx<'_>, id: Guid) -> Result<Option<RoleAssignment>> {
    tx.query_one(select!("id = ?1"), params![&id.to_string()], read)
}

/// The assignment of a role to a principal at exactly a scope.
pub fn assignment_like(
    tx: &mut Tx<'_>,
    scope: &ArmScope,
    role: Guid,
    principal: Guid,
) -> Result<Option<RoleAssignment>> {
    tx.query_one(
        select!("principal_id = ?1 AND scope_key = ?2 AND role = ?3"),
        params![&principal.to_string(), scope.key(), &role.to_string()],
        read,
    )
}

/// All assignments of a principal itself.
pub(crate) fn assignments_of(tx: &mut Tx<'_>, principal: Guid) -> Result<Vec<RoleAssignment>> {
    tx.query(
        select!("principal_id = ?1 ORDER BY scope_key, id LIMIT ?2"),
        params![&principal.to_string(), MAX_ROWS],
        read,
    )
}

/// Assignments, by scope: 20,000 of a kind at most.
pub fn list_assignments(tx: &mut Tx<'_>, filter: &AssignmentFilter) -> Result<Vec<RoleAssignment>> {
    let mut found = Vec::new();
    if let Some(principals) = &filter.principals {
        for principal in principals {
            found.extend(assignments_of(tx, *principal)?);
        }
        found.retain(|one| {
            one.scope.contains(&filter.scope) || filter.below && filter.scope.contains(&one.scope)
        });
        return Ok(found);
    }
    for key in filter.scope.ancestor_keys() {
        found.extend(tx.query(
            select!("scope_key = ?1 ORDER BY id LIMIT ?2"),
            params![key, MAX_ROWS],
            read,
        )?);
    }
    found.reverse();
    if filter.below {
        let (from, to) = below(&filter.scope);
        let rows = tx.query(
            select!("scope_key > ?1 AND scope_key < ?2 ORDER BY scope_key, id LIMIT ?3"),
            params![&from, &to, MAX_ROWS],
            read,
        )?;
        found.extend(rows);
    }
    Ok(found)
}

/// Makes an assignment, or changes the description and condition of the one with its identifier.
pub fn put_assignment(
    tx: &mut Tx<'_>,
    new: &RoleAssignment,
) -> std::result::Result<(), AssignmentError> {
    let role = definition(tx, new.role)?.ok_or(AssignmentError::UnknownRole(new.role))?;
    let assignable = |scope: &ArmScope| scope.contains(&new.scope);
    if !role.assignable_scopes.iter().any(assignable) {
        return Err(AssignmentError::NotAssignable);
    }
    if let Some(condition) = &new.condition {
        Condition::parse(condition)?;
    }
    if let Some(known) = assignment(tx, new.id)? {
        let same =
            known.role == new.role && known.principal == new.principal && known.scope == new.scope;
        if !same {
            return Err(AssignmentError::Fixed);
        }
    } else if let Some(known) = assignment_like(tx, &new.scope, new.role, new.principal)? {
        return Err(AssignmentError::Exists(known.id));
    }
    tx.execute(
        "INSERT INTO role_assignments (id, scope, scope_key, role, principal_id, principal_type, description, condition,
           created_at, created_by, updated_at, updated_by)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
         ON CONFLICT (id) DO UPDATE SET description = excluded.description, condition = excluded.condition,
           updated_at = excluded.updated_at, updated_by = excluded.updated_by",
        params![
            &new.id.to_string(),
            new.scope.as_str(),
            new.scope.key(),
            &new.role.to_string(),
            &new.principal.to_string(),
            &new.principal_type,
            new.description.as_deref(),
            new.condition.as_deref(),
            new.created_at,
            &new.created_by,
            new.updated_at,
            &new.updated_by
        ],
    )?;
    policy::bump(tx)?;
    Ok(())
}

/// Removes an assignment and returns it.
pub fn delete_assignment(tx: &mut Tx<'_>, id: Guid) -> Result<Option<RoleAssignment>> {
    let Some(known) = assignment(tx, id)? else {
        return Ok(None);
    };
    tx.execute(
        "DELETE FROM role_assignments WHERE id = ?1",
        params![&id.to_string()],
    )?;
    policy::bump(tx)?;
    Ok(Some(known))
}

/// Removes the assignments at a resource that is deleted, and below it. Returns how many there were.
pub fn delete_assignments_below(tx: &mut Tx<'_>, scope: &ArmScope) -> Result<u64> {
    let (from, to) = below(scope);
    let deleted = tx.execute(
        "DELETE FROM role_assignments WHERE scope_key = ?1 OR (scope_key > ?2 AND scope_key < ?3)",
        params![scope.key(), &from, &to],
    )?;
    if deleted > 0 {
        policy::bump(tx)?;
    }
    Ok(deleted)
}
