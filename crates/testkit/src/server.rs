//! A real server process on loopback, in a folder of its own.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::http::Client;

/// The password servers started here have.
pub const PASSWORD: &str = "correct-horse-battery-staple-0123456789";

/// Kills the process it is given when its standard input ends: when the process that holds the other end is gone. Then removes
/// the folder it is given, if any.
const WATCHER: &str = r#"
read -r _
kill -KILL "$1"
sleep 0.2
[ -z "$2" ] || rm -rf "$2"
"#;

/// A running server. Killed when dropped, and when the process that started it ends, however that ends.
#[derive(Debug)]
pub struct Server {
    binary: PathBuf,
    folder: PathBuf,
    /// Removes the folder at the end.
    temporary: Option<tempfile::TempDir>,
    environment: Vec<(String, String)>,
    child: Option<Child>,
    watcher: Option<Child>,
    http: SocketAddr,
    https: SocketAddr,
}

impl Server {
    /// Starts `binary` on free ports with a fresh data folder. `environment` sets further configuration.
    ///
    /// # Panics
    /// When it is not ready within a minute.
    pub fn start(binary: impl AsRef<Path>, environment: &[(&str, &str)]) -> Self {
        let folder = match tempfile::Builder::new().prefix("lazuli-test-").tempdir() {
            Ok(folder) => folder,
            Err(error) => panic!("no temporary folder: {error}"),
        };
        let mut server = Self::new(binary, folder.path(), environment);
        server.temporary = Some(folder);
        server.restart();
        server
    }

    /// A server, not yet started, that keeps its data in `folder/data` and its log in `folder/log`. They stay when it is
    /// dropped.
    pub fn new(
        binary: impl AsRef<Path>,
        folder: impl AsRef<Path>,
        environment: &[(&str, &str)],
    ) -> Self {
        let mut server = Self {
            binary: binary.as_ref().to_owned(),
            folder: folder.as_ref().to_owned(),
            temporary: None,
            environment: Vec::new(),
            child: None,
            watcher: None,
            http: free_port(),
            https: free_port(),
        };
        server.set_environment(environment);
        server
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Where it listens for plain HTTP.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// Where it listens for HTTPS.
    pub fn https(&self) -> SocketAddr {
        self.https
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// A client without credentials.
    pub fn anonymous(&self) -> Client {
        Client::new(self.http)
    }

    /// A client with the admin's password.
    pub fn admin(&self) -> Client {
        self.anonymous()
            .with_authorization(basic("lazuli", PASSWORD))
    }

    /// Replaces the extra configuration for the next start.
    pub fn set_environment(&mut self, environment: &[(&str, &str)]) {
        self.environment = environment
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
    }

    /// Ends the process at once, as a crash would.
    pub fn kill(&mut self) {
        self.dismiss_watcher();
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Asks the process to end and waits for it. Returns whether it ended well.
    pub fn stop(&mut self) -> bool {
        self.dismiss_watcher();
        let Some(mut child) = self.child.take() else {
            return true;
        };
        let _ = Command::new("kill")
            .arg("-TERM")
            .arg(child.id().to_string())
            .status();
        child.wait().is_ok_and(|status| status.success())
    }

    /// Whether the process runs.
    pub fn is_running(&mut self) -> bool {
        self.child
            .as_mut()
            .is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Starts the process again on the same data and ports.
    ///
    /// # Panics
    /// When it is not ready within a minute.
    pub fn restart(&mut self) {
        if let Err(problem) = self.try_restart("/readyz") {
            panic!("{problem}");
        }
    }

    /// Starts the process again on the same data and ports, and waits until `probe` is answered with 200.
    ///
    /// # Errors
    /// What happened instead within a minute, with the end of the log.
    pub fn try_restart(&mut self, probe: &str) -> Result<(), String> {
        self.launch()?;
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            let answer = self.anonymous().try_send("GET", probe, &[], &[]);
            if answer.as_ref().is_ok_and(|response| response.status == 200) {
                return Ok(());
            }
            if !self.is_running() {
                return Err(format!("the server ended\n{}", self.log_tail()));
            }
            if Instant::now() > deadline {
                let answer = answer.map(|response| response.status);
                return Err(format!(
                    "no 200 from {probe} within a minute: {answer:?}\n{}",
                    self.log_tail()
                ));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Starts the process again on the same data and ports, without waiting for anything.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn launch(&mut self) -> Result<(), String> {
        self.kill();
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("log"));
        let child = self
            .command(&[])
            .arg("--http")
            .arg(self.http.to_string())
            .arg("--https")
            .arg(self.https.to_string())
            .env("LAZULI_ADMIN_PASSWORD", PASSWORD)
            .envs(self.environment.iter().map(|(k, v)| (k, v)))
            .stdout(Stdio::null())
            .stderr(log.map_or_else(|_| Stdio::null(), Stdio::from))
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", self.binary.display()))?;
        self.watcher = Command::new("/bin/sh")
            .args(["-c", WATCHER, "lazuli-watcher", &child.id().to_string()])
            .arg(
                self.temporary
                    .as_ref()
                    .map_or("".as_ref(), |folder| folder.path().as_os_str()),
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok();
        self.child = Some(child);
        Ok(())
    }

    /// A run of the binary on the data folder, such as `fsck`, without the surrounding settings.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("LAZULI_") {
                command.env_remove(name);
            }
        }
        command
            .args(arguments)
            .arg("--data-dir")
            .arg(self.data())
            .stdin(Stdio::null());
        command
    }

    /// Before the process ends: afterwards its identifier may be somebody else's.
    fn dismiss_watcher(&mut self) {
        if let Some(mut watcher) = self.watcher.take() {
            let _ = watcher.kill();
            let _ = watcher.wait();
        }
    }

    /// What the process logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// The last lines that the process logged.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            // The harness shows it for tests that failed.
            println!("the end of the server's log:\n{}", self.log_tail());
        }
    }
}

/// A `Basic` authorization.
pub fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", base64(format!("{user}:{password}").as_bytes()))
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().fold(0_u32, |w, b| w << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let symbol = ALPHABET[(word >> (18 - 6 * i)) as usize & 63] as char;
            out.push(if i <= chunk.len() { symbol } else { '=' });
        }
    }
    out
}

/// An address of loopback that nothing listens on now.
///
/// # Panics
/// When there is none.
pub fn free_port() -> SocketAddr {
    // The system may name a port again that it named a moment ago and nobody took yet.
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let free =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        let address = free.unwrap_or_else(|error| panic!("no free port: {error}"));
        let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
        if given.insert(address.port()) {
            return address;
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn base64_is_that_of_the_standard() {
        for (text, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(super::base64(text.as_bytes()), encoded);
        }
    }
}
