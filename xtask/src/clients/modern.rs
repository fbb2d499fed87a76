//! Docker engines of newer Debian suites with the containerd image store and buildx, unpacked beside the system.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::buildah::{emulation, foreign};
use super::context::{Context, contains, find_digest, same};
use super::dockerd::Engine;
use super::{Case, Suite, image};
use crate::exec::Cmd;
use crate::packages;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

pub(super) struct Modern {
    engine: Engine,
}

/// Where the programs are in each package.
pub(super) const PROGRAMS: &[(&str, &[&str])] = &[
    (
        "containerd",
        &[
            "usr/bin/containerd",
            "usr/bin/containerd-shim-runc-v2",
            "usr/bin/ctr",
        ],
    ),
    ("docker.io", &["usr/sbin/dockerd", "usr/sbin/docker-proxy"]),
    ("docker-cli", &["usr/bin/docker"]),
];

impl Suite for Modern {
    const CASES: &'static [Case<Self>] = &[
        (
            "login: right password accepted, wrong one refused",
            Self::login,
        ),
        ("build and push an index with an attestation", Self::push),
        ("pull it by digest and run it", Self::pull),
        (
            "buildx: two platforms, full provenance, pushed at once",
            Self::platforms,
        ),
        (
            "pull the foreign platform and run it under emulation",
            Self::foreign,
        ),
        ("buildx: cache exported to the registry", Self::cache_export),
        (
            "buildx: cache imported, every step CACHED",
            Self::cache_import,
        ),
        ("buildx imagetools: inspect and create", Self::imagetools),
        ("logout: nothing is given to the anonymous", Self::logout),
    ];

    fn install(suite: &str) -> Result<()> {
        packages::needs_root("dockerd runs as root here")?;
        // Debian 12's package brings docker-init and iptables; its runc suits this machine's libraries.
        packages::install(&["docker.io", "runc"])?;
        for package in PROGRAMS
            .iter()
            .map(|(package, _)| *package)
            .chain(["docker-buildx"])
        {
            packages::unpacked(suite, package)?;
        }
        image::busybox(image::native())?;
        image::busybox(foreign().0)?;
        emulation()
    }

    fn version(suite: &str) -> Result<String> {
        let (engine, buildx) = (
            packages::version(suite, "docker.io")?,
            packages::version(suite, "docker-buildx")?,
        );
        Ok(format!("{engine}, buildx {buildx}"))
    }

    fn start(mut cx: Context, suite: &str) -> Result<Self> {
        let programs = cx.folder("programs")?;
        for (package, files) in PROGRAMS {
            let root = packages::unpacked(suite, package)?;
            for file in *files {
                let name = file.rsplit('/').next().unwrap_or(file);
                symlink(root.join(file), programs.join(name)).with_context(|| name.to_owned())?;
            }
        }
        let plugins = cx.folder("docker/cli-plugins")?;
        let buildx = packages::unpacked(suite, "docker-buildx")?
            .join("usr/libexec/docker/cli-plugins/docker-buildx");
        symlink(buildx, plugins.join("docker-buildx"))?;
        cx.add_path(&programs);
        image::build_folder(&cx, &["amd64", "arm64"])?;
        let engine = Engine::start(cx, r#"{"features":{"containerd-snapshotter":true}}"#)?;
        Ok(Self { engine })
    }
}

impl Modern {
    fn reference(&self, name: &str) -> String {
        self.engine.cx.reference(name)
    }

    fn buildx(&self, args: &[&str]) -> Cmd {
        self.engine
            .docker(&["buildx", "build", "--progress=plain", "--network", "none"])
            .args(args)
            .arg("build")
    }

    /// The descriptors of an index at the server: images, attestations.
    fn index(&self, name: &str) -> Result<(Vec<Value>, Vec<Value>)> {
        let index = self.engine.cx.served_manifest(name)?;
        same("media type", index["mediaType"].as_str(), Some(INDEX))?;
        let all = index["manifests"]
            .as_array()
            .context("no manifests")?
            .iter()
            .cloned();
        Ok(all.partition(|entry| entry["annotations"]["vnd.docker.reference.type"].is_null()))
    }

    fn remove_all(&self) -> Result<()> {
        let images = self
            .engine
            .docker(&["images", "--quiet", "--no-trunc"])
            .run()?;
        let images: Vec<&str> = images.split_whitespace().collect();
        if !images.is_empty() {
            self.engine.docker(&["rmi", "--force"]).args(images).run()?;
        }
        Ok(())
    }

    fn login(&mut self) -> Result<()> {
        self.engine.login()
    }

    fn push(&mut self) -> Result<()> {
        let reference = self.reference("push:v1");
        self.buildx(&["--provenance=true", "--tag", &reference])
            .run()?;
        let printed = self.engine.docker(&["push", &reference]).run()?;
        let line = printed
            .lines()
            .rfind(|line| line.contains("digest: "))
            .context("no digest printed")?;
        same(
            "digest at the server",
            self.engine.cx.served_digest("push:v1")?,
            find_digest(line)?,
        )?;
        let (images, attestations) = self.index("push:v1")?;
        same(
            "images and attestations",
            (images.len(), attestations.len()),
            (1, 1),
        )?;
        let digest = attestations[0]["digest"].as_str().context("no digest")?;
        let attestation = self.engine.cx.served_manifest(&format!("push@{digest}"))?;
        same(
            "attestation",
            attestation["layers"][0]["mediaType"].as_str(),
            Some("application/vnd.in-toto+json"),
        )
    }

    fn pull(&mut self) -> Result<()> {
        self.remove_all()?;
        let reference = self.reference(&format!(
            "push@{}",
            self.engine.cx.served_digest("push:v1")?
        ));
        self.engine.docker(&["pull", &reference]).run()?;
        self.engine
            .run_image(&[], &reference, std::env::consts::ARCH)
    }

    fn platforms(&mut self) -> Result<()> {
        let both = [
            "--platform",
            "linux/amd64,linux/arm64",
            "--provenance=mode=max",
        ];
        let target = self.reference("platforms:v1");
        self.buildx(&both)
            .args([
                "--push",
                "--metadata-file",
                "metadata.json",
                "--tag",
                &target,
            ])
            .run()?;
        let metadata: Value =
            serde_json::from_slice(&fs::read(self.engine.cx.file("metadata.json"))?)?;
        let digest = metadata["containerimage.digest"]
            .as_str()
            .context("no digest in the metadata")?;
        same(
            "digest at the server",
            self.engine.cx.served_digest("platforms:v1")?.as_str(),
            digest,
        )?;
        let (images, attestations) = self.index("platforms:v1")?;
        same(
            "images and attestations",
            (images.len(), attestations.len()),
            (2, 2),
        )
    }

    fn foreign(&mut self) -> Result<()> {
        self.remove_all()?;
        let (arch, machine) = foreign();
        let (platform, reference) = (format!("linux/{arch}"), self.reference("platforms:v1"));
        self.engine
            .docker(&["pull", "--platform", &platform, &reference])
            .run()?;
        self.engine
            .run_image(&["--platform", &platform], &reference, machine)
    }

    fn cache_export(&mut self) -> Result<()> {
        let cache = self.reference("cache:v1");
        let to =
            format!("type=registry,ref={cache},mode=max,image-manifest=true,oci-mediatypes=true");
        self.buildx(&[
            "--push",
            "--tag",
            &self.reference("cached:v1"),
            "--cache-to",
            &to,
        ])
        .run()?;
        let config = self.engine.cx.served_manifest("cache:v1")?["config"]["mediaType"].clone();
        same(
            "configuration",
            config.as_str(),
            Some("application/vnd.buildkit.cacheconfig.v0"),
        )
    }

    fn cache_import(&mut self) -> Result<()> {
        self.remove_all()?;
        self.engine
            .docker(&["builder", "prune", "--all", "--force"])
            .run()?;
        let from = format!("type=registry,ref={}", self.reference("cache:v1"));
        let out = self
            .buildx(&[
                "--push",
                "--tag",
                &self.reference("cached:v2"),
                "--cache-from",
                &from,
            ])
            .output()?
            .all();
        contains(&out, "importing cache manifest")?;
        let number = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
        let numbers = |wanted: fn(&str) -> bool| {
            out.lines()
                .filter(|line| wanted(line))
                .map(number)
                .collect::<BTreeSet<_>>()
        };
        let steps = numbers(|line| line.contains("] RUN ") || line.contains("] COPY "));
        let cached = numbers(|line| line.ends_with(" CACHED"));
        ensure!(
            !steps.is_empty() && steps.is_subset(&cached),
            "steps {steps:?}, cached {cached:?}:\n{out}"
        );
        let layers = |name: &str| -> Result<Value> {
            let (images, _) = self.index(name)?;
            let digest = images[0]["digest"].as_str().context("no digest")?;
            Ok(self
                .engine
                .cx
                .served_manifest(&format!("cached@{digest}"))?["layers"]
                .clone())
        };
        same("layers", layers("cached:v2")?, layers("cached:v1")?)
    }

    fn imagetools(&mut self) -> Result<()> {
        let (source, target) = (
            self.reference("platforms:v1"),
            self.reference("platforms:copy"),
        );
        let tools = |args: &[&str]| {
            self.engine
                .docker(&["buildx", "imagetools"])
                .args(args)
                .run()
        };
        let shown = tools(&["inspect", &source])?;
        contains(&shown, "linux/arm64")?;
        same(
            "digest",
            find_digest(&shown)?,
            self.engine.cx.served_digest("platforms:v1")?,
        )?;
        tools(&["create", "--tag", &target, &source])?;
        same(
            "digest of the copy",
            self.engine.cx.served_digest("platforms:copy")?,
            self.engine.cx.served_digest("platforms:v1")?,
        )
    }

    fn logout(&mut self) -> Result<()> {
        self.remove_all()?;
        self.engine.logout("push:v1")
    }
}
