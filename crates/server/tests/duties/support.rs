//! The requests that duties are made of.

use std::sync::atomic::{AtomicU32, Ordering};

use lazuli_testkit::http::Response;
use lazuli_wire::oci::{Algorithm, Digest};

pub(crate) const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub(crate) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub(crate) const EMPTY: &str = "application/vnd.oci.empty.v1+json";
pub(crate) const OCTETS: (&str, &str) = ("Content-Type", "application/octet-stream");

pub(crate) use crate::store::{Client, server};

pub(crate) fn admin() -> Client {
    server().admin()
}

/// A repository nobody else uses.
pub(crate) fn repository() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("duty/r{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Digest::of(Algorithm::Sha256, bytes).to_string()
}

pub(crate) fn sha512(bytes: &[u8]) -> String {
    Digest::of(Algorithm::Sha512, bytes).to_string()
}

/// Bytes that no other test has.
pub(crate) fn bytes(len: usize) -> Vec<u8> {
    static SEED: AtomicU32 = AtomicU32::new(1);
    let mut state =
        u64::from(SEED.fetch_add(1, Ordering::Relaxed)).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect()
}

/// The target of a `Location`, without scheme and host.
pub(crate) fn location(response: &Response) -> String {
    let value = response.header("location").expect("a Location");
    match value.split_once("://") {
        Some((_, rest)) => rest[rest.find('/').unwrap()..].to_owned(),
        None => value.to_owned(),
    }
}

pub(crate) fn with_query(target: &str, query: &str) -> String {
    let separator = if target.contains('?') { '&' } else { '?' };
    format!("{target}{separator}{query}")
}

/// Starts an upload session; its target.
pub(crate) fn start(repository: &str) -> String {
    let response = admin().send(
        "POST",
        &format!("/v2/{repository}/blobs/uploads/"),
        &[],
        &[],
    );
    assert_eq!(response.status, 202, "{response:?}");
    location(&response)
}

pub(crate) fn patch(target: &str, start: usize, chunk: &[u8]) -> Response {
    let range = format!("{start}-{}", start + chunk.len() - 1);
    admin().send("PATCH", target, &[OCTETS, ("Content-Range", &range)], chunk)
}

pub(crate) fn put_blob(repository: &str, content: &[u8], digest: &str) -> Response {
    let target = with_query(&start(repository), &format!("digest={digest}"));
    admin().send("PUT", &target, &[OCTETS], content)
}

/// Pushes a blob; its sha256 digest.
pub(crate) fn push_blob(repository: &str, content: &[u8]) -> String {
    let digest = sha256(content);
    let response = put_blob(repository, content, &digest);
    assert_eq!(response.status, 201, "{response:?}");
    digest
}

pub(crate) fn put_manifest(
    repository: &str,
    reference: &str,
    media_type: &str,
    body: &str,
) -> Response {
    admin().send(
        "PUT",
        &format!("/v2/{repository}/manifests/{reference}"),
        &[("Content-Type", media_type)],
        body.as_bytes(),
    )
}

pub(crate) fn descriptor(media_type: &str, digest: &str, size: usize) -> String {
    format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}}}"#)
}

/// An image manifest; `extra` begins with a comma.
pub(crate) fn image(media_type: &str, config: &str, layers: &[String], extra: &str) -> String {
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{media_type}","config":{config},"layers":[{}]{extra}}}"#,
        layers.join(",")
    )
}

pub(crate) fn index(children: &[String], extra: &str) -> String {
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{}]{extra}}}"#,
        children.join(",")
    )
}

/// Blobs of an image, pushed; its manifest.
pub(crate) fn prepare_image(repository: &str) -> String {
    let (config, layer) = (bytes(60), bytes(5000));
    let config = descriptor(CONFIG, &push_blob(repository, &config), config.len());
    let layer = descriptor(LAYER, &push_blob(repository, &layer), layer.len());
    image(OCI, &config, &[layer], "")
}

/// Pushes an image; its manifest and digest.
pub(crate) fn push_image(repository: &str, tag: &str) -> (String, String) {
    let body = prepare_image(repository);
    let response = put_manifest(repository, tag, OCI, &body);
    assert_eq!(response.status, 201, "{response:?}");
    let digest = sha256(body.as_bytes());
    (body, digest)
}

/// Pushes a manifest that refers to a subject; its digest.
pub(crate) fn push_referrer(
    repository: &str,
    subject: &str,
    artifact_type: &str,
    extra: &str,
) -> String {
    let config = descriptor(EMPTY, &push_blob(repository, b"{}"), 2);
    let subject = descriptor(OCI, subject, 100);
    let body = image(
        OCI,
        &config,
        &[],
        &format!(r#","artifactType":"{artifact_type}","subject":{subject}{extra}"#),
    );
    let response = put_manifest(repository, &sha256(body.as_bytes()), OCI, &body);
    assert_eq!(response.status, 201, "{response:?}");
    sha256(body.as_bytes())
}

/// The error of a refused request: its code, after checking status and shape.
#[track_caller]
pub(crate) fn refused(response: &Response, status: u16, code: &str) {
    assert_eq!(
        response.status,
        status,
        "{response:?} {}",
        String::from_utf8_lossy(&response.body)
    );
    let errors = response.json()["errors"]
        .as_array()
        .expect("errors")
        .clone();
    assert!(!errors.is_empty());
    for error in &errors {
        assert!(
            error["message"].as_str().is_some_and(|m| !m.is_empty()),
            "{error}"
        );
    }
    assert_eq!(errors[0]["code"], code, "{errors:?}");
}
