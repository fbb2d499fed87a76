//! crane, of go-containerregistry.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use super::context::{Context, USER, contains, find_digest, same};
use super::{Case, Suite, image};
use crate::exec::Cmd;
use crate::packages;

pub(super) struct Crane {
    cx: Context,
    image: image::Layout,
}

/// The folder with the program `crane`; other suites push with it what they then sign.
pub(super) fn folder() -> Result<PathBuf> {
    Ok(packages::unpacked("forky", "crane")?.join("usr/bin"))
}

/// Logs in to a host and pushes a layout to it.
pub(super) fn login_and_push(cx: &Context, layout: &Path, reference: &str) -> Result<()> {
    let crane = |args: &[&str]| cx.cmd("crane").args(args);
    crane(&[
        "auth",
        "login",
        "-u",
        USER,
        "--password-stdin",
        &cx.access.host,
    ])
    .stdin(cx.access.password.as_str())
    .run()?;
    crane(&["--insecure", "push"])
        .arg(layout)
        .arg(reference)
        .run()?;
    Ok(())
}

impl Suite for Crane {
    const CASES: &'static [Case<Self>] = &[
        ("auth login, push and pull, byte for byte", Self::push),
        ("a wrong password is refused", Self::wrong_password),
        ("digest, manifest, config and blob", Self::read),
        ("validate the pushed image", Self::validate),
        ("copy to another repository", Self::copy),
        ("copy an index and take one platform of it", Self::index),
        ("append a layer to an image", Self::append),
        ("tag and ls", Self::tag),
        ("catalog", Self::catalog),
        ("delete by digest", Self::delete),
    ];

    fn install(_: &str) -> Result<()> {
        folder().map(drop)
    }

    fn start(mut cx: Context, _: &str) -> Result<Self> {
        cx.add_path(&folder()?);
        let image = image::layout(&cx, "image", &[1000, 2_000_000, 20_000_000])?;
        Ok(Self { cx, image })
    }

    fn version(_: &str) -> Result<String> {
        packages::version("forky", "crane")
    }
}

impl Crane {
    fn crane(&self, command: &str) -> Cmd {
        self.cx.cmd("crane").args(["--insecure", command])
    }

    fn on(&self, command: &str, name: &str) -> Cmd {
        self.crane(command).arg(self.cx.reference(name))
    }

    fn push_to(&self, name: &str) -> Result<()> {
        let printed = self
            .crane("push")
            .arg(&self.image.dir)
            .arg(self.cx.reference(name))
            .run()?;
        same(
            "printed digest",
            find_digest(&printed)?,
            self.image.digest.clone(),
        )
    }

    fn push(&mut self) -> Result<()> {
        login_and_push(&self.cx, &self.image.dir, &self.cx.reference("push:v1"))?;
        same(
            "digest at the server",
            self.cx.served_digest("push:v1")?,
            self.image.digest.clone(),
        )?;
        let back = self.cx.file("back");
        self.on("pull", "push:v1")
            .args(["--format", "oci"])
            .arg(&back)
            .run()?;
        self.cx
            .cmd("diff")
            .arg("-r")
            .arg(self.image.dir.join("blobs"))
            .arg(back.join("blobs"))
            .run()?;
        Ok(())
    }

    fn wrong_password(&mut self) -> Result<()> {
        let other = self.cx.folder("wrong")?;
        let crane = || self.cx.cmd("crane").env("DOCKER_CONFIG", &other);
        crane()
            .args([
                "auth",
                "login",
                "-u",
                USER,
                "-p",
                "wrong",
                &self.cx.access.host,
            ])
            .run()?;
        let error = crane()
            .args(["--insecure", "digest", &self.cx.reference("push:v1")])
            .fails()?;
        ensure!(
            error.contains("401") || error.contains("UNAUTHORIZED"),
            "another error than expected: {error}"
        );
        Ok(())
    }

    fn read(&mut self) -> Result<()> {
        self.push_to("read:v1")?;
        same(
            "digest",
            self.on("digest", "read:v1").run()?.trim(),
            &self.image.digest,
        )?;
        let manifest = self
            .cx
            .write("manifest.json", self.on("manifest", "read:v1").run()?)?;
        same(
            "digest of the manifest",
            image::digest(&manifest)?,
            self.image.digest.clone(),
        )?;
        let parsed: serde_json::Value = serde_json::from_slice(&std::fs::read(manifest)?)?;
        let config = parsed["config"]["digest"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let text = self.on("config", "read:v1").run()?;
        same(
            "digest of the configuration",
            image::digest(&self.cx.write("config.json", &text)?)?,
            config.clone(),
        )?;
        same(
            "the blob",
            self.on("blob", &format!("read@{config}")).run()?,
            text,
        )
    }

    fn validate(&mut self) -> Result<()> {
        self.push_to("validate:v1")?;
        contains(
            &self
                .crane("validate")
                .arg("--remote")
                .arg(self.cx.reference("validate:v1"))
                .run()?,
            "PASS",
        )
    }

    fn copy(&mut self) -> Result<()> {
        self.push_to("copy/source:v1")?;
        self.on("copy", "copy/source:v1")
            .arg(self.cx.reference("copy/target:v1"))
            .run()?;
        same(
            "digest",
            self.cx.served_digest("copy/target:v1")?,
            self.image.digest.clone(),
        )
    }

    fn index(&mut self) -> Result<()> {
        let index = image::index_layout(&self.cx, "index")?;
        self.crane("push")
            .arg(&index.dir)
            .arg(self.cx.reference("index:v1"))
            .run()?;
        self.on("copy", "index:v1")
            .arg(self.cx.reference("index-copy:v1"))
            .run()?;
        same(
            "the copy",
            self.cx.served_digest("index-copy:v1")?,
            self.cx.served_digest("index:v1")?,
        )?;
        contains(
            &self
                .on("config", "index:v1")
                .args(["--platform", "linux/arm64"])
                .run()?,
            "arm64",
        )
    }

    fn append(&mut self) -> Result<()> {
        self.push_to("append:v1")?;
        let file = self.cx.random_file("appended", 50_000)?;
        let tar = self.cx.file("appended.tar");
        self.cx
            .cmd("tar")
            .arg("-cf")
            .arg(&tar)
            .arg("-C")
            .arg(&self.cx.dir)
            .arg(file.file_name().unwrap_or_default())
            .run()?;
        let printed = self
            .crane("append")
            .args([
                "-b",
                &self.cx.reference("append:v1"),
                "-t",
                &self.cx.reference("append:v2"),
                "-f",
            ])
            .arg(tar)
            .run()?;
        same(
            "digest",
            self.cx.served_digest("append:v2")?,
            find_digest(&printed)?,
        )?;
        self.crane("validate")
            .args(["--remote", &self.cx.reference("append:v2")])
            .run()?;
        Ok(())
    }

    fn tag(&mut self) -> Result<()> {
        self.push_to("tag:v1")?;
        self.on("tag", "tag:v1").arg("other").run()?;
        same(
            "digest",
            self.cx.served_digest("tag:other")?,
            self.image.digest.clone(),
        )?;
        same("tags", self.on("ls", "tag").run()?.as_str(), "other\nv1\n")
    }

    fn catalog(&mut self) -> Result<()> {
        let catalog = self.crane("catalog").arg(&self.cx.access.host).run()?;
        let name = self.cx.repository("push");
        ensure!(
            catalog.lines().any(|line| line == name),
            "`{name}` is not in the catalogue:\n{catalog}"
        );
        Ok(())
    }

    fn delete(&mut self) -> Result<()> {
        self.push_to("delete:v1")?;
        self.on("delete", &format!("delete@{}", self.image.digest))
            .run()?;
        let error = self.on("digest", "delete:v1").fails()?;
        ensure!(
            error.contains("404") || error.contains("MANIFEST_UNKNOWN"),
            "another error than expected: {error}"
        );
        Ok(())
    }
}
