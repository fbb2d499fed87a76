//! The rows of role definitions, role assignments and deny assignments.
//!
//! Every function takes a transaction; those that change something note it in [`policy`](super::policy).

mod assignments;
mod definitions;
mod denials;

pub(crate) use assignments::assignments_of;
pub use assignments::{
    AssignmentError, AssignmentFilter, RoleAssignment, assignment, assignment_like,
    delete_assignment, delete_assignments_below, list_assignments, put_assignment,
};
pub use definitions::{
    DefinitionError, assigned_scopes, definition, delete_definition, list_definitions,
    put_definition,
};
pub(crate) use denials::all_denials;
pub use denials::{
    DenyAssignment, DenyError, DenyPrincipal, delete_deny, deny, list_denials, put_deny,
};

use lazuli_db::{Error, Result};
use lazuli_wire::Guid;
use lazuli_wire::arm_scope::ArmScope;

/// The most rows a list holds.
const MAX_ROWS: i64 = 20_000;

fn guid(text: &str, column: &'static str) -> Result<Guid> {
    Guid::parse(text).map_err(|_| Error::Corrupt(column))
}

fn scope(text: &str, column: &'static str) -> Result<ArmScope> {
    ArmScope::parse(text).map_err(|_| Error::Corrupt(column))
}

fn json<T: serde::de::DeserializeOwned>(text: &str, column: &'static str) -> Result<T> {
    serde_json::from_str(text).map_err(|_| Error::Corrupt(column))
}

/// Of types that always have a JSON form.
fn to_json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// The keys below a scope are those between these two: `/` is followed by `0`.
fn below(scope: &ArmScope) -> (String, String) {
    if scope.is_root() {
        return ("/".to_owned(), "0".to_owned());
    }
    (format!("{}/", scope.key()), format!("{}0", scope.key()))
}
