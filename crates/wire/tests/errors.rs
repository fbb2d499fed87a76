//! Error codes and error bodies.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::collections::HashSet;

use lazuli_wire::oci::{ErrorCode, error_body};
use proptest::prelude::*;
use serde_json::{Value, json};

#[test]
fn codes_are_distinct_upper_case_words_and_the_specifications_are_among_them() {
    let codes: HashSet<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(codes.len(), ErrorCode::ALL.len());
    assert!(codes.iter().all(|code| {
        code.bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte == b'_')
    }));
    for code in [
        "BLOB_UNKNOWN",
        "BLOB_UPLOAD_INVALID",
        "BLOB_UPLOAD_UNKNOWN",
        "DIGEST_INVALID",
        "MANIFEST_BLOB_UNKNOWN",
        "MANIFEST_INVALID",
        "MANIFEST_UNKNOWN",
        "NAME_INVALID",
        "NAME_UNKNOWN",
        "SIZE_INVALID",
        "UNAUTHORIZED",
        "DENIED",
        "UNSUPPORTED",
        "TOOMANYREQUESTS",
        "TAG_INVALID",
        "TAG_UNKNOWN",
        "RANGE_INVALID",
        "PAGINATION_NUMBER_INVALID",
        "MANIFEST_UNVERIFIED",
    ] {
        assert!(codes.contains(code), "{code}");
    }
    assert!(ErrorCode::ALL.iter().all(|code| !code.message().is_empty()));
}

#[test]
fn bodies_have_the_form_of_the_specification_and_end_with_a_line_feed() {
    let body = error_body(&[
        (
            ErrorCode::ManifestUnknown,
            ErrorCode::ManifestUnknown.message(),
            Some(json!({"Tag": "v1"})),
        ),
        (ErrorCode::TagInvalid, "no \"tag\"", None),
    ]);
    assert_eq!(
        String::from_utf8(body).unwrap(),
        "{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\",\"message\":\"manifest unknown to registry\",\"detail\":{\"Tag\":\"v1\"}},\
         {\"code\":\"TAG_INVALID\",\"message\":\"no \\\"tag\\\"\"}]}\n"
    );
}

proptest! {
    #[test]
    fn any_message_is_carried(message in any::<String>(), detail in prop::option::of(any::<String>())) {
        let body = error_body(&[(ErrorCode::Denied, &message, detail.clone().map(Value::String))]);
        let value: Value = serde_json::from_slice(&body).unwrap();
        prop_assert_eq!(value["errors"][0]["message"].as_str(), Some(message.as_str()));
        prop_assert_eq!(value["errors"][0]["detail"].as_str(), detail.as_deref());
    }
}
