//! Passwords and tokens that are guessed.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::support::{Target, is_no_fault};

#[test]
fn a_flood_of_wrong_passwords_and_tokens_is_bounded_and_lets_others_in() {
    let target = Target::with(&[("LAZULI_LOG_ACCESS", "false")]);
    let before = target.peak_memory();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let target = &target;
            scope.spawn(move || {
                for i in 0..400 {
                    let header = if i % 20 == 0 {
                        lazuli_testkit::server::basic("lazuli", &format!("wrong{thread}x{i}"))
                    } else {
                        format!(
                            "Bearer {}.{}.{}",
                            "a".repeat(100),
                            format!("{thread}{i}").repeat(20),
                            "b".repeat(342)
                        )
                    };
                    let client = target.anonymous().with_authorization(header);
                    let status = client.get("/v2/").status;
                    assert!(
                        is_no_fault(status) && matches!(status, 401 | 429),
                        "{status}"
                    );
                }
            });
        }
        // The right one is turned away for a moment at most, and told so; it is not locked out.
        let started = Instant::now();
        loop {
            let response = target.admin().get("/v2/");
            if response.status == 200 {
                break;
            }
            assert_eq!(
                (response.status, response.header("retry-after")),
                (429, Some("1"))
            );
            assert!(
                started.elapsed().as_secs() < 20,
                "the right password is locked out"
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    });
    assert!(target.peak_memory() - before < 16 << 10);
}

/// The password was chosen by a person, so that comparing it is slow on purpose.
#[test]
fn guesses_without_end_keep_a_right_password_from_elsewhere_out_for_nobody() {
    let target = Target::with(&[
        ("LAZULI_LOG_ACCESS", "false"),
        ("LAZULI_TRUSTED_PROXIES", "127.0.0.1"),
    ]);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..24 {
            let (target, is_over) = (&target, &is_over);
            scope.spawn(move || {
                for number in 0.. {
                    if is_over.load(Relaxed) {
                        break;
                    }
                    let guess =
                        lazuli_testkit::server::basic("lazuli", &format!("{thread}x{number}"));
                    let client = target.anonymous().with_authorization(guess);
                    let answer =
                        client.send("GET", "/v2/", &[("X-Forwarded-For", "10.6.6.6")], &[]);
                    assert!(matches!(answer.status, 401 | 429), "{answer:?}");
                }
            });
        }
        std::thread::sleep(Duration::from_millis(500));
        let right = target.admin().get("/v2/");
        // Remembered from now on, whatever else is guessed.
        std::thread::sleep(Duration::from_millis(500));
        let again = target.admin().get("/v2/");
        is_over.store(true, Relaxed);
        assert_eq!(
            (right.status, again.status),
            (200, 200),
            "{right:?} {again:?}"
        );
    });
}
