//! Rights of scope-map tokens and of the directory: in registries and on resources, on both engines.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../common/mod.rs"]
mod common;
mod directory;
mod management;
mod matrix;
mod scope_maps;
mod setup;
