//! buildah: an index of two platforms, the foreign one built under emulation.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::context::{Context, USER, contains, same};
use super::podman::containers_configuration;
use super::{Case, Suite, image};
use crate::exec::Cmd;
use crate::packages;

pub(super) struct Buildah {
    cx: Context,
}

/// The architecture that is not this machine's, in the words of images, and what `uname -m` calls it.
pub(super) fn foreign() -> (&'static str, &'static str) {
    match image::native() {
        "arm64" => ("amd64", "x86_64"),
        _ => ("arm64", "aarch64"),
    }
}

/// Installs QEMU and registers it with the kernel, as installing it does on a machine with systemd.
pub(super) fn emulation() -> Result<()> {
    packages::install(&["qemu-user-static"])?;
    let folder = Path::new("/proc/sys/fs/binfmt_misc");
    if fs::metadata(folder.join("register")).is_err() {
        Cmd::new("mount")
            .args(["-t", "binfmt_misc", "binfmt_misc"])
            .arg(folder)
            .run()?;
    }
    let name = format!("qemu-{}", foreign().1);
    if fs::metadata(folder.join(&name)).is_ok() {
        return Ok(());
    }
    let file = format!("/usr/lib/binfmt.d/{name}.conf");
    let rule = fs::read_to_string(&file).with_context(|| file.clone())?;
    fs::write(folder.join("register"), rule.trim())
        .with_context(|| format!("cannot register {name} with the kernel"))
}

impl Suite for Buildah {
    const CASES: &'static [Case<Self>] = &[
        (
            "login: right password accepted, wrong one refused",
            Self::login,
        ),
        (
            "build two platforms under emulation and push the index",
            Self::push,
        ),
        ("pull each platform and run a step in it", Self::pull),
        ("pull the index by digest", Self::by_digest),
    ];

    fn install(_: &str) -> Result<()> {
        packages::needs_root("buildah runs as root here")?;
        packages::install(&["buildah", "runc"])?;
        image::busybox(image::native())?;
        image::busybox(foreign().0)?;
        emulation()
    }

    fn version(_: &str) -> Result<String> {
        packages::installed_version("buildah")
    }

    fn start(mut cx: Context, _: &str) -> Result<Self> {
        containers_configuration(&mut cx)?;
        image::build_folder(&cx, &["amd64", "arm64"])?;
        Ok(Self { cx })
    }
}

impl Buildah {
    fn buildah(&self, args: &[&str]) -> Cmd {
        self.cx.cmd("buildah").args(args)
    }

    fn login(&mut self) -> Result<()> {
        let login = |password: &str| {
            self.buildah(&[
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

    fn push(&mut self) -> Result<()> {
        let platforms = "linux/amd64,linux/arm64";
        self.buildah(&[
            "bud",
            "--network",
            "host",
            "--platform",
            platforms,
            "--manifest",
            "both",
            "build",
        ])
        .run()?;
        let file = self.cx.file("digest");
        let target = format!("docker://{}", self.cx.reference("index:v1"));
        self.buildah(&["manifest", "push", "--all", "--digestfile"])
            .arg(&file)
            .args(["both", &target])
            .run()?;
        same(
            "digest at the server",
            self.cx.served_digest("index:v1")?,
            fs::read_to_string(file)?.trim().to_owned(),
        )?;
        let index = self.cx.served_manifest("index:v1")?;
        same(
            "media type",
            index["mediaType"].as_str(),
            Some("application/vnd.oci.image.index.v1+json"),
        )?;
        same(
            "images",
            index["manifests"].as_array().map(Vec::len),
            Some(2),
        )?;
        self.buildah(&["rmi", "--all", "--force"]).run()?;
        Ok(())
    }

    fn pull(&mut self) -> Result<()> {
        for (arch, machine) in [(image::native(), std::env::consts::ARCH), foreign()] {
            let reference = self.cx.reference("index:v1");
            let container = self
                .buildah(&["from", "--arch", arch, "--pull-always", &reference])
                .run()?;
            let run = |args: &[&str]| {
                self.buildah(&["run", "--network", "host", container.trim(), "--"])
                    .args(args)
                    .run()
            };
            same(
                "the machine that built it",
                run(&["cat", "/made/machine"])?.trim(),
                machine,
            )?;
            same(
                "the machine that runs it",
                run(&["uname", "-m"])?.trim(),
                machine,
            )?;
            run(&["sha256sum", "-c", "/made/sum"])?;
            self.buildah(&["rm", container.trim()]).run()?;
        }
        Ok(())
    }

    fn by_digest(&mut self) -> Result<()> {
        let digest = self.cx.served_digest("index:v1")?;
        self.buildah(&["rmi", "--all", "--force"]).run()?;
        self.buildah(&["pull", &self.cx.reference(&format!("index@{digest}"))])
            .run()?;
        contains(
            &self.buildah(&["images", "--digests"]).run()?,
            &self.cx.reference("index"),
        )
    }
}

impl Drop for Buildah {
    fn drop(&mut self) {
        // Unmounts what the storage driver still holds.
        let _ = self.buildah(&["rm", "--all"]).output();
        let _ = self.buildah(&["rmi", "--all", "--force"]).output();
    }
}
