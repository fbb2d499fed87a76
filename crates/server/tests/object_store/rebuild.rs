//! Databases that are lost, and made anew from the bucket.

use std::path::Path;
use std::process::Output;

use lazuli_testkit::http::Response;
use lazuli_testkit::postgres::Database;
use lazuli_testkit::server::Server;
use lazuli_wire::oci::{Algorithm, Digest};

use crate::stores::{self, Bucket};
use crate::support::*;

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

fn put(server: &Server, name: &str, reference: &str, kind: &str, body: &str) -> String {
    let target = format!("/v2/{name}/manifests/{reference}");
    let headers = [("Content-Type", kind)];
    let response = server
        .admin()
        .send("PUT", &target, &headers, body.as_bytes());
    assert_eq!(response.status, 201, "{response:?}");
    digest(body.as_bytes())
}

fn descriptor(kind: &str, content: &[u8]) -> String {
    let (digest, size) = (digest(content), content.len());
    format!(r#"{{"mediaType":"{kind}","digest":"{digest}","size":{size}}}"#)
}

/// The text of an image whose blobs are pushed: a small one, one of a single object, one of parts.
fn image(server: &Server, name: &str, seed: u64, more: &str) -> String {
    let config = format!(r#"{{"seed":{seed}}}"#);
    let (small, large) = (bytes(70_000, seed), bytes(LARGE, seed));
    for content in [config.as_bytes(), &small, &large] {
        push(server, name, content);
    }
    let layer = "application/vnd.oci.image.layer.v1.tar";
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI}","config":{},"layers":[{},{}]{more}}}"#,
        descriptor(
            "application/vnd.oci.image.config.v1+json",
            config.as_bytes()
        ),
        descriptor(layer, &small),
        descriptor(layer, &large)
    )
}

fn fill(server: &Server) {
    let one = image(server, "family", 1, "");
    put(server, "family", "one", OCI, &one);
    let two = image(server, "family", 2, "");
    put(server, "family", "two", OCI, &two);
    let children = [
        descriptor(OCI, one.as_bytes()),
        descriptor(OCI, two.as_bytes()),
    ]
    .join(",");
    let index = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{children}]}}"#);
    put(server, "family", "both", INDEX, &index);
    let subject = format!(r#","subject":{}"#, descriptor(OCI, one.as_bytes()));
    let referrer = image(server, "family", 3, &subject);
    let by_sha512 = Digest::of(Algorithm::Sha512, referrer.as_bytes()).to_string();
    put(server, "family", &by_sha512, OCI, &referrer);
    // Mounted, moved, removed.
    for content in [
        &bytes(70_000, 1),
        &bytes(LARGE, 1),
        &br#"{"seed":1}"#.to_vec(),
    ] {
        let target = format!(
            "/v2/mounted/blobs/uploads/?mount={}&from=family",
            digest(content)
        );
        assert_eq!(server.admin().send("POST", &target, &[], &[]).status, 201);
    }
    put(server, "mounted", "v1", OCI, &one);
    let other = image(server, "mounted", 4, "");
    put(server, "mounted", "v2", OCI, &other);
    put(server, "mounted", "v1", OCI, &other);
    put(server, "mounted", "gone", OCI, &one);
    let gone = digest(one.as_bytes());
    let deleted = server
        .admin()
        .delete(&format!("/v2/mounted/manifests/{gone}"));
    assert_eq!(deleted.status, 202, "{deleted:?}");
    // A repository that is empty again.
    let last = image(server, "removed", 5, "");
    let digest = put(server, "removed", "v1", OCI, &last);
    let target = format!("/v2/removed/manifests/{digest}");
    assert_eq!(server.admin().delete(&target).status, 202);
}

/// What the registry answers to everything that can be asked.
fn answers(server: &Server) -> Vec<(String, u16, String)> {
    let get = |target: &str| -> Response {
        let accept = format!("{OCI}, {INDEX}");
        server
            .admin()
            .send("GET", target, &[("Accept", &*accept)], &[])
    };
    let mut targets = vec!["/v2/_catalog".to_owned(), "/v2/_catalog?n=1".to_owned()];
    let one = digest(image_text(1).as_bytes());
    targets.push(format!("/v2/family/referrers/{one}"));
    for name in ["family", "mounted", "removed"] {
        targets.push(format!("/v2/{name}/tags/list"));
        for reference in ["one", "two", "both", "v1", "v2", "gone", &*one] {
            targets.push(format!("/v2/{name}/manifests/{reference}"));
        }
        for seed in 1..6 {
            // Their manifests are deleted: they stay for a lease, which is in no operation.
            if [("mounted", 1), ("removed", 5)].contains(&(name, seed)) {
                continue;
            }
            for content in [
                bytes(70_000, seed),
                bytes(LARGE, seed),
                format!(r#"{{"seed":{seed}}}"#).into_bytes(),
            ] {
                targets.push(format!("/v2/{name}/blobs/{}", digest(&content)));
            }
        }
    }
    let answer = |target: String| {
        let response = get(&target);
        let content = digest(&response.body);
        (target, response.status, content)
    };
    targets.into_iter().map(answer).collect()
}

fn image_text(seed: u64) -> String {
    let config = format!(r#"{{"seed":{seed}}}"#);
    let layer = "application/vnd.oci.image.layer.v1.tar";
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI}","config":{},"layers":[{},{}]}}"#,
        descriptor(
            "application/vnd.oci.image.config.v1+json",
            config.as_bytes()
        ),
        descriptor(layer, &bytes(70_000, seed)),
        descriptor(layer, &bytes(LARGE, seed))
    )
}

fn run(server: &Server, bucket: &Bucket, arguments: &[&str]) -> Output {
    let mut command = server.command(arguments);
    command.envs(bucket.environment.iter().map(|(k, v)| (*k, v)));
    command.output().unwrap()
}

fn told(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    )
}

fn forget_database(data: &Path) {
    for entry in std::fs::read_dir(data).unwrap() {
        let path = entry.unwrap().path();
        if path
            .file_name()
            .unwrap()
            .to_string_lossy()
            .starts_with("lazuli.db")
        {
            std::fs::remove_file(path).unwrap();
        }
    }
}

fn lose_and_rebuild(bucket: Bucket, lose: impl FnOnce(&Server, Bucket) -> Bucket) {
    let bucket = bucket
        .with("LAZULI_STORAGE_REDIRECT", "false")
        .with("LAZULI_STORAGE_JOURNAL_INTERVAL", "1s")
        .with("LAZULI_MASTER_KEY", KEY);
    let mut server = bucket.serve();
    put(&server, "early", "v1", OCI, &image(&server, "early", 9, ""));
    // Some of it is in the snapshot, some in segments after it.
    let deadline = std::time::Instant::now() + std::time::Duration::from_mins(1);
    while !is_written(&server) {
        assert!(
            std::time::Instant::now() < deadline,
            "{}",
            server.log_tail()
        );
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    fill(&server);
    let before = answers(&server);
    assert!(server.stop(), "{}", server.log_tail());
    let bucket = lose(&server, bucket);
    let environment: Vec<_> = bucket
        .environment
        .iter()
        .map(|(k, v)| (*k, v.as_str()))
        .collect();
    server.set_environment(&environment);
    // An empty database beside these blobs is refused.
    assert!(server.try_restart("/readyz").is_err());
    assert!(
        server.log().contains("lazuli rebuild"),
        "{}",
        server.log_tail()
    );
    let rebuilt = run(&server, &bucket, &["rebuild"]);
    assert_eq!(rebuilt.status.code(), Some(0), "{}", told(&rebuilt));
    let again = run(&server, &bucket, &["rebuild"]);
    assert_eq!(again.status.code(), Some(1), "{}", told(&again));
    let sound = run(&server, &bucket, &["fsck", "--verify"]);
    assert_eq!(sound.status.code(), Some(0), "{}", told(&sound));
    server.restart();
    for (there, here) in answers(&server).into_iter().zip(before) {
        assert_eq!(there, here);
    }
    put(
        &server,
        "later",
        "v1",
        OCI,
        &image(&server, "later", 10, ""),
    );
}

#[test]
fn a_lost_file_comes_back_from_ceph() {
    let Some(bucket) = stores::s3() else { return };
    lose_and_rebuild(bucket, |server, bucket| {
        forget_database(&server.data());
        bucket
    });
}

#[test]
fn a_lost_file_comes_back_from_azurite_into_postgresql() {
    let (Some(bucket), Some(database)) = (stores::azure(), Database::create()) else {
        return;
    };
    lose_and_rebuild(bucket, |_, bucket| {
        let parts = database.url();
        let part = |name: &str| parts.split(' ').find_map(|p| p.strip_prefix(name)).unwrap();
        let (host, name) = (part("host=").replace('/', "%2F"), part("dbname="));
        bucket.with(
            "LAZULI_DATABASE_URL",
            format!("postgres://postgres@{host}/{name}"),
        )
    });
}

#[test]
fn what_is_missing_in_the_bucket_is_named() {
    let Some(rgw) = lazuli_testkit::object_stores::rgw::Rgw::shared() else {
        return;
    };
    let bucket = stores::bucket_of(rgw, rgw.address()).with("LAZULI_MASTER_KEY", KEY);
    let mut server = bucket.serve();
    let image = image(&server, "a", 1, "");
    put(&server, "a", "v1", OCI, &image);
    assert!(server.stop());
    forget_database(&server.data());
    let is_data = |name: &String| name.starts_with("registry/data/") && !name.contains('.');
    let name = objects(rgw, &bucket.name)
        .into_iter()
        .find(is_data)
        .unwrap();
    let object = format!("/{}/{name}", bucket.name);
    assert_eq!(rgw.send("DELETE", &object, &[], &[]).status, 204);
    let rebuilt = run(&server, &bucket, &["rebuild"]);
    assert_eq!(rebuilt.status.code(), Some(4), "{}", told(&rebuilt));
    let lost = digest(&bytes(LARGE, 1));
    assert!(told(&rebuilt).contains(&lost), "{}", told(&rebuilt));
    server.restart();
    assert_eq!(
        server.admin().get("/v2/a/manifests/v1").body,
        image.as_bytes()
    );
    push(&server, "a", &bytes(LARGE, 1));
    let sound = run(&server, &bucket, &["fsck"]);
    assert_eq!(sound.status.code(), Some(0), "{}", told(&sound));
    // The wrong key is told, and changes nothing.
    assert!(server.stop());
    forget_database(&server.data());
    let other = bucket.with("LAZULI_MASTER_KEY", KEY.replace('0', "1"));
    let refused = run(&server, &other, &["rebuild"]);
    assert_eq!(refused.status.code(), Some(1), "{}", told(&refused));
    assert!(told(&refused).contains("master key"), "{}", told(&refused));
}

/// Whether there is a journal.
fn is_written(server: &Server) -> bool {
    let metrics = server.admin().get("/metrics");
    let text = String::from_utf8_lossy(&metrics.body).into_owned();
    let value = |line: &str| {
        line.strip_prefix("lazuli_journal_generation ")?
            .parse::<f64>()
            .ok()
    };
    text.lines()
        .filter_map(value)
        .any(|generation| generation > 0.0)
}
