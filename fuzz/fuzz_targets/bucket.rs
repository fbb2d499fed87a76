//! What is read of buckets: their addresses, and uploads that another node left in them.
#![no_main]

use lazuli_blobs::testing::stored_upload;
use lazuli_blobs::{BucketUrl, Provider};
use libfuzzer_sys::fuzz_target;

fn address(text: &str) {
    let Some(url) = BucketUrl::parse(text) else {
        return;
    };
    let scheme = match url.provider {
        Provider::S3 => "s3",
        Provider::Azure => "az",
        Provider::Gcs => "gs",
    };
    let mut plain = format!("{scheme}://{}", url.bucket);
    if !url.prefix.is_empty() {
        plain = format!("{plain}/{}", url.prefix);
    }
    assert_eq!(text.trim_end_matches('/'), plain);
    assert_eq!(BucketUrl::parse(&plain).as_ref(), Some(&url));
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    assert!(!url.bucket.is_empty() && url.bucket.bytes().all(is_name));
    for part in url.prefix.split('/') {
        assert!(part.bytes().all(is_name) && part != "." && part != "..");
    }
}

fn upload(text: &[u8]) {
    let Some(upload) = stored_upload(text) else {
        return;
    };
    let (parts, all) = upload.sizes();
    assert!(parts <= all && all - parts <= text.len() as u64);
    let written = upload.write();
    assert_eq!(stored_upload(&written), Some(upload));
    // One byte less or more of the last ones is noticed.
    assert_eq!(stored_upload(&written[..written.len() - 1]), None);
    assert_eq!(stored_upload(&[&written[..], b"x"].concat()), None);
}

fuzz_target!(|data: &[u8]| {
    upload(data);
    if let Ok(text) = std::str::from_utf8(data) {
        address(text);
    }
});
