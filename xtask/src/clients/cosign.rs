//! cosign with a key pair of its own, offline: version 2 stores a signature tag, version 3 a referrer with a bundle.

use std::path::PathBuf;

use anyhow::Result;

use super::context::{Context, contains};
use super::{Case, Suite, crane, image};
use crate::exec::Cmd;
use crate::packages;

pub(super) struct Cosign {
    cx: Context,
    /// `HOST/REPOSITORY@DIGEST` of a signed image.
    subject: String,
    other: String,
    sign_flags: &'static [&'static str],
}

const INSECURE: [&str; 2] = ["--allow-http-registry", "--allow-insecure-registry"];

impl Suite for Cosign {
    const CASES: &'static [Case<Self>] = &[
        ("sign by digest and verify", Self::sign),
        (
            "an image without a signature does not verify",
            Self::unsigned,
        ),
        ("another key does not verify", Self::other_key),
        ("attest and verify the attestation", Self::attest),
        ("tree shows signature and attestation", Self::tree),
    ];

    fn install(suite: &str) -> Result<()> {
        crane::folder()?;
        packages::unpacked(suite, "cosign").map(drop)
    }

    fn version(suite: &str) -> Result<String> {
        packages::version(suite, "cosign")
    }

    fn start(mut cx: Context, suite: &str) -> Result<Self> {
        cx.add_path(&crane::folder()?);
        cx.add_path(&packages::unpacked(suite, "cosign")?.join("usr/bin"));
        cx.set("COSIGN_PASSWORD", "a passphrase");
        let push = |name: &str| -> Result<String> {
            let image = image::layout(&cx, name, &[1000])?;
            crane::login_and_push(&cx, &image.dir, &cx.reference(&format!("{name}:v1")))?;
            Ok(cx.reference(&format!("{name}@{}", image.digest)))
        };
        let (subject, other) = (push("signed")?, push("unsigned")?);
        for name in ["cosign", "other"] {
            cx.cmd("cosign")
                .args(["generate-key-pair", "--output-key-prefix", name])
                .run()?;
        }
        // Version 3 asks for this before it goes without a transparency log.
        let sign_flags: &[&str] = match suite {
            "trixie" => &["--tlog-upload=false"],
            _ => &["--tlog-upload=false", "--use-signing-config=false"],
        };
        Ok(Self {
            cx,
            subject,
            other,
            sign_flags,
        })
    }
}

impl Cosign {
    fn cosign(&self, command: &str) -> Cmd {
        self.cx.cmd("cosign").arg(command).args(INSECURE)
    }

    fn verify(&self, key: &str, subject: &str) -> Cmd {
        let key: PathBuf = self.cx.file(key);
        self.cosign("verify")
            .args(["--insecure-ignore-tlog", "--key"])
            .arg(key)
            .arg(subject)
    }

    fn sign(&mut self) -> Result<()> {
        self.cosign("sign")
            .args(["--yes", "--key", "cosign.key"])
            .args(self.sign_flags)
            .arg(&self.subject)
            .run()?;
        let digest = self.subject.split('@').nth(1).unwrap_or_default();
        contains(&self.verify("cosign.pub", &self.subject).run()?, digest)
    }

    fn unsigned(&mut self) -> Result<()> {
        let error = self.verify("cosign.pub", &self.other).fails()?;
        contains(&error, "no signatures found")
    }

    fn other_key(&mut self) -> Result<()> {
        self.verify("other.pub", &self.subject).fails()?;
        Ok(())
    }

    fn attest(&mut self) -> Result<()> {
        self.cx.write("predicate.json", r#"{"built":"here"}"#)?;
        let kind = ["--type", "https://example.test/predicate"];
        let attest = self.cosign("attest").args([
            "--yes",
            "--key",
            "cosign.key",
            "--predicate",
            "predicate.json",
        ]);
        attest
            .args(kind)
            .args(self.sign_flags)
            .arg(&self.subject)
            .run()?;
        let verify = self
            .cosign("verify-attestation")
            .args(["--insecure-ignore-tlog", "--key", "cosign.pub"])
            .args(kind);
        contains(&verify.arg(&self.subject).run()?, "payload")
    }

    fn tree(&mut self) -> Result<()> {
        let tree = self
            .cosign("tree")
            .arg(&self.subject)
            .output()?
            .all()
            .to_lowercase();
        // Version 2 names the kind, version 3 the type of the predicate.
        let attested = tree.contains("attestation") || tree.contains("example.test/predicate");
        anyhow::ensure!(attested, "no attestation in:\n{tree}");
        contains(&tree, "sign")
    }
}
