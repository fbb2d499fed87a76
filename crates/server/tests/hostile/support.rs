//! A server whose every answer is watched, and the requests it is attacked with.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::ops::Deref;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use lazuli_testkit::http::{Client, Response};
use lazuli_testkit::server::Server;
use lazuli_wire::oci::{Algorithm, Digest};
use serde_json::Value;

pub(crate) const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

/// A server under attack. When it is dropped after a test that passed, its log has to be free of faults.
pub(crate) struct Target(Server);

impl Deref for Target {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

impl Target {
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    pub(crate) fn with(environment: &[(&str, &str)]) -> Self {
        let mut all = vec![("LAZULI_LOG_FORMAT", "json")];
        all.extend_from_slice(environment);
        Self(Server::start(env!("CARGO_BIN_EXE_lazuli"), &all))
    }

    /// Ends the process as an operator would, and starts it again.
    pub(crate) fn restart(&mut self) {
        assert!(self.0.stop());
        self.0.restart();
    }

    /// Every line of the log so far that is whole.
    pub(crate) fn lines(&self) -> Vec<Value> {
        // Lines gather for a moment before they are written.
        std::thread::sleep(Duration::from_millis(100));
        let log = self.log();
        let parse =
            |line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no log line: {line}"));
        log.lines().map(parse).collect()
    }

    /// The paths of requests that were answered with a status, as the access log has them.
    pub(crate) fn paths_answered(&self) -> Vec<(String, u64)> {
        let lines = self.lines();
        let of = |line: &Value| Some((line["path"].as_str()?.to_owned(), line["status"].as_u64()?));
        lines.iter().filter_map(of).collect()
    }

    /// No answer was a server's error, nothing panicked, and nothing was logged as an error.
    fn assert_no_faults(&self) {
        for line in self.lines() {
            assert_ne!(line["level"], "ERROR", "{line}");
            if let Some(status) = line["status"].as_u64() {
                assert!(is_no_fault(status as u16), "{line}");
            }
        }
    }

    /// The most memory the process ever had, in KiB.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.pid().unwrap())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Sends bytes as they are, then reads until the server closes or is silent.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Raw {
        let mut stream = self.connect();
        // The server may refuse before it has read everything.
        let _ = stream.write_all(bytes);
        let raw = Raw::read(&mut stream, Duration::from_millis(700));
        for status in raw.statuses() {
            assert!(
                is_no_fault(status),
                "{status} for {:.300}",
                String::from_utf8_lossy(bytes)
            );
        }
        raw
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.http()).unwrap();
        stream
            .set_write_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// The folder around the data folder.
    pub(crate) fn outside(&self) -> PathBuf {
        self.data().parent().unwrap().to_owned()
    }

    /// The `host:port` that clients dial, which is the login server.
    pub(crate) fn host(&self) -> String {
        self.http().to_string()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.assert_no_faults();
        }
    }
}

/// Server errors are no answer to bad input; only overload (503) and a full disk (507) may be told that way.
pub(crate) fn is_no_fault(status: u16) -> bool {
    status < 500 || matches!(status, 503 | 507)
}

/// What came back over one connection.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) text: String,
    pub(crate) is_closed: bool,
}

impl Raw {
    /// Reads until the other side closes, or sends nothing for `patience`.
    pub(crate) fn read(stream: &mut TcpStream, patience: Duration) -> Self {
        stream.set_read_timeout(Some(patience)).unwrap();
        let (mut all, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
        let is_closed = loop {
            match stream.read(&mut buffer) {
                Ok(0) => break true,
                Ok(count) => all.extend_from_slice(&buffer[..count]),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    break false;
                }
                Err(_) => break true,
            }
        };
        Self {
            text: String::from_utf8_lossy(&all).into_owned(),
            is_closed,
        }
    }

    /// The statuses of all answers, in their order. Bodies of this server never begin a line like an answer does.
    pub(crate) fn statuses(&self) -> Vec<u16> {
        let answers = self.text.split("HTTP/1.").skip(1);
        answers
            .map(|answer| answer[2..5].parse().unwrap())
            .collect()
    }
}

/// Sends a request; whatever it is, the answer is no fault of the server, and a refusal says why in the usual form.
#[track_caller]
pub(crate) fn send(
    client: &Client,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Response {
    let response = client.send(method, target, headers, body);
    let shown = &target[..target.len().min(300)];
    assert!(
        is_no_fault(response.status),
        "{method} {shown}: {response:?}"
    );
    // A head that is too large is refused before it is understood, with nothing but a status.
    let is_bare = matches!(response.status, 414 | 431) && response.body.is_empty();
    if response.status >= 400 && method != "HEAD" && !is_bare {
        let errors = response.json()["errors"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        assert!(!errors.is_empty(), "{method} {shown}: {response:?}");
        for error in errors {
            assert!(
                error["code"].as_str().is_some_and(|code| !code.is_empty()),
                "{error}"
            );
            assert!(
                error["message"]
                    .as_str()
                    .is_some_and(|text| !text.is_empty()),
                "{error}"
            );
        }
    }
    response
}

/// Sends a head, then chunks for as long as the server takes them; the status it ends with, and the bytes it took.
pub(crate) fn send_without_end(
    target: &Target,
    method: &str,
    path: &str,
    headers: &str,
) -> (u16, usize) {
    let mut stream = target.connect();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\n{headers}\r\n",
        target.host()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut reader = stream.try_clone().unwrap();
    let answer = std::thread::spawn(move || Raw::read(&mut reader, Duration::from_secs(20)));
    let chunk = [b"10000\r\n".as_slice(), &vec![b'x'; 0x10000], b"\r\n"].concat();
    let (mut sent, started) = (0, Instant::now());
    while stream.write_all(&chunk).is_ok() {
        sent += 0x10000;
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "{method} {path} is never cut"
        );
    }
    let _ = stream.shutdown(Shutdown::Both);
    let answer = answer.join().unwrap();
    let status = *answer
        .statuses()
        .first()
        .unwrap_or_else(|| panic!("no answer to {method} {path}"));
    assert!(is_no_fault(status), "{status}");
    (status, sent)
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Digest::of(Algorithm::Sha256, bytes).to_string()
}

pub(crate) fn sha512(bytes: &[u8]) -> String {
    Digest::of(Algorithm::Sha512, bytes).to_string()
}

/// Bytes that depend on the seed and repeat nowhere.
pub(crate) fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..len).map(|_| step()).collect()
}

/// The target of a `Location`.
pub(crate) fn location(response: &Response) -> String {
    response.header("location").expect("a Location").to_owned()
}

pub(crate) fn with_query(target: &str, query: &str) -> String {
    let separator = if target.contains('?') { '&' } else { '?' };
    format!("{target}{separator}{query}")
}

pub(crate) fn start_upload(client: &Client, repository: &str) -> String {
    let response = send(
        client,
        "POST",
        &format!("/v2/{repository}/blobs/uploads/"),
        &[],
        &[],
    );
    assert_eq!(response.status, 202, "{response:?}");
    location(&response)
}

/// Pushes a blob; its digest.
pub(crate) fn push_blob(client: &Client, repository: &str, content: &[u8]) -> String {
    let digest = sha256(content);
    let target = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
    let response = send(client, "POST", &target, &[], content);
    assert_eq!(response.status, 201, "{response:?}");
    digest
}

pub(crate) fn put_manifest(
    client: &Client,
    repository: &str,
    reference: &str,
    media_type: &str,
    body: &str,
) -> Response {
    let target = format!("/v2/{repository}/manifests/{reference}");
    send(
        client,
        "PUT",
        &target,
        &[("Content-Type", media_type)],
        body.as_bytes(),
    )
}

pub(crate) fn descriptor(media_type: &str, digest: &str, size: usize) -> String {
    format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}}}"#)
}

/// An image manifest of these blobs; `extra` begins with a comma.
pub(crate) fn image(config: &[u8], layer: &[u8], extra: &str) -> String {
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI}","config":{},"layers":[{}]{extra}}}"#,
        descriptor(
            "application/vnd.oci.image.config.v1+json",
            &sha256(config),
            config.len()
        ),
        descriptor(
            "application/vnd.oci.image.layer.v1.tar+gzip",
            &sha256(layer),
            layer.len()
        ),
    )
}

/// An image as it was pushed.
pub(crate) struct Image {
    pub(crate) layer: Vec<u8>,
    pub(crate) manifest: String,
}

impl Image {
    /// Pushes an image with content of its own under the tag `v1`.
    pub(crate) fn push(client: &Client, repository: &str, seed: u64) -> Self {
        let (config, layer) = (bytes(seed, 60), bytes(seed + 1, 9000));
        push_blob(client, repository, &config);
        push_blob(client, repository, &layer);
        let manifest = image(&config, &layer, "");
        let response = put_manifest(client, repository, "v1", OCI, &manifest);
        assert_eq!(response.status, 201, "{response:?}");
        Self { layer, manifest }
    }

    pub(crate) fn digest(&self) -> String {
        sha256(self.manifest.as_bytes())
    }

    pub(crate) fn layer_digest(&self) -> String {
        sha256(&self.layer)
    }
}

/// An access token for these scopes, got with the admin's password.
pub(crate) fn access_token(target: &Target, scopes: &str) -> String {
    let path = format!(
        "/oauth2/token?service={}&scope={}",
        target.host(),
        scopes.replace(' ', "+")
    );
    let response = send(&target.admin(), "GET", &path, &[], &[]);
    assert_eq!(response.status, 200, "{response:?}");
    response.json()["access_token"].as_str().unwrap().to_owned()
}

/// A client with an access token for these scopes.
pub(crate) fn bearer(target: &Target, scopes: &str) -> Client {
    target
        .anonymous()
        .with_authorization(format!("Bearer {}", access_token(target, scopes)))
}
