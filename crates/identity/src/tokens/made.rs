//! What new tokens say.

use lazuli_wire::token::{
    ACCESS_TOKEN, AccessClaims, AccessEntry, Action, Actions, CommonClaims, ISSUER, Listing,
    Permissions, REFRESH_TOKEN, RefreshClaims, Scope,
};

use super::subject::{holder, subject_claim};
use super::{BACKDATED, MICROS, REFRESH_LIFE, access_form, registry_claim};
use crate::principal::{Principal, Proof, Who};
use crate::rbac::registry::Listable;
use crate::state::RegistryState;

/// What is granted of a scope: what was asked, the identity may do, and the token it came with (if any) allows.
pub(crate) fn granted(
    state: &RegistryState,
    principal: &Principal,
    scope: &Scope,
    now_us: i64,
) -> Actions {
    let who = principal.who();
    let (identity, token) = match scope {
        Scope::Repository { name, actions } => (
            state.repository_rights(who, name, *actions, now_us),
            principal.grants().map(|grants| grants.on_repository(name)),
        ),
        Scope::Registry {
            name: Listing::Catalog,
            ..
        } => (
            all_if(state.listable(who) != Listable::Nothing),
            principal
                .grants()
                .map(|grants| all_if(grants.allows_catalog())),
        ),
        Scope::Registry {
            name: Listing::DeletedCatalog,
            ..
        } => (
            all_if(who.lists_deleted()),
            principal
                .grants()
                .map(|grants| all_if(grants.allows_deleted_catalog())),
        ),
        Scope::Other => (Actions::NONE, None),
    };
    scope
        .actions()
        .intersection(identity)
        .intersection(token.unwrap_or(Actions::ALL))
}

const fn all_if(allowed: bool) -> Actions {
    if allowed { Actions::ALL } else { Actions::NONE }
}

/// The claims of an access token for the scopes asked for.
pub(crate) fn access_claims(
    state: &RegistryState,
    service: &str,
    principal: &Principal,
    scopes: &[Scope],
    jti: String,
    now_us: i64,
) -> AccessClaims {
    let is_anonymous = principal.is_anonymous();
    let (version, life) = access_form(is_anonymous);
    let mut access: Vec<AccessEntry> = Vec::with_capacity(scopes.len());
    for scope in scopes {
        let Some(mut entry) = AccessEntry::new(scope, granted(state, principal, scope, now_us))
        else {
            continue;
        };
        if is_anonymous && entry.resource_type == "repository" {
            "*".clone_into(&mut entry.name);
        }
        let same = |other: &&mut AccessEntry| {
            other.resource_type == entry.resource_type && other.name == entry.name
        };
        match access.iter_mut().find(same) {
            Some(other) => other.actions = other.actions.union(entry.actions),
            None => access.push(entry),
        }
    }
    let common = common_claims(
        state,
        service,
        principal,
        (ACCESS_TOKEN, version, life),
        jti,
        now_us,
    );
    AccessClaims {
        common,
        access,
        roles: Vec::new(),
    }
}

/// The words for permissions in refresh tokens.
const PERMISSIONS: [(Action, &str); 5] = [
    (Action::Pull, "read"),
    (Action::Push, "write"),
    (Action::Delete, "delete"),
    (Action::DeletedRead, "deleted/read"),
    (Action::DeletedRestore, "deleted/restore/action"),
];

/// The claims of a refresh token.
pub(crate) fn refresh_claims(
    state: &RegistryState,
    service: &str,
    principal: &Principal,
    jti: String,
    now_us: i64,
) -> RefreshClaims {
    let common = common_claims(
        state,
        service,
        principal,
        (REFRESH_TOKEN, "1.0", REFRESH_LIFE),
        jti,
        now_us,
    );
    let actions = match principal.who() {
        Who::Anonymous | Who::Token(_) => Actions::NONE,
        Who::Admin => Actions::ALL,
        Who::Directory(_, rights) => rights.always(),
    };
    let permissions = Permissions {
        actions: PERMISSIONS
            .into_iter()
            .filter(|(action, _)| actions.allows(*action))
            .map(|(_, word)| word.to_owned())
            .collect(),
        not_actions: Vec::new(),
    };
    RefreshClaims {
        common,
        permissions,
        roles: Vec::new(),
    }
}

fn common_claims(
    state: &RegistryState,
    service: &str,
    principal: &Principal,
    (grant_type, version, life): (&str, &str, i64),
    jti: String,
    now_us: i64,
) -> CommonClaims {
    let now = now_us / MICROS;
    // What a token leads to ends with it.
    let bound = match principal.proof() {
        Proof::None | Proof::Password => i64::MAX,
        Proof::EndingPassword { expires_at }
        | Proof::RefreshToken { expires_at }
        | Proof::AccessToken { expires_at, .. } => expires_at / MICROS,
    };
    let (appid, tenant) = match principal.who() {
        Who::Directory(identity, _) => (
            identity.application.map(|id| id.to_string()),
            Some(identity.owner.tenant.to_string()),
        ),
        _ => (None, None),
    };
    CommonClaims {
        jti,
        sub: subject_claim(principal.who()),
        nbf: now - BACKDATED,
        exp: bound.min(now + life),
        iat: now - BACKDATED,
        iss: ISSUER.to_owned(),
        aud: service.to_owned(),
        version: version.to_owned(),
        rid: registry_claim(state.registry),
        grant_type: grant_type.to_owned(),
        appid,
        tenant,
        holder: holder(state, principal.who()),
    }
}
