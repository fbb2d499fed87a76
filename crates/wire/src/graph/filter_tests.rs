#![allow(clippy::unwrap_used, clippy::expect_used)]
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn object() -> Map<String, Value> {
    let value = json!({
        "displayName": "Anna O'Hara", "appId": "x", "mailNickname": "anna", "accountEnabled": true,
        "servicePrincipalNames": ["x", "api://x"],
    });
    value.as_object().unwrap().clone()
}

#[test]
fn filters_choose() {
    for (filter, expected) in [
        ("displayName eq 'anna o''hara'", true),
        ("displayName eq 'anna'", false),
        ("startswith(displayName,'ANN')", true),
        (
            "startswith(displayName,'x') or mailNickname eq 'anna'",
            true,
        ),
        (
            "startswith(displayName,'ann') and mailNickname eq 'x'",
            false,
        ),
        ("servicePrincipalNames/any(c:c eq 'API://X')", true),
        ("servicePrincipalNames/any(c:c eq 'y')", false),
        ("not (accountEnabled eq false)", true),
        ("appId in ('a', 'x')", true),
        ("appId ne 'x'", false),
        ("missing eq null", true),
    ] {
        let filter_of = Filter::parse(filter).unwrap();
        assert_eq!(filter_of.matches(&object()), expected, "{filter}");
    }
    let filter = Filter::parse("appId eq 'x' and startswith(displayName,'a')").unwrap();
    assert_eq!(filter.demands("appId"), Some("x"));
    assert_eq!(filter.demands("displayName"), None);
}

#[test]
fn what_cannot_be_read_is_refused_with_its_place() {
    for (filter, place) in [
        ("", 1),
        ("displayName", 12),
        ("displayName eq", 15),
        ("displayName eq 'x", 16),
        ("a eq 'b' c", 10),
        ("é eq 'b'", 1),
        ("a/any(b:c eq 'x')", 10),
    ] {
        let refused = Filter::parse(filter);
        assert_eq!(refused, Err(FilterError::Syntax(place)), "{filter}");
    }
    let deep = format!("{}a eq 'b'{}", "(".repeat(100), ")".repeat(100));
    assert_eq!(Filter::parse(&deep), Err(FilterError::TooLarge));
    let nots = format!("{}a eq 'b'", "not ".repeat(900));
    assert_eq!(Filter::parse(&nots), Err(FilterError::TooLarge));
    let many = vec!["a eq 'b'"; 100].join(" or ");
    assert_eq!(Filter::parse(&many), Err(FilterError::TooLarge));
}

proptest! {
    #[test]
    fn foreign_filters_never_panic(text in "[a-z()',:/ é]{0,60}") {
        if let Ok(filter) = Filter::parse(&text) {
            let _ = filter.matches(&object());
        }
    }

    #[test]
    fn any_text_can_be_compared_with(text in "[^\u{0}]{0,20}") {
        let filter = format!("displayName eq '{}'", text.replace('\'', "''"));
        let filter = Filter::parse(&filter).unwrap();
        prop_assert_eq!(filter.demands("displayName"), Some(text.as_str()));
    }
}
