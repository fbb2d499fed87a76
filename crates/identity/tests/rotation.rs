//! New signing keys and new passwords: what happens to the tokens that are out.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::time::Duration;

use common::{Process, REGISTRY, basic, bearer, decode, on_both_engines};
use lazuli_identity::{AuthError, OldTokens, REFRESH_LIFE};

#[test]
fn rotated_keys_leave_old_tokens_alone_until_they_expire() {
    on_both_engines(async |place| {
        let process = Process::start(&place).await;
        let other = Process::start(&place).await;
        let header = basic("lazuli", &process.generated_password());
        let old = process.token(&header, "repository:a:pull").await;
        assert!(other.authenticate(&bearer(&old)).await.is_ok());
        process
            .identity
            .rotate_signing_keys(REGISTRY, OldTokens::Expire)
            .await
            .unwrap();
        let new = process.token(&header, "repository:a:pull").await;
        assert_ne!(decode(&old).0["kid"], decode(&new).0["kid"]);
        assert!(
            process.cached(&bearer(&old)).is_none(),
            "what was remembered is forgotten"
        );
        assert!(process.authenticate(&bearer(&old)).await.is_ok());
        assert!(process.authenticate(&bearer(&new)).await.is_ok());
        // Another process looks up the unknown key, once it has not looked for a second.
        other.advance(2);
        assert!(other.authenticate(&bearer(&new)).await.is_ok());
        assert!(other.authenticate(&bearer(&old)).await.is_ok());
        // Rotating often keeps every key that a living token may need.
        process
            .identity
            .rotate_signing_keys(REGISTRY, OldTokens::Expire)
            .await
            .unwrap();
        assert!(process.authenticate(&bearer(&old)).await.is_ok());
        assert!(process.authenticate(&bearer(&new)).await.is_ok());
    });
}

#[test]
fn keys_that_no_living_token_needs_are_deleted() {
    on_both_engines(async |place| {
        let process = Process::start(&place).await;
        let keys = async || {
            let count = "SELECT count(*) FROM signing_keys";
            let read = process
                .db
                .read(move |tx| tx.query_one(count, &[], |row| row.get_i64(0)))
                .await;
            read.unwrap().unwrap()
        };
        assert_eq!(keys().await, 2);
        process
            .identity
            .rotate_signing_keys(REGISTRY, OldTokens::Expire)
            .await
            .unwrap();
        assert_eq!(keys().await, 4);
        process.advance(2 * u64::try_from(REFRESH_LIFE).unwrap());
        process
            .identity
            .rotate_signing_keys(REGISTRY, OldTokens::Expire)
            .await
            .unwrap();
        assert_eq!(keys().await, 4);
        process
            .identity
            .rotate_signing_keys(REGISTRY, OldTokens::Revoke)
            .await
            .unwrap();
        assert_eq!(keys().await, 2);
    });
}

#[test]
fn revoking_ends_every_token_at_once_and_elsewhere_within_ten_seconds() {
    on_both_engines(async |place| {
        let process = Process::start(&place).await;
        let other = Process::start(&place).await;
        let password = process.generated_password();
        let access = bearer(
            &process
                .token(&basic("lazuli", &password), "repository:a:pull")
                .await,
        );
        let refresh = process.refresh_token(&password).await;
        assert!(process.authenticate(&access).await.is_ok());
        assert!(other.authenticate(&access).await.is_ok());
        process
            .identity
            .rotate_signing_keys(REGISTRY, OldTokens::Revoke)
            .await
            .unwrap();
        assert!(process.cached(&access).is_none());
        assert!(matches!(
            process.authenticate(&access).await,
            Err(AuthError::InvalidToken)
        ));
        assert!(process.refresh(&refresh, "").await.is_err());
        other.advance(10);
        assert!(other.cached(&access).is_none());
        assert!(matches!(
            other.authenticate(&access).await,
            Err(AuthError::InvalidToken)
        ));
        // Passwords go on.
        assert!(
            other
                .authenticate(&basic("lazuli", &password))
                .await
                .is_ok()
        );
    });
}

#[test]
fn keys_are_replaced_when_they_are_old() {
    const DAY: u64 = 24 * 60 * 60;
    on_both_engines(async |place| {
        let process = Process::start(&place).await;
        let header = basic("lazuli", &process.generated_password());
        let aged = Duration::from_secs(30 * DAY);
        let rotate = async || {
            let rotated = process.identity.rotate_aged_signing_keys(aged).await;
            rotated.unwrap()
        };
        let before = process.token(&header, "repository:a:pull").await;
        process.advance(29 * DAY);
        assert_eq!(rotate().await, 0);
        let still = process.token(&header, "repository:a:pull").await;
        assert_eq!(decode(&before).0["kid"], decode(&still).0["kid"]);
        process.advance(2 * DAY);
        let old = process.token(&header, "repository:a:pull").await;
        assert_eq!(rotate().await, 1);
        assert_eq!(rotate().await, 0, "the new ones are young");
        let new = process.token(&header, "repository:a:pull").await;
        assert_ne!(decode(&old).0["kid"], decode(&new).0["kid"]);
        assert!(process.authenticate(&bearer(&old)).await.is_ok());
        assert!(process.authenticate(&bearer(&new)).await.is_ok());
    });
}

#[test]
fn tokens_given_for_a_replaced_password_live_until_they_expire() {
    on_both_engines(async |place| {
        let process = Process::start(&place).await;
        let header = basic("lazuli", &process.generated_password());
        let token = bearer(&process.token(&header, "repository:a:pull").await);
        process
            .identity
            .regenerate(REGISTRY, lazuli_identity::AdminPassword::First)
            .await
            .unwrap();
        assert!(process.authenticate(&header).await.is_err());
        assert!(process.authenticate(&token).await.is_ok());
    });
}
