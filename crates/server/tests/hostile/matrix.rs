//! Authorisation: every endpoint and method × everybody × the states a repository can be in.
//!
//! The requests are made from the table of endpoints that the server itself routes by. A new endpoint or method does not
//! compile, or fails, until it is listed here.

use std::collections::BTreeMap;

use http::Method;
use lazuli_testkit::http::{Client, Response};
use lazuli_wire::oci::{Endpoint, Permission};

use crate::principals::Principal;
use crate::support::{Image, OCI, Target, bytes, send, sha256, start_upload, with_query};

/// The state of a repository when a request comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It holds an image under a tag, and an upload is under way.
    Full,
    /// It held one; all of it was deleted.
    Emptied,
    /// Nobody ever wrote to it.
    Unknown,
}

/// A repository in one of its states.
struct Repository {
    name: String,
    image: Option<Image>,
    upload: String,
}

impl Repository {
    fn make(target: &Target, name: &str, state: State) -> Self {
        let admin = target.admin();
        let missing = format!("/v2/{name}/blobs/uploads/0a8a2c9e-5b1f-4c1e-9a3d-0123456789ab");
        let image = (state != State::Unknown).then(|| Image::push(&admin, name, 77));
        let upload = match &image {
            None => missing,
            Some(image) if state == State::Emptied => {
                for path in [
                    format!("manifests/{}", image.digest()),
                    format!("blobs/{}", image.layer_digest()),
                ] {
                    let response = send(&admin, "DELETE", &format!("/v2/{name}/{path}"), &[], &[]);
                    assert_eq!(response.status, 202, "{response:?}");
                }
                missing
            }
            Some(_) => {
                let upload = start_upload(&admin, name);
                let response = send(
                    &admin,
                    "PATCH",
                    &upload,
                    &[("Content-Range", "0-3")],
                    b"some",
                );
                assert_eq!(response.status, 202);
                upload
            }
        };
        let image = image.filter(|_| state == State::Full);
        Self {
            name: name.to_owned(),
            image,
            upload,
        }
    }

    fn manifest(&self) -> String {
        self.image.as_ref().map_or_else(
            || crate::support::image(b"a", b"b", ""),
            |image| image.manifest.clone(),
        )
    }

    fn layer(&self) -> String {
        self.image
            .as_ref()
            .map_or_else(|| sha256(b"b"), Image::layer_digest)
    }

    /// Everything the repository holds, as its admin sees it.
    fn content(&self, target: &Target) -> Vec<(u16, Vec<u8>, Option<String>)> {
        let name = &self.name;
        let upload = self.upload.as_str();
        let of = |path: &str| {
            let response = send(&target.admin(), "GET", path, &[], &[]);
            let range = response.header("range").map(str::to_owned);
            let body = if response.status < 400 {
                response.body
            } else {
                Vec::new()
            };
            (response.status, body, range)
        };
        vec![
            of(&format!("/v2/{name}/tags/list")),
            of(&format!("/v2/{name}/manifests/v1")),
            of(&format!("/v2/{name}/blobs/{}", self.layer())),
            of(upload),
        ]
    }
}

struct Request {
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

/// The request of an endpoint and method, and what the caller with the right to it gets in each state.
fn request(endpoint: Endpoint, method: &str, of: &Repository) -> (Request, [u16; 3]) {
    let name = &of.name;
    let plain = |path: String| Request {
        path,
        headers: Vec::new(),
        body: Vec::new(),
    };
    match (endpoint, method) {
        (Endpoint::Base, "GET" | "HEAD") => (plain("/v2/".into()), [200; 3]),
        (Endpoint::Catalog, "GET" | "HEAD") => (plain("/v2/_catalog".into()), [200; 3]),
        (Endpoint::ExtensionDiscovery, "GET" | "HEAD") => {
            (plain("/v2/_oci/ext/discover".into()), [200; 3])
        }
        (Endpoint::RepositoryExtensionDiscovery, "GET" | "HEAD") => {
            (plain(format!("/v2/{name}/_oci/ext/discover")), [200; 3])
        }
        (Endpoint::Tags, "GET" | "HEAD") => {
            (plain(format!("/v2/{name}/tags/list")), [200, 200, 404])
        }
        (Endpoint::Manifest, "GET" | "HEAD") => {
            (plain(format!("/v2/{name}/manifests/v1")), [200, 404, 404])
        }
        (Endpoint::Manifest, "DELETE") => {
            (plain(format!("/v2/{name}/manifests/v1")), [202, 404, 404])
        }
        (Endpoint::Manifest, "PUT") => {
            let headers = vec![("Content-Type", OCI.to_owned())];
            let request = Request {
                path: format!("/v2/{name}/manifests/v2"),
                headers,
                body: of.manifest().into_bytes(),
            };
            // Its blobs are in no other state.
            (request, [201, 404, 404])
        }
        (Endpoint::Blob, "GET" | "HEAD") => (
            plain(format!("/v2/{name}/blobs/{}", of.layer())),
            [200, 404, 404],
        ),
        (Endpoint::Blob, "DELETE") => (
            plain(format!("/v2/{name}/blobs/{}", of.layer())),
            [202, 404, 404],
        ),
        (Endpoint::Uploads, "POST") => (plain(format!("/v2/{name}/blobs/uploads/")), [202; 3]),
        (Endpoint::Upload, "GET" | "HEAD" | "DELETE") => {
            (plain(of.upload.clone()), [204, 404, 404])
        }
        (Endpoint::Upload, "PATCH") => {
            let headers = vec![("Content-Range", "4-7".to_owned())];
            let request = Request {
                path: of.upload.clone(),
                headers,
                body: b"more".to_vec(),
            };
            (request, [202, 404, 404])
        }
        (Endpoint::Upload, "PUT") => {
            let path = with_query(&of.upload, &format!("digest={}", sha256(b"somelast")));
            (
                Request {
                    path,
                    headers: Vec::new(),
                    body: b"last".to_vec(),
                },
                [201, 404, 404],
            )
        }
        (Endpoint::Referrers, "GET" | "HEAD") => (
            plain(format!("/v2/{name}/referrers/{}", sha256(b"any"))),
            [200; 3],
        ),
        (
            Endpoint::Base
            | Endpoint::Catalog
            | Endpoint::ExtensionDiscovery
            | Endpoint::RepositoryExtensionDiscovery
            | Endpoint::Tags
            | Endpoint::Manifest
            | Endpoint::Blob
            | Endpoint::Uploads
            | Endpoint::Upload
            | Endpoint::Referrers,
            method,
        ) => panic!("{method} of {endpoint:?} is not in the matrix"),
    }
}

fn is_read(method: &str) -> bool {
    matches!(method, "GET" | "HEAD")
}

fn perform(client: &Client, method: &str, request: &Request) -> Response {
    let headers: Vec<_> = request
        .headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    send(client, method, &request.path, &headers, &request.body)
}

/// A refusal asks for credentials, and tells nothing of what is there.
pub(crate) fn assert_refused(response: &Response, place: &str) {
    assert_eq!(response.status, 401, "{place}: {response:?}");
    let challenge = response.header("www-authenticate").unwrap_or_default();
    assert!(
        challenge.starts_with("Bearer realm=\"http://127.0.0.1:"),
        "{place}: {challenge}"
    );
    for name in [
        "docker-content-digest",
        "etag",
        "location",
        "range",
        "link",
        "docker-upload-uuid",
        "oci-subject",
    ] {
        assert_eq!(response.header(name), None, "{place}");
    }
}

fn check_matrix(anonymous_pull: bool) {
    let setting = [(
        "LAZULI_ANONYMOUS_PULL",
        if anonymous_pull { "true" } else { "false" },
    )];
    let target = Target::with(&setting);
    // Everybody's rights are on this one and, where a request is granted and changes something, on copies of it.
    let states = [State::Full, State::Emptied, State::Unknown];
    let shared: Vec<_> = states
        .iter()
        .map(|state| Repository::make(&target, &format!("matrix/{state:?}").to_lowercase(), *state))
        .collect();
    let before: Vec<_> = shared
        .iter()
        .map(|repository| repository.content(&target))
        .collect();
    let (mut granted, mut refused) = (0, 0);
    for principal in Principal::ALL {
        for (index, repository) in shared.iter().enumerate() {
            let client = client(&target, principal, &repository.name);
            // One answer for all states of a repository: whoever may not read cannot even learn whether it exists.
            for endpoint in Endpoint::ALL {
                for method in endpoint.allowed_methods().split(", ") {
                    let permission = permission(endpoint, method);
                    let place = format!("{principal:?}: {method} {endpoint:?} {:?}", states[index]);
                    if !principal.may(permission, anonymous_pull) {
                        let response =
                            perform(&client, method, &request(endpoint, method, repository).0);
                        assert_refused(&response, &place);
                        refused += 1;
                        continue;
                    }
                    granted += 1;
                    if is_read(method) {
                        let (request, expected) = request(endpoint, method, repository);
                        assert_eq!(
                            perform(&client, method, &request).status,
                            expected[index],
                            "{place}"
                        );
                        continue;
                    }
                    let name = format!("matrix/copy{granted}");
                    let copy = Repository::make(&target, &name, states[index]);
                    let client = self::client(&target, principal, &name);
                    let (request, expected) = request(endpoint, method, &copy);
                    let response = perform(&client, method, &request);
                    assert_eq!(response.status, expected[index], "{place}: {response:?}");
                }
            }
        }
    }
    assert!(
        granted > 200 && refused > 1000,
        "{granted} granted, {refused} refused"
    );
    let after: Vec<_> = shared
        .iter()
        .map(|repository| repository.content(&target))
        .collect();
    assert_eq!(before, after, "a refused request changed something");
}

pub(crate) fn client(target: &Target, principal: Principal, repository: &str) -> Client {
    match principal.authorization(target, repository) {
        Some(value) => target.anonymous().with_authorization(value),
        None => target.anonymous(),
    }
}

fn permission(endpoint: Endpoint, method: &str) -> Permission {
    endpoint
        .permission(&Method::try_from(method).unwrap())
        .unwrap()
}

#[test]
fn everybody_may_exactly_what_the_matrix_says_without_anonymous_pull() {
    check_matrix(false);
}

#[test]
fn everybody_may_exactly_what_the_matrix_says_with_anonymous_pull() {
    check_matrix(true);
}

#[test]
fn the_right_each_endpoint_asks_for_is_the_one_listed_here() {
    // Said once more by hand: the matrix above would follow a mistake in the server's own table.
    let listed: BTreeMap<&str, Permission> = [
        ("Base GET", Permission::Authenticated),
        ("Catalog GET", Permission::Catalog),
        ("ExtensionDiscovery GET", Permission::Authenticated),
        ("RepositoryExtensionDiscovery GET", Permission::Pull),
        ("Tags GET", Permission::MetadataRead),
        ("Manifest GET", Permission::Pull),
        ("Manifest PUT", Permission::Push),
        ("Manifest DELETE", Permission::Delete),
        ("Blob GET", Permission::Pull),
        ("Blob DELETE", Permission::Delete),
        ("Uploads POST", Permission::Push),
        ("Upload GET", Permission::Push),
        ("Upload PATCH", Permission::Push),
        ("Upload PUT", Permission::Push),
        ("Upload DELETE", Permission::Push),
        ("Referrers GET", Permission::Pull),
    ]
    .into();
    let mut seen = 0;
    for endpoint in Endpoint::ALL {
        for method in endpoint
            .allowed_methods()
            .split(", ")
            .filter(|method| *method != "HEAD")
        {
            let key = format!("{endpoint:?} {method}");
            assert_eq!(
                listed.get(key.as_str()),
                Some(&permission(endpoint, method)),
                "{key}"
            );
            seen += 1;
        }
    }
    assert_eq!(seen, listed.len());
}

#[test]
fn a_method_an_endpoint_does_not_have_changes_nothing_whoever_sends_it() {
    let target = Target::start();
    let repository = Repository::make(&target, "matrix/methods", State::Full);
    let before = repository.content(&target);
    for endpoint in Endpoint::ALL {
        let allowed: Vec<_> = endpoint.allowed_methods().split(", ").collect();
        let path = request(endpoint, allowed[0], &repository).0.path;
        for method in [
            "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "delete", "Put",
        ] {
            if allowed.contains(&method) {
                continue;
            }
            let response = send(&target.admin(), method, &path, &[], &bytes(9, 10));
            assert_eq!(response.status, 405, "{method} {path}");
            assert!(
                response
                    .header("allow")
                    .is_some_and(|allow| allow.contains(allowed[0]))
            );
        }
    }
    assert_eq!(before, repository.content(&target));
}
