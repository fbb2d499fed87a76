//! The rules of repositories, manifests, tags, blobs and uploads.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../common/mod.rs"]
mod common;

mod blobs;
mod content;
mod expiry;
mod listings;
mod locks;
mod repeated;
mod uploads;
