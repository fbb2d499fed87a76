//! The server under test: the release binary on free loopback ports, with a data folder and a password of its own.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::context::random_bytes;
use super::http;
use crate::daemon::Daemon;
use crate::{scratch, workspace};

/// How to reach the server.
#[derive(Clone)]
pub(super) struct Access {
    /// `127.0.0.1:PORT`, plain HTTP.
    pub(super) host: String,
    /// `127.0.0.1:PORT`, HTTPS.
    pub(super) https_host: String,
    pub(super) password: String,
    /// The certificate authority that the server made at its first start.
    pub(super) ca: PathBuf,
}

pub(super) struct Server {
    daemon: Daemon,
    access: Access,
}

impl Server {
    pub(super) fn start(binary: &Path) -> Result<Self> {
        let data = scratch::dir("server")?;
        let mut password = String::new();
        for byte in random_bytes(16)? {
            write!(password, "{byte:02x}")?;
        }
        let access = Access {
            host: format!("127.0.0.1:{}", free_port()?),
            https_host: format!("127.0.0.1:{}", free_port()?),
            password,
            ca: data.join("tls/ca.crt"),
        };
        let log = workspace::output_dir()?.join("logs/server.log");
        fs::create_dir_all(log.parent().context("no folder")?)?;
        fs::write(&log, "")?;
        let args = [
            "--data-dir".into(),
            data.into_os_string(),
            "--http".into(),
            access.host.clone().into(),
            "--https".into(),
            access.https_host.clone().into(),
        ];
        let vars: Vec<(String, OsString)> = vec![(
            "LAZULI_ADMIN_PASSWORD".into(),
            access.password.clone().into(),
        )];
        let mut daemon = match std::env::var("LAZULI_TEST_PEER") {
            Ok(_) => peer(&access, &log)?,
            Err(_) => Daemon::start(binary, args, &vars, &log)?,
        };
        let ready = || {
            http::anonymous(&access.host, "GET", "/v2/")
                .is_ok_and(|response| response.status == 401)
        };
        daemon
            .wait_ready(30, ready)
            .with_context(|| format!("{} does not serve", binary.display()))?;
        Ok(Self { daemon, access })
    }

    pub(super) fn host(&self) -> &str {
        &self.access.host
    }

    pub(super) fn access(&self) -> &Access {
        &self.access
    }

    /// Asks the server to end and checks that it did so without an error.
    pub(super) fn stop(self) -> Result<()> {
        let status = self.daemon.stop()?;
        ensure!(status.success(), "it ended with {status}");
        Ok(())
    }
}

fn peer(access: &Access, log: &Path) -> Result<Daemon> {
    let dir = scratch::dir("peer")?;
    let hash = crate::exec::Cmd::new("htpasswd")
        .args(["-Bbn", "lazuli", &access.password])
        .run()?;
    fs::write(dir.join("htpasswd"), hash)?;
    let d = dir.display();
    fs::write(
        dir.join("cfg.yml"),
        format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {d}/data\n  delete:\n    enabled: true\nhttp:\n  addr: {}\nauth:\n  htpasswd:\n    realm: x\n    path: {d}/htpasswd\n",
            access.host
        ),
    )?;
    Daemon::start(
        "docker-registry",
        ["serve".into(), dir.join("cfg.yml").into_os_string()],
        &[],
        log,
    )
}

/// A port that nobody listens on now.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
