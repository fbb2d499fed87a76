//! Three nodes behind nginx, as `deploy/compose` starts them, with nodes killed meanwhile. The program `nodes` of
//! lazuli-testkit runs them as processes; or Docker Compose runs the file itself.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::compose;
use super::repeats::Repeats;
use super::server::Access;
use crate::exec::{bound_to_us, wait};
use crate::report::Results;
use crate::{scratch, workspace};

const GROUP: &str = "nodes";
/// The exit code of the program when this machine lacks an engine.
const NOT_RUN: i32 = 3;
const BUILD_SECONDS: u64 = 900;
/// Reading every byte of the bucket takes its time.
const FINISH: Duration = Duration::from_mins(10);

/// What cannot go through nodes, and why.
pub(super) const LEFT_OUT: &[(&str, &str)] = &[
    ("az-tutorial", "it starts a server of its own"),
    (
        "https",
        "it is about the certificate authority that a server makes for itself; the nodes of the compose file speak plain HTTP \
     to nginx, and certificates are nginx's",
    ),
];

/// When nodes die.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deaths {
    /// Which node, and how long after the one before.
    pub(crate) seed: u64,
    /// About so many seconds after the one before.
    pub(crate) every: f64,
    /// Docker Compose runs the nodes and all that belongs to them.
    pub(crate) in_containers: bool,
}

impl Default for Deaths {
    /// A new seed, and a pace at which most suites meet several.
    fn default() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            seed: since.map_or(0, |since| since.as_secs()) ^ u64::from(std::process::id()),
            every: 4.0,
            in_containers: false,
        }
    }
}

/// Running nodes.
pub(super) struct Nodes {
    child: Child,
    input: ChildStdin,
    lines: BufReader<ChildStdout>,
    folder: PathBuf,
    repeats: Arc<Repeats>,
    deaths: Deaths,
}

impl Nodes {
    /// Starts them, and says how to reach nginx. `None`: an engine is missing, which was said.
    pub(super) fn start(binary: &Path, deaths: Deaths) -> Result<Option<(Self, Access)>> {
        let folder = scratch::dir("nodes")?;
        let (mut command, more) = if deaths.in_containers {
            match compose::program(&folder) {
                Ok(program) => program,
                Err(error) => {
                    println!("  NOT RUN: {error:#}");
                    return Ok(None);
                }
            }
        } else {
            (processes()?, Vec::new())
        };
        let args: [OsString; 8] = [
            "--binary".into(),
            binary.into(),
            "--folder".into(),
            folder.clone().into(),
            "--seed".into(),
            deaths.seed.to_string().into(),
            "--kill-every".into(),
            deaths.every.to_string().into(),
        ];
        let mut child = command
            .args(args)
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the nodes")?;
        let input = child.stdin.take().context("no pipe")?;
        let mut lines = BufReader::new(child.stdout.take().context("no pipe")?);
        let mut line = String::new();
        lines.read_line(&mut line)?;
        if line.is_empty() && child.wait()?.code() == Some(NOT_RUN) {
            return Ok(None);
        }
        let (host, password) = line
            .trim()
            .strip_prefix("ready ")
            .and_then(|rest| rest.split_once(' '))
            .context("the nodes did not start; why is above")?;
        let repeats = Arc::new(Repeats::new(folder.join("kills")));
        let access = Access {
            host: host.to_owned(),
            https_host: String::new(),
            password: password.to_owned(),
            ca: PathBuf::new(),
            repeats: Some(Arc::clone(&repeats)),
        };
        let nodes = Self {
            child,
            input,
            lines,
            folder,
            repeats,
            deaths,
        };
        Ok(Some((nodes, access)))
    }

    /// Ends them, looks at what they leave, and says what happened.
    pub(super) fn finish(mut self, results: &mut Results) -> Value {
        let mut report = Value::Null;
        results.case(GROUP, "all come back after the last kill", || {
            writeln!(self.input, "finish")?;
            let mut line = String::new();
            self.lines.read_line(&mut line)?;
            report = serde_json::from_str(&line).context("no report; why is above")?;
            let status = wait(&mut self.child, FINISH)?.context("they do not end")?;
            ensure!(status.success(), "{status}");
            Ok(())
        });
        self.keep_logs();
        let number = |name: &str| report[name].as_u64().unwrap_or(0);
        let repeats = self.repeats.done();
        println!(
            "  seed {}: {} kills; requests to the nodes {}; commands run again {}",
            self.deaths.seed,
            number("kills"),
            report["requests"],
            repeats.len(),
        );
        if let Some(refused) = report["refused"].as_array() {
            println!(
                "  pushes beside them: {} acknowledged, {} ended with an error",
                number("acknowledged"),
                refused.len()
            );
        }
        if let Some(refused) = report["bad_gateway"].as_array() {
            println!(
                "  requests passed on to another node {}, answered 502 {}",
                number("passed_on"),
                refused.len()
            );
        }
        results.case(GROUP, "every node was killed and served", || {
            ensure!(number("kills") > 0, "no node was killed");
            let requests = report["requests"].as_array().context("no count")?;
            let has_all = requests.iter().all(|count| count.as_u64() > Some(0));
            ensure!(has_all, "requests: {requests:?}");
            Ok(())
        });
        let name = "end cleanly, logged no error, fsck --verify finds nothing wrong afterwards";
        results.case(GROUP, name, || {
            let problem = report["problem"].as_str();
            ensure!(problem.is_none(), "{}", problem.unwrap_or_default());
            let fsck = report["fsck"].as_str().context("no fsck")?;
            println!("  {}", fsck.trim().replace('\n', "\n  "));
            Ok(())
        });
        json!({"seed": self.deaths.seed, "every": self.deaths.every, "what": report, "again": repeats})
    }

    /// In the folder of the other logs.
    fn keep_logs(&self) {
        let Ok(to) = workspace::output_dir().map(|folder| folder.join("logs/nodes")) else {
            return;
        };
        let _ = fs::create_dir_all(&to);
        for (from, name) in [
            ("node1/log", "node1.log"),
            ("node2/log", "node2.log"),
            ("node3/log", "node3.log"),
            ("nginx/error.log", "nginx.log"),
            ("nginx/traffic.log", "traffic.log"),
            ("kills", "kills.log"),
        ] {
            // What is missing tells something, too.
            let _ = fs::copy(self.folder.join(from), to.join(name));
        }
    }
}

/// The program that runs them as processes.
fn processes() -> Result<Command> {
    workspace::cargo()
        .args(["build", "--package", "lazuli-testkit", "--bin", "nodes"])
        .arg("--locked")
        .timeout(BUILD_SECONDS)
        .run()?;
    let program = workspace::target_dir().join("debug/nodes");
    Ok(bound_to_us(program.as_os_str()))
}

impl Drop for Nodes {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // Its engines end with it.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
