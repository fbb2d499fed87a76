//! Proof of permission: the only way into a repository.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use lazuli_wire::oci::RepositoryName;
use lazuli_wire::token::{Action, Actions};

use crate::permission::Permission;
use crate::principal::{Principal, RegistryId};
use crate::state::RegistryState;

/// Proof that a principal has the permission `P` on a repository of a registry. Whether the repository exists is not
/// part of it. Cloning shares.
pub struct RepositoryAccess<P> {
    registry: RegistryId,
    repository: RepositoryName,
    principal: Principal,
    permission: PhantomData<fn() -> P>,
}

impl<P: Permission> RepositoryAccess<P> {
    pub(crate) fn new(principal: &Principal, repository: &RepositoryName) -> Self {
        Self {
            registry: principal.registry(),
            repository: repository.clone(),
            principal: principal.clone(),
            permission: PhantomData,
        }
    }

    /// The registry.
    pub fn registry(&self) -> RegistryId {
        self.registry
    }

    /// The repository.
    pub fn repository(&self) -> &RepositoryName {
        &self.repository
    }

    /// Who has the permission.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }
}

impl<P> Clone for RepositoryAccess<P> {
    fn clone(&self) -> Self {
        Self {
            registry: self.registry,
            repository: self.repository.clone(),
            principal: self.principal.clone(),
            permission: PhantomData,
        }
    }
}

impl<P: Permission> fmt::Debug for RepositoryAccess<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RepositoryAccess")
            .field("registry", &self.registry)
            .field("repository", &self.repository)
            .field("principal", &self.principal)
            .field("permission", &P::ACTION)
            .finish()
    }
}

/// Proof that a principal may list the repositories of a registry (`registry:catalog:*`), and which of them.
#[derive(Clone)]
pub struct CatalogAccess {
    principal: Principal,
    /// `None`: all of them.
    filter: Option<Filter>,
}

/// Those that may be read, by the state at a time (microseconds).
#[derive(Clone)]
struct Filter {
    state: Arc<RegistryState>,
    now: i64,
}

impl CatalogAccess {
    pub(crate) fn new(principal: &Principal) -> Self {
        Self {
            principal: principal.clone(),
            filter: None,
        }
    }

    pub(crate) fn to_readable(principal: &Principal, state: &Arc<RegistryState>, now: i64) -> Self {
        Self {
            principal: principal.clone(),
            filter: Some(Filter {
                state: Arc::clone(state),
                now,
            }),
        }
    }

    /// The registry.
    pub fn registry(&self) -> RegistryId {
        self.principal.registry()
    }

    /// Who has the permission.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// Whether every repository may be listed, so that none has to be asked about.
    pub fn lists_all(&self) -> bool {
        self.filter.is_none()
    }

    /// Whether this repository may be listed: no name is told to those who may not read what is in it.
    pub fn may_list(&self, repository: &str) -> bool {
        let Some(Filter { state, now }) = &self.filter else {
            return true;
        };
        let rights = state.repository_rights(self.principal.who(), repository, READ, *now);
        !rights.intersection(READ).is_empty()
    }
}

impl fmt::Debug for CatalogAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CatalogAccess")
            .field("principal", &self.principal)
            .field("lists_all", &self.lists_all())
            .finish_non_exhaustive()
    }
}

/// Why access was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Nobody in particular may do this: the caller has to present credentials. Answer: 401 with a challenge.
    #[error("authentication required")]
    Unauthenticated,
    /// The token does not carry this grant; another one might. Answer: 401 with a challenge for the missing scope.
    #[error("the access token does not grant this")]
    InsufficientScope,
    /// The identity itself may not do this, with any token. Answer: 403.
    #[error("the identity is not allowed to do this")]
    Forbidden,
}

/// What everybody may do where anonymous pull is on.
pub(crate) const READ: Actions = Actions::of(&[Action::Pull, Action::MetadataRead]);

/// Whether a principal may do something, from what the identity may and what its token grants.
///
/// The order decides the answer, never the outcome: both have to agree.
pub(crate) fn decide(
    principal: &Principal,
    registry: RegistryId,
    identity_may: bool,
    token_grants: bool,
) -> Result<(), Denied> {
    if principal.registry() != registry {
        return Err(Denied::Unauthenticated);
    }
    match (identity_may, token_grants) {
        (true, true) => Ok(()),
        (false, _) if principal.is_anonymous() => Err(Denied::Unauthenticated),
        (true, false) => Err(Denied::InsufficientScope),
        (false, _) => Err(Denied::Forbidden),
    }
}
