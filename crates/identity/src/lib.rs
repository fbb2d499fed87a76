//! Who is calling, and what may they do: principals, credentials, signing keys, tokens and authorization.
//!
//! The flow: an `Authorization` header becomes a [`Principal`]; the principal and a repository name
//! become a [`RepositoryAccess`], the value every function of the registry that touches a repository asks for. Only
//! this crate can make one, so a forgotten check does not compile.
//!
//! Deliberately absent: HTTP (status codes and bodies belong to the api crate) and what a repository holds.

mod access;
mod grants;
mod permission;
mod principal;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use access::{CatalogAccess, Denied, RepositoryAccess};
pub use permission::{
    Delete, DeletedRead, DeletedRestore, MetadataRead, MetadataWrite, Permission, Pull, Push,
};
pub use principal::{Principal, PrincipalKind, RegistryId};
