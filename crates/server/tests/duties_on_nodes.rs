//! The duties once more, on three nodes behind nginx with the configuration of `deploy/compose`: each request goes to a node at
//! random. Left out are those of `duties/alone.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

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
#[path = "duties/support.rs"]
mod support;
#[path = "duties/uploads.rs"]
mod uploads;

mod store {
    use std::net::SocketAddr;
    use std::sync::OnceLock;

    use lazuli_testkit::server::{PASSWORD, basic};

    use crate::group::Group;

    pub(crate) use lazuli_testkit::http::Client;

    pub(crate) struct Target(pub(crate) Group);

    pub(crate) fn server() -> &'static Target {
        static TARGET: OnceLock<Target> = OnceLock::new();
        TARGET.get_or_init(|| Target(Group::start()))
    }

    impl Target {
        pub(crate) fn anonymous(&self) -> Client {
            Client::new(self.http())
        }

        pub(crate) fn admin(&self) -> Client {
            self.anonymous()
                .with_authorization(basic("lazuli", PASSWORD))
        }

        pub(crate) fn http(&self) -> SocketAddr {
            self.0.http()
        }
    }
}

#[test]
fn requests_are_spread_over_the_nodes() {
    let name = support::repository();
    let (body, _) = support::push_image(&name, "v1");
    for _ in 0..30 {
        let found = support::admin().get(&format!("/v2/{name}/manifests/v1"));
        assert_eq!(
            (found.status, found.body.as_slice()),
            (200, body.as_bytes())
        );
    }
    let Some(nodes) = &store::server().0.nodes else {
        return;
    };
    let traffic = nodes.traffic().unwrap();
    assert!(
        traffic.by_node.iter().all(|count| *count > 0),
        "{traffic:?}"
    );
    assert!(traffic.bad_gateway.is_empty(), "{traffic:?}");
}
