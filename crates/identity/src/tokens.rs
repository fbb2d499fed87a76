//! The registry's own tokens: what they say, and what has to be true of one before anybody reads it.
//!
//! Names, versions and lifetimes are those of Azure Container Registry. A refresh token stands for an identity; an
//! access token for what its holder may do. Nothing made from a token outlives it.

use lazuli_wire::token::{
    ACCESS_TOKEN, ANONYMOUS_SUBJECT, AccessClaims, AccessEntry, CommonClaims, ISSUER, Listing,
    REFRESH_TOKEN, RefreshClaims, Scope,
};

use crate::grants::Grants;
use crate::jwt::{self, Payload};
use crate::keys::Purpose;
use crate::principal::{Principal, Proof, RegistryId, Who};
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

mod made;
mod subject;

pub(crate) use made::{access_claims, refresh_claims};
pub(crate) use subject::Subject;

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
    /// Rights were made of roles in another way when it was made.
    Mode,
    /// `exp` has passed.
    Expired,
    /// `nbf` or `iat` is to come.
    NotYetValid,
    /// It claims to live longer than tokens of its kind do.
    Lifetime,
}

/// A token that passed every check but one: whether its subject is there still.
pub(crate) struct Verified {
    pub(crate) subject: Subject,
    pub(crate) proof: Proof,
    /// Microseconds until which it is taken.
    pub(crate) taken_until: i64,
}

impl Verified {
    /// The principal, when nothing has to be looked up for it.
    pub(crate) fn known(&self, state: &RegistryState) -> Option<Principal> {
        let who = match self.subject {
            Subject::Anonymous => Who::Anonymous,
            Subject::Admin => Who::Admin,
            Subject::Token { .. } | Subject::Directory(_) => return None,
        };
        let name = state.name_of(&who).to_owned();
        Some(Principal::new(
            state.registry,
            who,
            name,
            self.proof.clone(),
        ))
    }
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
    let subject = subject::subject(state, &claims.common)?;
    let is_anonymous = subject == Subject::Anonymous;
    let (version, life) = access_form(is_anonymous);
    check(
        state,
        service,
        &claims.common,
        (ACCESS_TOKEN, version, life),
        now_us,
    )?;
    let grants = grants_of(is_anonymous, claims.access);
    let expires_at = claims.common.exp.saturating_mul(MICROS);
    Ok(verified(
        subject,
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
    let subject = subject::subject(state, &claims.common)?;
    if subject == Subject::Anonymous {
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
        subject,
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
    // Anonymous tokens grant the same in either mode.
    let is_anonymous = claims.sub == ANONYMOUS_SUBJECT;
    if !is_anonymous && claims.holder.role_mode.as_deref() != state.mode().mark() {
        return Err(Rejected::Mode);
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

fn verified(subject: Subject, proof: Proof, expires_at: i64) -> Verified {
    Verified {
        subject,
        proof,
        taken_until: expires_at.saturating_add(SKEW * MICROS),
    }
}

/// The version and lifetime of an identity's access tokens.
const fn access_form(is_anonymous: bool) -> (&'static str, i64) {
    if is_anonymous {
        ("1.0", ANONYMOUS_LIFE)
    } else {
        ("2.0", ACCESS_LIFE)
    }
}

/// The registry's identifier as tokens carry it: 32 hexadecimal digits.
fn registry_claim(registry: RegistryId) -> String {
    format!("{:032x}", registry.get())
}

/// What the `access` claim says, as far as it means anything.
fn grants_of(is_anonymous: bool, access: Vec<AccessEntry>) -> Grants {
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
                if is_anonymous && entry.resource_type == "repository" && entry.name == "*" =>
            {
                grants.add_every_repository(entry.actions);
            }
            Scope::Other => {}
        }
    }
    grants
}

#[cfg(test)]
#[path = "tokens_tests.rs"]
mod tests;
