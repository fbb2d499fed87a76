//! Passwords: who gets in, how soon a change counts, and how much work an attacker can cause.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{
    Process, REGISTRY, SERVICE, basic, bearer, name, on_both_engines, options_with_password,
};
use lazuli_identity::{
    AdminPassword, AuthError, Delete, Denied, Error, MetadataRead, MetadataWrite, Origin,
    PrincipalKind, Pull, Push, RegistryId,
};
use lazuli_wire::token::{Secret, TOKEN_USERNAME};

#[test]
fn the_admin_may_do_everything_and_a_wrong_password_nothing() {
    on_both_engines(async |place| {
        let process = Process::start_with(&place, options_with_password("correct horse")).await;
        let admin = process
            .authenticate(&basic("lazuli", "correct horse"))
            .await
            .unwrap();
        assert_eq!(
            (admin.kind(), admin.name(), admin.key()),
            (PrincipalKind::Admin, "lazuli", "admin")
        );
        let identity = &process.identity;
        assert!(
            identity
                .authorize::<Pull>(&admin, REGISTRY, &name("a"))
                .is_ok()
        );
        assert!(
            identity
                .authorize::<Push>(&admin, REGISTRY, &name("a"))
                .is_ok()
        );
        assert!(
            identity
                .authorize::<Delete>(&admin, REGISTRY, &name("a"))
                .is_ok()
        );
        assert!(
            identity
                .authorize::<MetadataWrite>(&admin, REGISTRY, &name("a"))
                .is_ok()
        );
        assert!(identity.authorize_catalog(&admin, REGISTRY).is_ok());
        assert!(identity.authorize_base(&admin, REGISTRY).is_ok());
        for (user, password) in [
            ("lazuli", "wrong horse"),
            ("lazuli", ""),
            ("lazuli", "correct horse "),
            ("lazuli", "Correct horse"),
            ("lazul1", "correct horse"),
            ("", "correct horse"),
            ("", ""),
            ("admin", "correct horse"),
            ("correct horse", "lazuli"),
        ] {
            let outcome = process.authenticate(&basic(user, password)).await;
            assert!(
                matches!(outcome, Err(AuthError::WrongPassword)),
                "{user}:{password}"
            );
            // The second time the answer is remembered.
            let outcome = process.authenticate(&basic(user, password)).await;
            assert!(
                matches!(outcome, Err(AuthError::WrongPassword)),
                "{user}:{password}"
            );
            assert!(process.cached(&basic(user, password)).is_none());
        }
        let shouting = process
            .authenticate(&basic("LAZULI", "correct horse"))
            .await
            .unwrap();
        assert_eq!(shouting.name(), "lazuli");
    });
}

#[test]
fn headers_that_cannot_be_read_are_refused_and_never_anonymous() {
    on_both_engines(async |place| {
        let process = Process::start(&place).await;
        process
            .identity
            .set_anonymous_pull(REGISTRY, true)
            .await
            .unwrap();
        for header in [
            "",
            "Basic",
            "Basic !",
            "Bearer",
            "Bearer a b",
            "Negotiate abc",
            "Basic bm9jb2xvbg==",
        ] {
            let outcome = process.authenticate(header).await;
            assert!(matches!(outcome, Err(AuthError::Malformed(_))), "{header}");
            assert!(process.cached(header).is_none(), "{header}");
        }
        for header in ["Bearer a.b.c", "Bearer x"] {
            assert!(
                matches!(
                    process.authenticate(header).await,
                    Err(AuthError::InvalidToken)
                ),
                "{header}"
            );
            assert!(process.cached(header).is_none(), "{header}");
        }
    });
}

#[test]
fn nobody_in_particular_reads_only_while_anonymous_pull_is_on() {
    on_both_engines(async |place| {
        let process = Process::start(&place).await;
        let identity = &process.identity;
        let anonymous = identity
            .authenticate(REGISTRY, SERVICE, Origin::LOCAL, None)
            .await
            .unwrap();
        assert!(anonymous.is_anonymous() && !anonymous.presented_credentials());
        assert_eq!(
            (anonymous.name(), anonymous.key()),
            ("anonymous", "anonymous")
        );
        let refused = Some(Denied::Unauthenticated);
        assert_eq!(
            identity
                .authorize::<Pull>(&anonymous, REGISTRY, &name("a"))
                .err(),
            refused
        );
        assert_eq!(
            identity.authorize_catalog(&anonymous, REGISTRY).err(),
            refused
        );
        identity.set_anonymous_pull(REGISTRY, true).await.unwrap();
        assert!(
            identity
                .authorize::<Pull>(&anonymous, REGISTRY, &name("a"))
                .is_ok()
        );
        assert!(
            identity
                .authorize::<MetadataRead>(&anonymous, REGISTRY, &name("a"))
                .is_ok()
        );
        assert!(identity.authorize_catalog(&anonymous, REGISTRY).is_ok());
        assert_eq!(
            identity
                .authorize::<Push>(&anonymous, REGISTRY, &name("a"))
                .err(),
            refused
        );
        assert_eq!(
            identity
                .authorize::<Delete>(&anonymous, REGISTRY, &name("a"))
                .err(),
            refused
        );
        assert_eq!(
            identity
                .authorize::<MetadataWrite>(&anonymous, REGISTRY, &name("a"))
                .err(),
            refused
        );
        // A client learns where tokens are made.
        assert_eq!(identity.authorize_base(&anonymous, REGISTRY).err(), refused);
        identity.set_anonymous_pull(REGISTRY, false).await.unwrap();
        assert_eq!(
            identity
                .authorize::<Pull>(&anonymous, REGISTRY, &name("a"))
                .err(),
            refused
        );
    });
}

#[test]
fn a_principal_has_no_rights_in_another_registry() {
    on_both_engines(async |place| {
        let process = Process::start_with(&place, options_with_password("correct horse")).await;
        let admin = process
            .authenticate(&basic("lazuli", "correct horse"))
            .await
            .unwrap();
        let other = RegistryId::new(2);
        assert!(
            process
                .identity
                .authorize::<Pull>(&admin, other, &name("a"))
                .is_err()
        );
        assert!(process.identity.authorize_catalog(&admin, other).is_err());
        assert!(process.identity.authorize_base(&admin, other).is_err());
        let header = basic("lazuli", "correct horse");
        let outcome = process
            .identity
            .authenticate(other, SERVICE, Origin::LOCAL, Some(header.as_bytes()))
            .await;
        assert!(matches!(
            outcome,
            Err(AuthError::Internal(Error::UnknownRegistry(_)))
        ));
        assert!(
            process
                .identity
                .authenticate_cached(other, SERVICE, None)
                .is_none()
        );
        assert!(
            process
                .identity
                .regenerate(other, AdminPassword::First)
                .await
                .is_err()
        );
        assert!(
            process
                .identity
                .set_anonymous_pull(other, true)
                .await
                .is_err()
        );
    });
}

#[test]
fn the_two_passwords_are_replaced_one_at_a_time() {
    on_both_engines(async |place| {
        let process = Process::start(&place).await;
        let first = process.generated_password();
        let second = process
            .identity
            .regenerate(REGISTRY, AdminPassword::Second)
            .await
            .unwrap();
        let works = async |password: &str| {
            process
                .authenticate(&basic("lazuli", password))
                .await
                .is_ok()
        };
        assert!(works(&first).await && works(second.expose()).await);
        let renewed = process
            .identity
            .regenerate(REGISTRY, AdminPassword::First)
            .await
            .unwrap();
        assert!(!works(&first).await);
        assert!(works(renewed.expose()).await && works(second.expose()).await);
        process
            .identity
            .set_password(REGISTRY, AdminPassword::Second, Secret::new("chosen one"))
            .await
            .unwrap();
        assert!(!works(second.expose()).await);
        assert!(works(renewed.expose()).await && works("chosen one").await);
        let short = process
            .identity
            .set_password(REGISTRY, AdminPassword::First, Secret::new("short"))
            .await;
        assert!(matches!(short, Err(Error::Password(_))));
        assert!(works(renewed.expose()).await);
    });
}

#[test]
fn a_password_reset_by_another_process_counts_within_ten_seconds() {
    on_both_engines(async |place| {
        let server = Process::start_with(&place, options_with_password("correct horse")).await;
        let header = basic("lazuli", "correct horse");
        assert!(server.authenticate(&header).await.is_ok());
        assert!(server.cached(&header).is_some());
        let command = Process::start(&place).await;
        let reset = command
            .identity
            .regenerate(REGISTRY, AdminPassword::First)
            .await
            .unwrap();
        // The server may go on with what it knows, but not for ten seconds.
        server.advance(10);
        assert!(server.cached(&header).is_none());
        assert!(matches!(
            server.authenticate(&header).await,
            Err(AuthError::WrongPassword)
        ));
        assert!(server.cached(&header).is_none());
        assert!(
            server
                .authenticate(&basic("lazuli", reset.expose()))
                .await
                .is_ok()
        );
    });
}

#[test]
fn under_load_a_change_is_read_in_the_background_and_no_request_waits() {
    on_both_engines(async |place| {
        let server = Process::start_with(&place, options_with_password("correct horse")).await;
        let header = basic("lazuli", "correct horse");
        assert!(server.authenticate(&header).await.is_ok());
        let command = Process::start(&place).await;
        command
            .identity
            .regenerate(REGISTRY, AdminPassword::First)
            .await
            .unwrap();
        server.advance(6);
        // Still fast, and a look at the database is under way.
        assert!(server.cached(&header).is_some());
        for _ in 0..500 {
            if server.cached(&header).is_none() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("the new password was not noticed");
    });
}

#[test]
fn a_repeated_log_in_is_answered_from_memory() {
    on_both_engines(async |place| {
        let process = Process::start_with(&place, options_with_password("correct horse")).await;
        let header = basic("lazuli", "correct horse");
        assert!(process.cached(&header).is_none());
        process.authenticate(&header).await.unwrap();
        assert_eq!(process.cached(&header).unwrap().key(), "admin");
        assert!(process.cached(&basic("lazuli", "correct horsf")).is_none());
        assert!(process.cached(&basic("lazul", "icorrect horse")).is_none());
    });
}

#[test]
fn a_token_is_taken_as_the_password_of_the_zero_guid() {
    on_both_engines(async |place| {
        let process = Process::start(&place).await;
        let password = process.generated_password();
        let refresh = process.refresh_token(&password).await;
        let access = process
            .token(&basic("lazuli", &password), "repository:a:pull")
            .await;
        let by_refresh = process
            .authenticate(&basic(TOKEN_USERNAME, &refresh))
            .await
            .unwrap();
        let by_access = process
            .authenticate(&basic(TOKEN_USERNAME, &access))
            .await
            .unwrap();
        let identity = &process.identity;
        assert!(
            identity
                .authorize::<Delete>(&by_refresh, REGISTRY, &name("b"))
                .is_ok()
        );
        assert!(
            identity
                .authorize::<Pull>(&by_access, REGISTRY, &name("a"))
                .is_ok()
        );
        let denied = identity.authorize::<Pull>(&by_access, REGISTRY, &name("b"));
        assert_eq!(denied.err(), Some(Denied::InsufficientScope));
        assert!(process.cached(&basic(TOKEN_USERNAME, &refresh)).is_some());
        // As a bearer token a refresh token is worth nothing, remembered or not.
        assert!(process.cached(&bearer(&refresh)).is_none());
        assert!(matches!(
            process.authenticate(&bearer(&refresh)).await,
            Err(AuthError::InvalidToken)
        ));
        for (user, password) in [
            (TOKEN_USERNAME, password.as_str()),
            ("lazuli", &refresh),
            (TOKEN_USERNAME, ""),
        ] {
            assert!(process.authenticate(&basic(user, password)).await.is_err());
        }
    });
}

#[test]
fn a_switched_off_admin_cannot_sign_in() {
    on_both_engines(async |place| {
        let first = Process::start_with(&place, options_with_password("correct horse")).await;
        let header = basic("lazuli", "correct horse");
        let token = first.token(&header, "repository:a:pull").await;
        let mut options = common::options();
        options.admin_enabled = false;
        let off = Process::start_with(&place, options).await;
        assert!(matches!(
            off.authenticate(&header).await,
            Err(AuthError::WrongPassword)
        ));
        assert!(matches!(
            off.authenticate(&bearer(&token)).await,
            Err(AuthError::InvalidToken)
        ));
    });
}
