//! A CNCF distribution registry, as Debian packages it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lazuli_testkit::http::Client;
use lazuli_testkit::server::{basic, free_port};

pub(crate) const USER: &str = "mover";
pub(crate) const PASSWORD: &str = "of old things";
/// `htpasswd -B`, cost 4.
const HASH: &str = "$2b$04$abcdefghijklmnopqrstuugXUtvzg7vz4LO6X7R6Q.59n2UTFmwja";

/// The registry ends when its standard input does: with this process at the latest.
const KEEPER: &str = r#"docker-registry serve "$0" >"$1" 2>&1 & read -r _; kill $!; wait"#;

pub(crate) struct Distribution {
    folder: tempfile::TempDir,
    process: Child,
    pub(crate) address: SocketAddr,
}

impl Distribution {
    /// Starts one that wants a password; `None`, and says so, without the program.
    pub(crate) fn start() -> Option<Self> {
        if Command::new("docker-registry")
            .arg("--version")
            .output()
            .is_err()
        {
            not_run("docker-registry");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let address = free_port();
        let (users, config) = (
            folder.path().join("users"),
            folder.path().join("config.yml"),
        );
        std::fs::write(&users, format!("{USER}:{HASH}\n")).unwrap();
        let text = format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\n\
             http:\n  addr: {address}\nauth:\n  htpasswd:\n    realm: old\n    path: {}\n",
            folder.path().join("tree").display(),
            users.display(),
        );
        std::fs::write(&config, text).unwrap();
        let process = Command::new("/bin/sh")
            .args(["-c", KEEPER])
            .arg(&config)
            .arg(folder.path().join("log"))
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let registry = Self {
            folder,
            process,
            address,
        };
        let deadline = Instant::now() + Duration::from_mins(1);
        while !registry
            .client()
            .try_send("GET", "/v2/", &[], b"")
            .is_ok_and(|a| a.status == 200)
        {
            let log = std::fs::read_to_string(registry.folder.path().join("log"));
            assert!(Instant::now() < deadline, "{log:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(registry)
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.address).with_authorization(basic(USER, PASSWORD))
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it writes to.
    pub(crate) fn tree(&self) -> PathBuf {
        self.folder.path().join("tree")
    }
}

impl Drop for Distribution {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// Says that a test did not run; under `CI=true` it fails.
pub(crate) fn not_run(program: &str) {
    lazuli_testkit::not_run("imports", &format!("no {program}"));
}

/// The source's credentials for a run of the command.
pub(crate) fn with_password(command: &mut Command) -> &mut Command {
    command
        .env("LAZULI_IMPORT_USER", USER)
        .env("LAZULI_IMPORT_PASSWORD", PASSWORD)
}
