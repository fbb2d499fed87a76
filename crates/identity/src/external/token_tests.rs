#![allow(clippy::unwrap_used, clippy::expect_used)]

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding};
use proptest::prelude::*;

use super::*;

fn encode(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

fn sign(pair: &KeyPair, how: &'static dyn RsaEncoding, header: &str, claims: &str) -> String {
    let message = format!("{}.{}", encode(header), encode(claims));
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(
        how,
        &SystemRandom::new(),
        message.as_bytes(),
        &mut signature,
    )
    .unwrap();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn key(pair: &KeyPair) -> PublicKey {
    PublicKey::RsaDer(pair.public_key().as_ref().to_vec())
}

#[test]
fn a_signature_counts_for_its_own_key_and_algorithm_only() {
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let other = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let claims = r#"{"iss":"https://issuer.example","sub":"a"}"#;
    let rs = sign(
        &pair,
        &RSA_PKCS1_SHA256,
        r#"{"alg":"RS256","typ":"JWT"}"#,
        claims,
    );
    let ps = sign(&pair, &RSA_PSS_SHA256, r#"{"alg":"PS256"}"#, claims);
    for token in [&rs, &ps] {
        let parsed = Foreign::parse(token).unwrap();
        assert_eq!(
            parsed.claimed_issuer().as_deref(),
            Some("https://issuer.example")
        );
        let claims = parsed.verify(&key(&pair)).unwrap();
        assert_eq!(claims.text("sub"), Some("a"));
        assert_eq!(
            parsed.verify(&key(&other)).unwrap_err(),
            Rejected::Signature
        );
        let point = PublicKey::P256(vec![4; 65]);
        assert_eq!(parsed.verify(&point).unwrap_err(), Rejected::Algorithm);
    }
    // Padded, as some libraries send it: what is signed is the padded text.
    let pad = |text: &str| format!("{text}{}", "=".repeat((4 - text.len() % 4) % 4));
    let message = format!(
        "{}.{}",
        pad(&encode(r#"{"alg":"PS256","typ":"JWT"}"#)),
        pad(&encode(claims))
    );
    let mut signature = vec![0; pair.public_modulus_len()];
    let random = SystemRandom::new();
    pair.sign(&RSA_PSS_SHA256, &random, message.as_bytes(), &mut signature)
        .unwrap();
    let padded = format!("{message}.{}", pad(&URL_SAFE_NO_PAD.encode(signature)));
    assert!(padded.contains('='));
    Foreign::parse(&padded)
        .unwrap()
        .verify(&key(&pair))
        .unwrap();
    for wrong in [
        format!("{padded}="),
        format!("{padded}===="),
        padded.replacen("==.", ".", 1) + "=",
    ] {
        assert_eq!(
            Foreign::parse(&wrong).map(drop).unwrap_err(),
            Rejected::Segments,
            "{wrong}"
        );
    }
    // The same signature under another name of the algorithm.
    let crossed = sign(&pair, &RSA_PKCS1_SHA256, r#"{"alg":"PS256"}"#, claims);
    let crossed = Foreign::parse(&crossed).unwrap();
    assert_eq!(
        crossed.verify(&key(&pair)).unwrap_err(),
        Rejected::Signature
    );
    // Another payload.
    let mut parts: Vec<&str> = rs.split('.').collect();
    let forged = encode(r#"{"iss":"https://issuer.example","sub":"admin"}"#);
    parts[1] = &forged;
    let forged = parts.join(".");
    let forged = Foreign::parse(&forged).unwrap();
    assert_eq!(forged.verify(&key(&pair)).unwrap_err(), Rejected::Signature);
}

#[test]
fn hostile_headers_are_refused_and_keys_in_them_are_not_looked_at() {
    let token = |header: &str| format!("{}.{}.{}", encode(header), encode("{}"), encode("sig"));
    for (header, rejected) in [
        (r#"{"alg":"none"}"#, Rejected::Algorithm),
        (r#"{"alg":"None"}"#, Rejected::Algorithm),
        (r#"{"alg":"HS256"}"#, Rejected::Algorithm),
        (r#"{"alg":"RS384"}"#, Rejected::Algorithm),
        (r#"{"alg":"rs256"}"#, Rejected::Algorithm),
        (r#"{"alg":["RS256"]}"#, Rejected::Header),
        (r#"{"alg":"RS256","alg":"none"}"#, Rejected::Header),
        (r#"{"alg":"RS256","crit":["exp"]}"#, Rejected::Header),
        (r#"{"alg":"RS256","b64":false}"#, Rejected::Header),
        (r#"{"alg":"RS256","typ":"secevent+jwt"}"#, Rejected::Header),
        (r#"["RS256"]"#, Rejected::Header),
        (r#"{"typ":"JWT"}"#, Rejected::Header),
        ("", Rejected::Header),
    ] {
        assert_eq!(
            Foreign::parse(&token(header)).unwrap_err(),
            rejected,
            "{header}"
        );
    }
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let header = r#"{"alg":"RS256","jku":"https://evil.example","jwk":{"kty":"RSA"},"x5u":"https://evil.example","x5c":["AA"]}"#;
    let brings_its_own = sign(&pair, &RSA_PKCS1_SHA256, header, "{}");
    let parsed = Foreign::parse(&brings_its_own).unwrap();
    let trusted = KeyPair::generate(KeySize::Rsa2048).unwrap();
    assert_eq!(
        parsed.verify(&key(&trusted)).unwrap_err(),
        Rejected::Signature
    );
}

#[test]
fn sizes_and_segments_are_bounded() {
    let long = format!(
        "{}.{}.",
        encode(r#"{"alg":"RS256"}"#),
        "A".repeat(MAX_TOKEN)
    );
    assert_eq!(Foreign::parse(&long).unwrap_err(), Rejected::TooLong);
    for token in ["", ".", "..", "a.b", "a.b.c.d", "é.é.é", "ey=.e30.AA"] {
        assert!(Foreign::parse(token).is_err(), "{token}");
    }
}

#[test]
fn thumbprints_are_read_in_every_alphabet() {
    for text in ["+/8=", "-_8=", "-_8", "+/8"] {
        assert_eq!(thumbprint(text), Some(vec![0xfb, 0xff]), "{text}");
    }
}

fn claims(text: &str) -> Claims {
    Claims(serde_json::from_str(text).unwrap())
}

#[test]
fn times_have_five_minutes_and_a_longest_life() {
    let now = 1_000_000_000_000;
    let hour = 3_600_000_000;
    for (text, good) in [
        (r#"{"exp":1000600}"#, true),
        (r#"{"exp":1000600.5,"iat":1000000.25}"#, true),
        (r#"{"exp":999800}"#, true),
        (r#"{"exp":999700}"#, false),
        ("{}", false),
        (r#"{"exp":"1000600"}"#, false),
        (r#"{"exp":-1}"#, false),
        (r#"{"exp":1e300}"#, false),
        (r#"{"exp":1000600,"nbf":1000300}"#, true),
        (r#"{"exp":1000600,"nbf":1000301}"#, false),
        (r#"{"exp":1000600,"iat":1000301}"#, false),
        (r#"{"exp":1003600,"iat":999999}"#, false),
        (r#"{"exp":1004000}"#, false),
    ] {
        assert_eq!(claims(text).good_until(now, hour).is_ok(), good, "{text}");
    }
}

#[test]
fn an_audience_is_a_text_or_several() {
    assert_eq!(claims(r#"{"aud":"a"}"#).audiences(), ["a"]);
    assert_eq!(claims(r#"{"aud":["a",1,"b"]}"#).audiences(), ["a", "b"]);
    assert!(claims(r#"{"aud":{"a":1}}"#).audiences().is_empty());
}

proptest! {
    #[test]
    fn foreign_tokens_never_panic(header in "[ -~]{0,80}", claims in "[ -~]{0,80}", rest in "[A-Za-z0-9_.-]{0,40}") {
        let token = format!("{}.{}.{rest}", encode(&header), encode(&claims));
        for token in [token.as_str(), rest.as_str()] {
            if let Ok(parsed) = Foreign::parse(token) {
                let _ = parsed.claimed_issuer();
                prop_assert!(parsed.verify(&PublicKey::RsaDer(vec![1, 2, 3])).is_err());
            }
        }
    }
}
