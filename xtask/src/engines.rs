//! The engines that tests start: databases and object stores, as Debian packages and, for Azurite, from npm.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::exec::{Cmd, which};
use crate::packages;
use crate::report::Results;
use crate::workspace;

/// What Azurite's lock file is in the repository.
const AZURITE: &str = "tests/azurite";
const NPM_SECONDS: u64 = 900;

/// Debian's packages and the programs that tests want of them; what is there already, from wherever, is taken.
const PACKAGES: &[(&str, &[&str])] = &[
    ("git", &["git"]),
    ("openssl", &["openssl"]),
    ("ceph-common", &["ceph", "radosgw-admin"]),
    ("ceph-mon", &["ceph-mon", "monmaptool"]),
    ("ceph-osd", &["ceph-osd"]),
    ("radosgw", &["radosgw"]),
    ("nginx-light", &["nginx"]),
    ("nodejs", &["node"]),
    ("npm", &["npm"]),
    // Clocks that are set, and networks that are cut.
    ("faketime", &["faketime"]),
    ("iptables", &["iptables"]),
    // What `lazuli import-from` is tried on.
    ("docker-registry", &["docker-registry"]),
    ("skopeo", &["skopeo"]),
];

/// Installs what is missing and reports what cannot be.
pub(crate) fn install(results: &mut Results) {
    // Debian keeps servers where only administrators look.
    let present = |program: &&str| {
        which(program).is_some() || fs::metadata(format!("/usr/sbin/{program}")).is_ok()
    };
    report(results, "postgresql", || {
        if present(&"postgres") || packaged_postgres().is_some() {
            return Ok(());
        }
        packages::install(&["postgresql"])
    });
    for (package, programs) in PACKAGES {
        report(results, package, || {
            if programs.iter().all(present) {
                return Ok(());
            }
            packages::install(&[package])
        });
    }
    report(results, "azurite", azurite);
}

fn report(results: &mut Results, name: &str, install: impl FnOnce() -> Result<()>) {
    match install() {
        Ok(()) => _ = results.case("packages", name, || Ok(())),
        Err(error) => results.not_run("packages", name, &format!("{error:#}")),
    }
}

/// Debian keeps the server's programs out of `PATH`.
fn packaged_postgres() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    versions
        .flatten()
        .map(|version| version.path().join("bin/postgres"))
        .find(|file| fs::metadata(file).is_ok())
}

/// Azurite in `target/xtask-cache/azurite`, where the test kit looks for it, in the versions of the lock file. Which
/// registry it comes from is for npm's own configuration to say.
fn azurite() -> Result<()> {
    let cache = workspace::target_dir().join("xtask-cache/azurite");
    let lock = "package-lock.json";
    let source = workspace::root().join(AZURITE);
    let wanted = fs::read(source.join(lock)).with_context(|| format!("{AZURITE}/{lock}"))?;
    // Written last: a folder with it is complete.
    let stamp = cache.join("installed.json");
    if fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    println!("  installing azurite");
    let _ = fs::remove_dir_all(&cache);
    fs::create_dir_all(&cache)?;
    for file in ["package.json", lock] {
        fs::copy(source.join(file), cache.join(file))?;
    }
    Cmd::new("npm")
        .args(["ci", "--ignore-scripts", "--omit=dev", "--no-audit"])
        .args(["--no-fund", "--loglevel=error"])
        .dir(&cache)
        .timeout(NPM_SECONDS)
        .run()
        .context("Azurite, by npm")?;
    fs::write(stamp, wanted)?;
    Ok(())
}
