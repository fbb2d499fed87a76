//! Images of one layer in the repository `a/b`, whose bytes and tag follow from a seed.

use lazuli_wire::oci::{Algorithm, Digest};

use crate::http::{Client, Response};

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";

fn config(seed: u8) -> [u8; 10] {
    [seed; 10]
}

fn layer(seed: u8, size: usize) -> Vec<u8> {
    vec![seed; size]
}

/// Pushes the image with a layer of `size` bytes, as the tag `v{seed}`.
pub fn push(client: &Client, seed: u8, size: usize) {
    let answer = try_push(client, seed, size);
    assert_eq!(answer.status, 201, "{answer:?}");
}

/// The first answer that is no success, or that to the manifest.
fn try_push(client: &Client, seed: u8, size: usize) -> Response {
    for bytes in [&layer(seed, size)[..], &config(seed)] {
        let answer = try_blob(client, bytes);
        if answer.status != 201 {
            return answer;
        }
    }
    try_manifest(client, seed, size)
}

/// Pushes a blob in one request.
pub fn try_blob(client: &Client, bytes: &[u8]) -> Response {
    let digest = Digest::of(Algorithm::Sha256, bytes);
    let target = format!("/v2/a/b/blobs/uploads/?digest={digest}");
    client.send("POST", &target, &[], bytes)
}

/// Pushes the manifest only.
pub fn try_manifest(client: &Client, seed: u8, size: usize) -> Response {
    let digest = |bytes: &[u8]| Digest::of(Algorithm::Sha256, bytes);
    let (config, layer) = (digest(&config(seed)), digest(&layer(seed, size)));
    let body = format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":10}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{layer}","size":{size}}}]}}"#
    );
    let target = format!("/v2/a/b/manifests/v{seed}");
    client.send("PUT", &target, &[("Content-Type", OCI)], body.as_bytes())
}

/// The status of the manifest, or that of its layer, whose bytes are compared.
pub fn pull(client: &Client, seed: u8, size: usize) -> u16 {
    let manifest = client.get(&format!("/v2/a/b/manifests/v{seed}"));
    if manifest.status != 200 {
        return manifest.status;
    }
    let manifest = manifest.json();
    let digest = manifest["layers"][0]["digest"].as_str().unwrap_or_default();
    let blob = client.get(&format!("/v2/a/b/blobs/{digest}"));
    assert!(blob.status != 200 || blob.body == layer(seed, size));
    blob.status
}
