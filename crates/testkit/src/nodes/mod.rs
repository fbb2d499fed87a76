//! What `deploy/compose` starts, made of processes: equal nodes on one PostgreSQL and one S3 store, and nginx before them
//! with the configuration of that folder. Addresses and secrets differ, and the store is Ceph's gateway; all other settings
//! are read from the compose file.

mod killer;
mod nginx;
mod settings;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result, bail, ensure};

use crate::engine::Folder;
use crate::http::Client;
use crate::object_stores::rgw::Rgw;
use crate::postgres::Node;
use crate::server::{PASSWORD, Server, basic, free_port};

pub use killer::{Kill, Killer, Pace};
use nginx::Nginx;
pub use nginx::Traffic;

/// How many nodes the compose file has.
pub const COUNT: usize = 3;
const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const DATABASE: &str = "lazuli";

/// The nodes with all they need. Ended when dropped, and when the process that started them ends, however that ends.
#[derive(Debug)]
pub struct Nodes {
    // In the order in which they end.
    nginx: Nginx,
    servers: Vec<Arc<Mutex<Server>>>,
    settings: Vec<(String, String)>,
    _store: Rgw,
    _database: Node,
    /// Removes the folder, unless it was given.
    _temporary: Option<Folder>,
}

impl Nodes {
    /// Starts everything and waits until all nodes are ready. Data and logs go into `folder`, which stays, or into a
    /// temporary one. `None`: this machine lacks an engine, which was said.
    ///
    /// # Panics
    /// When something does not start, and, under `CI=true`, when an engine is missing.
    pub fn start(binary: &Path, folder: Option<&Path>) -> Option<Self> {
        if !Nginx::is_installed() {
            return None;
        }
        let (database, store) = (Node::start()?, Rgw::start()?);
        match Self::with(database, store, binary, folder) {
            Ok(nodes) => Some(nodes),
            Err(error) => panic!("the nodes do not start: {error:#}"),
        }
    }

    fn with(database: Node, store: Rgw, binary: &Path, folder: Option<&Path>) -> Result<Self> {
        let temporary = match folder {
            Some(_) => None,
            None => Some(Folder::new("lazuli-nodes-")?),
        };
        let folder = match (folder, &temporary) {
            (Some(folder), _) => folder.to_owned(),
            (None, Some(temporary)) => temporary.path().to_owned(),
            (None, None) => bail!("no folder"),
        };
        database.create_database(DATABASE);
        let address = free_port();
        let settings = settings::of_compose_file(&[
            ("LAZULI_MASTER_KEY", KEY.to_owned()),
            ("LAZULI_ADMIN_PASSWORD", PASSWORD.to_owned()),
            ("LAZULI_PUBLIC_URL", format!("http://{address}")),
            ("LAZULI_TRUSTED_PROXIES", "127.0.0.1".to_owned()),
            (
                "LAZULI_DATABASE_URL",
                format!(
                    "postgres://postgres@{}/{DATABASE}?sslmode=disable",
                    database.address()
                ),
            ),
            ("LAZULI_STORAGE_ENDPOINT", store.endpoint()),
            ("LAZULI_STORAGE_ACCESS_KEY", store.access_key().to_owned()),
            ("LAZULI_STORAGE_SECRET_KEY", store.secret_key().to_owned()),
        ])?;
        store.create_bucket(&settings::bucket(&settings)?);
        let servers = start_servers(binary, &folder, &settings)?;
        let addresses: Vec<SocketAddr> = servers.iter().map(|server| lock(server).http()).collect();
        let nginx = Nginx::start(&folder, address, &addresses)?;
        Ok(Self {
            nginx,
            servers,
            settings,
            _store: store,
            _database: database,
            _temporary: temporary,
        })
    }

    /// Where nginx listens for plain HTTP.
    pub fn address(&self) -> SocketAddr {
        self.nginx.address()
    }

    /// A client without credentials, of nginx.
    pub fn anonymous(&self) -> Client {
        Client::new(self.address())
    }

    /// A client with the admin's password, of nginx.
    pub fn admin(&self) -> Client {
        self.anonymous()
            .with_authorization(basic("lazuli", PASSWORD))
    }

    /// Begins to kill nodes, one after the other.
    ///
    /// # Errors
    /// When there is no thread for it.
    pub fn kill_them(&self, seed: u64, pace: Pace) -> Result<Killer> {
        Killer::start(self.servers.clone(), seed, pace)
    }

    /// How requests were spread over the nodes, and what nginx did about those that were cut off.
    ///
    /// # Errors
    /// When nginx's log cannot be read.
    pub fn traffic(&self) -> Result<Traffic> {
        let addresses: Vec<SocketAddr> = self.servers.iter().map(|s| lock(s).http()).collect();
        self.nginx.traffic(&addresses)
    }

    /// Ends the nodes in order, looks into their logs, and lets `lazuli fsck --verify` look at everything. What it says.
    ///
    /// # Errors
    /// What is not as it should be.
    pub fn finish(&mut self) -> Result<String> {
        for (number, server) in self.servers.iter().enumerate() {
            let mut server = lock(server);
            ensure!(
                server.stop(),
                "node {} did not end in order\n{}",
                number + 1,
                server.log_tail()
            );
            let log = server.log();
            let errors: Vec<&str> = log
                .lines()
                .filter(|line| line.contains(" ERROR "))
                .take(20)
                .collect();
            ensure!(
                errors.is_empty(),
                "node {} logged:\n{}",
                number + 1,
                errors.join("\n")
            );
        }
        let server = lock(&self.servers[0]);
        let output = server
            .command(&["fsck", "--verify"])
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .output()
            .context("lazuli fsck")?;
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        ensure!(output.status.success(), "{}\n{said}", output.status);
        Ok(said)
    }
}

/// Starts them all at once, on an empty database.
fn start_servers(
    binary: &Path,
    folder: &Path,
    settings: &[(String, String)],
) -> Result<Vec<Arc<Mutex<Server>>>> {
    let environment: Vec<_> = settings
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let starting = |number: usize| -> Result<Server> {
        let folder: PathBuf = folder.join(format!("node{}", number + 1));
        std::fs::create_dir_all(&folder)?;
        let mut server = Server::new(binary, folder, &environment);
        server
            .try_restart("/readyz")
            .map_err(|problem| anyhow::anyhow!("node {}: {problem}", number + 1))?;
        Ok(server)
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..COUNT)
            .map(|number| scope.spawn(move || starting(number)))
            .collect();
        threads
            .into_iter()
            .map(|thread| match thread.join() {
                Ok(server) => server.map(|server| Arc::new(Mutex::new(server))),
                Err(_) => bail!("a start panicked"),
            })
            .collect()
    })
}

fn lock(server: &Mutex<Server>) -> MutexGuard<'_, Server> {
    server.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A file of `deploy/compose`.
fn deployed(name: &str) -> Result<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../deploy/compose")
        .join(name);
    std::fs::read_to_string(&file).with_context(|| file.display().to_string())
}
