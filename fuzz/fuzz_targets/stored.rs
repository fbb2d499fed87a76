//! What other programs leave on a disk, and lists of Harbor's API.
#![no_main]

use lazuli_outbound::distribution::stored::{layout_index, link};
use lazuli_outbound::distribution::testing::{harbor_names, is_harbor};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(digest) = link(bytes) {
        assert_eq!(link(digest.to_string().as_bytes()), Some(digest));
    }
    if let Ok(listed) = layout_index(bytes) {
        for (tag, _) in &listed {
            assert!(tag.as_ref().is_none_or(|tag| !tag.contains(['/', ':', '@'])));
        }
        let entries: Vec<_> = listed
            .iter()
            .map(|(tag, digest)| {
                serde_json::json!({
                    "digest": digest.to_string(),
                    "annotations": {"org.opencontainers.image.ref.name": tag},
                })
            })
            .collect();
        let index = serde_json::json!({ "manifests": entries }).to_string();
        assert_eq!(layout_index(index.as_bytes()), Ok(listed));
    }
    if let Some(names) = harbor_names(bytes) {
        let all: Vec<_> = names.iter().map(|name| serde_json::json!({"name": name})).collect();
        let list = serde_json::Value::from(all).to_string();
        assert_eq!(harbor_names(list.as_bytes()), Some(names));
        assert!(!is_harbor(bytes));
    }
});
