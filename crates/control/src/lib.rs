//! The rules of the management plane: subscriptions, resource groups, registries as resources, scope maps and tokens, locks,
//! roles and their assignments, managed identities.
//!
//! Every function that reads or changes a resource takes an [`Actor`]: who asks, with the proof that it may
//! ([`ArmAccess`](lazuli_identity::ArmAccess), which only the identity crate can make). Every change is one transaction with one
//! operation of the log. Nothing here knows HTTP or the JSON of clients.

mod actor;
mod control;
mod credentials;
mod definitions;
mod deletions;
mod error;
mod groups;
mod identities;
mod install;
mod locks;
mod registries;
mod roles;
mod scope_maps;
mod subscriptions;
mod tiers;
mod tokens;

pub use actor::{Actor, Precondition};
pub use control::{Control, ControlOptions, Hosts, Pending};
pub use credentials::Usage;
pub use definitions::assignable_scopes;
pub use deletions::{Deletion, Progress};
pub use error::{Error, Result};
pub use groups::Group;
pub use identities::ManagedIdentity;
pub use install::Installed;
pub use locks::Lock;
pub use registries::{NameCheck, RegistryResource, Settings, check_name};
pub use subscriptions::Subscription;
pub use tiers::{Limits, limits};
pub use tokens::{GeneratedCredentials, TokenResource};

/// A time in microseconds since the Unix epoch, as RFC 3339 has it.
pub fn time_text(micros: i64) -> String {
    let time = jiff::Timestamp::from_microsecond(micros).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{time:.6}")
}
