//! Moves of a registry to another database and store, while it serves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod commands;
mod guards;
mod load;
mod places;
