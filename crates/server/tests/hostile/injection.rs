//! What a client sends and may not write: headers, markup, the address of the login server.

use lazuli_testkit::server::basic;
use serde_json::Value;

use crate::principals::refresh_token;
use crate::support::{Target, access_token, send};
use crate::token_forms::{TEXT, assert_refused, post};

#[test]
fn nothing_sent_comes_back_as_a_header_or_as_markup() {
    let target = Target::start();
    let encoded: String = TEXT.bytes().map(|byte| format!("%{byte:02x}")).collect();
    for value in [
        "a%0d%0aX-Injected:%20yes",
        "a%0aX-Injected:%20yes",
        "%22,realm=%22http://evil.example",
        "repository:a:pull%0d%0aX-Injected:%20yes",
        "repository:a%22:pull",
        &encoded,
    ] {
        for field in [
            "scope",
            "service",
            "account",
            "client_id",
            "username",
            "grant_type",
            "error_description",
        ] {
            for client in [target.anonymous(), target.admin()] {
                let response = send(
                    &client,
                    "GET",
                    &format!("/oauth2/token?{field}={value}"),
                    &[],
                    &[],
                );
                assert_eq!(response.header("x-injected"), None);
                if response.status != 200 {
                    assert_refused(&response, &[400, 401], &format!("{field}={value}"));
                }
            }
            let form = format!("{field}={value}&grant_type=password&username=x&password=hunter2");
            assert_refused(&post(&target, "/oauth2/token", &form), &[400, 401], &form);
        }
        for path in [
            format!("/v2/{value}/manifests/v1"),
            format!("/v2/a/manifests/{value}"),
            format!("/v2/a/blobs/uploads/?mount={value}&from={value}"),
            format!("/v2/a/tags/list?n=1&last={value}"),
            format!("/v2/_catalog?n={value}"),
        ] {
            for method in ["GET", "POST"] {
                for client in [target.anonymous(), target.admin()] {
                    let response = send(&client, method, &path, &[], &[]);
                    let headers = format!("{:?}", response.headers);
                    assert_eq!(response.header("x-injected"), None);
                    assert!(
                        !headers.contains("evil.example") && !headers.contains('<'),
                        "{headers}"
                    );
                    assert!(
                        !String::from_utf8_lossy(&response.body).contains("<script>"),
                        "{path}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_host_header_cannot_write_into_the_challenge() {
    let target = Target::start();
    for host in [
        "evil\",service=\"x",
        "evil.example\"",
        "evil.example/path",
        "evil.example?query",
        "evil.example#x",
        "user@evil.example",
        "evil.example:99999",
        "evil.example:5000:5000",
        "evil example",
        "evil.example, other.example",
        "<script>",
        "\\",
        "%0d%0aX-Injected: yes",
        "a\tb",
        "",
        ":",
        "[::1",
        "[evil]",
        "-\u{e9}-",
        &"a".repeat(300),
        &"a.".repeat(2000),
    ] {
        for path in ["/v2/", "/v2/a/manifests/v1", "/oauth2/token"] {
            let request =
                format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            let raw = target.raw(request.as_bytes());
            assert_eq!(raw.statuses(), [400], "{host:?} {path}: {raw:?}");
            let head = raw.text.split("\r\n\r\n").next().unwrap().to_lowercase();
            assert!(
                !head.contains("evil") && !head.contains("x-injected"),
                "{host:?}: {head}"
            );
        }
    }
    for (host, realm) in [
        ("evil.example", "evil.example"),
        ("Evil.Example:81", "evil.example:81"),
        ("[::1]:5000", "[::1]:5000"),
    ] {
        let raw = target.raw(
            format!("GET /v2/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes(),
        );
        let expected = format!(
            "www-authenticate: Bearer realm=\"http://{realm}/oauth2/token\",service=\"{realm}\"\r\n"
        );
        assert!(raw.text.contains(&expected), "{raw:?}");
    }
    // Nobody said that these may be believed.
    let forwarded = [
        ("X-Forwarded-Host", "evil.example"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Server", "evil.example"),
        ("Forwarded", "host=evil.example;proto=https"),
        ("X-Original-URL", "/metrics"),
        ("X-Rewrite-URL", "/metrics"),
        ("X-HTTP-Method-Override", "DELETE"),
    ];
    let response = send(&target.anonymous(), "GET", "/v2/", &forwarded, &[]);
    let expected = format!(
        "Bearer realm=\"http://{0}/oauth2/token\",service=\"{0}\"",
        target.host()
    );
    assert_eq!(
        (response.status, response.header("www-authenticate")),
        (401, Some(expected.as_str()))
    );
}

#[test]
fn a_token_of_one_login_server_opens_no_other_one() {
    let target = Target::start();
    let (refresh, access) = (
        refresh_token(&target),
        access_token(&target, "repository:a:pull"),
    );
    let ask = |method: &str, path: &str, authorization: Option<&str>, body: &str| {
        let authorization = authorization
            .map(|value| format!("Authorization: {value}\r\n"))
            .unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: other.example\r\n{authorization}\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        target.raw(request.as_bytes())
    };
    let user = lazuli_wire::token::TOKEN_USERNAME;
    for authorization in [
        format!("Bearer {access}"),
        basic(user, &refresh),
        basic(user, &access),
    ] {
        for path in ["/v2/", "/v2/a/tags/list"] {
            assert_eq!(ask("GET", path, Some(&authorization), "").statuses(), [401]);
        }
    }
    for path in ["/oauth2/token", "/oauth2/exchange"] {
        let raw = ask(
            "POST",
            path,
            None,
            &format!("grant_type=refresh_token&refresh_token={refresh}"),
        );
        assert!(matches!(raw.statuses()[..], [400 | 401]), "{raw:?}");
        let body: Value = serde_json::from_str(raw.text.split("\r\n\r\n").nth(1).unwrap()).unwrap();
        assert_eq!(body["error"], "invalid_grant");
    }
}
