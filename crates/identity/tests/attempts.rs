//! How much work an attacker can cause, and what the time an answer takes gives away.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::num::NonZeroU32;

use common::{Place, Process, REGISTRY, SERVICE, basic, on_both_engines, options_with_password};
use lazuli_identity::AuthError;

/// A password whose comparison takes long enough that requests overlap.
async fn slow(place: &Place) -> Process {
    let mut options = options_with_password("correct horse");
    options.password_iterations = NonZeroU32::new(400_000).unwrap();
    Process::start_with(place, options).await
}

async fn many(
    process: &Process,
    count: usize,
    password: impl Fn(usize) -> String,
) -> (usize, usize, usize) {
    let tasks: Vec<_> = (0..count)
        .map(|index| {
            let (identity, header) = (process.identity.clone(), basic("lazuli", &password(index)));
            tokio::spawn(async move {
                identity
                    .authenticate(REGISTRY, SERVICE, Some(header.as_bytes()))
                    .await
            })
        })
        .collect();
    let (mut accepted, mut refused, mut busy) = (0, 0, 0);
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => accepted += 1,
            Err(AuthError::WrongPassword) => refused += 1,
            Err(AuthError::TooManyAttempts) => busy += 1,
            Err(error) => panic!("{error}"),
        }
    }
    (accepted, refused, busy)
}

#[test]
fn at_most_two_slow_comparisons_run_and_the_rest_are_turned_away() {
    on_both_engines(async |place| {
        let process = slow(&place).await;
        let (accepted, refused, busy) =
            many(&process, 12, |index| format!("guess number {index}")).await;
        assert_eq!(accepted, 0);
        assert!(refused >= 2, "{refused} refused");
        assert!(busy >= 6, "{busy} turned away");
        // Those turned away have not been judged: the right password gets in afterwards.
        assert!(
            process
                .authenticate(&basic("lazuli", "correct horse"))
                .await
                .is_ok()
        );
    });
}

#[test]
fn a_client_that_opens_many_connections_at_once_waits_for_one_comparison() {
    on_both_engines(async |place| {
        let process = slow(&place).await;
        assert_eq!(
            many(&process, 16, |_| "correct horse".into()).await,
            (16, 0, 0)
        );
        assert_eq!(
            many(&process, 16, |_| "wrong horse".into()).await,
            (0, 16, 0)
        );
    });
}

#[test]
fn an_unknown_user_takes_as_long_as_a_wrong_password() {
    on_both_engines(async |place| {
        let process = slow(&place).await;
        let time = async |user: &str, password: &str| {
            let started = tokio::time::Instant::now();
            assert!(process.authenticate(&basic(user, password)).await.is_err());
            started.elapsed()
        };
        // The best of three, against the noise of a busy machine.
        let mut known = time("lazuli", "wrong horse 0").await;
        let mut unknown = time("nobody", "wrong horse 0").await;
        for index in 1..3 {
            known = known.min(time("lazuli", &format!("wrong horse {index}")).await);
            unknown = unknown.min(time("nobody", &format!("wrong horse {index}")).await);
        }
        assert!(
            unknown * 2 > known && known * 2 > unknown,
            "{known:?} against {unknown:?}"
        );
    });
}
