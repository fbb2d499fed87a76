//! Blobs in an object store that fails: at every call of every way to push a blob, before and after it was done; with futures
//! dropped at every point; with nodes that work on one upload at the same time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod client;
mod dropped;
mod nth;
mod objects;
mod races;
