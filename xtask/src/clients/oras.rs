//! oras: artifacts, and what refers to them.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::context::{Context, USER, contains, find_digest, same, same_file};
use super::{Case, Suite};
use crate::exec::Cmd;
use crate::packages;

pub(super) struct Oras {
    cx: Context,
}

/// The folder with the program `oras`.
pub(super) fn folder() -> Result<PathBuf> {
    Ok(packages::unpacked("trixie", "oras")?.join("usr/bin"))
}

/// Logs in over plain HTTP.
pub(super) fn login(cx: &Context) -> Result<()> {
    let login = cx.cmd("oras").args([
        "login",
        "--plain-http",
        "-u",
        USER,
        "--password-stdin",
        &cx.access.host,
    ]);
    contains(
        &login.stdin(cx.access.password.as_str()).run()?,
        "Login Succeeded",
    )
}

impl Suite for Oras {
    const CASES: &'static [Case<Self>] = &[
        (
            "login: right password accepted, wrong one refused",
            Self::login,
        ),
        ("push files and pull them back, byte for byte", Self::push),
        (
            "push with an artifact type and no configuration",
            Self::artifact_type,
        ),
        (
            "attach and discover, filtered by artifact type",
            Self::attach,
        ),
        ("discover a tree of referrers", Self::tree),
        (
            "a referrer is gone after its deletion",
            Self::delete_referrer,
        ),
        ("copy an artifact with its referrers", Self::copy),
        ("blob push, fetch and delete", Self::blob),
        ("manifest push and fetch, byte for byte", Self::manifest),
        ("resolve, tag, repo tags and repo ls", Self::names),
    ];

    fn install(_: &str) -> Result<()> {
        folder().map(drop)
    }

    fn version(_: &str) -> Result<String> {
        packages::version("trixie", "oras")
    }

    fn start(mut cx: Context, _: &str) -> Result<Self> {
        cx.add_path(&folder()?);
        cx.random_file("big.bin", 20_000_000)?;
        cx.write("note.txt", "a note\n")?;
        Ok(Self { cx })
    }
}

impl Oras {
    fn oras(&self, command: &[&str]) -> Cmd {
        self.cx.cmd("oras").args(command).arg("--plain-http")
    }

    fn on(&self, command: &[&str], name: &str) -> Cmd {
        self.oras(command).arg(self.cx.reference(name))
    }

    /// Pushes the note and returns its digest.
    fn push_note(&self, name: &str) -> Result<String> {
        find_digest(&self.on(&["push"], name).arg("note.txt:text/plain").run()?)
    }

    fn attach_to(&self, name: &str, artifact_type: &str) -> Result<String> {
        let printed = self
            .on(&["attach", "--artifact-type", artifact_type], name)
            .arg("note.txt:text/plain")
            .run()?;
        let last = printed
            .lines()
            .rfind(|line| line.starts_with("Digest"))
            .context("no digest printed")?;
        find_digest(last)
    }

    /// The digests of what refers to an artifact.
    fn referrers(&self, name: &str, filter: &[&str]) -> Result<Vec<String>> {
        let text = self
            .on(&["discover", "--format", "json"], name)
            .args(filter)
            .run()?;
        let found: Value = serde_json::from_str(&text)?;
        let list = found["manifests"]
            .as_array()
            .or_else(|| found["referrers"].as_array())
            .context("no list of referrers")?;
        let mut digests: Vec<String> = list
            .iter()
            .filter_map(|r| r["digest"].as_str().map(str::to_owned))
            .collect();
        digests.sort();
        Ok(digests)
    }

    fn login(&mut self) -> Result<()> {
        let wrong = self.cx.cmd("oras").args([
            "login",
            "--plain-http",
            "-u",
            USER,
            "--password-stdin",
            &self.cx.access.host,
        ]);
        wrong.stdin("not the password").fails()?;
        login(&self.cx)
    }

    fn push(&mut self) -> Result<()> {
        let printed = self
            .on(&["push"], "push:v1")
            .args(["note.txt:text/plain", "big.bin:application/octet-stream"])
            .run()?;
        let digest = find_digest(
            printed
                .lines()
                .rfind(|line| line.starts_with("Digest"))
                .unwrap_or_default(),
        )?;
        same(
            "digest at the server",
            self.cx.served_digest("push:v1")?,
            digest.clone(),
        )?;
        let back = self.cx.folder("back")?;
        self.on(&["pull", "-o", "back"], &format!("push@{digest}"))
            .run()?;
        for name in ["note.txt", "big.bin"] {
            same_file(&self.cx.file(name), &back.join(name))?;
        }
        Ok(())
    }

    fn artifact_type(&mut self) -> Result<()> {
        self.on(
            &["push", "--artifact-type", "application/vnd.example.thing"],
            "typed:v1",
        )
        .arg("note.txt:text/plain")
        .run()?;
        let manifest = self.cx.served_manifest("typed:v1")?;
        same(
            "artifact type",
            manifest["artifactType"].as_str(),
            Some("application/vnd.example.thing"),
        )?;
        same(
            "configuration",
            manifest["config"]["mediaType"].as_str(),
            Some("application/vnd.oci.empty.v1+json"),
        )
    }

    fn attach(&mut self) -> Result<()> {
        self.push_note("subject:v1")?;
        same(
            "referrers before",
            self.referrers("subject:v1", &[])?,
            vec![],
        )?;
        let report = self.attach_to("subject:v1", "application/vnd.example.report")?;
        let bill = self.attach_to("subject:v1", "application/vnd.example.bill")?;
        let mut both = vec![report.clone(), bill];
        both.sort();
        same("referrers", self.referrers("subject:v1", &[])?, both)?;
        let filter = ["--artifact-type", "application/vnd.example.report"];
        same(
            "filtered referrers",
            self.referrers("subject:v1", &filter)?,
            vec![report],
        )
    }

    fn tree(&mut self) -> Result<()> {
        self.push_note("tree:v1")?;
        let first = self.attach_to("tree:v1", "application/vnd.example.first")?;
        let second = self.attach_to(&format!("tree@{first}"), "application/vnd.example.second")?;
        let tree = self
            .on(&["discover", "--format", "tree"], "tree:v1")
            .run()?;
        contains(&tree, &first)?;
        contains(&tree, &second)
    }

    fn delete_referrer(&mut self) -> Result<()> {
        self.push_note("forget:v1")?;
        let referrer = self.attach_to("forget:v1", "application/vnd.example.report")?;
        self.on(
            &["manifest", "delete", "--force"],
            &format!("forget@{referrer}"),
        )
        .run()?;
        same("referrers", self.referrers("forget:v1", &[])?, vec![])
    }

    fn copy(&mut self) -> Result<()> {
        let digest = self.push_note("copy/source:v1")?;
        let referrer = self.attach_to("copy/source:v1", "application/vnd.example.report")?;
        let cp = self
            .cx
            .cmd("oras")
            .args(["cp", "-r", "--from-plain-http", "--to-plain-http"]);
        cp.args([
            self.cx.reference("copy/source:v1"),
            self.cx.reference("copy/target:v1"),
        ])
        .run()?;
        same("digest", self.cx.served_digest("copy/target:v1")?, digest)?;
        same(
            "referrers",
            self.referrers("copy/target:v1", &[])?,
            vec![referrer],
        )
    }

    fn blob(&mut self) -> Result<()> {
        let digest = super::image::digest(&self.cx.file("big.bin"))?;
        self.on(&["blob", "push"], &format!("blob@{digest}"))
            .arg("big.bin")
            .run()?;
        self.on(
            &["blob", "fetch", "--output", "blob.back"],
            &format!("blob@{digest}"),
        )
        .run()?;
        same_file(&self.cx.file("big.bin"), &self.cx.file("blob.back"))?;
        self.on(&["blob", "delete", "--force"], &format!("blob@{digest}"))
            .run()?;
        self.on(
            &["blob", "fetch", "--output", "blob.gone"],
            &format!("blob@{digest}"),
        )
        .fails()?;
        Ok(())
    }

    fn manifest(&mut self) -> Result<()> {
        let digest = self.push_note("manifest:v1")?;
        let text = self.on(&["manifest", "fetch"], "manifest:v1").run()?;
        let file = self.cx.write("manifest.json", &text)?;
        same(
            "digest of what was fetched",
            super::image::digest(&file)?,
            digest,
        )?;
        // Other bytes of the same meaning are another manifest.
        let spaced = self.cx.write("spaced.json", format!(" {text}\n"))?;
        self.on(&["manifest", "push"], "manifest:spaced")
            .arg("spaced.json")
            .run()?;
        same(
            "digest of what was pushed",
            self.cx.served_digest("manifest:spaced")?,
            super::image::digest(&spaced)?,
        )?;
        same(
            "what was pushed",
            self.on(&["manifest", "fetch"], "manifest:spaced").run()?,
            fs::read_to_string(spaced)?,
        )
    }

    fn names(&mut self) -> Result<()> {
        let digest = self.push_note("names:v1")?;
        same(
            "resolve",
            self.on(&["resolve"], "names:v1").run()?.trim(),
            &digest,
        )?;
        self.on(&["tag"], "names:v1").args(["v2", "v3"]).run()?;
        same(
            "tags",
            self.on(&["repo", "tags"], "names").run()?.as_str(),
            "v1\nv2\nv3\n",
        )?;
        let repositories = self.oras(&["repo", "ls"]).arg(&self.cx.access.host).run()?;
        let name = self.cx.repository("names");
        ensure!(
            repositories.lines().any(|line| line == name),
            "`{name}` is not listed in:\n{repositories}"
        );
        Ok(())
    }
}
