//! Duties of a server that sends the bytes of blobs itself: an object store has entity tags of its own, and S3 knows no `If-Range`.

use crate::general::nothing_changed;
use crate::support::*;

#[test]
fn g02_conditional_requests_for_blobs_are_answered_304_when_nothing_changed() {
    let name = repository();
    let blob = push_blob(&name, &bytes(9000));
    nothing_changed(&format!("/v2/{name}/blobs/{blob}"));
}

#[test]
fn p16_if_range_is_honoured() {
    let name = repository();
    let content = bytes(3000);
    let digest = push_blob(&name, &content);
    let target = format!("/v2/{name}/blobs/{digest}");
    let etag = admin().get(&target).header("etag").unwrap().to_owned();
    let matching = admin().send(
        "GET",
        &target,
        &[("Range", "bytes=0-9"), ("If-Range", &etag)],
        &[],
    );
    assert_eq!(
        (matching.status, matching.body.as_slice()),
        (206, &content[..10])
    );
    let other = admin().send(
        "GET",
        &target,
        &[("Range", "bytes=0-9"), ("If-Range", "\"other\"")],
        &[],
    );
    assert_eq!((other.status, other.body.len()), (200, 3000));
}
