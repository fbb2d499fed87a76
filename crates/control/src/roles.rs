//! Roles, who has them where, and what is denied.

use std::sync::Arc;

use lazuli_identity::rbac::store::{
    self, AssignmentError, AssignmentFilter, DefinitionError, DenyAssignment, RoleAssignment,
};
use lazuli_identity::rbac::{RoleDefinition, RoleKind};
use lazuli_wire::Guid;
use lazuli_wire::arm::{AssignmentBody, DefinitionBody, Filter};
use lazuli_wire::arm_scope::ArmScope;
use lazuli_wire::rbac::{ActionPattern, Permissions};

use crate::actor::Actor;
use crate::control::{Control, Made};
use crate::locks::Change;
use crate::{Error, Result, subscriptions};

/// The kinds of principals that assignments name.
const PRINCIPAL_TYPES: [&str; 5] = [
    "User",
    "Group",
    "ServicePrincipal",
    "ForeignGroup",
    "Device",
];

impl From<AssignmentError> for Error {
    fn from(error: AssignmentError) -> Self {
        let message = error.to_string();
        match error {
            AssignmentError::Exists(id) => Self::conflict(
                "RoleAssignmentExists",
                format!(
                    "The role assignment already exists. The ID of the existing role assignment is {}.",
                    id.to_string().replace('-', "")
                ),
            ),
            AssignmentError::Fixed => Self::conflict(
                "RoleAssignmentUpdateNotPermitted",
                "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.",
            ),
            AssignmentError::UnknownRole(id) => Self::NotFound {
                code: "RoleDefinitionDoesNotExist",
                message: format!(
                    "The specified role definition with ID '{}' does not exist.",
                    id.to_string().replace('-', "")
                ),
            },
            AssignmentError::NotAssignable => {
                Self::invalid("InvalidRoleAssignmentScope", message, "properties.scope")
            }
            AssignmentError::Database(error) => Self::Database(error),
            _ => Self::invalid("InvalidCondition", message, "properties.condition"),
        }
    }
}

impl From<DefinitionError> for Error {
    fn from(error: DefinitionError) -> Self {
        let message = error.to_string();
        match error {
            DefinitionError::BuiltIn => Self::conflict("BuiltInRoleDefinition", message),
            DefinitionError::NameTaken(_) => {
                Self::conflict("RoleDefinitionWithSameNameExists", message)
            }
            DefinitionError::TooMany => Self::conflict("RoleDefinitionLimitExceeded", message),
            DefinitionError::NoAssignableScope => {
                Self::invalid("InvalidParameter", message, "properties.assignableScopes")
            }
            DefinitionError::InUse => Self::conflict("RoleDefinitionHasAssignments", message),
            DefinitionError::Database(error) => Self::Database(error),
        }
    }
}

impl Control {
    /// Assignments that count at a scope, and those the filter adds or leaves out.
    pub async fn role_assignments(
        &self,
        actor: &Actor,
        filter: &Filter,
    ) -> Result<Vec<RoleAssignment>> {
        let scope = actor.scope().clone();
        let assigned_to = match filter.assigned_to {
            Some(principal) => {
                let groups = self.inner().identity.groups_of_object(principal, true);
                let groups = groups.await?.into_iter().map(|group| group.id);
                Some(groups.chain([principal]).collect())
            }
            None => filter.principal.map(|principal| vec![principal]),
        };
        let wanted = AssignmentFilter {
            scope: scope.clone(),
            below: !filter.at_scope && !filter.at_exact_scope,
            principals: assigned_to,
        };
        let exact = filter.at_exact_scope;
        self.read(move |tx| {
            known_subscription(tx, &scope)?;
            let mut found = store::list_assignments(tx, &wanted)?;
            found.retain(|one| !exact || one.scope == scope);
            Ok(found)
        })
        .await
    }

    /// An assignment at exactly a scope.
    pub async fn role_assignment(&self, actor: &Actor, id: Guid) -> Result<RoleAssignment> {
        let scope = actor.scope().clone();
        self.read(move |tx| {
            let found = store::assignment(tx, id)?.filter(|one| one.scope == scope);
            found.ok_or_else(|| no_assignment(id))
        })
        .await
    }

    /// Gives a role to a principal. Returns whether the assignment is new.
    pub async fn put_role_assignment(
        &self,
        actor: &Actor,
        id: Guid,
        body: AssignmentBody,
    ) -> Result<(RoleAssignment, bool)> {
        let role = role_of(&body.role_definition_id)?;
        let principal_type = principal_type(body.principal_type.as_deref())?;
        if body.condition.is_some()
            && body
                .condition_version
                .as_deref()
                .is_some_and(|v| v != "2.0")
        {
            let message = "The version of the condition has to be 2.0.";
            return Err(Error::invalid(
                "InvalidCondition",
                message,
                "properties.conditionVersion",
            ));
        }
        let condition = body.condition.filter(|text| !text.trim().is_empty());
        let (scope, by) = (actor.scope().clone(), actor.object());
        let resource = scope.clone();
        let made = self.change(actor, &resource, Change::Write, move |tx, now| {
            known_subscription(tx, &scope)?;
            let known = store::assignment(tx, id)?;
            let wanted = RoleAssignment {
                id,
                scope: known
                    .as_ref()
                    .filter(|known| known.scope == scope)
                    .map_or_else(|| scope.clone(), |known| known.scope.clone()),
                role,
                principal: body.principal_id,
                principal_type: match (&principal_type, &known) {
                    (Some(given), _) => (*given).to_owned(),
                    (None, Some(known)) => known.principal_type.clone(),
                    (None, None) => "User".to_owned(),
                },
                description: body.description.clone(),
                condition: condition.clone(),
                created_at: known.as_ref().map_or(now, |known| known.created_at),
                created_by: known
                    .as_ref()
                    .map_or_else(|| by.clone(), |known| known.created_by.clone()),
                updated_at: now,
                updated_by: by.clone(),
            };
            store::put_assignment(tx, &wanted)?;
            let detail = serde_json::json!({
                "assignment": id.to_string(),
                "role": role.to_string(),
                "principal": body.principal_id.to_string(),
                "conditional": condition.is_some(),
            });
            Ok(Made::change((wanted, known.is_none())).detail(detail))
        });
        let (assignment, is_new) = made.await?;
        self.warn_of_defeated(&assignment).await?;
        Ok((assignment, is_new))
    }

    /// A condition means nothing where the same role was given to the same principal without one.
    async fn warn_of_defeated(&self, assignment: &RoleAssignment) -> Result<()> {
        let filter = AssignmentFilter {
            scope: assignment.scope.clone(),
            below: assignment.condition.is_none(),
            principals: Some(vec![assignment.principal]),
        };
        let others = self
            .read(move |tx| Ok(store::list_assignments(tx, &filter)?))
            .await?;
        let others = others
            .iter()
            .filter(|one| one.role == assignment.role && one.id != assignment.id);
        for other in others {
            if other.condition.is_some() != assignment.condition.is_some() {
                tracing::warn!(
                    principal = %assignment.principal, role = %assignment.role, one = %assignment.id, other = %other.id,
                    scope = %assignment.scope,
                    "a role is assigned with a condition and without one: the condition has no effect where both count"
                );
            }
        }
        Ok(())
    }

    /// Takes a role away; `None` when there is no such assignment.
    pub async fn delete_role_assignment(
        &self,
        actor: &Actor,
        id: Guid,
    ) -> Result<Option<RoleAssignment>> {
        let scope = actor.scope().clone();
        let resource = scope.clone();
        self.change(actor, &resource, Change::Delete, move |tx, _| {
            let here = store::assignment(tx, id)?.is_some_and(|one| one.scope == scope);
            if !here {
                return Ok(Made::nothing(None));
            }
            let gone = store::delete_assignment(tx, id)?;
            Ok(Made::change(gone).detail(serde_json::json!({"assignment": id.to_string()})))
        })
        .await
    }

    /// Roles that can be assigned at a scope.
    pub async fn role_definitions(
        &self,
        actor: &Actor,
        filter: &Filter,
    ) -> Result<Vec<Arc<RoleDefinition>>> {
        let (scope, filter) = (actor.scope().clone(), filter.clone());
        self.read(move |tx| {
            known_subscription(tx, &scope)?;
            let mut found = store::list_definitions(tx)?;
            found.retain(|role| {
                let named = filter
                    .role_name
                    .as_ref()
                    .is_none_or(|name| name.eq_ignore_ascii_case(&role.name));
                let kind = match role.kind {
                    RoleKind::BuiltIn => "BuiltInRole",
                    RoleKind::Custom => "CustomRole",
                };
                let of_kind = filter
                    .role_type
                    .as_ref()
                    .is_none_or(|wanted| wanted.eq_ignore_ascii_case(kind));
                let at = |one: &ArmScope| one.contains(&scope) || scope.contains(one);
                named && of_kind && role.assignable_scopes.iter().any(at)
            });
            Ok(found)
        })
        .await
    }

    /// A role.
    pub async fn role_definition(&self, _: &Actor, id: Guid) -> Result<Arc<RoleDefinition>> {
        self.read(move |tx| store::definition(tx, id)?.ok_or_else(|| no_definition(id)))
            .await
    }

    /// Makes a custom role, or replaces it. The caller has to have the right at every scope where it is to be assignable, which
    /// the `elsewhere` proofs show. Returns whether it is new.
    pub async fn put_role_definition(
        &self,
        actor: &Actor,
        id: Guid,
        body: DefinitionBody,
        elsewhere: &[lazuli_identity::ArmAccess],
    ) -> Result<(Arc<RoleDefinition>, bool)> {
        if body
            .role_type
            .as_deref()
            .is_some_and(|kind| !kind.eq_ignore_ascii_case("CustomRole"))
        {
            let message = "Only roles of the type CustomRole can be made.";
            return Err(Error::invalid(
                "InvalidParameter",
                message,
                "properties.type",
            ));
        }
        let name = body.role_name.trim().to_owned();
        if name.is_empty() || name.chars().count() > 512 {
            let message = "The name of a role has 1 to 512 characters.";
            return Err(Error::invalid(
                "InvalidParameter",
                message,
                "properties.roleName",
            ));
        }
        let permissions = permissions(&body)?;
        let scopes = assignable_scopes(&body)?;
        if !scopes
            .iter()
            .all(|scope| elsewhere.iter().any(|proof| proof.scope() == scope))
        {
            return Err(Error::invalid(
                "LinkedAuthorizationFailed",
                "You need the right to write role definitions at every assignable scope.",
                "properties.assignableScopes",
            ));
        }
        let (by, tenant) = (actor.object(), actor.caller().tenant());
        let resource = actor.scope().clone();
        self.change(actor, &resource, Change::Write, move |tx, now| {
            let known = store::definition(tx, id)?;
            let wanted = RoleDefinition {
                id,
                name: name.clone(),
                description: body.description.clone().unwrap_or_default(),
                kind: RoleKind::Custom,
                permissions: permissions.clone().into(),
                assignable_scopes: scopes.clone(),
                created_at: known.as_ref().map_or(now, |known| known.created_at),
                created_by: known
                    .as_ref()
                    .map_or_else(|| by.clone(), |known| known.created_by.clone()),
                updated_at: now,
                updated_by: by.clone(),
            };
            store::put_definition(tx, tenant, &wanted)?;
            let detail = serde_json::json!({"role": id.to_string(), "name": name});
            Ok(Made::change((Arc::new(wanted), known.is_none())).detail(detail))
        })
        .await
    }

    /// Removes a custom role; `None` when there is none.
    pub async fn delete_role_definition(
        &self,
        actor: &Actor,
        id: Guid,
    ) -> Result<Option<Arc<RoleDefinition>>> {
        let resource = actor.scope().clone();
        self.change(actor, &resource, Change::Delete, move |tx, _| {
            Ok(match store::delete_definition(tx, id)? {
                Some(gone) => {
                    Made::change(Some(gone)).detail(serde_json::json!({"role": id.to_string()}))
                }
                None => Made::nothing(None),
            })
        })
        .await
    }

    /// What is denied at a scope.
    pub async fn deny_assignments(&self, actor: &Actor) -> Result<Vec<DenyAssignment>> {
        let scope = actor.scope().clone();
        self.read(move |tx| {
            known_subscription(tx, &scope)?;
            Ok(store::list_denials(tx, &scope, true)?)
        })
        .await
    }

    /// A deny assignment.
    pub async fn deny_assignment(&self, actor: &Actor, id: Guid) -> Result<DenyAssignment> {
        let scope = actor.scope().clone();
        self.read(move |tx| {
            let found = store::deny(tx, id)?.filter(|one| one.scope == scope);
            found.ok_or_else(|| Error::NotFound {
                code: "DenyAssignmentNotFound",
                message: format!("The deny assignment '{id}' is not found."),
            })
        })
        .await
    }
}

/// The scopes where a role is to be assignable.
pub fn assignable_scopes(body: &DefinitionBody) -> Result<Vec<ArmScope>> {
    if body.assignable_scopes.len() > 100 {
        let message = "A role has at most 100 assignable scopes.";
        return Err(Error::invalid(
            "InvalidParameter",
            message,
            "properties.assignableScopes",
        ));
    }
    let scopes = body.assignable_scopes.iter().map(|text| {
        ArmScope::parse(text).map_err(|error| {
            let message = format!("'{text}' is not a scope: {error}.");
            Error::invalid("InvalidParameter", message, "properties.assignableScopes")
        })
    });
    scopes.collect()
}

fn permissions(body: &DefinitionBody) -> Result<Vec<Permissions>> {
    let patterns = |texts: &[String]| -> Result<Vec<ActionPattern>> {
        let patterns = texts.iter().map(|text| {
            ActionPattern::parse(text).map_err(|error| {
                let message = format!("'{text}' is not an action: {error}.");
                Error::invalid(
                    "InvalidActionOrNotAction",
                    message,
                    "properties.permissions",
                )
            })
        });
        patterns.collect()
    };
    let permissions = body.permissions.iter().map(|one| {
        Ok(Permissions {
            actions: patterns(&one.actions)?,
            not_actions: patterns(&one.not_actions)?,
            data_actions: patterns(&one.data_actions)?,
            not_data_actions: patterns(&one.not_data_actions)?,
        })
    });
    permissions.collect()
}

/// The role of an identifier, of whichever scope it is written at, or of its GUID alone.
fn role_of(text: &str) -> Result<Guid> {
    let last = text
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or(text);
    Guid::parse(last).map_err(|_| {
        let message = format!("'{text}' is not the identifier of a role definition.");
        Error::invalid(
            "InvalidRoleDefinitionId",
            message,
            "properties.roleDefinitionId",
        )
    })
}

fn principal_type(given: Option<&str>) -> Result<Option<&'static str>> {
    let Some(given) = given else {
        return Ok(None);
    };
    let known = PRINCIPAL_TYPES
        .into_iter()
        .find(|kind| kind.eq_ignore_ascii_case(given));
    match known {
        Some(kind) => Ok(Some(kind)),
        None => {
            let message = format!(
                "The principal type '{given}' is none of {}.",
                PRINCIPAL_TYPES.join(", ")
            );
            Err(Error::invalid(
                "InvalidParameter",
                message,
                "properties.principalType",
            ))
        }
    }
}

fn known_subscription(tx: &mut lazuli_db::Tx<'_>, scope: &ArmScope) -> Result<()> {
    match scope.subscription_id().map(Guid::parse) {
        Some(Ok(id)) => subscriptions::require(tx, id).map(drop),
        _ => Ok(()),
    }
}

fn no_assignment(id: Guid) -> Error {
    Error::NotFound {
        code: "RoleAssignmentNotFound",
        message: format!("The role assignment '{id}' is not found."),
    }
}

fn no_definition(id: Guid) -> Error {
    Error::NotFound {
        code: "RoleDefinitionDoesNotExist",
        message: format!(
            "The specified role definition with ID '{}' does not exist.",
            id.to_string().replace('-', "")
        ),
    }
}
