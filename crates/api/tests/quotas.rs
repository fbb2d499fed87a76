//! Requests a minute by kind.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::*;
use lazuli_api::{ApiOptions, Limits, Quota, Quotas};

fn server(quotas: Quotas) -> Server {
    Server::start(ApiOptions {
        limits: Limits {
            quotas,
            ..Limits::default()
        },
        ..ApiOptions::default()
    })
}

#[test]
fn who_is_over_a_quota_is_told_when_to_come_back() {
    let server = server(Quotas {
        delete: Quota {
            registry: None,
            identity: Some(2),
        },
        ..Quotas::default()
    });
    server.push_image("a", "v1", "first");
    for _ in 0..2 {
        assert_eq!(server.admin().delete("/v2/a/manifests/none").status, 404);
    }
    let refused = server.admin().delete("/v2/a/manifests/v1");
    assert_eq!(
        (refused.status, &*refused.error_code()),
        (429, "TOOMANYREQUESTS")
    );
    let after: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&after), "{after}");
    // It did not happen, and other kinds go on.
    assert_eq!(server.admin().get("/v2/a/manifests/v1").status, 200);
    server.push_image("a", "v2", "second");
}

#[test]
fn tokens_are_counted_for_the_registry() {
    let server = server(Quotas {
        token: Quota {
            registry: Some(3),
            identity: None,
        },
        ..Quotas::default()
    });
    let ask = || {
        server
            .admin()
            .get("/oauth2/token?service=x&scope=registry:catalog:*")
            .status
    };
    for _ in 0..3 {
        assert_ne!(ask(), 429);
    }
    assert_eq!(ask(), 429);
    assert_eq!(server.admin().get("/v2/").status, 200);
}
