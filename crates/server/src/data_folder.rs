//! The data folder: made at first start, held by one server at a time, and the only place where secrets are written.
//!
//! ```text
//! lazuli.db        metadata (SQLite), unless database.url names a server
//! uploads/         blobs on their way in
//! blobs/           layers and other blobs
//! tls/             the made certificate authority and certificate
//! master.key       32 random bytes that seal the keys in the database; without it they are lost. Not made when a key
//!                  is given by the configuration
//! admin-password   the generated admin password
//! lock             held while a server runs; its content is the server's process id and version
//! ```

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

const MASTER_KEY_LENGTH: usize = 32;

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FolderError {
    #[error(
        "another lazuli server{} uses the data folder {}; stop it, or give this one a folder of its own with --data-dir",
        .process.as_ref().map(|id| format!(" (process {id})")).unwrap_or_default(),
        .folder.display()
    )]
    InUse {
        folder: PathBuf,
        process: Option<String>,
    },
    #[error(
        "the server that uses the data folder (process {process}) is lazuli {version}, this is lazuli {}: \
         restart the server with this version first", env!("CARGO_PKG_VERSION")
    )]
    OtherVersion { process: String, version: String },
    #[error("there is no data folder at {}: start lazuli once, or say where it is with --data-dir", .0.display())]
    Missing(PathBuf),
    #[error(
        "there is no data folder at {}. Nothing needs to be there, but without it the master key of the servers has to be given: \
         LAZULI_MASTER_KEY or master_key_file", .0.display()
    )]
    KeyNotGiven(PathBuf),
    #[error(
        "{} is missing although the folder holds a database: bring the key back from the backup; \
         without it the keys in the database cannot be opened", .0.display()
    )]
    KeyMissing(PathBuf),
    #[error("{} is not a key: it has {length} bytes instead of {MASTER_KEY_LENGTH}", .path.display())]
    KeyMalformed { path: PathBuf, length: usize },
    #[error("no random bytes from the system: {0}")]
    Random(getrandom::Error),
    #[error("{}: {source}", .path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// Names the path that an I/O error is about.
fn at(path: &Path) -> impl FnOnce(io::Error) -> FolderError {
    let path = path.to_owned();
    move |source| FolderError::Io { path, source }
}

/// Where things are in a data folder.
#[derive(Clone, Debug)]
pub(crate) struct DataFolder {
    path: PathBuf,
    /// Whether nothing is kept here: the database, the blobs and the master key are elsewhere.
    is_unused: bool,
}

/// The right to serve from a data folder; given back when dropped, or when the process ends in whatever way.
#[derive(Debug)]
pub(crate) struct Held {
    _lock: Option<File>,
}

impl DataFolder {
    /// The folder of a server that ran before; for commands beside a server.
    pub(crate) fn existing(path: &Path) -> Result<DataFolder, FolderError> {
        let folder = Self::at(path);
        // One without the others: the key is kept elsewhere, or the folder came from a backup.
        for trace in [folder.key_path(), folder.lock_path(), folder.database()] {
            match trace.symlink_metadata() {
                Ok(_) => return Ok(folder),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(at(&trace)(error)),
            }
        }
        Err(FolderError::Missing(super::config::absolute(path)))
    }

    /// For a command beside servers that keep everything elsewhere, on a machine where none of them ran.
    pub(crate) fn unused(path: &Path) -> DataFolder {
        DataFolder {
            is_unused: true,
            ..Self::at(path)
        }
    }

    fn at(path: &Path) -> DataFolder {
        DataFolder {
            path: path.to_owned(),
            is_unused: false,
        }
    }

    /// Whether nothing is kept here, so that nothing may be written here either.
    pub(crate) fn is_unused(&self) -> bool {
        self.is_unused
    }

    /// Makes the folder if it is not there, and takes it for this process.
    pub(crate) fn hold(path: &Path) -> Result<(DataFolder, Held), FolderError> {
        make_private_folder(path)?;
        let folder = Self::at(path);
        let held = folder.lock()?;
        Ok((folder, held))
    }

    /// Takes the folder for this process: refused while another one has it.
    pub(crate) fn lock(&self) -> Result<Held, FolderError> {
        if self.is_unused {
            return Ok(Held { _lock: None });
        }
        let path = self.lock_path();
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(at(&path))?;
        for attempt in 1.. {
            match file.try_lock() {
                Ok(()) => break,
                // A command may be looking at the lock for a moment.
                Err(TryLockError::WouldBlock) if attempt < 5 => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(TryLockError::WouldBlock) => {
                    let process = read_holder(file).map(|(process, _)| process);
                    let folder = super::config::absolute(&self.path);
                    return Err(FolderError::InUse { folder, process });
                }
                Err(TryLockError::Error(source)) => return Err(at(&path)(source)),
            }
        }
        let holder = format!("{} {}\n", std::process::id(), env!("CARGO_PKG_VERSION"));
        file.set_len(0)
            .and_then(|()| file.write_all(holder.as_bytes()))
            .map_err(at(&path))?;
        Ok(Held { _lock: Some(file) })
    }

    /// The process id of the server that uses the folder, if one does. Refused when it is of another version: this
    /// one might change the schema of the database under it.
    pub(crate) fn check_running_server(&self) -> Result<Option<String>, FolderError> {
        let path = self.lock_path();
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(at(&path)(error)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => match read_holder(file) {
                Some((process, version)) if version != env!("CARGO_PKG_VERSION") => {
                    Err(FolderError::OtherVersion { process, version })
                }
                holder => Ok(Some(
                    holder.map_or_else(String::new, |(process, _)| process),
                )),
            },
            Err(TryLockError::Error(source)) => Err(at(&path)(source)),
        }
    }

    fn lock_path(&self) -> PathBuf {
        self.path.join("lock")
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path.join("lazuli.db")
    }

    pub(crate) fn tls(&self) -> PathBuf {
        self.path.join("tls")
    }

    /// The file with the generated password, `password` or `password2`.
    pub(crate) fn password_file(&self, name: &str) -> PathBuf {
        self.path.join(format!("admin-{name}"))
    }

    fn key_path(&self) -> PathBuf {
        self.path.join("master.key")
    }

    /// The key that seals the secrets in the database.
    pub(crate) fn master_key(&self) -> Result<[u8; MASTER_KEY_LENGTH], FolderError> {
        let path = self.key_path();
        let mut bytes = Vec::new();
        File::open(&path)
            .and_then(|file| file.take(1024).read_to_end(&mut bytes))
            .map_err(at(&path))?;
        <[u8; MASTER_KEY_LENGTH]>::try_from(bytes.as_slice()).map_err(|_| {
            FolderError::KeyMalformed {
                path,
                length: bytes.len(),
            }
        })
    }

    /// The key, made if this is the first start. Only for the process that holds the folder.
    pub(crate) fn master_key_or_new(
        &self,
        _held: &Held,
    ) -> Result<[u8; MASTER_KEY_LENGTH], FolderError> {
        let path = self.key_path();
        if path.try_exists().map_err(at(&path))? {
            return self.master_key();
        }
        let database = self.database();
        if database.try_exists().map_err(at(&database))? {
            return Err(FolderError::KeyMissing(path));
        }
        let mut key = [0; MASTER_KEY_LENGTH];
        getrandom::fill(&mut key).map_err(FolderError::Random)?;
        write_private(&path, &key)?;
        Ok(key)
    }

    /// What others on this computer may do with the folder, if they may do something.
    pub(crate) fn permissions_for_others(&self) -> Option<u32> {
        let mode = self.path.metadata().ok()?.permissions().mode() & 0o777;
        (mode & 0o077 != 0).then_some(mode)
    }
}

/// Process id and version of the server that holds the lock.
fn read_holder(lock: File) -> Option<(String, String)> {
    let mut text = String::new();
    lock.take(100).read_to_string(&mut text).ok()?;
    let (process, version) = text.trim().split_once(' ')?;
    Some((process.to_owned(), version.to_owned()))
}

/// Makes a folder that only its owner can enter; one that is there already is left as it is.
pub(crate) fn make_private_folder(path: &Path) -> Result<(), FolderError> {
    if let Some(parent) = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        std::fs::create_dir_all(parent).map_err(at(parent))?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => sync_folder_of(path),
        Err(error)
            if error.kind() == io::ErrorKind::AlreadyExists
                && path.metadata().is_ok_and(|found| found.is_dir()) =>
        {
            Ok(())
        }
        Err(error) => Err(at(path)(error)),
    }
}

/// Writes a file that only its owner can read: whole and durable, or not at all.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> Result<(), FolderError> {
    write_with_mode(path, content, 0o600)
}

/// Writes a file that everyone who can enter the folder can read: whole and durable, or not at all.
pub(crate) fn write_public(path: &Path, content: &[u8]) -> Result<(), FolderError> {
    write_with_mode(path, content, 0o644)
}

fn write_with_mode(path: &Path, content: &[u8], mode: u32) -> Result<(), FolderError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temporary = path.with_file_name(name);
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&temporary)(error)),
        _ => {}
    }
    let written = || -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    written().map_err(at(path))?;
    sync_folder_of(path)
}

/// Makes the names in the folder of `path` durable.
fn sync_folder_of(path: &Path) -> Result<(), FolderError> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(at(folder))
}

#[cfg(test)]
#[path = "data_folder_tests.rs"]
mod tests;
