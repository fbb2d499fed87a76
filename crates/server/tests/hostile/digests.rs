//! Digests that are not what they say.

use crate::support::{
    Image, OCI, Target, bytes, location, push_blob, put_manifest, send, sha256, sha512,
    start_upload, with_query,
};

#[test]
fn a_digest_is_of_the_algorithm_it_names() {
    let target = Target::start();
    let admin = target.admin();
    let content = bytes(2, 5000);
    let (short, long) = (sha256(&content), sha512(&content));
    let (short_hex, long_hex) = (&short["sha256:".len()..], &long["sha512:".len()..]);
    let odd = [
        format!("sha512:{short_hex}"),
        format!("sha256:{long_hex}"),
        format!("sha256:{}", &long_hex[..64]),
        format!("sha512:{short_hex}{short_hex}"),
        format!("sha384:{}", &long_hex[..96]),
        format!("md5:{}", &short_hex[..32]),
        format!("blake3:{short_hex}"),
        format!("SHA256:{short_hex}"),
        format!("sha256:{}", short_hex.to_uppercase()),
        format!("sha256:{short_hex}0"),
        format!("sha256:{}", &short_hex[1..]),
        format!("sha256:{}", "0".repeat(64)),
        format!("sha256+sha512:{short_hex}"),
        format!("sha256:{short_hex},sha512:{long_hex}"),
        format!("sha256%00:{short_hex}"),
        format!("sha256:{short_hex}%0a"),
        "sha256:".to_owned(),
        ":".to_owned(),
        String::new(),
    ];
    push_blob(&admin, "confusion/digests", &content);
    for digest in &odd {
        let upload = start_upload(&admin, "confusion/digests");
        let response = send(
            &admin,
            "PUT",
            &with_query(&upload, &format!("digest={digest}")),
            &[],
            &content,
        );
        assert_eq!(response.status, 400, "{digest}: {response:?}");
        let path = format!("/v2/confusion/digests/blobs/{digest}");
        let response = send(&admin, "GET", &path, &[], &[]);
        assert!(
            matches!(response.status, 400 | 404 | 405),
            "{digest}: {response:?}"
        );
        let path = format!("/v2/confusion/digests/blobs/uploads/?digest={digest}");
        if !digest.is_empty() {
            assert_eq!(
                send(&admin, "POST", &path, &[], &content).status,
                400,
                "{digest}"
            );
        }
    }
    // Pushed by one algorithm, the other one's digest either finds the very bytes or nothing.
    let by_other = send(
        &admin,
        "GET",
        &format!("/v2/confusion/digests/blobs/{long}"),
        &[],
        &[],
    );
    assert!(by_other.status == 404 || by_other.body == content);
    // A session begun for one algorithm is checked by the digest it is finished with.
    for algorithm in ["sha256", "sha512"] {
        for (digest, status) in [
            (&short, 201),
            (&long, 201),
            (&sha256(b"other"), 400),
            (&sha512(b"other"), 400),
        ] {
            let path = format!("/v2/confusion/digests/blobs/uploads/?digest-algorithm={algorithm}");
            let upload = location(&send(&admin, "POST", &path, &[], &[]));
            let response = send(
                &admin,
                "PUT",
                &with_query(&upload, &format!("digest={digest}")),
                &[],
                &content,
            );
            assert_eq!(response.status, status, "{algorithm} {digest}");
        }
    }
    for algorithm in [
        "md5",
        "sha1",
        "sha384",
        "SHA256",
        "sha256,sha512",
        "",
        "%00",
    ] {
        let path = format!("/v2/confusion/digests/blobs/uploads/?digest-algorithm={algorithm}");
        let response = send(&admin, "POST", &path, &[], &[]);
        assert_eq!(response.status, 400, "{algorithm:?}: {response:?}");
    }
}

#[test]
fn a_manifest_pushed_by_digest_has_that_digest() {
    let target = Target::start();
    let admin = target.admin();
    let genuine = Image::push(&admin, "confusion/pushed", 5);
    let other = genuine
        .manifest
        .replace("\"schemaVersion\":2", "\"schemaVersion\": 2");
    for digest in [
        sha256(b"x"),
        sha512(b"x"),
        genuine.digest(),
        sha512(genuine.manifest.as_bytes()),
    ] {
        let response = put_manifest(&admin, "confusion/pushed", &digest, OCI, &other);
        assert_eq!(
            (response.status, response.error_code().as_str()),
            (400, "DIGEST_INVALID"),
            "{digest}"
        );
    }
    let digest = sha512(other.as_bytes());
    let response = put_manifest(&admin, "confusion/pushed", &digest, OCI, &other);
    assert_eq!(
        (response.status, response.header("docker-content-digest")),
        (201, Some(digest.as_str()))
    );
    let served = send(
        &admin,
        "GET",
        &format!("/v2/confusion/pushed/manifests/{digest}"),
        &[],
        &[],
    );
    assert_eq!(
        served.header("docker-content-digest"),
        Some(digest.as_str())
    );
    assert_eq!(served.body, other.as_bytes());
}
