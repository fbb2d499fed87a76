//! The directories blobs are in: made durably when first needed, synced once for all who finish at the same time.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::health::Health;
use crate::disk::Disk;
use crate::{Error, Location, Operation};

pub(super) struct Places {
    root: PathBuf,
    disk: Arc<dyn Disk>,
    health: Arc<Health>,
    known: Mutex<HashMap<Box<str>, Arc<Mutex<Fans>>>>,
    groups: Mutex<HashMap<PathBuf, Arc<Group>>>,
}

/// The directories `00` to `ff` below one `prefix/algorithm` whose entries are durable.
#[derive(Clone, Copy, Default)]
struct Fans([u64; 4]);

impl Fans {
    fn contains(self, fan: u8) -> bool {
        self.0[usize::from(fan / 64)] & 1 << (fan % 64) != 0
    }

    fn insert(&mut self, fan: u8) {
        self.0[usize::from(fan / 64)] |= 1 << (fan % 64);
    }
}

/// `prefix/algorithm` directories remembered; beyond them everything is forgotten and looked up again.
const MAX_KNOWN: usize = 4096;

impl Places {
    pub(super) fn new(root: PathBuf, disk: Arc<dyn Disk>, health: Arc<Health>) -> Self {
        Self {
            root,
            disk,
            health,
            known: Mutex::default(),
            groups: Mutex::default(),
        }
    }

    pub(super) fn path(&self, location: &Location) -> PathBuf {
        self.root.join(location.as_str())
    }

    /// Sees to it that the directory of a location is there, and will be there after a crash.
    pub(super) fn ensure(&self, location: &Location) -> Result<(), Error> {
        let Some((top, fan)) = split(location) else {
            return Err(Error::NotFound);
        };
        let fans = self.fans(top)?;
        if lock(&fans).contains(fan) {
            return Ok(());
        }
        let parent = self.root.join(top);
        self.make(&self.root.join(location.directory()))?;
        self.sync(&parent)?;
        lock(&fans).insert(fan);
        Ok(())
    }

    /// Forgets what is known of a location's directory, after it turned out to be gone.
    pub(super) fn forget(&self, location: &Location) {
        if let Some((top, _)) = split(location) {
            lock(&self.known).remove(top);
        }
    }

    /// Waits until the entry of a location is durable.
    pub(super) fn sync_directory_of(&self, location: &Location) -> Result<(), Error> {
        self.sync(&self.root.join(location.directory()))
    }

    fn fans(&self, top: &str) -> Result<Arc<Mutex<Fans>>, Error> {
        if let Some(fans) = lock(&self.known).get(top) {
            return Ok(fans.clone());
        }
        let fans = Arc::new(Mutex::new(self.look_up(top)?));
        let mut known = lock(&self.known);
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        Ok(known.entry(top.into()).or_insert(fans).clone())
    }

    /// Makes `prefix/algorithm` and sees which directories are in it. A process before this one may have died between
    /// making a directory and syncing it, so every level is synced once, whether it was new or not.
    fn look_up(&self, top: &str) -> Result<Fans, Error> {
        let directory = self.root.join(top);
        if let Some(parent) = directory.parent() {
            self.make(parent)?;
            self.sync(&self.root)?;
            self.make(&directory)?;
            self.sync(parent)?;
        }
        let names = self.disk.list(&directory);
        let names = names.map_err(|source| Error::io(Operation::List, source))?;
        let mut fans = Fans::default();
        let mut is_empty = true;
        for name in names {
            let name = name.map_err(|source| Error::io(Operation::List, source))?;
            if let Some(fan) = name.to_str().and_then(parse_fan) {
                fans.insert(fan);
                is_empty = false;
            }
        }
        if !is_empty {
            self.sync(&directory)?;
        }
        Ok(fans)
    }

    fn make(&self, directory: &Path) -> Result<(), Error> {
        match self.disk.make_directory(directory) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            outcome => self.health.check(Operation::MakeDirectory, outcome),
        }
    }

    /// Syncs a directory, together with everybody who asks for it while a sync is under way.
    fn sync(&self, directory: &Path) -> Result<(), Error> {
        let group = {
            let mut groups = lock(&self.groups);
            groups.entry(directory.to_owned()).or_default().clone()
        };
        let outcome = group.sync(|| {
            let outcome = self.disk.sync_directory(directory);
            self.health
                .check(Operation::SyncDirectory, outcome)
                .map_err(|error| Failure::of(&error))
        });
        let mut groups = lock(&self.groups);
        // This clone and the map's: nobody else is at it, nor can come before the entry is gone.
        if Arc::strong_count(&group) == 2 {
            groups.remove(directory);
        }
        drop(groups);
        outcome.map_err(Failure::into_error)
    }
}

/// One sync for many. Everybody needs a sync that begins after they asked; so those who ask during one share the next.
#[derive(Default)]
struct Group {
    state: Mutex<Rounds>,
    changed: Condvar,
}

#[derive(Default)]
struct Rounds {
    started: u64,
    finished: u64,
    is_running: bool,
    /// The last round that failed, and why.
    failed: Option<(u64, Failure)>,
}

impl Group {
    fn sync(&self, act: impl Fn() -> Result<(), Failure>) -> Result<(), Failure> {
        let mut rounds = lock(&self.state);
        let mine = rounds.started + 1;
        while rounds.finished < mine {
            if rounds.is_running {
                rounds = self
                    .changed
                    .wait(rounds)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            rounds.is_running = true;
            rounds.started += 1;
            drop(rounds);
            let outcome = act();
            rounds = lock(&self.state);
            rounds.is_running = false;
            rounds.finished = rounds.started;
            if let Err(failure) = outcome {
                rounds.failed = Some((rounds.finished, failure));
            }
            self.changed.notify_all();
        }
        // A failure after this round counts as well: it may be about the same entries.
        match rounds.failed {
            Some((round, failure)) if round >= mine => Err(failure),
            _ => Ok(()),
        }
    }
}

/// A failed directory sync, in a form that many can be told.
#[derive(Clone, Copy)]
enum Failure {
    OutOfSpace,
    System(i32),
    Other(io::ErrorKind),
}

impl Failure {
    fn of(error: &Error) -> Self {
        match error {
            Error::OutOfSpace => Self::OutOfSpace,
            Error::Io { source, .. } => source
                .raw_os_error()
                .map_or(Self::Other(source.kind()), Self::System),
            _ => Self::Other(io::ErrorKind::NotFound),
        }
    }

    fn into_error(self) -> Error {
        let source = match self {
            Self::OutOfSpace => return Error::OutOfSpace,
            Self::System(code) => io::Error::from_raw_os_error(code),
            Self::Other(kind) => kind.into(),
        };
        Error::Io {
            op: Operation::SyncDirectory,
            source,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What these locks guard is whole at every point where code under them could panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `prefix/algorithm` and the number of the directory below it.
fn split(location: &Location) -> Option<(&str, u8)> {
    let (top, fan) = location.directory().rsplit_once('/')?;
    Some((top, parse_fan(fan)?))
}

pub(super) fn parse_fan(name: &str) -> Option<u8> {
    let is_hex = name.len() == 2
        && name
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_hex {
        u8::from_str_radix(name, 16).ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::mpsc::sync_channel;
    use std::time::Duration;

    use super::*;

    #[test]
    fn those_who_ask_during_a_sync_share_the_next() {
        let group = Arc::new(Group::default());
        let rounds = Arc::new(AtomicU32::new(0));
        let (entered, first_is_in) = sync_channel(1);
        let (let_go, gate) = sync_channel::<()>(1);
        let first = {
            let (group, rounds) = (group.clone(), rounds.clone());
            let gate = Mutex::new(gate);
            std::thread::spawn(move || {
                group.sync(|| {
                    rounds.fetch_add(1, Ordering::SeqCst);
                    entered.send(()).unwrap();
                    lock(&gate).recv().unwrap();
                    Ok(())
                })
            })
        };
        first_is_in.recv().unwrap();
        let late: Vec<_> = (0..8)
            .map(|_| {
                let (group, rounds) = (group.clone(), rounds.clone());
                std::thread::spawn(move || {
                    group.sync(|| {
                        rounds.fetch_add(1, Ordering::SeqCst);
                        Ok(())
                    })
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(50));
        // None of them may be content with the sync that began before they asked.
        assert!(late.iter().all(|thread| !thread.is_finished()));
        let_go.send(()).unwrap();
        assert!(first.join().unwrap().is_ok());
        assert!(
            late.into_iter()
                .all(|thread| thread.join().unwrap().is_ok())
        );
        assert_eq!(rounds.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn a_failed_sync_fails_all_who_shared_it_and_not_the_next() {
        let group = Group::default();
        assert!(group.sync(|| Err(Failure::System(5))).is_err());
        assert!(group.sync(|| Ok(())).is_ok());
    }
}
