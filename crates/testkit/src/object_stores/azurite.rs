//! A private Azurite, Microsoft's emulator of Azure Blob Storage.
//!
//! What it lacks of the real service, as far as tests meet it: it writes its index to its folder every five seconds and
//! when it is stopped, so that [`kill`](Azurite::kill) loses what was acknowledged in the last seconds; Put Blob From
//! URL and Put Block From URL answer 501; `x-ms-content-crc64` answers 500, `Content-MD5` is checked; signatures,
//! expiry and permissions of shared access signatures are checked; `If-None-Match: *` has one winner of many at once.
//! Container names have at least three letters.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use super::sign::{self, Request};
use crate::engine::{self, Folder, Process};
use crate::http::Response;
use crate::server::free_port;

/// The account.
pub const ACCOUNT: &str = "lazulitest";

const KEY: &[u8; 32] = b"a key for tests on loopback only";
const PROGRAM: &str = "azurite/node_modules/azurite/dist/src/blob/main.js";
const LIMIT: Duration = Duration::from_mins(1);

/// Where the content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// In memory: gone with the process.
    Memory,
    /// In a folder: there again after a restart, but for what a kill loses.
    Folder,
}

/// A running Azurite. Killed when dropped, and when the process that started it ends, however that ends.
#[derive(Debug)]
pub struct Azurite {
    process: Option<Process>,
    program: PathBuf,
    folder: Folder,
    storage: Storage,
    tls: bool,
    address: SocketAddr,
}

impl Azurite {
    /// The instance that the tests of this process share, in memory, each with containers of its own. For tests that do
    /// not kill it. `None`: as [`start`](Self::start).
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Azurite>> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(Storage::Memory)).as_ref()
    }

    /// Starts an instance of its own, with plain HTTP. `None`: this machine has no Azurite; a line that begins with
    /// `NOT RUN:` says so, and the test should return.
    ///
    /// # Panics
    /// When it does not start, and, under `CI=true`, when this machine has no Azurite.
    pub fn start(storage: Storage) -> Option<Self> {
        Self::new(storage, false)
    }

    /// The same with HTTPS, which makes it take bearer tokens too: any JWT, signature unchecked, with `aud`
    /// `https://storage.azure.com`, `iss` `https://sts.windows.net/TENANT/`, `nbf`, `exp`, `iat`, and for a delegation
    /// key `tid` and `oid`. It has a [certificate](Self::certificate) of its own.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub fn start_with_tls(storage: Storage) -> Option<Self> {
        Self::new(storage, true)
    }

    fn new(storage: Storage, tls: bool) -> Option<Self> {
        let program = cache().join(PROGRAM);
        let missing = if std::fs::metadata(&program).is_err() {
            Some(format!("no {}", program.display()))
        } else {
            let mut programs = ["node", "openssl"].into_iter();
            let missing = programs.find(|program| engine::which(program).is_none());
            missing.map(|program| format!("no {program}"))
        };
        if let Some(missing) = missing {
            engine::not_run("Azurite", &missing);
            return None;
        }
        let folder = match Folder::new("lazuli-azurite-") {
            Ok(folder) => folder,
            Err(error) => panic!("no temporary folder: {error:#}"),
        };
        let mut azurite = Self {
            process: None,
            program,
            folder,
            storage,
            tls,
            address: free_port(),
        };
        if tls && let Err(error) = azurite.make_certificate() {
            panic!("no certificate: {error:#}");
        }
        azurite.restart();
        Some(azurite)
    }

    fn make_certificate(&self) -> anyhow::Result<()> {
        let mut openssl = Command::new("openssl");
        openssl
            .args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"])
            .args(["-pkeyopt", "ec_paramgen_curve:P-256"])
            .args(["-subj", "/CN=127.0.0.1"])
            .args(["-addext", "subjectAltName=IP:127.0.0.1"])
            // What a client trusts and what a server shows are not the same to every library.
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .args(["-keyout", "key.pem", "-out", "certificate.pem"])
            .current_dir(self.folder.path());
        engine::run(&mut openssl, &self.log(), LIMIT)
    }

    /// The PEM file of the certificate that clients must trust.
    pub fn certificate(&self) -> PathBuf {
        self.folder.join("certificate.pem")
    }

    /// Ends the process at once, as a crash would (SIGKILL). In a folder, what was acknowledged more than five seconds
    /// ago stays; in memory, nothing.
    pub fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }

    /// Ends the process in order (SIGTERM). In a folder, everything stays.
    pub fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.stop();
        }
    }

    /// Starts it again at the same address, with what its folder holds.
    ///
    /// # Panics
    /// When it is not ready within a minute.
    pub fn restart(&mut self) {
        self.kill();
        if let Err(error) = self.launch() {
            panic!("Azurite does not start: {error:#}");
        }
    }

    fn launch(&mut self) -> anyhow::Result<()> {
        let mut command = Command::new("node");
        command
            .arg(&self.program)
            // Without the one it reports to its makers, without the other it refuses clients newer than itself.
            .args(["--disableTelemetry", "--skipApiVersionCheck"])
            .args(["--blobHost", &self.address.ip().to_string()])
            .args(["--blobPort", &self.address.port().to_string()])
            .env("AZURITE_ACCOUNTS", format!("{ACCOUNT}:{}", self.key()))
            .env_remove("AZURITE_DB")
            .current_dir(self.folder.path());
        match self.storage {
            Storage::Memory => command.arg("--inMemoryPersistence"),
            Storage::Folder => command.arg("--location").arg(self.folder.join("data")),
        };
        if self.tls {
            command.args(["--oauth", "basic", "--cert", "certificate.pem"]);
            command.args(["--key", "key.pem"]);
        }
        let mut process = Process::start(&mut command, &self.log(), "TERM")?;
        engine::await_true(LIMIT, || {
            anyhow::ensure!(process.is_running(), "it ended");
            Ok(engine::listens(self.address))
        })?;
        self.process = Some(process);
        Ok(())
    }

    /// Where it listens. The account is the first part of the path.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The account's URL, without a slash at the end.
    pub fn endpoint(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}/{ACCOUNT}", self.address)
    }

    /// The account's key, in Base64 as Azure gives it.
    #[allow(clippy::unused_self, reason = "belongs to the instance")]
    pub fn key(&self) -> String {
        sign::base64(KEY)
    }

    /// A shared access signature that may do what `permissions` lists (`racwdl`) in one container, for an hour.
    #[allow(clippy::unused_self, reason = "belongs to the instance")]
    pub fn sas(&self, container: &str, permissions: &str) -> String {
        sign::container_sas(ACCOUNT, KEY, container, permissions)
    }

    /// The folder of a [`Storage::Folder`].
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Makes a container. Names have at least three letters.
    ///
    /// # Panics
    /// When it is refused.
    pub fn create_container(&self, name: &str) {
        let response = self.send("PUT", &format!("/{name}?restype=container"), &[], &[]);
        assert_eq!(response.status, 201, "container {name}: {response:?}");
    }

    /// Sends a request signed with the account's key, past the code under test, without TLS. `target` is
    /// `/container/blob?query`; nothing in the query needs percent-encoding.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        self.try_send_at(self.address, method, target, headers, body)
            .unwrap_or_else(|error| panic!("{method} {target}: {error}\n{}", self.log_tail()))
    }

    /// The same by way of another address, such as a [`Proxy`](crate::proxy::Proxy)'s.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn try_send_at(
        &self,
        address: SocketAddr,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Response> {
        let target = &format!("/{ACCOUNT}{target}");
        let request = Request {
            method,
            target,
            headers,
            body,
        };
        let signed = sign::shared_key(&request, ACCOUNT, KEY);
        request.send(address, &signed)
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// The last lines that it logged: its requests.
    pub fn log_tail(&self) -> String {
        engine::tail(&self.log())
    }
}

impl Drop for Azurite {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            // The harness shows it for tests that failed.
            println!("the end of the log of Azurite:\n{}", self.log_tail());
        }
    }
}

/// Where `cargo xtask` keeps what it installs beside the system.
fn cache() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    root.join(target).join("xtask-cache")
}
