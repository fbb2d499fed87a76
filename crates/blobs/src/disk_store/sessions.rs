//! Who works on which upload, and the upload files kept open between requests.
//!
//! A file with bytes that were not synced yet stays open until it is: the kernel reports a failed write-back to the
//! open files of that moment, and one closed in between might never hear of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lazuli_wire::oci::UploadId;
use tokio::sync::Notify;

use crate::Error;
use crate::disk::DiskFile;

pub(super) struct Sessions {
    table: Mutex<Table>,
    released: Notify,
    max_idle: usize,
}

#[derive(Default)]
struct Table {
    sessions: HashMap<UploadId, Session>,
    /// Counts claims, so that each has a number and idle sessions an age.
    claims: u64,
    /// Sessions nobody works on that keep a file open.
    idle: usize,
}

#[derive(Default)]
struct Session {
    /// The claim at work.
    holder: Option<u64>,
    /// The last claim there was.
    last: u64,
    /// The holder's caller has gone: the work ends by itself.
    is_orphan: bool,
    is_aborted: bool,
    is_poisoned: bool,
    file: Option<Arc<dyn DiskFile>>,
}

impl Session {
    fn is_idle_with_file(&self) -> bool {
        self.holder.is_none() && self.file.is_some()
    }
}

impl Sessions {
    pub(super) fn new(max_idle: usize) -> Arc<Self> {
        Arc::new(Self {
            table: Mutex::default(),
            released: Notify::new(),
            max_idle,
        })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Nothing under this lock can panic half-way.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an upload for one piece of work. Waits for work whose caller has gone, and refuses with [`Error::Busy`]
    /// when another caller is at it.
    pub(super) async fn claim(self: &Arc<Self>, upload: UploadId) -> Result<Claim, Error> {
        loop {
            let released = self.released.notified();
            tokio::pin!(released);
            // Registered before looking, so that a release in between is not missed.
            released.as_mut().enable();
            match self.try_claim(upload)? {
                Some(claim) => return Ok(claim),
                None => released.await,
            }
        }
    }

    fn try_claim(self: &Arc<Self>, upload: UploadId) -> Result<Option<Claim>, Error> {
        let mut table = self.table();
        table.claims += 1;
        let number = table.claims;
        let session = table.sessions.entry(upload).or_default();
        if session.holder.is_some() {
            return match session {
                Session {
                    is_aborted: true, ..
                } => Err(Error::NotFound),
                Session {
                    is_orphan: true, ..
                } => Ok(None),
                _ => Err(Error::Busy),
            };
        }
        if session.is_poisoned {
            return Err(Error::Poisoned);
        }
        let was_idle = session.is_idle_with_file();
        session.holder = Some(number);
        session.is_orphan = false;
        table.idle -= usize::from(was_idle);
        drop(table);
        Ok(Some(Claim {
            sessions: self.clone(),
            upload,
            number,
        }))
    }

    /// Ends an upload. Gives the claim under which its file is to be removed; `None` when somebody holds the upload,
    /// who is cut off by this.
    pub(super) fn abort(self: &Arc<Self>, upload: UploadId) -> Option<Claim> {
        let mut table = self.table();
        table.claims += 1;
        let number = table.claims;
        let session = table.sessions.entry(upload).or_default();
        let was_idle = session.is_idle_with_file();
        let is_held = session.holder.is_some();
        session.is_aborted = true;
        session.is_poisoned = false;
        session.file = None;
        session.holder.get_or_insert(number);
        table.idle -= usize::from(was_idle);
        drop(table);
        (!is_held).then(|| Claim {
            sessions: self.clone(),
            upload,
            number,
        })
    }

    /// Whether a failed sync made the upload unusable.
    pub(super) fn is_poisoned(&self, upload: UploadId) -> bool {
        let table = self.table();
        table
            .sessions
            .get(&upload)
            .is_some_and(|session| session.is_poisoned)
    }

    /// An idle session whose file has to be closed, because there are too many.
    pub(super) fn surplus(self: &Arc<Self>) -> Option<Claim> {
        let mut table = self.table();
        if table.idle <= self.max_idle {
            return None;
        }
        let oldest = table
            .sessions
            .iter()
            .filter(|(_, session)| session.is_idle_with_file())
            .min_by_key(|(_, session)| session.last);
        let upload = *oldest?.0;
        table.claims += 1;
        let number = table.claims;
        table.idle -= 1;
        let session = table.sessions.get_mut(&upload)?;
        session.holder = Some(number);
        // A request for this upload waits for the closing.
        session.is_orphan = true;
        drop(table);
        Some(Claim {
            sessions: self.clone(),
            upload,
            number,
        })
    }

    fn disown(&self, upload: UploadId, number: u64) {
        let mut table = self.table();
        if let Some(session) = table.sessions.get_mut(&upload)
            && session.holder == Some(number)
        {
            session.is_orphan = true;
        }
    }

    fn release(&self, upload: UploadId, number: u64) {
        let mut table = self.table();
        let Some(session) = table.sessions.get_mut(&upload) else {
            return;
        };
        if session.holder != Some(number) {
            return;
        }
        session.holder = None;
        session.last = number;
        let is_kept = !session.is_aborted && (session.file.is_some() || session.is_poisoned);
        if is_kept {
            let is_idle = session.is_idle_with_file();
            table.idle += usize::from(is_idle);
        } else {
            table.sessions.remove(&upload);
        }
        drop(table);
        self.released.notify_waiters();
    }

    #[cfg(test)]
    pub(super) fn counts(&self) -> (usize, usize) {
        let table = self.table();
        (table.sessions.len(), table.idle)
    }
}

/// The right to work on an upload. Released when dropped.
pub(super) struct Claim {
    sessions: Arc<Sessions>,
    upload: UploadId,
    number: u64,
}

impl Claim {
    pub(super) fn upload(&self) -> UploadId {
        self.upload
    }

    /// The file an earlier claim left open.
    pub(super) fn file(&self) -> Option<Arc<dyn DiskFile>> {
        self.with(|session| session.file.clone()).flatten()
    }

    /// Keeps the file open for claims to come. Errors: [`Error::NotFound`] when the upload was aborted meanwhile.
    pub(super) fn keep(&self, file: &Arc<dyn DiskFile>) -> Result<(), Error> {
        self.check()?;
        self.with(|session| session.file = Some(file.clone()))
            .ok_or(Error::NotFound)
    }

    /// Forgets the file: it was synced, or became a blob.
    pub(super) fn forget_file(&self) {
        self.with(|session| session.file = None);
    }

    /// Whether the work may go on.
    pub(super) fn check(&self) -> Result<(), Error> {
        let state = self.with(|session| (session.is_aborted, session.is_poisoned));
        match state {
            Some((false, false)) => Ok(()),
            Some((false, true)) => Err(Error::Poisoned),
            _ => Err(Error::NotFound),
        }
    }

    /// Marks the upload as lost until it is aborted. False when that was known already.
    pub(super) fn poison(&self) -> bool {
        self.with(|session| {
            session.file = None;
            !std::mem::replace(&mut session.is_poisoned, true)
        })
        .unwrap_or(false)
    }

    /// A guard for the caller's side: when it is dropped while the claim is still held, the work is an orphan's.
    pub(super) fn watch(&self) -> Watch {
        Watch {
            sessions: self.sessions.clone(),
            upload: self.upload,
            number: self.number,
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Session) -> T) -> Option<T> {
        let mut table = self.sessions.table();
        let session = table.sessions.get_mut(&self.upload)?;
        (session.holder == Some(self.number)).then(|| act(session))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.sessions.release(self.upload, self.number);
    }
}

/// See [`Claim::watch`].
pub(super) struct Watch {
    sessions: Arc<Sessions>,
    upload: UploadId,
    number: u64,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.sessions.disown(self.upload, self.number);
    }
}

#[cfg(test)]
mod tests;
