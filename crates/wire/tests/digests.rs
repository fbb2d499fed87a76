//! Digests against a simple model of their grammar.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::hash::{BuildHasher, RandomState};

use lazuli_wire::oci::{Algorithm, Digest, DigestError};
use proptest::prelude::*;

const EMPTY_SHA256: &str =
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const ABC_SHA512: &str = "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";

#[derive(Debug, PartialEq)]
enum Model {
    Good,
    Malformed,
    Unsupported,
}

/// The grammar of image-spec, and what it says of registered algorithms.
fn model(text: &str) -> Model {
    let alphanumeric = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    let hex = |text: &str, length| {
        text.len() == length && text.chars().all(|digit| "0123456789abcdef".contains(digit))
    };
    let Some((algorithm, encoded)) = text.split_once(':') else {
        return Model::Malformed;
    };
    let components: Vec<&str> = algorithm.split(['+', '.', '_', '-']).collect();
    let grammatical = components
        .iter()
        .all(|part| !part.is_empty() && part.chars().all(alphanumeric))
        && !encoded.is_empty()
        && encoded
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || "=_-".contains(letter));
    match algorithm {
        _ if !grammatical => Model::Malformed,
        "sha256" if hex(encoded, 64) => Model::Good,
        "sha512" if hex(encoded, 128) => Model::Good,
        "blake3" if hex(encoded, 64) => Model::Unsupported,
        "sha256" | "sha512" | "blake3" => Model::Malformed,
        _ => Model::Unsupported,
    }
}

fn outcome(text: &str) -> Model {
    match Digest::parse(text) {
        Ok(_) => Model::Good,
        Err(DigestError::Malformed) => Model::Malformed,
        Err(DigestError::Unsupported { .. }) => Model::Unsupported,
    }
}

#[test]
fn digests_of_content_are_those_of_the_published_vectors() {
    assert_eq!(Digest::of(Algorithm::Sha256, b"").to_string(), EMPTY_SHA256);
    assert_eq!(
        Digest::of(Algorithm::Sha512, b"abc").to_string(),
        ABC_SHA512
    );
}

#[test]
fn well_formed_digests_of_other_algorithms_are_unsupported() {
    let blake3 = format!("blake3:{}", "0".repeat(64));
    for text in [
        blake3.as_str(),
        "sha384:abc",
        "multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8",
        "md5:0",
    ] {
        let Err(DigestError::Unsupported { algorithm }) = Digest::parse(text) else {
            panic!("{text}")
        };
        assert!(text.starts_with(&*algorithm));
    }
}

#[test]
fn malformed_digests_are_refused() {
    let upper = EMPTY_SHA256.to_uppercase().replace("SHA256", "sha256");
    for text in [
        "",
        ":",
        "sha256",
        "sha256:",
        ":abc",
        "sha256:abc",
        upper.as_str(),
        "SHA256:abc",
        "a++b:c",
        "+a:c",
        "a:b:c",
        "a:b/c",
        "blake3:abc",
        "sha256:../../etc/passwd",
        "a b:c",
        "sha256:\0",
    ] {
        assert_eq!(Digest::parse(text), Err(DigestError::Malformed), "{text}");
    }
    assert_eq!(
        Digest::parse(&format!("a:{}", "b".repeat(10_000))),
        Err(DigestError::Malformed)
    );
}

#[test]
fn stored_forms_with_a_foreign_code_or_length_are_refused() {
    assert_eq!(Digest::from_bytes(&[]), None);
    assert_eq!(Digest::from_bytes(&[0; 33]), None);
    assert_eq!(Digest::from_bytes(&[1; 65]), None);
    assert_eq!(Digest::from_bytes(&[2; 33]), None);
    assert_eq!(Digest::from_hash(Algorithm::Sha256, &[0; 64]), None);
}

#[test]
fn algorithms_keep_their_codes_because_they_are_stored() {
    assert_eq!(Algorithm::ALL.map(Algorithm::code), [1, 2]);
    for algorithm in Algorithm::ALL {
        assert_eq!(Algorithm::from_code(algorithm.code()), Some(algorithm));
        assert_eq!(Algorithm::parse(algorithm.as_str()), Some(algorithm));
    }
}

fn any_digest() -> impl Strategy<Value = Digest> {
    (any::<bool>(), any::<[u8; 8]>()).prop_map(|(wide, seed)| {
        Digest::of(
            if wide {
                Algorithm::Sha512
            } else {
                Algorithm::Sha256
            },
            &seed,
        )
    })
}

proptest! {
    #[test]
    fn digests_round_trip_as_text_as_bytes_and_as_json(digest in any_digest()) {
        prop_assert_eq!(Digest::parse(&digest.to_string()), Ok(digest));
        prop_assert_eq!(Digest::from_bytes(&digest.to_bytes()), Some(digest));
        prop_assert_eq!(Digest::from_hash(digest.algorithm(), digest.hash()), Some(digest));
        let json = serde_json::to_string(&digest).unwrap();
        prop_assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
        prop_assert!(digest.to_string().ends_with(&digest.to_hex()));
        prop_assert!(digest.to_string().len() <= Digest::MAX_LENGTH);
    }

    #[test]
    fn digests_compare_as_their_texts_do(left in any_digest(), right in any_digest()) {
        prop_assert_eq!(left.cmp(&right), left.to_string().cmp(&right.to_string()));
        prop_assert_eq!(left.to_bytes().cmp(&right.to_bytes()), left.cmp(&right));
        let state = RandomState::new();
        prop_assert_eq!(left == right, state.hash_one(left) == state.hash_one(right));
    }

    #[test]
    fn parsing_agrees_with_the_model(
        text in "(sha256|sha512|blake3|md5|sha256\\+b64|a[+._-]{0,2}b?):([0-9a-f]{64}|[0-9a-f]{128}|[0-9a-fA-F=_-]{0,5})|[a-z0-9:+._-]{0,12}|.{0,20}",
    ) {
        prop_assert_eq!(outcome(&text), model(&text), "{}", text);
    }

    #[test]
    fn one_changed_byte_never_yields_the_same_digest(digest in any_digest(), position in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let text = digest.to_string();
        let mut bytes = text.clone().into_bytes();
        let position = position.index(bytes.len());
        prop_assume!(bytes[position] != byte);
        bytes[position] = byte;
        if let Ok(changed) = std::str::from_utf8(&bytes) {
            prop_assert_ne!(Digest::parse(changed), Ok(digest));
        }
    }
}
