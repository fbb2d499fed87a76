//! Requests, and what is in a bucket.

use lazuli_testkit::http::Response;
use lazuli_testkit::object_stores::rgw::Rgw;
use lazuli_testkit::server::Server;
use lazuli_wire::oci::{Algorithm, Digest};

pub(crate) const OCTETS: (&str, &str) = ("Content-Type", "application/octet-stream");

/// Larger than a part.
pub(crate) const LARGE: usize = 12 << 20;

/// Bytes that differ from one place to the next and from one seed to another.
pub(crate) fn bytes(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 24) as u8
        })
        .collect()
}

pub(crate) fn digest(content: &[u8]) -> String {
    Digest::of(Algorithm::Sha256, content).to_string()
}

/// A blob in one request.
pub(crate) fn try_push(server: &Server, name: &str, content: &[u8]) -> Response {
    let target = format!("/v2/{name}/blobs/uploads/?digest={}", digest(content));
    server.admin().send("POST", &target, &[OCTETS], content)
}

pub(crate) fn push(server: &Server, name: &str, content: &[u8]) -> String {
    let response = try_push(server, name, content);
    assert_eq!(response.status, 201, "{response:?}");
    format!("/v2/{name}/blobs/{}", digest(content))
}

/// The target of a `Location`, without scheme and host.
pub(crate) fn location(response: &Response) -> String {
    let value = response.header("location").expect("a Location");
    match value.split_once("://") {
        Some((_, rest)) => rest[rest.find('/').unwrap()..].to_owned(),
        None => value.to_owned(),
    }
}

pub(crate) fn start(server: &Server, name: &str) -> String {
    let target = format!("/v2/{name}/blobs/uploads/");
    let response = server.admin().send("POST", &target, &[], &[]);
    assert_eq!(response.status, 202, "{response:?}");
    location(&response)
}

pub(crate) fn finish(server: &Server, target: &str, content: &[u8], last: &[u8]) -> Response {
    let separator = if target.contains('?') { '&' } else { '?' };
    let target = format!("{target}{separator}digest={}", digest(content));
    server.admin().send("PUT", &target, &[OCTETS], last)
}

/// Asks the object store, as a redirect says, without credentials.
pub(crate) fn follow(response: &Response, headers: &[(&str, &str)]) -> Response {
    lazuli_testkit::http::follow(response, "GET", headers).unwrap()
}

/// Names of all objects in a bucket of Ceph's, but for the journal.
pub(crate) fn objects(rgw: &Rgw, bucket: &str) -> Vec<String> {
    let listed = rgw.send("GET", &format!("/{bucket}?list-type=2"), &[], &[]);
    assert_eq!(listed.status, 200, "{listed:?}");
    let mut names = between(&String::from_utf8_lossy(&listed.body), "<Key>", "</Key>");
    names.retain(|name| !name.starts_with("registry/journal/"));
    names
}

/// Identifiers of all multipart uploads in a bucket of Ceph's.
pub(crate) fn multiparts(rgw: &Rgw, bucket: &str) -> Vec<String> {
    let listed = rgw.send("GET", &format!("/{bucket}?uploads="), &[], &[]);
    assert_eq!(listed.status, 200, "{listed:?}");
    let text = String::from_utf8_lossy(&listed.body).into_owned();
    between(&text, "<UploadId>", "</UploadId>")
}

fn between(text: &str, start: &str, end: &str) -> Vec<String> {
    text.split(start)
        .skip(1)
        .filter_map(|rest| rest.split_once(end))
        .map(|(found, _)| found.to_owned())
        .collect()
}
