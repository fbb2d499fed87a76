//! From a caller to an access value, or to the answer that tells it what it lacks.

use http::StatusCode;
use lazuli_identity::{CatalogAccess, Denied, Permission as AccessPermission, RepositoryAccess};
use lazuli_wire::oci::{ErrorCode, Permission, RepositoryName};
use lazuli_wire::token::{Challenge, Listing, Scope};

use super::Task;
use crate::errors::Refusal;

/// What a caller should ask a token for.
pub(crate) fn scope(permission: Permission, name: Option<&RepositoryName>) -> Option<Scope> {
    match (permission, name) {
        (Permission::Authenticated, _) => None,
        (Permission::Catalog, _) => Some(Scope::Registry {
            name: Listing::Catalog,
            all: true,
        }),
        (Permission::DeletedCatalog, _) => Some(Scope::Registry {
            name: Listing::DeletedCatalog,
            all: true,
        }),
        (_, name) => Some(Scope::Repository {
            name: name?.clone(),
            actions: permission.challenge(),
        }),
    }
}

impl Task<'_> {
    /// The permission `P` on a repository. `P` is the one the route asks for.
    pub(crate) fn access<P: AccessPermission>(
        &self,
        name: &RepositoryName,
    ) -> Result<RepositoryAccess<P>, Refusal> {
        self.api
            .identity
            .authorize(self.principal, self.site.registry, name)
            .map_err(|denied| self.refuse(denied, Some(name)))
    }

    /// The right to list the registry's repositories.
    pub(crate) fn catalog(&self) -> Result<CatalogAccess, Refusal> {
        self.api
            .identity
            .authorize_catalog(self.principal, self.site.registry)
            .map_err(|denied| self.refuse(denied, None))
    }

    /// The right to list the repositories of which something deleted is still kept.
    pub(crate) fn deleted_catalog(&self) -> Result<(), Refusal> {
        self.api
            .identity
            .authorize_deleted_catalog(self.principal, self.site.registry)
            .map_err(|denied| self.refuse(denied, None))
    }

    /// Whether the caller is known at all.
    pub(crate) fn base(&self) -> Result<(), Refusal> {
        self.api
            .identity
            .authorize_base(self.principal, self.site.registry)
            .map_err(|denied| self.refuse(denied, None))
    }

    fn refuse(&self, denied: Denied, name: Option<&RepositoryName>) -> Refusal {
        let error = match denied {
            Denied::Unauthenticated => None,
            Denied::InsufficientScope => Some(Challenge::INSUFFICIENT_SCOPE),
            Denied::Forbidden => {
                return Refusal::new(StatusCode::FORBIDDEN, ErrorCode::Denied);
            }
        };
        let scope = scope(self.permission, name);
        let mut challenge =
            Challenge::new(self.site.scheme.as_str(), &self.site.login_server, scope);
        challenge.error = error;
        Refusal::unauthorized(&challenge)
    }
}
