//! A server that redirects, and a client that follows.

use std::sync::OnceLock;

use lazuli_testkit::server::Server;

pub(crate) use lazuli_testkit::http::Client;

pub(crate) struct Target(pub(crate) Server);

pub(crate) fn server() -> &'static Target {
    static TARGET: OnceLock<Target> = OnceLock::new();
    TARGET.get_or_init(|| {
        let store = crate::environment();
        let mut environment: Vec<_> = store.iter().map(|(k, v)| (*k, v.as_str())).collect();
        environment.push(("LAZULI_LOG_ACCESS", "false"));
        Target(Server::start(env!("CARGO_BIN_EXE_lazuli"), &environment))
    })
}

impl Target {
    pub(crate) fn anonymous(&self) -> Client {
        self.0.anonymous().following()
    }

    pub(crate) fn admin(&self) -> Client {
        self.0.admin().following()
    }

    pub(crate) fn http(&self) -> std::net::SocketAddr {
        self.0.http()
    }
}
