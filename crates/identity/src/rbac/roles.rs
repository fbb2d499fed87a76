//! Role definitions, and those that every installation has.

use std::sync::{Arc, LazyLock};

use lazuli_wire::Guid;
use lazuli_wire::arm_scope::ArmScope;
use lazuli_wire::rbac::{ActionPattern, Permissions};

mod table;

/// Who made a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoleKind {
    /// Azure: its identifier and meaning are the same everywhere.
    BuiltIn,
    /// Somebody here.
    Custom,
}

/// A role: a name for permissions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleDefinition {
    /// Its identifier.
    pub id: Guid,
    /// The name people see.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Who made it.
    pub kind: RoleKind,
    /// What it permits: everything that any of the entries covers.
    pub permissions: Arc<[Permissions]>,
    /// Where it can be assigned: at one of these scopes or below.
    pub assignable_scopes: Vec<ArmScope>,
    /// Microseconds since the Unix epoch.
    pub created_at: i64,
    /// The object that made it; empty for built-in roles.
    pub created_by: String,
    /// Microseconds since the Unix epoch.
    pub updated_at: i64,
    /// The object that changed it last.
    pub updated_by: String,
}

/// Every built-in role, by name.
pub fn built_in_roles() -> &'static [Arc<RoleDefinition>] {
    static ROLES: LazyLock<Vec<Arc<RoleDefinition>>> = LazyLock::new(|| {
        let mut roles: Vec<_> = table::ROLES.iter().filter_map(definition).collect();
        roles.sort_by(|one, other| one.name.cmp(&other.name));
        roles
    });
    &ROLES
}

/// The built-in role of an identifier.
pub fn built_in(id: Guid) -> Option<&'static Arc<RoleDefinition>> {
    built_in_roles().iter().find(|role| role.id == id)
}

/// 2015-02-02, when Azure made the first of them.
const MADE_AT: i64 = 1_422_835_200_000_000;

/// `None` never happens: a test reads every row.
fn definition(row: &table::Row) -> Option<Arc<RoleDefinition>> {
    let patterns = |texts: &[&str]| -> Option<Vec<ActionPattern>> {
        texts
            .iter()
            .map(|text| ActionPattern::parse(&text.replace("~/", table::REGISTRIES)).ok())
            .collect()
    };
    Some(Arc::new(RoleDefinition {
        id: Guid::parse(row.id).ok()?,
        name: row.name.to_owned(),
        description: row.description.to_owned(),
        kind: RoleKind::BuiltIn,
        permissions: Arc::from([Permissions {
            actions: patterns(row.actions)?,
            not_actions: patterns(row.not_actions)?,
            data_actions: patterns(row.data_actions)?,
            not_data_actions: Vec::new(),
        }]),
        assignable_scopes: vec![ArmScope::root()],
        created_at: MADE_AT,
        created_by: String::new(),
        updated_at: MADE_AT,
        updated_by: String::new(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table_is_a_role_with_an_identifier_of_its_own() {
        assert_eq!(built_in_roles().len(), table::ROLES.len());
        let ids: std::collections::BTreeSet<Guid> =
            built_in_roles().iter().map(|role| role.id).collect();
        assert_eq!(ids.len(), table::ROLES.len());
        let pull = Guid::parse("7f951dda-4ed3-4680-a7ca-43fe172d538d").unwrap();
        let pull = built_in(pull).unwrap();
        assert_eq!(pull.name, "AcrPull");
        assert_eq!(
            pull.permissions[0].actions[0].as_str(),
            "Microsoft.ContainerRegistry/registries/pull/read"
        );
    }
}
