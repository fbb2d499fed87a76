//! The rules of the management plane: subscriptions, resource groups, registries as resources, scope maps and tokens, locks,
//! roles and their assignments, managed identities.
//!
//! Every function that reads or changes a resource takes an [`Actor`]: who asks, with the proof that it may
//! ([`ArmAccess`](lazuli_identity::ArmAccess), which only the identity crate can make). Every change is one transaction with one
//! operation of the log. Nothing here knows HTTP or the JSON of clients.

mod error;

pub use error::{Error, Result};
