//! What a suite works with: a scratch folder, an environment that holds nothing of the machine, the server.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use super::http;
use super::server::{Access, Server};
use crate::daemon::Daemon;
use crate::exec::Cmd;
use crate::{scratch, workspace};

/// The admin user is named after the registry.
pub(super) const USER: &str = "lazuli";

/// One suite's surroundings.
pub(super) struct Context {
    pub(super) name: &'static str,
    pub(super) dir: PathBuf,
    pub(super) access: Access,
    /// The program that serves.
    pub(super) binary: PathBuf,
    vars: Vec<(String, OsString)>,
    transcript: PathBuf,
}

impl Context {
    pub(super) fn new(name: &'static str, server: &Server) -> Result<Self> {
        let dir = scratch::dir(name)?;
        let logs = workspace::output_dir()?.join("logs");
        fs::create_dir_all(&logs)?;
        let transcript = logs.join(format!("{name}.log"));
        fs::write(&transcript, "")?;
        let mut cx = Self {
            name,
            dir,
            access: server.access().clone(),
            binary: server.binary().to_path_buf(),
            vars: Vec::new(),
            transcript,
        };
        for (key, folder) in [
            ("HOME", "home"),
            ("TMPDIR", "tmp"),
            ("XDG_RUNTIME_DIR", "run"),
            ("DOCKER_CONFIG", "docker"),
        ] {
            let folder = cx.folder(folder)?;
            cx.set(key, folder);
        }
        cx.set("XDG_CONFIG_HOME", cx.file("home/.config"));
        cx.set("REGISTRY_AUTH_FILE", cx.file("auth.json"));
        cx.set("LC_ALL", "C.UTF-8");
        cx.set("NO_COLOR", "1");
        cx.set("PATH", std::env::var_os("PATH").unwrap_or_default());
        Ok(cx)
    }

    /// Sets a variable for all commands of this suite.
    pub(super) fn set(&mut self, key: &str, value: impl AsRef<OsStr>) {
        self.vars.retain(|(name, _)| name != key);
        self.vars.push((key.to_owned(), value.as_ref().to_owned()));
    }

    /// Looks for programs in this folder first.
    pub(super) fn add_path(&mut self, folder: &Path) {
        let mut path = folder.as_os_str().to_owned();
        if let Some((_, old)) = self.vars.iter().find(|(key, _)| key == "PATH") {
            path.push(":");
            path.push(old);
        }
        self.set("PATH", path);
    }

    /// A path in the scratch folder.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// A folder in the scratch folder, made if need be.
    pub(super) fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.file(name);
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// Writes a file in the scratch folder.
    pub(super) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<PathBuf> {
        let file = self.file(name);
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&file, content).with_context(|| file.display().to_string())?;
        Ok(file)
    }

    /// Writes random bytes to a file in the scratch folder.
    pub(super) fn random_file(&self, name: &str, size: usize) -> Result<PathBuf> {
        self.write(name, random_bytes(size)?)
    }

    pub(super) fn cmd(&self, program: impl AsRef<OsStr>) -> Cmd {
        let cmd = Cmd::new(program)
            .only_env(&self.vars)
            .dir(&self.dir)
            .transcript(&self.transcript);
        match self.access.repeats.clone() {
            Some(repeats) => cmd.again(Box::new(move |shown, tries, begun, out| {
                repeats.again(shown, tries, begun, out)
            })),
            None => cmd,
        }
    }

    pub(super) fn daemon<S: AsRef<OsStr>>(
        &self,
        program: &str,
        args: impl IntoIterator<Item = S>,
    ) -> Result<Daemon> {
        let log = self.transcript.with_extension(format!("{program}.log"));
        fs::write(&log, "")?;
        Daemon::start(program, args, &self.vars, &log)
    }

    /// `HOST/SUITE/NAME`: every suite has repositories of its own.
    pub(super) fn reference(&self, name: &str) -> String {
        format!("{}/{}", self.access.host, self.repository(name))
    }

    pub(super) fn repository(&self, name: &str) -> String {
        format!("{}/{name}", self.name)
    }

    /// The digest the server has for `NAME:TAG`, asked without any client.
    pub(super) fn served_digest(&self, name: &str) -> Result<String> {
        http::digest(&self.access, &self.repository(name))
    }

    /// The manifest the server has for `NAME:TAG` or `NAME@DIGEST`.
    pub(super) fn served_manifest(&self, name: &str) -> Result<serde_json::Value> {
        http::manifest(&self.access, &self.repository(name))
    }
}

/// Bytes that no server has seen before.
pub(super) fn random_bytes(size: usize) -> Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = vec![0; size];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// The first `sha256:...` in a text.
pub(super) fn find_digest(text: &str) -> Result<String> {
    let rest = text
        .split("sha256:")
        .find(|rest| rest.len() >= 64 && rest.as_bytes()[..64].iter().all(u8::is_ascii_hexdigit));
    let hex = rest.with_context(|| format!("no digest in: {text}"))?;
    Ok(format!("sha256:{}", &hex[..64]))
}

/// Fails unless the two are equal.
#[expect(
    clippy::needless_pass_by_value,
    reason = "callers pass what they have just computed"
)]
pub(super) fn same<T: PartialEq + std::fmt::Debug>(what: &str, left: T, right: T) -> Result<()> {
    ensure!(left == right, "{what}: {left:?} is not {right:?}");
    Ok(())
}

pub(super) fn contains(text: &str, part: &str) -> Result<()> {
    ensure!(text.contains(part), "`{part}` expected in:\n{text}");
    Ok(())
}

/// Whether two files have the same bytes.
pub(super) fn same_file(left: &Path, right: &Path) -> Result<()> {
    let read = |file: &Path| fs::read(file).with_context(|| file.display().to_string());
    ensure!(
        read(left)? == read(right)?,
        "{} and {} differ",
        left.display(),
        right.display()
    );
    Ok(())
}
