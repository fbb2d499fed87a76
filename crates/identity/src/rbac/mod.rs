//! Role-based access control: role definitions, assignments, deny assignments, and what they come to.
//!
//! The rows are changed by functions that take a transaction ([`store`]), so that whoever changes them can append an operation in
//! the same one. Every change calls [`policy::bump`] there; what was concluded from older rows is void as soon as a process knows
//! of the new generation: at once where [`Identity::policy_changed`](crate::Identity::policy_changed) is called, within ten seconds elsewhere.

mod arm;
pub(crate) mod cache;
mod delegation;
pub mod policy;
pub(crate) mod registry;
pub(crate) mod rights;
mod roles;
pub mod store;

pub use arm::{ArmAccess, ArmDenied};
pub use delegation::{AssignmentAttributes, AssignmentFacts};
pub use roles::{RoleDefinition, RoleKind, built_in, built_in_roles};

pub(crate) use cache::RightsCache;
