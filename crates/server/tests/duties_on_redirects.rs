//! The duties once more, with blobs in a bucket of Ceph's S3, from where clients fetch them: every blob is answered with a redirect, which the
//! client follows (`duties/following.rs`). Left out are those of `duties/direct.rs`. What else redirects change is in `object_store/redirects.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

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
#[path = "duties/following.rs"]
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
        let all = [
            ("LAZULI_STORAGE_REDIRECT", "true".to_owned()),
            ("LAZULI_STORAGE_REDIRECT_FROM", "0".to_owned()),
            ("LAZULI_STORAGE_INLINE_BLOB_MAX", "0".to_owned()),
        ];
        store.environment.into_iter().chain(all).collect()
    })
}

#[test]
fn blobs_come_from_the_store() {
    if environment().is_empty() {
        return;
    }
    let name = support::repository();
    let content = support::bytes(100);
    let target = format!("/v2/{name}/blobs/{}", support::push_blob(&name, &content));
    assert_eq!(store::server().0.admin().get(&target).status, 307);
    let found = support::admin().get(&target);
    assert_eq!((found.status, found.body), (200, content));
}
