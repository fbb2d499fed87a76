//! The duties of a registry by the OCI distribution specification 1.1 and the image specification, each a test whose name is the duty. All
//! run against one server process. `docs/reference/compatibility.md` is generated from the names.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod alone;
mod direct;
mod discovery;
mod general;
mod management;
mod manifests;
mod pull;
mod sessions;
#[path = "one.rs"]
mod store;
mod support;
mod uploads;

/// Where the server keeps its blobs. Other targets run the same duties elsewhere.
fn environment() -> Vec<(&'static str, String)> {
    Vec::new()
}
