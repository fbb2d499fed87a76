//! Several nodes on one database: what one acknowledged, no other contradicts.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../common/mod.rs"]
mod common;

mod agreement;
mod away;
mod collected;
mod duties;
mod failover;
mod polls;
mod registers;
mod staleness;
