//! The duties once more, with blobs in a bucket of Ceph's S3. While bytes go through the server nothing else changes: every duty holds
//! as it does on a disk. What redirects change is in `object_store/redirects.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "duties/direct.rs"]
mod direct;
#[path = "duties/discovery.rs"]
mod discovery;
#[path = "duties/general.rs"]
mod general;
#[path = "duties/management.rs"]
mod management;
#[path = "duties/manifests.rs"]
mod manifests;
#[path = "duties/pull.rs"]
mod pull;
#[path = "duties/sessions.rs"]
mod sessions;
#[path = "duties/one.rs"]
mod store;
#[path = "object_store/stores.rs"]
mod stores;
#[path = "duties/support.rs"]
mod support;
#[path = "duties/uploads.rs"]
mod uploads;

/// Without the engine, which was said, the duties run on the disk.
fn environment() -> Vec<(&'static str, String)> {
    crate::stores::s3().map_or_else(Vec::new, |store| {
        let streaming = ("LAZULI_STORAGE_REDIRECT", "false".to_owned());
        store.environment.into_iter().chain([streaming]).collect()
    })
}
