//! The repository and what cargo knows of it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::exec::Cmd;

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_path_buf()
}

/// Where results, logs and generated things of xtask go: `target/xtask`.
pub(crate) fn output_dir() -> Result<PathBuf> {
    let dir = target_dir().join("xtask");
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    Ok(dir)
}

/// Cargo's build folder.
pub(crate) fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// A cargo command in the repository, with the toolchain that built us.
pub(crate) fn cargo() -> Cmd {
    Cmd::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())).dir(root())
}

/// `cargo metadata` of the workspace members only.
pub(crate) fn metadata() -> Result<Value> {
    let text = cargo()
        .args(["metadata", "--no-deps", "--format-version", "1", "--locked"])
        .run()?;
    serde_json::from_str(&text).context("cargo metadata")
}

/// Every file that git knows or would add, relative to the root, in byte order.
pub(crate) fn files() -> Result<Vec<String>> {
    let list = Cmd::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .dir(root())
        .run()?;
    let mut files: Vec<String> = list
        .split('\0')
        .filter(|name| !name.is_empty())
        .filter(|name| fs::symlink_metadata(root().join(name)).is_ok_and(|meta| meta.is_file()))
        .map(str::to_owned)
        .collect();
    files.sort();
    files.dedup();
    Ok(files)
}

/// Those of [`files`] with this extension.
pub(crate) fn files_with(extension: &str) -> Result<Vec<String>> {
    let mut files = files()?;
    files.retain(|name| Path::new(name).extension().is_some_and(|e| e == extension));
    Ok(files)
}

/// The text of a file of the repository; `None` when it is not UTF-8.
pub(crate) fn read(name: &str) -> Result<Option<String>> {
    let bytes = fs::read(root().join(name)).with_context(|| format!("cannot read {name}"))?;
    Ok(String::from_utf8(bytes).ok())
}
