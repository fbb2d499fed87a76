//! Role definitions: the built-in ones and those made here.

use std::sync::Arc;

use lazuli_identity::rbac::store::{self, DefinitionError};
use lazuli_identity::rbac::{RoleDefinition, RoleKind};
use lazuli_wire::Guid;
use lazuli_wire::arm::{DefinitionBody, Filter};
use lazuli_wire::arm_scope::ArmScope;
use lazuli_wire::rbac::{ActionPattern, Permissions};

use crate::actor::Actor;
use crate::control::{Control, Made};
use crate::locks::Change;
use crate::roles::known_subscription;
use crate::{Error, Result};

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

    /// The scopes where a custom role is assignable now: whoever changes or removes it has to have the right at each of them,
    /// because those who have the role there get what it becomes. Of a role that there is not: none.
    pub async fn role_definition_scopes(&self, id: Guid) -> Result<Vec<ArmScope>> {
        self.read(move |tx| {
            let known = store::definition(tx, id)?;
            Ok(known.map_or_else(Vec::new, |role| role.assignable_scopes.clone()))
        })
        .await
    }

    /// Makes a custom role, or replaces it. The caller has to have the right at every scope where it is to be assignable, and at
    /// those where it was, which the `elsewhere` proofs show. Returns whether it is new.
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
        check_proofs(&scopes, elsewhere)?;
        let proven: Vec<ArmScope> = elsewhere
            .iter()
            .map(|proof| proof.scope().clone())
            .collect();
        let (by, tenant) = (actor.object(), actor.caller().tenant());
        let resource = actor.scope().clone();
        self.change(actor, &resource, Change::Write, move |tx, now| {
            let known = store::definition(tx, id)?;
            if let Some(known) = known.as_ref().filter(|known| known.kind == RoleKind::Custom) {
                check_proven(&known.assignable_scopes, &proven)?;
                let outside = store::assigned_scopes(tx, id)?
                    .into_iter()
                    .find(|used| !scopes.iter().any(|scope| scope.contains(used)));
                if let Some(used) = outside {
                    let message = format!(
                        "The role is assigned at '{}', which the assignable scopes have to keep: remove that assignment first.",
                        used.as_str()
                    );
                    return Err(Error::invalid(
                        "RoleDefinitionHasAssignments",
                        message,
                        "properties.assignableScopes",
                    ));
                }
            }
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

    /// Removes a custom role; `None` when there is none. `elsewhere`: proofs for every scope where it is assignable.
    pub async fn delete_role_definition(
        &self,
        actor: &Actor,
        id: Guid,
        elsewhere: &[lazuli_identity::ArmAccess],
    ) -> Result<Option<Arc<RoleDefinition>>> {
        let proven: Vec<ArmScope> = elsewhere
            .iter()
            .map(|proof| proof.scope().clone())
            .collect();
        let resource = actor.scope().clone();
        self.change(actor, &resource, Change::Delete, move |tx, _| {
            if let Some(known) = store::definition(tx, id)?
                && known.kind == RoleKind::Custom
            {
                check_proven(&known.assignable_scopes, &proven)?;
            }
            Ok(match store::delete_definition(tx, id)? {
                Some(gone) => {
                    Made::change(Some(gone)).detail(serde_json::json!({"role": id.to_string()}))
                }
                None => Made::nothing(None),
            })
        })
        .await
    }
}

fn check_proofs(scopes: &[ArmScope], proofs: &[lazuli_identity::ArmAccess]) -> Result<()> {
    let proven: Vec<ArmScope> = proofs.iter().map(|proof| proof.scope().clone()).collect();
    check_proven(scopes, &proven)
}

fn check_proven(scopes: &[ArmScope], proven: &[ArmScope]) -> Result<()> {
    if scopes.iter().all(|scope| proven.contains(scope)) {
        return Ok(());
    }
    Err(Error::invalid(
        "LinkedAuthorizationFailed",
        "You need the right to write role definitions at every scope where the role is, or was, assignable.",
        "properties.assignableScopes",
    ))
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

fn no_definition(id: Guid) -> Error {
    Error::NotFound {
        code: "RoleDefinitionDoesNotExist",
        message: format!(
            "The specified role definition with ID '{}' does not exist.",
            id.to_string().replace('-', "")
        ),
    }
}
