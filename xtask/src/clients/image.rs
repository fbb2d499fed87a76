//! Images made by hand: OCI layouts with random content, and root file systems of one static busybox.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::context::{Context, random_bytes};
use crate::exec::Cmd;
use crate::packages;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// A folder in the layout of the OCI image specification with one image or index in it.
pub(super) struct Layout {
    pub(super) dir: PathBuf,
    /// The digest of what `index.json` names.
    pub(super) digest: String,
}

/// A new image with random layers of these sizes, tagged `v1` in the layout.
pub(super) fn layout(cx: &Context, name: &str, layers: &[usize]) -> Result<Layout> {
    let dir = empty_layout(cx, name)?;
    let image = image(&dir, "amd64", layers)?;
    finish(dir, image)
}

/// A new index of an amd64 and an arm64 image, tagged `v1` in the layout.
pub(super) fn index_layout(cx: &Context, name: &str) -> Result<Layout> {
    let dir = empty_layout(cx, name)?;
    let mut children = Vec::new();
    for architecture in ["amd64", "arm64"] {
        let mut child = image(&dir, architecture, &[3000, 200_000])?;
        child["platform"] = json!({"os": "linux", "architecture": architecture});
        children.push(child);
    }
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": children});
    let index = blob(&dir, INDEX, index.to_string().as_bytes())?;
    finish(dir, index)
}

/// A folder with `bin/busybox` for this architecture (`amd64`, `arm64`), to build images from.
pub(super) fn busybox(architecture: &str) -> Result<PathBuf> {
    let root = packages::unpacked_for("bookworm", architecture, "busybox-static")?;
    let merged = root.join("usr/bin/busybox");
    Ok(if fs::metadata(&merged).is_ok() {
        merged
    } else {
        root.join("bin/busybox")
    })
}

/// The folder `build` in the scratch folder: the Dockerfile and what it copies.
pub(super) fn build_folder(cx: &Context, architectures: &[&str]) -> Result<()> {
    cx.write(
        "build/Dockerfile",
        include_str!("../../../tests/clients/busybox.Dockerfile"),
    )?;
    cx.random_file("build/content", 2_000_000)?;
    for architecture in architectures {
        fs::copy(
            busybox(architecture)?,
            cx.file(&format!("build/busybox-{architecture}")),
        )?;
    }
    Ok(())
}

/// The architecture of this machine, in the words of images and of Debian.
pub(super) fn native() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        _ => "amd64",
    }
}

fn empty_layout(cx: &Context, name: &str) -> Result<PathBuf> {
    let dir = cx.folder(name)?;
    fs::create_dir_all(dir.join("blobs/sha256"))?;
    fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
    Ok(dir)
}

fn finish(dir: PathBuf, mut descriptor: Value) -> Result<Layout> {
    let digest = descriptor["digest"]
        .as_str()
        .context("no digest")?
        .to_owned();
    descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": "v1"});
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor]});
    fs::write(dir.join("index.json"), index.to_string())?;
    Ok(Layout { dir, digest })
}

fn image(dir: &Path, architecture: &str, layers: &[usize]) -> Result<Value> {
    let mut descriptors = Vec::new();
    let mut diff_ids = Vec::new();
    for (number, size) in layers.iter().enumerate() {
        let content = dir.with_extension("content");
        fs::create_dir_all(&content)?;
        fs::write(content.join(format!("layer{number}")), random_bytes(*size)?)?;
        let tar = dir.with_extension("tar");
        Cmd::new("tar")
            .args(["--owner=0", "--group=0", "-cf"])
            .arg(&tar)
            .arg("-C")
            .arg(&content)
            .arg(".")
            .run()?;
        diff_ids.push(digest(&tar)?);
        Cmd::new("gzip").args(["-n", "-1"]).arg(&tar).run()?;
        let zipped = dir.with_extension("tar.gz");
        descriptors.push(blob(dir, LAYER, &fs::read(&zipped)?)?);
        fs::remove_file(zipped)?;
        fs::remove_dir_all(content)?;
    }
    let config = json!({"architecture": architecture, "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": diff_ids}});
    let config = blob(dir, CONFIG, config.to_string().as_bytes())?;
    let manifest =
        json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": descriptors});
    blob(dir, MANIFEST, manifest.to_string().as_bytes())
}

/// Stores a blob and returns its descriptor.
fn blob(dir: &Path, media_type: &str, bytes: &[u8]) -> Result<Value> {
    let file = dir.join("blobs/new");
    fs::write(&file, bytes)?;
    let digest = digest(&file)?;
    fs::rename(file, dir.join("blobs").join(digest.replace(':', "/")))?;
    Ok(json!({"mediaType": media_type, "digest": digest, "size": bytes.len()}))
}

/// The digest of a file, by coreutils.
pub(super) fn digest(file: &Path) -> Result<String> {
    let line = Cmd::new("sha256sum").arg(file).run()?;
    let hex = line
        .trim_start_matches('\\')
        .split_whitespace()
        .next()
        .context("sha256sum printed nothing")?;
    Ok(format!("sha256:{hex}"))
}
