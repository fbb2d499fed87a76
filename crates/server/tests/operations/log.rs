//! The access log.

use std::collections::BTreeSet;
use std::time::Duration;

use lazuli_testkit::http::Response;
use lazuli_testkit::server::{PASSWORD, Server, basic};
use serde_json::Value;

use crate::support::{digest, start};

/// The lines of the access log.
fn access_lines(server: &Server) -> Vec<Value> {
    // Lines gather for a moment before they are written.
    std::thread::sleep(Duration::from_millis(200));
    let log = server.log();
    let lines = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["target"] == "access").collect()
}

#[test]
fn every_request_has_one_line_in_the_access_log_under_the_id_of_its_answer() {
    let server = start();
    let admin = server.admin();
    let content = b"some content";
    let id = |response: &Response| {
        response
            .header("x-ms-correlation-request-id")
            .expect("a request id")
            .to_owned()
    };
    let digest = digest(content);
    let blob = format!("/v2/log/app/blobs/{digest}");
    let requests: [(&str, String, &[u8], u16); 9] = [
        (
            "POST",
            format!("/v2/log/app/blobs/uploads/?digest={digest}"),
            content,
            201,
        ),
        ("GET", blob.clone(), b"", 200),
        ("HEAD", blob.clone(), b"", 200),
        ("GET", blob, b"", 200),
        ("GET", "/v2/log/app/manifests/none".to_owned(), b"", 404),
        ("PUT", "/v2/log/app/manifests/v1".to_owned(), b"{}", 400),
        (
            "POST",
            "/oauth2/token".to_owned(),
            b"grant_type=password&username=lazuli&password=hunter2",
            401,
        ),
        (
            "GET",
            "/no/such/route?password=hunter2".to_owned(),
            b"",
            404,
        ),
        ("GET", "/v2/?access_token=hunter2".to_owned(), b"", 200),
    ];
    let given = [
        ("X-Request-Id", "given-by-the-proxy"),
        ("User-Agent", "operations/1"),
    ];
    let mut sent = Vec::new();
    for (method, target, body, status) in &requests {
        // The token form carries its own credentials.
        let client = if target.starts_with("/oauth2") {
            server.anonymous()
        } else {
            admin.clone()
        };
        let response = client.send(method, target, &given, body);
        assert_eq!(response.status, *status, "{method} {target}: {response:?}");
        sent.push((
            id(&response),
            *method,
            target.split('?').next().unwrap(),
            *status,
        ));
    }
    let refused = server
        .anonymous()
        .with_authorization(basic("lazuli", "hunter2"))
        .get("/v2/");
    sent.push((id(&refused), "GET", "/v2/", 401));
    let lines = access_lines(&server);
    for (id, method, path, status) in &sent {
        let mine: Vec<_> = lines
            .iter()
            .filter(|line| line["request_id"] == **id)
            .collect();
        assert_eq!(mine.len(), 1, "{method} {path} has {} lines", mine.len());
        let line = mine[0];
        assert_eq!(
            (line["method"].as_str(), line["path"].as_str()),
            (Some(*method), Some(*path))
        );
        assert_eq!(line["status"].as_u64(), Some(u64::from(*status)), "{line}");
        assert_eq!(line["remote"], "127.0.0.1");
        assert!(
            line["duration_us"].is_u64() && line["bytes_in"].is_u64() && line["bytes_out"].is_u64()
        );
    }
    let ids: BTreeSet<_> = sent.iter().map(|(id, ..)| id).collect();
    assert_eq!(ids.len(), sent.len(), "an id is given twice");
    let first = lines
        .iter()
        .find(|line| line["request_id"] == sent[1].0)
        .unwrap();
    assert_eq!(first["client_request_id"], "given-by-the-proxy");
    assert_eq!(
        (&first["repository"], &first["bytes_out"]),
        (&"log/app".into(), &12.into())
    );
    assert_eq!(
        (&first["principal"], &first["user_agent"]),
        (&"lazuli".into(), &"operations/1".into())
    );
    let log = server.log();
    let encoded = basic("lazuli", PASSWORD);
    for secret in ["hunter2", PASSWORD, encoded.split(' ').nth(1).unwrap()] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}
