//! For tests only: running servers, a client that sends exactly what it is told, private databases.

#![allow(clippy::panic)]

pub mod http;
pub mod postgres;
pub mod server;
