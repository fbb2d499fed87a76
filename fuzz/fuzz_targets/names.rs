//! Repository names, tags, digests, references and upload identifiers: what is read is shown as it was written.
#![no_main]

use lazuli_wire::oci::{Digest, Reference, RepositoryName, Tag, UploadId};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let name = RepositoryName::parse(text);
    assert_eq!(name.is_ok(), RepositoryName::check(text).is_ok());
    if let Ok(name) = name {
        assert!(name.as_str() == text && !text.contains("..") && !text.starts_with('/'));
    }
    if let Ok(tag) = Tag::parse(text) {
        assert_eq!(tag.as_str(), text);
    }
    if let Ok(digest) = Digest::parse(text) {
        assert_eq!(digest.to_string(), text);
        assert_eq!(Digest::from_bytes(&digest.to_bytes()), Some(digest));
    }
    if let Ok(reference) = Reference::parse(text) {
        assert_eq!(reference.to_string(), text);
        assert_eq!(reference.tag().is_some(), Tag::parse(text).is_ok());
        assert_eq!(reference.digest().is_some(), Digest::parse(text).is_ok());
    }
    if let Ok(id) = UploadId::parse(text) {
        assert_eq!(id.to_string(), text.to_ascii_lowercase());
    }
    if let Some(digest) = Digest::from_bytes(text.as_bytes()) {
        assert_eq!(Digest::parse(&digest.to_string()), Ok(digest));
    }
});
