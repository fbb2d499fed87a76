//! Signed tokens: nothing is believed but exactly what the registry itself would have signed.
#![no_main]

use std::sync::LazyLock;

use lazuli_identity::testing::TokenVerifier;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

const SERVICE: &str = "127.0.0.1:5000";
/// 2025-01-01T00:00:00Z
const NOW: i64 = 1_735_689_600;

static VERIFIER: LazyLock<TokenVerifier> =
    LazyLock::new(|| TokenVerifier::new().expect("keys can be made"));
static VALID: LazyLock<String> = LazyLock::new(|| {
    let claims = json!({
        "jti": "j", "sub": "admin", "nbf": NOW, "exp": NOW + 60, "iat": NOW, "iss": "Azure Container Registry",
        "aud": SERVICE, "version": "2.0", "rid": "00000000000000000000000000000001", "grant_type": "access_token",
        "access": [{"type": "repository", "name": "a/b", "actions": ["pull"]}], "roles": [],
    });
    claims.to_string()
});

fn header() -> Value {
    json!({"typ": "JWT", "alg": "ES256", "kid": VERIFIER.kid()})
}

fn sign(header: &[u8], claims: &[u8]) -> String {
    VERIFIER
        .sign(header, claims)
        .expect("a signature can be made")
}

fn is_access(token: &str) -> bool {
    // Keys are kept by purpose: what the one key signed is never a token of the other.
    assert!(VERIFIER.refresh(SERVICE, token, NOW * 1_000_000).is_none());
    VERIFIER.access(SERVICE, token, NOW * 1_000_000).is_some()
}

fn foreign(text: &[u8]) {
    if let Ok(text) = std::str::from_utf8(text) {
        assert!(!is_access(text));
    }
}

fn any_claims(claims: &[u8]) {
    if !is_access(&sign(header().to_string().as_bytes(), claims)) {
        return;
    }
    let claims: Value = serde_json::from_slice(claims).expect("claims that were believed are JSON");
    // Azure's tools write some names with a capital letter.
    let of = |name: &str| {
        let capital = name[..1].to_uppercase() + &name[1..];
        claims
            .get(name)
            .or_else(|| claims.get(capital))
            .cloned()
            .unwrap_or_default()
    };
    assert_eq!(of("iss"), "Azure Container Registry");
    assert_eq!(of("aud"), SERVICE);
    assert_eq!(of("grant_type"), "access_token");
    assert!(of("exp").as_i64().is_some_and(|exp| exp > NOW - 60));
    assert!(of("nbf").as_i64().is_some_and(|nbf| nbf <= NOW + 60));
}

fn any_header(text: &[u8]) {
    // The fuzzer cannot know the name of a key made at the start of the process.
    let text = String::from_utf8_lossy(text).replace("KID", VERIFIER.kid());
    if is_access(&sign(text.as_bytes(), VALID.as_bytes())) {
        let read: Value = serde_json::from_str(&text).expect("a header that was believed is JSON");
        assert_eq!(read, header());
    }
}

fn altered(place: &[u8]) {
    let [high, low, change, ..] = *place else {
        return;
    };
    let mut token = sign(header().to_string().as_bytes(), VALID.as_bytes()).into_bytes();
    assert!(is_access(
        std::str::from_utf8(&token).expect("a token is text")
    ));
    let place = usize::from(u16::from_be_bytes([high, low])) % token.len();
    if change == token[place] {
        return;
    }
    token[place] = change;
    if let Ok(token) = std::str::from_utf8(&token) {
        assert!(!is_access(token), "byte {place} is not protected");
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((kind, rest)) = data.split_first() else {
        return;
    };
    match kind {
        b't' => foreign(rest),
        b'c' => any_claims(rest),
        b'h' => any_header(rest),
        b'a' => altered(rest),
        _ => {}
    }
});
