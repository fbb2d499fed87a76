//! What helpers that run other people's engines share: processes that end with the test, commands with a deadline, and
//! saying loudly that an engine is missing.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

const POLL: Duration = Duration::from_millis(10);

/// Ends the process `$2` with the signal `$1`, and if that does not help with SIGKILL, when its standard input ends: when
/// the test process is gone, however it went. Ctrl-C reaches the whole foreground group; it must not end this.
const ENDER: &str = r#"
trap '' INT TERM HUP
read -r _
kill -s "$1" "$2"
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  kill -0 "$2" || break
  sleep 0.1
done
kill -s KILL "$2"
"#;

/// Removes the folder `$1` when its standard input ends. Those who write to it end at the same time.
const REMOVER: &str = r#"
trap '' INT TERM HUP
read -r _
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  sleep 0.2
  rm -rf "$1" && break
done
"#;

/// A shell that waits for the end of this process.
fn watcher(script: &str, arguments: &[&OsStr]) -> anyhow::Result<Child> {
    let watcher = Command::new("/bin/sh")
        .args(["-c", script, "lazuli-watcher"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    watcher.context("/bin/sh")
}

fn dismiss(watcher: &mut Child) {
    let _ = watcher.kill();
    let _ = watcher.wait();
}

/// A temporary folder: removed when dropped, and when the test process ends.
#[derive(Debug)]
pub(crate) struct Folder {
    directory: tempfile::TempDir,
    watcher: Child,
}

impl Folder {
    pub(crate) fn new(prefix: &str) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix(prefix).tempdir()?;
        let watcher = watcher(REMOVER, &[directory.path().as_os_str()])?;
        Ok(Self { directory, watcher })
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        dismiss(&mut self.watcher);
    }
}

/// A process of an engine: ended when dropped, and when the test process ends.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    watcher: Option<Child>,
    ending: &'static str,
}

impl Process {
    /// Starts `command`, appending what it prints to `log`. `ending` is the signal that ends it in order.
    pub(crate) fn start(
        command: &mut Command,
        log: &Path,
        ending: &'static str,
    ) -> anyhow::Result<Self> {
        let log = File::options().create(true).append(true).open(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let mut process = Self {
            child,
            watcher: None,
            ending,
        };
        let id = process.child.id().to_string();
        process.watcher = Some(watcher(ENDER, &[ending.as_ref(), id.as_ref()])?);
        Ok(process)
    }

    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.end("KILL");
    }

    /// Ends the process in order, at the latest after ten seconds.
    pub(crate) fn stop(self) {
        drop(self);
    }

    fn end(&mut self, signal: &str) {
        // Before the process ends: afterwards its identifier may be somebody else's.
        if let Some(mut watcher) = self.watcher.take() {
            dismiss(&mut watcher);
        }
        if signal != "KILL" && self.is_running() {
            let id = self.child.id().to_string();
            let _ = Command::new("kill").args(["-s", signal, &id]).status();
            let _ = wait(&mut self.child, Duration::from_secs(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end(self.ending);
    }
}

/// `None`: still running.
fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + limit;
    loop {
        match child.try_wait()? {
            None if Instant::now() < deadline => std::thread::sleep(POLL),
            status => return Ok(status),
        }
    }
}

/// Runs a command to its good end, appending what it prints to `log`. It ends with the test process too.
pub(crate) fn run(command: &mut Command, log: &Path, limit: Duration) -> anyhow::Result<()> {
    let mut process = Process::start(command, log, "KILL")?;
    match wait(&mut process.child, limit)? {
        Some(status) if status.success() => Ok(()),
        Some(status) => bail!("{command:?}: {status}"),
        None => bail!("{command:?} takes longer than {limit:?}"),
    }
}

/// Whether somebody accepts connections there.
pub(crate) fn listens(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
}

/// Waits until the answer is yes.
pub(crate) fn await_true(
    limit: Duration,
    mut question: impl FnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + limit;
    while !question()? {
        if Instant::now() > deadline {
            bail!("not within {limit:?}");
        }
        std::thread::sleep(POLL);
    }
    Ok(())
}

/// Says past the test harness's capture, because it must be seen, what did not run and which program or library is missing.
///
/// # Panics
/// Under `CI=true`.
pub fn not_run(what: &str, why: &str) {
    let _ = writeln!(
        io::stderr().lock(),
        "NOT RUN: {what}: {why}; `cargo xtask test --only packages` installs what tests need"
    );
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "{what}: {why}"
    );
}

/// The first file of this name in the folders of `PATH`, or in those where Debian keeps what only administrators run.
pub(crate) fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|folder| folder.join(program))
        .find(|file| std::fs::metadata(file).is_ok_and(|meta| meta.is_file()))
}

/// The last lines of a log.
pub(crate) fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_has_its_log_and_its_deadline() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let shell = |script: &str| {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", script]);
            command
        };
        let limit = Duration::from_millis(200);
        run(&mut shell("echo first"), &log, Duration::from_secs(30)).unwrap();
        let failure = run(
            &mut shell("echo second >&2; exit 3"),
            &log,
            Duration::from_secs(30),
        );
        assert!(failure.unwrap_err().to_string().contains("exit status: 3"));
        let late = run(&mut shell("exec sleep 30"), &log, limit).unwrap_err();
        assert!(late.to_string().contains("longer"), "{late}");
        assert_eq!(tail(&log), "first\nsecond");
    }

    #[test]
    fn nothing_is_left_at_the_end_of_the_test_process_not_even_what_ignores_its_signal() {
        let mut folder = Folder::new("lazuli-test-").unwrap();
        let log = folder.join("log");
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "trap '' TERM; echo ready; exec sleep 60"]);
        let mut process = Process::start(&mut command, &log, "TERM").unwrap();
        let limit = Duration::from_secs(30);
        await_true(limit, || Ok(tail(&log) == "ready")).unwrap();
        // The end of the pipe is all that a watcher sees of the end of this process.
        drop(process.watcher.as_mut().unwrap().stdin.take());
        await_true(limit, || Ok(!process.is_running())).unwrap();
        assert!(folder.path().try_exists().unwrap());
        drop(folder.watcher.stdin.take());
        await_true(limit, || Ok(!folder.path().try_exists()?)).unwrap();
    }
}
