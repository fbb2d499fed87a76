//! Repository names, tags, references and upload identifiers against simple models of their grammars.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use lazuli_wire::oci::{
    Digest, DigestError, NameError, Reference, ReferenceError, RepositoryName, Tag, TagError,
    UploadId,
};
use proptest::prelude::*;

const NAME: &str = "[a-z0-9]{1,4}((\\.|_|__|-{1,3})[a-z0-9]{1,3}){0,2}(/[a-z0-9]{1,4}((\\.|_|__|-{1,3})[a-z0-9]{1,3}){0,2}){0,3}";

/// The grammar of the specification, component by component and run by run.
fn is_name(text: &str) -> bool {
    let is_run = |byte: char| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.len() <= 255
        && text.split('/').all(|component| {
            let separators: Vec<&str> = component
                .split(is_run)
                .filter(|separator| !separator.is_empty())
                .collect();
            component.starts_with(is_run)
                && component.ends_with(is_run)
                && separators.iter().all(|separator| {
                    matches!(*separator, "." | "_" | "__")
                        || separator.chars().all(|dash| dash == '-')
                })
        })
}

fn is_tag(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || "_.-".contains(letter))
        && !text.starts_with(['.', '-'])
}

#[test]
fn names_of_the_wild_are_read() {
    for name in [
        "a",
        "0",
        "library/busybox",
        "a__b",
        "a---b",
        "a.b_c-d/e.f",
        "blobs/uploads",
        "manifests/tags/list",
    ] {
        assert_eq!(RepositoryName::parse(name).unwrap().as_str(), name);
    }
}

#[test]
fn names_outside_the_grammar_are_refused() {
    assert_eq!(RepositoryName::parse(""), Err(NameError::Empty));
    for name in [
        "A", "a/", "/a", "a//b", ".", "..", "a/../b", "a/./b", "a..b", "a___b", "a._b", "a_.b",
        "-a", "a-", "_a", "a_", "a/_b", "a b", "a%2fb", "a\\b", "a\0", "é", "a:b", "a@b",
        "_catalog", "a/_oci",
    ] {
        assert_eq!(
            RepositoryName::parse(name),
            Err(NameError::Malformed),
            "{name:?}"
        );
    }
}

#[test]
fn lengths_are_bounded_exactly() {
    assert!(RepositoryName::parse(&"a".repeat(255)).is_ok());
    assert_eq!(
        RepositoryName::parse(&"a".repeat(256)),
        Err(NameError::TooLong)
    );
    assert!(Tag::parse(&"a".repeat(128)).is_ok());
    assert_eq!(Tag::parse(&"a".repeat(129)), Err(TagError::TooLong));
    assert_eq!(Tag::parse(""), Err(TagError::Empty));
}

#[test]
fn a_reference_is_a_digest_exactly_when_it_has_a_colon() {
    assert_eq!(
        Reference::parse("v1.0").unwrap().tag().unwrap().as_str(),
        "v1.0"
    );
    let digest = format!("sha256:{}", "a".repeat(64));
    assert_eq!(
        Reference::parse(&digest)
            .unwrap()
            .digest()
            .unwrap()
            .to_string(),
        digest
    );
    assert_eq!(
        Reference::parse("v1:"),
        Err(ReferenceError::Digest(DigestError::Malformed))
    );
    assert_eq!(
        Reference::parse(".v1"),
        Err(ReferenceError::Tag(TagError::Malformed))
    );
}

#[test]
fn upload_ids_are_uuids_in_one_form() {
    let text = "0189abcd-ef01-4234-9678-9abcdef01234";
    let id = UploadId::parse(text).unwrap();
    assert_eq!(id.to_string(), text);
    assert_eq!(UploadId::parse(&text.to_uppercase()).unwrap(), id);
    for wrong in [
        "",
        "0189abcdef0142349678 9abcdef01234",
        "0189abcdef01423496789abcdef01234",
        "{0189abcd-ef01-4234-9678-9abcdef01234}",
        "0189abcd-ef01-4234-9678-9abcdef0123",
        "0189abcd-ef01-4234-9678-9abcdef012345",
        "0189abcd-ef01-4234-9678-9abcdef0123g",
        "0189abcd+ef01-4234-9678-9abcdef01234",
        "0189abcd-ef01-4234-9678-9abcdef0123é",
    ] {
        assert!(UploadId::parse(wrong).is_err(), "{wrong}");
    }
    let random = UploadId::from_random([0xff; 16]).to_string();
    assert_eq!(random, "ffffffff-ffff-4fff-bfff-ffffffffffff");
}

#[test]
fn names_and_tags_pass_through_json_and_are_checked_on_the_way_in() {
    let name: RepositoryName = serde_json::from_str("\"a/b\"").unwrap();
    assert_eq!(serde_json::to_string(&name).unwrap(), "\"a/b\"");
    assert!(serde_json::from_str::<RepositoryName>("\"A\"").is_err());
    assert!(serde_json::from_str::<Tag>("\".\"").is_err());
    assert!(serde_json::from_str::<Digest>("\"sha256:0\"").is_err());
    assert!(serde_json::from_str::<Tag>("1").is_err());
}

proptest! {
    #[test]
    fn names_of_the_grammar_are_read_and_shown_unchanged(name in NAME) {
        prop_assert!(is_name(&name));
        prop_assert_eq!(RepositoryName::parse(&name).unwrap().to_string(), name);
    }

    #[test]
    fn names_agree_with_the_model(text in "[a-c0/._A-]{0,12}") {
        prop_assert_eq!(RepositoryName::parse(&text).is_ok(), is_name(&text), "{}", text);
    }

    #[test]
    fn names_of_any_text_agree_with_the_model(text in any::<String>()) {
        prop_assert_eq!(RepositoryName::parse(&text).is_ok(), is_name(&text));
    }

    #[test]
    fn tags_agree_with_the_model(text in "[a-bA-B0_./:-]{0,6}|[a-z]{120,135}|.{0,10}") {
        prop_assert_eq!(Tag::parse(&text).is_ok(), is_tag(&text), "{}", text);
    }

    #[test]
    fn references_are_shown_as_they_were_read(text in "[a-z0-9]{1,5}|sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}|.{0,20}") {
        if let Ok(reference) = Reference::parse(&text) {
            prop_assert_eq!(reference.to_string(), text);
        }
    }

    #[test]
    fn upload_ids_round_trip(bytes in any::<[u8; 16]>()) {
        let id = UploadId::from_bytes(bytes);
        prop_assert_eq!(UploadId::parse(&id.to_string()), Ok(id));
        prop_assert_eq!(*id.as_bytes(), bytes);
    }

    #[test]
    fn upload_ids_that_are_read_are_shown_the_same(text in "[0-9a-fA-F-]{34,38}|.{0,40}") {
        if let Ok(id) = UploadId::parse(&text) {
            prop_assert_eq!(id.to_string(), text.to_lowercase());
        }
    }
}
