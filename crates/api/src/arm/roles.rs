//! Role definitions, role assignments, deny assignments.

use lazuli_identity::ArmAccess;
use lazuli_identity::rbac::store::{DenyAssignment, DenyPrincipal, RoleAssignment};
use lazuli_identity::rbac::{RoleDefinition, RoleKind};
use lazuli_wire::Guid;
use lazuli_wire::arm::{AssignmentBody, DefinitionBody, Filter, Verb};
use lazuli_wire::arm_scope::ArmScope;
use serde_json::{Value, json};

use super::answer::{Answer, Refused};
use super::render::time;
use super::{Task, action_of, refuse_denied};

const PREFIX: &str = "providers/Microsoft.Authorization";
const WRITE: &str = "Microsoft.Authorization/roleDefinitions/write";
const DELETE: &str = "Microsoft.Authorization/roleDefinitions/delete";

/// The identifier of something at a scope.
fn id_at(scope: &ArmScope, kind: &str, id: Guid) -> String {
    let scope = if scope.is_root() { "" } else { scope.as_str() };
    format!("{scope}/{PREFIX}/{kind}/{id}")
}

/// Roles are written at the subscription, as Azure does, wherever they are asked for.
fn role_id(asked: &ArmScope, id: Guid) -> String {
    match asked.subscription_id() {
        Some(subscription) => {
            format!("/subscriptions/{subscription}/{PREFIX}/roleDefinitions/{id}")
        }
        None => format!("/{PREFIX}/roleDefinitions/{id}"),
    }
}

fn definition_value(asked: &ArmScope, role: &RoleDefinition) -> Value {
    let kind = match role.kind {
        RoleKind::BuiltIn => "BuiltInRole",
        RoleKind::Custom => "CustomRole",
    };
    let by = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    json!({
        "id": role_id(asked, role.id),
        "name": role.id.to_string(),
        "type": "Microsoft.Authorization/roleDefinitions",
        "properties": {
            "roleName": role.name,
            "type": kind,
            "description": role.description,
            "assignableScopes": role.assignable_scopes,
            "permissions": role.permissions.as_ref(),
            "createdOn": time(role.created_at),
            "updatedOn": time(role.updated_at),
            "createdBy": by(&role.created_by),
            "updatedBy": by(&role.updated_by),
        },
    })
}

fn filter(task: &Task<'_>) -> Result<Filter, Refused> {
    Ok(Filter::parse(
        task.parameter("$filter")?.unwrap_or_default(),
    )?)
}

pub(super) async fn definitions(task: &Task<'_>) -> Result<Answer, Refused> {
    let actor = task.actor()?;
    let roles = task.control.role_definitions(actor, &filter(task)?).await?;
    let items = roles
        .iter()
        .map(|role| definition_value(actor.scope(), role));
    Ok(Answer::list(items.collect()))
}

pub(super) async fn definition(task: &Task<'_>, id: Guid, verb: Verb) -> Result<Answer, Refused> {
    let actor = task.actor()?;
    match verb {
        Verb::Get | Verb::Head | Verb::Patch => {
            let role = task.control.role_definition(actor, id).await?;
            Ok(Answer::ok(definition_value(actor.scope(), &role)))
        }
        Verb::Put => {
            let body = DefinitionBody::read(task.object()?)?;
            let mut scopes = lazuli_control::assignable_scopes(&body)?;
            scopes.extend(task.control.role_definition_scopes(id).await?);
            let proofs = proofs(task, WRITE, &scopes).await?;
            let put = task.control.put_role_definition(actor, id, body, &proofs);
            let (role, _) = put.await?;
            // Always 201: clients take nothing else.
            let body = definition_value(actor.scope(), &role);
            Ok(Answer::made(body, true))
        }
        Verb::Delete => {
            let scopes = task.control.role_definition_scopes(id).await?;
            let proofs = proofs(task, DELETE, &scopes).await?;
            let deleted = task.control.delete_role_definition(actor, id, &proofs);
            match deleted.await? {
                Some(role) => Ok(Answer::ok(definition_value(actor.scope(), &role))),
                None => Ok(Answer::nothing()),
            }
        }
    }
}

/// Proofs for those of the scopes where the caller may do this.
async fn proofs(
    task: &Task<'_>,
    action: &str,
    scopes: &[ArmScope],
) -> Result<Vec<ArmAccess>, Refused> {
    let action = action_of(action)?;
    let proofs = task
        .api
        .identity
        .authorize_arm_many(&task.caller, &action, scopes);
    proofs
        .await
        .map_err(|denied| refuse_denied(denied, &task.endpoints))
}

fn assignment_value(asked: &ArmScope, assignment: &RoleAssignment) -> Value {
    let scope = &assignment.scope;
    json!({
        "id": id_at(scope, "roleAssignments", assignment.id),
        "name": assignment.id.to_string(),
        "type": "Microsoft.Authorization/roleAssignments",
        "properties": {
            "roleDefinitionId": role_id(asked, assignment.role),
            "principalId": assignment.principal.to_string(),
            "principalType": assignment.principal_type,
            "scope": scope.as_str(),
            "description": assignment.description,
            "condition": assignment.condition,
            "conditionVersion": assignment.condition.as_ref().map(|_| "2.0"),
            "createdOn": time(assignment.created_at),
            "updatedOn": time(assignment.updated_at),
            "createdBy": assignment.created_by,
            "updatedBy": assignment.updated_by,
        },
    })
}

pub(super) async fn assignments(task: &Task<'_>) -> Result<Answer, Refused> {
    let actor = task.actor()?;
    let found = task.control.role_assignments(actor, &filter(task)?).await?;
    let items = found
        .iter()
        .map(|assignment| assignment_value(actor.scope(), assignment));
    Ok(Answer::list(items.collect()))
}

pub(super) async fn assignment(task: &Task<'_>, id: Guid, verb: Verb) -> Result<Answer, Refused> {
    let actor = task.actor()?;
    match verb {
        Verb::Get | Verb::Head | Verb::Patch => {
            let found = task.control.role_assignment(actor, id).await?;
            Ok(Answer::ok(assignment_value(actor.scope(), &found)))
        }
        Verb::Put => {
            let body = AssignmentBody::read(task.object()?)?;
            let put = task.control.put_role_assignment(actor, id, body);
            let (made, is_new) = put.await?;
            Ok(Answer::made(assignment_value(actor.scope(), &made), is_new))
        }
        Verb::Delete => match task.control.delete_role_assignment(actor, id).await? {
            Some(gone) => Ok(Answer::ok(assignment_value(actor.scope(), &gone))),
            None => Ok(Answer::nothing()),
        },
    }
}

fn denial_value(denial: &DenyAssignment) -> Value {
    let principals = |list: &[DenyPrincipal]| -> Vec<Value> {
        let kind = |id: Guid| {
            if id == Guid::ZERO {
                "SystemDefined"
            } else {
                "User"
            }
        };
        list.iter()
            .map(|one| json!({"id": one.id.to_string(), "type": kind(one.id)}))
            .collect()
    };
    json!({
        "id": id_at(&denial.scope, "denyAssignments", denial.id),
        "name": denial.id.to_string(),
        "type": "Microsoft.Authorization/denyAssignments",
        "properties": {
            "denyAssignmentName": denial.name,
            "description": denial.description,
            "permissions": denial.permissions,
            "scope": denial.scope.as_str(),
            "doNotApplyToChildScopes": denial.is_not_inherited,
            "principals": principals(&denial.principals),
            "excludePrincipals": principals(&denial.excluded),
            "isSystemProtected": false,
            "condition": denial.condition,
            "conditionVersion": denial.condition.as_ref().map(|_| "2.0"),
        },
    })
}

pub(super) async fn denials(task: &Task<'_>) -> Result<Answer, Refused> {
    let found = task.control.deny_assignments(task.actor()?).await?;
    Ok(Answer::list(found.iter().map(denial_value).collect()))
}

pub(super) async fn denial(task: &Task<'_>, id: Guid) -> Result<Answer, Refused> {
    let found = task.control.deny_assignment(task.actor()?, id).await?;
    Ok(Answer::ok(denial_value(&found)))
}
