//! A real client, with redirects and without, on both kinds of store. All clients: `cargo xtask clients` with the variables
//! of a store.

use std::path::Path;
use std::process::Command;

use lazuli_testkit::server::{PASSWORD, Server};

use crate::stores::{self, Bucket};
use crate::support::*;

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// An image of a large and a small layer, as a layout that skopeo reads.
fn image(folder: &Path) -> Vec<Vec<u8>> {
    let blobs = folder.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    let keep = |media_type: &str, content: &[u8]| {
        let digest = digest(content);
        std::fs::write(blobs.join(&digest["sha256:".len()..]), content).unwrap();
        let size = content.len();
        format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}}}"#)
    };
    let layers = [bytes(LARGE, 80), bytes(30_000, 81)];
    let ids: Vec<String> = layers
        .iter()
        .map(|layer| format!("\"{}\"", digest(layer)))
        .collect();
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
        ids.join(",")
    );
    let descriptors: Vec<String> = layers.iter().map(|layer| keep(LAYER, layer)).collect();
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{},"layers":[{}]}}"#,
        keep(CONFIG, config.as_bytes()),
        descriptors.join(",")
    );
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{}]}}"#,
        keep(MANIFEST, manifest.as_bytes())
    );
    std::fs::write(folder.join("index.json"), index).unwrap();
    std::fs::write(
        folder.join("oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )
    .unwrap();
    layers.into()
}

fn there_and_back(server: &Server) {
    let folder = tempfile::tempdir().unwrap();
    let (source, back) = (folder.path().join("source"), folder.path().join("back"));
    std::fs::create_dir(&source).unwrap();
    let layers = image(&source);
    let remote = format!("docker://{}/clients/app:v1", server.http());
    let credentials = folder.path().join("auth.json");
    let login = Command::new("skopeo")
        .args([
            "login",
            "--tls-verify=false",
            "-u",
            "lazuli",
            "-p",
            PASSWORD,
            "--authfile",
        ])
        .arg(&credentials)
        .arg(server.http().to_string())
        .env("HOME", folder.path())
        .status()
        .unwrap();
    assert!(login.success());
    let authfile = format!("--authfile={}", credentials.display());
    let local = |path: &Path| format!("oci:{}:v1", path.display());
    let plain = format!("oci:{}", source.display());
    let push = ["--dest-tls-verify=false", &authfile];
    let pull = ["--src-tls-verify=false", &authfile];
    for (flags, from, to) in [(push, &plain, &remote), (pull, &remote, &local(&back))] {
        let mut command = Command::new("skopeo");
        command
            .args(["--insecure-policy", "copy", "--preserve-digests"])
            .args(flags)
            .args([from, to]);
        let output = command.env("HOME", folder.path()).output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    for layer in layers {
        let name = digest(&layer).replace("sha256:", "");
        let pulled = std::fs::read(back.join("blobs/sha256").join(&name));
        assert!(pulled.unwrap() == layer);
    }
}

fn skopeo(bucket: Option<Bucket>) {
    let Some(bucket) = bucket else { return };
    if Command::new("skopeo").arg("--version").output().is_err() {
        lazuli_testkit::not_run("skopeo on an object store", "no skopeo");
        return;
    }
    there_and_back(&bucket.serve());
}

#[test]
fn skopeo_on_ceph_with_redirects() {
    skopeo(stores::s3());
}

#[test]
fn skopeo_on_ceph_through_the_server() {
    skopeo(stores::s3().map(|bucket| bucket.with("LAZULI_STORAGE_REDIRECT", "false")));
}

#[test]
fn skopeo_on_azurite_with_redirects() {
    skopeo(stores::azure());
}
