//! Requests for tokens that are malformed, doubled or oversized.

use lazuli_testkit::http::Response;
use lazuli_testkit::server::PASSWORD;

use crate::principals::refresh_token;
use crate::support::{FORM, Target, access_token, send};

/// What must not come back as it was sent.
pub(crate) const TEXT: &str = "<script>alert(1)</script>\"\\'";

pub(crate) fn post(target: &Target, path: &str, form: &str) -> Response {
    send(&target.anonymous(), "POST", path, &[FORM], form.as_bytes())
}

/// A refusal has the shape both families of clients read, is kept by no cache, and repeats nothing it was sent.
#[track_caller]
pub(crate) fn assert_refused(response: &Response, statuses: &[u16], sent: &str) {
    assert!(
        statuses.contains(&response.status),
        "{response:?} for {sent:.200}"
    );
    let body = response.json();
    assert!(body["errors"][0]["code"].is_string(), "{body}");
    if response.status != 413 {
        assert!(
            body["error"].is_string() && body["error_description"].is_string(),
            "{body}"
        );
        assert_eq!(response.header("cache-control"), Some("no-store"));
    }
    assert!(
        response
            .header("content-type")
            .is_some_and(|value| value.starts_with("application/json"))
    );
    assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
    let text =
        String::from_utf8_lossy(&response.body).into_owned() + &format!("{:?}", response.headers);
    for echo in [
        "<script>",
        "alert(1)",
        "x-injected",
        "X-Injected",
        PASSWORD,
        "hunter2",
    ] {
        assert!(!text.contains(echo), "{echo} in {text}");
    }
}

#[test]
fn malformed_and_ambiguous_forms_are_refused() {
    let target = Target::start();
    let good = format!("grant_type=password&username=lazuli&password={PASSWORD}");
    assert_eq!(post(&target, "/oauth2/token", &good).status, 200);
    for form in [
        String::new(),
        "&&&&".to_owned(),
        "=".to_owned(),
        "grant_type".to_owned(),
        "grant_type=".to_owned(),
        "grant_type=password%".to_owned(),
        "grant_type=password%zz".to_owned(),
        "grant_type=%00password".to_owned(),
        "grant_type=%ff%fe".to_owned(),
        "\0".to_owned(),
        format!("{good}&grant_type=password"),
        format!("grant_type=refresh_token&{good}"),
        format!("{good}&password=hunter2"),
        format!("password=hunter2&{good}"),
        format!("{good}&username=other"),
        format!("{good}&service=a&service=b"),
        format!("{good}&x=%"),
        format!("{good}&x=%ff"),
        format!(
            "{{\"grant_type\":\"password\",\"username\":\"lazuli\",\"password\":\"{PASSWORD}\"}}"
        ),
        format!("{good}&{}", "a=b&".repeat(200)),
    ] {
        assert_refused(&post(&target, "/oauth2/token", &form), &[400, 401], &form);
        assert_refused(
            &post(&target, "/oauth2/exchange", &form),
            &[400, 401],
            &form,
        );
    }
    for kind in [
        "application/json",
        "text/plain",
        "multipart/form-data; boundary=x",
        "application/xml",
        "x",
    ] {
        let response = send(
            &target.anonymous(),
            "POST",
            "/oauth2/token",
            &[("Content-Type", kind)],
            good.as_bytes(),
        );
        assert_refused(&response, &[415], kind);
    }
}

#[test]
fn wrong_grants_and_tokens_in_the_wrong_place_are_refused() {
    let target = Target::start();
    let (refresh, access) = (
        refresh_token(&target),
        access_token(&target, "repository:a:pull"),
    );
    for grant in [
        "client_credentials",
        "authorization_code",
        "implicit",
        "PASSWORD",
        "password ",
        "refresh_token,password",
        TEXT,
    ] {
        let form = format!(
            "grant_type={grant}&username=lazuli&password={PASSWORD}&refresh_token={refresh}"
        );
        for path in ["/oauth2/token", "/oauth2/exchange"] {
            assert_refused(&post(&target, path, &form), &[400], &form);
        }
    }
    for (path, form) in [
        ("/oauth2/token", "grant_type=refresh_token".to_owned()),
        (
            "/oauth2/token",
            "grant_type=refresh_token&refresh_token=".to_owned(),
        ),
        (
            "/oauth2/token",
            format!("grant_type=refresh_token&refresh_token={access}"),
        ),
        (
            "/oauth2/token",
            format!("grant_type=refresh_token&access_token={refresh}"),
        ),
        (
            "/oauth2/token",
            format!("grant_type=refresh_token&refresh_token={refresh}&service=other.example"),
        ),
        (
            "/oauth2/token",
            format!("grant_type=refresh_token&refresh_token={refresh}x"),
        ),
        (
            "/oauth2/token",
            "grant_type=refresh_token&refresh_token=eyJhbGciOiJub25lIn0.e30.".to_owned(),
        ),
        (
            "/oauth2/token",
            format!("grant_type=access_token&access_token={refresh}"),
        ),
        (
            "/oauth2/exchange",
            format!("grant_type=password&username=lazuli&password={PASSWORD}"),
        ),
        (
            "/oauth2/exchange",
            format!("grant_type=access_token&access_token={access}"),
        ),
        (
            "/oauth2/exchange",
            format!(
                "grant_type=access_token_refresh_token&access_token={access}&refresh_token={refresh}x"
            ),
        ),
        (
            "/oauth2/token",
            format!(
                "grant_type=password&username=lazuli&password={PASSWORD}&service=other.example"
            ),
        ),
        (
            "/oauth2/token",
            "grant_type=password&username=lazuli&password=hunter2".to_owned(),
        ),
        (
            "/oauth2/token",
            format!("grant_type=password&username=lazuli%20&password={PASSWORD}"),
        ),
        (
            "/oauth2/token",
            "grant_type=password&username=lazuli&password=".to_owned(),
        ),
        (
            "/oauth2/token",
            format!("grant_type=password&username=&password={PASSWORD}"),
        ),
    ] {
        assert_refused(&post(&target, path, &form), &[400, 401], &form);
    }
}

#[test]
fn a_wrong_user_and_a_wrong_password_are_told_the_same() {
    let target = Target::start();
    let of = |user: &str, password: &str| {
        let response = post(
            &target,
            "/oauth2/token",
            &format!("grant_type=password&username={user}&password={password}"),
        );
        let names: Vec<_> = response
            .headers
            .iter()
            .map(|(name, _)| name.clone())
            .collect();
        (response.status, response.body, names)
    };
    assert_eq!(of("lazuli", "hunter2"), of("nobody", "hunter2"));
    assert_eq!(of("lazuli", "hunter2"), of("nobody", PASSWORD));
}

#[test]
fn credentials_in_a_url_are_not_looked_at_and_not_logged() {
    let target = Target::start();
    let refresh = refresh_token(&target);
    for query in [
        format!("grant_type=password&username=lazuli&password={PASSWORD}"),
        format!("grant_type=refresh_token&refresh_token={refresh}"),
        format!("account=lazuli&password={PASSWORD}"),
        format!("access_token={refresh}"),
    ] {
        let response = send(
            &target.anonymous(),
            "GET",
            &format!("/oauth2/token?{query}"),
            &[],
            &[],
        );
        assert_refused(&response, &[400, 401], &query);
        let response = send(
            &target.anonymous(),
            "GET",
            &format!("/v2/?{query}"),
            &[],
            &[],
        );
        assert_eq!(response.status, 401);
    }
    target.lines();
    let log = target.log();
    assert!(
        !log.contains(PASSWORD) && !log.contains(&refresh),
        "a secret is in the log"
    );
}

#[test]
fn scopes_by_the_thousand_and_huge_fields_are_refused_or_ignored() {
    let target = Target::start();
    let good = format!("grant_type=password&username=lazuli&password={PASSWORD}");
    let scopes = (0..1500)
        .map(|i| format!("repository:r{i}:pull"))
        .collect::<Vec<_>>()
        .join("+");
    for form in [
        format!("{good}&scope={scopes}"),
        format!("{good}{}", "&scope=repository:a:pull".repeat(100)),
    ] {
        assert_refused(&post(&target, "/oauth2/token", &form), &[400], &form);
    }
    for field in [
        "username",
        "password",
        "service",
        "account",
        "client_id",
        "tenant",
        "scope",
        "refresh_token",
        "access_token",
        "unknown",
    ] {
        // 60 KiB is within a form; its limit is 64.
        for (length, statuses) in [
            (60_000, &[200, 400, 401][..]),
            (70_000, &[413]),
            (3_000_000, &[413]),
        ] {
            let form = format!("grant_type=password&{field}={}", "x".repeat(length));
            let response = post(&target, "/oauth2/token", &form);
            assert!(
                statuses.contains(&response.status),
                "{field} {length}: {response:?}"
            );
            assert!(response.body.len() < 10_000, "{field} {length}");
        }
    }
    // Names of the greatest length in as many scopes as there may be: the token has to stay one that is read.
    let name = |i: usize| format!("{}{i:03}", "a".repeat(252));
    for count in [1, 20, 64] {
        let scopes = (0..count)
            .map(|i| format!("repository:{}:pull,push,delete", name(i)))
            .collect::<Vec<_>>()
            .join("+");
        let response = post(&target, "/oauth2/token", &format!("{good}&scope={scopes}"));
        if response.status == 200 {
            let token = response.json()["access_token"].as_str().unwrap().to_owned();
            let client = target
                .anonymous()
                .with_authorization(format!("Bearer {token}"));
            let status = send(&client, "GET", "/v2/", &[], &[]).status;
            assert_eq!(
                status, 200,
                "a token for {count} scopes is given out and then refused"
            );
        } else {
            assert!(count > 20, "{response:?}");
            assert_refused(&response, &[400], &scopes);
        }
    }
}

#[test]
fn odd_scopes_grant_nothing() {
    let target = Target::start();
    for scope in [
        "*",
        ":",
        "::",
        "repository",
        "repository::pull",
        "repository:a",
        "repository:*:*",
        "repository:*:pull",
        "repository:A:pull",
        "repository:../a:pull",
        "repository:a//b:pull",
        "repository:a/:pull",
        "repository:/a:pull",
        "repository:a%00:pull",
        "repository:a:b:c:pull",
        "registry:*:*",
        "registry:catalog:pull",
        "registry:catalog",
        "Repository:a:pull",
        "repository:a:PULL",
        "repository:a:admin",
        "repository:a:",
        "repository(x:a:pull",
        "artifact-repository:a:pull",
        "user:lazuli:*",
        "repository:a:pull;push",
        "repository:é:pull",
        "aws:ecr:*",
    ] {
        let scope: String = scope
            .bytes()
            .map(|byte| {
                if byte.is_ascii() {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02x}")
                }
            })
            .collect();
        let path = format!("/oauth2/token?scope={scope}");
        let response = send(&target.admin(), "GET", &path, &[], &[]);
        if response.status != 200 {
            assert_refused(&response, &[400], &scope);
            continue;
        }
        let token = response.json()["access_token"].as_str().unwrap().to_owned();
        let client = target
            .anonymous()
            .with_authorization(format!("Bearer {token}"));
        for path in [
            "/v2/a/manifests/v1",
            "/v2/a/tags/list",
            "/v2/a/b/tags/list",
            "/v2/_catalog",
        ] {
            assert_eq!(
                send(&client, "GET", path, &[], &[]).status,
                401,
                "{scope}: {path}"
            );
        }
        assert_eq!(
            send(&client, "POST", "/v2/a/blobs/uploads/", &[], &[]).status,
            401,
            "{scope}"
        );
    }
}
