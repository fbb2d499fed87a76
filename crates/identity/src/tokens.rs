//! The registry's own tokens: what they say, and what has to be true of one before anybody reads it.
//!
//! Names, versions and lifetimes are those of Azure Container Registry. A refresh token stands for an identity; an
//! access token for what its holder may do. Nothing made from a token outlives it.

use lazuli_wire::token::{
    ACCESS_TOKEN, ANONYMOUS_SUBJECT, AccessClaims, AccessEntry, Actions, CommonClaims, ISSUER,
    Listing, Permissions, REFRESH_TOKEN, RefreshClaims, Scope,
};

use crate::grants::Grants;
use crate::jwt::{self, Payload};
use crate::keys::Purpose;
use crate::principal::{Principal, PrincipalKind, Proof, RegistryId};
use crate::state::RegistryState;

/// Seconds a refresh token lives.
pub const REFRESH_LIFE: i64 = 3 * 60 * 60;
/// Seconds an access token lives.
pub const ACCESS_LIFE: i64 = 60 * 60;
/// Seconds an anonymous access token lives.
pub const ANONYMOUS_LIFE: i64 = 5 * 60;
/// Tokens say they were issued this many seconds ago, so that clients with slow clocks take them.
pub const BACKDATED: i64 = 15 * 60;
/// Seconds by which the clocks of two servers of one installation may differ.
pub const SKEW: i64 = 30;

const MICROS: i64 = 1_000_000;

/// The longest time in microseconds that a token of a purpose is taken after it was signed.
pub(crate) const fn longest_life_us(purpose: Purpose) -> i64 {
    let life = match purpose {
        Purpose::Access => ACCESS_LIFE,
        Purpose::Refresh => REFRESH_LIFE,
        Purpose::Directory => crate::directory::LONGEST_LIFE,
    };
    (life + 2 * SKEW) * MICROS
}

/// Why a token is refused. For logs: a client learns only that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rejected {
    /// The token itself, before its claims are read.
    Form(jwt::Rejected),
    /// The claims are not those of a token of this kind.
    Claims,
    /// `iss` is somebody else.
    Issuer,
    /// `aud` is another login server.
    Audience,
    /// `rid` is another registry.
    Registry,
    /// `grant_type` or `version` is that of another kind of token.
    Kind,
    /// `sub` is nobody this registry knows, or may not sign in.
    Subject,
    /// `exp` has passed.
    Expired,
    /// `nbf` or `iat` is to come.
    NotYetValid,
    /// It claims to live longer than tokens of its kind do.
    Lifetime,
}

/// A token that passed every check.
pub(crate) struct Verified {
    pub(crate) principal: Principal,
    /// Microseconds until which it is taken.
    pub(crate) taken_until: i64,
}

/// Verifies an access token that came to a login server.
pub(crate) fn verify_access(
    state: &RegistryState,
    service: &str,
    token: &str,
    now_us: i64,
) -> Result<Verified, Rejected> {
    let payload = signed(state, Purpose::Access, token, now_us)?;
    let claims = AccessClaims::parse(payload.as_bytes()).map_err(|_| Rejected::Claims)?;
    let kind = subject(state, &claims.common)?;
    let (version, life) = access_form(kind);
    check(
        state,
        service,
        &claims.common,
        (ACCESS_TOKEN, version, life),
        now_us,
    )?;
    let grants = grants_of(kind, claims.access);
    let expires_at = claims.common.exp.saturating_mul(MICROS);
    Ok(verified(
        state,
        kind,
        Proof::AccessToken { grants, expires_at },
        expires_at,
    ))
}

/// Verifies a refresh token that came to a login server.
pub(crate) fn verify_refresh(
    state: &RegistryState,
    service: &str,
    token: &str,
    now_us: i64,
) -> Result<Verified, Rejected> {
    let payload = signed(state, Purpose::Refresh, token, now_us)?;
    let claims = RefreshClaims::parse(payload.as_bytes()).map_err(|_| Rejected::Claims)?;
    let kind = subject(state, &claims.common)?;
    if kind == PrincipalKind::Anonymous {
        return Err(Rejected::Subject);
    }
    check(
        state,
        service,
        &claims.common,
        (REFRESH_TOKEN, "1.0", REFRESH_LIFE),
        now_us,
    )?;
    let expires_at = claims.common.exp.saturating_mul(MICROS);
    Ok(verified(
        state,
        kind,
        Proof::RefreshToken { expires_at },
        expires_at,
    ))
}

fn signed(
    state: &RegistryState,
    purpose: Purpose,
    token: &str,
    now_us: i64,
) -> Result<Payload, Rejected> {
    jwt::verify(token, |kid| state.verifying_key(purpose, kid, now_us)).map_err(Rejected::Form)
}

fn check(
    state: &RegistryState,
    service: &str,
    claims: &CommonClaims,
    (grant_type, version, life): (&str, &str, i64),
    now_us: i64,
) -> Result<(), Rejected> {
    let now = now_us / MICROS;
    if claims.iss != ISSUER {
        return Err(Rejected::Issuer);
    }
    if claims.aud != service {
        return Err(Rejected::Audience);
    }
    if claims.rid != registry_claim(state.registry) {
        return Err(Rejected::Registry);
    }
    if claims.grant_type != grant_type || claims.version != version {
        return Err(Rejected::Kind);
    }
    if claims.exp.saturating_add(SKEW) <= now {
        return Err(Rejected::Expired);
    }
    if claims.nbf > now.saturating_add(SKEW) || claims.iat > now.saturating_add(SKEW) {
        return Err(Rejected::NotYetValid);
    }
    if claims.exp.saturating_sub(claims.nbf) > life + BACKDATED {
        return Err(Rejected::Lifetime);
    }
    Ok(())
}

fn verified(state: &RegistryState, kind: PrincipalKind, proof: Proof, expires_at: i64) -> Verified {
    Verified {
        principal: Principal::new(state.registry, kind, state.name_of(kind), proof),
        taken_until: expires_at.saturating_add(SKEW * MICROS),
    }
}

/// The version and lifetime of an identity's access tokens.
const fn access_form(kind: PrincipalKind) -> (&'static str, i64) {
    match kind {
        PrincipalKind::Anonymous => ("1.0", ANONYMOUS_LIFE),
        PrincipalKind::Admin => ("2.0", ACCESS_LIFE),
    }
}

const ADMIN_SUBJECT: &str = "admin";

const fn subject_claim(kind: PrincipalKind) -> &'static str {
    match kind {
        PrincipalKind::Anonymous => ANONYMOUS_SUBJECT,
        PrincipalKind::Admin => ADMIN_SUBJECT,
    }
}

fn subject(state: &RegistryState, claims: &CommonClaims) -> Result<PrincipalKind, Rejected> {
    match claims.sub.as_str() {
        ANONYMOUS_SUBJECT => Ok(PrincipalKind::Anonymous),
        ADMIN_SUBJECT if state.admin_enabled => Ok(PrincipalKind::Admin),
        _ => Err(Rejected::Subject),
    }
}

/// The registry's identifier as tokens carry it: 32 hexadecimal digits.
fn registry_claim(registry: RegistryId) -> String {
    format!("{:032x}", registry.get())
}

/// What the `access` claim says, as far as it means anything.
fn grants_of(kind: PrincipalKind, access: Vec<AccessEntry>) -> Grants {
    let mut grants = Grants::default();
    for entry in access {
        match entry.scope() {
            Scope::Repository { name, actions } => grants.add_repository(name, actions),
            Scope::Registry {
                name: Listing::Catalog,
                ..
            } => grants.add_catalog(entry.actions),
            Scope::Registry {
                name: Listing::DeletedCatalog,
                ..
            } => grants.add_deleted_catalog(entry.actions),
            // Every repository: only what everybody may do is ever granted that widely.
            Scope::Other
                if kind == PrincipalKind::Anonymous
                    && entry.resource_type == "repository"
                    && entry.name == "*" =>
            {
                grants.add_every_repository(entry.actions);
            }
            Scope::Other => {}
        }
    }
    grants
}

/// What is granted of a scope: what was asked, the identity may do, and the token it came with (if any) allows.
pub(crate) fn granted(state: &RegistryState, principal: &Principal, scope: &Scope) -> Actions {
    let (identity, token) = match scope {
        Scope::Repository { name, .. } => (
            state.repository_rights(principal.kind()),
            principal.grants().map(|grants| grants.on_repository(name)),
        ),
        Scope::Registry {
            name: Listing::Catalog,
            ..
        } => (
            all_if(state.catalog_right(principal.kind())),
            principal
                .grants()
                .map(|grants| all_if(grants.allows_catalog())),
        ),
        Scope::Registry {
            name: Listing::DeletedCatalog,
            ..
        } => (
            all_if(principal.kind() == PrincipalKind::Admin),
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
    let kind = principal.kind();
    let (version, life) = access_form(kind);
    let mut access: Vec<AccessEntry> = Vec::with_capacity(scopes.len());
    for scope in scopes {
        let Some(mut entry) = AccessEntry::new(scope, granted(state, principal, scope)) else {
            continue;
        };
        if kind == PrincipalKind::Anonymous && entry.resource_type == "repository" {
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
    let actions: &[&str] = match principal.kind() {
        PrincipalKind::Anonymous => &[],
        PrincipalKind::Admin => &[
            "read",
            "write",
            "delete",
            "deleted/read",
            "deleted/restore/action",
        ],
    };
    let permissions = Permissions {
        actions: actions.iter().map(|action| (*action).to_owned()).collect(),
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
        Proof::RefreshToken { expires_at } | Proof::AccessToken { expires_at, .. } => {
            expires_at / MICROS
        }
    };
    CommonClaims {
        jti,
        sub: subject_claim(principal.kind()).to_owned(),
        nbf: now - BACKDATED,
        exp: bound.min(now + life),
        iat: now - BACKDATED,
        iss: ISSUER.to_owned(),
        aud: service.to_owned(),
        version: version.to_owned(),
        rid: registry_claim(state.registry),
        grant_type: grant_type.to_owned(),
        appid: None,
        tenant: None,
    }
}

#[cfg(test)]
#[path = "tokens_tests.rs"]
mod tests;
