//! Scope maps of registries.

use lazuli_identity::RegistryId;
use lazuli_identity::scope_maps::store::{self, ScopeMap, ScopeMapError};
use lazuli_wire::arm::{RegistryPath, ScopeMapBody, check_scope_map_name};
use lazuli_wire::rbac::ScopeMapAction;

use crate::actor::{Actor, Precondition};
use crate::control::{Control, Made};
use crate::locks::Change;
use crate::registries::{RegistryResource, require};
use crate::{Error, Result, tiers};

/// The type of scope maps.
const KIND: &str = "Microsoft.ContainerRegistry/registries/scopeMaps";

/// Characters of a description at most.
const MAX_DESCRIPTION: usize = 256;

impl From<ScopeMapError> for Error {
    fn from(error: ScopeMapError) -> Self {
        let message = error.to_string();
        match error {
            ScopeMapError::System(_) => {
                Self::invalid("SystemScopeMapNotModifiable", message, "name")
            }
            ScopeMapError::TooManyActions => {
                Self::invalid("InvalidParameter", message, "properties.actions")
            }
            ScopeMapError::InUse(_) => Self::conflict("ScopeMapInUse", message),
            ScopeMapError::UnknownMap(_) => {
                Self::invalid("ScopeMapNotFound", message, "properties.scopeMapId")
            }
            ScopeMapError::UnknownToken(_) => Self::invalid("TokenNotFound", message, "tokenId"),
            ScopeMapError::Database(error) => Self::Database(error),
        }
    }
}

impl Control {
    /// The scope maps of a registry.
    pub async fn scope_maps(
        &self,
        actor: &Actor,
        path: &RegistryPath,
    ) -> Result<(RegistryResource, Vec<ScopeMap>)> {
        actor.check(&path.scope()?)?;
        let path = path.clone();
        self.read(move |tx| {
            let registry = require(tx, &path)?;
            let maps = store::list_maps(tx, registry.id)?;
            Ok((registry, maps))
        })
        .await
    }

    /// A scope map.
    pub async fn scope_map(
        &self,
        actor: &Actor,
        path: &RegistryPath,
        name: &str,
    ) -> Result<(RegistryResource, ScopeMap)> {
        actor.check(&path.child("scopeMaps", name)?)?;
        let (path, name) = (path.clone(), name.to_owned());
        self.read(move |tx| {
            let registry = require(tx, &path)?;
            let map = store::map(tx, registry.id, &name)?;
            let map = map.ok_or_else(|| Error::no_resource(KIND, &name, &path.group.name))?;
            Ok((registry, map))
        })
        .await
    }

    /// Makes a scope map, or replaces it. `patch`: only what the body says. Returns whether it is new.
    pub async fn put_scope_map(
        &self,
        actor: &Actor,
        path: &RegistryPath,
        name: &str,
        body: ScopeMapBody,
        condition: Precondition,
        patch: bool,
    ) -> Result<(RegistryResource, ScopeMap, bool)> {
        let scope = path.child("scopeMaps", name)?;
        let actions = body.actions.as_deref().map(actions).transpose()?;
        let description = body.description;
        if description
            .as_ref()
            .is_some_and(|text| text.chars().count() > MAX_DESCRIPTION)
        {
            let message = format!("The description has at most {MAX_DESCRIPTION} characters.");
            return Err(Error::invalid(
                "InvalidParameter",
                message,
                "properties.description",
            ));
        }
        let (path, name) = (path.clone(), name.to_owned());
        self.change(actor, &scope, Change::Write, move |tx, now| {
            let registry = require(tx, &path)?;
            let known = store::map(tx, registry.id, &name)?;
            condition.check(known.as_ref().map(|known| known.version))?;
            if known.is_none() {
                if patch {
                    return Err(Error::no_resource(KIND, &name, &path.group.name));
                }
                check_scope_map_name(&name)?;
                let (count, _) = tiers::counts(tx, registry.id)?;
                tiers::room(registry.sku, count, "scope maps")?;
            }
            let start = known.clone().filter(|_| patch);
            let wanted = ScopeMap {
                name: known.as_ref().map_or_else(|| name.clone(), |known| known.name.clone()),
                description: description
                    .clone()
                    .or_else(|| start.as_ref().map(|start| start.description.clone()))
                    .unwrap_or_default(),
                actions: match (&actions, &start) {
                    (Some(actions), _) => actions.clone(),
                    (None, Some(start)) => start.actions.clone(),
                    (None, None) => {
                        let message = "A scope map has at least one action, such as repositories/hello/content/read.";
                        return Err(Error::invalid("MissingParameter", message, "properties.actions"));
                    }
                },
                is_system: known.as_ref().is_some_and(|known| known.is_system),
                version: known.as_ref().map_or(1, |known| known.version),
                created_at: known.as_ref().map_or(now, |known| known.created_at),
            };
            if known.as_ref() == Some(&wanted) && !wanted.is_system {
                return Ok(Made::nothing((registry, wanted, false)));
            }
            store::put_map(tx, registry.id, &wanted)?;
            let stored = store::map(tx, registry.id, &name)?.unwrap_or(wanted);
            let (id, is_new) = (registry.id, known.is_none());
            Ok(Made::change((registry, stored, is_new)).of(id))
        })
        .await
    }

    /// Removes a scope map; `false` when there is none.
    pub async fn delete_scope_map(
        &self,
        actor: &Actor,
        path: &RegistryPath,
        name: &str,
    ) -> Result<bool> {
        let scope = path.child("scopeMaps", name)?;
        let (path, name) = (path.clone(), name.to_owned());
        self.change(actor, &scope, Change::Delete, move |tx, _| {
            let registry = require(tx, &path)?;
            Ok(deleted(
                store::delete_map(tx, registry.id, &name)?,
                registry.id,
            ))
        })
        .await
    }
}

pub(crate) fn deleted(is_gone: bool, registry: RegistryId) -> Made<bool> {
    if is_gone {
        Made::change(true).of(registry)
    } else {
        Made::nothing(false)
    }
}

fn actions(texts: &[String]) -> Result<Vec<ScopeMapAction>> {
    let mut actions = Vec::with_capacity(texts.len().min(store::MAX_ACTIONS));
    for (index, text) in texts.iter().enumerate() {
        if index == store::MAX_ACTIONS {
            return Err(ScopeMapError::TooManyActions.into());
        }
        let action = ScopeMapAction::parse(text).map_err(|error| {
            let message = format!("The action '{text}' is not valid: {error}.");
            Error::invalid("InvalidParameter", message, "properties.actions")
        })?;
        if !actions.contains(&action) {
            actions.push(action);
        }
    }
    Ok(actions)
}
