//! May a caller do something with a resource?

use std::sync::Arc;

use lazuli_wire::arm_scope::ArmScope;
use lazuli_wire::rbac::{ArmAction, Attributes, Plane};

use super::cache::Owner;
use super::rights::{self, Loaded, NoAttributes};
use crate::directory::{Caller, CallerKind};
use crate::error::Error;
use crate::identity::Identity;

/// Proof that a caller may do something with a resource. Whether the resource exists is not part of it.
#[derive(Debug, Clone)]
pub struct ArmAccess {
    caller: Caller,
    action: ArmAction,
    scope: ArmScope,
}

impl ArmAccess {
    /// Who may.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// What.
    pub fn action(&self) -> &ArmAction {
        &self.action
    }

    /// With what.
    pub fn scope(&self) -> &ArmScope {
        &self.scope
    }
}

/// Why a caller may not do something.
#[derive(Debug, thiserror::Error)]
pub enum ArmDenied {
    /// The object is gone or disabled since its token was made. Answer: 401.
    #[error("the account is disabled or deleted: sign in again")]
    SignedOut,
    /// It has no role that permits the action, or a deny assignment forbids it. Answer: 403, `AuthorizationFailed`.
    #[error(
        "The client '{name}' with object id '{object}' does not have authorization to perform action '{action}' over scope '{scope}' or the scope is invalid. If access was recently granted, please refresh your credentials."
    )]
    Forbidden {
        /// The caller's name.
        name: String,
        /// The caller's object.
        object: lazuli_wire::Guid,
        /// What it wanted.
        action: ArmAction,
        /// Of what.
        scope: ArmScope,
    },
    /// Not the caller's fault. Answer: 503, or 500.
    #[error(transparent)]
    Internal(#[from] Error),
}

impl Identity {
    /// Whether a caller may do something with a resource.
    pub async fn authorize_arm(
        &self,
        caller: &Caller,
        action: &ArmAction,
        scope: &ArmScope,
    ) -> Result<ArmAccess, ArmDenied> {
        self.authorize_arm_with(caller, action, scope, &NoAttributes)
            .await
    }

    /// As [`Self::authorize_arm`], of a request about which conditions may ask something: who is to get which role.
    pub async fn authorize_arm_with(
        &self,
        caller: &Caller,
        action: &ArmAction,
        scope: &ArmScope,
        attributes: &(dyn Attributes + Sync),
    ) -> Result<ArmAccess, ArmDenied> {
        let allowed = self.allowed(caller, action, [scope], attributes).await?;
        if allowed.first() == Some(&true) {
            return Ok(ArmAccess {
                caller: caller.clone(),
                action: action.clone(),
                scope: scope.clone(),
            });
        }
        Err(ArmDenied::Forbidden {
            name: caller.name().to_owned(),
            object: caller.object(),
            action: action.clone(),
            scope: scope.clone(),
        })
    }

    /// Proofs for those of many resources with which a caller may do something, for lists: the others are left out.
    pub async fn authorize_arm_many(
        &self,
        caller: &Caller,
        action: &ArmAction,
        scopes: &[ArmScope],
    ) -> Result<Vec<ArmAccess>, ArmDenied> {
        let allowed = self.allowed(caller, action, scopes, &NoAttributes).await?;
        let proofs = scopes
            .iter()
            .zip(allowed)
            .filter(|(_, allowed)| *allowed)
            .map(|(scope, _)| ArmAccess {
                caller: caller.clone(),
                action: action.clone(),
                scope: scope.clone(),
            });
        Ok(proofs.collect())
    }

    /// Whether a caller has any role at a scope, above it or below it: who has one on a registry sees the subscription it is in.
    pub async fn reaches(&self, caller: &Caller, scope: &ArmScope) -> Result<bool, ArmDenied> {
        if caller.is_operator() {
            return Ok(true);
        }
        Ok(self.loaded(caller).await?.rights.reaches(scope))
    }

    async fn allowed<'s>(
        &self,
        caller: &Caller,
        action: &ArmAction,
        scopes: impl IntoIterator<Item = &'s ArmScope>,
        attributes: &(dyn Attributes + Sync),
    ) -> Result<Vec<bool>, ArmDenied> {
        if caller.is_operator() {
            return Ok(scopes.into_iter().map(|_| true).collect());
        }
        let loaded = self.loaded(caller).await?;
        let rights = &loaded.rights;
        Ok(scopes
            .into_iter()
            .map(|scope| rights.allows(Plane::Control, action, scope, attributes))
            .collect())
    }

    async fn loaded(&self, caller: &Caller) -> Result<Arc<Loaded>, ArmDenied> {
        let owner = Owner {
            tenant: caller.tenant(),
            object: caller.object(),
            external: caller.kind() == CallerKind::External,
            groups: caller.groups().into(),
        };
        let loaded = self.load_rights(owner).await?;
        if loaded.in_good_standing {
            Ok(loaded)
        } else {
            Err(ArmDenied::SignedOut)
        }
    }

    /// What decides about a principal, of the newest generation known here.
    pub(crate) async fn load_rights(&self, owner: Owner) -> Result<Arc<Loaded>, Error> {
        let generation = self.policy().await?;
        if let Some(loaded) = self.inner().rights.get(&owner, generation) {
            return Ok(loaded);
        }
        let whose = owner.clone();
        let loaded = self
            .inner()
            .db
            .read(move |tx| rights::load(tx, &whose))
            .await?;
        let loaded = Arc::new(loaded);
        self.inner().rights.insert(owner, Arc::clone(&loaded));
        Ok(loaded)
    }
}
