//! Who has which role where, and what is denied.

use lazuli_identity::rbac::store::{
    self, AssignmentError, AssignmentFilter, DenyAssignment, RoleAssignment,
};
use lazuli_wire::Guid;
use lazuli_wire::arm::{AssignmentBody, Filter};
use lazuli_wire::arm_scope::ArmScope;

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
            AssignmentError::Condition(_) => {
                Self::invalid("InvalidCondition", message, "properties.condition")
            }
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
    if known.is_some() {
        return Ok(known);
    }
    let message = format!(
        "The principal type '{given}' is none of {}.",
        PRINCIPAL_TYPES.join(", ")
    );
    let target = "properties.principalType";
    Err(Error::invalid("InvalidParameter", message, target))
}

/// Fails if the scope is in a subscription that is not there.
pub(crate) fn known_subscription(tx: &mut lazuli_db::Tx<'_>, scope: &ArmScope) -> Result<()> {
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
