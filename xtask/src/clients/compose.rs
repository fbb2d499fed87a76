//! What starts `deploy/compose` itself: a Docker engine with its Compose plugin, unpacked beside the system, and
//! `tests/deploy/compose/nodes.py`, which runs the file with stand-ins for the images that come from elsewhere.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::modern::PROGRAMS;
use crate::exec::bound_to_us;
use crate::{packages, workspace};

/// The Debian suite of the engine, its plugins and MinIO's client.
const SUITE: &str = "trixie";
const PLUGINS: &[&str] = &["docker-buildx", "docker-compose"];
/// What the stand-ins are made of, and what makes them.
const INSTALLED: &[&str] = &[
    "docker.io",
    "runc",
    "binutils",
    "openssl",
    "python3",
    "postgresql",
    "nginx-light",
    "ceph-common",
    "ceph-mon",
    "ceph-osd",
    "radosgw",
];

/// The program that starts the file below this folder; an error means that this machine cannot.
pub(super) fn program(folder: &Path) -> Result<(Command, Vec<OsString>)> {
    packages::needs_root("dockerd runs as root here")?;
    packages::install(INSTALLED)?;
    let programs = folder.join("programs");
    let plugins = folder.join("docker/cli-plugins");
    fs::create_dir_all(&programs)?;
    fs::create_dir_all(&plugins)?;
    let link = |package: &str, file: &str, place: &Path| -> Result<()> {
        let name = file.rsplit('/').next().unwrap_or(file);
        let from = packages::unpacked(SUITE, package)?.join(file);
        symlink(from, place.join(name)).with_context(|| name.to_owned())
    };
    for (package, files) in PROGRAMS {
        for file in *files {
            link(package, file, &programs)?;
        }
    }
    for plugin in PLUGINS {
        let file = format!("usr/libexec/docker/cli-plugins/{plugin}");
        link(plugin, &file, &plugins)?;
    }
    let client = packages::unpacked(SUITE, "minio-client")?.join("usr/bin/minio-client");
    let mut path = OsString::from(&programs);
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    path.push(":/usr/sbin");
    let mut command = bound_to_us("/usr/bin/python3".as_ref());
    command
        .arg("-B")
        .arg(workspace::root().join("tests/deploy/compose/nodes.py"))
        .env("PATH", path)
        .env("DOCKER_CONFIG", folder.join("docker"));
    Ok((command, vec!["--mc".into(), client.into()]))
}
