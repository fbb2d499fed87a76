//! Scratch folders on the disk, out of the repository: `/var/tmp/lazuli-xtask-PID`.
//!
//! The path is short because engines put Unix sockets below it (at most 108 bytes).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result};

const PREFIX: &str = "lazuli-xtask-";

/// The scratch folder of this process, made at first use.
pub(crate) fn root() -> Result<&'static Path> {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    if let Some(root) = ROOT.get() {
        return Ok(root);
    }
    let root = base().join(format!("{PREFIX}{}", std::process::id()));
    fs::create_dir_all(&root).with_context(|| format!("cannot make {}", root.display()))?;
    Ok(ROOT.get_or_init(|| root))
}

/// A folder of its own for one suite.
pub(crate) fn dir(name: &str) -> Result<PathBuf> {
    let dir = root()?.join(name);
    fs::create_dir_all(&dir)?;
    Ok(dir)
}

/// Removes a folder of ours, first unmounting what an engine left mounted in it.
pub(crate) fn remove(dir: &Path) {
    for mount in mounts_below(dir) {
        let _ = Command::new("umount").arg("-l").arg(mount).status();
    }
    if let Err(error) = fs::remove_dir_all(dir)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        eprintln!("could not remove {}: {error}", dir.display());
    }
}

/// Removes our own folder and those of runs that were killed.
pub(crate) fn clean() {
    let Ok(entries) = fs::read_dir(base()) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|n| n.strip_prefix(PREFIX)) else {
            continue;
        };
        let alive = fs::metadata(format!("/proc/{pid}")).is_ok();
        if !alive || pid == std::process::id().to_string() {
            remove(&entry.path());
        }
    }
}

fn base() -> PathBuf {
    let preferred = Path::new("/var/tmp");
    match fs::metadata(preferred) {
        Ok(meta) if meta.is_dir() => preferred.to_path_buf(),
        _ => std::env::temp_dir(),
    }
}

fn mounts_below(dir: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mut mounts: Vec<PathBuf> = table
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .map(PathBuf::from)
        .filter(|mount| mount.starts_with(dir))
        .collect();
    mounts.reverse();
    mounts
}
