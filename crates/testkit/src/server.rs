//! A real server process on loopback, in a folder of its own.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::http::Client;

/// The password servers started here have.
pub const PASSWORD: &str = "correct-horse-battery-staple-0123456789";

/// A running server. Killed when dropped.
#[derive(Debug)]
pub struct Server {
    binary: PathBuf,
    folder: tempfile::TempDir,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    child: Option<Child>,
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
        let mut server = Self {
            binary: binary.as_ref().to_owned(),
            folder,
            arguments: Vec::new(),
            environment: environment
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
            child: None,
            http: free_port(),
            https: free_port(),
        };
        server.restart();
        server
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
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
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Asks the process to end and waits for it. Returns whether it ended well.
    pub fn stop(&mut self) -> bool {
        let Some(mut child) = self.child.take() else {
            return true;
        };
        let _ = Command::new("kill")
            .arg("-TERM")
            .arg(child.id().to_string())
            .status();
        child.wait().is_ok_and(|status| status.success())
    }

    /// Starts the process again on the same data and ports.
    ///
    /// # Panics
    /// When it is not ready within a minute.
    pub fn restart(&mut self) {
        self.kill();
        let mut command = Command::new(&self.binary);
        command
            .arg("--data-dir")
            .arg(self.data())
            .arg("--http")
            .arg(self.http.to_string())
            .arg("--https")
            .arg(self.https.to_string())
            .args(&self.arguments)
            .env("LAZULI_ADMIN_PASSWORD", PASSWORD)
            .envs(self.environment.iter().map(|(k, v)| (k, v)))
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        match std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
        {
            Ok(log) => command.stderr(log),
            Err(_) => command.stderr(Stdio::null()),
        };
        match command.spawn() {
            Ok(child) => self.child = Some(child),
            Err(error) => panic!("cannot start {}: {error}", self.binary.display()),
        }
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self
            .anonymous()
            .try_send("GET", "/readyz", &[], &[])
            .is_ok_and(|r| r.status == 200)
        {
            let ended = self
                .child
                .as_mut()
                .and_then(|c| c.try_wait().ok().flatten());
            assert!(
                ended.is_none(),
                "the server ended: {ended:?}\n{}",
                self.log()
            );
            assert!(
                Instant::now() < deadline,
                "the server is not ready\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What the process logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A `Basic` authorization.
pub fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", base64(format!("{user}:{password}").as_bytes()))
}

fn base64(bytes: &[u8]) -> String {
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
pub fn free_port() -> SocketAddr {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr()) {
        Ok(address) => address,
        Err(error) => panic!("no free port: {error}"),
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
