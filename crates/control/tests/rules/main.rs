//! The rules of the management plane, each on both database engines.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod children;
mod deleting;
mod groups;
mod locks;
mod properties;
mod registries;
mod roles;
mod support;
