//! Scope maps, tokens, passwords.

use lazuli_control::Error;
use lazuli_identity::scope_maps::store::TokenPasswordName;
use lazuli_wire::arm::{GenerateCredentials, RegistryPath};

use crate::support::{Fixture, Precondition, code, map_body, on_both_engines, token_body};

const READ: &str =
    r#"{"properties":{"description":"d","actions":["repositories/hello/content/read"]}}"#;

impl Fixture {
    pub(crate) async fn put_map(
        &self,
        path: &RegistryPath,
        name: &str,
        text: &str,
        patch: bool,
    ) -> Result<bool, Error> {
        let scope = path.child("scopeMaps", name).unwrap();
        let actor = self.may("a/write", &scope).await;
        let body = map_body(text);
        let put = self
            .control
            .put_scope_map(&actor, path, name, body, Precondition::None, patch);
        put.await.map(|(_, _, is_new)| is_new)
    }

    pub(crate) async fn put_token(
        &self,
        path: &RegistryPath,
        name: &str,
        text: &str,
        patch: bool,
    ) -> Result<bool, Error> {
        let scope = path.child("tokens", name).unwrap();
        let actor = self.may("a/write", &scope).await;
        let body = token_body(text);
        let put = self
            .control
            .put_token(&actor, path, name, body, Precondition::None, patch);
        put.await.map(|(_, is_new)| is_new)
    }
}

fn token_for(path: &RegistryPath, map: &str) -> String {
    format!(r#"{{"properties":{{"scopeMapId":"{path}/scopeMaps/{map}","status":"enabled"}}}}"#)
}

#[test]
fn scope_maps_are_made_changed_and_kept_while_in_use() {
    on_both_engines(|f| async move {
        let path = f.make("hub01", "Basic").await;
        assert!(f.put_map(&path, "Map1", READ, false).await.unwrap());
        assert!(!f.put_map(&path, "map1", READ, false).await.unwrap());
        let actor = f.may("a/read", &path.scope().unwrap()).await;
        let (_, map) = f.control.scope_map(&actor, &path, "MAP1").await.unwrap();
        assert_eq!(
            (map.name.as_str(), map.description.as_str(), map.version),
            ("Map1", "d", 1)
        );

        let more = r#"{"properties":{"actions":["repositories/a/*/content/write","repositories/a/*/content/write"]}}"#;
        f.put_map(&path, "map1", more, true).await.unwrap();
        let (_, map) = f.control.scope_map(&actor, &path, "map1").await.unwrap();
        let texts: Vec<_> = map.actions.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["repositories/a/*/content/write"]);
        assert_eq!((map.description.as_str(), map.version), ("d", 2));

        let (_, all) = f.control.scope_maps(&actor, &path).await.unwrap();
        let names: Vec<_> = all.iter().map(|map| map.name.as_str()).collect();
        for name in [
            "_repositories_admin",
            "_repositories_pull",
            "_repositories_push",
            "Map1",
        ] {
            assert!(names.contains(&name), "{names:?}");
        }
        f.put_token(&path, "tok1", &token_for(&path, "map1"), false)
            .await
            .unwrap();
        let gone = f
            .may("a/delete", &path.child("scopeMaps", "map1").unwrap())
            .await;
        let error = f
            .control
            .delete_scope_map(&gone, &path, "map1")
            .await
            .unwrap_err();
        assert_eq!(code(&error), "ScopeMapInUse");
        let token = f
            .may("a/delete", &path.child("tokens", "tok1").unwrap())
            .await;
        assert!(f.control.delete_token(&token, &path, "tok1").await.unwrap());
        assert!(!f.control.delete_token(&token, &path, "tok1").await.unwrap());
        assert!(
            f.control
                .delete_scope_map(&gone, &path, "map1")
                .await
                .unwrap()
        );
    });
}

#[test]
fn what_is_no_scope_map_is_refused() {
    on_both_engines(|f| async move {
        let path = f.make("hub01", "Basic").await;
        let long = format!(
            r#"{{"properties":{{"description":"{}","actions":[]}}}}"#,
            "x".repeat(257)
        );
        let many: Vec<String> = (0..501)
            .map(|n| format!("\"repositories/r{n}/content/read\""))
            .collect();
        let many = format!(r#"{{"properties":{{"actions":[{}]}}}}"#, many.join(","));
        for (name, text, expected) in [
            ("m1", r#"{"properties":{}}"#, "MissingParameter"),
            (
                "m1",
                r#"{"properties":{"actions":["repositories/hello/content"]}}"#,
                "InvalidParameter",
            ),
            (
                "m1",
                r#"{"properties":{"actions":["repositories/a*b/content/read"]}}"#,
                "InvalidParameter",
            ),
            (
                "m1",
                r#"{"properties":{"actions":["gateway/x/config/read"]}}"#,
                "InvalidParameter",
            ),
            ("m1", &long, "InvalidParameter"),
            ("m1", &many, "InvalidParameter"),
            ("_mine", READ, "InvalidResourceName"),
            ("_repositories_pull", READ, "SystemScopeMapNotModifiable"),
        ] {
            let error = f.put_map(&path, name, text, false).await.unwrap_err();
            assert_eq!(code(&error), expected, "{name} {text:.80}");
        }
        let error = f.put_map(&path, "m1", READ, true).await.unwrap_err();
        assert_eq!(code(&error), "ResourceNotFound");
    });
}

#[test]
fn tokens_have_passwords_that_are_told_once() {
    on_both_engines(|f| async move {
        let path = f.make("hub01", "Basic").await;
        f.put_map(&path, "map1", READ, false).await.unwrap();
        f.put_token(&path, "tok1", &token_for(&path, "MAP1"), false)
            .await
            .unwrap();
        let actor = f.may("a/generateCredentials", &path.scope().unwrap()).await;
        let ask = |name: Option<&str>, expiry: Option<&str>| GenerateCredentials {
            token_id: format!("{path}/tokens/tok1"),
            name: name.map(str::to_owned),
            expiry: expiry.map(str::to_owned),
        };
        let generate = async |body| f.control.generate_credentials(&actor, &path, body).await;
        let both = generate(ask(None, None)).await.unwrap();
        assert_eq!(both.username, "tok1");
        assert!(both.passwords.iter().all(|(_, value)| value.is_some()));
        let one = generate(ask(Some("password2"), Some("2030-01-31T12:00:00")))
            .await
            .unwrap();
        let told: Vec<_> = one
            .passwords
            .iter()
            .map(|(password, value)| (password.name, value.is_some(), password.expires_at))
            .collect();
        assert_eq!(
            told,
            [
                (TokenPasswordName::First, false, None),
                (TokenPasswordName::Second, true, Some(1_896_091_200_000_000)),
            ]
        );
        // A PATCH keeps the passwords that it names.
        let keep = r#"{"properties":{"credentials":{"passwords":[{"name":"password2"}]}}}"#;
        f.put_token(&path, "tok1", keep, true).await.unwrap();
        let token = f.control.token(&actor, &path, "tok1").await.unwrap();
        assert_eq!(token.passwords.len(), 1);
        assert_eq!(token.scope_map, "map1");
        for (body, expected) in [
            (ask(Some("password3"), None), "InvalidParameter"),
            (ask(None, Some("2020-01-01T00:00:00Z")), "InvalidParameter"),
            (ask(None, Some("soon")), "InvalidParameter"),
            (
                GenerateCredentials {
                    token_id: "/tokens/tok1".to_owned(),
                    ..ask(None, None)
                },
                "InvalidParameter",
            ),
            (
                GenerateCredentials {
                    token_id: format!("{path}/tokens/none"),
                    ..ask(None, None)
                },
                "ResourceNotFound",
            ),
        ] {
            let error = generate(body).await.unwrap_err();
            assert_eq!(code(&error), expected);
        }
    });
}

#[test]
fn what_is_no_token_is_refused() {
    on_both_engines(|f| async move {
        let path = f.make("hub01", "Basic").await;
        f.put_map(&path, "map1", READ, false).await.unwrap();
        let other = f.make("hub02", "Basic").await;
        f.put_map(&other, "map2", READ, false).await.unwrap();
        let good = token_for(&path, "map1");
        let certificates =
            r#"{"properties":{"credentials":{"certificates":[{"name":"certificate1"}]}}}"#;
        for (name, text, expected) in [
            (
                "tok1",
                r#"{"properties":{}}"#.to_owned(),
                "MissingParameter",
            ),
            ("tok1", token_for(&path, "none"), "ScopeMapNotFound"),
            ("tok1", token_for(&other, "map2"), "InvalidParameter"),
            ("tok1", certificates.to_owned(), "FeatureNotAvailable"),
            ("_tok1", good.clone(), "InvalidResourceName"),
            // Names with which others sign in.
            ("Hub01", good.clone(), "InvalidResourceName"),
            (
                "00000000-0000-0000-0000-000000000000",
                good.clone(),
                "InvalidResourceName",
            ),
        ] {
            let error = f.put_token(&path, name, &text, false).await.unwrap_err();
            assert_eq!(code(&error), expected, "{name} {text}");
        }
        let error = f.put_token(&path, "tok1", &good, true).await.unwrap_err();
        assert_eq!(code(&error), "ResourceNotFound");
    });
}

#[test]
fn a_tier_has_its_limits() {
    on_both_engines(|f| async move {
        let path = f.make("hub01", "Standard").await;
        for number in 0..101 {
            assert!(
                f.put_map(&path, &format!("map{number}"), READ, false)
                    .await
                    .unwrap()
            );
        }
        let error = f
            .patch(&path, r#"{"sku":{"name":"Basic"}}"#)
            .await
            .unwrap_err();
        assert_eq!(code(&error), "SkuLimitExceeded");
        let gone = f
            .may("a/delete", &path.child("scopeMaps", "map0").unwrap())
            .await;
        assert!(
            f.control
                .delete_scope_map(&gone, &path, "map0")
                .await
                .unwrap()
        );
        f.patch(&path, r#"{"sku":{"name":"Basic"}}"#).await.unwrap();
        let error = f.put_map(&path, "onemore", READ, false).await.unwrap_err();
        assert_eq!(code(&error), "SkuLimitExceeded");
        // What is there can be changed.
        let other = r#"{"properties":{"actions":["repositories/x/content/read"]}}"#;
        assert!(!f.put_map(&path, "map1", other, false).await.unwrap());
    });
}

#[test]
fn the_admin_user_has_two_passwords_while_it_is_enabled() {
    on_both_engines(|f| async move {
        let path = f.make("hub01", "Basic").await;
        let actor = f.may("a/action", &path.scope().unwrap()).await;
        let error = f
            .control
            .admin_credentials(&actor, &path)
            .await
            .unwrap_err();
        assert_eq!(code(&error), "UnAuthorizedForCredentialOperations");
        f.patch(&path, r#"{"properties":{"adminUserEnabled":true}}"#)
            .await
            .unwrap();
        let values = |credentials: &lazuli_identity::AdminCredentials| -> Vec<String> {
            credentials
                .passwords
                .iter()
                .map(|(_, value)| value.expose().to_owned())
                .collect()
        };
        let first = f.control.admin_credentials(&actor, &path).await.unwrap();
        assert_eq!(
            (first.username.as_str(), first.passwords.len()),
            ("hub01", 2)
        );
        let renewed = f
            .control
            .regenerate_credential(&actor, &path, "password2")
            .await
            .unwrap();
        let (old, new) = (values(&first), values(&renewed));
        assert_eq!(old[0], new[0]);
        assert_ne!(old[1], new[1]);
        let id = f.get(&path).await.unwrap().id;
        for (password, is_good) in [(&new[0], true), (&new[1], true), (&old[1], false)] {
            let signs_in = f.identity.is_admin_password(id, password).await.unwrap();
            assert_eq!(signs_in, is_good);
        }
        let error = f
            .control
            .regenerate_credential(&actor, &path, "password1")
            .await
            .unwrap_err();
        assert_eq!(code(&error), "InvalidParameter");
        // Nothing of a password is in the log.
        let rows = f.db.read(|tx| {
            tx.query(
                "SELECT payload FROM operations",
                lazuli_db::params![],
                |row| row.get_string(0),
            )
        });
        let log = rows.await.unwrap().join("\n");
        assert!(
            log.contains("password2") && new.iter().chain(&old).all(|value| !log.contains(value))
        );
    });
}
