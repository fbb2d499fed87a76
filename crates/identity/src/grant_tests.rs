//! The rule that nothing grants more than the identity may and the token's scopes ask for.

use lazuli_wire::oci::RepositoryName;
use lazuli_wire::token::{Action, Actions};
use proptest::prelude::*;

use super::{ACCESS, NOW, SERVICE, admin, state};
use crate::access::Denied;
use crate::jwt;
use crate::permission::{
    Delete, DeletedRead, DeletedRestore, MetadataRead, MetadataWrite, Permission, Pull, Push,
};
use crate::principal::PrincipalKind;
use crate::tokens::*;

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

/// Whether scopes ask for an action on a repository. Anonymous tokens do not tell repositories apart.
fn asked(scopes: &[Scope], kind: PrincipalKind, name: &str, action: Action) -> bool {
    scopes.iter().any(|scope| match scope {
        Scope::Repository {
            name: asked,
            actions,
        } => (kind == PrincipalKind::Anonymous || asked.as_str() == name) && actions.allows(action),
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
    verify_access(state, SERVICE, &token, NOW * MICROS)
        .ok()
        .unwrap()
        .known(state)
        .unwrap()
}

/// A permission is given if and only if both the identity may and every list of scopes asks for an action that meets it.
fn check_permission<P: Permission>(
    state: &RegistryState,
    principal: &Principal,
    lists: &[&[Scope]],
) {
    let kind = principal.kind();
    let rights = access_rights(kind, state.anonymous_pull);
    for name in NAMES {
        let expected = P::MET_BY.iter().any(|action| {
            rights.allows(action) && lists.iter().all(|scopes| asked(scopes, kind, name, action))
        });
        assert_eq!(
            state.authorize::<P>(principal, name, NOW * MICROS).is_ok(),
            expected,
            "{name} {} {lists:?}",
            P::ACTION
        );
    }
}

/// What an identity may, said a second time and independently.
fn access_rights(kind: PrincipalKind, anonymous_pull: bool) -> Actions {
    match (kind, anonymous_pull) {
        (PrincipalKind::Admin, _) => Actions::of(&Action::ALL),
        (PrincipalKind::Anonymous, true) => Actions::of(&[Action::Pull, Action::MetadataRead]),
        _ => Actions::NONE,
    }
}

fn check_permissions(state: &RegistryState, principal: &Principal, lists: &[&[Scope]]) {
    check_permission::<Pull>(state, principal, lists);
    check_permission::<Push>(state, principal, lists);
    check_permission::<Delete>(state, principal, lists);
    check_permission::<MetadataRead>(state, principal, lists);
    check_permission::<MetadataWrite>(state, principal, lists);
    check_permission::<DeletedRead>(state, principal, lists);
    check_permission::<DeletedRestore>(state, principal, lists);
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
    let may = principal.kind() == PrincipalKind::Admin || state.anonymous_pull;
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
        is_admin: bool,
        anonymous_pull: bool,
    ) {
        let state = state(anonymous_pull);
        let identity = if is_admin { admin(Proof::Password) } else { state.anonymous.clone() };
        check_permissions(&state, &identity, &[]);
        let token = through_a_token(&state, &identity, &first);
        check_permissions(&state, &token, &[&first]);
        // A token made from that token cannot do more than both.
        let derived = through_a_token(&state, &token, &second);
        check_permissions(&state, &derived, &[&first, &second]);
        // Switching anonymous pull off counts for tokens that are out already.
        let off = super::state(false);
        if !is_admin {
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
