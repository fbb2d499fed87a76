//! Properties of any route and of any path.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use http::Method;
use lazuli_wire::oci::{
    Digest, Endpoint, Reference, RepositoryName, Route, RouteError, Tag, UploadId,
};
use proptest::prelude::*;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn get(path: &str) -> Result<Route, RouteError> {
    Route::parse(&Method::GET, path)
}

fn name(text: &str) -> RepositoryName {
    RepositoryName::parse(text).unwrap()
}

fn digest() -> Digest {
    Digest::parse(DIGEST).unwrap()
}

/// A method the endpoint has.
fn method(endpoint: Endpoint) -> Method {
    let first = endpoint.allowed_methods().split(", ").next().unwrap();
    Method::try_from(first).unwrap()
}

/// Names whose components are often the words of routes.
fn any_name() -> impl Strategy<Value = RepositoryName> {
    let component = prop_oneof![
        "[a-z0-9]{1,3}",
        prop::sample::select(vec![
            "blobs",
            "uploads",
            "manifests",
            "tags",
            "list",
            "referrers",
            "v2",
            "ext",
            "discover"
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec(component, 1..5).prop_map(|components| name(&components.join("/")))
}

fn any_route() -> impl Strategy<Value = Route> {
    let tag = "[a-zA-Z0-9_][a-zA-Z0-9._-]{0,8}|list|uploads|discover"
        .prop_map(|text| Tag::parse(&text).unwrap().into());
    let reference = prop_oneof![tag, Just(Reference::Digest(digest()))];
    prop_oneof![
        Just(Route::Base),
        Just(Route::Catalog),
        prop::option::of(any_name()).prop_map(|name| Route::ExtensionDiscovery { name }),
        any_name().prop_map(|name| Route::Tags { name }),
        (any_name(), reference).prop_map(|(name, reference)| Route::Manifest { name, reference }),
        any_name().prop_map(|name| Route::Blob {
            name,
            digest: digest()
        }),
        any_name().prop_map(|name| Route::Uploads { name }),
        (any_name(), any::<[u8; 16]>()).prop_map(|(name, id)| Route::Upload {
            name,
            id: UploadId::from_bytes(id)
        }),
        any_name().prop_map(|name| Route::Referrers {
            name,
            digest: digest()
        }),
    ]
}

/// Escapes what Azure's clients escape: slashes in the name, colons in the last part.
fn as_azure_writes_it(route: &Route) -> String {
    let path = route.to_string();
    let Some(name) = route.name() else {
        return path;
    };
    let rest = path.strip_prefix(&format!("/v2/{name}")).unwrap();
    format!(
        "/v2/{}{}",
        name.replace('/', "%2F"),
        rest.replace(':', "%3A")
    )
}

proptest! {
    #[test]
    fn a_written_route_is_read_as_itself(route in any_route()) {
        let method = method(route.endpoint());
        prop_assert_eq!(Route::parse(&method, &route.to_string()), Ok(route.clone()));
    }

    #[test]
    fn a_route_with_an_encoded_name_is_the_same_route(route in any_route()) {
        let method = method(route.endpoint());
        prop_assert_eq!(Route::parse(&method, &as_azure_writes_it(&route)), Ok(route.clone()));
    }

    #[test]
    fn what_is_read_is_written_back(path in "/v2/([a-b]|/|blobs|uploads|manifests|tags|list|%2F|%2e|%25|\\.|_|sha256:0){0,9}") {
        for method in [Method::GET, Method::POST] {
            if let Ok(route) = Route::parse(&method, &path) {
                let decoded = path.replace("%2F", "/").replace("%2e", ".");
                let written = route.to_string();
                prop_assert_eq!(written.trim_end_matches('/'), decoded.trim_end_matches('/'));
                prop_assert!(route.permission(&method).is_some());
            }
        }
    }

    #[test]
    fn no_path_panics(path in any::<String>(), tail in "[/%.a-z0-9:_\\\\]{0,30}") {
        let _ = get(&path);
        let _ = get(&format!("/v2/{tail}"));
        let _ = get(&format!("/v2/{path}/manifests/{tail}"));
    }

    #[test]
    fn dot_segments_never_reach_a_route(before in "[a-z]{1,3}", after in "[a-z]{1,3}", dots in "\\.{1,2}|%2[eE]|\\.%2[eE]|%2[eE]%2[eE]") {
        for path in [
            format!("/v2/{before}/{dots}/{after}/tags/list"),
            format!("/v2/{before}/{dots}/tags/list"),
            format!("/v2/{dots}/{after}/tags/list"),
            format!("/v2/{before}%2F{dots}%2F{after}/tags/list"),
            format!("/v2/{before}/manifests/{dots}"),
        ] {
            prop_assert_eq!(get(&path), Err(RouteError::HostilePath), "{}", path);
        }
    }
}
