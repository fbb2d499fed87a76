//! Routes of the data plane: what is read, and what is not.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use http::Method;
use lazuli_wire::acr::{Endpoint, Route};
use lazuli_wire::oci::{Digest, Reference, RepositoryName, RouteError, Tag};
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

#[test]
fn both_encodings_of_names_and_digests_are_read() {
    let repository = Route::Repository {
        name: name("library/hello-world"),
    };
    for path in [
        "/acr/v1/library/hello-world",
        "/acr/v1/library%2Fhello-world",
        "/acr/v1/library%2fhello-world",
    ] {
        assert_eq!(get(path), Ok(repository.clone()), "{path}");
    }
    let manifest = Route::Manifest {
        name: name("library/hello-world"),
        digest: digest(),
    };
    let escaped = DIGEST.replace(':', "%3A");
    for path in [
        format!("/acr/v1/library/hello-world/_manifests/{DIGEST}"),
        format!("/acr/v1/library%2Fhello-world/_manifests/{escaped}"),
        format!("/acr/v1/library%2Fhello-world/_manifests/{DIGEST}"),
    ] {
        assert_eq!(get(&path), Ok(manifest.clone()), "{path}");
    }
    let tag = Route::Tag {
        name: name("a"),
        tag: Tag::parse("_metadata").unwrap(),
    };
    assert_eq!(get("/acr/v1/a/_tags/_metadata"), Ok(tag));
}

#[test]
fn what_cannot_be_named_is_refused_by_its_reason() {
    let malformed = RouteError::DigestInvalid { unsupported: false };
    for (path, error) in [
        ("/acr/v1/", RouteError::NotFound),
        ("/acr/v1", RouteError::NotFound),
        ("/acr/v1/A", RouteError::NameInvalid),
        ("/acr/v1/_catalogs", RouteError::NameInvalid),
        ("/acr/v1/a/_tag", RouteError::NotFound),
        ("/acr/v1/a/_tags/", RouteError::TagInvalid),
        ("/acr/v1/a/_tags/a:b", RouteError::TagInvalid),
        ("/acr/v1/a/_manifests/v1", malformed),
        ("/acr/v1/a/_manifests/sha256:abc", malformed),
        ("/acr/v1/a/_operations/", RouteError::NotFound),
        ("/acr/v1/a/_operations/a%20b", RouteError::NotFound),
        ("/acr/v1/a/_tags/v1/x", RouteError::NotFound),
        ("/acr/v1/_deleted/a", RouteError::NotFound),
        ("/acr/v1/a/%2e%2e/_tags", RouteError::HostilePath),
        ("/acr/v1/a%252Fb", RouteError::HostilePath),
        ("/acr/v1//a", RouteError::HostilePath),
        ("/acr/v1/a\\b", RouteError::HostilePath),
        ("/acr/v1/a%00", RouteError::HostilePath),
    ] {
        assert_eq!(get(path), Err(error), "{path}");
    }
    let allow = "GET, HEAD, PATCH, DELETE";
    assert_eq!(
        Route::parse(&Method::PUT, "/acr/v1/a"),
        Err(RouteError::MethodNotAllowed { allow })
    );
}

#[test]
fn a_token_is_asked_for_what_the_request_needs() {
    let scope = |method: Method, path: &str| {
        let route = Route::parse(&method, path).unwrap();
        route.scope(&method).unwrap().to_string()
    };
    assert_eq!(scope(Method::GET, "/acr/v1/_catalog"), "registry:catalog:*");
    assert_eq!(
        scope(Method::GET, "/acr/v1/_deleted/_catalog"),
        "registry:deleted_catalog:*"
    );
    assert_eq!(
        scope(Method::GET, "/acr/v1/a%2Fb/_tags"),
        "repository:a/b:metadata_read"
    );
    assert_eq!(
        scope(Method::PATCH, "/acr/v1/a/_tags/v1"),
        "repository:a:metadata_write"
    );
    assert_eq!(scope(Method::DELETE, "/acr/v1/a"), "repository:a:delete");
    assert_eq!(
        scope(Method::GET, "/acr/v1/_deleted/a/_tags"),
        "repository:a:deleted_read"
    );
    let restore = format!("/acr/v1/_deleted/a/_manifests/{DIGEST}");
    assert_eq!(
        scope(Method::POST, &restore),
        "repository:a:deleted_restore"
    );
}

fn method(endpoint: Endpoint) -> Method {
    let first = endpoint.allowed_methods().split(", ").next().unwrap();
    Method::try_from(first).unwrap()
}

/// A path of every endpoint, made of a name and words that look like those of routes.
fn any_path() -> impl Strategy<Value = String> {
    let component = "[a-z0-9]{1,3}|tags|manifests|deleted|v1|acr";
    let name = prop::collection::vec(component, 1..4).prop_map(|parts| parts.join("/"));
    let tag = "[a-zA-Z0-9_][a-zA-Z0-9._-]{0,8}|_tags|_metadata|_manifests";
    (name, tag, 0..16_usize).prop_map(|(name, tag, kind)| {
        let rest = match kind {
            0 => return "/acr/v1/_catalog".to_owned(),
            1 => return "/acr/v1/_deleted/_catalog".to_owned(),
            2 => return format!("/acr/v1/_deleted/{name}/_tags"),
            3 => return format!("/acr/v1/_deleted/{name}/_manifests"),
            4 => return format!("/acr/v1/_deleted/{name}/_manifests/{DIGEST}"),
            5 => String::new(),
            6 => "/_tags".to_owned(),
            7 => format!("/_tags/{tag}"),
            8 => "/_manifests".to_owned(),
            9 => format!("/_manifests/{DIGEST}"),
            10 => "/_streaming".to_owned(),
            11 => format!("/_streaming/{DIGEST}"),
            12 => "/_operations/1-2".to_owned(),
            13 => "/_operations/1-2:cancel".to_owned(),
            14 => format!("/_tags/{tag}/_metadata/k"),
            _ => format!("/_manifests/{DIGEST}/_metadata"),
        };
        format!("/acr/v1/{name}{rest}")
    })
}

fn parse_any(path: &str) -> Option<(Method, Route)> {
    ["GET", "POST"].iter().find_map(|method| {
        let method = Method::try_from(*method).unwrap();
        let route = Route::parse(&method, path).ok()?;
        Some((method, route))
    })
}

proptest! {
    #[test]
    fn a_path_is_read_and_written_back(path in any_path()) {
        let (_, route) = parse_any(&path).unwrap();
        prop_assert_eq!(route.to_string(), path.clone());
        let method = method(route.endpoint());
        prop_assert!(route.permission(&method).is_some());
        prop_assert!(route.scope(&method).is_some());
        if let Some(name) = route.name() {
            let escaped = path
                .replacen(name.as_str(), &name.as_str().replace('/', "%2F"), 1)
                .replace("sha256:", "sha256%3A");
            // The name may be part of the prefix's text.
            if let Some((_, other)) = parse_any(&escaped) {
                prop_assert_eq!(other, route);
            } else {
                prop_assert!("/acr/v1/_deleted".contains(name.as_str()) || name.as_str().contains('/'));
            }
        }
    }

    #[test]
    fn what_is_read_has_no_hidden_structure(path in "/acr/v1/([a-b]|/|_tags|_manifests|_deleted|_metadata|%2F|%2e|%25|\\.|_|sha256:0){0,9}") {
        if let Some((method, route)) = parse_any(&path) {
            let written = route.to_string();
            prop_assert!(written.split('/').all(|segment| !matches!(segment, "." | "..")));
            prop_assert_eq!(Route::parse(&method, &written), Ok(route));
        }
    }

    #[test]
    fn no_path_panics(path in any::<String>(), tail in "[/%.a-z0-9:_\\\\]{0,30}") {
        let _ = get(&path);
        let _ = get(&format!("/acr/v1/{tail}"));
        let _ = get(&format!("/acr/v1/{path}/_tags/{tail}"));
    }
}

#[test]
fn metadata_is_of_a_repository_a_tag_or_a_manifest() {
    let of = |path: &str| match get(path) {
        Ok(Route::Metadata { of, key, .. }) => (of, key.map(|key| key.as_str().to_owned())),
        other => panic!("{other:?}"),
    };
    assert_eq!(of("/acr/v1/a/_metadata"), (None, None));
    let tag = Reference::parse("v1").unwrap();
    assert_eq!(
        of("/acr/v1/a/_tags/v1/_metadata/k"),
        (Some(tag), Some("k".to_owned()))
    );
    let path = format!("/acr/v1/a/_manifests/{DIGEST}/_metadata");
    assert_eq!(of(&path), (Some(digest().into()), None));
}
