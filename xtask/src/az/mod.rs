//! The real az against the release binary, in each way that az finds it: the steps of `tests/az/steps.py`.

mod loopback;
mod server;
pub(crate) mod table;

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use server::Server;

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
    /// Whether the test command tries it; the others are tried by hand.
    in_tests: bool,
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

const SETUPS: &[Setup] = &[
    Setup {
        name: "adfs",
        sections: ALL,
        libraries: true,
        in_tests: true,
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
        in_tests: true,
    },
    // A user's password goes to port 443: here a program signs in.
    Setup {
        name: "entra",
        sections: &[
            "a program signs in",
            "groups",
            "registries",
            "scope maps and tokens",
            "data",
            "clean up as a program",
            "cloud",
        ],
        libraries: false,
        in_tests: false,
    },
    // On port 443, with a hosts file that only az sees.
    Setup {
        name: "names",
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
        in_tests: false,
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
            other => bail!("no set-up `{other}`; there are: adfs proxy entra names"),
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
        let is_wanted = match names {
            [] => setup.in_tests,
            names => names.iter().any(|name| name == setup.name),
        };
        if !is_wanted {
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
    let program = server.program()?;
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
        ("LAZULI_AZ_PROGRAM", program.0.as_ref()),
        ("LAZULI_AZ_SECRET", program.1.as_ref()),
        ("LAZULI_AZ_TENANT", program.2.as_ref()),
    ] {
        vars.retain(|(known, _)| known != name);
        vars.push((name.to_owned(), value.to_owned()));
    }
    let tests = workspace::root().join("tests/az");
    let transcript = workspace::output_dir()?.join(format!("logs/az-{}.log", setup.name));
    // az finds the names in a hosts file that stands in place of the machine's for it alone.
    let az = match setup.name {
        "names" => {
            fs::write(dir.join("hosts"), server::hosts()).context("hosts")?;
            let mount = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
            Cmd::new("unshare")
                .args(["--mount", "sh", "-c", mount])
                .arg(dir.join("hosts"))
                .arg(python)
        }
        _ => Cmd::new(python),
    };
    let out = az
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
    if setup.in_tests {
        let value = |name: &str| {
            let found = vars.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.clone())
        };
        let target = loopback::Target {
            management: server.management(setup.name),
            authority: if setup.name == "adfs" {
                "adfs"
            } else {
                "entra"
            }
            .to_owned(),
            bundle: value("REQUESTS_CA_BUNDLE").context("no bundle")?,
            proxy: value("HTTPS_PROXY"),
            admin: format!("admin@{DOMAIN}"),
            program,
        };
        let az = wrapper(&dir, python)?;
        lines.extend(loopback::run(&vars, &az, &target, &transcript)?);
    }
    server.daemon.stop()?;
    scratch::remove(&dir);
    Ok(lines)
}

/// A program `az`, as the package installs one.
pub(crate) fn wrapper(dir: &Path, python: &Path) -> Result<PathBuf> {
    let file = dir.join("az");
    let text = format!(
        "#!/bin/sh\nexec '{}' -m azure.cli \"$@\"\n",
        python.display()
    );
    fs::write(&file, text)?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
    Ok(file)
}

fn told(output: &str) -> Vec<Value> {
    let lines = output.lines();
    lines
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
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
