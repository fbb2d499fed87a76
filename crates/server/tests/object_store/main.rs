//! Servers whose blobs are in object stores: what redirects change, what happens while the store is away, and that nothing is
//! lost or left in it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(
    clippy::disallowed_methods,
    reason = "waits for another process in real time"
)]

mod bearer;
mod beside;
mod clients;
mod keeping;
mod nodes;
mod outage;
mod rebuild;
mod redirects;
mod sas;
mod stores;
mod support;
