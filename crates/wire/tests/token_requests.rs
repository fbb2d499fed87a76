//! Requests for tokens, their answers, and what tokens claim.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use lazuli_wire::oci::RepositoryName;
use lazuli_wire::query::{Query, QueryError, QueryLimits};
use lazuli_wire::token::{
    AccessClaims, AccessEntry, AccessTokenResponse, Action, Actions, GrantType, MAX_SCOPES,
    OAuthError, RefreshClaims, RefreshTokenResponse, Route, Scope, Secret, TokenRequest,
    TokenRequestError,
};
use proptest::prelude::*;
use serde_json::json;

fn repository(name: &str, actions: &[Action]) -> Scope {
    Scope::Repository {
        name: RepositoryName::parse(name).unwrap(),
        actions: Actions::of(actions),
    }
}

fn form(text: &str) -> Query<'_> {
    Query::parse(text, &QueryLimits::FORM).unwrap()
}

#[test]
fn dockers_requests_for_a_token_are_read() {
    let text = "access_type=offline&client_id=containerd-client&grant_type=password&password=p%26w&scope=repository%3Ar%3Apull%2Cpush&service=L&username=admin";
    let request = TokenRequest::from_form(Route::Token, &form(text)).unwrap();
    assert_eq!(request.grant_type, GrantType::Password);
    assert_eq!(request.service.as_deref(), Some("L"));
    assert_eq!(
        request.scopes,
        [repository("r", &[Action::Pull, Action::Push])]
    );
    assert_eq!(request.username.as_deref(), Some("admin"));
    assert_eq!(request.password.as_ref().unwrap().expose(), "p&w");
    assert_eq!(request.client_id.as_deref(), Some("containerd-client"));
    assert!(request.offline);

    let text = "account=admin&client_id=docker&offline_token=true&scope=repository%3Aa%3Apull&scope=repository%3Ab%3Apull&service=L&password=p";
    let request = TokenRequest::from_query(&form(text)).unwrap();
    assert_eq!(request.scopes.len(), 2);
    assert_eq!(request.account.as_deref(), Some("admin"));
    assert_eq!(request.password, None);
    assert!(request.offline);
}

#[test]
fn an_anonymous_request_is_a_password_grant_without_credentials() {
    let request = TokenRequest::from_form(
        Route::Token,
        &form("grant_type=password&service=L&username=&password="),
    )
    .unwrap();
    assert_eq!(
        (request.username, request.password, request.scopes),
        (None, None, vec![])
    );
}

#[test]
fn azures_exchange_is_read() {
    let text = "grant_type=access_token&service=L&tenant=T&access_token=A.b-c_d";
    let request = TokenRequest::from_form(Route::Exchange, &form(text)).unwrap();
    assert_eq!(request.grant_type, GrantType::AccessToken);
    assert_eq!(request.tenant.as_deref(), Some("T"));
    assert_eq!(request.access_token.unwrap().expose(), "A.b-c_d");
}

#[test]
fn requests_for_a_token_are_refused_when_they_make_no_sense() {
    let refused = |route, text| TokenRequest::from_form(route, &form(text)).unwrap_err();
    assert_eq!(
        refused(Route::Token, "service=L"),
        TokenRequestError::GrantTypeMissing
    );
    assert_eq!(
        refused(Route::Token, "grant_type=x"),
        TokenRequestError::GrantTypeUnsupported
    );
    assert_eq!(
        refused(Route::Token, "grant_type=access_token&access_token=a"),
        TokenRequestError::GrantTypeUnsupported
    );
    assert_eq!(
        refused(Route::Exchange, "grant_type=password"),
        TokenRequestError::GrantTypeUnsupported
    );
    assert_eq!(
        refused(Route::Token, "grant_type=refresh_token"),
        TokenRequestError::TokenMissing
    );
    assert_eq!(
        refused(Route::Token, "grant_type=refresh_token&refresh_token="),
        TokenRequestError::TokenMissing
    );
    assert_eq!(
        refused(Route::Exchange, "grant_type=access_token&refresh_token=a"),
        TokenRequestError::TokenMissing
    );
    assert_eq!(
        refused(Route::Token, "grant_type=password&username=a&username=b"),
        TokenRequestError::Query(QueryError::Repeated)
    );
    let many = format!("grant_type=password&scope={}", "a+".repeat(MAX_SCOPES + 1));
    let error = refused(Route::Token, &many);
    assert!(matches!(error, TokenRequestError::Scopes(_)));
    assert_eq!(error.oauth_error(), OAuthError::InvalidScope);
}

#[test]
fn secrets_are_not_shown() {
    let text = "grant_type=password&username=u&password=hunter2&refresh_token=hunter2&access_token=hunter2";
    let shown = format!(
        "{:?}",
        TokenRequest::from_form(Route::Token, &form(text)).unwrap()
    );
    assert!(!shown.contains("hunter2"), "{shown}");
    let response = AccessTokenResponse {
        access_token: "hunter2".to_owned(),
        refresh_token: None,
    };
    assert!(!format!("{response:?} {:?}", Secret::new("hunter2")).contains("hunter2"));
    let response = RefreshTokenResponse {
        refresh_token: "hunter2".to_owned(),
    };
    assert!(!format!("{response:?}").contains("hunter2"));
}

#[test]
fn answers_are_to_the_letter() {
    let response = AccessTokenResponse {
        access_token: "a.b.c".to_owned(),
        refresh_token: None,
    };
    assert_eq!(
        serde_json::to_string(&response).unwrap(),
        r#"{"access_token":"a.b.c"}"#
    );
    let response = RefreshTokenResponse {
        refresh_token: "a.b.c".to_owned(),
    };
    assert_eq!(
        serde_json::to_string(&response).unwrap(),
        r#"{"refresh_token":"a.b.c"}"#
    );
    assert_eq!(
        OAuthError::InvalidGrant.body("the \"token\" expired"),
        b"{\"error\":\"invalid_grant\",\"error_description\":\"the \\\"token\\\" expired\"}\n"
    );
}

fn access_claims() -> serde_json::Value {
    json!({
        "jti": "j", "sub": "s", "nbf": 1, "exp": 2, "iat": 1, "iss": "Azure Container Registry", "aud": "L", "version": "2.0",
        "rid": "ab", "grant_type": "access_token",
        "access": [{"type": "repository", "name": "r", "actions": ["pull", "push"]}], "roles": []
    })
}

#[test]
fn access_claims_are_written_in_lower_case_and_read_in_both() {
    let claims = AccessClaims::parse(access_claims().to_string().as_bytes()).unwrap();
    assert_eq!(
        claims.access[0].scope(),
        repository("r", &[Action::Pull, Action::Push])
    );
    assert_eq!(serde_json::to_value(&claims).unwrap(), access_claims());
    let mut capitalised = access_claims();
    capitalised["access"] =
        json!([{"Type": "repository", "Name": "r", "Actions": ["pull", "push", "unknown"]}]);
    assert_eq!(
        AccessClaims::parse(capitalised.to_string().as_bytes()).unwrap(),
        claims
    );
}

#[test]
fn refresh_claims_round_trip() {
    let mut value = access_claims();
    value.as_object_mut().unwrap().remove("access");
    value["grant_type"] = json!("refresh_token");
    value["appid"] = json!("app");
    value["tenant"] = json!("t");
    value["permissions"] = json!({"Actions": ["read", "deleted/restore/action"], "NotActions": []});
    let claims = RefreshClaims::parse(value.to_string().as_bytes()).unwrap();
    assert_eq!(
        claims.permissions.actions,
        ["read", "deleted/restore/action"]
    );
    assert_eq!(serde_json::to_value(&claims).unwrap(), value);
}

#[test]
fn claims_with_something_missing_or_twice_are_refused() {
    for key in [
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
        let mut value = access_claims();
        value.as_object_mut().unwrap().remove(key);
        assert!(
            AccessClaims::parse(value.to_string().as_bytes()).is_err(),
            "{key}"
        );
        let twice = access_claims().to_string().replacen(
            '{',
            &format!("{{\"{key}\":{},", access_claims()[key]),
            1,
        );
        assert!(AccessClaims::parse(twice.as_bytes()).is_err(), "{key}");
    }
    let twice = access_claims()
        .to_string()
        .replacen('{', r#"{"access":[],"#, 1);
    assert!(AccessClaims::parse(twice.as_bytes()).is_err());
    let twice = access_claims()
        .to_string()
        .replace(r#""type":"#, r#""Type":"x","type":"#);
    assert!(AccessClaims::parse(twice.as_bytes()).is_err());
    let text = access_claims()
        .to_string()
        .replace("\"exp\":2", "\"exp\":\"2\"");
    assert!(AccessClaims::parse(text.as_bytes()).is_err());
}

#[test]
fn an_entry_of_everything_grants_no_scope_of_its_own() {
    let entry = AccessEntry {
        resource_type: "repository".into(),
        name: "*".into(),
        actions: Action::Pull.into(),
    };
    assert_eq!(entry.scope(), Scope::Other);
    assert_eq!(AccessEntry::new(&Scope::Other, Actions::ALL), None);
}

proptest! {
    #[test]
    fn no_claims_panic(bytes in any::<Vec<u8>>(), position in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let _ = AccessClaims::parse(&bytes);
        let mut claims = access_claims().to_string().into_bytes();
        let position = position.index(claims.len());
        claims[position] = byte;
        let _ = AccessClaims::parse(&claims);
        let _ = RefreshClaims::parse(&claims);
    }
}
