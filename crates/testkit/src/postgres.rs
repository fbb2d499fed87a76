//! A private PostgreSQL server for the tests of a process.
//!
//! It is started when the first test asks for a database, listens on a Unix socket only, compares text by bytes (C
//! collation), does not flush its disk, and ends with the process, however that ends. Each [`Database`] is new and
//! empty.
//!
//! [`Node`] is a server of a test's own, to be killed, restarted and failed over.

mod node;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

pub use node::{Node, Replication};

use crate::engine;

/// A new, empty database on the process's server.
pub struct Database {
    server: &'static Server,
    name: String,
}

impl Database {
    /// Makes a database. `None`: this machine has no PostgreSQL; a line that begins with `NOT RUN:` says so, and the
    /// test should return.
    ///
    /// # Panics
    /// When the server does not start, and, under `CI=true`, when this machine has no PostgreSQL.
    pub fn create() -> Option<Self> {
        static SERVER: OnceLock<Option<Server>> = OnceLock::new();
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let server = SERVER.get_or_init(|| match binaries() {
            Some(binaries) => match Server::start(&binaries) {
                Ok(server) => Some(server),
                Err(e) => panic!("the private PostgreSQL server does not start: {e:#}"),
            },
            None => None,
        });
        let Some(server) = server else {
            not_run();
            return None;
        };
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        if let Err(e) = server.psql(
            "postgres",
            &format!("CREATE DATABASE {name} TEMPLATE template0"),
        ) {
            panic!("{e:#}");
        }
        Some(Self { server, name })
    }

    /// The address of the database, as libpq and its like read it.
    pub fn url(&self) -> String {
        format!(
            "host={} user=postgres dbname={}",
            self.server.directory.path().display(),
            self.name
        )
    }

    /// Runs statements with `psql`, each in a transaction of its own; the answer is what it prints, unaligned.
    ///
    /// # Errors
    /// When a statement fails.
    pub fn psql(&self, sql: &str) -> anyhow::Result<String> {
        self.server.psql(&self.name, sql)
    }

    /// Breaks all connections to this database.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub fn break_connections(&self) -> anyhow::Result<()> {
        let sql = format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{}'",
            self.name
        );
        self.server.psql("postgres", &sql).map(drop)
    }
}

struct Server {
    directory: tempfile::TempDir,
    binaries: PathBuf,
    /// Holds the pipe whose end stops the server.
    _watcher: Child,
}

/// Starts the server, says so, and stops it when the standard input ends: when the test process is gone.
const WATCHER: &str = r#"
"$1/postgres" -D "$2/data" -k "$2" -c listen_addresses= -c fsync=off -c synchronous_commit=off \
  -c full_page_writes=off -c max_connections=400 -c shared_buffers=64MB -c max_wal_size=256MB \
  -c max_pred_locks_per_transaction=256 -c autovacuum=off -c log_min_messages=fatal >"$2/log" 2>&1 </dev/null &
server=$!
trap 'kill -QUIT $server; wait $server; rm -rf "$2"; exit' TERM INT HUP
echo "$server"
read -r _
kill -QUIT $server
wait $server
rm -rf "$2"
"#;

impl Server {
    fn start(binaries: &Path) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("lazuli-pg-").tempdir()?;
        let path = directory.path();
        let user = server_user()?;
        give(path, user)?;
        initialize(binaries, user, path)?;
        let mut watcher = command_as(user, Path::new("/bin/sh"))
            .args(["-c", WATCHER, "lazuli-postgres"])
            .args([binaries, path])
            .current_dir(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(watcher.stdout.take().context("no output")?).read_line(&mut line)?;
        let server = Self {
            directory,
            binaries: binaries.to_owned(),
            _watcher: watcher,
        };
        for _ in 0..200 {
            if server.psql("postgres", "SELECT 1").is_ok() {
                return Ok(server);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let log = std::fs::read_to_string(server.directory.path().join("log")).unwrap_or_default();
        bail!("process {} does not answer: {log}", line.trim());
    }

    fn psql(&self, database: &str, sql: &str) -> anyhow::Result<String> {
        let host = self.directory.path().display();
        psql(
            &self.binaries,
            &format!("host={host} user=postgres dbname={database}"),
            sql,
        )
    }
}

/// PostgreSQL refuses to run as root.
fn server_user() -> anyhow::Result<Option<&'static str>> {
    let myself = std::fs::metadata("/proc/self")?;
    if std::os::unix::fs::MetadataExt::uid(&myself) != 0 {
        return Ok(None);
    }
    Ok(Some(if has_user("postgres") {
        "postgres"
    } else {
        "nobody"
    }))
}

/// Makes the folder the user's.
fn give(folder: &Path, user: Option<&str>) -> anyhow::Result<()> {
    let Some(user) = user else { return Ok(()) };
    let status = Command::new("chown").arg(user).arg(folder).status();
    let status = status.context("chown")?;
    ensure!(status.success(), "chown to {user} failed");
    Ok(())
}

/// `initdb` in `folder/data`.
fn initialize(binaries: &Path, user: Option<&str>, folder: &Path) -> anyhow::Result<()> {
    let mut initdb = command_as(user, &binaries.join("initdb"));
    initdb
        .args(["--username=postgres", "--auth=trust", "--encoding=UTF8"])
        .args(["--locale=C", "--no-sync", "-D"])
        .arg(folder.join("data"))
        .current_dir(folder);
    let log = folder.join("initdb.log");
    engine::run(&mut initdb, &log, Duration::from_mins(1)).with_context(|| engine::tail(&log))
}

/// Runs statements, each in a transaction of its own.
fn psql(binaries: &Path, url: &str, sql: &str) -> anyhow::Result<String> {
    let mut psql = Command::new(binaries.join("psql"))
        .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"])
        .args(["-v", "ON_ERROR_STOP=1", "-d", url, "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    // When it cannot connect, it ends without reading: what it says then matters more than the broken pipe.
    let written = psql
        .stdin
        .take()
        .context("no input")?
        .write_all(sql.as_bytes());
    let output = psql.wait_with_output()?;
    ensure!(
        output.status.success(),
        "psql: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    written?;
    Ok(String::from_utf8(output.stdout)?)
}

fn not_run() {
    engine::not_run(
        "PostgreSQL",
        "no initdb in PATH or /usr/lib/postgresql/*/bin",
    );
}

fn command_as(user: Option<&str>, program: &Path) -> Command {
    let Some(user) = user else {
        return Command::new(program);
    };
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", user, "--regid"])
        .arg(if user == "nobody" { "nogroup" } else { user });
    command.args(["--clear-groups", "--"]).arg(program);
    command
}

fn has_user(name: &str) -> bool {
    std::fs::read_to_string("/etc/passwd").is_ok_and(|users| {
        users
            .lines()
            .any(|line| line.split(':').next() == Some(name))
    })
}

/// The folder of the newest PostgreSQL on this machine.
fn binaries() -> Option<PathBuf> {
    let mut debian: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            Some((
                entry.file_name().to_str()?.parse().ok()?,
                entry.path().join("bin"),
            ))
        })
        .collect();
    debian.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::split_paths(&path).collect::<Vec<_>>();
    debian
        .into_iter()
        .rev()
        .map(|(_, folder)| folder)
        .chain(path)
        .find(|folder| {
            ["initdb", "postgres", "psql"]
                .iter()
                .all(|name| std::fs::metadata(folder.join(name)).is_ok())
        })
}
