//! The words of role-based access control: actions and patterns of them, permissions of roles, conditions.

mod action;
mod permissions;

pub use action::{ActionError, ActionPattern, ArmAction, MAX_ACTION};
pub use permissions::{Permissions, Plane};
