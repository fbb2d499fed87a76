//! containerd by itself, driven by `ctr`.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use super::context::{Context, USER, contains, same};
use super::{Case, Suite, image};
use crate::daemon::Daemon;
use crate::exec::Cmd;
use crate::packages;

pub(super) struct Containerd {
    cx: Context,
    image: image::Layout,
    index: image::Layout,
    _daemon: Daemon,
}

impl Suite for Containerd {
    const CASES: &'static [Case<Self>] = &[
        ("import a layout, push and pull it", Self::push),
        ("push and pull an index with all platforms", Self::index),
        ("pull by digest and unpack", Self::by_digest),
        ("no password, no image", Self::anonymous),
    ];

    fn install(suite: &str) -> Result<()> {
        packages::needs_root("containerd runs as root here")?;
        packages::install(&["containerd", "runc"])?;
        programs(suite).map(drop)
    }

    fn version(suite: &str) -> Result<String> {
        match suite {
            "" => packages::installed_version("containerd"),
            suite => packages::version(suite, "containerd"),
        }
    }

    fn start(mut cx: Context, suite: &str) -> Result<Self> {
        cx.add_path(&programs(suite)?);
        let socket = cx.file("containerd.sock");
        let (root, state) = (cx.folder("root")?, cx.folder("state")?);
        let conf = format!(
            "version = 2\nroot = \"{}\"\nstate = \"{}\"\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = \"{}\"\n",
            root.display(),
            state.display(),
            socket.display()
        );
        let file = cx.write("containerd.toml", conf)?;
        cx.set("CONTAINERD_ADDRESS", socket);
        let mut daemon = cx.daemon("containerd", ["--config".into(), file.into_os_string()])?;
        daemon
            .wait_ready(60, || cx.cmd("ctr").arg("version").run().is_ok())
            .context("containerd does not serve")?;
        let image = image::layout(&cx, "image", &[1000, 4_000_000])?;
        let index = image::index_layout(&cx, "index")?;
        Ok(Self {
            cx,
            image,
            index,
            _daemon: daemon,
        })
    }
}

/// The folder with `containerd` and `ctr`.
fn programs(suite: &str) -> Result<PathBuf> {
    match suite {
        "" => Ok(PathBuf::from("/usr/bin")),
        suite => Ok(packages::unpacked(suite, "containerd")?.join("usr/bin")),
    }
}

impl Containerd {
    fn images(&self, args: &[&str]) -> Cmd {
        self.cx.cmd("ctr").arg("images").args(args)
    }

    fn transfer(&self, command: &str) -> Cmd {
        self.images(&[
            command,
            "--plain-http",
            "--user",
            &format!("{USER}:{}", self.cx.access.password),
        ])
    }

    /// Imports a layout as `NAME:v1` and pushes it.
    fn push_layout(&self, layout: &image::Layout, name: &str, flags: &[&str]) -> Result<()> {
        self.cx
            .cmd("tar")
            .args(["-cf", "layout.tar", "-C"])
            .arg(&layout.dir)
            .arg(".")
            .run()?;
        self.images(&[
            "import",
            "--all-platforms",
            "--base-name",
            &self.cx.reference(name),
            "layout.tar",
        ])
        .run()?;
        let reference = self.cx.reference(&format!("{name}:v1"));
        self.transfer("push").args(flags).arg(&reference).run()?;
        same(
            "digest at the server",
            self.cx.served_digest(&format!("{name}:v1"))?,
            layout.digest.clone(),
        )?;
        self.images(&["rm", "--sync", &reference]).run()?;
        Ok(())
    }

    fn push(&mut self) -> Result<()> {
        self.push_layout(&self.image, "push", &[])?;
        let reference = self.cx.reference("push:v1");
        self.transfer("pull").arg(&reference).run()?;
        contains(
            &self.images(&["ls", &format!("name=={reference}")]).run()?,
            &self.image.digest,
        )
    }

    fn index(&mut self) -> Result<()> {
        self.push_layout(&self.index, "index", &[])?;
        let reference = self.cx.reference("index:v1");
        self.transfer("pull")
            .args(["--all-platforms", &reference])
            .run()?;
        let listed = self.images(&["ls", &format!("name=={reference}")]).run()?;
        contains(&listed, &self.index.digest)?;
        contains(&listed, "linux/amd64,linux/arm64")
    }

    fn by_digest(&mut self) -> Result<()> {
        self.images(&["rm", "--sync", &self.cx.reference("push:v1")])
            .run()?;
        let reference = self.cx.reference(&format!("push@{}", self.image.digest));
        self.transfer("pull").arg(&reference).run()?;
        contains(
            &self
                .images(&["check", &format!("name=={reference}")])
                .run()?,
            "complete",
        )
    }

    fn anonymous(&mut self) -> Result<()> {
        let reference = self.cx.reference("index:v1");
        let error = self.images(&["pull", "--plain-http", &reference]).fails()?;
        ensure!(
            error.contains("authorization failed") || error.contains("401"),
            "another error than expected: {error}"
        );
        Ok(())
    }
}
