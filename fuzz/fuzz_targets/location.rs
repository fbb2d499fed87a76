//! Stored places of blobs: what is read names one file below the store's root, and the digest it was made for.
#![no_main]

use lazuli_blobs::Location;
use lazuli_wire::oci::UploadId;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(location) = Location::parse(text) else {
        return;
    };
    assert_eq!(location.as_str(), text);
    let parts: Vec<_> = text.split('/').collect();
    assert_eq!(parts.len(), 4);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    assert!(
        parts
            .iter()
            .all(|part| !part.is_empty() && part.bytes().all(plain))
    );
    let digest = location.digest().expect("a location has a digest");
    let (_, suffix) = parts[3].split_once('-').expect("a name has a suffix");
    let upload = UploadId::parse(&format!("00000000-0000-4000-8000-{suffix}"));
    let upload = upload.expect("a suffix is the end of an identifier");
    assert_eq!(Location::new(parts[0], &digest, upload), Ok(location));
});
