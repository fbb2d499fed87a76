//! What is not in the reference does not exist.

use lazuli_wire::oci::Endpoint;
use lazuli_wire::token;

use crate::support::{Target, bytes, send};

/// Places where other servers keep what was meant for their makers.
const KNOWN: [&str; 63] = [
    "/debug",
    "/debug/pprof",
    "/debug/pprof/heap",
    "/debug/vars",
    "/debug/requests",
    "/v2/_debug",
    "/v2/debug/pprof",
    "/v2/_admin",
    "/v2/_internal",
    "/v2/_health",
    "/v2/_config",
    "/v2/_gc",
    "/v2/_delete",
    "/v2/_tags",
    "/v2/_blobs",
    "/v2/_uploads",
    "/v2/_oci",
    "/v2/_oci/ext",
    "/v2/_oci/ext/discover/x",
    "/v2/_zot/ext/search",
    "/v2/_zot/ext/mgmt",
    "/v2/_trust/tuf/root.json",
    "/v2/_catalog/all",
    "/v2/a/_trust/tuf/root.json",
    "/v2/a/_manifests",
    "/v2/a/_layers",
    "/v2/a/delete",
    "/v2/a/tags",
    "/v2/a/tags/v1",
    "/v2/a/signatures",
    "/v2/a/manifests",
    "/v2/a/manifests/",
    "/v2/a/blobs/",
    "/v2/a/blobs",
    "/v2/a/referrers",
    "/v2/a/referrers/",
    "/v1/",
    "/v1/_ping",
    "/v1/search",
    "/v3/",
    "/_ping",
    "/version",
    "/info",
    "/admin",
    "/admin/",
    "/api",
    "/api/v2.0/users",
    "/acr/v1/",
    "/acr/v2/_catalog",
    "/oauth2",
    "/oauth2/",
    "/oauth2/authorize",
    "/oauth2/token/",
    "/oauth2/introspect",
    "/.well-known/openid-configuration",
    "/.git/config",
    "/.env",
    "/server-status",
    "/actuator/env",
    "/config",
    "/metrics/",
    "/healthz/x",
    "/favicon.ico",
];

fn assert_nothing_there(target: &Target, path: &str) {
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] {
        for (client, who) in [(target.anonymous(), "anonymous"), (target.admin(), "admin")] {
            let response = send(&client, method, path, &[], &[]);
            let expected = matches!(response.status, 400 | 401 | 404)
                // The path is a manifest's or blob's of no right form; its endpoint lacks the method.
                || (response.status == 405 && path.starts_with("/v2/"));
            assert!(expected, "{who}: {method} {path}: {response:?}");
            assert!(response.body.len() < 1000, "{path}");
        }
    }
}

#[test]
fn well_known_places_of_other_servers_are_not_there() {
    let target = Target::start();
    for path in KNOWN {
        assert_nothing_there(&target, path);
    }
}

#[test]
fn random_paths_are_not_there() {
    let target = Target::start();
    let words = [
        "v2",
        "_catalog",
        "tags",
        "list",
        "manifests",
        "blobs",
        "uploads",
        "referrers",
        "oauth2",
        "token",
        "metrics",
        "admin",
        "_oci",
        "ext",
        "discover",
        "a",
        "latest",
        "debug",
        "",
        ".",
        "sha256:abc",
        "healthz",
    ];
    let random = bytes(11, 3000);
    for picks in random.chunks(6) {
        let count = 1 + usize::from(picks[0]) % 5;
        let path: String = picks[1..]
            .iter()
            .take(count)
            .map(|pick| format!("/{}", words[usize::from(*pick) % words.len()]))
            .collect();
        let method = ["GET", "POST", "PUT", "DELETE"][usize::from(picks[0]) / 5 % 4];
        let response = send(&target.anonymous(), method, &path, &[], &[]);
        let listed = ["/", "/healthz", "/metrics", "/oauth2/token"].contains(&path.as_str());
        assert!(
            matches!(response.status, 400 | 401 | 404 | 405) || (listed && response.status == 200),
            "{method} {path}: {response:?}"
        );
    }
}

#[test]
fn the_reference_lists_every_endpoint_and_method() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/http.md");
    let page = std::fs::read_to_string(page).unwrap();
    // Rows begin with the methods and the path: | GET, HEAD `/v2/…` |
    let listed: Vec<(Vec<&str>, &str)> = page
        .lines()
        .filter_map(|line| {
            let (methods, rest) = line.strip_prefix("| ")?.split_once(" `")?;
            let path = rest.split('`').next()?.split('?').next()?;
            Some((methods.split(", ").collect(), path))
        })
        .collect();
    let has = |path: &str, method: &str| {
        listed.iter().any(|(methods, listed)| {
            listed.starts_with(path) && listed.len() <= path.len() + 16 && methods.contains(&method)
        })
    };
    for endpoint in Endpoint::ALL {
        let path = match endpoint {
            Endpoint::Base => "/v2/",
            Endpoint::Catalog => "/v2/_catalog",
            Endpoint::ExtensionDiscovery => "/v2/_oci/ext/discover",
            Endpoint::RepositoryExtensionDiscovery => "/v2/<name>/_oci/ext/discover",
            Endpoint::Tags => "/v2/<name>/tags/list",
            Endpoint::Manifest => "/v2/<name>/manifests/<",
            Endpoint::Blob => "/v2/<name>/blobs/<digest>",
            Endpoint::Uploads => "/v2/<name>/blobs/uploads/",
            Endpoint::Upload => "/v2/<name>/blobs/uploads/<id>",
            Endpoint::Referrers => "/v2/<name>/referrers/<digest>",
        };
        for method in endpoint.allowed_methods().split(", ") {
            assert!(
                has(path, method),
                "docs/reference/http.md has no {method} {path}"
            );
        }
    }
    for route in token::Route::ALL {
        for method in route.allowed_methods().split(", ") {
            assert!(
                has(route.path(), method),
                "docs/reference/http.md has no {method} {}",
                route.path()
            );
        }
    }
    for path in ["/", "/healthz", "/readyz", "/metrics"] {
        assert!(
            listed
                .iter()
                .any(|(methods, listed)| *listed == path && methods.contains(&"GET")),
            "{path}"
        );
    }
}
