//! For tests only: running servers, a client that sends exactly what it is told, private databases.

#![allow(clippy::panic)]
#![allow(
    clippy::disallowed_methods,
    reason = "tests wait in real time for real processes, and look at real files"
)]

pub mod crash;
pub mod http;
pub mod postgres;
pub mod server;
