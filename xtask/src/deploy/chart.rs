//! The Helm chart, rendered without Helm and compared with what Kubernetes takes; its alerts.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::{CHART, FETCH_SECONDS, GROUP, Kit, TESTS, program, repository, tool};
use crate::exec::{Cmd, which};
use crate::packages;
use crate::report::Results;
use crate::workspace;

/// The oldest version that the chart takes, the first with `preStop.sleep`, and a new one.
const KUBERNETES: [&str; 3] = ["1.25.0", "1.30.0", "1.37.0"];
const BUILD_SECONDS: u64 = 600;

pub(super) fn run(kit: &Kit, results: &mut Results) {
    let name = "the chart";
    if let Some(go) = tool(results, name, go) {
        let mut built = None;
        results.case(GROUP, "what renders the chart builds", || {
            built = Some(renderer(&go)?);
            Ok(())
        });
        if let Some(renderer) = built {
            charts(kit, &renderer, results);
        }
    }
    alerts(kit, results);
}

/// Go, and the libraries that Helm renders with.
fn go() -> Result<PathBuf> {
    packages::install(&[
        "golang-github-masterminds-sprig-dev",
        "golang-k8s-sigs-yaml-dev",
    ])?;
    if which("go").is_none() {
        packages::install(&["golang-go"])?;
    }
    which("go").context("no go in PATH")
}

/// The program of `tests/deploy/render`, in `target/xtask-cache`.
fn renderer(go: &Path) -> Result<PathBuf> {
    let cache = workspace::target_dir().join("xtask-cache/go");
    fs::create_dir_all(&cache)?;
    let program = cache.join("render");
    Cmd::new(go)
        .args(["build", "-o"])
        .arg(&program)
        .arg("main.go")
        .dir(repository(TESTS).join("render"))
        .env("GO111MODULE", "off")
        .env("GOFLAGS", "")
        .env("GOPATH", "/usr/share/gocode")
        .env("GOCACHE", cache.join("objects"))
        .timeout(BUILD_SECONDS)
        .run()?;
    Ok(program)
}

fn charts(kit: &Kit, renderer: &Path, results: &mut Results) {
    let render = |kubernetes: &str, values: &Path| {
        Cmd::new(renderer)
            .arg(repository(CHART))
            .arg(kubernetes)
            .arg(values)
    };
    for values in files("values", results) {
        let name = stem(&values);
        results.case(
            GROUP,
            &format!("chart, values `{name}`: valid for Kubernetes, safe, consistent"),
            || {
                for kubernetes in KUBERNETES {
                    let rendered = render(kubernetes, &values).run()?;
                    let file = kit.write(&format!("{name}-{kubernetes}.yaml"), &rendered)?;
                    kit.check("chart")
                        .arg(repository(CHART))
                        .arg(&values)
                        .arg(file)
                        .arg(kubernetes)
                        .arg(&kit.binary)
                        .run()
                        .with_context(|| format!("Kubernetes {kubernetes}"))?;
                }
                Ok(())
            },
        );
    }
    for values in files("refused", results) {
        let name = stem(&values);
        results.case(
            GROUP,
            &format!("chart, values `{name}`: refused, with the reason"),
            || {
                let text = fs::read_to_string(&values)?;
                let reason = text.lines().next().unwrap_or_default();
                let reason = reason.trim_start_matches("# ");
                let printed = render(KUBERNETES[0], &values).fails()?;
                ensure!(printed.contains(reason), "no `{reason}` in: {printed}");
                Ok(())
            },
        );
    }
}

/// The sets of values in a folder of the tests.
fn files(folder: &str, results: &mut Results) -> Vec<PathBuf> {
    let mut found = Vec::new();
    results.case(GROUP, &format!("there are values in {folder}"), || {
        for entry in fs::read_dir(repository(TESTS).join(folder))? {
            found.push(entry?.path());
        }
        ensure!(!found.is_empty(), "none");
        Ok(())
    });
    found.sort();
    found
}

fn stem(file: &Path) -> String {
    file.file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// promtool, of Debian's Prometheus.
pub(super) fn promtool() -> Result<PathBuf> {
    match which("promtool") {
        Some(file) => Ok(file),
        None => program("bookworm", "prometheus", &["usr/bin/promtool"]),
    }
}

fn alerts(kit: &Kit, results: &mut Results) {
    let name = "each alert fires when it should, and only then";
    let Some(promtool) = tool(results, name, promtool) else {
        return;
    };
    results.case(GROUP, name, || {
        // promtool looks for rules beside the file with the tests.
        for file in [
            repository(CHART).join("files/alerts.yaml"),
            repository(TESTS).join("alerts_test.yaml"),
        ] {
            let name = file.file_name().context("no name")?;
            fs::copy(&file, kit.dir.join(name))?;
        }
        let run = |args: &[&str]| {
            let cmd = Cmd::new(&promtool).args(args).dir(&kit.dir);
            cmd.timeout(FETCH_SECONDS).run()
        };
        run(&["check", "rules", "alerts.yaml"])?;
        run(&["test", "rules", "alerts_test.yaml"])?;
        Ok(())
    });
}
