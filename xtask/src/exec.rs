//! Runs other programs: every one with a time limit, none left behind.
//!
//! Children are started through `setpriv --pdeathsig`, so that they end with this process however it ends, Ctrl-C and
//! SIGKILL included. A command that runs out of time is killed with its whole process group.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};

/// The limit of a command that asked for no other.
pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_mins(3);
const POLL: Duration = Duration::from_millis(10);

/// Whether a command that ended is to be run again: its line, how often it was run, when it began, what it left.
pub(crate) type Again = Box<dyn Fn(&str, usize, SystemTime, &Output) -> bool>;

/// A command to run to its end.
pub(crate) struct Cmd {
    command: Command,
    shown: String,
    stdin: Option<Vec<u8>>,
    timeout: Duration,
    transcript: Option<PathBuf>,
    again: Option<Again>,
}

/// What a finished command left.
pub(crate) struct Output {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Cmd {
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            command: bound_to_us(program.as_ref()),
            shown: program.as_ref().to_string_lossy().into_owned(),
            stdin: None,
            timeout: DEFAULT_TIMEOUT,
            transcript: None,
            again: None,
        }
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.shown.push(' ');
        self.shown.push_str(&arg.as_ref().to_string_lossy());
        self.command.arg(arg);
        self
    }

    pub(crate) fn args<S: AsRef<OsStr>>(self, args: impl IntoIterator<Item = S>) -> Self {
        args.into_iter().fold(self, Self::arg)
    }

    pub(crate) fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// Starts from an environment that holds only these variables.
    pub(crate) fn only_env(mut self, vars: &[(String, OsString)]) -> Self {
        self.command
            .env_clear()
            .envs(vars.iter().map(|(key, value)| (key, value)));
        self
    }

    pub(crate) fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.command.current_dir(dir);
        self
    }

    pub(crate) fn stdin(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(input.into());
        self
    }

    pub(crate) fn timeout(mut self, seconds: u64) -> Self {
        self.timeout = Duration::from_secs(seconds);
        self
    }

    /// Appends the command line and all it printed to this file.
    pub(crate) fn transcript(mut self, file: &Path) -> Self {
        self.transcript = Some(file.to_path_buf());
        self
    }

    /// Runs the command again as long as this says so.
    pub(crate) fn again(mut self, again: Again) -> Self {
        self.again = Some(again);
        self
    }

    /// Runs the command, whatever its exit status.
    pub(crate) fn output(mut self) -> Result<Output> {
        let mut tries = 0;
        loop {
            tries += 1;
            let begun = SystemTime::now();
            let out = self.once()?;
            match &self.again {
                Some(again) if again(&self.shown, tries, begun, &out) => {}
                _ => return Ok(out),
            }
        }
    }

    fn once(&mut self) -> Result<Output> {
        let spool = Spool::new()?;
        self.command
            .stdout(File::create(&spool.stdout)?)
            .stderr(File::create(&spool.stderr)?);
        self.command.stdin(match &self.stdin {
            Some(input) => {
                fs::write(&spool.stdin, input)?;
                Stdio::from(File::open(&spool.stdin)?)
            }
            None => Stdio::null(),
        });
        let mut child = self
            .command
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start `{}`", self.shown))?;
        let status = wait(&mut child, self.timeout);
        let output = |status| -> Result<Output> {
            Ok(Output {
                status,
                stdout: read_lossy(&spool.stdout)?,
                stderr: read_lossy(&spool.stderr)?,
            })
        };
        let Some(status) = status? else {
            kill_group(&child);
            let out = output(child.wait()?)?;
            self.log(&out, "timed out");
            bail!(
                "`{}` took longer than {} s\n{}",
                self.shown,
                self.timeout.as_secs(),
                out.tail()
            );
        };
        let out = output(status)?;
        self.log(&out, &status.to_string());
        Ok(out)
    }

    /// Runs the command, which must succeed; returns what it wrote to standard output.
    pub(crate) fn run(self) -> Result<String> {
        let shown = self.shown.clone();
        let out = self.output()?;
        if !out.status.success() {
            bail!("`{shown}`: {}\n{}", out.status, out.tail());
        }
        Ok(out.stdout)
    }

    /// Runs the command, which must fail; returns all that it printed.
    pub(crate) fn fails(self) -> Result<String> {
        let shown = self.shown.clone();
        let out = self.output()?;
        if out.status.success() {
            bail!(
                "`{shown}` succeeded and should have been refused\n{}",
                out.tail()
            );
        }
        Ok(out.all())
    }

    /// Runs the command with its output on ours as it comes; returns its standard output too.
    pub(crate) fn tee(mut self) -> Result<Output> {
        let mut child = self
            .command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start `{}`", self.shown))?;
        let pipe = child.stdout.take().context("no pipe")?;
        let copier = std::thread::spawn(move || copy_lines(pipe));
        let Some(status) = wait(&mut child, self.timeout)? else {
            kill_group(&child);
            child.wait()?;
            bail!(
                "`{}` took longer than {} s",
                self.shown,
                self.timeout.as_secs()
            );
        };
        let stdout = copier.join().unwrap_or_default();
        Ok(Output {
            status,
            stdout,
            stderr: String::new(),
        })
    }

    fn log(&self, out: &Output, end: &str) {
        let Some(file) = &self.transcript else { return };
        if let Ok(mut file) = File::options().create(true).append(true).open(file) {
            // A transcript that cannot be written must not fail the test it describes.
            let _ = writeln!(file, "$ {}\n{}[{end}]\n", self.shown, out.all());
        }
    }
}

impl Output {
    /// Standard output, then standard error.
    pub(crate) fn all(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    fn tail(&self) -> String {
        let all = self.all();
        let lines: Vec<&str> = all.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

/// Sends a signal to a process, or with a leading `-` to a group. A process that is gone already is fine.
pub(crate) fn signal(name: &str, target: &str) {
    let _ = Command::new("sh")
        .args(["-c", "kill -s \"$0\" -- \"$1\" 2>/dev/null", name, target])
        .status();
}

/// The first file of this name in the folders of `PATH`.
pub(crate) fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|file| fs::metadata(file).is_ok_and(|m| m.is_file()))
}

pub(crate) fn bound_to_us(program: &OsStr) -> Command {
    static SETPRIV: LazyLock<Option<PathBuf>> = LazyLock::new(|| which("setpriv"));
    match SETPRIV.as_ref() {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "TERM", "--"]).arg(program);
            command
        }
        None => Command::new(program),
    }
}

pub(crate) fn wait(child: &mut Child, timeout: Duration) -> Result<Option<ExitStatus>> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if start.elapsed() > timeout {
            return Ok(None);
        }
        std::thread::sleep(POLL);
    }
}

pub(crate) fn kill_group(child: &Child) {
    signal("KILL", &format!("-{}", child.id()));
}

fn copy_lines(pipe: impl std::io::Read) -> String {
    let mut all = String::new();
    let mut reader = BufReader::new(pipe);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
        let text = String::from_utf8_lossy(&line);
        print!("{text}");
        all.push_str(&text);
        line.clear();
    }
    all
}

pub(crate) fn read_lossy(file: &Path) -> Result<String> {
    Ok(String::from_utf8_lossy(&fs::read(file)?).into_owned())
}

/// Files for one command's input and output. Files, not pipes: a grandchild that keeps one open cannot hang us.
struct Spool {
    stdin: PathBuf,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Spool {
    fn new() -> Result<Self> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let base = crate::scratch::root()?.join(format!("cmd{number}"));
        let file = |suffix: &str| base.with_extension(suffix);
        Ok(Self {
            stdin: file("in"),
            stdout: file("out"),
            stderr: file("err"),
        })
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        for file in [&self.stdin, &self.stdout, &self.stderr] {
            let _ = fs::remove_file(file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_hangs_is_killed_with_its_children() {
        let start = Instant::now();
        let error = Cmd::new("sh")
            .args(["-c", "echo before; sleep 60 & sleep 60"])
            .timeout(1)
            .run()
            .unwrap_err();
        assert!(start.elapsed() < Duration::from_secs(20));
        assert!(
            error.to_string().contains("took longer than 1 s"),
            "{error}"
        );
        assert!(error.to_string().contains("before"), "{error}");
    }

    #[test]
    fn a_command_is_run_again_with_the_same_input() {
        let count = || Cmd::new("cat").stdin("x").output().unwrap();
        assert_eq!(count().stdout, "x");
        let out = Cmd::new("sh")
            .args(["-c", "cat; exit 3"])
            .stdin("x")
            .again(Box::new(|_, tries, _, out| tries < 3 && out.stdout == "x"))
            .output()
            .unwrap();
        assert_eq!((out.stdout.as_str(), out.status.code()), ("x", Some(3)));
    }

    #[test]
    fn a_failure_says_what_was_printed() {
        let error = Cmd::new("sh")
            .args(["-c", "echo why >&2; exit 3"])
            .run()
            .unwrap_err();
        assert!(error.to_string().contains("why"), "{error}");
        assert!(Cmd::new("true").fails().is_err());
    }
}
