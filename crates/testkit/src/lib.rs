//! For tests only: running servers, a client that sends exactly what it is told, private databases and object stores, a
//! network that fails when told to.

#![allow(clippy::panic)]
#![allow(
    clippy::disallowed_methods,
    reason = "tests wait in real time for real processes, and look at real files"
)]

pub mod cable;
pub mod crash;
mod engine;
pub mod http;
pub mod images;
pub mod nodes;
pub mod object_stores;
pub mod postgres;
pub mod proxy;
pub mod server;

pub use engine::not_run;
