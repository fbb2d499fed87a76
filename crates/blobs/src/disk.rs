//! The operating system's disk, behind a seam so that its faults can be injected.
//!
//! The seam is as low as it can be, one method for one system call: what the store makes of a failed or lost call is
//! exactly what has to be tested.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Advice, Mode, OFlags, ResolveFlags};

/// A file being uploaded.
pub trait DiskFile: Send + Sync + 'static {
    /// Writes at `offset` what fits in one call; returns how many bytes, which may be fewer than given.
    fn write_at(&self, pieces: &[IoSlice<'_>], offset: u64) -> io::Result<usize>;
    /// Reads at `offset`; 0 at the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Cuts the file.
    fn set_length(&self, length: u64) -> io::Result<()>;
    /// Length in bytes.
    fn length(&self) -> io::Result<u64>;
    /// Has the kernel begin to write the dirty pages of a range to the device, without waiting, and forget the clean
    /// ones. A failure of that writing shows at the next [`DiskFile::sync_data`] of the same open file.
    fn write_back(&self, offset: u64, length: u64) -> io::Result<()>;
    /// Waits until the bytes and the length are durable.
    fn sync_data(&self) -> io::Result<()>;
}

/// What is known of a file without opening it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStat {
    /// Length in bytes.
    pub length: u64,
    /// Time of the last write, in microseconds since 1970.
    pub modified_us: i64,
    /// Whether it is a regular file.
    pub is_file: bool,
    /// The file system it is on.
    pub device: u64,
}

/// The names in a directory, as they are read.
pub type Names = Box<dyn Iterator<Item = io::Result<std::ffi::OsString>> + Send>;

/// A disk. Paths are absolute; symbolic links in the last component are refused by the opening calls.
pub trait Disk: Send + Sync + 'static {
    /// Creates a file for writing, or empties the one there is.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens a file for writing.
    fn open_for_writing(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens a file for reading.
    fn open_for_reading(&self, path: &Path) -> io::Result<File>;
    /// Opens a file for reading if that can be done without waiting for the device; `None` if it cannot.
    fn open_without_waiting(&self, path: &Path) -> Option<io::Result<File>>;
    /// Moves a file, replacing the target.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Waits until the entries of a directory are durable.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
    /// Makes a directory; its parent must be there.
    fn make_directory(&self, path: &Path) -> io::Result<()>;
    /// Removes a file.
    fn unlink(&self, path: &Path) -> io::Result<()>;
    /// Length and times of a file.
    fn stat(&self, path: &Path) -> io::Result<FileStat>;
    /// Bytes of the file system that are free to this process.
    fn free_space(&self, path: &Path) -> io::Result<u64>;
    /// The names in a directory, without `.` and `..`.
    fn list(&self, path: &Path) -> io::Result<Names>;
}

/// The disk of this machine.
#[derive(Debug, Default)]
pub struct RealDisk {
    /// Set once the kernel, or a sandbox, refused `openat2`.
    lacks_openat2: AtomicBool,
}

impl RealDisk {
    /// The disk of this machine.
    pub fn new() -> Self {
        Self::default()
    }
}

/// Readable by the group, for backups; never by others.
const FILE_MODE: u32 = 0o640;
const DIRECTORY_MODE: u32 = 0o750;

fn open_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    // The standard library adds O_CLOEXEC.
    options
        .mode(FILE_MODE)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    options
}

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = open_options();
        options.read(true).write(true).create(true).truncate(true);
        Ok(Arc::new(RealFile(options.open(path)?)))
    }

    fn open_for_writing(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(RealFile(
            open_options().read(true).write(true).open(path)?,
        )))
    }

    fn open_for_reading(&self, path: &Path) -> io::Result<File> {
        open_options().read(true).open(path)
    }

    fn open_without_waiting(&self, path: &Path) -> Option<io::Result<File>> {
        if self.lacks_openat2.load(Ordering::Relaxed) {
            return None;
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // RESOLVE_CACHED: only names the kernel has in memory.
        match rustix::fs::openat2(
            rustix::fs::CWD,
            path,
            flags,
            Mode::empty(),
            ResolveFlags::CACHED,
        ) {
            Ok(descriptor) => Some(Ok(File::from(descriptor))),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => None,
            Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM | rustix::io::Errno::INVAL) => {
                self.lacks_openat2.store(true, Ordering::Relaxed);
                None
            }
            Err(errno) => Some(Err(errno.into())),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .custom_flags(OFlags::DIRECTORY.bits().cast_signed());
        options.open(path)?.sync_all()
    }

    fn make_directory(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new().mode(DIRECTORY_MODE).create(path)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn stat(&self, path: &Path) -> io::Result<FileStat> {
        let metadata = std::fs::symlink_metadata(path)?;
        let microseconds = metadata.mtime_nsec() / 1000;
        Ok(FileStat {
            length: metadata.len(),
            modified_us: metadata
                .mtime()
                .saturating_mul(1_000_000)
                .saturating_add(microseconds),
            is_file: metadata.is_file(),
            device: metadata.dev(),
        })
    }

    fn free_space(&self, path: &Path) -> io::Result<u64> {
        let found = rustix::fs::statvfs(path)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    fn list(&self, path: &Path) -> io::Result<Names> {
        Ok(Box::new(
            std::fs::read_dir(path)?.map(|entry| Ok(entry?.file_name())),
        ))
    }
}

struct RealFile(File);

impl DiskFile for RealFile {
    fn write_at(&self, pieces: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        Ok(rustix::io::pwritev(self.0.as_fd(), pieces, offset)?)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(&self.0, buffer, offset)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn write_back(&self, offset: u64, length: u64) -> io::Result<()> {
        // Linux begins to write the dirty pages before it looks for clean ones to forget.
        let length = std::num::NonZeroU64::new(length);
        Ok(rustix::fs::fadvise(
            self.0.as_fd(),
            offset,
            length,
            Advice::DontNeed,
        )?)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}
