//! `lazuli import-from`: out of a CNCF distribution registry, its folder, and another lazuli.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(
    clippy::disallowed_methods,
    reason = "clients of a real process wait in real time"
)]

mod content;
mod distribution;
mod faults;
mod sources;
mod support;
