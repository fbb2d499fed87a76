//! skopeo: copies images between registries, layouts and folders.

use std::fs;

use anyhow::{Result, ensure};

use super::context::{Context, USER, contains, find_digest, same};
use super::podman::containers_configuration;
use super::{Case, Suite, image};
use crate::exec::Cmd;
use crate::packages;

pub(super) struct Skopeo {
    cx: Context,
    image: image::Layout,
}

impl Suite for Skopeo {
    const CASES: &'static [Case<Self>] = &[
        (
            "login: right password accepted, wrong one refused",
            Self::login,
        ),
        ("copy from a layout and back, byte for byte", Self::copy),
        (
            "copy within the registry to another repository",
            Self::mount,
        ),
        ("copy an index with all its images", Self::index),
        ("copy as Docker schema 2", Self::schema2),
        ("inspect by tag and by digest", Self::inspect),
        ("list-tags", Self::list_tags),
        ("sync a repository to a folder and back", Self::sync),
        ("delete", Self::delete),
        ("logout: nothing is given to the anonymous", Self::logout),
    ];

    fn install(_: &str) -> Result<()> {
        packages::install(&["skopeo"])
    }

    fn start(mut cx: Context, _: &str) -> Result<Self> {
        containers_configuration(&mut cx)?;
        let image = image::layout(&cx, "image", &[1000, 5_000_000, 30_000_000])?;
        Ok(Self { cx, image })
    }

    fn version(_: &str) -> Result<String> {
        packages::installed_version("skopeo")
    }
}

impl Skopeo {
    fn skopeo(&self, command: &str) -> Cmd {
        self.cx.cmd("skopeo").arg(command)
    }

    fn remote(&self, name: &str) -> String {
        format!("docker://{}", self.cx.reference(name))
    }

    fn copy_to(&self, name: &str) -> Result<()> {
        self.skopeo("copy")
            .arg(format!("oci:{}:v1", self.image.dir.display()))
            .arg(self.remote(name))
            .run()?;
        Ok(())
    }

    fn login(&mut self) -> Result<()> {
        let login = |password: &str| {
            self.skopeo("login")
                .args(["-u", USER, "--password-stdin", &self.cx.access.host])
                .stdin(password)
        };
        login("not the password").fails()?;
        contains(&login(&self.cx.access.password).run()?, "Login Succeeded")
    }

    fn copy(&mut self) -> Result<()> {
        self.copy_to("copy:v1")?;
        same(
            "digest at the server",
            self.cx.served_digest("copy:v1")?,
            self.image.digest.clone(),
        )?;
        let back = self.cx.file("back");
        self.skopeo("copy")
            .arg(self.remote("copy:v1"))
            .arg(format!("oci:{}:v1", back.display()))
            .run()?;
        self.cx
            .cmd("diff")
            .arg("-r")
            .arg(self.image.dir.join("blobs"))
            .arg(back.join("blobs"))
            .run()?;
        Ok(())
    }

    fn mount(&mut self) -> Result<()> {
        self.copy_to("mount/source:v1")?;
        self.skopeo("copy")
            .arg(self.remote("mount/source:v1"))
            .arg(self.remote("mount/target:v2"))
            .run()?;
        same(
            "digest",
            self.cx.served_digest("mount/target:v2")?,
            self.image.digest.clone(),
        )
    }

    fn index(&mut self) -> Result<()> {
        let index = image::index_layout(&self.cx, "index")?;
        let from = format!("oci:{}:v1", index.dir.display());
        self.skopeo("copy")
            .args(["--all", &from])
            .arg(self.remote("index:v1"))
            .run()?;
        same(
            "digest at the server",
            self.cx.served_digest("index:v1")?,
            index.digest.clone(),
        )?;
        let back = self.cx.file("index-back");
        self.skopeo("copy")
            .arg("--all")
            .arg(self.remote("index:v1"))
            .arg(format!("oci:{}:v1", back.display()))
            .run()?;
        self.cx
            .cmd("diff")
            .arg("-r")
            .arg(index.dir.join("blobs"))
            .arg(back.join("blobs"))
            .run()?;
        let arm = self
            .skopeo("inspect")
            .args(["--override-arch", "arm64"])
            .arg(self.remote("index:v1"))
            .run()?;
        contains(&arm, "\"Architecture\": \"arm64\"")
    }

    fn schema2(&mut self) -> Result<()> {
        let from = format!("oci:{}:v1", self.image.dir.display());
        let digest = self.cx.file("schema2.digest");
        self.skopeo("copy")
            .args(["--format", "v2s2", "--digestfile"])
            .arg(&digest)
            .arg(from)
            .arg(self.remote("schema2:v1"))
            .run()?;
        same(
            "digest",
            self.cx.served_digest("schema2:v1")?,
            fs::read_to_string(digest)?.trim().to_owned(),
        )?;
        let media_type = self.cx.served_manifest("schema2:v1")?["mediaType"].clone();
        same(
            "media type",
            media_type.as_str(),
            Some("application/vnd.docker.distribution.manifest.v2+json"),
        )?;
        self.skopeo("copy")
            .arg(self.remote("schema2:v1"))
            .arg(format!("dir:{}", self.cx.folder("schema2")?.display()))
            .run()?;
        Ok(())
    }

    fn inspect(&mut self) -> Result<()> {
        self.copy_to("inspect:v1")?;
        let by_tag = self
            .skopeo("inspect")
            .arg(self.remote("inspect:v1"))
            .run()?;
        same("digest", find_digest(&by_tag)?, self.image.digest.clone())?;
        let raw = self
            .skopeo("inspect")
            .arg("--raw")
            .arg(self.remote(&format!("inspect@{}", self.image.digest)))
            .run()?;
        let file = self.cx.write("inspect.json", raw)?;
        same(
            "digest of the raw manifest",
            image::digest(&file)?,
            self.image.digest.clone(),
        )
    }

    fn list_tags(&mut self) -> Result<()> {
        for tag in ["b", "a", "C", "1.0"] {
            self.copy_to(&format!("tags:{tag}"))?;
        }
        let list: serde_json::Value =
            serde_json::from_str(&self.skopeo("list-tags").arg(self.remote("tags")).run()?)?;
        same(
            "tags",
            &list["Tags"],
            &serde_json::json!(["1.0", "C", "a", "b"]),
        )
    }

    fn sync(&mut self) -> Result<()> {
        for tag in ["v1", "v2"] {
            self.copy_to(&format!("sync:{tag}"))?;
        }
        let folder = self.cx.folder("sync")?;
        self.skopeo("sync")
            .args(["--src", "docker", "--dest", "dir"])
            .arg(self.cx.reference("sync"))
            .arg(&folder)
            .run()?;
        for tag in ["v1", "v2"] {
            ensure!(
                fs::metadata(folder.join(format!("sync:{tag}/manifest.json"))).is_ok(),
                "sync:{tag} is not in the folder"
            );
        }
        let target = self.cx.reference("synced");
        self.skopeo("sync")
            .args(["--src", "dir", "--dest", "docker"])
            .arg(&folder)
            .arg(target)
            .run()?;
        same(
            "digest",
            self.cx.served_digest("synced/sync:v2")?,
            self.image.digest.clone(),
        )
    }

    fn delete(&mut self) -> Result<()> {
        self.copy_to("delete:v1")?;
        self.skopeo("delete").arg(self.remote("delete:v1")).run()?;
        let error = self
            .skopeo("inspect")
            .arg(self.remote("delete:v1"))
            .fails()?;
        ensure!(
            error.contains("unknown"),
            "another error than expected: {error}"
        );
        Ok(())
    }

    fn logout(&mut self) -> Result<()> {
        self.skopeo("logout").arg(&self.cx.access.host).run()?;
        let error = self.skopeo("inspect").arg(self.remote("copy:v1")).fails()?;
        ensure!(
            error.contains("unauthorized") || error.contains("authentication required"),
            "another error than expected: {error}"
        );
        Ok(())
    }
}
