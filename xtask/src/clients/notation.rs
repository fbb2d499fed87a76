//! notation, of the Notary Project: signatures that refer to the image.

use anyhow::Result;
use serde_json::json;

use super::context::{Context, USER, contains, find_digest};
use super::{Case, Suite, crane, image};
use crate::exec::Cmd;
use crate::packages;

pub(super) struct Notation {
    cx: Context,
    subject: String,
    other: String,
}

impl Suite for Notation {
    const CASES: &'static [Case<Self>] = &[
        ("login, sign (JWS) and verify", Self::sign),
        ("sign (COSE) and verify", Self::cose),
        ("list and inspect the signatures", Self::list),
        (
            "an image without a signature does not verify",
            Self::unsigned,
        ),
        (
            "a signature by someone not trusted does not verify",
            Self::untrusted,
        ),
    ];

    fn install(_: &str) -> Result<()> {
        crane::folder()?;
        packages::unpacked("forky", "notation").map(drop)
    }

    fn version(_: &str) -> Result<String> {
        packages::version("forky", "notation")
    }

    fn start(mut cx: Context, _: &str) -> Result<Self> {
        cx.add_path(&crane::folder()?);
        cx.add_path(&packages::unpacked("forky", "notation")?.join("usr/bin"));
        let push = |name: &str| -> Result<String> {
            let image = image::layout(&cx, name, &[1000])?;
            crane::login_and_push(&cx, &image.dir, &cx.reference(&format!("{name}:v1")))?;
            Ok(cx.reference(&format!("{name}@{}", image.digest)))
        };
        let (subject, other) = (push("signed")?, push("unsigned")?);
        let notation = Self { cx, subject, other };
        notation.trust()?;
        Ok(notation)
    }
}

impl Notation {
    fn notation(&self, args: &[&str]) -> Cmd {
        self.cx.cmd("notation").args(args)
    }

    /// Makes two signers and trusts the first.
    fn trust(&self) -> Result<()> {
        self.notation(&["cert", "generate-test", "--default", "trusted"])
            .run()?;
        self.notation(&["cert", "generate-test", "stranger"])
            .run()?;
        let policy = json!({"version": "1.0", "trustPolicies": [{
            "name": "all",
            "registryScopes": ["*"],
            "signatureVerification": {"level": "strict"},
            "trustStores": ["ca:trusted"],
            "trustedIdentities": ["*"],
        }]});
        self.cx.write("policy.json", policy.to_string())?;
        self.notation(&["policy", "import", "policy.json"]).run()?;
        Ok(())
    }

    fn sign_with(&self, format: &str, key: &str, subject: &str) -> Result<()> {
        let printed = self
            .notation(&[
                "sign",
                "--insecure-registry",
                "--signature-format",
                format,
                "--key",
                key,
                subject,
            ])
            .run()?;
        contains(&printed, "Successfully signed")
    }

    fn verify(&self, subject: &str) -> Cmd {
        self.notation(&["verify", "--insecure-registry", subject])
    }

    fn sign(&mut self) -> Result<()> {
        let login = self.notation(&[
            "login",
            "--insecure-registry",
            "-u",
            USER,
            "--password-stdin",
            &self.cx.access.host,
        ]);
        login.stdin(self.cx.access.password.as_str()).output()?;
        self.sign_with("jws", "trusted", &self.subject)?;
        contains(&self.verify(&self.subject).run()?, "Successfully verified")
    }

    fn cose(&mut self) -> Result<()> {
        self.sign_with("cose", "trusted", &self.subject)?;
        contains(&self.verify(&self.subject).run()?, "Successfully verified")
    }

    fn list(&mut self) -> Result<()> {
        let list = self
            .notation(&["ls", "--insecure-registry", &self.subject])
            .run()?;
        contains(&list, "application/vnd.cncf.notary.signature")?;
        let signatures = list
            .lines()
            .filter(|line| line.contains("──") && find_digest(line).is_ok())
            .count();
        anyhow::ensure!(signatures == 2, "two signatures expected in:\n{list}");
        contains(
            &self
                .notation(&["inspect", "--insecure-registry", &self.subject])
                .run()?,
            "application/jose+json",
        )
    }

    fn unsigned(&mut self) -> Result<()> {
        contains(&self.verify(&self.other).fails()?, "no signature")
    }

    fn untrusted(&mut self) -> Result<()> {
        self.sign_with("jws", "stranger", &self.other)?;
        self.verify(&self.other).fails()?;
        Ok(())
    }
}
