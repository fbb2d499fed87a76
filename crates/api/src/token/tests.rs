//! Requests of the clients that exist, and answers to the letter.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::num::NonZeroU32;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use lazuli_db::clock::SystemClock;
use lazuli_db::{Db, SqliteOptions};
use lazuli_identity::IdentityOptions;
use lazuli_wire::token::Secret;
use serde_json::{Value, json};

use super::*;

const SERVICE: &str = "127.0.0.1:5000";
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

struct Fixture {
    identity: Identity,
    db: Db,
    _folder: tempfile::TempDir,
}

impl Fixture {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open_sqlite(SqliteOptions::new(folder.path().join("db"))).unwrap();
        let mut options = IdentityOptions::new("lazuli");
        options.admin_password = Some(Secret::new("correct horse"));
        options.password_iterations = NonZeroU32::new(1000).unwrap();
        let clock = Arc::new(SystemClock::new());
        let (identity, _) = Identity::open(db.clone(), clock, &[1; 32], options)
            .await
            .unwrap();
        Self {
            identity,
            db,
            _folder: folder,
        }
    }

    async fn send(
        &self,
        method: &str,
        uri: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response<Bytes> {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.to_owned().into()).unwrap();
        let (id, from) = (RegistryId::DEFAULT, Origin::LOCAL);
        handle(&self.identity, id, SERVICE, from, request).await
    }

    async fn post(&self, path: &str, body: &str) -> Response<Bytes> {
        self.send("POST", path, &[FORM], body).await
    }

    async fn refresh_token(&self) -> String {
        let body = "grant_type=password&username=lazuli&password=correct+horse&access_type=offline&service=127.0.0.1:5000";
        let answer = json_of(&self.post("/oauth2/token", body).await);
        answer["refresh_token"].as_str().unwrap().to_owned()
    }
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

fn json_of(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).unwrap()
}

fn claims(token: &Value) -> Value {
    let payload = token.as_str().unwrap().split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

fn header<'a>(response: &'a Response<Bytes>, name: &str) -> &'a str {
    response
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn docker_asks_by_get_with_basic_credentials() {
    let fixture = Fixture::new().await;
    let uri = "/oauth2/token?account=lazuli&client_id=docker&offline_token=true&service=127.0.0.1%3A5000\
               &scope=repository%3Ateam%2Fapp%3Apull%2Cpush";
    let authorization = basic("lazuli", "correct horse");
    let answer = fixture
        .send("GET", uri, &[("authorization", &authorization)], "")
        .await;
    assert_eq!(answer.status(), 200);
    assert_eq!(
        header(&answer, "content-type"),
        "application/json; charset=utf-8"
    );
    assert_eq!(header(&answer, "cache-control"), "no-store");
    assert_eq!(
        header(&answer, "x-ms-ratelimit-remaining-calls-per-second"),
        "166.65"
    );
    let body = json_of(&answer);
    assert_eq!(
        body.as_object().unwrap().keys().collect::<Vec<_>>(),
        ["access_token"]
    );
    let claims = claims(&body["access_token"]);
    assert_eq!(
        claims["access"],
        json!([{"type": "repository", "name": "team/app", "actions": ["pull", "push"]}])
    );
    assert_eq!(claims["aud"], SERVICE);
}

#[tokio::test]
async fn az_asks_by_post_with_a_password_or_a_refresh_token() {
    let fixture = Fixture::new().await;
    let body = "service=127.0.0.1%3A5000&grant_type=password&username=lazuli&password=correct%20horse\
                &scope=registry%3Acatalog%3A*";
    let answer = fixture.post("/oauth2/token", body).await;
    assert_eq!(answer.status(), 200);
    let answer = json_of(&answer);
    let expected = json!([{"type": "registry", "name": "catalog", "actions": ["*"]}]);
    assert_eq!(claims(&answer["access_token"])["access"], expected);

    // The SDKs add a version, and say scope more than once.
    let refresh = fixture.refresh_token().await;
    let body = format!(
        "service=127.0.0.1:5000&grant_type=refresh_token&refresh_token={refresh}\
         &scope=repository:a:pull%20repository:b:push&scope=repository:c:metadata_read"
    );
    let answer = fixture
        .post("/oauth2/token?api-version=2021-07-01", &body)
        .await;
    assert_eq!(answer.status(), 200);
    let claims = claims(&json_of(&answer)["access_token"]);
    let names: Vec<_> = claims["access"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["name"].clone())
        .collect();
    assert_eq!(names, ["a", "b", "c"]);
}

#[tokio::test]
async fn exchange_gives_a_refresh_token_and_nothing_more() {
    let fixture = Fixture::new().await;
    let refresh = fixture.refresh_token().await;
    let body = format!(
        "grant_type=refresh_token&service=127.0.0.1:5000&tenant=common&refresh_token={refresh}"
    );
    let answer = fixture.post("/oauth2/exchange", &body).await;
    assert_eq!(answer.status(), 200);
    let answer = json_of(&answer);
    assert_eq!(
        answer.as_object().unwrap().keys().collect::<Vec<_>>(),
        ["refresh_token"]
    );
    assert_eq!(
        claims(&answer["refresh_token"])["grant_type"],
        "refresh_token"
    );
    assert!(claims(&answer["refresh_token"])["exp"].is_i64());
}

#[tokio::test]
async fn anonymous_is_a_password_grant_with_nothing_in_it() {
    let fixture = Fixture::new().await;
    let body = "grant_type=password&service=127.0.0.1:5000&scope=repository:a:pull&refresh_token=&username=&password=";
    let uri = "/oauth2/token?service=127.0.0.1:5000&scope=repository:a:pull";
    assert_eq!(fixture.post("/oauth2/token", body).await.status(), 401);
    assert_eq!(fixture.send("GET", uri, &[], "").await.status(), 401);
    fixture
        .identity
        .set_anonymous_pull(RegistryId::DEFAULT, true)
        .await
        .unwrap();
    for answer in [
        fixture.post("/oauth2/token", body).await,
        fixture.send("GET", uri, &[], "").await,
    ] {
        assert_eq!(answer.status(), 200);
        assert_eq!(
            claims(&json_of(&answer)["access_token"])["sub"],
            "acr_anon_pull"
        );
    }
    // Bad credentials are never anonymous.
    for authorization in [
        basic("lazuli", "wrong"),
        basic("", ""),
        "Basic !".into(),
        "Bearer a.b.c".into(),
    ] {
        let answer = fixture
            .send("GET", uri, &[("authorization", &authorization)], "")
            .await;
        assert_eq!(answer.status(), 401, "{authorization}");
    }
}

#[tokio::test]
async fn wrong_credentials_are_answered_to_the_letter() {
    let fixture = Fixture::new().await;
    let wrong = basic("lazuli", "wrong");
    let answer = fixture
        .send("GET", "/oauth2/token", &[("authorization", &wrong)], "")
        .await;
    assert_eq!(answer.status(), 401);
    assert_eq!(
        header(&answer, "www-authenticate"),
        "Basic realm=\"127.0.0.1:5000\""
    );
    assert_eq!(header(&answer, "cache-control"), "no-store");
    assert_eq!(
        std::str::from_utf8(answer.body()).unwrap(),
        "{\"errors\":[{\"code\":\"UNAUTHORIZED\",\"message\":\"authentication required, visit \
         https://aka.ms/acr/authorization for more information.\"}],\"error\":\"invalid_client\",\
         \"error_description\":\"the user name or the password is wrong\"}\n"
    );
    for path in ["/oauth2/token", "/oauth2/exchange"] {
        let answer = fixture
            .post(path, "grant_type=refresh_token&refresh_token=a.b.c")
            .await;
        assert_eq!(answer.status(), 401);
        assert_eq!(json_of(&answer)["error"], "invalid_grant");
        assert_eq!(json_of(&answer)["errors"][0]["code"], "UNAUTHORIZED");
    }
    let answer = fixture
        .post(
            "/oauth2/exchange",
            "grant_type=access_token&access_token=a.b.c&tenant=x",
        )
        .await;
    assert_eq!(
        (answer.status().as_u16(), &json_of(&answer)["error"]),
        (401, &json!("invalid_grant"))
    );
}

#[tokio::test]
async fn malformed_requests_are_told_what_is_wrong() {
    let fixture = Fixture::new().await;
    let many = format!(
        "grant_type=password{}",
        "&scope=repository:a:pull".repeat(65)
    );
    let long = format!("grant_type=password&password={}", "x".repeat(70_000));
    for (path, body, error) in [
        ("/oauth2/token", "", "invalid_request"),
        (
            "/oauth2/token",
            "grant_type=client_credentials",
            "unsupported_grant_type",
        ),
        (
            "/oauth2/token",
            "grant_type=access_token&access_token=x",
            "unsupported_grant_type",
        ),
        (
            "/oauth2/exchange",
            "grant_type=password&username=lazuli&password=x",
            "unsupported_grant_type",
        ),
        (
            "/oauth2/exchange",
            "grant_type=access_token",
            "invalid_request",
        ),
        (
            "/oauth2/token",
            "grant_type=refresh_token",
            "invalid_request",
        ),
        (
            "/oauth2/token",
            "grant_type=password&grant_type=refresh_token",
            "invalid_request",
        ),
        (
            "/oauth2/token",
            "grant_type=password&username=lazuli",
            "invalid_request",
        ),
        (
            "/oauth2/token",
            "grant_type=password&password=x",
            "invalid_request",
        ),
        (
            "/oauth2/token",
            "grant_type=password&service=other.example",
            "invalid_request",
        ),
        (
            "/oauth2/token",
            "grant_type=password&username=%ff",
            "invalid_request",
        ),
        (
            "/oauth2/token",
            "grant_type=password&username=%zz",
            "invalid_request",
        ),
        ("/oauth2/token", &many, "invalid_scope"),
        ("/oauth2/token", &long, "invalid_request"),
    ] {
        let answer = fixture.post(path, body).await;
        assert_eq!(
            (answer.status().as_u16(), &json_of(&answer)["error"]),
            (400, &json!(error)),
            "{path} {body:.80}"
        );
        assert_eq!(json_of(&answer)["errors"][0]["code"], "UNSUPPORTED");
    }
}

#[tokio::test]
async fn credentials_in_the_url_are_not_read() {
    let fixture = Fixture::new().await;
    let refresh = fixture.refresh_token().await;
    for uri in [
        "/oauth2/token?username=lazuli&password=correct+horse".to_owned(),
        format!("/oauth2/token?grant_type=refresh_token&refresh_token={refresh}"),
    ] {
        assert_eq!(fixture.send("GET", &uri, &[], "").await.status(), 401);
        assert_eq!(
            fixture
                .send("POST", &uri, &[FORM], "grant_type=password")
                .await
                .status(),
            401
        );
    }
}

#[tokio::test]
async fn other_methods_paths_and_bodies_are_refused() {
    let fixture = Fixture::new().await;
    for (method, path, status, allow) in [
        ("PUT", "/oauth2/token", 405, "GET, POST"),
        ("HEAD", "/oauth2/token", 405, "GET, POST"),
        ("GET", "/oauth2/exchange", 405, "POST"),
        ("GET", "/oauth2/other", 404, ""),
    ] {
        let answer = fixture.send(method, path, &[], "").await;
        assert_eq!(
            (answer.status().as_u16(), header(&answer, "allow")),
            (status, allow),
            "{method} {path}"
        );
    }
    let json = [("content-type", "application/json")];
    let answer = fixture
        .send("POST", "/oauth2/token", &json, "grant_type=password")
        .await;
    assert_eq!(
        (answer.status().as_u16(), &json_of(&answer)["error"]),
        (415, &json!("invalid_request"))
    );
    let form = [(
        "content-type",
        "Application/X-WWW-Form-URLEncoded; charset=utf-8",
    )];
    let body = "grant_type=password&username=lazuli&password=correct+horse";
    assert_eq!(
        fixture
            .send("POST", "/oauth2/token", &form, body)
            .await
            .status(),
        200
    );
    assert_eq!(
        fixture
            .send("POST", "/oauth2/token", &[], body)
            .await
            .status(),
        200
    );
    let authorization = basic("lazuli", "correct horse");
    let twice = [
        ("authorization", authorization.as_str()),
        ("authorization", authorization.as_str()),
    ];
    assert_eq!(
        fixture
            .send("GET", "/oauth2/token", &twice, "")
            .await
            .status(),
        400
    );
}

#[tokio::test]
async fn a_database_that_fails_is_reported_without_detail() {
    let fixture = Fixture::new().await;
    let unknown = RegistryId::new(9);
    fixture
        .db
        .close(std::time::Duration::from_secs(5))
        .await
        .unwrap();
    let request = Request::get("/oauth2/token").body(Bytes::new()).unwrap();
    let answer = handle(&fixture.identity, unknown, SERVICE, Origin::LOCAL, request).await;
    assert_eq!(
        (answer.status().as_u16(), header(&answer, "retry-after")),
        (503, "1")
    );
    assert!(
        !std::str::from_utf8(answer.body())
            .unwrap()
            .contains("database")
    );
}
