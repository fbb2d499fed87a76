//! Content that two readers could take for different things.

use std::net::TcpListener;
use std::time::Duration;

use crate::support::{
    INDEX, Image, OCI, Target, bytes, descriptor, image, push_blob, put_manifest, send, sha256,
};

const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

#[test]
fn a_manifest_is_one_thing_to_every_reader() {
    let target = Target::start();
    let admin = target.admin();
    let genuine = Image::push(&admin, "confusion/kinds", 5);
    let child = descriptor(OCI, &genuine.digest(), genuine.manifest.len());
    let body = &genuine.manifest;
    let untyped = body.replace(&format!("\"mediaType\":\"{OCI}\",\"config\""), "\"config\"");
    assert_ne!(&untyped, body);
    let both = body.replace(
        "\"config\":",
        &format!("\"manifests\":[{child}],\"config\":"),
    );
    let untyped_both = untyped.replace(
        "\"config\":",
        &format!("\"manifests\":[{child}],\"config\":"),
    );
    let index = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{child}]}}"#);
    let cases = [
        ("image and index at once", OCI, both.clone()),
        ("index and image at once", INDEX, both.replace(OCI, INDEX)),
        ("image and index without a type", OCI, untyped_both.clone()),
        (
            "index and image without a type",
            INDEX,
            untyped_both.clone(),
        ),
        ("image and list of Docker", DOCKER_LIST, untyped_both),
        ("an image sent as an index", INDEX, body.clone()),
        ("an index sent as an image", OCI, index.clone()),
        (
            "an image without a type sent as an index",
            INDEX,
            untyped.clone(),
        ),
        ("a type that the header contradicts", DOCKER, body.clone()),
        (
            "a type that is no manifest's",
            "application/json",
            body.clone(),
        ),
        (
            "a type of schema 1",
            "application/vnd.docker.distribution.manifest.v1+prettyjws",
            untyped.clone(),
        ),
        (
            "two types",
            OCI,
            body.replacen(
                "\"mediaType\"",
                &format!("\"mediaType\":\"{INDEX}\",\"mediaType\""),
                1,
            ),
        ),
        (
            "two types in different cases",
            OCI,
            body.replacen(
                "\"mediaType\"",
                &format!("\"MediaType\":\"{INDEX}\",\"mediaType\""),
                1,
            ),
        ),
        (
            "an escaped second key",
            OCI,
            body.replacen(
                "\"config\"",
                &format!("\"manifest\\u0073\":[{child}],\"config\""),
                1,
            ),
        ),
        (
            "two lists of layers",
            OCI,
            body.replacen("\"layers\"", "\"layers\":[],\"layers\"", 1),
        ),
        (
            "two configurations",
            OCI,
            body.replacen("\"config\"", "\"config\":{},\"config\"", 1),
        ),
        (
            "layers that are no list",
            OCI,
            body.replacen("\"layers\":[", "\"layers\":{\"a\":[", 1)
                .replacen(']', "]}", 1),
        ),
        ("something after it", OCI, format!("{body}{body}")),
        ("a byte-order mark", OCI, format!("\u{feff}{body}")),
        (
            "UTF-16",
            OCI,
            body.chars().flat_map(|c| [c, '\0']).collect(),
        ),
        ("a list", OCI, format!("[{body}]")),
        ("a string", OCI, format!("{:?}", "manifest")),
        ("nothing", OCI, String::new()),
        ("null", OCI, "null".to_owned()),
        (
            "schema 1",
            OCI,
            body.replace("\"schemaVersion\":2", "\"schemaVersion\":1"),
        ),
        (
            "a schema that is text",
            OCI,
            body.replace("\"schemaVersion\":2", "\"schemaVersion\":\"2\""),
        ),
        (
            "a negative size",
            OCI,
            body.replacen("\"size\":60", "\"size\":-60", 1),
        ),
        (
            "a size that is no integer",
            OCI,
            body.replacen("\"size\":60", "\"size\":60.5", 1),
        ),
        (
            "a size beyond all numbers",
            OCI,
            body.replacen("\"size\":60", "\"size\":1e400", 1),
        ),
        (
            "a size that is text",
            OCI,
            body.replacen("\"size\":60", "\"size\":\"60\"", 1),
        ),
        (
            "a digest with a path",
            OCI,
            body.replacen("sha256:", "sha256:../../", 1),
        ),
        (
            "a digest in capitals",
            OCI,
            body.replacen("sha256:", "SHA256:", 1),
        ),
        (
            "a digest of another length",
            OCI,
            body.replacen("sha256:", "sha512:", 1),
        ),
    ];
    for (what, media_type, body) in cases {
        for reference in ["confused", &sha256(body.as_bytes())] {
            let response = put_manifest(&admin, "confusion/kinds", reference, media_type, &body);
            assert_eq!(response.status, 400, "{what}: {response:?}");
            if body != genuine.manifest || reference == "confused" {
                let path = format!("/v2/confusion/kinds/manifests/{reference}");
                assert_eq!(send(&admin, "GET", &path, &[], &[]).status, 404, "{what}");
            }
        }
    }
    // The same bytes are served as the type they were pushed as, whatever is asked for.
    for accept in [INDEX, DOCKER, DOCKER_LIST, "text/html", "*/*"] {
        let response = send(
            &admin,
            "GET",
            "/v2/confusion/kinds/manifests/v1",
            &[("Accept", accept)],
            &[],
        );
        assert_eq!(
            (response.status, response.header("content-type")),
            (200, Some(OCI)),
            "{accept}"
        );
        assert_eq!(response.body, body.as_bytes());
    }
    // Nor can they be pushed again as something else.
    let response = put_manifest(&admin, "confusion/kinds", "again", DOCKER, &untyped);
    let served = send(
        &admin,
        "GET",
        "/v2/confusion/kinds/manifests/again",
        &[],
        &[],
    );
    if response.status == 201 {
        assert_eq!(served.header("content-type"), Some(DOCKER));
        let response = put_manifest(&admin, "confusion/kinds", "third", OCI, &untyped);
        let first = send(
            &admin,
            "GET",
            "/v2/confusion/kinds/manifests/again",
            &[],
            &[],
        );
        assert_eq!(
            first.header("content-type"),
            Some(DOCKER),
            "changed by a later push ({})",
            response.status
        );
    }
}

#[test]
fn urls_in_manifests_are_never_fetched() {
    let target = Target::start();
    let admin = target.admin();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/layer", listener.local_addr().unwrap());
    let config = bytes(3, 60);
    push_blob(&admin, "confusion/urls", &config);
    let layer = bytes(4, 100);
    push_blob(&admin, "confusion/urls", &layer);
    let foreign = sha256(b"somewhere else");
    for (what, layer_type, digest, size) in [
        (
            "foreign",
            "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
            foreign.as_str(),
            14,
        ),
        (
            "restricted",
            "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
            &foreign,
            14,
        ),
        (
            "ordinary and absent",
            "application/vnd.oci.image.layer.v1.tar+gzip",
            &foreign,
            14,
        ),
        (
            "ordinary and there",
            "application/vnd.oci.image.layer.v1.tar+gzip",
            &sha256(&layer),
            100,
        ),
    ] {
        let entry = format!(
            r#"{{"mediaType":"{layer_type}","digest":"{digest}","size":{size},"urls":["{url}","file:///etc/passwd","gopher://x"]}}"#
        );
        let extra = format!(
            r#","annotations":{{"org.opencontainers.image.url":"{url}"}},"unknown":{{"$ref":"{url}"}}"#
        );
        let body = image(&config, b"", &extra);
        let start = body.find("\"layers\":[").unwrap() + "\"layers\":[".len();
        let end = start + body[start..].find(']').unwrap();
        let body = format!("{}{entry}{}", &body[..start], &body[end..]);
        let response = put_manifest(&admin, "confusion/urls", "v1", OCI, &body);
        assert!(matches!(response.status, 201 | 404), "{what}: {response:?}");
        send(&admin, "GET", "/v2/confusion/urls/manifests/v1", &[], &[]);
        let blob = send(
            &admin,
            "GET",
            &format!("/v2/confusion/urls/blobs/{foreign}"),
            &[],
            &[],
        );
        assert_eq!(
            (blob.status, blob.header("location")),
            (404, None),
            "{what}"
        );
    }
    let mount = format!(
        "/v2/confusion/urls/blobs/uploads/?mount={foreign}&from={}",
        url.replace('/', "%2f")
    );
    assert_eq!(send(&admin, "POST", &mount, &[], &[]).status, 202);
    std::thread::sleep(Duration::from_millis(500));
    assert!(
        listener.accept().is_err(),
        "the server fetched what a manifest named"
    );
}
