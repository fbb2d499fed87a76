//! Access values out of thin air, for the tests of crates that ask for them. Never part of a product build.

use lazuli_wire::oci::RepositoryName;

use crate::access::{CatalogAccess, RepositoryAccess};
use crate::permission::Permission;
use crate::principal::{Principal, PrincipalKind, Proof, RegistryId};

/// The admin of a registry.
pub fn admin(registry: RegistryId) -> Principal {
    Principal::new(registry, PrincipalKind::Admin, "admin", Proof::Password)
}

/// Nobody in particular, in a registry.
pub fn anonymous(registry: RegistryId) -> Principal {
    Principal::new(registry, PrincipalKind::Anonymous, "anonymous", Proof::None)
}

/// Any permission on any repository, held by the admin of the registry.
pub fn repository_access<P: Permission>(
    registry: RegistryId,
    repository: &RepositoryName,
) -> RepositoryAccess<P> {
    RepositoryAccess::new(&admin(registry), repository)
}

/// Any permission on any repository, held by a principal of its registry.
pub fn repository_access_of<P: Permission>(
    principal: &Principal,
    repository: &RepositoryName,
) -> RepositoryAccess<P> {
    RepositoryAccess::new(principal, repository)
}

/// The right to list the repositories of a registry, held by its admin.
pub fn catalog_access(registry: RegistryId) -> CatalogAccess {
    CatalogAccess::new(&admin(registry))
}
