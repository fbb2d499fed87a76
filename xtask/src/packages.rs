//! Debian packages: installed with `apt-get`, or fetched from another suite and unpacked beside the system.
//!
//! Most Go programs of newer suites run unchanged on Debian 12 once unpacked. Nothing is added to the system's
//! sources: each suite has an apt state of its own in `target/xtask-cache`, on the mirror the machine already uses.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::exec::Cmd;
use crate::workspace;

const APT_SECONDS: u64 = 900;

/// Installs what is missing of these packages; without the right to, says which ones are missing.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    let missing: Vec<&str> = packages
        .iter()
        .copied()
        .filter(|package| !is_installed(package))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if !is_root() {
        bail!(
            "Debian packages missing: {list} (as root: apt-get install --no-install-recommends {list})"
        );
    }
    println!("  installing {list}");
    let install = || {
        apt_get(&[])
            .args(["install", "-y", "-q", "--no-install-recommends"])
            .args(&missing)
            .timeout(APT_SECONDS)
            .run()
            .with_context(|| format!("Debian packages missing: {list}"))
    };
    // The lists may be older than what the mirror still serves.
    install().or_else(|_| {
        apt_get(&[])
            .args(["update", "-q"])
            .timeout(APT_SECONDS)
            .run()?;
        install()
    })?;
    Ok(())
}

/// Whether we may install packages and start engines.
fn is_root() -> bool {
    Cmd::new("id")
        .arg("-u")
        .run()
        .is_ok_and(|id| id.trim() == "0")
}

/// Fails, with the reason, when we are not root.
pub(crate) fn needs_root(why: &str) -> Result<()> {
    anyhow::ensure!(is_root(), "needs root: {why}");
    Ok(())
}

fn is_installed(package: &str) -> bool {
    let query = Cmd::new("dpkg-query")
        .args(["-W", "-f", "${db:Status-Status}", package])
        .run();
    query.is_ok_and(|status| status == "installed")
}

/// A package of some suite and architecture, unpacked into the cache; returns the folder that stands for `/`.
pub(crate) fn unpacked(suite: &str, package: &str) -> Result<PathBuf> {
    Suite::new(suite, None).unpack(package)
}

/// The same for a package of another architecture than the machine's.
pub(crate) fn unpacked_for(suite: &str, architecture: &str, package: &str) -> Result<PathBuf> {
    Suite::new(suite, Some(architecture)).unpack(package)
}

/// The version of a package that was unpacked.
pub(crate) fn version(suite: &str, package: &str) -> Result<String> {
    let file = unpacked(suite, package)?.with_file_name(format!("{package}.version"));
    Ok(upstream(&fs::read_to_string(file)?).to_owned())
}

/// The version of a package that is installed.
pub(crate) fn installed_version(package: &str) -> Result<String> {
    let version = Cmd::new("dpkg-query")
        .args(["-W", "-f", "${Version}", package])
        .run()?;
    Ok(upstream(&version).to_owned())
}

/// The upstream part of a Debian version: no epoch, no revision, no repackaging marks.
fn upstream(version: &str) -> &str {
    let version = version.split_once(':').map_or(version, |(_, rest)| rest);
    version.split(['+', '~', '-']).next().unwrap_or(version)
}

/// One suite with its private apt state.
struct Suite {
    name: String,
    state: PathBuf,
    architecture: Option<String>,
    options: Vec<OsString>,
}

impl Suite {
    fn new(suite: &str, architecture: Option<&str>) -> Self {
        let folder = architecture.map_or_else(
            || suite.to_owned(),
            |architecture| format!("{suite}-{architecture}"),
        );
        let state = workspace::target_dir().join("xtask-cache").join(folder);
        let mut suite = Self {
            name: suite.to_owned(),
            state,
            architecture: architecture.map(str::to_owned),
            options: Vec::new(),
        };
        suite.options = suite.options();
        suite
    }

    fn unpack(&self, package: &str) -> Result<PathBuf> {
        let root = self.state.join("root").join(package);
        if fs::metadata(&root).is_ok() {
            return Ok(root);
        }
        for folder in ["lists/partial", "cache/archives/partial", "deb", "root"] {
            fs::create_dir_all(self.state.join(folder))?;
        }
        let context = || format!("package {package} of Debian {}", self.name);
        if !self.has_lists() {
            self.update().with_context(context)?;
        }
        // A moving suite: what the lists name may be gone from the mirror.
        let deb = self
            .download(package)
            .or_else(|_| self.update().and_then(|()| self.download(package)));
        let deb = deb.with_context(context)?;
        let fresh = root.with_file_name(format!("{package}.new"));
        let _ = fs::remove_dir_all(&fresh);
        Cmd::new("dpkg-deb").arg("-x").arg(&deb).arg(&fresh).run()?;
        let version = Cmd::new("dpkg-deb")
            .arg("-f")
            .arg(&deb)
            .arg("Version")
            .run()?;
        fs::write(
            root.with_file_name(format!("{package}.version")),
            version.trim(),
        )?;
        fs::rename(&fresh, &root)?;
        fs::remove_file(&deb)?;
        Ok(root)
    }

    fn has_lists(&self) -> bool {
        let entries = fs::read_dir(self.state.join("lists"));
        entries.is_ok_and(|entries| {
            entries
                .flatten()
                .any(|entry| entry.file_name().to_string_lossy().contains("Packages"))
        })
    }

    fn update(&self) -> Result<()> {
        let keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
        let sources = format!(
            "deb [signed-by={keyring}] {} {} main\n",
            mirror()?,
            self.name
        );
        fs::write(self.state.join("sources.list"), sources)?;
        apt_get(&self.options)
            .args(["update", "-q"])
            .timeout(APT_SECONDS)
            .run()?;
        Ok(())
    }

    fn download(&self, package: &str) -> Result<PathBuf> {
        let folder = self.state.join("deb").join(package);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)?;
        let name = self
            .architecture
            .as_ref()
            .map_or_else(|| package.to_owned(), |arch| format!("{package}:{arch}"));
        apt_get(&self.options)
            .args(["download", "-q", &name])
            .dir(&folder)
            .timeout(APT_SECONDS)
            .run()?;
        let file = fs::read_dir(&folder)?
            .next()
            .context("apt-get downloaded nothing")??;
        Ok(file.path())
    }

    fn options(&self) -> Vec<OsString> {
        let path = |key: &str, name: &str| {
            let mut option = OsString::from(format!("{key}="));
            option.push(self.state.join(name));
            option
        };
        let mut options = vec![
            path("Dir::State::Lists", "lists"),
            path("Dir::Cache", "cache"),
            path("Dir::Etc::SourceList", "sources.list"),
            "Dir::Etc::SourceParts=/dev/null".into(),
            "Dir::Etc::PreferencesParts=/dev/null".into(),
            "Dir::State::status=/dev/null".into(),
            "APT::Sandbox::User=root".into(),
            "Acquire::Languages=none".into(),
            "Acquire::GzipIndexes=false".into(),
        ];
        if let Some(architecture) = &self.architecture {
            options.push(format!("APT::Architecture={architecture}").into());
            options.push(format!("APT::Architectures::={architecture}").into());
        }
        options
    }
}

fn apt_get(options: &[OsString]) -> Cmd {
    let fixed = ["DPkg::Lock::Timeout=300", "Acquire::Retries=3"].map(OsString::from);
    let cmd = Cmd::new("apt-get")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("LC_ALL", "C.UTF-8");
    fixed
        .iter()
        .chain(options)
        .fold(cmd, |cmd, option| cmd.arg("-o").arg(option))
}

/// The mirror the machine's own apt uses.
fn mirror() -> Result<String> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(parts) = fs::read_dir("/etc/apt/sources.list.d") {
        files.extend(parts.flatten().map(|entry| entry.path()));
    }
    files.sort_by_key(|file| !file.ends_with("debian.sources"));
    let found = files
        .iter()
        .find_map(|file| mirror_in(file, &fs::read_to_string(file).ok()?));
    found.context("no Debian mirror in /etc/apt/sources.list or /etc/apt/sources.list.d")
}

fn mirror_in(file: &Path, text: &str) -> Option<String> {
    let is_mirror = |word: &&str| word.contains("://") && !word.contains("security");
    let lines = text
        .lines()
        .filter(|line| match file.extension().and_then(|e| e.to_str()) {
            Some("sources") => line.starts_with("URIs:"),
            _ => line.starts_with("deb "),
        });
    lines
        .flat_map(str::split_whitespace)
        .find(is_mirror)
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_upstream_ones() {
        assert_eq!(upstream("1:1.9.3+ds1-1+deb12u1"), "1.9.3");
        assert_eq!(upstream("0.20.7-2"), "0.20.7");
    }

    #[test]
    fn the_mirror_is_found_in_both_formats() {
        let old = "# x\ndeb http://security.test/debian-security s main\ndeb [arch=amd64] http://mirror.test/debian bookworm main\n";
        assert_eq!(
            mirror_in(Path::new("sources.list"), old).as_deref(),
            Some("http://mirror.test/debian")
        );
        let new =
            "Types: deb\n# http://old.test/x\nURIs: http://mirror.test/debian\nSuites: bookworm\n";
        assert_eq!(
            mirror_in(Path::new("debian.sources"), new).as_deref(),
            Some("http://mirror.test/debian")
        );
        assert_eq!(mirror_in(Path::new("sources.list"), "# nothing"), None);
    }
}
