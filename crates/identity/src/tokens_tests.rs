//! Attacks on what a token says, and its golden form.

use std::sync::{Arc, LazyLock};

use lazuli_wire::token::{Action, Actions};
use serde_json::{Value, json};

use super::*;
use crate::access::Denied;
use crate::keys::SigningKey;
use crate::permission::{Pull, Push};

const REGISTRY: RegistryId = RegistryId::DEFAULT;
const SERVICE: &str = "127.0.0.1:5000";
/// 2025-01-01T00:00:00Z
const NOW: i64 = 1_735_689_600;

static ACCESS: LazyLock<Arc<SigningKey>> = LazyLock::new(|| key(Purpose::Access));
static REFRESH: LazyLock<Arc<SigningKey>> = LazyLock::new(|| key(Purpose::Refresh));

fn key(purpose: Purpose) -> Arc<SigningKey> {
    Arc::new(SigningKey::generate(purpose).unwrap())
}

fn state(anonymous_pull: bool) -> RegistryState {
    let keys = [(Arc::clone(&ACCESS), None), (Arc::clone(&REFRESH), None)];
    RegistryState::with_keys(REGISTRY, anonymous_pull, &keys)
}

fn admin(proof: Proof) -> Principal {
    Principal::new(REGISTRY, Who::Admin, "lazuli", proof)
}

fn scopes(text: &str) -> Vec<Scope> {
    Scope::parse_list([text]).unwrap()
}

fn access_json(scope: &str) -> Value {
    let principal = admin(Proof::Password);
    let claims = access_claims(
        &state(false),
        SERVICE,
        &principal,
        &scopes(scope),
        "jti".into(),
        NOW * MICROS,
    );
    serde_json::to_value(claims).unwrap()
}

fn refresh_json() -> Value {
    let claims = refresh_claims(
        &state(false),
        SERVICE,
        &admin(Proof::Password),
        "jti".into(),
        NOW * MICROS,
    );
    serde_json::to_value(claims).unwrap()
}

fn outcome(verified: Result<Verified, Rejected>) -> Result<(), Rejected> {
    verified.map(|_| ())
}

/// Verifies claims as an access token that our own access key signed.
fn access(claims: &Value) -> Result<(), Rejected> {
    access_at(claims, NOW * MICROS)
}

fn access_at(claims: &Value, now_us: i64) -> Result<(), Rejected> {
    let token = jwt::sign(&ACCESS, claims).unwrap();
    outcome(verify_access(&state(false), SERVICE, &token, now_us))
}

fn refresh(claims: &Value) -> Result<(), Rejected> {
    let token = jwt::sign(&REFRESH, claims).unwrap();
    outcome(verify_refresh(&state(false), SERVICE, &token, NOW * MICROS))
}

fn with(mut claims: Value, name: &str, value: impl Into<Value>) -> Value {
    claims[name] = value.into();
    claims
}

fn without(mut claims: Value, name: &str) -> Value {
    claims.as_object_mut().unwrap().remove(name).unwrap();
    claims
}

#[path = "grant_tests.rs"]
mod grants;

#[test]
fn the_claims_are_those_of_acr() {
    assert_eq!(
        access_json("repository:team/app:pull,push registry:catalog:* repository:other:fly")
            .to_string(),
        json!({
            "jti": "jti", "sub": "admin",
            "nbf": NOW - 900, "exp": NOW + 3600, "iat": NOW - 900,
            "iss": "Azure Container Registry", "aud": "127.0.0.1:5000", "version": "2.0",
            "rid": "00000000000000000000000000000001", "grant_type": "access_token",
            "access": [
                {"type": "repository", "name": "team/app", "actions": ["pull", "push"]},
                {"type": "registry", "name": "catalog", "actions": ["*"]},
                {"type": "repository", "name": "other", "actions": []},
            ],
            "roles": [],
        })
        .to_string()
    );
    assert_eq!(
        refresh_json().to_string(),
        json!({
            "jti": "jti", "sub": "admin",
            "nbf": NOW - 900, "exp": NOW + 10_800, "iat": NOW - 900,
            "iss": "Azure Container Registry", "aud": "127.0.0.1:5000", "version": "1.0",
            "rid": "00000000000000000000000000000001", "grant_type": "refresh_token",
            "permissions": {
                "Actions": ["read", "write", "delete", "deleted/read", "deleted/restore/action"],
                "NotActions": [],
            },
            "roles": [],
        })
        .to_string()
    );
    let state = state(true);
    let asked = scopes("repository:team/app:pull,push repository:other:pull registry:catalog:*");
    let claims = access_claims(
        &state,
        SERVICE,
        &state.anonymous,
        &asked,
        "jti".into(),
        NOW * MICROS,
    );
    assert_eq!(
        serde_json::to_value(claims).unwrap().to_string(),
        json!({
            "jti": "jti", "sub": "acr_anon_pull",
            "nbf": NOW - 900, "exp": NOW + 300, "iat": NOW - 900,
            "iss": "Azure Container Registry", "aud": "127.0.0.1:5000", "version": "1.0",
            "rid": "00000000000000000000000000000001", "grant_type": "access_token",
            "access": [
                {"type": "repository", "name": "*", "actions": ["pull"]},
                {"type": "registry", "name": "catalog", "actions": ["*"]},
            ],
            "roles": [],
        })
        .to_string()
    );
}

#[test]
fn our_own_tokens_verify() {
    assert_eq!(access(&access_json("repository:a:pull")), Ok(()));
    assert_eq!(refresh(&refresh_json()), Ok(()));
}

#[test]
fn tokens_with_wrong_claims_are_refused_although_we_signed_them() {
    let good = || access_json("repository:a:pull");
    for (claims, reason) in [
        (
            with(good(), "iss", "https://sts.windows.net/"),
            Rejected::Issuer,
        ),
        (
            with(good(), "iss", "azure container registry"),
            Rejected::Issuer,
        ),
        (with(good(), "aud", "other.example"), Rejected::Audience),
        (with(good(), "aud", "127.0.0.1:5001"), Rejected::Audience),
        (with(good(), "aud", "127.0.0.1:50000"), Rejected::Audience),
        (with(good(), "aud", ""), Rejected::Audience),
        (with(good(), "aud", json!([SERVICE])), Rejected::Claims),
        (
            with(good(), "rid", "00000000000000000000000000000002"),
            Rejected::Registry,
        ),
        (with(good(), "grant_type", "refresh_token"), Rejected::Kind),
        (with(good(), "grant_type", "password"), Rejected::Kind),
        (with(good(), "version", "1.0"), Rejected::Kind),
        (with(good(), "sub", "root"), Rejected::Subject),
        (with(good(), "sub", ""), Rejected::Subject),
        (with(good(), "sub", "Admin"), Rejected::Subject),
        // An anonymous token with the admin's version and lifetime.
        (with(good(), "sub", "acr_anon_pull"), Rejected::Kind),
        (
            with(with(good(), "sub", "acr_anon_pull"), "version", "1.0"),
            Rejected::Lifetime,
        ),
        (with(good(), "exp", NOW - SKEW), Rejected::Expired),
        (with(good(), "exp", 0), Rejected::Expired),
        (with(good(), "exp", i64::MIN), Rejected::Expired),
        (with(good(), "exp", i64::MAX), Rejected::Lifetime),
        (with(good(), "exp", NOW + 3601), Rejected::Lifetime),
        (with(good(), "nbf", NOW + SKEW + 1), Rejected::NotYetValid),
        (with(good(), "iat", NOW + SKEW + 1), Rejected::NotYetValid),
        (with(good(), "nbf", 0), Rejected::Lifetime),
        (with(good(), "exp", json!("1")), Rejected::Claims),
        (with(good(), "exp", json!(1.5e9)), Rejected::Claims),
        (with(good(), "exp", json!(u64::MAX)), Rejected::Claims),
        (with(good(), "access", json!({})), Rejected::Claims),
        (
            with(
                good(),
                "access",
                json!([{"type": "repository", "name": "a"}]),
            ),
            Rejected::Claims,
        ),
        (json!([]), Rejected::Claims),
        (json!("x"), Rejected::Claims),
        (json!({}), Rejected::Claims),
    ] {
        assert_eq!(access(&claims), Err(reason), "{claims}");
    }
    for name in [
        "jti",
        "sub",
        "nbf",
        "exp",
        "iat",
        "iss",
        "aud",
        "version",
        "rid",
        "grant_type",
    ] {
        assert_eq!(
            access(&without(good(), name)),
            Err(Rejected::Claims),
            "{name}"
        );
        assert_eq!(
            refresh(&without(refresh_json(), name)),
            Err(Rejected::Claims),
            "{name}"
        );
    }
}

#[test]
fn claims_that_come_twice_are_refused() {
    let text = access_json("repository:a:pull").to_string();
    for twice in [
        r#""sub":"acr_anon_pull","#,
        r#""sub":"admin","#,
        r#""aud":"other.example","#,
        r#""exp":9999999999,"#,
        r#""grant_type":"refresh_token","#,
        r#""access":[],"#,
        r#""Access":[],"#,
    ] {
        let doubled: Box<serde_json::value::RawValue> =
            serde_json::from_str(&text.replacen('{', &format!("{{{twice}"), 1)).unwrap();
        let token = jwt::sign(&ACCESS, &doubled).unwrap();
        let verified = verify_access(&state(false), SERVICE, &token, NOW * MICROS);
        assert_eq!(outcome(verified), Err(Rejected::Claims), "{twice}");
    }
}

#[test]
fn a_token_of_one_kind_is_never_taken_for_the_other() {
    let now = NOW * MICROS;
    let state = state(false);
    let unknown = Err(Rejected::Form(jwt::Rejected::UnknownKey));
    let access_token = jwt::sign(&ACCESS, &access_json("repository:a:pull")).unwrap();
    let refresh_token = jwt::sign(&REFRESH, &refresh_json()).unwrap();
    // The keys keep them apart.
    assert_eq!(
        outcome(verify_access(&state, SERVICE, &refresh_token, now)),
        unknown
    );
    assert_eq!(
        outcome(verify_refresh(&state, SERVICE, &access_token, now)),
        unknown
    );
    // And so would the claims, if the keys did not.
    assert_eq!(access(&refresh_json()), Err(Rejected::Kind));
    assert_eq!(
        refresh(&access_json("repository:a:pull")),
        Err(Rejected::Kind)
    );
    assert_eq!(
        refresh(&with(refresh_json(), "sub", "acr_anon_pull")),
        Err(Rejected::Subject)
    );
}

#[test]
fn tokens_live_as_long_as_they_say() {
    let claims = access_json("repository:a:pull");
    let at = |seconds: i64| access_at(&claims, (NOW + seconds) * MICROS);
    assert_eq!(at(-900 - SKEW), Ok(()));
    assert_eq!(at(-900 - SKEW - 1), Err(Rejected::NotYetValid));
    assert_eq!(at(3600 + SKEW - 1), Ok(()));
    assert_eq!(at(3600 + SKEW), Err(Rejected::Expired));
}

#[test]
fn a_retired_key_verifies_as_long_as_its_last_token_lives_and_never_signs() {
    let retired_at = NOW * MICROS;
    let newer = key(Purpose::Access);
    let keys = [
        (Arc::clone(&newer), None),
        (Arc::clone(&ACCESS), Some(retired_at)),
    ];
    let state = RegistryState::with_keys(REGISTRY, false, &keys);
    assert_eq!(
        state.signing_key(Purpose::Access).unwrap().kid(),
        newer.kid()
    );
    let token = jwt::sign(&ACCESS, &access_json("repository:a:pull")).unwrap();
    let at = |seconds: i64| {
        outcome(verify_access(
            &state,
            SERVICE,
            &token,
            (NOW + seconds) * MICROS,
        ))
    };
    assert_eq!(at(0), Ok(()));
    assert_eq!(at(3600 + SKEW - 1), Ok(()));
    assert_eq!(
        at(3600 + 2 * SKEW),
        Err(Rejected::Form(jwt::Rejected::UnknownKey))
    );
    assert!(state.signing_key(Purpose::Refresh).is_err());
}

#[test]
fn a_key_of_another_registry_is_unknown_here() {
    let other = [(key(Purpose::Access), None)];
    let state = RegistryState::with_keys(RegistryId::new(2), false, &other);
    let token = jwt::sign(&ACCESS, &access_json("repository:a:pull")).unwrap();
    let verified = verify_access(&state, SERVICE, &token, NOW * MICROS);
    assert_eq!(
        outcome(verified),
        Err(Rejected::Form(jwt::Rejected::UnknownKey))
    );
}

#[test]
fn a_switched_off_admin_has_no_tokens() {
    let mut state = state(false);
    state.admin_enabled = false;
    let token = jwt::sign(&ACCESS, &access_json("repository:a:pull")).unwrap();
    assert_eq!(
        outcome(verify_access(&state, SERVICE, &token, NOW * MICROS)),
        Err(Rejected::Subject)
    );
}

#[test]
fn nothing_made_from_a_token_outlives_it() {
    let expires_at = (NOW + 60) * MICROS;
    let proofs = [
        Proof::RefreshToken { expires_at },
        Proof::AccessToken {
            grants: Grants::default(),
            expires_at,
        },
    ];
    for proof in proofs {
        let (state, principal) = (state(false), admin(proof));
        let access = access_claims(
            &state,
            SERVICE,
            &principal,
            &[],
            String::new(),
            NOW * MICROS,
        );
        assert_eq!(access.common.exp, NOW + 60);
        let refresh = refresh_claims(&state, SERVICE, &principal, String::new(), NOW * MICROS);
        assert_eq!(refresh.common.exp, NOW + 60);
    }
}

#[test]
fn capitalised_access_entries_of_old_tokens_are_read() {
    let claims = with(
        access_json(""),
        "access",
        json!([{"Type": "repository", "Name": "a", "Actions": ["pull", "fly"]}]),
    );
    let token = jwt::sign(&ACCESS, &claims).unwrap();
    let principal = verify_access(&state(false), SERVICE, &token, NOW * MICROS)
        .ok()
        .and_then(|verified| verified.known(&state(false)))
        .unwrap();
    assert_eq!(
        principal.grants().unwrap().on_repository("a"),
        Actions::from(Action::Pull)
    );
}

#[test]
fn a_wildcard_name_means_something_in_anonymous_tokens_only() {
    let entry = json!([{"type": "repository", "name": "*", "actions": ["pull", "push"]}]);
    let token = jwt::sign(&ACCESS, &with(access_json(""), "access", entry)).unwrap();
    let state = state(true);
    let principal = verify_access(&state, SERVICE, &token, NOW * MICROS)
        .ok()
        .and_then(|verified| verified.known(&state))
        .unwrap();
    assert_eq!(
        state.authorize::<Pull>(&principal, "a", NOW * MICROS),
        Err(Denied::InsufficientScope)
    );
    assert_eq!(
        state.authorize::<Push>(&principal, "a", NOW * MICROS),
        Err(Denied::InsufficientScope)
    );
}
