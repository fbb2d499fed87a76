//! The rule that nothing grants more than the identity may and the token's scopes ask for.

use lazuli_wire::oci::RepositoryName;
use lazuli_wire::token::{Action, Actions};
use proptest::prelude::*;

use super::{ACCESS, Arc, NOW, REGISTRY, SERVICE, admin, state};
use crate::access::Denied;
use crate::jwt;
use crate::permission::{
    Delete, DeletedRead, DeletedRestore, MetadataRead, MetadataWrite, Permission, Pull, Push,
};
use crate::principal::DirectoryIdentity;
use crate::rbac::built_in_roles;
use crate::rbac::cache::Owner;
use crate::rbac::registry::{Mode, RegistryRights};
use crate::rbac::rights::Rights;
use crate::rbac::store::RoleAssignment;
use crate::scope_maps::rights::TokenRights;
use crate::tokens::*;
use lazuli_wire::Guid;
use lazuli_wire::arm_scope::ArmScope;

const NAMES: [&str; 4] = ["a", "b", "team/a", "team/a/b"];

fn any_scope() -> impl Strategy<Value = Scope> {
    let repository =
        (prop::sample::select(&NAMES[..]), 0_u16..256).prop_map(|(name, bits)| Scope::Repository {
            name: RepositoryName::parse(name).unwrap(),
            actions: Actions::from_bits(bits),
        });
    let registry = (any::<bool>(), any::<bool>()).prop_map(|(catalog, all)| Scope::Registry {
        name: if catalog {
            Listing::Catalog
        } else {
            Listing::DeletedCatalog
        },
        all,
    });
    prop_oneof![6 => repository, 2 => registry, 1 => Just(Scope::Other)]
}

/// Entries of scope maps: the pattern, its words, what they allow, and on which of the names.
const ENTRIES: [(&str, Action, [bool; 4]); 5] = [
    ("repositories/*/content/read", Action::Pull, [true; 4]),
    (
        "repositories/team/*/content/write",
        Action::Push,
        [false, false, true, true],
    ),
    (
        "repositories/a/content/delete",
        Action::Delete,
        [true, false, false, false],
    ),
    (
        "repositories/team/a/metadata/read",
        Action::MetadataRead,
        [false, false, true, false],
    ),
    (
        "repositories/team/a/*/metadata/write",
        Action::MetadataWrite,
        [false, false, false, true],
    ),
];

/// Roles, and what they allow in a registry of the old mode.
const ROLES: [(&str, &[Action]); 4] = [
    ("AcrPull", &[Action::Pull, Action::MetadataRead]),
    (
        "AcrPush",
        &[Action::Pull, Action::Push, Action::MetadataRead],
    ),
    ("AcrDelete", &[Action::Delete]),
    ("Owner", &Action::ALL),
];

/// Somebody, said so that what they may do can be told without asking the code.
#[derive(Debug, Clone)]
enum Somebody {
    Admin,
    Anonymous,
    Token(Vec<usize>),
    Directory(Vec<usize>),
}

fn anybody() -> impl Strategy<Value = Somebody> {
    prop_oneof![
        Just(Somebody::Admin),
        Just(Somebody::Anonymous),
        prop::collection::vec(0..ENTRIES.len(), 0..4).prop_map(Somebody::Token),
        prop::collection::vec(0..ROLES.len(), 0..3).prop_map(Somebody::Directory),
    ]
}

impl Somebody {
    fn principal(&self, state: &RegistryState) -> Principal {
        match self {
            Self::Admin => admin(Proof::Password),
            Self::Anonymous => state.anonymous.clone(),
            Self::Token(entries) => {
                let actions = entries
                    .iter()
                    .map(|entry| ENTRIES[*entry].0.parse().unwrap());
                let rights = TokenRights::of(actions.collect());
                Principal::new(REGISTRY, Who::Token(rights.into()), "CI", Proof::Password)
            }
            Self::Directory(roles) => {
                let who = Who::Directory(someone(), role_rights(roles).into());
                Principal::new(REGISTRY, who, "ann", Proof::Password)
            }
        }
    }

    /// What they may do with a repository, by its place among the names.
    fn rights(&self, name: usize, anonymous_pull: bool) -> Actions {
        match self {
            Self::Admin => Actions::of(&Action::ALL),
            Self::Anonymous if anonymous_pull => Actions::of(&[Action::Pull, Action::MetadataRead]),
            Self::Anonymous => Actions::NONE,
            Self::Token(entries) => entries
                .iter()
                .map(|entry| ENTRIES[*entry])
                .filter(|entry| entry.2[name])
                .map(|entry| entry.1)
                .collect(),
            Self::Directory(roles) => roles
                .iter()
                .flat_map(|role| ROLES[*role].1)
                .copied()
                .collect(),
        }
    }

    fn lists(&self, anonymous_pull: bool) -> bool {
        match self {
            Self::Admin => true,
            Self::Anonymous => anonymous_pull,
            Self::Token(_) => false,
            Self::Directory(_) => self.rights(0, false).allows(Action::Pull),
        }
    }
}

fn someone() -> DirectoryIdentity {
    DirectoryIdentity {
        owner: Owner {
            tenant: Guid::from_bytes([1; 16]),
            object: Guid::from_bytes([2; 16]),
            external: true,
            groups: [Guid::from_bytes([3; 16]), Guid::from_bytes([4; 16])].into(),
        },
        application: Some(Guid::from_bytes([5; 16])),
        name: "ann".into(),
        proven_at: 12_345_678,
    }
}

fn role_rights(roles: &[usize]) -> RegistryRights {
    let assignments = roles.iter().map(|role| RoleAssignment {
        id: Guid::ZERO,
        scope: ArmScope::root(),
        role: built_in_roles()
            .iter()
            .find(|known| known.name == ROLES[*role].0)
            .unwrap()
            .id,
        principal: someone().owner.object,
        principal_type: String::new(),
        description: None,
        condition: None,
        created_at: 0,
        created_by: String::new(),
        updated_at: 0,
        updated_by: String::new(),
    });
    let known = built_in_roles()
        .iter()
        .map(|role| (role.id, Some(Arc::clone(&role.permissions))));
    let principals = [someone().owner.object].into();
    let rights = Rights::new(
        assignments.collect(),
        &known.collect(),
        Vec::new(),
        &principals,
        Guid::ZERO,
    );
    RegistryRights::of(&rights, &ArmScope::root(), Mode::Legacy)
}

/// Whether scopes ask for an action on a repository. Anonymous tokens do not tell repositories apart.
fn asked(scopes: &[Scope], is_anonymous: bool, name: &str, action: Action) -> bool {
    scopes.iter().any(|scope| match scope {
        Scope::Repository {
            name: asked,
            actions,
        } => (is_anonymous || asked.as_str() == name) && actions.allows(action),
        Scope::Registry { .. } | Scope::Other => false,
    })
}

/// Signs, verifies, and comes back with the principal of the token.
fn through_a_token(state: &RegistryState, principal: &Principal, scopes: &[Scope]) -> Principal {
    let claims = access_claims(
        state,
        SERVICE,
        principal,
        scopes,
        "jti".into(),
        NOW * MICROS,
    );
    let token = jwt::sign(&ACCESS, &claims).unwrap();
    let verified = verify_access(state, SERVICE, &token, NOW * MICROS)
        .ok()
        .unwrap();
    match (&verified.subject, principal.who()) {
        (Subject::Token { key, object }, Who::Token(rights)) => {
            assert_eq!((&**key, *object), ("ci", rights.object));
        }
        (Subject::Directory(identity), Who::Directory(..)) => assert_eq!(*identity, someone()),
        _ => return verified.known(state).unwrap(),
    }
    // What is looked up again is what there was.
    Principal::new(REGISTRY, principal.who().clone(), "x", verified.proof)
}

/// A permission is given if and only if both the identity may and every list of scopes asks for an action that meets it.
fn check_permission<P: Permission>(
    state: &RegistryState,
    (somebody, principal): (&Somebody, &Principal),
    lists: &[&[Scope]],
) {
    let is_anonymous = matches!(somebody, Somebody::Anonymous);
    for (index, name) in NAMES.into_iter().enumerate() {
        let rights = somebody.rights(index, state.anonymous_pull);
        let expected = P::MET_BY.iter().any(|action| {
            let asked = |scopes: &&[Scope]| asked(scopes, is_anonymous, name, action);
            rights.allows(action) && lists.iter().all(asked)
        });
        assert_eq!(
            state.authorize::<P>(principal, name, NOW * MICROS).is_ok(),
            expected,
            "{somebody:?} {name} {} {lists:?}",
            P::ACTION
        );
    }
}

fn check_permissions(state: &RegistryState, who: (&Somebody, &Principal), lists: &[&[Scope]]) {
    let (somebody, principal) = who;
    check_permission::<Pull>(state, who, lists);
    check_permission::<Push>(state, who, lists);
    check_permission::<Delete>(state, who, lists);
    check_permission::<MetadataRead>(state, who, lists);
    check_permission::<MetadataWrite>(state, who, lists);
    check_permission::<DeletedRead>(state, who, lists);
    check_permission::<DeletedRestore>(state, who, lists);
    let catalog = |scopes: &&[Scope]| {
        scopes.iter().any(|scope| {
            matches!(
                scope,
                Scope::Registry {
                    name: Listing::Catalog,
                    all: true
                }
            )
        })
    };
    let may = somebody.lists(state.anonymous_pull);
    assert_eq!(
        state.authorize_catalog(principal).is_ok(),
        may && lists.iter().all(catalog)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_token_grants_exactly_what_the_identity_may_and_was_asked(
        first in prop::collection::vec(any_scope(), 0..6),
        second in prop::collection::vec(any_scope(), 0..6),
        somebody in anybody(),
        anonymous_pull: bool,
    ) {
        let state = state(anonymous_pull);
        let identity = somebody.principal(&state);
        check_permissions(&state, (&somebody, &identity), &[]);
        let token = through_a_token(&state, &identity, &first);
        check_permissions(&state, (&somebody, &token), &[&first]);
        // A token made from that token cannot do more than both.
        let derived = through_a_token(&state, &token, &second);
        check_permissions(&state, (&somebody, &derived), &[&first, &second]);
        // Switching anonymous pull off counts for tokens that are out already.
        let off = super::state(false);
        if identity.is_anonymous() {
            prop_assert_eq!(off.authorize::<Pull>(&derived, "a", NOW * MICROS), Err(Denied::Unauthenticated));
        }
        // A principal of this registry has no rights in another.
        let other = RegistryState::with_keys(RegistryId::new(2), true, &[]);
        prop_assert!(other.authorize::<Pull>(&derived, "a", NOW * MICROS).is_err());
        prop_assert!(other.authorize_catalog(&identity).is_err());
    }

    #[test]
    fn no_text_makes_the_verifier_panic(token in "[A-Za-z0-9_.-]{0,600}") {
        prop_assert!(verify_access(&state(false), SERVICE, &token, NOW * MICROS).is_err());
    }
}
