use super::*;
use proptest::prelude::*;

fn scope(text: &str) -> ArmScope {
    ArmScope::parse(text).unwrap()
}

const REGISTRY: &str =
    "/subscriptions/S/resourceGroups/Prod.RG/providers/Microsoft.ContainerRegistry/registries/Hub";

#[test]
fn the_parts_of_a_registry_are_named() {
    let registry = scope(REGISTRY);
    assert_eq!(registry.subscription_id(), Some("S"));
    assert_eq!(registry.resource_group_name(), Some("Prod.RG"));
    assert_eq!(
        registry.resource(),
        Some(("Microsoft.ContainerRegistry/registries".to_owned(), "Hub"))
    );
    assert_eq!(registry.name(), "Hub");
    let token = scope(&format!("{REGISTRY}/tokens/ci/"));
    assert_eq!(token.as_str(), format!("{REGISTRY}/tokens/ci"));
    assert_eq!(
        token.resource(),
        Some((
            "Microsoft.ContainerRegistry/registries/tokens".to_owned(),
            "ci"
        ))
    );
    assert_eq!(
        token.ancestor_keys().collect::<Vec<_>>(),
        [
            format!("{REGISTRY}/tokens/ci").to_lowercase(),
            REGISTRY.to_lowercase(),
            "/subscriptions/s/resourcegroups/prod.rg".to_owned(),
            "/subscriptions/s".to_owned(),
            "/".to_owned(),
        ]
    );
    assert_eq!(ArmScope::root().ancestor_keys().collect::<Vec<_>>(), ["/"]);
    let group = scope("/providers/Microsoft.Management/managementGroups/Top");
    assert_eq!(group.management_group(), Some("Top"));
}

#[test]
fn whole_segments_hold_each_other_in_any_case() {
    assert!(scope("/subscriptions/s/RESOURCEgroups/prod.rg").contains(&scope(REGISTRY)));
    assert!(!scope("/subscriptions/s/resourceGroups/prod").contains(&scope(REGISTRY)));
    assert!(scope("/").contains(&scope(REGISTRY)));
    assert!(!scope(REGISTRY).contains(&scope("/")));
    assert_eq!(scope(REGISTRY), scope(&REGISTRY.to_uppercase()));
}

#[test]
fn what_is_no_resource_is_refused() {
    for (text, error) in [
        ("", ArmScopeError::Relative),
        ("subscriptions/a", ArmScopeError::Relative),
        ("//", ArmScopeError::Shape),
        ("/subscriptions", ArmScopeError::Shape),
        ("/subscriptions/a/b", ArmScopeError::Shape),
        ("/subscriptions/a/resourceGroups", ArmScopeError::Shape),
        (
            "/subscriptions//resourceGroups/b",
            ArmScopeError::Segment(2),
        ),
        ("/subscriptions/..", ArmScopeError::Segment(2)),
        ("/subscriptions/a b", ArmScopeError::Segment(2)),
        ("/subscriptions/a/providers/N/t", ArmScopeError::Shape),
        ("/subscriptions/a/providers/N/t/n/u", ArmScopeError::Shape),
        ("/tenants/a", ArmScopeError::Shape),
    ] {
        if text == "//" {
            assert_eq!(ArmScope::parse(text), Ok(ArmScope::root()));
        } else {
            assert_eq!(ArmScope::parse(text), Err(error), "{text}");
        }
    }
    let long = format!("/subscriptions/{}", "a".repeat(MAX_SCOPE));
    assert_eq!(ArmScope::parse(&long), Err(ArmScopeError::TooLong));
    let deep = format!("/subscriptions/a/providers/n{}", "/t/n".repeat(40));
    assert_eq!(ArmScope::parse(&deep), Err(ArmScopeError::TooLong));
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,80}") {
        if let Ok(scope) = ArmScope::parse(&text) {
            prop_assert_eq!(ArmScope::parse(scope.as_str()), Ok(scope.clone()));
            prop_assert!(scope.contains(&scope));
            prop_assert!(ArmScope::root().contains(&scope));
        }
    }

    #[test]
    fn each_ancestor_holds_the_scope(parts in proptest::collection::vec("[a-zA-Z0-9._()-]{1,8}", 1..6)) {
        let mut text = format!("/subscriptions/{}", parts[0]);
        for part in &parts[1..] {
            text = format!("{text}/providers/Ns/t/{part}");
        }
        if let Ok(scope) = ArmScope::parse(&text) {
            for key in scope.ancestor_keys() {
                prop_assert!(ArmScope::parse(key).unwrap().contains(&scope));
            }
        }
    }
}
