//! The management plane, as Azure Resource Manager speaks it: paths, rules, bodies, errors.
//!
//! A path becomes a [`Route`], which knows what a caller needs for it ([`Route::rule`]). Words of paths are compared without
//! regard to case, names keep the case the caller gave them. Any `api-version` is taken.

mod body;
mod filter;
mod kinds;
mod names;
mod path;
mod registry_body;
mod route;
mod rule;
mod segments;
mod small_bodies;

pub use body::{BodyError, MAX_BODY, Object, read_object};
pub use filter::{Filter, FilterError};
pub use kinds::{Later, LaterAction, Verb};
pub use names::{
    NameError, check_group_name, check_identity_name, check_lock_name, check_registry_name,
    check_scope_map_name, check_tags, check_token_name,
};
pub use path::{GroupPath, IdentityPath, RegistryPath, Within};
pub use registry_body::{IdentityBody, RegistryBody, Sku};
pub use route::{Route, RouteError};
pub use rule::Rule;
pub use small_bodies::{
    AssignmentBody, CheckName, DefinitionBody, GenerateCredentials, GroupBody, LockBody, LockLevel,
    Permission, ScopeMapBody, TokenBody,
};

/// The namespace of registries.
pub const REGISTRY_NAMESPACE: &str = "Microsoft.ContainerRegistry";
/// The type of registries.
pub const REGISTRY_TYPE: &str = "Microsoft.ContainerRegistry/registries";
/// The type of managed identities.
pub const IDENTITY_TYPE: &str = "Microsoft.ManagedIdentity/userAssignedIdentities";
