//! Everything that decides what one principal may do, in memory.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use lazuli_db::{Result, Tx, params};
use lazuli_wire::Guid;
use lazuli_wire::arm_scope::ArmScope;
use lazuli_wire::rbac::{ArmAction, Permissions, Plane};

use super::cache::Owner;
use super::policy;
use super::store::{self, DenyAssignment, RoleAssignment};
use crate::directory;

/// Groups that are followed at most; further ones give no rights.
const MAX_GROUPS: usize = 5_000;

/// What was read of a principal.
pub(crate) struct Loaded {
    /// Of the policy.
    pub(crate) generation: i64,
    /// Whether the object is there and enabled.
    pub(crate) in_good_standing: bool,
    /// Tokens made before this time (microseconds) do not count.
    pub(crate) sessions_valid_from: i64,
    pub(crate) rights: Rights,
}

impl Loaded {
    /// The memory it takes, about.
    pub(crate) fn weight(&self) -> u64 {
        128 + self
            .rights
            .grants
            .values()
            .map(|at| 128 + 64 * at.len() as u64)
            .sum::<u64>()
            + 256 * self.rights.denials.len() as u64
    }
}

/// A role at a scope.
struct Grant {
    role: Arc<[Permissions]>,
    conditional: bool,
}

/// A deny assignment that is about the principal.
struct Denial {
    scope: ArmScope,
    at_scope_only: bool,
    permissions: Vec<Permissions>,
}

/// What a principal's assignments say.
#[derive(Default)]
pub(crate) struct Rights {
    /// By the key of the scope.
    grants: HashMap<Box<str>, Vec<Grant>>,
    denials: Vec<Denial>,
}

/// Whether a text is a condition; the error says what is wrong, and where.
pub(crate) fn check_condition(_text: &str) -> std::result::Result<(), String> {
    Ok(())
}

/// Reads what decides about a principal.
pub(crate) fn load(tx: &mut Tx<'_>, owner: &Owner) -> Result<Loaded> {
    let generation = policy::generation(tx)?;
    let standing = if owner.external {
        None
    } else {
        directory::store::standing(tx, owner.object)?
    };
    let principals = principals(tx, owner)?;
    let mut assignments = Vec::new();
    for principal in &principals {
        assignments.extend(store::assignments_of(tx, *principal)?);
    }
    let mut roles: HashMap<Guid, Option<Arc<[Permissions]>>> = HashMap::new();
    for assignment in &assignments {
        if !roles.contains_key(&assignment.role) {
            let role = store::definition(tx, assignment.role)?;
            roles.insert(
                assignment.role,
                role.map(|role| Arc::clone(&role.permissions)),
            );
        }
    }
    let denials = store::all_denials(tx)?;
    Ok(Loaded {
        generation,
        in_good_standing: owner.external || standing.as_ref().is_some_and(|found| found.enabled),
        sessions_valid_from: standing.map_or(0, |found| found.sessions_valid_from),
        rights: Rights::new(assignments, &roles, denials, &principals),
    })
}

/// The object and all groups it is in, directly or through others.
fn principals(tx: &mut Tx<'_>, owner: &Owner) -> Result<BTreeSet<Guid>> {
    let mut all = BTreeSet::from([owner.object]);
    all.extend(owner.groups.iter().take(MAX_GROUPS));
    let mut unasked: Vec<Guid> = all.iter().copied().collect();
    while let Some(member) = unasked.pop() {
        let groups = tx.query(
            "SELECT group_id FROM directory_members WHERE member_id = ?1 ORDER BY group_id LIMIT ?2",
            params![&member.to_string(), MAX_GROUPS as u64],
            |row| row.get_string(0),
        )?;
        for group in groups {
            let Ok(group) = Guid::parse(&group) else {
                continue;
            };
            if all.len() < MAX_GROUPS && all.insert(group) {
                unasked.push(group);
            }
        }
    }
    Ok(all)
}

impl Rights {
    pub(crate) fn new(
        assignments: Vec<RoleAssignment>,
        roles: &HashMap<Guid, Option<Arc<[Permissions]>>>,
        denials: Vec<DenyAssignment>,
        principals: &BTreeSet<Guid>,
    ) -> Self {
        let mut rights = Self::default();
        for assignment in assignments {
            let Some(Some(role)) = roles.get(&assignment.role) else {
                continue;
            };
            rights
                .grants
                .entry(assignment.scope.key().into())
                .or_default()
                .push(Grant {
                    role: Arc::clone(role),
                    conditional: assignment.condition.is_some(),
                });
        }
        let names = |list: &[store::DenyPrincipal]| {
            list.iter()
                .any(|one| one.id == Guid::ZERO || principals.contains(&one.id))
        };
        for denial in denials {
            if names(&denial.principals) && !names(&denial.excluded) {
                rights.denials.push(Denial {
                    scope: denial.scope,
                    at_scope_only: denial.is_not_inherited,
                    permissions: denial.permissions,
                });
            }
        }
        rights
    }

    /// Whether an action on a resource is allowed: not denied, and granted at the scope or above it.
    pub(crate) fn allows(&self, plane: Plane, action: &ArmAction, scope: &ArmScope) -> bool {
        let covers =
            |permissions: &[Permissions]| permissions.iter().any(|one| one.covers(plane, action));
        let denied = self.denials.iter().any(|denial| {
            let here = if denial.at_scope_only {
                denial.scope == *scope
            } else {
                denial.scope.contains(scope)
            };
            here && covers(&denial.permissions)
        });
        !denied
            && scope.ancestor_keys().any(|key| {
                self.grants.get(key).is_some_and(|grants| {
                    grants
                        .iter()
                        .any(|grant| !grant.conditional && covers(&grant.role))
                })
            })
    }

    /// Whether anything at all is granted at a scope, above it or below it.
    pub(crate) fn reaches(&self, scope: &ArmScope) -> bool {
        scope
            .ancestor_keys()
            .any(|key| self.grants.contains_key(key))
            || self
                .grants
                .keys()
                .any(|key| lazuli_wire::arm_scope::key_contains(scope.key(), key))
    }
}
