//! podman, with storage and configuration of its own. Also what the tools of its family share.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use super::context::{Context, USER, contains, same};
use super::{Case, Suite, image};
use crate::exec::Cmd;
use crate::packages;

pub(super) struct Podman {
    cx: Context,
}

/// Writes the configuration that podman, buildah and skopeo share.
///
/// The limits are stated because an engine without `CAP_SYS_RESOURCE` cannot raise them to its defaults; the runtime
/// because crun refuses cgroups of version 1 mixed with version 2.
pub(super) fn containers_configuration(cx: &mut Context) -> Result<()> {
    let (storage, run) = (cx.folder("storage")?, cx.folder("run/storage")?);
    let driver = if on_overlay(&cx.dir) {
        "vfs"
    } else {
        "overlay"
    };
    let conf = "[containers]\ndefault_ulimits = [\"nofile=1024:4096\", \"nproc=4096:8192\"]\n\
        [engine]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n";
    let file = cx.write("containers.conf", conf)?;
    cx.set("CONTAINERS_CONF", file);
    let conf = format!(
        "[storage]\ndriver = \"{driver}\"\ngraphroot = \"{}\"\nrunroot = \"{}\"\n",
        storage.display(),
        run.display()
    );
    let file = cx.write("storage.conf", conf)?;
    cx.set("CONTAINERS_STORAGE_CONF", file);
    // skopeo knows no variable for this one.
    let conf = format!(
        "[[registry]]\nlocation = \"{}\"\ninsecure = true\n",
        cx.access.host
    );
    cx.write("home/.config/containers/registries.conf", conf)?;
    cx.write(
        "home/.config/containers/policy.json",
        r#"{"default":[{"type":"insecureAcceptAnything"}]}"#,
    )?;
    Ok(())
}

/// Whether a folder is on an overlay file system, on which no second one can be put.
fn on_overlay(dir: &Path) -> bool {
    Cmd::new("stat")
        .args(["-f", "-c", "%T"])
        .arg(dir)
        .run()
        .is_ok_and(|kind| kind.trim() == "overlayfs")
}

impl Suite for Podman {
    const CASES: &'static [Case<Self>] = &[
        (
            "login: right password accepted, wrong one refused",
            Self::login,
        ),
        ("build with RUN steps, push, pull and run", Self::push),
        ("pull by digest", Self::by_digest),
        ("push as Docker schema 2", Self::schema2),
        ("push with layers compressed by zstd", Self::zstd),
        ("search lists repositories and tags", Self::search),
        ("logout: nothing is given to the anonymous", Self::logout),
    ];

    fn install(_: &str) -> Result<()> {
        packages::needs_root("podman runs as root here")?;
        packages::install(&["podman", "runc"])?;
        image::busybox(image::native()).map(drop)
    }

    fn version(_: &str) -> Result<String> {
        packages::installed_version("podman")
    }

    fn start(mut cx: Context, _: &str) -> Result<Self> {
        containers_configuration(&mut cx)?;
        image::build_folder(&cx, &[image::native()])?;
        Ok(Self { cx })
    }
}

impl Podman {
    fn podman(&self, args: &[&str]) -> Cmd {
        self.cx.cmd("podman").args(args)
    }

    fn build(&self) -> Result<()> {
        let arch = format!("TARGETARCH={}", image::native());
        self.podman(&[
            "build",
            "--network",
            "host",
            "--build-arg",
            &arch,
            "-t",
            "localhost/built",
            "build",
        ])
        .run()?;
        Ok(())
    }

    /// Pushes and checks that the digest podman reports is the one the server has; returns it.
    fn push_to(&self, name: &str, flags: &[&str]) -> Result<String> {
        let file = self.cx.file("digest");
        self.podman(&["push", "--digestfile"])
            .arg(&file)
            .args(flags)
            .args(["localhost/built", &self.cx.reference(name)])
            .run()?;
        let digest = fs::read_to_string(file)?.trim().to_owned();
        same(
            "digest at the server",
            self.cx.served_digest(name)?,
            digest.clone(),
        )?;
        Ok(digest)
    }

    fn run_image(&self, reference: &str) -> Result<()> {
        let machine = self
            .podman(&["run", "--rm", "--network", "host", reference])
            .run()?;
        same("output", machine.trim(), std::env::consts::ARCH)
    }

    fn login(&mut self) -> Result<()> {
        let login = |password: &str| {
            self.podman(&[
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
        self.build()?;
        self.push_to("push:v1", &[])?;
        let reference = self.cx.reference("push:v1");
        let id = |name: &str| {
            self.podman(&["image", "inspect", "--format", "{{.Id}}", name])
                .run()
        };
        let before = id("localhost/built")?;
        self.podman(&["rmi", "--all", "--force"]).run()?;
        self.podman(&["pull", &reference]).run()?;
        same("identity of the image", id(&reference)?, before)?;
        self.run_image(&reference)?;
        self.podman(&["tag", &reference, "localhost/built"]).run()?;
        Ok(())
    }

    fn by_digest(&mut self) -> Result<()> {
        let digest = self.push_to("digest:v1", &[])?;
        self.podman(&["rmi", "--force", &self.cx.reference("push:v1")])
            .output()?;
        let reference = self.cx.reference(&format!("digest@{digest}"));
        self.podman(&["pull", &reference]).run()?;
        self.run_image(&reference)
    }

    fn zstd(&mut self) -> Result<()> {
        // podman sends no layer twice, however compressed: only the new ones are zstd.
        self.cx.random_file("build/content", 2_000_000)?;
        self.build()?;
        self.push_to("zstd:v1", &["--compression-format", "zstd"])?;
        let manifest = self.cx.served_manifest("zstd:v1")?;
        let layer = manifest["layers"]
            .as_array()
            .and_then(|layers| layers.last())
            .context("no layers")?["mediaType"]
            .clone();
        same(
            "media type",
            layer.as_str(),
            Some("application/vnd.oci.image.layer.v1.tar+zstd"),
        )?;
        self.podman(&["pull", &self.cx.reference("zstd:v1")])
            .run()?;
        self.run_image(&self.cx.reference("zstd:v1"))
    }

    fn schema2(&mut self) -> Result<()> {
        self.push_to("schema2:v1", &["--format", "v2s2"])?;
        let media_type = self.cx.served_manifest("schema2:v1")?["mediaType"].clone();
        same(
            "media type",
            media_type.as_str(),
            Some("application/vnd.docker.distribution.manifest.v2+json"),
        )
    }

    fn search(&mut self) -> Result<()> {
        let found = self
            .podman(&[
                "search",
                &format!("{}/{}", self.cx.access.host, self.cx.repository("push")),
            ])
            .run()?;
        contains(&found, &self.cx.reference("push"))?;
        let tags = self
            .podman(&["search", "--list-tags", &self.cx.reference("push")])
            .run()?;
        contains(&tags, "v1")
    }

    fn logout(&mut self) -> Result<()> {
        self.podman(&["logout", &self.cx.access.host]).run()?;
        let error = self
            .podman(&["pull", &self.cx.reference("schema2:v1")])
            .fails()?;
        ensure!(
            error.contains("unauthorized") || error.contains("authentication required"),
            "another error than expected: {error}"
        );
        Ok(())
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        // Unmounts what the storage driver still holds.
        let _ = self.podman(&["system", "reset", "--force"]).output();
    }
}
