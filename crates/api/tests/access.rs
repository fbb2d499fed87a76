//! Who may do what, and how those who may not are told.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::*;
use lazuli_api::{ApiOptions, Limits, Network, Rate, ResolverOptions};
use lazuli_testkit::http::Connection;

#[test]
fn a_caller_without_credentials_is_challenged_for_what_it_wants_to_do() {
    let server = Server::start(ApiOptions::default());
    let host = server.address;
    let head = format!("Bearer realm=\"http://{host}/oauth2/token\",service=\"{host}\"");
    let digest = sha256(b"x");
    for (method, target, scope) in [
        ("GET", "/v2/".to_owned(), None),
        ("GET", "/v2/_catalog".to_owned(), Some("registry:catalog:*")),
        (
            "GET",
            "/v2/a/b/tags/list".to_owned(),
            Some("repository:a/b:metadata_read"),
        ),
        (
            "GET",
            "/v2/a/manifests/v1".to_owned(),
            Some("repository:a:pull"),
        ),
        (
            "HEAD",
            format!("/v2/a/blobs/{digest}"),
            Some("repository:a:pull"),
        ),
        (
            "GET",
            format!("/v2/a/referrers/{digest}"),
            Some("repository:a:pull"),
        ),
        (
            "PUT",
            "/v2/a/manifests/v1".to_owned(),
            Some("repository:a:pull,push"),
        ),
        (
            "POST",
            "/v2/a/blobs/uploads/".to_owned(),
            Some("repository:a:pull,push"),
        ),
        (
            "DELETE",
            "/v2/a/manifests/v1".to_owned(),
            Some("repository:a:delete"),
        ),
        (
            "DELETE",
            format!("/v2/a/blobs/{digest}"),
            Some("repository:a:delete"),
        ),
    ] {
        let response = server.anonymous().send(method, &target, &[], &[]);
        let expected = match scope {
            Some(scope) => format!("{head},scope=\"{scope}\""),
            None => head.clone(),
        };
        assert_eq!(response.status, 401, "{method} {target}");
        assert_eq!(
            response.header("www-authenticate"),
            Some(&*expected),
            "{method} {target}"
        );
    }
}

#[test]
fn bad_credentials_never_make_an_anonymous_caller() {
    let server = Server::start(ApiOptions::default());
    server.push_image("a", "v1", "");
    server.allow_anonymous_pull();
    let target = "/v2/a/manifests/v1";
    assert_eq!(server.anonymous().get(target).status, 200);
    for bad in [
        "Basic bGF6dWxpOndyb25n",
        "Basic !",
        "Digest x",
        "Bearer",
        "nonsense",
    ] {
        let response = server.anonymous().with_authorization(bad).get(target);
        assert!(
            challenge(&response).contains("scope=\"repository:a:pull\""),
            "{bad}"
        );
        assert!(!challenge(&response).contains("error="), "{bad}");
    }
    let forged = server
        .anonymous()
        .with_authorization("Bearer a.b.c")
        .get(target);
    assert!(challenge(&forged).ends_with(",scope=\"repository:a:pull\",error=\"invalid_token\""));
}

#[test]
fn an_anonymous_caller_may_pull_where_that_is_allowed_and_nothing_else() {
    let server = Server::start(ApiOptions::default());
    let (body, _) = server.push_image("a", "v1", "");
    let client = server.anonymous();
    assert_eq!(client.get("/v2/a/manifests/v1").status, 401);
    server.allow_anonymous_pull();
    assert_eq!(client.get("/v2/a/manifests/v1").body, body.as_bytes());
    assert_eq!(client.get("/v2/a/tags/list").status, 200);
    assert_eq!(client.get("/v2/_catalog").status, 200);
    // Docker looks here for where to log in.
    assert!(!challenge(&client.get("/v2/")).contains("scope"));
    challenge(&client.send("POST", "/v2/a/blobs/uploads/", &[], &[]));
    challenge(&client.delete("/v2/a/manifests/v1"));
}

#[test]
fn a_token_gives_what_its_scope_says_and_a_weaker_one_is_challenged_for_more() {
    let server = Server::start(ApiOptions::default());
    server.push_image("a", "v1", "");
    server.push_image("b", "v1", "");
    let reader = server.with_token("repository:a:pull");
    assert_eq!(reader.get("/v2/").status, 200);
    for _ in 0..3 {
        assert_eq!(reader.get("/v2/a/manifests/v1").status, 200);
        assert_eq!(reader.get("/v2/a/tags/list").status, 200);
    }
    let refused = reader.get("/v2/b/manifests/v1");
    assert!(
        challenge(&refused).ends_with(",scope=\"repository:b:pull\",error=\"insufficient_scope\"")
    );
    let refused = reader.send("POST", "/v2/a/blobs/uploads/", &[], &[]);
    assert!(challenge(&refused).contains("scope=\"repository:a:pull,push\""));
    let detail = &refused.json()["errors"][0]["detail"];
    assert_eq!(detail[0]["Type"], "repository");
    assert_eq!(detail[1]["Action"], "push");
    let lister = server.with_token("repository:a:metadata_read");
    assert_eq!(lister.get("/v2/a/tags/list").status, 200);
    assert_eq!(lister.get("/v2/a/manifests/v1").status, 401);
    let catalog = server.with_token("registry:catalog:*");
    assert_eq!(catalog.get("/v2/_catalog").json()["repositories"][1], "b");
    assert_eq!(catalog.get("/v2/a/tags/list").status, 401);
}

#[test]
fn a_token_is_for_the_login_server_that_was_dialled() {
    let server = Server::start(ApiOptions::default());
    server.push_image("a", "v1", "");
    let reader = server.with_token("repository:a:pull");
    let elsewhere = [("Host", "other.example")];
    let mut connection = Connection::open(server.address).unwrap();
    connection
        .write(b"GET /v2/ HTTP/1.1\r\nHost: Other.Example:81\r\n\r\n")
        .unwrap();
    let response = connection.receive(false).unwrap();
    assert_eq!(
        challenge(&response),
        "Bearer realm=\"http://other.example:81/oauth2/token\",service=\"other.example:81\""
    );
    // Two Host headers, one of them the client's own: refused before anybody is asked who they are.
    assert_eq!(
        reader
            .send("GET", "/v2/a/manifests/v1", &elsewhere, &[])
            .status,
        400
    );
}

#[test]
fn behind_a_trusted_proxy_the_login_server_is_what_the_proxy_says() {
    let options = ApiOptions {
        resolver: ResolverOptions {
            trusted_proxies: vec![Network::parse("127.0.0.1").unwrap()],
            ..ResolverOptions::default()
        },
        ..ApiOptions::default()
    };
    let forwarded = [
        ("X-Forwarded-Host", "registry.example"),
        ("X-Forwarded-Proto", "https"),
    ];
    let behind = Server::start(options)
        .anonymous()
        .send("GET", "/v2/", &forwarded, &[]);
    assert_eq!(
        challenge(&behind),
        "Bearer realm=\"https://registry.example/oauth2/token\",service=\"registry.example\""
    );
    assert!(behind.header("strict-transport-security").is_some());
    let direct = Server::start(ApiOptions::default());
    let response = direct.anonymous().send("GET", "/v2/", &forwarded, &[]);
    assert!(challenge(&response).contains(&format!("realm=\"http://{}/", direct.address)));
    assert!(response.header("strict-transport-security").is_none());
}

#[test]
fn a_refused_push_is_answered_without_its_body() {
    let server = Server::start(ApiOptions::default());
    let length = (100_u64 << 20).to_string();
    let target = "/v2/a/blobs/uploads/?digest=sha256:0000000000000000000000000000000000000000000000000000000000000000";
    for expect in [None, Some(("Expect", "100-continue"))] {
        let mut headers = vec![("Content-Length", length.as_str())];
        headers.extend(expect);
        let response = server.anonymous().send("POST", target, &headers, &[]);
        challenge(&response);
        assert_eq!(response.header("connection"), Some("close"));
    }
    // A client that does not wait for an answer gets it all the same.
    let body = bytes(20 << 20);
    let response = server.anonymous().send("POST", target, &[], &body);
    challenge(&response);
}

#[test]
fn callers_have_rates_of_their_own() {
    let options = ApiOptions {
        limits: Limits {
            rate: Some(Rate {
                per_second: 0.1,
                burst: 4.0,
            }),
            ..Limits::default()
        },
        ..ApiOptions::default()
    };
    let server = Server::start(options);
    for _ in 0..4 {
        assert_eq!(server.admin().get("/v2/").status, 200);
    }
    let limited = server.admin().get("/v2/");
    assert_eq!(
        (limited.status, limited.error_code().as_str()),
        (429, "TOOMANYREQUESTS")
    );
    let after: u32 = limited.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=10).contains(&after));
    assert_eq!(server.anonymous().get("/v2/").status, 401);
    assert!(
        server
            .anonymous()
            .get("/metrics")
            .body
            .windows(30)
            .any(|w| w == b"lazuli_http_rate_limited_total")
    );
}

#[test]
fn uploads_at_once_are_bounded() {
    let options = ApiOptions {
        limits: Limits {
            max_uploads: 1,
            ..Limits::default()
        },
        ..ApiOptions::default()
    };
    let server = Server::start(options);
    let target = format!("/v2/a/blobs/uploads/?digest={}", sha256(b"abc"));
    let authorization = lazuli_testkit::server::basic("lazuli", PASSWORD);
    let mut slow = Connection::open(server.address).unwrap();
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\nContent-Length: 3\r\n\r\na"
    );
    slow.write(head.as_bytes()).unwrap();
    let refused = (0..100).find_map(|_| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        let response = server.admin().send("POST", &target, &[], b"abc");
        (response.status == 429).then_some(response)
    });
    let refused = refused.expect("the second upload was let in beside the first");
    assert_eq!(refused.error_code(), "TOOMANYREQUESTS");
    assert!(refused.header("retry-after").is_some());
    // The request is counted when its answer is out.
    let is_counted = (0..100).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        let metrics = server.anonymous().get("/metrics").body;
        String::from_utf8_lossy(&metrics).contains("\nlazuli_http_rate_limited_total 1\n")
    });
    assert!(is_counted);
    slow.write(b"bc").unwrap();
    assert_eq!(slow.receive(false).unwrap().status, 201);
    assert_eq!(
        server.admin().send("POST", &target, &[], b"abc").status,
        201
    );
}

#[test]
fn a_delete_with_a_precondition_deletes_nothing() {
    let server = Server::start(ApiOptions::default());
    let (_, digest) = server.push_image("a", "v1", "first");
    let config = sha256(b"{}");
    let targets = [
        format!("/v2/a/blobs/{config}"),
        format!("/v2/a/manifests/{digest}"),
        "/v2/a/manifests/v1".to_owned(),
    ];
    for target in &targets {
        let refused = server
            .admin()
            .send("DELETE", target, &[("If-Match", "\"x\"")], &[]);
        assert_eq!(refused.status, 400, "{target}: {refused:?}");
        assert_eq!(server.admin().head(target).status, 200, "{target}");
    }
}

#[test]
fn slow_forms_keep_neither_manifests_nor_tokens_out() {
    let server = Server::start(ApiOptions {
        limits: Limits {
            buffered_bodies: 256 << 10,
            ..Limits::default()
        },
        ..ApiOptions::default()
    });
    let head = format!(
        "POST /oauth2/token HTTP/1.1\r\nHost: {}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: 65536\r\n\r\ng",
        server.address
    );
    let slow: Vec<_> = (0..8)
        .map(|_| {
            let mut stream = std::net::TcpStream::connect(server.address).unwrap();
            std::io::Write::write_all(&mut stream, head.as_bytes()).unwrap();
            stream
        })
        .collect();
    // They hold the room for forms once a further form has to wait and is refused.
    let is_refused = || {
        let form = b"grant_type=password";
        server
            .admin()
            .send("POST", "/oauth2/token", &[], form)
            .status
            == 503
    };
    assert!((0..1000).any(|_| is_refused()));
    server.push_image("a", "v1", "first");
    let token = server.admin().send("GET", "/oauth2/token", &[], &[]);
    assert_ne!(token.status, 503, "{token:?}");
    drop(slow);
}
