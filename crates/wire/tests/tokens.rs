//! Actions, scopes and challenges.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use lazuli_wire::oci::RepositoryName;
use lazuli_wire::token::{
    AccessEntry, Action, Actions, Challenge, Listing, MAX_SCOPES, Scope, unauthorized_body,
};
use proptest::prelude::*;

fn repository(name: &str, actions: &[Action]) -> Scope {
    Scope::Repository {
        name: RepositoryName::parse(name).unwrap(),
        actions: Actions::of(actions),
    }
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
}
