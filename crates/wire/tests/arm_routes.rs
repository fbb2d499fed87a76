//! Paths of the management plane: what each is, what it needs, and what no path can do.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use http::Method;
use lazuli_wire::arm::{Route, RouteError, Rule, Verb};
use lazuli_wire::rbac::ArmAction;
use proptest::prelude::*;

const S: &str = "11111111-2222-3333-4444-555555555555";
const ROLE: &str = "7f951dda-4ed3-4680-a7ca-43fe172d538d";

fn parse(method: &str, path: &str) -> Result<Route, RouteError> {
    Route::parse(&method.parse::<Method>().unwrap(), path)
}

/// The rule in one line: what is needed, and where.
fn rule(method: &str, path: &str) -> String {
    let route = parse(method, path).unwrap_or_else(|error| panic!("{method} {path}: {error}"));
    match route.rule().unwrap() {
        Rule::Public => "public".to_owned(),
        Rule::SignedIn => "signed in".to_owned(),
        Rule::Shows { action, scope } => format!("shows {action} @ {scope}"),
        Rule::Needs { action, scope } => {
            ArmAction::parse(&action).unwrap();
            format!("{action} @ {scope}")
        }
    }
}

#[test]
fn every_route_has_its_rule() {
    let group = format!("/subscriptions/{S}/resourceGroups/Prod");
    let hub = format!("{group}/providers/Microsoft.ContainerRegistry/registries/Hub");
    let acr = "Microsoft.ContainerRegistry/registries";
    let auth = "providers/Microsoft.Authorization";
    let at_s = |action: &str| format!("{action} @ /subscriptions/{S}");
    let at_group = |action: &str| format!("{action} @ {group}");
    let at_hub = |action: &str| format!("{acr}/{action} @ {hub}");
    let groups = "Microsoft.Resources/subscriptions/resourceGroups";
    let cases = [
        ("GET", "/metadata/endpoints".to_owned(), "public".to_owned()),
        ("GET", "//metadata/endpoints".into(), "public".into()),
        ("GET", "/tenants".into(), "signed in".into()),
        ("GET", "/providers".into(), "signed in".into()),
        (
            "GET",
            "/providers/Microsoft.ContainerRegistry".into(),
            "signed in".into(),
        ),
        (
            "GET",
            "/providers/Microsoft.ContainerRegistry/operations".into(),
            "signed in".into(),
        ),
        (
            "GET",
            "/subscriptions".into(),
            "shows Microsoft.Resources/subscriptions/read @ /".into(),
        ),
        (
            "GET",
            format!("/subscriptions/{S}"),
            at_s("shows Microsoft.Resources/subscriptions/read"),
        ),
        (
            "GET",
            format!("/subscriptions/{S}/locations"),
            at_s("Microsoft.Resources/subscriptions/locations/read"),
        ),
        (
            "GET",
            format!("/subscriptions/{S}/resources"),
            at_s("shows Microsoft.Resources/subscriptions/resources/read"),
        ),
        (
            "GET",
            format!("{group}/resources"),
            at_group("shows Microsoft.Resources/subscriptions/resources/read"),
        ),
        (
            "GET",
            format!("/SUBSCRIPTIONS/{S}/resourcegroups"),
            at_s(&format!("shows {groups}/read")),
        ),
        ("HEAD", group.clone(), at_group(&format!("{groups}/read"))),
        ("PUT", group.clone(), at_group(&format!("{groups}/write"))),
        ("PATCH", group.clone(), at_group(&format!("{groups}/write"))),
        (
            "DELETE",
            group.clone(),
            at_group(&format!("{groups}/delete")),
        ),
        (
            "GET",
            format!("/subscriptions/{S}/providers/X.Y"),
            at_s("Microsoft.Resources/subscriptions/providers/read"),
        ),
        (
            "POST",
            format!("/subscriptions/{S}/providers/X.Y/register"),
            at_s("X.Y/register/action"),
        ),
        (
            "POST",
            format!(
                "/subscriptions/{S}/providers/Microsoft.ContainerRegistry/checkNameAvailability"
            ),
            at_s("Microsoft.ContainerRegistry/checkNameAvailability/read"),
        ),
        (
            "GET",
            format!("{group}/providers/{acr}"),
            at_group(&format!("shows {acr}/read")),
        ),
        (
            "GET",
            format!("/subscriptions/{S}/providers/{acr}/"),
            at_s(&format!("shows {acr}/read")),
        ),
        ("GET", hub.clone(), at_hub("read")),
        (
            "GET",
            hub.replace("/registries", "//registries"),
            at_hub("read"),
        ),
        ("PUT", hub.clone(), at_hub("write")),
        ("PATCH", hub.clone(), at_hub("write")),
        ("DELETE", hub.clone(), at_hub("delete")),
        (
            "GET",
            format!("{hub}/LISTUSAGES"),
            at_hub("listUsages/read"),
        ),
        (
            "POST",
            format!("{hub}/listCredentials"),
            at_hub("listCredentials/action"),
        ),
        (
            "POST",
            format!("{hub}/regenerateCredential"),
            at_hub("regenerateCredential/action"),
        ),
        (
            "POST",
            format!("{hub}/generateCredentials"),
            at_hub("generateCredentials/action"),
        ),
        ("GET", format!("{hub}/scopeMaps"), at_hub("scopeMaps/read")),
        (
            "PUT",
            format!("{hub}/scopemaps/m"),
            format!("{acr}/scopeMaps/write @ {hub}/scopeMaps/m"),
        ),
        (
            "DELETE",
            format!("{hub}/tokens/t"),
            format!("{acr}/tokens/delete @ {hub}/tokens/t"),
        ),
        ("GET", format!("{hub}/webhooks"), at_hub("webhooks/read")),
        (
            "PUT",
            format!("{hub}/cacheRules/r"),
            format!("{acr}/cacheRules/write @ {hub}/cacheRules/r"),
        ),
        (
            "POST",
            format!("{hub}/webhooks/w/ping"),
            format!("{acr}/webhooks/ping/action @ {hub}/webhooks/w"),
        ),
        (
            "POST",
            format!("{hub}/importImage"),
            at_hub("importImage/action"),
        ),
        (
            "POST",
            format!("{hub}/scheduleRun"),
            at_hub("scheduleRun/action"),
        ),
        (
            "PUT",
            format!("{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id1"),
            format!(
                "Microsoft.ManagedIdentity/userAssignedIdentities/write @ \
                 {group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id1"
            ),
        ),
        (
            "GET",
            format!("/{auth}/roleDefinitions"),
            "Microsoft.Authorization/roleDefinitions/read @ /".into(),
        ),
        (
            "PUT",
            format!("{hub}/{auth}/roleAssignments/{ROLE}"),
            format!("Microsoft.Authorization/roleAssignments/write @ {hub}"),
        ),
        (
            "DELETE",
            format!("{hub}/tokens/t/{auth}/roleAssignments/{ROLE}"),
            format!("Microsoft.Authorization/roleAssignments/delete @ {hub}/tokens/t"),
        ),
        (
            "GET",
            format!("{group}/{auth}/denyAssignments"),
            at_group("Microsoft.Authorization/denyAssignments/read"),
        ),
        (
            "PUT",
            format!("{group}/{auth}/locks/l"),
            at_group("Microsoft.Authorization/locks/write"),
        ),
        (
            "DELETE",
            format!("{group}/{auth}/locks/l"),
            at_group("Microsoft.Authorization/locks/delete"),
        ),
    ];
    for (method, path, expected) in cases {
        assert_eq!(rule(method, &path), expected, "{method} {path}");
    }
}

#[test]
fn names_keep_their_case_and_are_decoded_once() {
    let path = format!(
        "/subscriptions/{S}/resourcegroups/My%20Group/providers/microsoft.containerregistry/Registries/HuB"
    );
    let Route::Registry(registry, Verb::Get) = parse("GET", &path).unwrap() else {
        panic!("another route");
    };
    assert_eq!(
        (&*registry.group.name, &*registry.name),
        ("My Group", "HuB")
    );
    // No resource is called so, and the rule says it.
    assert_eq!(parse("GET", &path).unwrap().rule(), Err(RouteError::Scope));
}

#[test]
fn what_is_no_endpoint_says_why() {
    let group = format!("/subscriptions/{S}/resourceGroups/g");
    let acr = "providers/Microsoft.ContainerRegistry";
    let not_found = RouteError::NotFound;
    for (method, path, expected) in [
        ("GET", "/".to_owned(), not_found.clone()),
        ("GET", "/subscription".into(), not_found.clone()),
        (
            "GET",
            "/subscriptions/x".into(),
            RouteError::NotGuid("x".into()),
        ),
        (
            "GET",
            format!("/subscriptions/{S}/other"),
            not_found.clone(),
        ),
        (
            "GET",
            format!("/subscriptions/{S}/{acr}/registries/r"),
            not_found,
        ),
        (
            "GET",
            format!("{group}/providers/Microsoft.Storage/accounts/a"),
            RouteError::Provider("Microsoft.Storage".into()),
        ),
        (
            "GET",
            format!("{group}/{acr}/capacityReservations/a"),
            RouteError::Type("Microsoft.ContainerRegistry/capacityReservations".into()),
        ),
        (
            "GET",
            format!("{group}/{acr}/registries/r/other"),
            RouteError::Type("Microsoft.ContainerRegistry/registries/other".into()),
        ),
        ("GET", format!("{group}/%2e%2e/x"), RouteError::Malformed),
        ("GET", format!("{group}/a%2fb"), RouteError::Malformed),
        ("GET", format!("{group}/a%252fb"), RouteError::Malformed),
        ("GET", format!("{group}/%00"), RouteError::Malformed),
        (
            "GET",
            format!("/{}", "a/".repeat(50)),
            RouteError::Malformed,
        ),
        (
            "GET",
            format!("/{}", "a".repeat(5000)),
            RouteError::Malformed,
        ),
        (
            "POST",
            "/subscriptions".into(),
            RouteError::MethodNotAllowed { allow: "GET" },
        ),
        (
            "PATCH",
            format!("{group}/providers/Microsoft.Authorization/locks/l"),
            RouteError::MethodNotAllowed {
                allow: "GET, PUT, DELETE",
            },
        ),
        (
            "GET",
            format!("{group}/{acr}/registries/r/listCredentials"),
            RouteError::MethodNotAllowed { allow: "POST" },
        ),
    ] {
        assert_eq!(parse(method, &path), Err(expected), "{method} {path}");
    }
}

fn segment() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("subscriptions".to_owned()),
        Just(S.to_owned()),
        Just("resourceGroups".to_owned()),
        Just("providers".to_owned()),
        Just("Microsoft.ContainerRegistry".to_owned()),
        Just("Microsoft.Authorization".to_owned()),
        Just("registries".to_owned()),
        Just("roleAssignments".to_owned()),
        Just("locks".to_owned()),
        Just("tokens".to_owned()),
        "[a-zA-Z0-9._-]{1,12}",
        "\\PC{0,6}",
        "%[0-9a-f]{2}",
    ]
}

proptest! {
    #[test]
    fn any_path_is_a_route_with_a_rule_or_refused(
        segments in proptest::collection::vec(segment(), 0..14),
        method in prop_oneof![Just("GET"), Just("HEAD"), Just("PUT"), Just("PATCH"), Just("DELETE"), Just("POST"), Just("TRACE")],
    ) {
        let path = format!("/{}", segments.join("/"));
        if let Ok(route) = parse(method, &path) {
            // A rule that is not public names a scope below what the path says; slashes of the path are those of the scope.
            if let Ok(Rule::Needs { scope, .. } | Rule::Shows { scope, .. }) = route.rule() {
                prop_assert!(scope.as_str().matches('/').count() <= path.matches('/').count());
            }
            // The same in another case is the same kind of route with the same rule.
            let upper = parse(method, &path.to_uppercase());
            if !path.contains('%') && path.is_ascii() {
                prop_assert!(upper.is_ok());
                prop_assert_eq!(
                    std::mem::discriminant(&upper.unwrap()),
                    std::mem::discriminant(&route)
                );
            }
        }
    }

    #[test]
    fn only_what_is_known_to_be_public_is_public(path in "/[a-z/]{0,40}") {
        if let Ok(route) = parse("GET", &path)
            && route.rule() == Ok(Rule::Public)
        {
            prop_assert_eq!(route, Route::Metadata);
        }
    }
}
