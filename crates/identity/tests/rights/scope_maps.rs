//! Tokens with scope maps.

use lazuli_identity::scope_maps::GeneratedTokenPassword;
use lazuli_identity::scope_maps::store::{
    self, RegistryToken, ScopeMap, ScopeMapError, TokenPasswordName,
};
use lazuli_identity::{AuthError, Denied, Principal, Pull};
use lazuli_wire::Guid;

use crate::common::{REGISTRY, basic, bearer, decode, name, on_both_engines, request};
use crate::setup::Setup;

fn map(actions: &[&str]) -> ScopeMap {
    ScopeMap {
        name: "Team".to_owned(),
        description: String::new(),
        actions: actions.iter().map(|text| text.parse().unwrap()).collect(),
        is_system: false,
        version: 1,
        created_at: 1,
    }
}

fn token(object: u8, scope_map: &str, enabled: bool) -> RegistryToken {
    RegistryToken {
        name: "CI".to_owned(),
        object_id: Guid::from_bytes([object; 16]),
        scope_map: scope_map.to_owned(),
        enabled,
        version: 1,
        created_at: 1,
    }
}

impl Setup {
    async fn put_map(&self, actions: &[&str]) {
        let map = map(actions);
        let write = move |tx: &mut lazuli_db::Tx<'_>| store::put_map(tx, REGISTRY, &map);
        self.process.db.write(write).await.unwrap();
        self.changed().await;
    }

    async fn put_token(&self, token: RegistryToken) {
        let write = move |tx: &mut lazuli_db::Tx<'_>| store::put_token(tx, REGISTRY, &token);
        self.process.db.write(write).await.unwrap();
        self.changed().await;
    }

    async fn password(&self, which: TokenPasswordName, expires_at: Option<i64>) -> String {
        let password = GeneratedTokenPassword::generate().unwrap();
        let text = password.secret().expose().to_owned();
        let write = move |tx: &mut lazuli_db::Tx<'_>| {
            store::put_password(tx, REGISTRY, "ci", which, &password, expires_at, 1)
        };
        self.process.db.write(write).await.unwrap();
        self.changed().await;
        text
    }

    async fn with(&self, password: &str) -> Result<Principal, AuthError> {
        self.process.authenticate(&basic("ci", password)).await
    }
}

#[test]
fn a_token_may_do_what_its_map_says_now() {
    on_both_engines(async |place| {
        let setup = Setup::new(&place).await;
        setup
            .put_map(&[
                "repositories/team/*/content/read",
                "repositories/team/a/content/write",
            ])
            .await;
        setup.put_token(token(1, "team", true)).await;
        let password = setup.password(TokenPasswordName::First, None).await;
        let principal = setup.with(&password).await.unwrap();
        assert_eq!((principal.key(), principal.name()), ("token:ci", "CI"));
        assert_eq!(setup.may(&principal, "team/a"), "rwm");
        assert_eq!(setup.may(&principal, "team/b/c"), "rm");
        assert_eq!(setup.may(&principal, "team"), "");
        assert_eq!(setup.lists(&principal, &["team/a"]), None);
        assert!(setup.process.cached(&basic("ci", &password)).is_some());

        let access = setup
            .process
            .token(
                &basic("ci", &password),
                "repository:team/a:* repository:b:pull",
            )
            .await;
        let (_, claims) = decode(&access);
        assert_eq!(claims["sub"], "token:ci");
        assert_eq!(
            claims["access"][0]["actions"],
            serde_json::json!(["pull", "push"])
        );
        assert_eq!(claims["access"][1]["actions"], serde_json::json!([]));
        let header = bearer(&access);
        assert_eq!(
            setup.may(
                &setup.process.authenticate(&header).await.unwrap(),
                "team/a"
            ),
            "rwm"
        );

        // An edit of the map counts for tokens that are out.
        setup.put_map(&["repositories/team/a/metadata/read"]).await;
        let holder = setup.process.authenticate(&header).await.unwrap();
        assert_eq!(setup.may(&holder, "team/a"), "");
        let refused = setup
            .process
            .identity
            .authorize::<Pull>(&holder, REGISTRY, &name("team/a"));
        assert_eq!(refused.map(|_| ()), Err(Denied::Forbidden));
        assert_eq!(
            setup.may(&setup.with(&password).await.unwrap(), "team/a"),
            "m"
        );
        setup.put_token(token(1, "_repositories_admin", true)).await;
        assert_eq!(
            setup.may(&setup.with(&password).await.unwrap(), "any"),
            "rwdml"
        );
    });
}

#[test]
fn passwords_end_and_tokens_are_switched_off() {
    on_both_engines(async |place| {
        let setup = Setup::new(&place).await;
        setup.put_token(token(1, "_repositories_pull", true)).await;
        let first = setup.password(TokenPasswordName::First, None).await;
        let end = 1_735_689_600_000_000 + 60_000_000;
        let second = setup.password(TokenPasswordName::Second, Some(end)).await;
        for wrong in ["", "x", &first.to_lowercase()] {
            assert!(matches!(
                setup.with(wrong).await,
                Err(AuthError::WrongPassword)
            ));
        }
        assert!(setup.with(&second).await.is_ok());
        let access = setup
            .process
            .token(&basic("ci", &second), "repository:a:pull")
            .await;
        assert_eq!(decode(&access).1["exp"], end / 1_000_000);
        setup.process.advance(60);
        assert!(setup.process.cached(&basic("ci", &second)).is_none());
        assert!(matches!(
            setup.with(&second).await,
            Err(AuthError::WrongPassword)
        ));

        let access = bearer(
            &setup
                .process
                .token(&basic("ci", &first), "repository:a:pull")
                .await,
        );
        assert!(setup.process.authenticate(&access).await.is_ok());
        setup.put_token(token(1, "_repositories_pull", false)).await;
        assert!(matches!(
            setup.with(&first).await,
            Err(AuthError::WrongPassword)
        ));
        assert!(matches!(
            setup.process.authenticate(&access).await,
            Err(AuthError::InvalidToken)
        ));
        setup.put_token(token(1, "_repositories_pull", true)).await;
        assert!(setup.process.authenticate(&access).await.is_ok());

        // One that is made anew under the name is another one.
        let write = |tx: &mut lazuli_db::Tx<'_>| store::delete_token(tx, REGISTRY, "ci");
        assert!(setup.process.db.write(write).await.unwrap());
        setup.changed().await;
        assert!(setup.process.authenticate(&access).await.is_err());
        setup.put_token(token(2, "_repositories_pull", true)).await;
        assert!(setup.process.authenticate(&access).await.is_err());
        assert!(setup.with(&first).await.is_err());
    });
}

#[test]
fn the_rules_of_maps_and_tokens() {
    on_both_engines(async |place| {
        let setup = Setup::new(&place).await;
        setup.put_map(&["repositories/a/content/read"]).await;
        setup.put_map(&["repositories/b/content/read"]).await;
        setup.put_token(token(1, "TEAM", true)).await;
        let write = |tx: &mut lazuli_db::Tx<'_>| {
            let maps = store::list_maps(tx, REGISTRY)?;
            assert_eq!(maps.len(), 6);
            assert_eq!(maps[5].version, 2);
            let system = ScopeMap {
                name: "_Repositories_pull".to_owned(),
                ..maps[5].clone()
            };
            assert!(matches!(
                store::put_map(tx, REGISTRY, &system),
                Err(ScopeMapError::System(_))
            ));
            assert!(matches!(
                store::delete_map(tx, REGISTRY, "_repositories_pull"),
                Err(ScopeMapError::System(_))
            ));
            assert!(
                matches!(store::delete_map(tx, REGISTRY, "team"), Err(ScopeMapError::InUse(name)) if name == "CI")
            );
            assert!(matches!(
                store::put_token(tx, REGISTRY, &token(3, "none", true)),
                Err(ScopeMapError::UnknownMap(_))
            ));
            let password = GeneratedTokenPassword::generate().unwrap();
            assert!(matches!(
                store::put_password(
                    tx,
                    REGISTRY,
                    "no",
                    TokenPasswordName::First,
                    &password,
                    None,
                    1
                ),
                Err(ScopeMapError::UnknownToken(_))
            ));
            store::put_password(
                tx,
                REGISTRY,
                "Ci",
                TokenPasswordName::First,
                &password,
                None,
                1,
            )?;
            store::put_password(
                tx,
                REGISTRY,
                "ci",
                TokenPasswordName::Second,
                &password,
                None,
                1,
            )?;
            store::keep_passwords(tx, REGISTRY, "ci", &[(TokenPasswordName::Second, Some(9))])?;
            let left = store::list_passwords(tx, REGISTRY, "ci")?;
            assert_eq!(left.len(), 1);
            assert_eq!(
                (left[0].name, left[0].expires_at),
                (TokenPasswordName::Second, Some(9))
            );
            store::delete_all(tx, REGISTRY)?;
            assert!(store::list_tokens(tx, REGISTRY)?.is_empty());
            Ok::<_, ScopeMapError>(())
        };
        setup.process.db.write(write).await.unwrap();
        let nothing = request(lazuli_wire::token::GrantType::Password, "");
        assert!(nothing.username.is_none());
    });
}
