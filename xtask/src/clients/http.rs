//! A few lines of HTTP/1.1, to ask the server what it has without going through the client under test.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::context::USER;
use super::repeats::insist;
use super::server::Access;

const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// An answer.
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    headers: Vec<(String, String)>,
}

impl Response {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// Asks without a name or password.
pub(super) fn anonymous(host: &str, method: &str, path: &str) -> Result<Response> {
    send(host, method, path, "")
}

/// Fails unless the server takes the name and the password.
pub(super) fn signed_in(access: &Access) -> Result<()> {
    ask(access, "GET", "/v2/").map(drop)
}

/// The digest header of `NAME:TAG` or `NAME@DIGEST`.
pub(super) fn digest(access: &Access, name: &str) -> Result<String> {
    let response = ask(access, "HEAD", &manifest_path(name))?;
    Ok(response
        .header("Docker-Content-Digest")
        .context("no Docker-Content-Digest")?
        .to_owned())
}

/// The manifest of `NAME:TAG` or `NAME@DIGEST`.
pub(super) fn manifest(access: &Access, name: &str) -> Result<Value> {
    let response = ask(access, "GET", &manifest_path(name))?;
    serde_json::from_slice(&response.body).context("the manifest is not JSON")
}

fn manifest_path(name: &str) -> String {
    let (repository, reference) = name
        .split_once('@')
        .or_else(|| name.rsplit_once(':'))
        .unwrap_or((name, "latest"));
    format!("/v2/{repository}/manifests/{reference}")
}

fn ask(access: &Access, method: &str, path: &str) -> Result<Response> {
    let credentials = base64(format!("{USER}:{}", access.password).as_bytes());
    let headers = format!("Authorization: Basic {credentials}\r\nAccept: {ACCEPT}\r\n");
    let what = format!("{method} {path}");
    insist(access.repeats.as_deref(), &what, || {
        let response = send(&access.host, method, path, &headers)?;
        ensure!(
            response.status == 200,
            "{what}: {} {}",
            response.status,
            String::from_utf8_lossy(&response.body)
        );
        Ok(response)
    })
}

fn send(host: &str, method: &str, path: &str, headers: &str) -> Result<Response> {
    let mut stream = TcpStream::connect(host)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n"
    )?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    parse(&bytes)
}

fn parse(bytes: &[u8]) -> Result<Response> {
    let end = bytes
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .context("no end of headers")?;
    let head = std::str::from_utf8(&bytes[..end])?;
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .context("no status")?
        .parse()?;
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    let response = Response {
        status,
        headers,
        body: bytes[end + 4..].to_vec(),
    };
    if response.header("Transfer-Encoding").is_some() {
        bail!("an answer of unknown length");
    }
    Ok(response)
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk
            .iter()
            .fold(0u32, |bits, &byte| bits << 8 | u32::from(byte))
            << (8 * (3 - chunk.len()));
        for position in 0..4 {
            let letter = ALPHABET[(bits >> (18 - 6 * position) & 63) as usize];
            text.push(if position <= chunk.len() {
                letter as char
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_pads() {
        for (plain, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ] {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
    }

    #[test]
    fn tags_and_digests_have_paths() {
        assert_eq!(manifest_path("a/b:1"), "/v2/a/b/manifests/1");
        assert_eq!(
            manifest_path("a/b@sha256:12"),
            "/v2/a/b/manifests/sha256:12"
        );
    }
}
