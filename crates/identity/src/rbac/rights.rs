//! Everything that decides what one principal may do, in memory.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use lazuli_db::{Result, Tx, params, settings};
use lazuli_wire::Guid;
use lazuli_wire::arm_scope::{ArmScope, key_contains};
use lazuli_wire::rbac::{
    ActionCondition, ArmAction, Attributes, Condition, Permissions, Plane, Source, Truth, Values,
};

use super::cache::Owner;
use super::policy;
use super::registry::{Mode, RegistryRights};
use super::store::{self, DenyAssignment, RoleAssignment};

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
    registries: Mutex<Registries>,
}

/// Rights in registries, by where the registry is and how it makes rights of roles.
type Registries = Vec<(ArmScope, Mode, Arc<RegistryRights>)>;

/// Registries of which the rights are kept for one principal.
const KEPT: usize = 64;

impl Loaded {
    /// The rights in a registry. Principals with many tokens share them.
    pub(crate) fn in_registry(&self, scope: &ArmScope, mode: Mode) -> Arc<RegistryRights> {
        let mut kept = self
            .registries
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let known = kept
            .iter()
            .find(|one| one.0 == *scope && one.1 == mode)
            .map(|one| Arc::clone(&one.2));
        if let Some(known) = known {
            return known;
        }
        let rights = Arc::new(RegistryRights::new(self, scope, mode));
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.push((scope.clone(), mode, Arc::clone(&rights)));
        rights
    }

    /// The memory it takes, about.
    pub(crate) fn weight(&self) -> u64 {
        128 + self.rights.weight()
    }
}

/// A role at a scope.
struct Grant {
    role: Arc<[Permissions]>,
    condition: Option<Condition>,
}

/// A deny assignment that is about the principal.
struct Denial {
    scope: ArmScope,
    at_scope_only: bool,
    permissions: Vec<Permissions>,
    condition: Option<Condition>,
}

/// What a principal's assignments say.
#[derive(Default)]
pub(crate) struct Rights {
    /// By the key of the scope.
    grants: HashMap<Box<str>, Vec<Grant>>,
    denials: Vec<Denial>,
    /// The key of the management group that holds every subscription.
    root_group: Option<Box<str>>,
}

/// What is granted and denied of one action on one resource: each time, whatever the condition, or under which.
#[derive(Default)]
pub(crate) struct Applicable {
    pub(crate) granted: bool,
    pub(crate) denied: bool,
    pub(crate) granted_if: Vec<ActionCondition>,
    pub(crate) denied_if: Vec<ActionCondition>,
}

/// A request without attributes.
pub(crate) struct NoAttributes;

impl Attributes for NoAttributes {
    fn get(&self, _: Source, _: &str) -> Option<Values<'_>> {
        None
    }
}

/// Reads what decides about a principal.
pub(crate) fn load(tx: &mut Tx<'_>, owner: &Owner) -> Result<Loaded> {
    let generation = policy::generation(tx)?;
    let standing = if owner.external {
        trusted(tx, owner.tenant)?.then_some((true, 0))
    } else {
        standing(tx, owner.object)?
    };
    let principals = principals(tx, owner)?;
    let mut assignments = Vec::new();
    for principal in &principals {
        assignments.extend(store::assignments_of(tx, *principal)?);
    }
    let mut roles: HashMap<Guid, Option<Arc<[Permissions]>>> = HashMap::new();
    for assignment in &assignments {
        if let Entry::Vacant(unknown) = roles.entry(assignment.role) {
            let role = store::definition(tx, assignment.role)?;
            unknown.insert(role.map(|role| Arc::clone(&role.permissions)));
        }
    }
    let denials = store::all_denials(tx)?;
    let tenant = settings::get(tx, "tenant_id")?.and_then(|text| Guid::parse(&text).ok());
    let tenant = tenant.unwrap_or(Guid::ZERO);
    Ok(Loaded {
        generation,
        in_good_standing: standing.is_some_and(|(enabled, _)| enabled),
        sessions_valid_from: standing.map_or(0, |(_, from)| from),
        rights: Rights::new(assignments, &roles, denials, &principals, tenant),
        registries: Mutex::default(),
    })
}

/// Whether an object is enabled, and from when on its tokens count.
fn standing(tx: &mut Tx<'_>, object: Guid) -> Result<Option<(bool, i64)>> {
    tx.query_one(
        "SELECT enabled, sessions_valid_from FROM directory_objects WHERE id = ?1",
        params![&object.to_string()],
        |row| Ok((row.get_bool(0)?, row.get_i64(1)?)),
    )
}

/// Whether the tokens of another directory are taken.
fn trusted(tx: &mut Tx<'_>, tenant: Guid) -> Result<bool> {
    let found = tx.query_one(
        "SELECT 1 FROM trusted_issuers WHERE tenant_id = ?1 AND enabled = 1",
        params![&tenant.to_string()],
        |row| row.get_i64(0),
    )?;
    Ok(found.is_some())
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
        tenant: Guid,
    ) -> Self {
        let root_group = format!("/providers/microsoft.management/managementgroups/{tenant}");
        let mut rights = Self {
            root_group: Some(root_group.into()),
            ..Self::default()
        };
        let mut conditions = HashMap::new();
        for assignment in assignments {
            let Some(Some(role)) = roles.get(&assignment.role) else {
                continue;
            };
            let condition = match &assignment.condition {
                None => None,
                Some(text) => match read_once(&mut conditions, text) {
                    Some(condition) => Some(condition),
                    // Nothing is granted under a condition that nobody can read.
                    None => continue,
                },
            };
            let grant = Grant {
                role: Arc::clone(role),
                condition,
            };
            let key = assignment.scope.key().into();
            rights.grants.entry(key).or_default().push(grant);
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
                    // One that nobody can read denies always.
                    condition: denial
                        .condition
                        .and_then(|text| read_once(&mut conditions, &text)),
                });
            }
        }
        rights
    }

    /// Whether an action on a resource is allowed: not denied, and granted at the scope or above it.
    pub(crate) fn allows(
        &self,
        plane: Plane,
        action: &ArmAction,
        scope: &ArmScope,
        attributes: &dyn Attributes,
    ) -> bool {
        let met = |condition: &Condition| condition.evaluate(action, None, attributes);
        let denied = self.denials_at(plane, action, scope).any(|denial| {
            let condition = denial.condition.as_ref();
            condition.is_none_or(|condition| met(condition) != Truth::False)
        });
        !denied
            && self.grants_at(plane, action, scope).any(|grant| {
                let condition = grant.condition.as_ref();
                condition.is_none_or(|condition| met(condition).is_true())
            })
    }

    /// All that decides about an action on a resource, apart from attributes.
    pub(crate) fn applicable(
        &self,
        plane: Plane,
        action: &ArmAction,
        scope: &ArmScope,
    ) -> Applicable {
        let mut found = Applicable::default();
        for grant in self.grants_at(plane, action, scope) {
            let remaining = grant.condition.as_ref().map(|one| one.of_action(action));
            match remaining {
                None => found.granted = true,
                Some(remaining) => match remaining.constant() {
                    Some(met) => found.granted |= met,
                    None if found.granted_if.contains(&remaining) => {}
                    None => found.granted_if.push(remaining),
                },
            }
        }
        for denial in self.denials_at(plane, action, scope) {
            let remaining = denial.condition.as_ref().map(|one| one.of_action(action));
            match remaining {
                None => found.denied = true,
                Some(remaining) => match remaining.constant() {
                    Some(met) => found.denied |= met,
                    None => found.denied_if.push(remaining),
                },
            }
        }
        found
    }

    fn denials_at<'r>(
        &'r self,
        plane: Plane,
        action: &'r ArmAction,
        scope: &'r ArmScope,
    ) -> impl Iterator<Item = &'r Denial> {
        self.denials.iter().filter(move |denial| {
            let here = if denial.at_scope_only {
                denial.scope == *scope
            } else {
                denial.scope.contains(scope) || self.is_above(denial.scope.key(), scope)
            };
            here && covers(&denial.permissions, plane, action)
        })
    }

    fn grants_at<'r>(
        &'r self,
        plane: Plane,
        action: &'r ArmAction,
        scope: &'r ArmScope,
    ) -> impl Iterator<Item = &'r Grant> {
        let root_group = self
            .root_group
            .as_deref()
            .filter(|group| self.is_above(group, scope));
        scope
            .ancestor_keys()
            .chain(root_group)
            .filter_map(|key| self.grants.get(key))
            .flatten()
            .filter(move |grant| covers(&grant.role, plane, action))
    }

    /// Whether a key is that of the group that holds every subscription, and the scope is in one.
    fn is_above(&self, key: &str, scope: &ArmScope) -> bool {
        self.root_group.as_deref() == Some(key) && scope.subscription_id().is_some()
    }

    /// Whether anything at all is granted at a scope, above it or below it.
    pub(crate) fn reaches(&self, scope: &ArmScope) -> bool {
        self.grants.keys().any(|key| {
            key_contains(key, scope.key())
                || key_contains(scope.key(), key)
                || self.is_above(key, scope)
        })
    }

    /// The memory the rights take, about.
    pub(crate) fn weight(&self) -> u64 {
        let grants = self.grants.values().map(|at| 128 + 64 * at.len() as u64);
        grants.sum::<u64>() + 256 * self.denials.len() as u64
    }
}

fn covers(permissions: &[Permissions], plane: Plane, action: &ArmAction) -> bool {
    permissions.iter().any(|one| one.covers(plane, action))
}

/// Reads a condition, or remembers how it was read.
fn read_once(known: &mut HashMap<String, Option<Condition>>, text: &str) -> Option<Condition> {
    if let Some(condition) = known.get(text) {
        return condition.clone();
    }
    let condition = Condition::parse(text)
        .inspect_err(|error| tracing::warn!(%error, "a stored condition cannot be read"))
        .ok();
    known.insert(text.to_owned(), condition.clone());
    condition
}

#[cfg(test)]
#[path = "rights_tests.rs"]
mod tests;
