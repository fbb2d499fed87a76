//! A Docker engine with its own folders and socket, that leaves the network of the machine alone.

use std::ffi::OsString;
use std::fs;

use anyhow::{Context as _, Result};

use super::context::{Context, USER, contains, same};
use crate::daemon::Daemon;
use crate::exec::{Cmd, signal};

/// A running engine and the client for it.
pub(super) struct Engine {
    pub(super) cx: Context,
    /// Field order matters: the engine ends before the context is gone.
    _daemon: Daemon,
}

impl Engine {
    /// Starts `dockerd` from the suite's `PATH` with these settings in its configuration file.
    pub(super) fn start(mut cx: Context, configuration: &str) -> Result<Self> {
        let file = cx.write("daemon.json", configuration)?;
        let socket = format!("unix://{}", cx.file("docker.sock").display());
        cx.set("DOCKER_HOST", &socket);
        let mut args: Vec<OsString> = Vec::new();
        for (flag, value) in [
            ("--config-file", file),
            ("--data-root", cx.folder("data")?),
            ("--exec-root", cx.folder("exec")?),
            ("--pidfile", cx.file("docker.pid")),
        ] {
            args.extend([flag.into(), value.into_os_string()]);
        }
        args.extend(["--host".into(), socket.into()]);
        args.extend(["--bridge=none", "--iptables=false", "--ip6tables=false"].map(OsString::from));
        let mut daemon = cx.daemon("dockerd", args)?;
        daemon
            .wait_ready(60, || {
                cx.cmd("docker")
                    .args(["version", "--format", "{{.Server.Version}}"])
                    .run()
                    .is_ok()
            })
            .context("dockerd does not serve")?;
        Ok(Self {
            cx,
            _daemon: daemon,
        })
    }

    pub(super) fn docker(&self, args: &[&str]) -> Cmd {
        self.cx.cmd("docker").args(args)
    }

    pub(super) fn login(&self) -> Result<()> {
        let login = |password: &str| {
            self.docker(&[
                "login",
                "-u",
                USER,
                "--password-stdin",
                &self.cx.access.host,
            ])
            .stdin(password)
        };
        login("not the password").fails()?;
        contains(&login(&self.cx.access.password).run()?, "Login Succeeded")
    }

    /// Runs an image; it must print the name of the machine for which it was built.
    pub(super) fn run_image(&self, flags: &[&str], reference: &str, machine: &str) -> Result<()> {
        let printed = self
            .docker(&["run", "--rm", "--network", "none"])
            .args(flags)
            .arg(reference)
            .run()?;
        same("output", printed.trim(), machine)
    }

    /// After logging out a pull is refused.
    pub(super) fn logout(&self, name: &str) -> Result<()> {
        self.docker(&["logout", &self.cx.access.host]).run()?;
        let pull = self.docker(&["pull", &self.cx.reference(name)]);
        let error = pull.fails()?.to_lowercase();
        let refused = [
            "unauthorized",
            "no basic auth",
            "authentication required",
            "authorization failed",
        ];
        anyhow::ensure!(
            refused.iter().any(|word| error.contains(word)),
            "another error than expected: {error}"
        );
        Ok(())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // The engine's own containerd outlives a killed engine.
        let file = self.cx.file("exec/containerd/containerd.pid");
        let containerd = fs::read_to_string(file).unwrap_or_default();
        let ours = fs::read_to_string(format!("/proc/{}/cmdline", containerd.trim()));
        if ours.is_ok_and(|line| line.contains(&*self.cx.dir.to_string_lossy())) {
            signal("TERM", containerd.trim());
        }
    }
}
