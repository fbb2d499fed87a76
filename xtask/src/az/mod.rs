//! The real az against the release binary, in each way that az finds it: the steps of `tests/az/steps.py`.

pub(crate) mod table;

use std::ffi::OsString;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use crate::daemon::Daemon;
use crate::exec::Cmd;
use crate::report::Results;
use crate::{python, scratch, test, workspace};

const GROUP: &str = "az";
const DOMAIN: &str = "lazuli.test";
const PASSWORD: &str = "Loopback-passw0rd";
/// How long all steps in one set-up may take.
const SECONDS: u64 = 1800;

/// A way in which az finds the server, and what is tried there.
struct Setup {
    name: &'static str,
    sections: &'static [&'static str],
    /// Whether Azure's libraries are tried there, too.
    libraries: bool,
}

const ALL: &[&str] = &[
    "sign-in",
    "groups",
    "registries",
    "scope maps and tokens",
    "data",
    "directory",
    "roles",
    "principals",
    "conditions",
    "what comes later",
    "clean up",
];

/// Those of the test command. The others have names on port 443, or a password that az sends there.
const SETUPS: &[Setup] = &[
    Setup {
        name: "adfs",
        sections: ALL,
        libraries: true,
    },
    Setup {
        name: "proxy",
        sections: &[
            "sign-in",
            "groups",
            "registries",
            "scope maps and tokens",
            "data",
            "directory",
            "roles",
            "principals",
            "clean up",
        ],
        libraries: false,
    },
];

/// Installs az ahead of time. What fails here is tried again, and reported, later.
pub(crate) fn install() {
    let libraries = || python::with("tests/az/requirements-sdk.txt", "az-sdk");
    if let Err(error) = interpreter().and_then(|_| libraries()) {
        eprintln!("  az: {error:#}");
    }
}

/// Python that has az.
pub(crate) fn interpreter() -> Result<PathBuf> {
    python::with("tests/az/requirements.txt", "az")
}

/// The version of az.
pub(crate) fn version() -> Result<String> {
    let text = workspace::read("tests/az/requirements.txt")?.unwrap_or_default();
    let found = text
        .lines()
        .find_map(|line| line.strip_prefix("azure-cli=="));
    found
        .map(str::to_owned)
        .context("no azure-cli in the requirements")
}

/// The part of the test command.
pub(crate) fn part(results: &mut Results) {
    if !test::has_release(results) {
        results.case(GROUP, "start", || bail!("there is no release binary"));
        return;
    }
    run(&test::release_binary(), &[], results);
}

/// `cargo xtask az [SETUP]... [--binary PATH]`
pub(crate) fn command(args: &[String]) -> Result<bool> {
    let (mut binary, mut names) = (None, Vec::new());
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--binary" => {
                let path = args.next().context("--binary needs a value")?;
                binary = Some(fs::canonicalize(path).with_context(|| path.clone())?);
            }
            name if SETUPS.iter().any(|setup| setup.name == name) => names.push(name.to_owned()),
            other => bail!("no set-up `{other}`; there are: adfs proxy"),
        }
    }
    let mut results = Results::new();
    let binary = match binary {
        Some(binary) => binary,
        None if test::build_release(&mut results) => test::release_binary(),
        None => return Ok(results.summary()),
    };
    run(&binary, &names, &mut results);
    Ok(results.summary())
}

fn run(binary: &Path, names: &[String], results: &mut Results) {
    let python = match interpreter() {
        Ok(python) => python,
        Err(error) => return results.not_run(GROUP, "all", &format!("{error:#}")),
    };
    let mut lines = Vec::new();
    for setup in SETUPS {
        if !names.is_empty() && !names.iter().any(|name| name == setup.name) {
            continue;
        }
        let outcome = steps(binary, &python, setup);
        match outcome {
            Ok(told) => {
                for line in &told {
                    record(setup, line, results);
                }
                lines.extend(told.into_iter().map(|line| (setup.name, line)));
            }
            Err(error) => {
                results.case(GROUP, setup.name, || Err(error));
            }
        }
    }
    if let Err(error) = keep(&lines) {
        eprintln!("  az.json: {error:#}");
    }
}

fn record(setup: &Setup, line: &Value, results: &mut Results) {
    let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
    if let Some(section) = line["stopped"].as_str() {
        results.case(GROUP, &format!("{}: {section}", setup.name), || {
            bail!("what everything else needs failed: the rest was not tried")
        });
        return;
    }
    let name = format!("{}: {}", setup.name, text("template"));
    results.case(GROUP, &name, || {
        ensure!(line["ok"] == true, "{}\n{}", text("command"), text("error"));
        Ok(())
    });
}

/// A server with nothing in it, and all steps of a set-up.
fn steps(binary: &Path, python: &Path, setup: &Setup) -> Result<Vec<Value>> {
    let dir = scratch::dir(&format!("az-{}", setup.name))?;
    let server = Server::start(binary, &dir, setup.name)?;
    let home = dir.join("home");
    fs::create_dir_all(&home)?;
    let mut vars: Vec<(String, OsString)> = server.environment(setup.name)?;
    for (name, value) in [
        ("HOME", home.as_os_str()),
        (
            "PATH",
            std::env::var_os("PATH").unwrap_or_default().as_os_str(),
        ),
        ("LC_ALL", "C.UTF-8".as_ref()),
        ("AZURE_CONFIG_DIR", home.join("azure").as_os_str()),
        ("AZURE_CORE_ONLY_SHOW_ERRORS", "true".as_ref()),
        ("LAZULI_AZ_SCRATCH", dir.as_os_str()),
        ("LAZULI_AZ_ADMIN", format!("admin@{DOMAIN}").as_ref()),
        ("LAZULI_AZ_PASSWORD", PASSWORD.as_ref()),
        ("LAZULI_AZ_DOMAIN", DOMAIN.as_ref()),
        ("LAZULI_AZ_ARM", server.management(setup.name).as_ref()),
    ] {
        vars.retain(|(known, _)| known != name);
        vars.push((name.to_owned(), value.to_owned()));
    }
    let tests = workspace::root().join("tests/az");
    let transcript = workspace::output_dir()?.join(format!("logs/az-{}.log", setup.name));
    let out = Cmd::new(python)
        .arg(tests.join("drive.py"))
        .arg(tests.join("steps.py"))
        .args(setup.sections)
        .only_env(&vars)
        .env("PYTHONPATH", &tests)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .timeout(SECONDS)
        .transcript(&transcript)
        .output()?;
    let mut lines = told(&out.stdout);
    ensure!(!lines.is_empty(), "no step ran: {}", out.all());
    let tried: Vec<&str> = lines
        .iter()
        .filter_map(|line| line["section"].as_str())
        .collect();
    let missing: Vec<&&str> = setup
        .sections
        .iter()
        .filter(|name| !tried.contains(*name))
        .collect();
    if !missing.is_empty() && !lines.iter().any(|line| line["stopped"].is_string()) {
        lines.push(json!({"stopped": format!("{missing:?} {}", out.stderr)}));
    }
    if setup.libraries {
        let python = python::with("tests/az/requirements-sdk.txt", "az-sdk")?;
        let out = Cmd::new(python)
            .arg(tests.join("sdk.py"))
            .only_env(&vars)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .timeout(SECONDS)
            .transcript(&transcript)
            .output()?;
        let checks = told(&out.stdout);
        ensure!(
            !checks.is_empty(),
            "no check of the libraries ran: {}",
            out.all()
        );
        lines.extend(checks);
    }
    server.daemon.stop()?;
    scratch::remove(&dir);
    Ok(lines)
}

fn told(output: &str) -> Vec<Value> {
    let lines = output.lines();
    lines
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

struct Server {
    daemon: Daemon,
    binary: PathBuf,
    args: Vec<OsString>,
    https: u16,
}

impl Server {
    fn start(binary: &Path, dir: &Path, setup: &str) -> Result<Self> {
        let ports: Vec<u16> = free_ports()?;
        let address = |port: u16| OsString::from(format!("127.0.0.1:{port}"));
        let mut args: Vec<OsString> = vec!["--data-dir".into(), dir.join("data").into()];
        args.extend(["--http".into(), address(ports[0])]);
        args.extend(["--https".into(), address(ports[1])]);
        if setup == "proxy" {
            args.extend(["--azure-proxy".into(), address(ports[2])]);
        }
        let log = workspace::output_dir()?.join(format!("logs/az-{setup}-server.log"));
        fs::create_dir_all(log.parent().context("no folder")?)?;
        fs::write(&log, "")?;
        let vars = [("LAZULI_ADMIN_PASSWORD".to_owned(), OsString::from(PASSWORD))];
        let mut daemon = Daemon::start(binary, &args, &vars, &log)?;
        daemon.wait_ready(30, || {
            let asked = Cmd::new(binary).arg("healthcheck").args(&args).run();
            asked.is_ok()
        })?;
        Ok(Self {
            daemon,
            binary: binary.to_path_buf(),
            args,
            https: ports[1],
        })
    }

    /// What `lazuli az-env` tells a shell.
    fn environment(&self, setup: &str) -> Result<Vec<(String, OsString)>> {
        let text = Cmd::new(&self.binary)
            .args(["az-env", "--setup", setup])
            .args(&self.args)
            .run()?;
        let exports = text.lines().filter_map(|line| line.strip_prefix("export "));
        Ok(exports
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.trim_matches('"').into()))
            .collect())
    }

    fn management(&self, setup: &str) -> String {
        match setup {
            "proxy" => format!("https://management.{DOMAIN}"),
            _ => format!("https://localhost:{}", self.https),
        }
    }
}

fn free_ports() -> Result<Vec<u16>> {
    let sockets = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0"));
    let ports = sockets
        .into_iter()
        .map(|socket| Ok(socket?.local_addr()?.port()));
    ports.collect()
}

/// Writes `target/xtask/az.json`, from which the table of the documentation is made.
fn keep(lines: &[(&str, Value)]) -> Result<()> {
    let all: Vec<Value> = lines
        .iter()
        .map(|(setup, line)| {
            let mut line = line.clone();
            line["setup"] = json!(setup);
            line
        })
        .collect();
    let file = workspace::output_dir()?.join("az.json");
    fs::write(&file, serde_json::to_string_pretty(&all)? + "\n")?;
    Ok(())
}
