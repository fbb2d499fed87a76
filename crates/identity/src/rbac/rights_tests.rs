//! Rules that hold whatever is assigned.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use lazuli_wire::token::{Action, Actions};
use proptest::prelude::*;

use super::*;
use crate::rbac::registry::{Listable, Mode, RegistryRights};
use crate::rbac::roles::built_in_roles;
use crate::rbac::store::DenyPrincipal;

const ME: Guid = Guid::from_bytes([1; 16]);
const TENANT: Guid = Guid::from_bytes([2; 16]);
const REPOSITORIES: [&str; 4] = ["a", "team/a", "team/b", "teams"];
const SCOPES: [&str; 6] = [
    "/",
    "/subscriptions/s",
    "/subscriptions/S/resourceGroups/g",
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerRegistry/registries/r",
    "/subscriptions/s/resourceGroups/other",
    "/providers/Microsoft.Management/managementGroups/02020202-0202-0202-0202-020202020202",
];
const CONDITIONS: [&str; 5] = [
    "@Request[Microsoft.ContainerRegistry/registries/repositories:name] StringStartsWith 'team/'",
    "@Request[Microsoft.ContainerRegistry/registries/repositories:name] StringNotEquals 'a'",
    "!(ActionMatches{'*/read'}) OR @Request[Microsoft.ContainerRegistry/registries/repositories:name] StringLike '*a'",
    "@Request[nothing] StringNotEquals 'a'",
    "not a condition",
];
const PERMISSIONS: [&str; 5] = [
    r#"{"actions": ["*"], "dataActions": ["*"]}"#,
    r#"{"actions": ["*/read"], "notActions": ["*/pull/read"], "dataActions": ["*/repositories/*"]}"#,
    r#"{"actions": ["*/delete"], "dataActions": ["*/content/*"], "notDataActions": ["*/read"]}"#,
    r#"{"actions": ["Microsoft.ContainerRegistry/registries/push/write"]}"#,
    r#"{"dataActions": ["*/catalog/read"]}"#,
];

fn registry() -> ArmScope {
    ArmScope::parse(SCOPES[3]).unwrap()
}

fn assignment() -> impl Strategy<Value = RoleAssignment> {
    let roles: Vec<Guid> = built_in_roles().iter().map(|role| role.id).collect();
    (
        prop::sample::select(&SCOPES[..]),
        prop::sample::select(roles),
        proptest::option::of(prop::sample::select(&CONDITIONS[..])),
    )
        .prop_map(|(scope, role, condition)| RoleAssignment {
            id: Guid::ZERO,
            scope: scope.parse().unwrap(),
            role,
            principal: ME,
            principal_type: String::new(),
            description: None,
            condition: condition.map(str::to_owned),
            created_at: 0,
            created_by: String::new(),
            updated_at: 0,
            updated_by: String::new(),
        })
}

fn denial() -> impl Strategy<Value = DenyAssignment> {
    let someone = prop::sample::select(vec![Guid::ZERO, ME, TENANT]);
    (
        prop::sample::select(&SCOPES[..]),
        prop::sample::select(&PERMISSIONS[..]),
        proptest::option::of(prop::sample::select(&CONDITIONS[..])),
        any::<bool>(),
        someone,
        any::<bool>(),
    )
        .prop_map(
            |(scope, permissions, condition, here, principal, excluded)| DenyAssignment {
                id: Guid::ZERO,
                name: String::new(),
                description: None,
                scope: scope.parse().unwrap(),
                is_not_inherited: here,
                permissions: vec![serde_json::from_str(permissions).unwrap()],
                principals: vec![DenyPrincipal { id: principal }],
                excluded: if excluded {
                    vec![DenyPrincipal { id: ME }]
                } else {
                    Vec::new()
                },
                condition: condition.map(str::to_owned),
                created_at: 0,
                created_by: String::new(),
            },
        )
}

fn rights(assignments: &[RoleAssignment], denials: &[DenyAssignment]) -> Rights {
    let roles: HashMap<_, _> = built_in_roles()
        .iter()
        .map(|role| (role.id, Some(Arc::clone(&role.permissions))))
        .collect();
    Rights::new(
        assignments.to_vec(),
        &roles,
        denials.to_vec(),
        &BTreeSet::from([ME]),
        TENANT,
    )
}

/// All that is allowed: on the registry as a resource, and on repositories in both modes.
fn allowed(rights: &Rights) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for text in [
        "Microsoft.ContainerRegistry/registries/read",
        "Microsoft.ContainerRegistry/registries/pull/read",
        "Microsoft.ContainerRegistry/registries/push/write",
        "Microsoft.Authorization/roleAssignments/write",
    ] {
        let action = ArmAction::parse(text).unwrap();
        for scope in SCOPES {
            let scope = ArmScope::parse(scope).unwrap();
            if rights.allows(Plane::Control, &action, &scope, &NoAttributes) {
                all.insert(format!("{text} {scope}"));
            }
        }
    }
    for mode in [Mode::Legacy, Mode::Abac] {
        let registry = RegistryRights::of(rights, &registry(), mode);
        for name in REPOSITORIES {
            let actions = registry.on_repository(name, Actions::ALL, 0);
            for action in Action::ALL.into_iter().filter(|one| *one != Action::All) {
                if actions.allows(action) {
                    all.insert(format!("{mode:?} {name} {action}"));
                }
            }
        }
        if registry.catalog() != Listable::Nothing {
            all.insert(format!("{mode:?} catalog"));
        }
        if registry.catalog() == Listable::All {
            all.insert(format!("{mode:?} catalog of all"));
        }
        if registry.deleted_catalog() {
            all.insert(format!("{mode:?} deleted catalog"));
        }
    }
    all
}

/// What the rules of the language and of Azure say, looked up without any preparation.
fn plainly(
    assignments: &[RoleAssignment],
    denials: &[DenyAssignment],
    plane: Plane,
    action: &ArmAction,
    scope: &ArmScope,
) -> bool {
    let above = |one: &ArmScope| {
        one.contains(scope)
            || one.management_group() == Some(&TENANT.to_string())
                && scope.subscription_id().is_some()
    };
    let truth =
        |text: &str| Condition::parse(text).map(|one| one.evaluate(action, None, &NoAttributes));
    let denied = denials.iter().any(|deny| {
        let mine =
            |list: &[DenyPrincipal]| list.iter().any(|one| one.id == ME || one.id == Guid::ZERO);
        mine(&deny.principals)
            && !mine(&deny.excluded)
            && if deny.is_not_inherited {
                deny.scope == *scope
            } else {
                above(&deny.scope)
            }
            && deny.permissions.iter().any(|one| one.covers(plane, action))
            && deny
                .condition
                .as_deref()
                .is_none_or(|text| truth(text) != Ok(Truth::False))
    });
    !denied
        && assignments.iter().any(|one| {
            let role = built_in_roles()
                .iter()
                .find(|role| role.id == one.role)
                .unwrap();
            above(&one.scope)
                && role
                    .permissions
                    .iter()
                    .any(|entry| entry.covers(plane, action))
                && one
                    .condition
                    .as_deref()
                    .is_none_or(|text| truth(text) == Ok(Truth::True))
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn an_assignment_never_narrows_and_a_deny_never_widens(
        assignments in prop::collection::vec(assignment(), 0..6),
        denials in prop::collection::vec(denial(), 0..3),
        more in assignment(),
        less in denial(),
    ) {
        let before = allowed(&rights(&assignments, &denials));
        let mut assignments_after = assignments.clone();
        assignments_after.push(more);
        let after = allowed(&rights(&assignments_after, &denials));
        prop_assert!(before.is_subset(&after), "lost {:?}", before.difference(&after));
        let mut denials_after = denials.clone();
        denials_after.push(less);
        let after = allowed(&rights(&assignments, &denials_after));
        prop_assert!(after.is_subset(&before), "won {:?}", after.difference(&before));
    }

    #[test]
    fn what_is_prepared_decides_as_the_plain_rules(
        assignments in prop::collection::vec(assignment(), 0..6),
        denials in prop::collection::vec(denial(), 0..3),
        scope in prop::sample::select(&SCOPES[..]),
        text in prop::sample::select(vec![
            "Microsoft.ContainerRegistry/registries/pull/read",
            "Microsoft.ContainerRegistry/registries/push/write",
            "Microsoft.ContainerRegistry/registries/repositories/content/read",
            "Microsoft.Authorization/roleAssignments/write",
        ]),
        is_data: bool,
    ) {
        let plane = if is_data { Plane::Data } else { Plane::Control };
        let (action, scope) = (ArmAction::parse(text).unwrap(), ArmScope::parse(scope).unwrap());
        let prepared = rights(&assignments, &denials).allows(plane, &action, &scope, &NoAttributes);
        prop_assert_eq!(prepared, plainly(&assignments, &denials, plane, &action, &scope));
    }
}
