//! One server for all duties.

use std::sync::OnceLock;

use lazuli_testkit::server::Server;

pub(crate) use lazuli_testkit::http::Client;

/// Kept for the life of the process; a reaper of its own ends the server with it.
pub(crate) fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let store = crate::environment();
        let mut environment: Vec<_> = store.iter().map(|(k, v)| (*k, v.as_str())).collect();
        environment.push(("LAZULI_LOG_ACCESS", "false"));
        Server::start(env!("CARGO_BIN_EXE_lazuli"), &environment)
    })
}
