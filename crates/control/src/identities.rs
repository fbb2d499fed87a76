//! Managed identities as resources. The objects themselves are the directory's.

use std::collections::BTreeMap;

use lazuli_db::Tx;
use lazuli_identity::managed::{self, ManagedResource};
use lazuli_identity::random_guid;
use lazuli_wire::Guid;
use lazuli_wire::arm::{
    GroupBody, GroupPath, IDENTITY_TYPE, IdentityPath, Within, check_identity_name, check_tags,
};
use lazuli_wire::arm_scope::ArmScope;

use crate::actor::Actor;
use crate::control::{Control, Made};
use crate::locks::Change;
use crate::{Error, Result, groups, locks, subscriptions};

/// A managed identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagedIdentity {
    /// Where it is.
    pub path: IdentityPath,
    /// The tenant it belongs to.
    pub tenant: Guid,
    /// The object, which has roles.
    pub principal: Guid,
    /// What it signs in as.
    pub client: Guid,
    /// Its location.
    pub location: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// `None` for what is no resource of this type.
fn read(tenant: Guid, found: &ManagedResource) -> Option<ManagedIdentity> {
    let resource = &found.resource;
    let (kind, name) = resource.resource()?;
    if !kind.eq_ignore_ascii_case(IDENTITY_TYPE) {
        return None;
    }
    Some(ManagedIdentity {
        path: IdentityPath {
            group: GroupPath {
                subscription: Guid::parse(resource.subscription_id()?).ok()?,
                name: resource.resource_group_name()?.into(),
            },
            name: name.into(),
        },
        tenant,
        principal: found.object,
        client: found.application,
        location: found.location.clone(),
        tags: found.tags.clone(),
    })
}

fn find(tx: &mut Tx<'_>, path: &IdentityPath) -> Result<Option<ManagedIdentity>> {
    let tenant = subscriptions::require(tx, path.group.subscription)?.tenant;
    let found = managed::find_managed(tx, tenant, &path.scope()?)?;
    Ok(found.and_then(|found| read(tenant, &found)))
}

fn require(tx: &mut Tx<'_>, path: &IdentityPath) -> Result<ManagedIdentity> {
    if let Some(found) = find(tx, path)? {
        return Ok(found);
    }
    groups::require(tx, &path.group)?;
    Err(Error::no_resource(
        IDENTITY_TYPE,
        &path.name,
        &path.group.name,
    ))
}

impl Control {
    /// The managed identities of a subscription or group. Which of them a caller may read is decided by the caller.
    pub async fn managed_identities(&self, within: &Within) -> Result<Vec<ManagedIdentity>> {
        let within = within.clone();
        self.read(move |tx| {
            let tenant = subscriptions::require(tx, within.subscription())?.tenant;
            if let Some(group) = within.group() {
                groups::require(tx, group)?;
            }
            let found = managed::list_managed(tx, tenant, &within.scope()?)?;
            Ok(found.iter().filter_map(|one| read(tenant, one)).collect())
        })
        .await
    }

    /// A managed identity.
    pub async fn managed_identity(
        &self,
        actor: &Actor,
        path: &IdentityPath,
    ) -> Result<ManagedIdentity> {
        actor.check(&path.scope()?)?;
        let path = path.clone();
        self.read(move |tx| require(tx, &path)).await
    }

    /// Makes a managed identity, or changes its tags. `patch`: it has to be there. Returns whether it is new.
    pub async fn put_managed_identity(
        &self,
        actor: &Actor,
        path: &IdentityPath,
        body: GroupBody,
        patch: bool,
    ) -> Result<(ManagedIdentity, bool)> {
        check_identity_name(&path.name)?;
        if let Some(tags) = &body.tags {
            check_tags(tags)?;
        }
        let location = body.location.as_deref().map(groups::location).transpose()?;
        let (object, application) = (random_guid()?, random_guid()?);
        let (path, scope) = (path.clone(), path.scope()?);
        let resource = scope.clone();
        self.change(actor, &resource, Change::Write, move |tx, now| {
            let tenant = subscriptions::require(tx, path.group.subscription)?.tenant;
            let group = groups::require(tx, &path.group)?;
            let known = find(tx, &path)?;
            if known.is_none() && patch {
                return Err(Error::no_resource(
                    IDENTITY_TYPE,
                    &path.name,
                    &path.group.name,
                ));
            }
            let start = known.clone().filter(|_| patch);
            let tags = body.tags.clone().or(start.map(|start| start.tags));
            let wanted = ManagedIdentity {
                path: known.as_ref().map_or_else(
                    || IdentityPath {
                        group: group.path.clone(),
                        name: path.name.clone(),
                    },
                    |known| known.path.clone(),
                ),
                tenant,
                principal: known.as_ref().map_or(object, |known| known.principal),
                client: known.as_ref().map_or(application, |known| known.client),
                location: known
                    .as_ref()
                    .map(|known| known.location.clone())
                    .or_else(|| location.clone())
                    .unwrap_or(group.location),
                tags: tags.unwrap_or_default(),
            };
            if known.as_ref() == Some(&wanted) {
                return Ok(Made::nothing((wanted, false)));
            }
            let stored = ManagedResource {
                object: wanted.principal,
                application: wanted.client,
                resource: wanted.path.scope()?,
                location: wanted.location.clone(),
                tags: wanted.tags.clone(),
            };
            managed::put_managed(tx, tenant, &stored, now)?;
            Ok(Made::change((wanted, known.is_none())))
        })
        .await
    }

    /// Removes a managed identity; `false` when there is none.
    pub async fn delete_managed_identity(
        &self,
        actor: &Actor,
        path: &IdentityPath,
    ) -> Result<bool> {
        let (path, scope) = (path.clone(), path.scope()?);
        let resource: ArmScope = scope.clone();
        self.change(actor, &resource, Change::Delete, move |tx, _| {
            let Some(known) = find(tx, &path)? else {
                return Ok(Made::nothing(false));
            };
            managed::delete_managed(tx, known.principal)?;
            lazuli_identity::rbac::store::delete_assignments_below(tx, &scope)?;
            locks::remove_with(tx, &scope)?;
            Ok(Made::change(true))
        })
        .await
    }

    /// Deletes the managed identities of a group.
    pub(crate) async fn delete_identities_in(
        &self,
        actor: &Actor,
        group: &GroupPath,
    ) -> Result<()> {
        for identity in self
            .managed_identities(&Within::Group(group.clone()))
            .await?
        {
            self.delete_managed_identity(actor, &identity.path).await?;
        }
        Ok(())
    }
}
