//! Lazuli's own container image: built as operators build it, kept in a Lazuli, run as the pulled image.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use super::context::{Context, USER, same};
use super::dockerd::Engine;
use super::podman::containers_configuration;
use super::{Case, Suite, http};
use crate::exec::Cmd;
use crate::{packages, workspace};

const SCRIPT: &str = "deploy/container/build";
const CONTAINER: &str = "lazuli-under-test";
const VOLUME: &str = "lazuli-data";
const PASSWORD: &str = "kept in the volume";
/// The image's user has no rights on the machine.
const UID: &str = "65532";

/// `podman` and `docker` take the same words for all that is needed here.
pub(super) struct Product {
    surroundings: Surroundings,
    binary: PathBuf,
}

enum Surroundings {
    Podman(Context),
    Docker(Engine),
}

impl Suite for Product {
    const CASES: &'static [Case<Self>] = &[
        ("build with deploy/container/build", Self::build),
        (
            "the image holds the program and what it needs, nothing else",
            Self::content,
        ),
        ("push, pull back: the same digest and image", Self::push),
        (
            "the pulled image serves, without rights, on a read-only root",
            Self::serve,
        ),
        ("a volume keeps the data of a container", Self::volume),
    ];

    fn install(variant: &str) -> Result<()> {
        packages::needs_root("container engines run as root here")?;
        packages::install(&["binutils", "ca-certificates", "runc"])?;
        match variant {
            "docker" => packages::install(&["docker.io"]),
            _ => packages::install(&["buildah", "podman"]),
        }
    }

    fn version(variant: &str) -> Result<String> {
        packages::installed_version(if variant == "docker" {
            "docker.io"
        } else {
            "podman"
        })
    }

    fn start(mut cx: Context, variant: &str) -> Result<Self> {
        let binary = cx.binary.clone();
        let surroundings = if variant == "docker" {
            cx.add_path("/usr/sbin".as_ref());
            cx.add_path("/usr/bin".as_ref());
            Surroundings::Docker(Engine::start(cx, "{}")?)
        } else {
            containers_configuration(&mut cx)?;
            Surroundings::Podman(cx)
        };
        Ok(Self {
            surroundings,
            binary,
        })
    }
}

impl Product {
    fn cx(&self) -> &Context {
        match &self.surroundings {
            Surroundings::Podman(cx) => cx,
            Surroundings::Docker(engine) => &engine.cx,
        }
    }

    fn tool(&self, args: &[&str]) -> Cmd {
        self.cx()
            .cmd(match self.surroundings {
                Surroundings::Podman(_) => "podman",
                Surroundings::Docker(_) => "docker",
            })
            .args(args)
    }

    fn reference(&self) -> String {
        self.cx().reference("lazuli:v1")
    }

    fn inspect(&self, kind: &str, name: &str, field: &str) -> Result<String> {
        let printed = self
            .tool(&[kind, "inspect", "--format", field, name])
            .run()?;
        Ok(printed.trim().to_owned())
    }

    fn build(&mut self) -> Result<()> {
        let engine = match self.surroundings {
            Surroundings::Podman(_) => "buildah",
            Surroundings::Docker(_) => "docker",
        };
        self.cx()
            .cmd(workspace::root().join(SCRIPT))
            .args(["--engine", engine, "--tag", &self.reference()])
            .arg(&self.binary)
            .run()?;
        let version = r#"{{index .Config.Labels "org.opencontainers.image.version"}}"#;
        let printed = Cmd::new(&self.binary).arg("version").run()?;
        let label = self.inspect("image", &self.reference(), version)?;
        ensure!(
            printed.split_whitespace().any(|word| word == label),
            "the label says version {label}, the program {printed}"
        );
        Ok(())
    }

    fn content(&mut self) -> Result<()> {
        self.tool(&["create", "--name", CONTAINER, &self.reference()])
            .run()?;
        let tar = self.cx().file("content.tar");
        self.tool(&["export", "--output"])
            .arg(&tar)
            .arg(CONTAINER)
            .run()?;
        self.tool(&["rm", CONTAINER]).run()?;
        let list = Cmd::new("tar").arg("-tvf").arg(tar).run()?;
        let files = list.lines().filter(|line| line.starts_with('-'));
        let strange: Vec<&str> = files
            .filter_map(|line| line.split_whitespace().nth(5))
            .filter(|file| !is_expected(file))
            .collect();
        ensure!(strange.is_empty(), "in the image: {}", strange.join(" "));
        ensure!(
            list.contains("usr/bin/lazuli") && list.contains("etc/ssl/certs/ca-certificates.crt"),
            "something is missing in:\n{list}"
        );
        Ok(())
    }

    fn push(&mut self) -> Result<()> {
        let (name, host) = (self.reference(), self.cx().access.host.clone());
        self.tool(&["login", "-u", USER, "--password-stdin", &host])
            .stdin(self.cx().access.password.clone())
            .run()?;
        self.tool(&["push", &name]).run()?;
        let pushed = self.inspect("image", &name, "{{.Id}}")?;
        self.tool(&["rmi", "--force", &name]).run()?;
        self.tool(&["image", "inspect", &name]).fails()?;
        self.tool(&["pull", &name]).run()?;
        same("identity", self.inspect("image", &name, "{{.Id}}")?, pushed)?;
        let digest = self.cx().served_digest("lazuli:v1")?;
        let known = self.inspect("image", &name, "{{.RepoDigests}}")?;
        ensure!(
            known.contains(&digest),
            "the server has {digest}, the pull gave {known}"
        );
        Ok(())
    }

    /// Starts the pulled image on a free port of the host; returns its address once it is ready.
    fn run_image(&self, flags: &[&str]) -> Result<String> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let host = format!("127.0.0.1:{port}");
        let listen = format!("LAZULI_HTTP={host}");
        self.tool(&["run", "--detach", "--name", CONTAINER, "--network", "host"])
            .args(["--read-only", "--cap-drop", "all"])
            .args(["--security-opt", "no-new-privileges"])
            .args(["--env", &listen, "--env", "LAZULI_HTTPS=off"])
            .args(flags)
            .arg(self.reference())
            .run()?;
        let start = Instant::now();
        while http::anonymous(&host, "GET", "/readyz").map_or(0, |answer| answer.status) != 200 {
            if start.elapsed() > Duration::from_secs(30) {
                let log = self.tool(&["logs", CONTAINER]).output()?.all();
                bail!("/readyz of the container is not 200 after 30 s:\n{log}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(host)
    }

    /// Ends the container as an engine does, which it must do by itself and in time.
    fn stop(&self) -> Result<()> {
        self.tool(&["stop", "--time", "20", CONTAINER]).run()?;
        let code = self.inspect("container", CONTAINER, "{{.State.ExitCode}}")?;
        self.tool(&["rm", CONTAINER]).run()?;
        same("exit code after SIGTERM", code.as_str(), "0")
    }

    fn serve(&mut self) -> Result<()> {
        self.run_image(&[])?;
        let pid = self.inspect("container", CONTAINER, "{{.State.Pid}}")?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.split_whitespace().next())
                .unwrap_or_default()
        };
        same("user of the process", field("Uid:"), UID)?;
        same(
            "capabilities of the process",
            field("CapEff:"),
            "0000000000000000",
        )?;
        self.stop()
    }

    fn volume(&mut self) -> Result<()> {
        let mount = format!("{VOLUME}:/var/lib/lazuli");
        let first = format!("LAZULI_ADMIN_PASSWORD={PASSWORD}");
        self.run_image(&["--volume", &mount, "--env", &first])?;
        self.stop()?;
        // The password counts when a data folder is made: a second container knows it from the volume only.
        let host = self.run_image(&["--volume", &mount])?;
        let access = super::server::Access {
            host,
            password: PASSWORD.to_owned(),
            ..self.cx().access.clone()
        };
        http::signed_in(&access)?;
        self.stop()
    }
}

/// What an image consists of; engines add the mount points `dev`, `proc`, `sys` and three files of `etc`.
fn is_expected(file: &str) -> bool {
    let of_engines = ["etc/hostname", "etc/hosts", "etc/resolv.conf", "etc/mtab"];
    let ours = [
        "usr/bin/lazuli",
        "etc/passwd",
        "etc/group",
        "etc/nsswitch.conf",
        "etc/ssl/certs/ca-certificates.crt",
    ];
    let is_library = file.starts_with("lib") && file.contains(".so");
    is_library
        || ours.contains(&file)
        || of_engines.contains(&file)
        || [".dockerenv", "dev/console", "run/.containerenv"].contains(&file)
}

impl Drop for Product {
    fn drop(&mut self) {
        // What a failed case left.
        let _ = self.tool(&["rm", "--force", CONTAINER]).output();
        let _ = self.tool(&["volume", "rm", "--force", VOLUME]).output();
        let _ = self.tool(&["rmi", "--all", "--force"]).output();
    }
}
