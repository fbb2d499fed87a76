//! Helm charts: no Debian suite has the helm client, so a chart is pushed with oras and Helm's media types.

use anyhow::Result;

use super::context::{Context, find_digest, same, same_file};
use super::{Case, Suite, oras};
use crate::packages;

const CONFIG: &str = "application/vnd.cncf.helm.config.v1+json";
const CHART: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
const PROVENANCE: &str = "application/vnd.cncf.helm.chart.provenance.v1.prov";
const METADATA: &str = r#"{"name":"web","version":"0.1.0","apiVersion":"v2"}"#;

pub(super) struct Helm {
    cx: Context,
}

impl Suite for Helm {
    const CASES: &'static [Case<Self>] = &[(
        "push a chart with its provenance and pull it by digest",
        Self::push,
    )];

    fn install(_: &str) -> Result<()> {
        oras::folder().map(drop)
    }

    fn version(_: &str) -> Result<String> {
        packages::version("trixie", "oras")
    }

    fn start(mut cx: Context, _: &str) -> Result<Self> {
        cx.add_path(&oras::folder()?);
        cx.write(
            "web/Chart.yaml",
            "name: web\nversion: 0.1.0\napiVersion: v2\n",
        )?;
        cx.write("web/templates/one.yaml", "kind: ConfigMap\n")?;
        cx.write("config.json", METADATA)?;
        cx.cmd("tar").args(["-czf", "web-0.1.0.tgz", "web"]).run()?;
        cx.write("web-0.1.0.tgz.prov", "-----BEGIN PGP SIGNED MESSAGE-----\n")?;
        Ok(Self { cx })
    }
}

impl Helm {
    fn push(&mut self) -> Result<()> {
        oras::login(&self.cx)?;
        let config = format!("config.json:{CONFIG}");
        let push = self
            .cx
            .cmd("oras")
            .args(["push", "--plain-http", "--config", &config])
            .arg(self.cx.reference("charts/web:0.1.0"));
        let printed = push
            .arg(format!("web-0.1.0.tgz:{CHART}"))
            .arg(format!("web-0.1.0.tgz.prov:{PROVENANCE}"))
            .run()?;
        let digest = find_digest(
            printed
                .lines()
                .rfind(|line| line.starts_with("Digest"))
                .unwrap_or_default(),
        )?;
        let manifest = self.cx.served_manifest(&format!("charts/web@{digest}"))?;
        same(
            "configuration",
            manifest["config"]["mediaType"].as_str(),
            Some(CONFIG),
        )?;
        same(
            "chart",
            manifest["layers"][0]["mediaType"].as_str(),
            Some(CHART),
        )?;
        same(
            "provenance",
            manifest["layers"][1]["mediaType"].as_str(),
            Some(PROVENANCE),
        )?;
        let reference = self.cx.reference(&format!("charts/web@{digest}"));
        let pull = self.cx.cmd("oras").args([
            "pull",
            "--plain-http",
            "-o",
            "back",
            "--config",
            "config.back",
        ]);
        pull.arg(reference).run()?;
        for name in ["web-0.1.0.tgz", "web-0.1.0.tgz.prov"] {
            same_file(&self.cx.file(name), &self.cx.file("back").join(name))?;
        }
        Ok(())
    }
}
