//! Paths that mean something else to somebody: they reach no file, no other repository, and no error of the server.

use lazuli_testkit::server::{PASSWORD, basic};

use crate::support::{Image, Target};

const CANARY: &str = "canary-5d41402abc4b2a76b9719d911017c592";

/// Spellings of a path to something else, to be put in the place of a name, a reference or a whole path.
const TRICKS: [&str; 44] = [
    "..",
    ".",
    "../..",
    "../../canary",
    "..%2f..%2fcanary",
    "..%2F..%2Fcanary",
    "%2e%2e/%2e%2e/canary",
    "%2e%2e%2f%2e%2e%2fcanary",
    "%252e%252e%252fcanary",
    "%25252e%25252e/canary",
    "..%252fcanary",
    "..%c0%afcanary",
    "..%e0%80%afcanary",
    "%uff0e%uff0e/canary",
    "..\\..\\canary",
    "..%5c..%5ccanary",
    "....//....//canary",
    "..;/canary",
    "a/../canary",
    "a/./canary",
    "a//canary",
    "//canary",
    "/etc/passwd",
    "%2fetc%2fpasswd",
    "file:///etc/passwd",
    "canary%00",
    "canary%00.json",
    "%00",
    "%0d%0aX-Injected:%20yes",
    "%0a",
    "%",
    "%2",
    "%zz",
    "a%20b",
    "a%09b",
    "%ef%bc%8e%ef%bc%8e/canary",
    "%d0%b0pp",
    "app%e2%80%ae",
    "~root/canary",
    "$HOME/canary",
    "`id`",
    "a'%20OR%20'1'='1",
    "a\";--",
    "{{7*7}}",
];

#[test]
fn no_spelling_of_a_path_reaches_a_file_or_breaks_the_server() {
    let target = Target::start();
    let admin = target.admin();
    let image = Image::push(&admin, "app", 5);
    for place in [target.outside(), target.data()] {
        std::fs::write(place.join("canary"), CANARY).unwrap();
    }
    let before = files(&target);
    let digest = image.digest();
    let hex = digest.split(':').nth(1).unwrap();
    let mut paths: Vec<String> = Vec::new();
    for trick in TRICKS {
        paths.push(format!("/{trick}"));
        paths.push(format!("/v2/{trick}"));
        paths.push(format!("/v2/{trick}/manifests/v1"));
        paths.push(format!("/v2/app/{trick}/manifests/v1"));
        paths.push(format!("/v2/app/manifests/{trick}"));
        paths.push(format!("/v2/app/blobs/{trick}"));
        paths.push(format!("/v2/app/blobs/sha256:{trick}"));
        paths.push(format!("/v2/app/blobs/sha256:{trick}/../{hex}"));
        paths.push(format!("/v2/app/blobs/uploads/{trick}"));
        paths.push(format!("/v2/app/referrers/{trick}"));
        paths.push(format!("/v2/{trick}/tags/list"));
        paths.push(format!("/oauth2/{trick}"));
        paths.push(format!("/metrics/{trick}"));
    }
    for path in &paths {
        for method in ["GET", "PUT", "DELETE", "POST", "PATCH"] {
            let raw = target.raw(&request(
                &target,
                method,
                path,
                "Content-Length: 2\r\n",
                "{}",
            ));
            let statuses = raw.statuses();
            assert_eq!(statuses.len(), 1, "{method} {path}: {raw:?}");
            assert!(
                (400..500).contains(&statuses[0]),
                "{method} {path}: {raw:?}"
            );
            assert!(
                !raw.text.contains(CANARY) && !raw.text.contains("root:"),
                "{method} {path}: {raw:?}"
            );
            let head = raw.text.split("\r\n\r\n").next().unwrap().to_lowercase();
            assert!(!head.contains("x-injected"), "{method} {path}: {raw:?}");
        }
    }
    assert_eq!(files(&target), before, "a request made or removed a file");
    assert_eq!(
        admin.get("/v2/app/manifests/v1").body,
        image.manifest.as_bytes()
    );
}

fn request(target: &Target, method: &str, path: &str, fields: &str, body: &str) -> Vec<u8> {
    let (host, authorization) = (target.host(), basic("lazuli", PASSWORD));
    format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {authorization}\r\nConnection: close\r\n{fields}\r\n{body}")
        .into_bytes()
}

/// The names of all files, apart from those the server itself makes and removes while it runs.
fn files(target: &Target) -> Vec<String> {
    fn walk(folder: &std::path::Path, all: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, all);
            }
            all.push(path.to_str().unwrap().to_owned());
        }
    }
    let mut all = Vec::new();
    walk(&target.outside(), &mut all);
    all.sort();
    all
}

#[test]
fn bytes_that_are_no_path_are_refused() {
    let target = Target::start();
    for path in [
        &b"/v2/a\\b/manifests/v1"[..],
        b"/v2/\xff\xfe/manifests/v1",
        b"/v2/\xc3\xa9/manifests/v1",
        b"/v2/a\x7fb/manifests/v1",
        b"/v2/a\x01b/manifests/v1",
        b"/v2/a\0b/manifests/v1",
        b"/v2/a\tb/manifests/v1",
        b"/v2/a b/manifests/v1",
        b"/v2/a/manifests/v1#fragment",
        b"v2/",
        b"*",
        b"?",
        b"",
    ] {
        let head = [b"GET ", path, b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
        let raw = target.raw(&head);
        let statuses = raw.statuses();
        let shown = String::from_utf8_lossy(path).into_owned();
        assert!(
            statuses.iter().all(|status| (400..500).contains(status)),
            "{shown}: {raw:?}"
        );
        assert_eq!(statuses.len(), 1, "{shown}: {raw:?}");
    }
}

#[test]
fn a_target_that_names_another_host_is_refused() {
    let target = Target::start();
    let host = target.host();
    for (authority, expected) in [
        ("http://other.example", 400),
        ("http://127.0.0.1:1", 400),
        ("https://169.254.169.254", 400),
        ("http://user:password@other.example", 400),
        ("ftp://other.example", 400),
        (&format!("http://user@{host}"), 400),
        (&format!("http://{host}"), 401),
    ] {
        let head = format!("GET {authority}/v2/ HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let raw = target.raw(head.as_bytes());
        assert_eq!(raw.statuses(), [expected], "{authority}: {raw:?}");
        assert!(!raw.text.contains("other.example"), "{raw:?}");
    }
    for head in [
        "CONNECT other.example:443 HTTP/1.1",
        "CONNECT / HTTP/1.1",
        "OPTIONS * HTTP/1.1",
    ] {
        let raw = target.raw(format!("{head}\r\nHost: {host}\r\n\r\n").as_bytes());
        assert!(
            raw.statuses()
                .iter()
                .all(|status| (400..500).contains(status)),
            "{head}: {raw:?}"
        );
    }
}

#[test]
fn a_name_has_one_spelling_apart_from_the_encodings_clients_use() {
    let target = Target::start();
    let admin = target.admin();
    let image = Image::push(&admin, "team/app", 5);
    let get = |path: &str| {
        let raw = target.raw(&request(&target, "GET", path, "", ""));
        raw.statuses()[0]
    };
    let digest = image.digest();
    assert_eq!(get("/v2/team/app/manifests/v1"), 200);
    assert_eq!(get("/v2/team%2Fapp/manifests/v1"), 200);
    assert_eq!(
        get(&format!(
            "/v2/team/app/manifests/{}",
            digest.replace(':', "%3A")
        )),
        200
    );
    for path in [
        "/v2/team//app/manifests/v1",
        "/v2//team/app/manifests/v1",
        "//v2/team/app/manifests/v1",
        "/v2/team/app//manifests/v1",
        "/v2/team/app/manifests//v1",
        "/v2/team/app/manifests/v1/",
        "/v2/team/app/./manifests/v1",
        "/v2/x/../team/app/manifests/v1",
        "/v2/TEAM/app/manifests/v1",
        "/v2/team%252Fapp/manifests/v1",
        "/v2/team/app/manifests%2Fv1",
        "/v2%2Fteam/app/manifests/v1",
        "/V2/team/app/manifests/v1",
        "/v2/team/app/Manifests/v1",
        "/v2/team/app/manifests/V1",
        "/v2/team/app/manifests/v1%20",
        "/v2/./_catalog",
        "/v2/_catalog/",
        "/v2//_catalog",
        "/v2/%5fcatalog",
    ] {
        let status = get(path);
        assert!(matches!(status, 400 | 404), "{path}: {status}");
    }
}
