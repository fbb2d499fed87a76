//! Who is calling, and what may they do: principals, credentials, signing keys, tokens and authorization.
//!
//! The flow: an `Authorization` header becomes a [`Principal`] ([`Identity::authenticate`]); the principal and a
//! repository name become a [`RepositoryAccess`] ([`Identity::authorize`]), the value every function of the registry
//! that touches a repository asks for. Only this crate can make one, so a forgotten check does not compile.
//!
//! Deliberately absent: HTTP (status codes and bodies belong to the api crate) and what a repository holds.

mod access;
mod anonymous;
mod directory;
mod entra;
mod error;
mod external;
mod fair;
mod grants;
mod header;
mod identity;
mod install;
mod issue;
mod issued;
mod jwt;
mod keys;
mod log_in;
mod passwords;
mod permission;
mod principal;
mod random;
pub mod rbac;
mod registries;
mod rotation;
pub mod scope_maps;
mod sign_in;
mod state;
mod states;
mod store;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod token_cache;
mod tokens;

pub use access::{CatalogAccess, Denied, RepositoryAccess};
pub use anonymous::MAX_ANONYMOUS_PATTERNS;
pub use directory::{
    Audience, Caller, CallerKind, Credential, CredentialKind, DirectoryError, DirectoryOptions,
    DirectoryStart, DirectoryWrite, EXCHANGE_AUDIENCE, Federation, Object, ObjectKind, managed,
};
pub use entra::{
    Authority, DeviceAnswer, Landing, ManagedAnswer, PublicKey, TenantInfo, TokenAnswer,
    basic_credentials,
};
pub use error::Error;
pub use external::{IssuerKind, TrustedIssuer};
pub use fair::{Crowded, Division, FairShare, Origin, Share};
pub use header::{MAX_HEADER, Malformed};
pub use identity::{AuthError, Identity};
pub use install::{FirstStart, IdentityOptions};
pub use issue::TokenError;
pub use jwt::MAX_TOKEN;
pub use keys::KeyError;
pub use passwords::{DEFAULT_PBKDF2_ITERATIONS, GENERATED_LENGTH, PasswordError};
pub use permission::{
    Delete, DeletedRead, DeletedRestore, MetadataRead, MetadataWrite, Permission, Pull, Push,
};
pub use principal::{Principal, PrincipalKind, RegistryId};
pub use random::NoEntropy;
pub use rbac::{ArmAccess, ArmDenied};
pub use registries::{
    AdminCredentials, GeneratedPassword, NewRegistry, delete_registry, insert_registry,
    put_admin_password, random_guid, registry_id,
};
pub use rotation::OldTokens;
pub use store::AdminPassword;
pub use tokens::{ACCESS_LIFE, ANONYMOUS_LIFE, BACKDATED, REFRESH_LIFE, SKEW};
