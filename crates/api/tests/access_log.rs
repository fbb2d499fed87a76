//! The access log: one line for every request, complete or not, without secrets. Alone in its process, because the
//! reader of the log is the process's.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::*;
use lazuli_api::ApiOptions;
use lazuli_testkit::http::Connection;
use serde_json::Value;
use tracing_subscriber::fmt::MakeWriter;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// The fields of the one line for a path, once it is there.
    fn of(&self, path: &str) -> Value {
        for _ in 0..100 {
            let found: Vec<Value> = self
                .text()
                .lines()
                .map(|line| serde_json::from_str::<Value>(line).unwrap())
                .filter(|line| line["target"] == "access" && line["fields"]["path"] == path)
                .collect();
            if let [line] = found.as_slice() {
                return line["fields"].clone();
            }
            assert!(found.len() < 2, "{path} is logged twice");
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{path} is not logged");
    }
}

#[test]
fn every_request_is_one_line() {
    let lines = Lines::default();
    tracing_subscriber::fmt()
        .json()
        .with_writer(lines.clone())
        .with_max_level(tracing::Level::INFO)
        .init();
    let server = Server::start(ApiOptions::default());
    let content = bytes(3_000_000);
    let digest = server.push_blob("a", &content);
    let upload = lines.of("/v2/a/blobs/uploads/");
    assert_eq!(upload["status"], 201);
    assert_eq!(upload["bytes_in"], 3_000_000);
    assert_eq!(upload["method"], "POST");
    assert_eq!(upload["principal"], "lazuli");
    assert_eq!(upload["repository"], "a");
    assert_eq!(upload["registry"], 1);
    assert_eq!(upload["remote"], "127.0.0.1");
    assert_eq!(upload["aborted"], false);

    let headers = [("User-Agent", "test/1"), ("X-Request-Id", "outer-7")];
    let target = format!("/v2/a/blobs/{digest}");
    let response = server.admin().send("GET", &target, &headers, &[]);
    let download = lines.of(&target);
    assert_eq!(download["bytes_out"], 3_000_000);
    assert_eq!(download["user_agent"], "test/1");
    assert_eq!(download["client_request_id"], "outer-7");
    assert_eq!(
        download["request_id"].as_str(),
        response.header("x-ms-correlation-request-id")
    );

    // A client that goes away in the middle of a body, either way.
    let authorization = lazuli_testkit::server::basic("lazuli", PASSWORD);
    let mut sending = Connection::open(server.address).unwrap();
    let head = format!(
        "POST /v2/broken/blobs/uploads/?digest={digest}&secret=hidden HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\nContent-Length: 100\r\n\r\nfew"
    );
    sending.write(head.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    drop(sending);
    let broken = lines.of("/v2/broken/blobs/uploads/");
    assert_eq!(broken["bytes_in"], 3);

    let large = bytes(30_000_000);
    let digest = server.push_blob("b", &large);
    let target = format!("/v2/b/blobs/{digest}");
    let mut receiving = Connection::open(server.address).unwrap();
    let head =
        format!("GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\n\r\n");
    receiving.write(head.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    drop(receiving);
    let aborted = lines.of(&target);
    assert_eq!(aborted["aborted"], true);
    assert!(aborted["bytes_out"].as_u64().unwrap() < 30_000_000);

    let text = lines.text();
    assert!(!text.contains("hidden") && !text.contains(PASSWORD));
    assert!(!text.contains(authorization.trim_start_matches("Basic ")));
}
