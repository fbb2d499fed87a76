//! Errors have the shape and the words that clients print.

use lazuli_testkit::http::Response;

use crate::server::{Server, send};

fn error(response: &Response) -> (u16, String) {
    let json = response.json();
    let fields: Vec<&String> = json.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["error"]);
    assert!(
        json["error"]["message"].as_str().unwrap().len() > 5,
        "{json}"
    );
    let code = json["error"]["code"].as_str().unwrap();
    assert_eq!(response.header("x-ms-error-code"), Some(code));
    (response.status, code.to_owned())
}

#[test]
fn who_does_not_sign_in_is_told_where() {
    let server = Server::start();
    let path = server.subscription();
    let none = server.anonymous().get(&path);
    assert_eq!(error(&none), (401, "AuthenticationFailed".to_owned()));
    let challenge = none.header("www-authenticate").unwrap();
    assert!(
        challenge.contains("authorization_uri=\"http"),
        "{challenge}"
    );
    for authorization in [
        "Bearer x",
        "Bearer a.b.c",
        "Basic bGF6dWxpOng=",
        "Bearer ",
        "bearer",
    ] {
        let client = server.anonymous().with_authorization(authorization);
        let answer = client.get(&path);
        assert_eq!(
            error(&answer),
            (401, "InvalidAuthenticationToken".to_owned()),
            "{authorization}"
        );
        assert!(
            answer
                .header("www-authenticate")
                .unwrap()
                .contains("invalid_token")
        );
    }
    let twice = [
        ("Authorization", "Bearer a.b.c"),
        ("Authorization", "Bearer a.b.c"),
    ];
    let answer = server.anonymous().send("GET", &path, &twice, b"");
    assert!(matches!(answer.status, 400 | 401), "{answer:?}");
}

#[test]
fn what_is_not_understood_is_refused_in_words() {
    let server = Server::start();
    let admin = server.admin();
    let (s, g) = (server.subscription(), server.group("lazuli"));
    let r = server.registry("lazuli", "lazuli");
    let deep = format!("{}1{}", r#"{"a":"#.repeat(60), "}".repeat(60));
    let large = format!("{{\"tags\":{{\"a\":\"{}\"}}}}", "x".repeat(1 << 20));
    for (method, path, body, status, code) in [
        ("GET", "/subscriptions/x".to_owned(), "", 400, "InvalidGuid"),
        ("GET", format!("{s}/nothing"), "", 404, "NotFound"),
        (
            "GET",
            format!("{g}/providers/Microsoft.Storage/storageAccounts/a"),
            "",
            404,
            "InvalidResourceNamespace",
        ),
        (
            "GET",
            format!("{r}/nothing"),
            "",
            404,
            "InvalidResourceType",
        ),
        (
            "DELETE",
            format!("{r}/listUsages"),
            "",
            405,
            "MethodNotAllowed",
        ),
        (
            "GET",
            format!(
                "/subscriptions/{}",
                "0".repeat(36).replace("0000000000", "0")
            ),
            "",
            400,
            "InvalidGuid",
        ),
        ("PUT", g.clone(), "[]", 400, "InvalidRequestContent"),
        ("PUT", g.clone(), "{", 400, "InvalidRequestContent"),
        ("PUT", g.clone(), &deep, 400, "InvalidRequestContent"),
        (
            "PATCH",
            r.clone(),
            r#"{"properties":{"adminUserEnabled":"yes"}}"#,
            400,
            "InvalidParameter",
        ),
        (
            "PATCH",
            r.clone(),
            r#"{"properties":{"warpDrive":{"factor":9}}}"#,
            400,
            "FeatureNotAvailable",
        ),
        (
            "POST",
            format!("{r}/importImage"),
            "{}",
            400,
            "FeatureNotAvailable",
        ),
        (
            "PUT",
            format!("{r}/webhooks/hook1"),
            "{}",
            400,
            "FeatureNotAvailable",
        ),
        (
            "GET",
            format!("{r}/webhooks/hook1"),
            "",
            404,
            "ResourceNotFound",
        ),
        (
            "POST",
            format!("{r}/regenerateCredential"),
            "{}",
            400,
            "MissingParameter",
        ),
    ] {
        let answer = send(&admin, method, &path, body);
        assert_eq!(
            error(&answer),
            (status, code.to_owned()),
            "{method} {path} {body:.80}"
        );
    }
    let unknown = "/subscriptions/00000000-0000-4000-8000-000000000009/resourcegroups";
    let answer = send(&admin, "GET", unknown, "");
    assert_eq!(error(&answer), (404, "SubscriptionNotFound".to_owned()));
    let filter = admin.get(&format!("{s}/resources?$filter=name%20ne%20%27a%27"));
    assert_eq!(
        error(&filter),
        (400, "InvalidFilterInQueryString".to_owned())
    );
    let answer = send(&admin, "PATCH", &r, &large);
    assert_eq!(answer.status, 413);
    for list in [
        "webhooks",
        "replications",
        "cacheRules",
        "tasks",
        "runs",
        "agentPools",
        "connectedRegistries",
    ] {
        let answer = send(&admin, "GET", &format!("{r}/{list}"), "");
        assert_eq!(
            (answer.status, answer.json()),
            (200, serde_json::json!({"value": []})),
            "{list}"
        );
    }
    // Deleting what there cannot be is done at once.
    assert_eq!(
        send(&admin, "DELETE", &format!("{r}/cacheRules/rule1"), "").status,
        204
    );
}
