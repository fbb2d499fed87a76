//! Servers and requests.

use lazuli_testkit::server::Server;
use lazuli_wire::oci::{Algorithm, Digest};

pub(crate) fn start() -> Server {
    Server::start(
        env!("CARGO_BIN_EXE_lazuli"),
        &[("LAZULI_LOG_FORMAT", "json")],
    )
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub(crate) fn digest(content: &[u8]) -> String {
    Digest::of(Algorithm::Sha256, content).to_string()
}

pub(crate) fn push(server: &Server, repository: &str, content: &[u8]) -> String {
    let digest = digest(content);
    let target = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
    assert_eq!(
        server.admin().send("POST", &target, &[], content).status,
        201
    );
    digest
}
