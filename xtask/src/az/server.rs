//! A server with nothing in it, for one way of finding it.

use std::ffi::OsString;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::{DOMAIN, PASSWORD};
use crate::daemon::Daemon;
use crate::exec::Cmd;
use crate::workspace;

pub(super) struct Server {
    pub(super) daemon: Daemon,
    binary: PathBuf,
    args: Vec<OsString>,
    https: u16,
}

impl Server {
    pub(super) fn start(binary: &Path, dir: &Path, setup: &str) -> Result<Self> {
        let mut ports: Vec<u16> = free_ports()?;
        if setup == "names" {
            ports[1] = 443;
        }
        let address = |port: u16| OsString::from(format!("127.0.0.1:{port}"));
        let mut args: Vec<OsString> = vec!["--data-dir".into(), dir.join("data").into()];
        args.extend(["--http".into(), address(ports[0])]);
        args.extend(["--https".into(), address(ports[1])]);
        if setup == "proxy" {
            args.extend(["--azure-proxy".into(), address(ports[2])]);
        }
        let log = workspace::output_dir()?.join(format!("logs/az-{setup}-server.log"));
        fs::create_dir_all(log.parent().context("no folder")?)?;
        fs::write(&log, "")?;
        let vars = [("LAZULI_ADMIN_PASSWORD".to_owned(), OsString::from(PASSWORD))];
        let mut daemon = Daemon::start(binary, &args, &vars, &log)?;
        daemon.wait_ready(30, || {
            let asked = Cmd::new(binary).arg("healthcheck").args(&args).run();
            asked.is_ok()
        })?;
        Ok(Self {
            daemon,
            binary: binary.to_path_buf(),
            args,
            https: ports[1],
        })
    }

    /// A program that may do everything: its application ID, secret and tenant.
    pub(super) fn program(&self) -> Result<(String, String, String)> {
        let told = Cmd::new(&self.binary)
            .args(["identity", "sp", "add", "loop", "--role", "Owner"])
            .args(&self.args)
            .run()?;
        let word = |label: &str| -> Result<String> {
            let rest = told.lines().find_map(|line| line.strip_prefix(label));
            let word = rest.and_then(|rest| rest.split_whitespace().next());
            word.map(str::to_owned)
                .with_context(|| format!("no {label} in: {told}"))
        };
        Ok((word("Application ID")?, word("Secret")?, word("Tenant")?))
    }

    /// What `lazuli az-env` tells a shell.
    pub(super) fn environment(&self, setup: &str) -> Result<Vec<(String, OsString)>> {
        let text = Cmd::new(&self.binary)
            .args(["az-env", "--setup", setup])
            .args(&self.args)
            .run()?;
        let exports = text.lines().filter_map(|line| line.strip_prefix("export "));
        Ok(exports
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.trim_matches('"').into()))
            .collect())
    }

    pub(super) fn management(&self, setup: &str) -> String {
        match setup {
            "proxy" | "names" => format!("https://management.{DOMAIN}"),
            _ => format!("https://localhost:{}", self.https),
        }
    }
}

/// The names of the server, and of the registries that the steps make.
pub(super) fn hosts() -> String {
    let names = [
        "management",
        "login",
        "loopreg.azurecr",
        "loopregtwo.azurecr",
        "lazuli.azurecr",
    ];
    let lines = names.map(|name| format!("127.0.0.1 {name}.{DOMAIN}\n"));
    format!("127.0.0.1 localhost\n{}", lines.concat())
}

fn free_ports() -> Result<Vec<u16>> {
    let sockets = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0"));
    let ports = sockets
        .into_iter()
        .map(|socket| Ok(socket?.local_addr()?.port()));
    ports.collect()
}
