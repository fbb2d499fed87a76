//! What `deploy/` gives to operators: the chart, the compose file, the unit, the alerts. (The container image is a suite of
//! `clients`, because it is pushed and pulled.)
//!
//! `tests/deploy/check.py` looks into what is rendered; here is what runs it, and the tools that come from elsewhere.

mod chart;
mod running;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::exec::{Cmd, which};
use crate::report::Results;
use crate::{packages, python, scratch, test, workspace};

const GROUP: &str = "deploy";
const CHART: &str = "deploy/helm/lazuli";
const TESTS: &str = "tests/deploy";
const UNIT: &str = "deploy/systemd/lazuli.service";
const COMPOSE: &str = "deploy/compose/compose.yaml";
/// What `systemd-analyze security` may find exposed, in tenths; an unconfined service has 96.
const EXPOSURE: &str = "15";
const FETCH_SECONDS: u64 = 600;

/// What the cases share.
struct Kit {
    /// The release binary.
    binary: PathBuf,
    /// A scratch folder.
    dir: PathBuf,
    /// Python with the schemas of Kubernetes.
    python: PathBuf,
}

impl Kit {
    fn check(&self, command: &str) -> Cmd {
        Cmd::new(&self.python)
            .arg(repository(TESTS).join("check.py"))
            .arg(command)
            .dir(&self.dir)
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let file = self.dir.join(name);
        fs::write(&file, text).with_context(|| file.display().to_string())?;
        Ok(file)
    }
}

fn repository(name: &str) -> PathBuf {
    workspace::root().join(name)
}

/// Checks everything with the release binary that is there, or builds it.
pub(crate) fn part(results: &mut Results) {
    let is_built = test::has_release(results);
    let has_binary = results.case(GROUP, "there is a release binary", || {
        ensure!(is_built, "it does not build");
        Ok(())
    });
    if has_binary {
        with(&test::release_binary(), results);
    }
}

/// Checks everything with this binary.
pub(crate) fn with(binary: &Path, results: &mut Results) {
    unit(binary, results);
    match kit(binary) {
        Ok(kit) => {
            chart::run(&kit, results);
            running::run(&kit, results);
            compose(&kit, results);
        }
        Err(error) => results.not_run(
            GROUP,
            "chart, alerts, dashboard, compose file and proxy",
            &format!("{error:#}"),
        ),
    }
}

fn kit(binary: &Path) -> Result<Kit> {
    let dir = scratch::dir(GROUP)?;
    Ok(Kit {
        binary: binary.to_path_buf(),
        python: python::with("tests/deploy/requirements.txt", "deploy-python")?,
        dir,
    })
}

/// A tool: what is on this machine, or what `fetch` brings. Without it the case is not run.
fn tool<T>(results: &mut Results, case: &str, fetch: impl FnOnce() -> Result<T>) -> Option<T> {
    fetch()
        .map_err(|error| results.not_run(GROUP, case, &format!("{error:#}")))
        .ok()
}

/// A program of Debian's package, unpacked beside the system.
fn program(suite: &str, package: &str, paths: &[&str]) -> Result<PathBuf> {
    let root = packages::unpacked(suite, package)?;
    let found = paths.iter().map(|path| root.join(path));
    let mut found = found.filter(|file| fs::metadata(file).is_ok());
    found
        .next()
        .with_context(|| format!("{package} of Debian {suite} holds none of {paths:?}"))
}

fn unit(binary: &Path, results: &mut Results) {
    let name = "systemd's own judgement of the unit";
    let analyze = || match which("systemd-analyze") {
        Some(file) => Ok(file),
        None => packages::install(&["systemd"]).and_then(|()| {
            which("systemd-analyze").context("the package systemd has no systemd-analyze")
        }),
    };
    let Some(analyze) = tool(results, name, analyze) else {
        return;
    };
    results.case(GROUP, name, || {
        // The program is not installed where the unit expects it.
        let text = fs::read_to_string(repository(UNIT))?;
        let here = text.replace("/usr/local/bin/lazuli", &binary.display().to_string());
        let unit = scratch::dir(GROUP)?.join("lazuli.service");
        fs::write(&unit, here)?;
        let judged = Cmd::new(&analyze).arg("verify").arg(&unit).output()?;
        let complaints = judged.all();
        ensure!(
            judged.status.success() && !complaints.contains("lazuli.service:"),
            "{complaints}"
        );
        Cmd::new(&analyze)
            .args(["security", "--offline=true", "--no-pager"])
            .arg(format!("--threshold={EXPOSURE}"))
            .arg(unit)
            .run()?;
        Ok(())
    });
}

fn compose(kit: &Kit, results: &mut Results) {
    let name = "the compose file is valid, its nodes equal and their settings good";
    let paths = [
        "usr/libexec/docker/cli-plugins/docker-compose",
        "usr/bin/docker-compose",
    ];
    let fetch = || program("trixie", "docker-compose", &paths);
    let Some(tool) = tool(results, name, fetch) else {
        return;
    };
    results.case(GROUP, name, || {
        let config = |settings: &str| -> Result<Cmd> {
            Ok(Cmd::new(&tool)
                .arg("--env-file")
                .arg(kit.write("compose.env", settings)?)
                .arg("--file")
                .arg(repository(COMPOSE))
                .args(["config", "--format", "json"]))
        };
        let example = fs::read_to_string(repository("deploy/compose/env.example"))?;
        let refused = config(&example)?.fails()?;
        ensure!(refused.contains("env.example"), "{refused}");
        let key = "0".repeat(64);
        let filled: String = example
            .lines()
            .map(|line| match line.strip_suffix('=') {
                Some("LAZULI_MASTER_KEY") => format!("LAZULI_MASTER_KEY={key}\n"),
                Some(name) => format!("{name}=0123456789\n"),
                None => format!("{line}\n"),
            })
            .collect();
        let json = config(&filled)?.run()?;
        kit.check("compose")
            .arg(kit.write("compose.json", &json)?)
            .arg(&kit.binary)
            .run()?;
        Ok(())
    });
}
