//! Bodies and filters of the management plane: whatever comes is read or refused, and bounded.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use lazuli_wire::arm::{
    AssignmentBody, BodyError, CheckName, DefinitionBody, Filter, GenerateCredentials, GroupBody,
    LockBody, RegistryBody, ScopeMapBody, TokenBody, read_object,
};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Any JSON, with the names that bodies have among its fields.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        Just(json!("enabled")),
        Just(json!("Disabled")),
    ];
    let name = prop_oneof![
        Just("properties"),
        Just("policies"),
        Just("networkRuleSet"),
        Just("ipRules"),
        Just("sku"),
        Just("name"),
        Just("credentials"),
        Just("passwords"),
        Just("permissions"),
        Just("status"),
        Just("tags"),
    ];
    let name = prop_oneof![name.prop_map(str::to_owned), "[a-zA-Z]{0,10}"];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::btree_map(name.clone(), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_body_is_read_or_refused_in_words(value in any_json()) {
        let Ok(body) = read_object(value.to_string().as_bytes()) else {
            prop_assert!(!value.is_object());
            return Ok(());
        };
        let outcomes: [Result<(), BodyError>; 9] = [
            RegistryBody::read(body.clone()).map(drop),
            GroupBody::read(body.clone()).map(drop),
            CheckName::read(body.clone()).map(drop),
            GenerateCredentials::read(body.clone()).map(drop),
            ScopeMapBody::read(body.clone()).map(drop),
            TokenBody::read(body.clone()).map(drop),
            AssignmentBody::read(body.clone()).map(drop),
            DefinitionBody::read(body.clone()).map(drop),
            LockBody::read(body).map(drop),
        ];
        for error in outcomes.into_iter().filter_map(Result::err) {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn any_bytes_are_an_object_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read_object(&bytes);
    }

    #[test]
    fn any_filter_is_read_or_refused(text in "\\PC{0,60}") {
        let _ = Filter::parse(&text);
    }

    #[test]
    fn a_value_in_a_filter_is_read_as_it_was_written(value in "[^\\x00]{0,40}") {
        let text = format!("name eq '{}' and atScope()", value.replace('\'', "''"));
        let filter = Filter::parse(&text).unwrap();
        prop_assert_eq!(filter.name, Some(value));
        prop_assert!(filter.at_scope);
    }

    /// Nothing of a property that is not known is ever taken in silence.
    #[test]
    fn an_unknown_property_that_says_something_is_refused(name in "x[a-zA-Z]{1,10}", number in 1_i64..) {
        let body = json!({"properties": {"adminUserEnabled": true, name.clone(): number}});
        let read = RegistryBody::read(read_object(body.to_string().as_bytes()).unwrap());
        prop_assert_eq!(read, Err(BodyError::Unknown(format!("properties.{name}"))));
    }
}
