//! Manifests to push.

use lazuli_wire::oci::Digest;
use serde_json::{Value, json};

/// OCI image manifest.
pub const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
/// OCI image index.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Docker image manifest.
pub const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// A digest and the length of what it stands for.
pub type Sized = (Digest, u64);

/// An image. The salt makes it differ from all others.
pub fn image(is_docker: bool, config: Sized, layers: &[Sized], salt: u64) -> Value {
    let (media_type, config_type, layer_type) = if is_docker {
        (DOCKER, DOCKER_CONFIG, DOCKER_LAYER)
    } else {
        (OCI, CONFIG, LAYER)
    };
    let layers: Vec<_> = layers
        .iter()
        .map(|layer| descriptor(layer_type, *layer))
        .collect();
    json!({
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": descriptor(config_type, config),
        "layers": layers,
        "annotations": {"salt": salt.to_string()},
    })
}

/// A manifest that refers to another one, such as a signature.
pub fn referrer(config: Sized, layer: Sized, subject: (&str, Sized), salt: u64) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": OCI,
        "artifactType": "application/vnd.example.signature",
        "config": descriptor("application/vnd.oci.empty.v1+json", config),
        "layers": [descriptor("application/octet-stream", layer)],
        "subject": descriptor(subject.0, subject.1),
        "annotations": {"salt": salt.to_string()},
    })
}

/// An index of other manifests.
pub fn index(children: &[(&'static str, Sized)], salt: u64) -> Value {
    let children: Vec<_> = children
        .iter()
        .map(|(media_type, child)| descriptor(media_type, *child))
        .collect();
    json!({
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": children,
        "annotations": {"salt": salt.to_string()},
    })
}

fn descriptor(media_type: &str, (digest, size): Sized) -> Value {
    json!({"mediaType": media_type, "digest": digest.to_string(), "size": size})
}
