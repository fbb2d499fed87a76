//! Manifests to start from.

use lazuli_wire::oci::media_type::{OCI_CONFIG, OCI_INDEX, OCI_MANIFEST};
use lazuli_wire::oci::{Algorithm, Digest, ManifestError, ManifestLimits, ParsedManifest};
use serde_json::{Value, json};

pub(crate) fn descriptor(media_type: &str, content: &str) -> Value {
    let digest = Digest::of(Algorithm::Sha256, content.as_bytes());
    json!({"mediaType": media_type, "digest": digest.to_string(), "size": content.len()})
}

/// An image of a configuration and two layers, six bytes each.
pub(crate) fn image() -> Value {
    let layer = "application/vnd.oci.image.layer.v1.tar+gzip";
    json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor(OCI_CONFIG, "config"),
        "layers": [descriptor(layer, "layer1"), descriptor(layer, "layer2")]
    })
}

/// An index of one image.
pub(crate) fn index() -> Value {
    json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [descriptor(OCI_MANIFEST, "child")]})
}

pub(crate) fn parse_text(
    content_type: Option<&str>,
    text: &str,
) -> Result<ParsedManifest, ManifestError> {
    ParsedManifest::parse(content_type, text.as_bytes(), &ManifestLimits::default())
}

pub(crate) fn parse(
    content_type: Option<&str>,
    value: &Value,
) -> Result<ParsedManifest, ManifestError> {
    parse_text(content_type, &value.to_string())
}
