//! The client against local servers that do what foreign ones might.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod distribution;
mod harbor;
mod properties;
mod readers;
mod support;
