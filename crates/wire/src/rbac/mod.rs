//! The words of role-based access control: actions and patterns of them, permissions of roles, conditions, scope maps.

mod action;
mod condition;
mod permissions;
mod scope_map;

pub use action::{ActionError, ActionPattern, ArmAction, MAX_ACTION};
pub use condition::parse_time;
pub use condition::{
    ActionCondition, Attributes, Condition, ConditionError, MAX_CONDITION, Source, Truth, Value,
    Values,
};
pub use permissions::{Permissions, Plane};
pub use scope_map::{RepositoryPattern, ScopeMapAction, ScopeMapActionError};
