//! The token plane: actions, scopes, challenges, requests, claims.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use lazuli_wire::oci::RepositoryName;
use lazuli_wire::query::{Query, QueryError, QueryLimits};
use lazuli_wire::token::{
    AccessClaims, AccessEntry, AccessTokenResponse, Action, Actions, Challenge, GrantType, Listing,
    MAX_SCOPES, OAuthError, RefreshClaims, RefreshTokenResponse, Route, Scope, Secret,
    TokenRequest, TokenRequestError, unauthorized_body,
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
fn actions_are_azures_words() {
    let words = [
        "pull",
        "push",
        "delete",
        "metadata_read",
        "metadata_write",
        "deleted_read",
        "deleted_restore",
        "*",
    ];
    assert_eq!(Action::ALL.map(Action::as_str), words);
    for word in words {
        assert_eq!(Action::parse(word).unwrap().as_str(), word);
    }
    assert_eq!(Action::parse("Pull"), None);
    assert_eq!(
        Actions::from_words(["push", "quarantine", "pull", "push"]).to_string(),
        "pull,push"
    );
}

#[test]
fn a_star_allows_everything_and_intersects_to_the_other_side() {
    let pull = Actions::from(Action::Pull);
    assert!(Actions::ALL.allows(Action::Delete));
    assert!(!Actions::ALL.contains(Action::Delete));
    assert_eq!(Actions::ALL.intersection(pull), pull);
    assert_eq!(pull.intersection(Actions::ALL), pull);
    assert_eq!(Actions::ALL.intersection(Actions::ALL), Actions::ALL);
    assert_eq!(pull.intersection(Action::Push.into()), Actions::NONE);
}

#[test]
fn scopes_are_read() {
    assert_eq!(
        Scope::parse("repository:a/b:pull,push"),
        repository("a/b", &[Action::Pull, Action::Push])
    );
    assert_eq!(
        Scope::parse("repository(plugin):a:pull"),
        repository("a", &[Action::Pull])
    );
    assert_eq!(Scope::parse("repository:a:"), repository("a", &[]));
    assert_eq!(
        Scope::parse("registry:catalog:*"),
        Scope::Registry {
            name: Listing::Catalog,
            all: true
        }
    );
    assert_eq!(
        Scope::parse("registry:deleted_catalog:*"),
        Scope::Registry {
            name: Listing::DeletedCatalog,
            all: true
        }
    );
    assert_eq!(
        Scope::parse("registry:catalog:pull"),
        Scope::Registry {
            name: Listing::Catalog,
            all: false
        }
    );
    for other in [
        "",
        ":",
        "::",
        "repository",
        "repository:a",
        "repository:A:pull",
        "repository:a:b:pull",
        "repository:*:pull",
        "Repository:a:pull",
        "registry:other:*",
        "artifact-repository:a:pull",
        "repository(x:a:pull",
        "repository:../a:pull",
    ] {
        assert_eq!(Scope::parse(other), Scope::Other, "{other}");
    }
    assert_eq!(
        Scope::parse(&format!("repository:a:{}", "pull,".repeat(1000))),
        Scope::Other
    );
}

#[test]
fn scope_lists_are_repeated_or_joined_and_bounded() {
    let expected = vec![
        repository("a", &[Action::Pull]),
        repository("b", &[Action::Push]),
        Scope::Other,
    ];
    assert_eq!(
        Scope::parse_list(["repository:a:pull  repository:b:push", "x"]),
        Ok(expected)
    );
    assert_eq!(Scope::parse_list([" "]), Ok(vec![]));
    assert!(Scope::parse_list(["a "].repeat(MAX_SCOPES)).is_ok());
    assert!(Scope::parse_list(["a "].repeat(MAX_SCOPES + 1)).is_err());
    assert!(Scope::parse_list([" a".repeat(1_000_000).as_str()]).is_err());
}

#[test]
fn challenges_are_to_the_letter() {
    let mut challenge = Challenge::new("https", "example.azurecr.io", None);
    assert_eq!(
        challenge.header_value(),
        r#"Bearer realm="https://example.azurecr.io/oauth2/token",service="example.azurecr.io""#
    );
    challenge.scope = Some(repository("r", &[Action::Push, Action::Pull]));
    assert_eq!(
        challenge.header_value(),
        r#"Bearer realm="https://example.azurecr.io/oauth2/token",service="example.azurecr.io",scope="repository:r:pull,push""#
    );
    challenge.scope = Some(Scope::Registry {
        name: Listing::Catalog,
        all: true,
    });
    challenge.error = Some(Challenge::INSUFFICIENT_SCOPE);
    assert_eq!(
        challenge.header_value(),
        r#"Bearer realm="https://example.azurecr.io/oauth2/token",service="example.azurecr.io",scope="registry:catalog:*",error="insufficient_scope""#
    );
}

#[test]
fn a_hostile_host_name_cannot_break_out_of_a_challenge() {
    let value = Challenge::new("http", "a\",x=\"\\b\r\nSet-Cookie: é", None).header_value();
    assert_eq!(
        value,
        r#"Bearer realm="http://a\",x=\"\\bSet-Cookie: /oauth2/token",service="a\",x=\"\\bSet-Cookie: ""#
    );
}

#[test]
fn the_body_of_a_refusal_is_to_the_letter() {
    let text = |scope: Option<&Scope>| String::from_utf8(unauthorized_body(scope)).unwrap();
    let head = r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required, visit https://aka.ms/acr/authorization for more information.","detail":"#;
    let pull = repository("r", &[Action::Pull]);
    assert_eq!(
        text(Some(&pull)),
        format!(
            "{head}{}\n",
            r#"[{"Type":"repository","Name":"r","Action":"pull"}]}]}"#
        )
    );
    let push = repository("a/b", &[Action::Pull, Action::Push]);
    let detail = r#"[{"Type":"repository","Name":"a/b","Action":"pull"},{"Type":"repository","Name":"a/b","Action":"push"}]}]}"#;
    assert_eq!(text(Some(&push)), format!("{head}{detail}\n"));
    let catalog = Scope::Registry {
        name: Listing::Catalog,
        all: true,
    };
    assert_eq!(
        text(Some(&catalog)),
        format!(
            "{head}{}\n",
            r#"[{"Type":"registry","Name":"catalog","Action":"*"}]}]}"#
        )
    );
    assert_eq!(text(None), format!("{head}null}}]}}\n"));
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

fn any_actions() -> impl Strategy<Value = Actions> {
    (0_u16..256).prop_map(Actions::from_bits)
}

fn any_scope() -> impl Strategy<Value = Scope> {
    let name =
        "[a-z0-9]{1,5}(/[a-z0-9]{1,5}){0,2}".prop_map(|name| RepositoryName::parse(&name).unwrap());
    prop_oneof![
        (name, any_actions()).prop_map(|(name, actions)| Scope::Repository { name, actions }),
        (any::<bool>(), any::<bool>()).prop_map(|(deleted, all)| Scope::Registry {
            name: if deleted {
                Listing::DeletedCatalog
            } else {
                Listing::Catalog
            },
            all,
        }),
    ]
}

proptest! {
    #[test]
    fn scopes_round_trip(scopes in prop::collection::vec(any_scope(), 0..6)) {
        let text: Vec<_> = scopes.iter().map(Scope::to_string).collect();
        prop_assert_eq!(Scope::parse_list([text.join(" ").as_str()]), Ok(scopes.clone()));
        prop_assert_eq!(Scope::parse_list(text.iter().map(String::as_str)), Ok(scopes.clone()));
        for scope in scopes {
            prop_assert_eq!(AccessEntry::new(&scope, scope.actions()).unwrap().scope(), scope);
        }
    }

    #[test]
    fn no_scope_panics(text in any::<String>(), dense in "(repository|registry|[:,() *a]|catalog|pull){0,12}") {
        for text in [text, dense] {
            let scope = Scope::parse(&text);
            if scope != Scope::Other {
                prop_assert_eq!(Scope::parse(&scope.to_string()), scope);
            }
            let _ = Scope::parse_list([text.as_str()]);
        }
    }

    #[test]
    fn actions_round_trip(actions in any_actions()) {
        let json = serde_json::to_string(&actions).unwrap();
        prop_assert_eq!(serde_json::from_str::<Actions>(&json).unwrap(), actions);
        prop_assert_eq!(Actions::from_words(actions.to_string().split(',')), actions);
        prop_assert_eq!(Actions::from_bits(actions.bits()), actions);
        prop_assert_eq!(actions.iter().collect::<Actions>(), actions);
    }

    #[test]
    fn what_is_granted_was_asked_and_allowed(asked in any_actions(), allowed in any_actions()) {
        let granted = asked.intersection(allowed);
        for action in Action::ALL {
            prop_assert_eq!(granted.allows(action), asked.allows(action) && allowed.allows(action), "{}", action);
        }
        prop_assert_eq!(granted, allowed.intersection(asked));
    }

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
