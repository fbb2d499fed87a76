//! Over HTTPS, trusting the server's own certificate authority through `SSL_CERT_FILE` alone.

use anyhow::Result;

use super::context::{Context, USER, contains, find_digest, same, same_file};
use super::{Case, Suite, crane, image, oras};
use crate::exec::Cmd;
use crate::packages;

pub(super) struct Https {
    cx: Context,
    image: image::Layout,
}

impl Suite for Https {
    const CASES: &'static [Case<Self>] = &[
        ("skopeo: login, push and pull", Self::skopeo),
        ("crane: push, digest and validate", Self::crane),
        ("oras: login, push and pull", Self::oras),
        (
            "without the authority the connection is refused",
            Self::untrusted,
        ),
    ];

    fn install(_: &str) -> Result<()> {
        crane::folder()?;
        oras::folder()?;
        packages::install(&["skopeo"])
    }

    fn version(_: &str) -> Result<String> {
        Ok(String::from("as above"))
    }

    fn start(mut cx: Context, _: &str) -> Result<Self> {
        cx.add_path(&crane::folder()?);
        cx.add_path(&oras::folder()?);
        cx.set("SSL_CERT_FILE", cx.access.ca.clone());
        let image = image::layout(&cx, "image", &[1000, 3_000_000])?;
        Ok(Self { cx, image })
    }
}

impl Https {
    fn https_host(&self) -> &str {
        &self.cx.access.https_host
    }

    fn reference(&self, name: &str) -> String {
        format!("{}/{}", self.https_host(), self.cx.repository(name))
    }

    fn login(&self, cmd: Cmd) -> Cmd {
        cmd.args(["-u", USER, "--password-stdin", self.https_host()])
            .stdin(self.cx.access.password.as_str())
    }

    fn skopeo(&mut self) -> Result<()> {
        self.login(self.cx.cmd("skopeo").arg("login")).run()?;
        let remote = format!("docker://{}", self.reference("skopeo:v1"));
        self.cx
            .cmd("skopeo")
            .args([
                "copy",
                &format!("oci:{}:v1", self.image.dir.display()),
                &remote,
            ])
            .run()?;
        same(
            "digest at the server",
            self.cx.served_digest("skopeo:v1")?,
            self.image.digest.clone(),
        )?;
        let back = self.cx.file("back");
        self.cx
            .cmd("skopeo")
            .args(["copy", &remote, &format!("oci:{}:v1", back.display())])
            .run()?;
        self.cx
            .cmd("diff")
            .arg("-r")
            .arg(self.image.dir.join("blobs"))
            .arg(back.join("blobs"))
            .run()?;
        Ok(())
    }

    fn crane(&mut self) -> Result<()> {
        self.login(self.cx.cmd("crane").args(["auth", "login"]))
            .run()?;
        let reference = self.reference("crane:v1");
        self.cx
            .cmd("crane")
            .arg("push")
            .arg(&self.image.dir)
            .arg(&reference)
            .run()?;
        same(
            "digest",
            self.cx
                .cmd("crane")
                .args(["digest", &reference])
                .run()?
                .trim(),
            &self.image.digest,
        )?;
        contains(
            &self
                .cx
                .cmd("crane")
                .args(["validate", "--remote", &reference])
                .run()?,
            "PASS",
        )
    }

    fn oras(&mut self) -> Result<()> {
        self.login(self.cx.cmd("oras").arg("login")).run()?;
        let file = self.cx.random_file("file.bin", 5_000_000)?;
        let printed = self
            .cx
            .cmd("oras")
            .args(["push", &self.reference("oras:v1"), "file.bin"])
            .run()?;
        let digest = find_digest(
            printed
                .lines()
                .rfind(|line| line.starts_with("Digest"))
                .unwrap_or_default(),
        )?;
        same(
            "digest at the server",
            self.cx.served_digest("oras:v1")?,
            digest.clone(),
        )?;
        self.cx
            .cmd("oras")
            .args([
                "pull",
                "-o",
                "pulled",
                &self.reference(&format!("oras@{digest}")),
            ])
            .run()?;
        same_file(&file, &self.cx.file("pulled/file.bin"))
    }

    fn untrusted(&mut self) -> Result<()> {
        let none = self.cx.write("none.crt", "")?;
        let error = self
            .cx
            .cmd("crane")
            .env("SSL_CERT_FILE", none)
            .args(["digest", &self.reference("crane:v1")])
            .fails()?;
        contains(&error, "certificate")
    }
}
