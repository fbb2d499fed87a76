//! A disk with faults, for tests: operations that fail on request, short writes, delays, a full disk, and power
//! failures that lose what was not synced.
//!
//! It works on a real directory and keeps a model beside it of what would be left if the power went now. The model is
//! stricter than file systems are: a name is durable only when its directory was synced after it was made, bytes only
//! when their file was, and bytes whose sync failed never will be.

mod model;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::io::Errno;

use self::model::{FileId, Model};
use crate::Operation;
use crate::disk::{Disk, DiskFile, FileStat, Names, RealDisk};

/// What a power failure does to what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// All of it is lost.
    LoseAll,
    /// All of it happens to be on the device; as when only the process dies.
    KeepAll,
    /// Each name and each page is lost or not by a throw of dice that begins with this number.
    Random(u64),
}

/// A disk with faults. Clones are the same disk.
#[derive(Clone)]
pub struct FaultyDisk {
    shared: Arc<Shared>,
}

struct Shared {
    real: RealDisk,
    root: PathBuf,
    state: Mutex<State>,
}

struct State {
    model: Model,
    /// Operations begun, by kind.
    counts: HashMap<Operation, u64>,
    total: u64,
    faults: Vec<Fault>,
    delays: HashMap<Operation, Duration>,
    max_write: usize,
    free_space: Option<u64>,
    cut_at: Option<u64>,
    is_powered: bool,
    /// Files opened before a power failure are of no use after it.
    boot: u64,
}

struct Fault {
    /// `None`: any operation.
    on: Option<Operation>,
    /// Operations that still succeed.
    spare: u64,
    is_lasting: bool,
    errno: Errno,
}

impl FaultyDisk {
    /// A disk that works, over a directory. What is in it counts as durable.
    pub fn new(root: &Path) -> io::Result<Self> {
        let state = State {
            model: Model::scan(root)?,
            counts: HashMap::new(),
            total: 0,
            faults: Vec::new(),
            delays: HashMap::new(),
            max_write: usize::MAX,
            free_space: None,
            cut_at: None,
            is_powered: true,
            boot: 0,
        };
        Ok(Self {
            shared: Arc::new(Shared {
                real: RealDisk::new(),
                root: root.to_owned(),
                state: Mutex::new(state),
            }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }

    /// Lets the `nth` operation of a kind from now on fail, counting from 1.
    pub fn fail_nth(&self, on: Operation, nth: u64, errno: Errno) {
        self.add_fault(Some(on), nth, errno, false);
    }

    /// Lets all operations of a kind fail, from the `nth` on.
    pub fn fail_from(&self, on: Operation, nth: u64, errno: Errno) {
        self.add_fault(Some(on), nth, errno, true);
    }

    /// Lets the `nth` operation of all fail.
    pub fn fail_nth_of_all(&self, nth: u64, errno: Errno) {
        self.add_fault(None, nth, errno, false);
    }

    fn add_fault(&self, on: Option<Operation>, nth: u64, errno: Errno, is_lasting: bool) {
        self.state().faults.push(Fault {
            on,
            spare: nth.saturating_sub(1),
            is_lasting,
            errno,
        });
    }

    /// Lets every write take at most so many bytes.
    pub fn limit_writes(&self, bytes: usize) {
        self.state().max_write = bytes;
    }

    /// Lets every operation of a kind take longer.
    pub fn delay(&self, on: Operation, time: Duration) {
        self.state().delays.insert(on, time);
    }

    /// Says how much space is free, whatever the real disk says.
    pub fn set_free_space(&self, bytes: Option<u64>) {
        self.state().free_space = bytes;
    }

    /// Takes back all that was asked for with the methods above.
    pub fn heal(&self) {
        let mut state = self.state();
        state.faults.clear();
        state.delays.clear();
        state.max_write = usize::MAX;
        state.free_space = None;
        state.cut_at = None;
    }

    /// How many operations of a kind were begun.
    pub fn count(&self, on: Operation) -> u64 {
        self.state().counts.get(&on).copied().unwrap_or(0)
    }

    /// How many operations were begun.
    pub fn total(&self) -> u64 {
        self.state().total
    }

    /// Lets the power go just before the `nth` operation from now on.
    pub fn cut_power_at(&self, nth: u64) {
        let mut state = self.state();
        state.cut_at = Some(state.total + nth);
    }

    /// Whether the power is on.
    pub fn is_powered(&self) -> bool {
        self.state().is_powered
    }

    /// The process dies and another is started: files and stores that were open are of no use any more, and a power
    /// failure that was asked for is off. Nothing is lost by that.
    pub fn kill(&self) {
        let mut state = self.state();
        state.is_powered = true;
        state.cut_at = None;
        state.boot += 1;
    }

    /// A power failure, and the power's return: rewrites the directory as it would be found. Stores that were open on
    /// it are of no use any more.
    pub fn crash(&self, mode: Crash) -> io::Result<()> {
        self.kill();
        let mut state = self.state();
        state.model.crash(&self.shared.root, mode)
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins an operation: counts it, delays it, and says whether it fails.
    fn begin(&self, op: Operation) -> io::Result<MutexGuard<'_, State>> {
        let delay = self.state().delays.get(&op).copied();
        if let Some(delay) = delay {
            std::thread::sleep(delay);
        }
        let mut state = self.state();
        state.total += 1;
        *state.counts.entry(op).or_default() += 1;
        if state.cut_at.is_some_and(|at| state.total >= at) {
            state.is_powered = false;
        }
        if !state.is_powered {
            return Err(Errno::IO.into());
        }
        match state.take_fault(op) {
            Some(errno) => Err(errno.into()),
            None => Ok(state),
        }
    }

    fn relative<'a>(&self, path: &'a Path) -> Option<&'a Path> {
        path.strip_prefix(&self.root).ok()
    }

    fn file(
        self: &Arc<Self>,
        inner: Arc<dyn DiskFile>,
        id: FileId,
        boot: u64,
    ) -> Arc<dyn DiskFile> {
        Arc::new(FaultyFile {
            inner,
            id,
            boot,
            shared: self.clone(),
        })
    }
}

impl State {
    fn take_fault(&mut self, op: Operation) -> Option<Errno> {
        let mut failed = None;
        self.faults.retain_mut(|fault| {
            if fault.on.is_some_and(|on| on != op) {
                return true;
            }
            if fault.spare > 0 {
                fault.spare -= 1;
                return true;
            }
            failed = Some(fault.errno);
            fault.is_lasting
        });
        failed
    }
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.shared.begin(Operation::Create)?;
        let inner = self.shared.real.create(path)?;
        let id = match self.shared.relative(path) {
            Some(name) => state.model.create(name, path)?,
            None => FileId::default(),
        };
        Ok(self.shared.file(inner, id, state.boot))
    }

    fn open_for_writing(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.shared.begin(Operation::Open)?;
        let inner = self.shared.real.open_for_writing(path)?;
        let name = self.shared.relative(path);
        let id = name.and_then(|name| state.model.find(name));
        Ok(self.shared.file(inner, id.unwrap_or_default(), state.boot))
    }

    fn open_for_reading(&self, path: &Path) -> io::Result<File> {
        let _state = self.shared.begin(Operation::Open)?;
        self.shared.real.open_for_reading(path)
    }

    fn open_without_waiting(&self, _path: &Path) -> Option<io::Result<File>> {
        None
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.shared.begin(Operation::Rename)?;
        self.shared.real.rename(from, to)?;
        if let (Some(from), Some(to)) = (self.shared.relative(from), self.shared.relative(to)) {
            state.model.rename(from, to);
        }
        Ok(())
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let mut state = self.shared.begin(Operation::SyncDirectory)?;
        // No need to wait for the real device: only the model's power fails.
        self.shared.real.stat(path)?;
        if let Some(name) = self.shared.relative(path) {
            state.model.sync_directory(name);
        }
        Ok(())
    }

    fn make_directory(&self, path: &Path) -> io::Result<()> {
        let mut state = self.shared.begin(Operation::MakeDirectory)?;
        self.shared.real.make_directory(path)?;
        if let Some(name) = self.shared.relative(path) {
            state.model.make_directory(name);
        }
        Ok(())
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        let mut state = self.shared.begin(Operation::Unlink)?;
        self.shared.real.unlink(path)?;
        if let Some(name) = self.shared.relative(path) {
            state.model.unlink(name);
        }
        Ok(())
    }

    fn stat(&self, path: &Path) -> io::Result<FileStat> {
        let _state = self.shared.begin(Operation::Stat)?;
        self.shared.real.stat(path)
    }

    fn free_space(&self, path: &Path) -> io::Result<u64> {
        let state = self.shared.begin(Operation::FileSystemStat)?;
        match state.free_space {
            Some(bytes) => Ok(bytes),
            None => self.shared.real.free_space(path),
        }
    }

    fn list(&self, path: &Path) -> io::Result<Names> {
        let _state = self.shared.begin(Operation::List)?;
        self.shared.real.list(path)
    }
}

struct FaultyFile {
    inner: Arc<dyn DiskFile>,
    id: FileId,
    boot: u64,
    shared: Arc<Shared>,
}

impl FaultyFile {
    fn begin(&self, op: Operation) -> io::Result<MutexGuard<'_, State>> {
        let state = self.shared.begin(op)?;
        if state.boot == self.boot {
            Ok(state)
        } else {
            Err(Errno::IO.into())
        }
    }
}

impl DiskFile for FaultyFile {
    fn write_at(&self, pieces: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let state = self.begin(Operation::Write)?;
        let max = state.max_write;
        if pieces.iter().map(|piece| piece.len()).sum::<usize>() <= max {
            return self.inner.write_at(pieces, offset);
        }
        let first = pieces.iter().find(|piece| !piece.is_empty());
        let first: &[u8] = first.map_or(&[], |piece| piece);
        let short = &first[..first.len().min(max)];
        self.inner.write_at(&[IoSlice::new(short)], offset)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let _state = self.begin(Operation::Read)?;
        self.inner.read_at(buffer, offset)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        let _state = self.begin(Operation::SetLength)?;
        self.inner.set_length(length)
    }

    fn length(&self) -> io::Result<u64> {
        let _state = self.begin(Operation::Stat)?;
        self.inner.length()
    }

    fn write_back(&self, _offset: u64, _length: u64) -> io::Result<()> {
        self.begin(Operation::WriteBack).map(drop)
    }

    fn sync_data(&self) -> io::Result<()> {
        match self.begin(Operation::SyncData) {
            Ok(mut state) => state.model.sync_data(self.id),
            Err(error) => {
                let mut state = self.shared.state();
                // A call that a dead process could not make loses nothing.
                if state.is_powered && state.boot == self.boot {
                    state.model.lose(self.id);
                }
                Err(error)
            }
        }
    }
}
