//! Attacks on the outer form of a token.

use aws_lc_rs::hmac;
use serde_json::json;

use super::*;
use crate::keys::Purpose;

fn key() -> &'static SigningKey {
    static KEY: std::sync::LazyLock<SigningKey> = std::sync::LazyLock::new(|| {
        SigningKey::generate_as(Purpose::Access, Algorithm::Rs256).unwrap()
    });
    &KEY
}

/// A key of the kind that is made now.
fn new_key() -> &'static SigningKey {
    static KEY: std::sync::LazyLock<SigningKey> =
        std::sync::LazyLock::new(|| SigningKey::generate(Purpose::Access).unwrap());
    &KEY
}

const SIGNATURE_LENGTH: usize = Algorithm::Rs256.signature_length();
const SIGNATURE_SEGMENT: usize = segment_length(Algorithm::Rs256);

fn encode(json: &serde_json::Value) -> String {
    URL_SAFE_NO_PAD.encode(json.to_string())
}

/// A token with this header text and any claims, signed by our own key all the same.
fn signed_with_header(header: &str) -> String {
    sign_segments(key(), header.as_bytes(), br#"{"sub":"x"}"#).unwrap()
}

fn check(token: &str) -> Result<Payload, Rejected> {
    verify(token, |kid| (kid == key().kid()).then(key))
}

#[test]
fn a_token_of_ours_verifies_and_shows_its_payload() {
    let token = sign(key(), &json!({"sub": "x"})).unwrap();
    assert_eq!(check(&token).unwrap().as_bytes(), br#"{"sub":"x"}"#);
    let header = token.split('.').next().unwrap();
    let header = String::from_utf8(URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
    assert_eq!(
        header,
        format!(r#"{{"typ":"JWT","alg":"RS256","kid":"{}"}}"#, key().kid())
    );
}

#[test]
fn new_keys_sign_with_es256_and_old_ones_still_count() {
    let find = |kid: &str| [key(), new_key()].into_iter().find(|key| key.kid() == kid);
    for (key, algorithm) in [(key(), "RS256"), (new_key(), "ES256")] {
        let token = sign(key, &json!({"sub": "x"})).unwrap();
        assert_eq!(verify(&token, find).unwrap().as_bytes(), br#"{"sub":"x"}"#);
        let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap());
        let expected = format!(
            r#"{{"typ":"JWT","alg":"{algorithm}","kid":"{}"}}"#,
            key.kid()
        );
        assert_eq!(String::from_utf8(header.unwrap()).unwrap(), expected);
        let last = token.len() - 1;
        for changed in [
            format!("{}A", &token[..last]),
            token[..last].to_owned(),
            format!("{token}A"),
        ] {
            assert!(changed == token || verify(&changed, find).is_err());
        }
    }
}

#[test]
fn no_header_chooses_the_algorithm_of_a_key() {
    for (key, other) in [(key(), "ES256"), (new_key(), "RS256")] {
        let header = format!(r#"{{"typ":"JWT","alg":"{other}","kid":"{}"}}"#, key.kid());
        let token = sign_segments(key, header.as_bytes(), b"{}").unwrap();
        let refused = verify(&token, |kid| (kid == key.kid()).then_some(key));
        assert_eq!(refused.unwrap_err(), Rejected::Header);
    }
}

#[test]
fn signatures_of_zeros_are_none() {
    // CVE-2022-21449: a verifier that takes r = s = 0 takes everything.
    let header = format!(
        r#"{{"typ":"JWT","alg":"ES256","kid":"{}"}}"#,
        new_key().kid()
    );
    for byte in ["A", "_"] {
        let token = format!(
            "{}.{}.{}",
            URL_SAFE_NO_PAD.encode(&header),
            URL_SAFE_NO_PAD.encode("{}"),
            byte.repeat(85) + "A"
        );
        let refused = verify(&token, |kid| (kid == new_key().kid()).then(new_key));
        assert!(matches!(
            refused,
            Err(Rejected::Signature | Rejected::Segments)
        ));
    }
}

#[test]
fn algorithm_none_is_refused() {
    for alg in ["none", "None", "NONE", ""] {
        let header = encode(&json!({"typ": "JWT", "alg": alg, "kid": key().kid()}));
        let payload = encode(&json!({"sub": "x"}));
        for signature in ["", &"A".repeat(SIGNATURE_SEGMENT)] {
            let token = format!("{header}.{payload}.{signature}");
            assert!(
                matches!(check(&token), Err(Rejected::Segments | Rejected::Header)),
                "{alg}"
            );
        }
    }
}

#[test]
fn hs256_with_the_public_key_as_secret_is_refused() {
    let secret = hmac::Key::new(hmac::HMAC_SHA256, &key().public_der());
    let header = encode(&json!({"typ": "JWT", "alg": "HS256", "kid": key().kid()}));
    let message = format!("{header}.{}", encode(&json!({"sub": "x"})));
    let tag = hmac::sign(&secret, message.as_bytes());
    let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag));
    assert_eq!(check(&token).unwrap_err(), Rejected::Segments);
    // The same with a signature padded to the length of ours.
    let padded = [tag.as_ref(), &[0; SIGNATURE_LENGTH - 32]].concat();
    let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(padded));
    assert_eq!(check(&token).unwrap_err(), Rejected::Header);
}

#[test]
fn only_rs256_is_taken_even_with_our_signature() {
    for alg in [
        "rs256", "RS384", "RS512", "PS256", "ES256", "EdDSA", "HS256", "none", "RS256 ",
    ] {
        let header = json!({"typ": "JWT", "alg": alg, "kid": key().kid()}).to_string();
        assert_eq!(
            check(&signed_with_header(&header)).unwrap_err(),
            Rejected::Header,
            "{alg}"
        );
    }
}

#[test]
fn a_header_brings_no_key_and_no_extension() {
    let kid = key().kid();
    for (name, value) in [
        ("jwk", json!({"kty": "RSA", "n": "AQAB", "e": "AQAB"})),
        ("jku", json!("https://attacker.example/keys")),
        ("x5u", json!("https://attacker.example/chain")),
        ("x5c", json!(["MIIB"])),
        ("crit", json!(["exp"])),
        ("zip", json!("DEF")),
        ("cty", json!("JWT")),
    ] {
        let mut header = json!({"typ": "JWT", "alg": "RS256", "kid": kid});
        header[name] = value;
        assert_eq!(
            check(&signed_with_header(&header.to_string())).unwrap_err(),
            Rejected::Header,
            "{name}"
        );
    }
}

#[test]
fn headers_with_missing_double_or_wrong_fields_are_refused() {
    let kid = key().kid();
    for header in [
        format!(r#"{{"alg":"RS256","kid":"{kid}"}}"#),
        format!(r#"{{"typ":"JWT","kid":"{kid}"}}"#),
        r#"{"typ":"JWT","alg":"RS256"}"#.to_owned(),
        format!(r#"{{"typ":"JWT","alg":"RS256","alg":"none","kid":"{kid}"}}"#),
        format!(r#"{{"typ":"JWT","alg":"none","alg":"RS256","kid":"{kid}"}}"#),
        format!(r#"{{"typ":"JWT","alg":"RS256","kid":"x","kid":"{kid}"}}"#),
        format!(r#"{{"typ":"at+jwt","alg":"RS256","kid":"{kid}"}}"#),
        format!(r#"{{"typ":"JWT","alg":["RS256"],"kid":"{kid}"}}"#),
        format!(r#"{{"typ":"JWT","alg":"RS256","kid":"{kid}"}} {{}}"#),
        format!(r#"["JWT","RS256","{kid}"]"#),
        "null".to_owned(),
        String::new(),
    ] {
        assert_eq!(
            check(&signed_with_header(&header)).unwrap_err(),
            Rejected::Header,
            "{header}"
        );
    }
}

#[test]
fn a_key_name_is_looked_up_and_nothing_else() {
    for kid in [
        "",
        "../../../dev/null",
        "' OR 1=1 --",
        "https://attacker.example/",
        &"A".repeat(200),
    ] {
        let header = json!({"typ": "JWT", "alg": "RS256", "kid": kid}).to_string();
        assert_eq!(
            check(&signed_with_header(&header)).unwrap_err(),
            Rejected::UnknownKey,
            "{kid}"
        );
    }
}

#[test]
fn a_signature_of_another_key_under_our_name_is_refused() {
    let other = SigningKey::generate(Purpose::Access).unwrap();
    let header = json!({"typ": "JWT", "alg": "RS256", "kid": key().kid()}).to_string();
    let token = sign_segments(&other, header.as_bytes(), br#"{"sub":"x"}"#).unwrap();
    assert_eq!(check(&token).unwrap_err(), Rejected::Signature);
}

#[test]
fn every_changed_character_breaks_the_token() {
    let token = sign(key(), &json!({"sub": "x"})).unwrap();
    for index in 0..token.len() {
        let mut changed = token.clone().into_bytes();
        changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(check(&changed).is_err(), "position {index}");
    }
}

#[test]
fn other_numbers_of_segments_are_refused() {
    let token = sign(key(), &json!({"sub": "x"})).unwrap();
    let parts: Vec<&str> = token.split('.').collect();
    for text in [
        String::new(),
        ".".into(),
        "..".into(),
        "...".into(),
        parts[0].into(),
        parts[..2].join("."),
        format!("{token}."),
        format!(".{token}"),
        format!("{token}.{}", parts[2]),
        format!("{}.{}.{}.{}", parts[0], parts[1], parts[1], parts[2]),
        format!("{}..{}", parts[0], parts[2]),
        format!("{token}="),
        format!("{token} "),
        token.replace('.', ":"),
    ] {
        assert!(check(&text).is_err(), "{text:.30}");
    }
}

#[test]
fn padding_and_loose_trailing_bits_are_refused() {
    let token = sign(key(), &json!({"sub": "x"})).unwrap();
    // 256 bytes leave four unused bits in the last character: only one spelling is right.
    let last = token.as_bytes()[token.len() - 1];
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let accepted = alphabet.iter().filter(|byte| {
        let text = format!("{}{}", &token[..token.len() - 1], char::from(**byte));
        check(&text).is_ok()
    });
    assert_eq!(accepted.copied().collect::<Vec<_>>(), [last]);
}

#[test]
fn a_huge_token_is_refused_before_it_is_looked_at() {
    let token = sign(key(), &json!({"sub": "x".repeat(MAX_TOKEN)})).unwrap();
    assert_eq!(check(&token).unwrap_err(), Rejected::TooLong);
    assert_eq!(
        check(&"a.b.".repeat(1 << 20)).unwrap_err(),
        Rejected::TooLong
    );
    let header = format!(
        "{}.e30.{}",
        "A".repeat(MAX_HEADER_SEGMENT + 1),
        "A".repeat(SIGNATURE_SEGMENT)
    );
    assert_eq!(check(&header).unwrap_err(), Rejected::Segments);
}
