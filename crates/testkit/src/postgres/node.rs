//! A PostgreSQL server of a test's own.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use super::{binaries, command_as, give, initialize, not_run, psql, server_user};
use crate::engine::{self, Folder, Process};
use crate::server::free_port;

const LIMIT: Duration = Duration::from_mins(1);

/// How a standby follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replication {
    /// A commit is acknowledged once the standby has it too: a fail-over loses nothing. Without the standby, commits
    /// wait.
    Synchronous,
    /// A fail-over loses what the standby had not received.
    Asynchronous,
}

/// A PostgreSQL server on a free port of loopback. It does not flush its disk, but keeps what it acknowledged when its
/// processes are killed. Ended when dropped, and when the process that started it ends, however that ends.
#[derive(Debug)]
pub struct Node {
    process: Option<Process>,
    folder: Folder,
    binaries: PathBuf,
    user: Option<&'static str>,
    address: SocketAddr,
    flushes: bool,
}

impl Node {
    /// Starts a server. `None`: this machine has no PostgreSQL; a line that begins with `NOT RUN:` says so, and the
    /// test should return.
    ///
    /// # Panics
    /// When it does not start, and, under `CI=true`, when this machine has no PostgreSQL.
    pub fn start() -> Option<Self> {
        Self::start_as(false)
    }

    /// The same of a server that flushes its disk, as one that people use does: to measure.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub fn start_that_flushes() -> Option<Self> {
        Self::start_as(true)
    }

    fn start_as(flushes: bool) -> Option<Self> {
        let Some(binaries) = binaries() else {
            not_run();
            return None;
        };
        let started = Self::stopped(binaries).and_then(|mut node| {
            node.flushes = flushes;
            initialize(&node.binaries, node.user, node.folder.path())?;
            node.launch()?;
            Ok(node)
        });
        match started {
            Ok(node) => Some(node),
            Err(error) => panic!("the private PostgreSQL server does not start: {error:#}"),
        }
    }

    /// Makes a standby of this server and waits until it follows. The synchronous one is waited for by every commit
    /// from then on.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    pub fn standby(&self, replication: Replication) -> Self {
        match self.try_standby(replication) {
            Ok(standby) => standby,
            Err(error) => panic!("no standby: {error:#}\n{}", self.log_tail()),
        }
    }

    /// Ends all processes of the server, the postmaster by SIGKILL, as a crash would.
    ///
    /// # Panics
    /// When some still run after a minute.
    pub fn kill(&mut self) {
        let Some(process) = self.process.take() else {
            return;
        };
        process.kill();
        // The others notice that the postmaster is gone; a new one refuses to start before they ended.
        let data = self.data();
        let gone = engine::await_true(LIMIT, || Ok(!is_somebodys_folder(&data)?));
        if let Err(error) = gone {
            panic!("processes of a killed PostgreSQL live on: {error:#}");
        }
    }

    /// Starts the server again, at the same address with the same content.
    ///
    /// # Panics
    /// When it is not ready within a minute.
    pub fn restart(&mut self) {
        self.kill();
        if let Err(error) = self.launch() {
            panic!("PostgreSQL does not start again: {error:#}");
        }
    }

    /// Makes a standby the primary, and waits until it takes writes. The old primary must be dead or cut off: nothing
    /// here keeps it from acknowledging more.
    ///
    /// # Panics
    /// When it is no standby, or does not become the primary within a minute.
    pub fn promote(&self) {
        let promoted = self.psql("postgres", "SELECT pg_promote(true, 60)");
        match promoted {
            Ok(answer) if answer.trim() == "t" => {}
            other => panic!("not promoted: {other:?}\n{}", self.log_tail()),
        }
    }

    /// Whether it is a standby.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn is_standby(&self) -> anyhow::Result<bool> {
        let answer = self.psql("postgres", "SELECT pg_is_in_recovery()")?;
        Ok(answer.trim() == "t")
    }

    /// Makes a new, empty database.
    ///
    /// # Panics
    /// When that fails.
    pub fn create_database(&self, name: &str) {
        let sql = format!("CREATE DATABASE {name} TEMPLATE template0");
        if let Err(error) = self.psql("postgres", &sql) {
            panic!("{error:#}");
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of one of its databases, as libpq and its like read it. `postgres` is there from the start.
    pub fn url(&self, database: &str) -> String {
        Self::url_at(self.address, database)
    }

    /// The same by way of another address, such as a [`Proxy`](crate::proxy::Proxy)'s.
    pub fn url_at(address: SocketAddr, database: &str) -> String {
        format!(
            "host={} port={} user=postgres dbname={database}",
            address.ip(),
            address.port()
        )
    }

    /// Runs statements with `psql`, each in a transaction of its own; the answer is what it prints, unaligned.
    ///
    /// # Errors
    /// When a statement fails.
    pub fn psql(&self, database: &str, sql: &str) -> anyhow::Result<String> {
        self.psql_at(&self.url(database), sql)
    }

    /// The same by way of another [address](Self::url_at).
    ///
    /// # Errors
    /// When a statement fails.
    pub fn psql_at(&self, url: &str, sql: &str) -> anyhow::Result<String> {
        psql(&self.binaries, url, sql)
    }

    /// The last lines that it logged.
    pub fn log_tail(&self) -> String {
        engine::tail(&self.log())
    }

    fn stopped(binaries: PathBuf) -> anyhow::Result<Self> {
        let folder = Folder::new("lazuli-pg-")?;
        let user = server_user()?;
        give(folder.path(), user)?;
        Ok(Self {
            process: None,
            folder,
            binaries,
            user,
            address: free_port(),
            flushes: false,
        })
    }

    fn try_standby(&self, replication: Replication) -> anyhow::Result<Self> {
        let mut standby = Self::stopped(self.binaries.clone())?;
        let mut copy = command_as(self.user, &self.binaries.join("pg_basebackup"));
        copy.args([
            "-X",
            "stream",
            "-c",
            "fast",
            "--no-sync",
            "--write-recovery-conf",
        ])
        .args(["-d", &self.url("postgres"), "-D"])
        .arg(standby.data())
        .current_dir(standby.folder.path());
        engine::run(&mut copy, &self.log(), LIMIT)?;
        // Of the primary's own settings, this one must not be inherited: alone after a fail-over, it would wait for ever.
        fs::File::options()
            .append(true)
            .open(standby.data().join("postgresql.auto.conf"))?
            .write_all(b"\nsynchronous_standby_names = ''\n")?;
        standby.launch()?;
        let followers = |state: &str| {
            let port = standby.address.port();
            let sql = format!(
                "SELECT count(*) FROM pg_stat_replication
                 WHERE state = 'streaming' AND sync_state = '{state}' AND application_name = 'standby{port}'"
            );
            self.psql("postgres", &sql).map(|count| count.trim() != "0")
        };
        engine::await_true(LIMIT, || followers("async"))?;
        if replication == Replication::Synchronous {
            self.psql(
                "postgres",
                "ALTER SYSTEM SET synchronous_standby_names = '*'; SELECT pg_reload_conf();",
            )?;
            engine::await_true(LIMIT, || followers("sync"))?;
        }
        Ok(standby)
    }

    fn launch(&mut self) -> anyhow::Result<()> {
        let port = self.address.port().to_string();
        let mut command = command_as(self.user, &self.binaries.join("postgres"));
        command.arg("-D").arg(self.data());
        for setting in [
            "listen_addresses=127.0.0.1",
            &format!("port={port}"),
            // How a standby calls itself to its primary.
            &format!("cluster_name=standby{port}"),
            "unix_socket_directories=",
            if self.flushes {
                "fsync=on"
            } else {
                "fsync=off"
            },
            "max_connections=100",
            "shared_buffers=32MB",
            "wal_keep_size=256MB",
            "max_wal_size=256MB",
            "wal_retrieve_retry_interval=100ms",
            // Files in the data folder: what a kill leaves there goes with it.
            "dynamic_shared_memory_type=mmap",
        ] {
            command.args(["-c", setting]);
        }
        command.current_dir(self.folder.path());
        let mut process = Process::start(&mut command, &self.log(), "QUIT")?;
        let ready = engine::await_true(LIMIT, || {
            anyhow::ensure!(process.is_running(), "it ended");
            Ok(self.psql("postgres", "SELECT 1").is_ok())
        });
        ready.with_context(|| self.log_tail())?;
        self.process = Some(process);
        Ok(())
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The harness shows it for tests that failed.
            println!("the end of the log of PostgreSQL:\n{}", self.log_tail());
        }
        match self.process.take() {
            Some(process) => process.stop(),
            None => remove_shared_memory(&self.data()),
        }
    }
}

/// Whether a process works in this folder; all of a server's do in its data folder.
fn is_somebodys_folder(folder: &Path) -> anyhow::Result<bool> {
    let processes = fs::read_dir("/proc")?.flatten();
    // A process may end while we look.
    Ok(processes
        .filter_map(|process| fs::read_link(process.path().join("cwd")).ok())
        .any(|place| place == folder))
}

/// A killed postmaster leaves a few bytes of System V shared memory behind; its lock file names them.
fn remove_shared_memory(data: &Path) {
    let lock = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    let segment = lock
        .lines()
        .nth(6)
        .and_then(|line| line.split_whitespace().nth(1));
    if let Some(segment) = segment {
        let _ = Command::new("ipcrm").args(["-m", segment]).status();
    }
}
