//! Manifests: what is accepted keeps to the limits and to its kind.
#![no_main]

use lazuli_wire::oci::{MAX_SIZE, ManifestKind, ManifestLimits, ParsedManifest};
use libfuzzer_sys::fuzz_target;

const LIMITS: ManifestLimits = ManifestLimits {
    max_bytes: 1 << 20,
    max_depth: 8,
    max_descriptors: 8,
    max_annotations: 4,
    max_keys: 16,
};

fn check(content_type: Option<&str>, body: &[u8]) {
    let Ok(manifest) = ParsedManifest::parse(content_type, body, &LIMITS) else {
        return;
    };
    assert_eq!(manifest.media_type, manifest.kind.media_type());
    assert_eq!(manifest.config.is_some(), manifest.kind.is_image());
    assert!(manifest.manifests.is_empty() || manifest.kind.is_index());
    assert!(manifest.layers.is_empty() || !manifest.kind.is_index());
    assert!(
        manifest.layers.len() <= 8
            && manifest.manifests.len() <= 8
            && manifest.annotations.len() <= 4
    );
    let listed = manifest
        .config
        .iter()
        .chain(&manifest.layers)
        .chain(&manifest.manifests)
        .chain(&manifest.subject);
    assert!(
        listed
            .into_iter()
            .all(|descriptor| descriptor.size <= MAX_SIZE && !descriptor.media_type.is_empty())
    );
    // The kind it was given is the kind it has, whoever says so.
    let again = ParsedManifest::parse(Some(manifest.kind.media_type()), body, &LIMITS);
    assert_eq!(again.as_ref(), Ok(&manifest));
}

fuzz_target!(|body: &[u8]| {
    check(None, body);
    for kind in ManifestKind::ALL {
        check(Some(kind.media_type()), body);
    }
    // A header and a body, as foreign as each other.
    if let Some(end) = body.iter().position(|byte| *byte == b'\n')
        && let Ok(header) = std::str::from_utf8(&body[..end])
    {
        check(Some(header), &body[end + 1..]);
    }
});
