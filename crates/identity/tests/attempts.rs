//! How much work an attacker can cause, and what the time an answer takes gives away.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::num::NonZeroU32;

use common::{Place, Process, REGISTRY, SERVICE, basic, on_both_engines, options_with_password};
use lazuli_identity::{AuthError, Origin};

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
                    .authenticate(REGISTRY, SERVICE, Origin::LOCAL, Some(header.as_bytes()))
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
fn guesses_from_one_place_wait_for_each_other_and_nobody_else_for_them() {
    on_both_engines(async |place| {
        let process = slow(&place).await;
        let guesses = many(&process, 40, |index| format!("guess number {index}"));
        let right = async {
            tokio::task::yield_now().await;
            let elsewhere = Origin::of("10.0.0.1".parse().unwrap());
            let header = basic("lazuli", "correct horse");
            let started = tokio::time::Instant::now();
            process
                .identity
                .authenticate(REGISTRY, SERVICE, elsewhere, Some(header.as_bytes()))
                .await
                .unwrap();
            started.elapsed()
        };
        let started = tokio::time::Instant::now();
        let ((accepted, refused, busy), waited) = tokio::join!(guesses, right);
        assert_eq!((accepted, refused + busy), (0, 40));
        assert!(busy >= 20, "{busy} turned away");
        assert!(refused >= 2, "{refused} refused");
        assert!(
            waited * 2 < started.elapsed(),
            "{waited:?} of {:?}",
            started.elapsed()
        );
        // What was right is remembered, wherever it is said next.
        assert!(process.cached(&basic("lazuli", "correct horse")).is_some());
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
        // The best of five, against the noise of a busy machine: a sixth would have to wait.
        let mut known = time("lazuli", "wrong horse 0").await;
        let mut unknown = time("nobody", "wrong horse 0").await;
        for index in 1..5 {
            known = known.min(time("lazuli", &format!("wrong horse {index}")).await);
            unknown = unknown.min(time("nobody", &format!("wrong horse {index}")).await);
        }
        assert!(
            unknown * 2 > known && known * 2 > unknown,
            "{known:?} against {unknown:?}"
        );
    });
}
