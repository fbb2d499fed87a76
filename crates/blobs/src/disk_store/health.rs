//! Counts the faults of the disk and stops writing when they repeat.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use rustix::io::Errno;

use crate::{Error, Operation};

/// What the disk's answers say about it.
#[derive(Debug)]
pub(super) struct Health {
    faults: AtomicU32,
    limit: u32,
    is_read_only: AtomicBool,
}

impl Health {
    /// Refuses writes from the `limit`th fault on.
    pub(super) fn new(limit: u32) -> Self {
        Self {
            faults: AtomicU32::new(0),
            limit: limit.max(1),
            is_read_only: AtomicBool::new(false),
        }
    }

    pub(super) fn is_writable(&self) -> bool {
        !self.is_read_only.load(Ordering::Acquire)
    }

    pub(super) fn check_writable(&self) -> Result<(), Error> {
        if self.is_writable() {
            Ok(())
        } else {
            Err(Error::ReadOnly)
        }
    }

    /// Turns the outcome of a call that changes the disk into the store's, and keeps count of faults.
    pub(super) fn check<T>(&self, op: Operation, outcome: io::Result<T>) -> Result<T, Error> {
        outcome.map_err(|source| {
            self.note(op, &source);
            Error::io(op, source)
        })
    }

    fn note(&self, op: Operation, error: &io::Error) {
        let turned = match Errno::from_io_error(error) {
            // The file system has given up on its own account.
            Some(Errno::ROFS) => !self.is_read_only.swap(true, Ordering::AcqRel),
            Some(Errno::IO | Errno::NXIO | Errno::NODEV | Errno::UCLEAN) => {
                let faults = self.faults.fetch_add(1, Ordering::AcqRel).saturating_add(1);
                tracing::error!(%op, %error, faults, "the disk failed");
                faults >= self.limit && !self.is_read_only.swap(true, Ordering::AcqRel)
            }
            _ => false,
        };
        if turned {
            tracing::error!(%op, %error, "uploads are refused until the next start: the disk failed repeatedly");
        }
    }
}
