//! Authorisation on the data plane of Azure: every endpoint and method × everybody × the states a repository can be in, as for
//! the other plane.

use std::collections::BTreeMap;

use http::Method;
use lazuli_wire::acr::Endpoint;
use lazuli_wire::oci::Permission;

use crate::matrix::{assert_refused, client};
use crate::principals::Principal;
use crate::support::{Image, Target, send};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It holds an image under a tag.
    Full,
    /// It held one; all of it was deleted.
    Emptied,
    /// Nobody ever wrote to it.
    Unknown,
}

const STATES: [State; 3] = [State::Full, State::Emptied, State::Unknown];

/// A digest that is the image's, or that of one which was or would be there.
fn make(target: &Target, name: &str, state: State) -> String {
    let admin = target.admin();
    if state == State::Unknown {
        return format!("sha256:{}", "0".repeat(64));
    }
    let digest = Image::push(&admin, name, 77).digest();
    if state == State::Emptied {
        let gone = send(&admin, "DELETE", &format!("/acr/v1/{name}"), &[], &[]);
        assert_eq!(gone.status, 202, "{gone:?}");
    }
    digest
}

/// The path of an endpoint, and what the caller with the right to it gets in each state.
fn request(endpoint: Endpoint, method: &str, name: &str, digest: &str) -> (String, [u16; 3]) {
    let known = match method {
        "DELETE" => [202, 404, 404],
        _ => [200, 404, 404],
    };
    let path = |rest: &str| format!("/acr/v1/{name}{rest}");
    match endpoint {
        Endpoint::Catalog => ("/acr/v1/_catalog".into(), [200; 3]),
        Endpoint::Repository => (path(""), known),
        Endpoint::Tags => (path("/_tags"), known),
        Endpoint::Tag => (path("/_tags/v1"), known),
        Endpoint::Manifests => (path("/_manifests"), known),
        Endpoint::Manifest => (path(&format!("/_manifests/{digest}")), known),
        Endpoint::DeletedCatalog => ("/acr/v1/_deleted/_catalog".into(), [200; 3]),
        Endpoint::DeletedTags => (format!("/acr/v1/_deleted/{name}/_tags"), [200; 3]),
        Endpoint::DeletedManifests => (format!("/acr/v1/_deleted/{name}/_manifests"), [200; 3]),
        Endpoint::DeletedManifest => (
            format!("/acr/v1/_deleted/{name}/_manifests/{digest}"),
            [404; 3],
        ),
        Endpoint::Streaming if method == "POST" => (path("/_streaming"), [405; 3]),
        Endpoint::Streaming => (path("/_streaming"), [200; 3]),
        Endpoint::Operation => (path("/_operations/1"), [404; 3]),
        Endpoint::Cancel => (path("/_operations/1:cancel"), [404; 3]),
        Endpoint::Metadata => (path("/_metadata/k"), [405; 3]),
    }
}

fn permission(endpoint: Endpoint, method: &str) -> Permission {
    let method = Method::try_from(method).unwrap();
    endpoint.permission(&method).unwrap()
}

fn body(method: &str) -> &'static [u8] {
    match method {
        "PATCH" => br#"{"writeEnabled":false}"#,
        _ => b"",
    }
}

/// What the admin sees of a repository, but for times.
fn content(target: &Target, name: &str) -> Vec<(u16, Vec<u8>)> {
    ["", "/_tags", "/_manifests"]
        .iter()
        .map(|rest| {
            let path = format!("/acr/v1/{name}{rest}");
            let response = send(&target.admin(), "GET", &path, &[], &[]);
            (response.status, response.body)
        })
        .map(|(status, body)| (status, if status == 200 { body } else { Vec::new() }))
        .collect()
}

fn check(anonymous_pull: bool) {
    let setting = [(
        "LAZULI_ANONYMOUS_PULL",
        if anonymous_pull { "true" } else { "false" },
    )];
    let target = Target::with(&setting);
    let shared = STATES.map(|state| {
        let name = format!("plane/{state:?}").to_lowercase();
        let digest = make(&target, &name, state);
        (name, digest)
    });
    let before = shared.clone().map(|(name, _)| content(&target, &name));
    let (mut granted, mut refused) = (0, 0);
    for principal in Principal::ALL {
        for (index, (name, digest)) in shared.iter().enumerate() {
            let client = self::client(&target, principal, name);
            for endpoint in Endpoint::ALL {
                for method in endpoint.allowed_methods().split(", ") {
                    let place = format!("{principal:?}: {method} {endpoint:?} {:?}", STATES[index]);
                    let asked = permission(endpoint, method);
                    if !principal.may(asked, anonymous_pull) {
                        let (path, _) = request(endpoint, method, name, digest);
                        let response = send(&client, method, &path, &[], body(method));
                        assert_refused(&response, &place);
                        refused += 1;
                        continue;
                    }
                    granted += 1;
                    let is_read = matches!(method, "GET" | "HEAD");
                    let copy = format!("plane/copy{granted}");
                    let (name, digest) = if is_read {
                        (name, digest.clone())
                    } else {
                        (&copy, make(&target, &copy, STATES[index]))
                    };
                    let client = self::client(&target, principal, name);
                    let (path, expected) = request(endpoint, method, name, &digest);
                    let response = send(&client, method, &path, &[], body(method));
                    assert_eq!(response.status, expected[index], "{place}: {response:?}");
                }
            }
        }
    }
    assert!(
        granted > 200 && refused > 1000,
        "{granted} granted, {refused} refused"
    );
    let after = shared.map(|(name, _)| content(&target, &name));
    assert_eq!(before, after, "a refused request changed something");
}

#[test]
fn everybody_may_exactly_what_the_matrix_says_without_anonymous_pull() {
    check(false);
}

#[test]
fn everybody_may_exactly_what_the_matrix_says_with_anonymous_pull() {
    check(true);
}

#[test]
fn the_right_each_endpoint_asks_for_is_the_one_listed_here() {
    use Permission::{
        Catalog, Delete, DeletedCatalog, DeletedRead, DeletedRestore, MetadataRead, MetadataWrite,
    };
    // Said once more by hand: the matrix above would follow a mistake in the server's own table.
    let listed: BTreeMap<&str, Permission> = [
        ("Catalog GET", Catalog),
        ("Repository GET", MetadataRead),
        ("Repository PATCH", MetadataWrite),
        ("Repository DELETE", Delete),
        ("Tags GET", MetadataRead),
        ("Tag GET", MetadataRead),
        ("Tag PATCH", MetadataWrite),
        ("Tag DELETE", Delete),
        ("Manifests GET", MetadataRead),
        ("Manifest GET", MetadataRead),
        ("Manifest PATCH", MetadataWrite),
        ("DeletedCatalog GET", DeletedCatalog),
        ("DeletedTags GET", DeletedRead),
        ("DeletedManifests GET", DeletedRead),
        ("DeletedManifest POST", DeletedRestore),
        ("Streaming GET", MetadataRead),
        ("Streaming POST", Permission::Push),
        ("Operation GET", MetadataRead),
        ("Cancel POST", MetadataWrite),
        ("Metadata GET", MetadataRead),
        ("Metadata PUT", MetadataWrite),
        ("Metadata DELETE", MetadataWrite),
    ]
    .into();
    let mut seen = 0;
    for endpoint in Endpoint::ALL {
        let methods = endpoint.allowed_methods().split(", ");
        for method in methods.filter(|method| *method != "HEAD") {
            let key = format!("{endpoint:?} {method}");
            let asked = permission(endpoint, method);
            assert_eq!(listed.get(key.as_str()), Some(&asked), "{key}");
            seen += 1;
        }
    }
    assert_eq!(seen, listed.len());
}
