//! Programs that run beside us until they are dropped.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::exec::{bound_to_us, kill_group, read_lossy, signal, wait};

/// How long a daemon may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(20);

/// A program that runs until dropped: SIGTERM, a wait, then SIGKILL to its process group.
pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts a program with both outputs in `log`. Its environment holds only `vars`.
    pub(crate) fn start<S: AsRef<OsStr>>(
        program: impl AsRef<OsStr>,
        args: impl IntoIterator<Item = S>,
        vars: &[(String, OsString)],
        log: &Path,
    ) -> Result<Self> {
        let file = File::options().create(true).append(true).open(log)?;
        let mut command = bound_to_us(program.as_ref());
        let child = command
            .args(args)
            .env_clear()
            .envs(vars.iter().map(|(key, value)| (key, value)))
            .current_dir(crate::scratch::root()?)
            .stdin(Stdio::null())
            .stderr(file.try_clone()?)
            .stdout(file)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", program.as_ref().display()))?;
        Ok(Self {
            child,
            log: log.to_path_buf(),
        })
    }

    /// Waits until `ready` says yes; fails when the program ends first or time runs out.
    pub(crate) fn wait_ready(
        &mut self,
        seconds: u64,
        mut ready: impl FnMut() -> bool,
    ) -> Result<()> {
        let start = Instant::now();
        while !ready() {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended at once: {status}\n{}", self.log_tail());
            }
            if start.elapsed() > Duration::from_secs(seconds) {
                bail!("it was not ready after {seconds} s\n{}", self.log_tail());
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// Ends the program and says how it ended.
    pub(crate) fn stop(mut self) -> Result<ExitStatus> {
        self.end()
    }

    fn end(&mut self) -> Result<ExitStatus> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(status);
        }
        signal("TERM", &self.child.id().to_string());
        if let Some(status) = wait(&mut self.child, GRACE)? {
            return Ok(status);
        }
        kill_group(&self.child);
        Ok(self.child.wait()?)
    }

    fn log_tail(&self) -> String {
        let text = read_lossy(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("could not end process {}: {error:#}", self.child.id());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_ends_when_dropped() {
        let log = crate::scratch::root().unwrap().join("daemon-test.log");
        let daemon = Daemon::start("sleep", ["60"], &[], &log).unwrap();
        let pid = daemon.child.id();
        drop(daemon);
        assert!(!Path::new(&format!("/proc/{pid}")).try_exists().unwrap());
    }
}
