//! Docker engine 20.10 with its classic image store.

use anyhow::{Context as _, Result, ensure};

use super::buildah::foreign;
use super::context::{Context, contains, find_digest, same};
use super::dockerd::Engine;
use super::{Case, Suite, image};
use crate::packages;

pub(super) struct Docker {
    engine: Engine,
}

impl Suite for Docker {
    const CASES: &'static [Case<Self>] = &[
        (
            "login: right password accepted, wrong one refused",
            Self::login,
        ),
        ("build, push, pull and run", Self::push),
        ("pull by digest", Self::by_digest),
        ("pushing again uploads nothing", Self::push_again),
        (
            "pushing to another repository mounts the layers",
            Self::mount,
        ),
        ("build with BuildKit and push", Self::buildkit),
        ("create, push and pull a manifest list", Self::manifest_list),
        ("logout: nothing is given to the anonymous", Self::logout),
    ];

    fn install(_: &str) -> Result<()> {
        packages::needs_root("dockerd runs as root here")?;
        packages::install(&["docker.io", "runc"])?;
        image::busybox(foreign().0)?;
        image::busybox(image::native()).map(drop)
    }

    fn version(_: &str) -> Result<String> {
        packages::installed_version("docker.io")
    }

    fn start(mut cx: Context, _: &str) -> Result<Self> {
        // The package's own programs, whatever else is on the machine.
        cx.add_path("/usr/sbin".as_ref());
        cx.add_path("/usr/bin".as_ref());
        image::build_folder(&cx, &["amd64", "arm64"])?;
        Ok(Self {
            engine: Engine::start(cx, "{}")?,
        })
    }
}

impl Docker {
    fn build(&self, buildkit: &str, arch: &str, name: &str) -> Result<()> {
        let arch = format!("TARGETARCH={arch}");
        let build = self.engine.docker(&[
            "build",
            "--network",
            "none",
            "--build-arg",
            &arch,
            "-t",
            &self.reference(name),
            "build",
        ]);
        build.env("DOCKER_BUILDKIT", buildkit).run()?;
        Ok(())
    }

    fn reference(&self, name: &str) -> String {
        self.engine.cx.reference(name)
    }

    /// Pushes and checks that the printed digest is the one the server has; returns what was printed.
    fn push_to(&self, name: &str) -> Result<String> {
        let printed = self.engine.docker(&["push", &self.reference(name)]).run()?;
        let line = printed
            .lines()
            .rfind(|line| line.contains("digest: "))
            .context("no digest printed")?;
        same(
            "digest at the server",
            self.engine.cx.served_digest(name)?,
            find_digest(line)?,
        )?;
        Ok(printed)
    }

    fn id(&self, reference: &str) -> Result<String> {
        self.engine
            .docker(&["image", "inspect", "--format", "{{.Id}}", reference])
            .run()
    }

    fn remove(&self, reference: &str) -> Result<()> {
        self.engine.docker(&["rmi", "--force", reference]).run()?;
        self.engine.docker(&["image", "prune", "--force"]).run()?;
        Ok(())
    }

    fn login(&mut self) -> Result<()> {
        self.engine.login()
    }

    fn push(&mut self) -> Result<()> {
        self.build("0", image::native(), "push:v1")?;
        self.push_to("push:v1")?;
        let reference = self.reference("push:v1");
        let id = self.id(&reference)?;
        self.remove(&reference)?;
        let printed = self.engine.docker(&["pull", &reference]).run()?;
        same(
            "digest of the pull",
            find_digest(&printed)?,
            self.engine.cx.served_digest("push:v1")?,
        )?;
        same("identity of the image", self.id(&reference)?, id)?;
        self.engine
            .run_image(&[], &reference, std::env::consts::ARCH)
    }

    fn by_digest(&mut self) -> Result<()> {
        let digest = self.engine.cx.served_digest("push:v1")?;
        self.remove(&self.reference("push:v1"))?;
        let reference = self.reference(&format!("push@{digest}"));
        self.engine.docker(&["pull", &reference]).run()?;
        self.engine
            .run_image(&[], &reference, std::env::consts::ARCH)?;
        self.engine
            .docker(&["tag", &reference, &self.reference("push:v1")])
            .run()?;
        Ok(())
    }

    fn push_again(&mut self) -> Result<()> {
        let printed = self.push_to("push:v1")?;
        ensure!(
            !printed.contains("Pushed"),
            "a layer was uploaded again:\n{printed}"
        );
        contains(&printed, "Layer already exists")
    }

    fn mount(&mut self) -> Result<()> {
        self.engine
            .docker(&[
                "tag",
                &self.reference("push:v1"),
                &self.reference("mounted:v1"),
            ])
            .run()?;
        let printed = self.push_to("mounted:v1")?;
        contains(
            &printed,
            &format!("Mounted from {}", self.engine.cx.repository("push")),
        )?;
        same(
            "digest",
            self.engine.cx.served_digest("mounted:v1")?,
            self.engine.cx.served_digest("push:v1")?,
        )
    }

    fn buildkit(&mut self) -> Result<()> {
        self.engine.cx.random_file("build/content", 300_000)?;
        self.build("1", image::native(), "buildkit:v1")?;
        self.push_to("buildkit:v1")?;
        self.remove(&self.reference("buildkit:v1"))?;
        self.engine
            .run_image(&[], &self.reference("buildkit:v1"), std::env::consts::ARCH)
    }

    fn manifest_list(&mut self) -> Result<()> {
        let (list, native, other) = (
            self.reference("list:v1"),
            self.reference("list:native"),
            self.reference("list:other"),
        );
        self.engine
            .docker(&["tag", &self.reference("push:v1"), &native])
            .run()?;
        self.engine
            .docker(&["tag", &self.reference("buildkit:v1"), &other])
            .run()?;
        self.push_to("list:native")?;
        self.push_to("list:other")?;
        self.engine
            .docker(&["manifest", "create", "--insecure", &list, &native, &other])
            .run()?;
        self.engine
            .docker(&["manifest", "annotate", "--arch", foreign().0, &list, &other])
            .run()?;
        let printed = self
            .engine
            .docker(&["manifest", "push", "--insecure", &list])
            .run()?;
        let last = printed.lines().last().context("nothing printed")?;
        same(
            "digest at the server",
            self.engine.cx.served_digest("list:v1")?,
            find_digest(last)?,
        )?;
        self.remove(&native)?;
        self.engine.docker(&["pull", &list]).run()?;
        self.engine.run_image(&[], &list, std::env::consts::ARCH)
    }

    fn logout(&mut self) -> Result<()> {
        self.remove(&self.reference("mounted:v1"))?;
        self.engine.logout("mounted:v1")
    }
}
