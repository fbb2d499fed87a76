//! The journal beside the blobs, and databases that are rebuilt from it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../common/mod.rs"]
mod common;
mod duties;
mod prefixes;
mod support;
mod trouble;
