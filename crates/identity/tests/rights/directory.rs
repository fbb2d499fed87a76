//! People of the directory in a registry.

use lazuli_identity::{Audience, AuthError, Denied, ObjectKind, Pull, RegistryId, TokenError};
use lazuli_wire::arm_scope::ArmScope;

use crate::common::{Process, REGISTRY, basic, bearer, decode, name, on_both_engines};
use crate::setup::{GROUP, NAME, Setup, registry_scope, role};

#[test]
fn a_role_counts_from_the_moment_it_is_given_until_it_is_taken_away() {
    on_both_engines(async |place| {
        let setup = Setup::new(&place).await;
        let ann = setup.user("ann").await;
        let group = ArmScope::parse(GROUP).unwrap();
        let before = setup.sign_in(&ann).await;
        assert_eq!(setup.may(&before, "a"), "");
        let token = setup.directory_token(&ann, Audience::Registry).await;
        let refresh = setup.exchange(&token).await.unwrap();

        let pull = setup.assign("AcrPull", ann.id, &group).await;
        assert_eq!(setup.may(&setup.sign_in(&ann).await, "a"), "rm");
        let access = setup
            .process
            .refresh(
                &refresh,
                "repository:a:pull,push repository:b:push registry:catalog:*",
            )
            .await
            .unwrap();
        let (_, claims) = decode(&access);
        assert_eq!(claims["sub"], ann.id.to_string());
        assert_eq!(claims["tenant"], setup.tenant.to_string());
        assert_eq!(
            claims["access"],
            serde_json::json!([
                {"type": "repository", "name": "a", "actions": ["pull"]},
                {"type": "repository", "name": "b", "actions": []},
                {"type": "registry", "name": "catalog", "actions": ["*"]},
            ])
        );
        let header = bearer(&access);
        let principal = setup.process.authenticate(&header).await.unwrap();
        assert_eq!(principal.key(), format!("object:{}", ann.id));
        assert_eq!(principal.name(), "ann@lazuli.test");
        assert_eq!(setup.may(&principal, "a"), "rm");
        assert_eq!(setup.may(&principal, "b"), "");
        assert_eq!(setup.lists(&principal, &["z"]), Some(vec![true]));
        assert!(setup.process.cached(&header).is_some());

        setup.unassign(pull).await;
        assert!(setup.process.cached(&header).is_none());
        let principal = setup.process.authenticate(&header).await.unwrap();
        assert_eq!(setup.may(&principal, "a"), "");
        let identity = &setup.process.identity;
        assert_eq!(
            identity
                .authorize::<Pull>(&principal, REGISTRY, &name("a"))
                .map(|_| ()),
            Err(Denied::Forbidden)
        );
        assert_eq!(
            identity
                .authorize::<Pull>(&principal, RegistryId::new(2), &name("a"))
                .map(|_| ()),
            Err(Denied::Unauthenticated)
        );
    });
}

#[test]
fn another_process_notices_within_ten_seconds() {
    on_both_engines(async |place| {
        let setup = Setup::new(&place).await;
        let ann = setup.user("ann").await;
        let other = Process::start(&place).await;
        other.advance(1);
        let header = basic(&ann.name, &ann.password);
        let pulls = async |process: &Process| {
            let principal = process.authenticate(&header).await.unwrap();
            let access = process
                .identity
                .authorize::<Pull>(&principal, REGISTRY, &name("a"));
            access.is_ok()
        };
        assert!(!pulls(&other).await);
        setup.assign("Reader", ann.id, &ArmScope::root()).await;
        assert!(pulls(&setup.process).await);
        other.advance(10);
        assert!(pulls(&other).await);
    });
}

#[test]
fn groups_count_through_groups() {
    on_both_engines(async |place| {
        let setup = Setup::new(&place).await;
        let ann = setup.user("ann").await;
        let inner = setup.object(ObjectKind::Group, "inner").await.id;
        let outer = setup.object(ObjectKind::Group, "outer").await.id;
        setup.member(outer, inner).await;
        setup.member(inner, ann.id).await;
        setup.assign("AcrPush", outer, &registry_scope()).await;
        assert_eq!(setup.may(&setup.sign_in(&ann).await, "a"), "rwm");
        setup.no_member(inner, ann.id).await;
        assert_eq!(setup.may(&setup.sign_in(&ann).await, "a"), "");
    });
}

#[test]
fn a_deny_assignment_wins_over_every_role() {
    on_both_engines(async |place| {
        let setup = Setup::new(&place).await;
        let ann = setup.user("ann").await;
        let bob = setup.user("bob").await;
        for user in [&ann, &bob] {
            setup.assign("Owner", user.id, &ArmScope::root()).await;
            assert_eq!(setup.may(&setup.sign_in(user).await, "a"), "rwdml");
        }
        let write = r#"{"actions": ["*/write", "*/delete"]}"#;
        setup
            .deny(
                write,
                &registry_scope(),
                &[lazuli_wire::Guid::ZERO],
                &[bob.id],
                false,
            )
            .await;
        assert_eq!(setup.may(&setup.sign_in(&ann).await, "a"), "rm");
        assert_eq!(setup.may(&setup.sign_in(&bob).await, "a"), "rwdml");
    });
}

#[test]
fn conditions_narrow_rights_to_repositories_in_abac_mode() {
    on_both_engines(async |place| {
        let setup = Setup::new(&place).await;
        let ann = setup.user("ann").await;
        setup.assign("AcrPush", ann.id, &registry_scope()).await;
        let condition = format!(
            "((!(ActionMatches{{'Microsoft.ContainerRegistry/registries/repositories/content/*'}}) AND \
               !(ActionMatches{{'Microsoft.ContainerRegistry/registries/repositories/metadata/*'}})) OR \
              ({NAME} StringStartsWithIgnoreCase 'Team/'))"
        );
        let writer = "Container Registry Repository Writer";
        setup.assign_if(writer, ann.id, &condition).await;
        let token = setup.directory_token(&ann, Audience::Registry).await;
        let refresh = setup.exchange(&token).await.unwrap();
        let legacy = bearer(
            &setup
                .process
                .refresh(&refresh, "repository:a:pull")
                .await
                .unwrap(),
        );
        // In the old mode only the old role counts.
        let principal = setup.sign_in(&ann).await;
        assert_eq!(setup.may(&principal, "team/a"), "rwm");
        assert_eq!(setup.may(&principal, "a"), "rwm");

        setup.resource(true, true, true).await;
        for outcome in [
            setup.process.authenticate(&legacy).await.map(|_| ()),
            setup
                .process
                .authenticate(&basic("00000000-0000-0000-0000-000000000000", &refresh))
                .await
                .map(|_| ()),
        ] {
            assert!(matches!(outcome, Err(AuthError::InvalidToken)));
        }
        let principal = setup.sign_in(&ann).await;
        assert_eq!(setup.may(&principal, "team/a"), "rwml");
        assert_eq!(setup.may(&principal, "teamx/a"), "");
        assert_eq!(setup.may(&principal, "a"), "");
        assert_eq!(setup.lists(&principal, &["team/a"]), None);
        let refresh = setup.exchange(&token).await.unwrap();
        let scoped = setup
            .with_refresh(
                &refresh,
                "repository:team/a:pull,push,delete repository:a:pull",
            )
            .await;
        assert_eq!(setup.may(&scoped, "team/a"), "rwm");
        assert_eq!(setup.may(&scoped, "a"), "");

        let lister = "Container Registry Repository Catalog Lister";
        setup.assign(lister, ann.id, &registry_scope()).await;
        let principal = setup.sign_in(&ann).await;
        assert_eq!(
            setup.lists(&principal, &["team/a", "a"]),
            Some(vec![true, true])
        );
        // Owners of the resource have no rights on data here, and back in the old mode they have.
        let bob = setup.user("bob").await;
        setup.assign("Owner", bob.id, &ArmScope::root()).await;
        assert_eq!(setup.may(&setup.sign_in(&bob).await, "a"), "");
        setup.resource(true, false, true).await;
        assert_eq!(setup.may(&setup.sign_in(&bob).await, "a"), "rwdml");
    });
}

#[test]
fn a_listing_under_a_condition_shows_what_may_be_read() {
    on_both_engines(async |place| {
        let setup = Setup::new(&place).await;
        let ann = setup.user("ann").await;
        let condition = format!("{NAME} StringLike 'team/*'");
        setup.assign_if("AcrPull", ann.id, &condition).await;
        let principal = setup.sign_in(&ann).await;
        assert_eq!(
            setup.lists(&principal, &["team/a", "teams", "b"]),
            Some(vec![true, false, false])
        );
    });
}

#[test]
fn who_is_disabled_or_signed_out_is_nobody_at_once() {
    on_both_engines(async |place| {
        let setup = Setup::new(&place).await;
        let ann = setup.user("ann").await;
        setup.assign("Reader", ann.id, &ArmScope::root()).await;
        let token = setup.directory_token(&ann, Audience::Registry).await;
        let refresh = setup.exchange(&token).await.unwrap();
        let access = bearer(
            &setup
                .process
                .refresh(&refresh, "repository:a:pull")
                .await
                .unwrap(),
        );
        assert!(setup.process.authenticate(&access).await.is_ok());
        setup.process.advance(1);
        setup.change(ann.id, |object| object.enabled = false).await;
        let refused = async |header: &str| {
            matches!(
                setup.process.authenticate(header).await,
                Err(AuthError::InvalidToken | AuthError::WrongPassword)
            )
        };
        assert!(refused(&access).await);
        assert!(refused(&basic(&ann.name, &ann.password)).await);
        assert!(
            setup
                .process
                .refresh(&refresh, "repository:a:pull")
                .await
                .is_err()
        );
        setup.change(ann.id, |object| object.enabled = true).await;
        // What was given out before stays void.
        assert!(refused(&access).await);
        setup.process.advance(1);
        let header = basic(&ann.name, &ann.password);
        let access = bearer(&setup.process.token(&header, "repository:a:pull").await);
        assert!(!refused(&access).await);
        let end = 1_735_689_600_000_000 + 3600 * 1_000_000;
        setup
            .change(ann.id, move |object| object.sessions_valid_from = end)
            .await;
        assert!(refused(&access).await);
    });
}

#[test]
fn exchange_takes_what_is_for_registries() {
    on_both_engines(async |place| {
        let setup = Setup::new(&place).await;
        let ann = setup.user("ann").await;
        let management = setup.directory_token(&ann, Audience::Management).await;
        let graph = setup.directory_token(&ann, Audience::Graph).await;
        assert!(setup.exchange(&management).await.is_ok());
        assert!(setup.exchange(&graph).await.is_err());
        setup.resource(true, false, false).await;
        assert!(matches!(
            setup.exchange(&management).await,
            Err(TokenError::Refused(AuthError::InvalidToken))
        ));
        let registry = setup.directory_token(&ann, Audience::Registry).await;
        let refresh = setup.exchange(&registry).await.unwrap();
        // A directory token is none of the registry's, nor the other way round.
        assert!(
            setup
                .process
                .authenticate(&bearer(&registry))
                .await
                .is_err()
        );
        assert!(setup.process.authenticate(&bearer(&refresh)).await.is_err());
        let mut request = crate::common::request(lazuli_wire::token::GrantType::AccessToken, "");
        request.access_token = Some(lazuli_wire::token::Secret::new(registry.as_str()));
        request.tenant = Some("00000000-0000-0000-0000-00000000000f".to_owned());
        let other = setup
            .process
            .identity
            .exchange(REGISTRY, crate::common::SERVICE, &request)
            .await;
        assert!(other.is_err());
    });
}

#[test]
fn the_admin_user_and_everybody_follow_the_resource() {
    on_both_engines(async |place| {
        let setup = Setup::new(&place).await;
        let password = setup.process.generated_password();
        let header = basic("lazuli", &password);
        assert!(setup.process.authenticate(&header).await.is_ok());
        setup.resource(false, false, true).await;
        assert!(setup.process.authenticate(&header).await.is_err());
        setup.resource(true, false, true).await;
        assert!(setup.process.authenticate(&header).await.is_ok());

        let identity = &setup.process.identity;
        let anonymous = async || {
            identity
                .authenticate(
                    REGISTRY,
                    crate::common::SERVICE,
                    lazuli_identity::Origin::LOCAL,
                    None,
                )
                .await
                .unwrap()
        };
        assert_eq!(setup.may(&anonymous().await, "public/a"), "");
        let patterns = vec!["public/*".parse().unwrap(), "one".parse().unwrap()];
        identity
            .set_anonymous_repositories(REGISTRY, patterns.clone())
            .await
            .unwrap();
        assert_eq!(
            identity.anonymous_repositories(REGISTRY).await.unwrap(),
            patterns
        );
        let nobody = anonymous().await;
        assert_eq!(setup.may(&nobody, "public/a"), "rm");
        assert_eq!(setup.may(&nobody, "one"), "rm");
        assert_eq!(setup.may(&nobody, "private"), "");
        assert_eq!(
            setup.lists(&nobody, &["public/a", "private"]),
            Some(vec![true, false])
        );
        let request = crate::common::request(
            lazuli_wire::token::GrantType::Password,
            "repository:public/a:pull repository:private:pull",
        );
        let token = identity
            .issue_token(
                REGISTRY,
                crate::common::SERVICE,
                lazuli_identity::Origin::LOCAL,
                None,
                &request,
            )
            .await
            .unwrap();
        let holder = setup
            .process
            .authenticate(&bearer(&token.access_token))
            .await
            .unwrap();
        assert_eq!(setup.may(&holder, "public/a"), "rm");
        assert_eq!(setup.may(&holder, "private"), "");
        identity
            .set_anonymous_repositories(REGISTRY, Vec::new())
            .await
            .unwrap();
        assert_eq!(setup.may(&anonymous().await, "public/a"), "");
    });
}

#[test]
fn an_unknown_role_or_a_bad_condition_is_refused_when_it_is_written() {
    on_both_engines(async |place| {
        use lazuli_identity::rbac::store::AssignmentError;
        let setup = Setup::new(&place).await;
        let ann = setup.user("ann").await;
        let scope = registry_scope();
        let unknown = lazuli_wire::Guid::from_bytes([9; 16]);
        assert!(matches!(
            setup.try_assign(unknown, ann.id, &scope, None).await,
            Err(AssignmentError::UnknownRole(id)) if id == unknown
        ));
        let bad = setup
            .try_assign(role("Reader"), ann.id, &scope, Some("a b"))
            .await;
        assert!(matches!(bad, Err(AssignmentError::Condition(_))));
        let first = setup.assign("Reader", ann.id, &scope).await;
        let again = setup.try_assign(role("Reader"), ann.id, &scope, None).await;
        assert!(matches!(again, Err(AssignmentError::Exists(id)) if id == first));
    });
}
