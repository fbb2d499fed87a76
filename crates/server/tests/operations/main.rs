//! What an operator relies on: metrics, health, the log, an orderly end, and the commands beside a running server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(
    clippy::disallowed_methods,
    reason = "clients of a real process wait in real time"
)]

mod commands;
mod gc;
mod log;
mod metrics;
mod scrub;
mod stopping;
mod support;
