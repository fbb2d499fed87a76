//! The server under test: the release binary on free loopback ports, with a data folder and a password of its own; or three
//! of them behind nginx.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::context::random_bytes;
use super::http;
use super::nodes::{Deaths, Nodes};
use super::repeats::Repeats;
use crate::daemon::Daemon;
use crate::exec::Cmd;
use crate::report::Results;
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
    /// Where nodes are killed, some commands are run again.
    pub(super) repeats: Option<Arc<Repeats>>,
}

/// A running server, or what looks like one.
pub(super) struct Server {
    access: Access,
    binary: PathBuf,
    kind: Kind,
}

enum Kind {
    One(One),
    Nodes(Nodes),
}

/// One process with a data folder.
struct One {
    daemon: Daemon,
    data: PathBuf,
    log: PathBuf,
}

impl Server {
    pub(super) fn start(binary: &Path) -> Result<Self> {
        let data = scratch::root()?.join("server");
        let (http, https) = free_ports()?;
        let mut password = String::new();
        for byte in random_bytes(16)? {
            write!(password, "{byte:02x}")?;
        }
        let access = Access {
            host: format!("127.0.0.1:{http}"),
            https_host: format!("127.0.0.1:{https}"),
            password,
            ca: data.join("tls/ca.crt"),
            repeats: None,
        };
        let log = workspace::output_dir()?.join("logs/server.log");
        fs::create_dir_all(log.parent().context("no folder")?)?;
        fs::write(&log, "")?;
        let args = [
            "--data-dir".as_ref(),
            data.as_os_str(),
            "--http".as_ref(),
            access.host.as_ref(),
            "--https".as_ref(),
            access.https_host.as_ref(),
        ];
        let vars = [(
            "LAZULI_ADMIN_PASSWORD".to_owned(),
            OsString::from(&access.password),
        )];
        let mut daemon = Daemon::start(binary, args, &vars, &log)?;
        let answers = |response: http::Response| response.status == 401;
        let ready = || http::anonymous(&access.host, "GET", "/v2/").is_ok_and(answers);
        daemon
            .wait_ready(30, ready)
            .with_context(|| format!("{} does not serve", binary.display()))?;
        Ok(Self {
            access,
            binary: binary.to_path_buf(),
            kind: Kind::One(One { daemon, data, log }),
        })
    }

    /// Nodes that are killed meanwhile. `None`: an engine is missing, which was said.
    pub(super) fn nodes(binary: &Path, deaths: Deaths) -> Result<Option<Self>> {
        let started = Nodes::start(binary, deaths)?;
        Ok(started.map(|(nodes, access)| Self {
            access,
            binary: binary.to_path_buf(),
            kind: Kind::Nodes(nodes),
        }))
    }

    /// Two ports that nobody listens on now.
    pub(super) fn free_ports() -> Result<(u16, u16)> {
        free_ports()
    }

    pub(super) fn access(&self) -> &Access {
        &self.access
    }

    pub(super) fn binary(&self) -> &Path {
        &self.binary
    }

    /// Ends the server and looks at what it leaves. What happened to nodes.
    pub(super) fn finish(self, results: &mut Results) -> Value {
        match self.kind {
            Kind::One(one) => {
                one.finish(&self.binary, results);
                Value::Null
            }
            Kind::Nodes(nodes) => nodes.finish(results),
        }
    }
}

impl One {
    fn finish(self, binary: &Path, results: &mut Results) {
        let Self { daemon, data, log } = self;
        results.case("server", "ends cleanly on SIGTERM", || {
            let status = daemon.stop()?;
            ensure!(status.success(), "it ended with {status}");
            Ok(())
        });
        results.case("server", "logged no error", || {
            let text = fs::read_to_string(&log)?;
            let errors: Vec<&str> = text
                .lines()
                .filter(|line| line.contains(" ERROR "))
                .collect();
            ensure!(errors.is_empty(), "{}", errors.join("\n"));
            Ok(())
        });
        results.case(
            "server",
            "fsck --verify finds nothing wrong afterwards",
            || {
                Cmd::new(binary)
                    .args(["fsck", "--verify", "--data-dir"])
                    .arg(data)
                    .run()
                    .map(drop)
            },
        );
    }
}

/// Two ports that nobody listens on now.
fn free_ports() -> Result<(u16, u16)> {
    let (one, two) = (
        TcpListener::bind("127.0.0.1:0")?,
        TcpListener::bind("127.0.0.1:0")?,
    );
    Ok((one.local_addr()?.port(), two.local_addr()?.port()))
}
