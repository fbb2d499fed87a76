//! The duties once more, on three nodes behind nginx of which one after the other is killed. A request that is cut off is sent again in
//! the way that the protocol has for it (`duties/patient.rs`); nothing else is different for the client. Left out are those of
//! `duties/alone.rs`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test: real processes die in real time"
)]

#[path = "duties/direct.rs"]
mod direct;
#[path = "duties/discovery.rs"]
mod discovery;
#[path = "duties/general.rs"]
mod general;
#[path = "duties/group.rs"]
mod group;
#[path = "duties/management.rs"]
mod management;
#[path = "duties/manifests.rs"]
mod manifests;
#[path = "duties/pull.rs"]
mod pull;
#[path = "duties/sessions.rs"]
mod sessions;
#[path = "duties/patient.rs"]
mod store;
#[path = "duties/support.rs"]
mod support;
#[path = "duties/uploads.rs"]
mod uploads;

use std::sync::atomic::Ordering;

/// How many nodes have to die before the test is content.
const DEATHS: usize = 8;

#[test]
fn what_was_acknowledged_is_served_whoever_dies() {
    let name = support::repository();
    let mut pushed = Vec::new();
    let server = store::server();
    for number in 0_usize.. {
        let tag = format!("v{number}");
        let (body, digest) = support::push_image(&name, &tag);
        pushed.push((tag, body, digest));
        let (tag, body, digest) = &pushed[number / 2];
        for reference in [tag, digest] {
            let found = support::admin().get(&format!("/v2/{name}/manifests/{reference}"));
            assert_eq!(
                (found.status, found.body.as_slice()),
                (200, body.as_bytes())
            );
        }
        if server.kills() >= DEATHS || server.group.nodes.is_none() {
            break;
        }
    }
    let Some(nodes) = &server.group.nodes else {
        return;
    };
    let traffic = nodes.traffic().unwrap();
    println!(
        "{} kills, {} images, {} requests passed on by nginx, {} sent again",
        server.kills(),
        pushed.len(),
        traffic.passed_on,
        store::AGAIN.load(Ordering::Relaxed)
    );
    assert!(traffic.passed_on > 0, "{traffic:?}");
}
