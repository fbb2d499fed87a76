//! Three nodes behind nginx for all duties, as `deploy/compose` starts them: each request goes to one of them at random.

use std::net::SocketAddr;
use std::path::Path;

use lazuli_testkit::nodes::Nodes;
use lazuli_testkit::server::Server;

/// Kept for the life of the process; reapers of their own end everything with it.
pub(crate) struct Group {
    pub(crate) nodes: Option<Nodes>,
    /// Without an engine, which was said, the duties run on one server.
    instead: Option<Server>,
}

impl Group {
    pub(crate) fn start() -> Self {
        let binary = env!("CARGO_BIN_EXE_lazuli");
        let nodes = Nodes::start(Path::new(binary), None);
        let instead = nodes.is_none().then(|| Server::start(binary, &[]));
        Self { nodes, instead }
    }

    pub(crate) fn http(&self) -> SocketAddr {
        let address = self.nodes.as_ref().map(Nodes::address);
        address
            .or_else(|| self.instead.as_ref().map(Server::http))
            .unwrap()
    }
}
