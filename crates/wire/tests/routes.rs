//! Routes of `/v2/`: every form, hostile paths, and names made of the routes' own words.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use http::Method;
use lazuli_wire::oci::{
    Digest, Permission, Reference, RepositoryName, Route, RouteError, Tag, UploadId,
};

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const UUID: &str = "0189abcd-ef01-4234-9678-9abcdef01234";

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
fn every_endpoint_is_found() {
    assert_eq!(get("/v2/"), Ok(Route::Base));
    assert_eq!(get("/v2"), Ok(Route::Base));
    assert_eq!(get("/v2/_catalog"), Ok(Route::Catalog));
    assert_eq!(
        get("/v2/_oci/ext/discover"),
        Ok(Route::ExtensionDiscovery { name: None })
    );
    assert_eq!(
        get("/v2/a/b/_oci/ext/discover"),
        Ok(Route::ExtensionDiscovery {
            name: Some(name("a/b"))
        })
    );
    assert_eq!(
        get("/v2/a/b/tags/list"),
        Ok(Route::Tags { name: name("a/b") })
    );
    let reference = Reference::Tag(Tag::parse("v1").unwrap());
    assert_eq!(
        get("/v2/a/manifests/v1"),
        Ok(Route::Manifest {
            name: name("a"),
            reference
        })
    );
    let reference = Reference::Digest(digest());
    assert_eq!(
        get(&format!("/v2/a/manifests/{DIGEST}")),
        Ok(Route::Manifest {
            name: name("a"),
            reference
        })
    );
    assert_eq!(
        get(&format!("/v2/a/blobs/{DIGEST}")),
        Ok(Route::Blob {
            name: name("a"),
            digest: digest()
        })
    );
    assert_eq!(
        get(&format!("/v2/a/referrers/{DIGEST}")),
        Ok(Route::Referrers {
            name: name("a"),
            digest: digest()
        })
    );
    let id = UploadId::parse(UUID).unwrap();
    assert_eq!(
        get(&format!("/v2/a/blobs/uploads/{UUID}")),
        Ok(Route::Upload {
            name: name("a"),
            id
        })
    );
    for path in ["/v2/a/blobs/uploads/", "/v2/a/blobs/uploads"] {
        assert_eq!(
            Route::parse(&Method::POST, path),
            Ok(Route::Uploads { name: name("a") })
        );
    }
}

#[test]
fn names_may_consist_of_the_words_of_routes() {
    let names = [
        "a/blobs/uploads",
        "blobs/uploads",
        "x/manifests",
        "manifests",
        "blobs",
        "uploads",
        "tags/list",
        "a/tags",
        "list",
        "v2",
        "referrers",
        "a/manifests/manifests",
        "blobs/uploads/blobs/uploads",
        "tags/list/tags/list",
        "ext/discover",
        "catalog",
    ];
    let endpoints = [
        "manifests/latest",
        "manifests/list",
        "tags/list",
        "blobs/uploads/",
        "blobs/uploads",
        "_oci/ext/discover",
    ];
    for repository in names {
        for endpoint in endpoints {
            let path = format!("/v2/{repository}/{endpoint}");
            let route = get(&path)
                .or_else(|_| Route::parse(&Method::POST, &path))
                .unwrap();
            assert_eq!(route.name(), Some(&name(repository)), "{path}");
            assert_eq!(
                route.to_string().trim_end_matches('/'),
                path.trim_end_matches('/')
            );
        }
        for path in [
            format!("/v2/{repository}/blobs/{DIGEST}"),
            format!("/v2/{repository}/blobs/uploads/{UUID}"),
        ] {
            let route = get(&path).unwrap();
            assert_eq!(route.name(), Some(&name(repository)), "{path}");
            assert_eq!(route.to_string(), path);
        }
    }
}

#[test]
fn paths_of_no_endpoint_are_not_found() {
    for path in [
        "",
        "/",
        "/v1/",
        "/v20/",
        "v2/",
        "/V2/",
        "/v2/a",
        "/v2/a/b",
        "/v2/a/tags",
        "/v2/a/tags/lists",
        "/v2/tags/list",
        "/v2/manifests/latest",
        "/v2/blobs/uploads/",
        "/v2/_catalog/",
        "/v2/a/tags/list/",
        "/v2/a/uploads/b",
        "/v2/_oci/ext",
        "/v2/a/manifests/v1/",
        "/v2/a%2Fmanifests%2Fv1",
        "/v2/a/%6Danifests/v1",
        "/v2/_catalog%2F",
        "/v2/a/ext/discover",
    ] {
        assert_eq!(get(path), Err(RouteError::NotFound), "{path}");
    }
}

#[test]
fn each_part_has_its_own_refusal() {
    assert_eq!(get("/v2/A/tags/list"), Err(RouteError::NameInvalid));
    assert_eq!(
        get(&format!("/v2/{}/tags/list", "a".repeat(256))),
        Err(RouteError::NameInvalid)
    );
    assert_eq!(get("/v2/a/manifests/.INVALID"), Err(RouteError::TagInvalid));
    assert_eq!(get("/v2/a/manifests/a%2Fb"), Err(RouteError::TagInvalid));
    assert_eq!(
        get("/v2/a/manifests/sha256:0"),
        Err(RouteError::DigestInvalid { unsupported: false })
    );
    assert_eq!(
        get("/v2/a/blobs/latest"),
        Err(RouteError::DigestInvalid { unsupported: false })
    );
    assert_eq!(
        get("/v2/a/blobs/md5:0"),
        Err(RouteError::DigestInvalid { unsupported: true })
    );
    assert_eq!(
        get("/v2/a/referrers/x"),
        Err(RouteError::DigestInvalid { unsupported: false })
    );
    assert_eq!(get("/v2/a/blobs/uploads/1"), Err(RouteError::UploadUnknown));
}

#[test]
fn a_method_an_endpoint_has_not_is_refused_with_those_it_has() {
    let refused = |method: &str, path: &str| Route::parse(&Method::try_from(method).unwrap(), path);
    let allow = |allow| Err(RouteError::MethodNotAllowed { allow });
    assert_eq!(refused("POST", "/v2/"), allow("GET, HEAD"));
    assert_eq!(refused("DELETE", "/v2/_catalog"), allow("GET, HEAD"));
    assert_eq!(
        refused("PATCH", "/v2/a/manifests/v1"),
        allow("GET, HEAD, PUT, DELETE")
    );
    assert_eq!(
        refused("PUT", &format!("/v2/a/blobs/{DIGEST}")),
        allow("GET, HEAD, DELETE")
    );
    assert_eq!(refused("GET", "/v2/a/blobs/uploads/"), allow("POST"));
    assert_eq!(
        refused("POST", &format!("/v2/a/blobs/uploads/{UUID}")),
        allow("GET, HEAD, PATCH, PUT, DELETE")
    );
    // The form of the path decides, before its parts are looked at.
    assert_eq!(
        refused("POST", "/v2/A/manifests/.v1"),
        allow("GET, HEAD, PUT, DELETE")
    );
}

#[test]
fn encoded_slashes_in_names_and_colons_in_digests_are_read() {
    let encoded = DIGEST.replace(':', "%3A");
    let reference = Reference::Digest(digest());
    let expected = Route::Manifest {
        name: name("library/hello-world"),
        reference,
    };
    assert_eq!(
        get(&format!("/v2/library%2Fhello-world/manifests/{encoded}")),
        Ok(expected.clone())
    );
    assert_eq!(
        get(&format!(
            "/v2/library%2fhello-world/manifests/{}",
            encoded.to_lowercase()
        )),
        Ok(expected)
    );
    assert_eq!(
        get(&format!("/v2/a/blobs/{encoded}")),
        Ok(Route::Blob {
            name: name("a"),
            digest: digest()
        })
    );
    assert_eq!(
        get("/v2/a%2Fb/tags/list"),
        Ok(Route::Tags { name: name("a/b") })
    );
    // Encoded separators make no structure.
    assert_eq!(
        get("/v2/a%2Fmanifests/manifests/v1").unwrap().name(),
        Some(&name("a/manifests"))
    );
}

#[test]
fn hostile_paths_are_refused_as_such() {
    for path in [
        "/v2/../etc/passwd",
        "/v2/a/../manifests/v1",
        "/v2/a/./manifests/v1",
        "/v2/a/manifests/..",
        "/v2/a/manifests/.",
        "/v2/a/%2e%2e/manifests/v1",
        "/v2/a/manifests/%2E%2E",
        "/v2/a/%2e/tags/list",
        "/v2/a%2F..%2Fb/tags/list",
        "/v2/a//manifests/v1",
        "/v2//tags/list",
        "/v2//",
        "/v2/a%2F%2Fb/tags/list",
        "/v2/%2Fa/tags/list",
        "/v2/a%2F/tags/list",
        "/v2/a%00/tags/list",
        "/v2/a\0/tags/list",
        "/v2/a\u{7f}/tags/list",
        "/v2/a%0d%0ab/tags/list",
        "/v2/a\\b/tags/list",
        "/v2/a%5Cb/tags/list",
        "/v2/a%252Fb/tags/list",
        "/v2/a/manifests/%252e%252e",
        "/v2/a/blobs/sha256%253A00",
        "/v2/a%/tags/list",
        "/v2/a%2/tags/list",
        "/v2/a%zz/tags/list",
        "/v2/é/tags/list",
        "/v2/%C3%A9/tags/list",
        "/v2/a%c0%afb/tags/list",
        "//v2/",
        "/v2/..",
        "/v2/_catalog/..",
    ] {
        assert_eq!(get(path), Err(RouteError::HostilePath), "{path}");
    }
}

#[test]
fn permissions_follow_route_and_method() {
    let cases = [
        ("GET", "/v2/", Permission::Authenticated, None),
        (
            "GET",
            "/v2/_catalog",
            Permission::Catalog,
            Some("registry:catalog:*"),
        ),
        (
            "GET",
            "/v2/a/tags/list",
            Permission::MetadataRead,
            Some("repository:a:metadata_read"),
        ),
        (
            "HEAD",
            "/v2/a/manifests/v1",
            Permission::Pull,
            Some("repository:a:pull"),
        ),
        (
            "PUT",
            "/v2/a/manifests/v1",
            Permission::Push,
            Some("repository:a:pull,push"),
        ),
        (
            "DELETE",
            "/v2/a/manifests/v1",
            Permission::Delete,
            Some("repository:a:delete"),
        ),
        (
            "POST",
            "/v2/a/b/blobs/uploads/",
            Permission::Push,
            Some("repository:a/b:pull,push"),
        ),
        (
            "GET",
            "/v2/_oci/ext/discover",
            Permission::Authenticated,
            None,
        ),
        (
            "GET",
            "/v2/a/_oci/ext/discover",
            Permission::Pull,
            Some("repository:a:pull"),
        ),
    ];
    for (method, path, permission, scope) in cases {
        let method = Method::try_from(method).unwrap();
        let route = Route::parse(&method, path).unwrap();
        assert_eq!(route.permission(&method), Some(permission), "{path}");
        assert_eq!(
            route
                .scope(&method)
                .map(|scope| scope.to_string())
                .as_deref(),
            scope,
            "{path}"
        );
    }
    let route = get("/v2/a/tags/list").unwrap();
    assert_eq!(route.permission(&Method::PUT), None);
    assert_eq!(route.scope(&Method::PUT), None);
}
