//! The database's file: where it may lie, and a copy of it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::session::error;
use crate::{Error, Result};

/// File systems on which SQLite's locks or shared memory do not work between machines, by their magic number.
const NETWORK: [(u64, &str); 10] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x0102_1997, "9P"),
    (0x5346_414f, "AFS"),
    (0x00c3_6400, "Ceph"),
    (0x0bd0_0bd0, "Lustre"),
    (0x0116_1970, "GFS2"),
    (0x7461_636f, "OCFS2"),
];

/// Makes the file if it is missing, for its owner alone (it holds secrets), and refuses network file systems unless
/// they are allowed.
pub(super) fn prepare(path: &Path, network_file_system: bool) -> Result<()> {
    let folder = folder(path);
    let unsuitable = |e: io::Error| Error::Unsuitable(format!("{}: {e}", path.display()).into());
    let stat = rustix::fs::statfs(folder).map_err(|e| unsuitable(e.into()))?;
    if let Some(name) = network(stat.f_type as u64).filter(|_| !network_file_system) {
        return Err(Error::Unsuitable(
            format!(
                "{} is on {name}, a network file system; put the database on a local disk",
                folder.display()
            )
            .into(),
        ));
    }
    match OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
    {
        Ok(_) => sync_folder(path).map_err(unsuitable),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(unsuitable(e)),
    }
}

/// Lengthens the write-ahead log to `size` with zeros, which SQLite takes for the end of the log. A commit that
/// overwrites is flushed sooner than one that lengthens the file, because the file system has nothing of its own to
/// write. If there is no room, the log stays as it is.
pub(super) fn lengthen_log(database: &Path, size: u64) {
    static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    let Ok(log) = OpenOptions::new().write(true).open(name) else {
        return;
    };
    let Ok(before) = log.metadata().map(|found| found.len()) else {
        return;
    };
    let mut end = before;
    while end < size {
        let piece = (size - end).min(ZEROS.len() as u64);
        if log.write_all_at(&ZEROS[..piece as usize], end).is_err() {
            // Leave the room to others.
            let _ = log.set_len(before);
            return;
        }
        end += piece;
    }
    if end > before {
        let _ = log.sync_all();
    }
}

fn network(magic: u64) -> Option<&'static str> {
    // The kernel gives 32 bits, on some machines with their sign extended.
    NETWORK
        .iter()
        .find(|(known, _)| *known == magic & 0xffff_ffff)
        .map(|(_, name)| *name)
}

/// Writes a consistent copy of the database at `from` to the new file `to`.
pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    let io_error = |e: io::Error| match e.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Error::Full(e.to_string().into())
        }
        _ => Error::Io(format!("{}: {e}", to.display()).into()),
    };
    let mut partial = to.as_os_str().to_owned();
    partial.push(".partial");
    let partial = Path::new(&partial);
    let name = partial
        .to_str()
        .ok_or_else(|| Error::Unsuitable(format!("{}: not UTF-8", to.display()).into()))?;
    if to.symlink_metadata().is_ok() {
        return Err(Error::Io(format!("{}: exists", to.display()).into()));
    }
    // What an interrupted backup left behind.
    match std::fs::remove_file(partial) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(io_error(e)),
        _ => {}
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(partial)
        .map_err(io_error)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let result = Connection::open_with_flags(from, flags)
        .and_then(|conn| conn.execute("VACUUM INTO ?1", [name]))
        .map_err(|e| error(&e))
        .and_then(|_| {
            File::open(partial)
                .and_then(|file| file.sync_all())
                .map_err(io_error)?;
            std::fs::rename(partial, to).map_err(io_error)?;
            sync_folder(to).map_err(io_error)
        });
    if result.is_err() {
        let _ = std::fs::remove_file(partial);
    }
    result
}

fn folder(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder(path))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_known() {
        assert_eq!(network(0x6969), Some("NFS"));
        assert_eq!(network(0xffff_ffff_ff53_4d42), Some("CIFS"));
        assert_eq!(network(0xef53), None, "ext4 is local");
    }

    #[test]
    fn a_missing_folder_is_named() {
        let error = prepare(Path::new("/nonexistent/lazuli.db"), false)
            .unwrap_err()
            .to_string();
        assert!(error.contains("/nonexistent/lazuli.db"), "{error}");
    }
}
