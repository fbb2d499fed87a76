//! Places to move to, and the command.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

pub(crate) use lazuli_testkit::images::{pull, push, try_blob, try_manifest};
use lazuli_testkit::object_stores::rgw::{REGION, Rgw};
use lazuli_testkit::postgres::Database;
use lazuli_testkit::server::Server;

pub(crate) const LAZULI: &str = env!("CARGO_BIN_EXE_lazuli");

/// Where a registry moves to.
pub(crate) struct Place {
    folder: tempfile::TempDir,
    settings: String,
    database: Option<Database>,
}

impl Place {
    /// Another data folder.
    pub(crate) fn folder() -> Self {
        Self::with(String::new(), None)
    }

    /// PostgreSQL and a bucket; `None` on a machine that lacks one.
    pub(crate) fn shared() -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let (database, rgw) = (Database::create()?, Rgw::shared()?);
        let bucket = format!("move{}", NEXT.fetch_add(1, Ordering::Relaxed));
        rgw.create_bucket(&bucket);
        let parts = database.url();
        let part = |name: &str| parts.split(' ').find_map(|p| p.strip_prefix(name)).unwrap();
        let url = format!(
            "postgres://postgres@{}/{}",
            part("host=").replace('/', "%2F"),
            part("dbname=")
        );
        let place = Self::with(String::new(), Some(database));
        let secret = place.folder.path().join("secret");
        std::fs::write(&secret, rgw.secret_key()).unwrap();
        let settings = format!(
            "[database]\nurl = \"{url}\"\n[storage]\nurl = \"s3://{bucket}/registry\"\nendpoint = \"{}\"\n\
             region = \"{REGION}\"\naccess_key = \"{}\"\nsecret_key_file = \"{}\"\nredirect = false\n",
            rgw.endpoint(),
            rgw.access_key(),
            secret.display()
        );
        Some(Self { settings, ..place })
    }

    fn with(settings: String, database: Option<Database>) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            settings,
            database,
        }
    }

    /// The same bucket, with a database in another folder.
    pub(crate) fn with_another_database(&self) -> Self {
        let storage = self.settings.find("[storage]").unwrap();
        Self::with(self.settings[storage..].to_owned(), None)
    }

    /// Runs statements in its database.
    pub(crate) fn psql(&self, sql: &str) {
        self.database.as_ref().unwrap().psql(sql).unwrap();
    }

    /// Its data folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn file(&self) -> PathBuf {
        let path = self.folder.path().join("new.toml");
        let text = format!(
            "data_dir = \"{}\"\n{}",
            self.data().display(),
            self.settings
        );
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The server of the new place, not yet started.
    pub(crate) fn server(&self, environment: &[(&str, &str)]) -> Server {
        let file = self.file();
        let mut all = vec![("LAZULI_CONFIG", file.to_str().unwrap())];
        all.extend(environment);
        Server::new(LAZULI, self.folder.path(), &all)
    }

    /// A command on it.
    pub(crate) fn run(&self, server: &Server, arguments: &[&str]) -> Output {
        let file = self.file();
        let mut command = server.command(arguments);
        done(command.arg("--config").arg(file))
    }
}

/// `lazuli migrate --to` this place, beside the server that is left.
pub(crate) fn migrate(server: &Server, place: &Place, more: &[&str]) -> Command {
    let file = place.file();
    let mut arguments = vec!["migrate", "--with-key", "--to", file.to_str().unwrap()];
    arguments.extend(more);
    server.command(&arguments)
}

pub(crate) fn done(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    println!(
        "{}: {}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Runs it and expects that it fails, and says this.
pub(crate) fn refused(command: &mut Command, says: &str) {
    let output = done(command);
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains(says), "{says}: {errors}");
}

pub(crate) fn succeed(command: &mut Command) -> String {
    let output = done(command);
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// The files of blobs in the data folder of a server.
pub(crate) fn blob_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.join("blobs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                found.push(entry.path());
            }
        }
    }
    found
}
