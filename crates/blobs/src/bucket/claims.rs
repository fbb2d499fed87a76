//! One request at a time for each upload, in this process. Between processes the session's row decides.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lazuli_wire::oci::UploadId;

use crate::Error;

#[derive(Clone, Default)]
pub(super) struct Claims(Arc<Mutex<HashMap<UploadId, Arc<AtomicBool>>>>);

/// The right to work on an upload, until dropped.
pub(super) struct Claim {
    pub(super) upload: UploadId,
    is_cut_off: Arc<AtomicBool>,
    claims: Claims,
}

impl Claims {
    fn table(&self) -> MutexGuard<'_, HashMap<UploadId, Arc<AtomicBool>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Errors: [`Error::Busy`] while somebody else works on it.
    pub(super) fn claim(&self, upload: UploadId) -> Result<Claim, Error> {
        let mut table = self.table();
        if table.contains_key(&upload) {
            return Err(Error::Busy);
        }
        let is_cut_off = Arc::<AtomicBool>::default();
        table.insert(upload, is_cut_off.clone());
        Ok(Claim {
            upload,
            is_cut_off,
            claims: self.clone(),
        })
    }

    /// Cuts off whoever works on it; the next one may begin.
    pub(super) fn cut_off(&self, upload: UploadId) {
        if let Some(flag) = self.table().remove(&upload) {
            flag.store(true, Ordering::Release);
        }
    }
}

impl Claim {
    /// Errors: [`Error::NotFound`] once the upload was aborted.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.is_cut_off.load(Ordering::Acquire) {
            Err(Error::NotFound)
        } else {
            Ok(())
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut table = self.claims.table();
        let is_ours = |flag: &Arc<AtomicBool>| Arc::ptr_eq(flag, &self.is_cut_off);
        if table.get(&self.upload).is_some_and(is_ours) {
            table.remove(&self.upload);
        }
    }
}
