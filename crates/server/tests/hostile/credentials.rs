//! `Authorization` headers that are malformed, doubled, or carry what somebody else signed.

use lazuli_testkit::server::{PASSWORD, basic};
use serde_json::{Value, json};

use crate::support::{Image, Target, access_token, send};

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Base64url without padding (RFC 4648, section 5).
fn encode(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk
            .iter()
            .fold(0_u32, |word, byte| word << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for i in 0..=chunk.len() {
            out.push(ALPHABET[(word >> (18 - 6 * i)) as usize & 63] as char);
        }
    }
    out
}

fn decode(text: &str) -> Vec<u8> {
    let value = |byte: u8| ALPHABET.iter().position(|symbol| *symbol == byte).unwrap() as u32;
    let mut out = Vec::new();
    for group in text.as_bytes().chunks(4) {
        let word =
            group.iter().fold(0, |word, byte| word << 6 | value(*byte)) << (6 * (4 - group.len()));
        out.extend_from_slice(&word.to_be_bytes()[1..group.len()]);
    }
    out
}

fn claims(token: &str) -> Value {
    serde_json::from_slice(&decode(token.split('.').nth(1).unwrap())).unwrap()
}

#[test]
fn a_header_that_cannot_be_read_is_never_taken_for_no_header() {
    let target = Target::with(&[("LAZULI_ANONYMOUS_PULL", "true")]);
    Image::push(&target.admin(), "a/app", 5);
    let path = "/v2/a/app/manifests/v1";
    assert_eq!(send(&target.anonymous(), "GET", path, &[], &[]).status, 200);
    let good = basic("lazuli", PASSWORD);
    let encoded = good.split(' ').nth(1).unwrap();
    for header in [
        "",
        "Bearer",
        "Basic",
        "Bearer ",
        "Basic ",
        "Basic :",
        "Basic Og==",
        "Basic ====",
        "Basic !!!",
        "Basic /w==",
        &format!("Basic {encoded}="),
        &format!("Basic {encoded} {encoded}"),
        &format!("Basic {encoded},Basic {encoded}"),
        &format!("Basic\t{encoded}"),
        &format!("Bearer {encoded}"),
        &format!("Digest {encoded}"),
        &format!("Negotiate {encoded}"),
        encoded,
        &good.replace("Basic", "Basic:"),
        &basic("lazuli\0", PASSWORD),
        &basic("lazuli", &format!("{PASSWORD}\n")),
        &basic("lazuli", &format!("{PASSWORD} ")),
        &basic("lazulí", PASSWORD),
        &basic("", PASSWORD),
        &basic("lazuli", ""),
        &basic("00000000-0000-0000-0000-000000000000", PASSWORD),
        &basic("00000000-0000-0000-0000-000000000000", ""),
        "Bearer a.b.c",
        "Bearer ..",
        &format!("Bearer {}", ".".repeat(10_000)),
        &format!("Bearer {}", "a.".repeat(8000)),
        &format!("Bearer {}", "A".repeat(16 << 10)),
        &format!("Basic {}", "A".repeat(20 << 10)),
    ] {
        for path in [path, "/v2/", "/v2/_catalog", "/v2/no/such/tags/list"] {
            let response = send(
                &target.anonymous(),
                "GET",
                path,
                &[("Authorization", header)],
                &[],
            );
            assert_eq!(response.status, 401, "{header:.80} on {path}: {response:?}");
        }
        let response = send(
            &target.anonymous(),
            "GET",
            "/oauth2/token?scope=repository:a/app:pull",
            &[("Authorization", header)],
            &[],
        );
        assert!(
            matches!(response.status, 400 | 401),
            "{header:.80}: {response:?}"
        );
    }
    let twice = [
        ("Authorization", good.as_str()),
        ("Authorization", good.as_str()),
    ];
    assert_eq!(
        send(&target.anonymous(), "GET", path, &twice, &[]).status,
        400
    );
    let raw =
        target.raw(b"GET /v2/ HTTP/1.1\r\nHost: a\r\nAuthorization: Basic \xff\xfe\xe9\r\n\r\n");
    assert_eq!(raw.statuses(), [401]);
}

#[test]
fn a_token_with_other_claims_or_another_header_is_not_believed() {
    let target = Target::start();
    Image::push(&target.admin(), "a/app", 5);
    let genuine = access_token(&target, "repository:a/app:pull");
    let [header, payload, signature] = genuine.split('.').collect::<Vec<_>>()[..] else {
        panic!("{genuine}");
    };
    let kid = serde_json::from_slice::<Value>(&decode(header)).unwrap()["kid"].clone();
    let with = |name: &str, value: Value| {
        let mut claims = claims(&genuine);
        claims[name] = value;
        encode(claims.to_string().as_bytes())
    };
    let head = |value: Value| encode(value.to_string().as_bytes());
    let more =
        json!([{"type": "repository", "name": "a/app", "actions": ["pull", "push", "delete"]}]);
    let none = head(json!({"typ": "JWT", "alg": "none", "kid": kid}));
    let own_key = head(json!({
        "typ": "JWT", "alg": "RS256", "kid": kid, "jwk": {"kty": "RSA", "n": encode(&[0xc5; 256]), "e": "AQAB"}
    }));
    let by_url = |name: &str| {
        head(json!({"typ": "JWT", "alg": "RS256", "kid": kid, name: "http://127.0.0.1:1/keys"}))
    };
    let zeroes = encode(&[0; 256]);
    for token in [
        format!("{header}.{}.{signature}", with("access", more.clone())),
        format!(
            "{header}.{}.{signature}",
            with("exp", json!(4_000_000_000_u64))
        ),
        format!(
            "{header}.{}.{signature}",
            with("sub", json!("00000000-0000-0000-0000-000000000000"))
        ),
        format!("{none}.{}.", with("access", more.clone())),
        format!("{none}.{payload}.{signature}"),
        format!("{none}.{payload}."),
        format!(
            "{}.{payload}.{signature}",
            head(json!({"typ": "JWT", "alg": "HS256", "kid": kid}))
        ),
        format!("{own_key}.{payload}.{signature}"),
        format!("{own_key}.{payload}.{}", encode(&[1; 256])),
        format!("{}.{payload}.{signature}", by_url("jku")),
        format!("{}.{payload}.{signature}", by_url("x5u")),
        format!(
            "{}.{payload}.{signature}",
            head(json!({"typ": "JWT", "alg": "RS256", "kid": "../../etc/passwd"}))
        ),
        format!(
            "{}.{payload}.{signature}",
            head(json!({"typ": "JWT", "alg": "RS256", "kid": "' OR 1=1 --"}))
        ),
        format!(
            "{}.{payload}.{signature}",
            head(json!({"typ": "JWT", "alg": "RS256"}))
        ),
        format!("{header}.{payload}.{zeroes}"),
        format!("{header}.{payload}."),
        format!("{header}.{payload}"),
        format!("{header}..{signature}"),
        format!(".{payload}.{signature}"),
        format!("{genuine}."),
        format!("{genuine}.{signature}"),
        format!("{genuine}="),
        format!("{header}.{payload}=.{signature}"),
        genuine[..genuine.len() - 1].to_owned(),
        genuine.to_lowercase(),
    ] {
        let client = target
            .anonymous()
            .with_authorization(format!("Bearer {token}"));
        for path in ["/v2/", "/v2/a/app/manifests/v1"] {
            let response = send(&client, "GET", path, &[], &[]);
            assert_eq!(response.status, 401, "{token:.120} on {path}");
        }
    }
    let client = target
        .anonymous()
        .with_authorization(format!("Bearer {genuine}"));
    assert_eq!(
        send(&client, "GET", "/v2/a/app/manifests/v1", &[], &[]).status,
        200
    );
}

#[test]
fn the_keys_of_two_installations_differ() {
    let (first, second) = (Target::start(), Target::start());
    let token = access_token(&first, "registry:catalog:*");
    // Dialled by the same name, only the keys tell them apart.
    let ask = |target: &Target| {
        let request = format!(
            "GET /v2/_catalog HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n",
            first.host()
        );
        target.raw(request.as_bytes()).statuses()
    };
    assert_eq!(ask(&first), [200]);
    assert_eq!(ask(&second), [401]);
    let key = |target: &Target| std::fs::read(target.data().join("master.key")).unwrap();
    assert_ne!(key(&first), key(&second));
}

#[test]
fn no_secret_reaches_the_log_or_the_metrics() {
    let target = Target::with(&[("LAZULI_LOG_LEVEL", "debug")]);
    let token = access_token(&target, "repository:a/app:pull,push");
    let canary = "canary-secret-7f3a9b";
    for header in [
        basic("lazuli", PASSWORD),
        basic("lazuli", canary),
        basic(canary, canary),
        format!("Bearer {token}"),
        format!("Bearer {canary}"),
        format!("Unknown {canary}"),
    ] {
        let client = target.anonymous().with_authorization(header);
        for path in [
            "/v2/",
            "/v2/a/app/manifests/v1",
            "/oauth2/token?scope=repository:a/app:pull",
            "/healthz",
            "/none",
        ] {
            send(
                &client,
                "GET",
                path,
                &[("X-Registry-Auth", canary), ("Cookie", canary)],
                &[],
            );
        }
    }
    let form = format!(
        "grant_type=password&username=lazuli&password={canary}&refresh_token={canary}&access_token={canary}"
    );
    send(
        &target.anonymous(),
        "POST",
        "/oauth2/token",
        &[crate::support::FORM],
        form.as_bytes(),
    );
    send(
        &target.anonymous(),
        "GET",
        &format!("/v2/?password={canary}"),
        &[],
        &[],
    );
    target.lines();
    let (log, metrics) = (target.log(), target.anonymous().get("/metrics").body);
    assert!(log.lines().count() > 30);
    let encoded = basic("lazuli", PASSWORD);
    for secret in [canary, PASSWORD, &token, encoded.split(' ').nth(1).unwrap()] {
        assert!(!log.contains(secret), "{secret} is in the log");
        assert!(!String::from_utf8_lossy(&metrics).contains(secret));
    }
}
