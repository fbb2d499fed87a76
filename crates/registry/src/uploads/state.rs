//! What is known of a session, and what its next chunk has to be.

use lazuli_identity::{Push, RepositoryAccess};
use lazuli_wire::oci::{Algorithm, UploadId};

use super::receive::resume;
use super::{Incoming, Loaded, OwnedOwner, Session, SessionRequest, owned, owner, sql};
use crate::sessions::FRESH_US;
use crate::{Error, Registry, Result};

impl Registry {
    /// Marks a session as over and frees its bytes. `how`: see [`sql::end`].
    pub(super) async fn end_session(
        &self,
        owner: &OwnedOwner,
        loaded: &Loaded,
        how: Vec<u8>,
    ) -> Result<()> {
        let (row, row_owner) = (loaded.clone(), owner.clone());
        self.inner
            .db
            .write_relaxed(move |tx| {
                sql::end(tx, &row_owner, &row, &how, row.created_at + FRESH_US)
            })
            .await?;
        self.inner.store.abort(loaded.id).await?;
        Ok(())
    }

    pub(super) async fn load_session(
        &self,
        access: &RepositoryAccess<Push>,
        request: SessionRequest<'_>,
    ) -> Result<Loaded> {
        let now = self.now();
        let (id, owner_row) = (request.id, owned(access));
        if let Some(loaded) = self.inner.sessions.recall(&owner_row, id)
            && (loaded.version > 0 || request.state.is_some())
            && loaded.expires_at > now
        {
            return Ok(loaded);
        }
        let fresh = request.state.and_then(|state| {
            self.inner
                .sessions
                .read_fresh_state(&owner(access), id, state, now)
        });
        let row = self
            .inner
            .db
            .read(move |tx| sql::find(tx, &owner_row, id, now))
            .await?;
        match (row, fresh) {
            (sql::Row::Open(loaded), _) => Ok(loaded),
            (sql::Row::None, Some((born, algorithm))) if now - born < self.first_use() => {
                Ok(self.fresh(id, algorithm, born))
            }
            (sql::Row::None | sql::Row::Over, _) => Err(Error::UploadUnknown),
        }
    }

    /// Frees what a chunk left in the store that was refused, or did not fit.
    pub(super) async fn forget_arrived(&self, loaded: &Loaded) {
        let store = &self.inner.store;
        let outcome = if loaded.content.is_some() {
            store.abort(loaded.id).await
        } else {
            // Continuing where the session was drops what is past it.
            let Ok(hasher) = resume(self, loaded).await else {
                return;
            };
            store.writer(loaded.id, loaded.size, hasher).await.map(drop)
        };
        if let Err(error) = outcome {
            tracing::warn!(%error, upload = %loaded.id, "the bytes of a refused chunk were not removed");
        }
    }

    /// How long a session may be used for the first time, in microseconds.
    fn first_use(&self) -> i64 {
        FRESH_US.min(self.inner.options.upload_expiry.as_micros() as i64)
    }

    pub(super) fn fresh(&self, id: UploadId, algorithm: Algorithm, born: i64) -> Loaded {
        Loaded {
            id,
            algorithm,
            size: 0,
            hash_state: Vec::new(),
            content: Some(Vec::new()),
            boot: String::new(),
            created_at: born,
            expires_at: born + self.first_use(),
            version: 0,
        }
    }

    pub(super) fn session(&self, access: &RepositoryAccess<Push>, loaded: &Loaded) -> Session {
        let state = (loaded.version == 0).then(|| {
            self.inner.sessions.fresh_state(
                &owner(access),
                loaded.id,
                loaded.algorithm,
                loaded.created_at,
            )
        });
        Session {
            id: loaded.id,
            size: loaded.size,
            state,
        }
    }

    /// Refuses new content before its first byte is read, while there is still room for metadata and deletes: the store
    /// keeps a reserve for them.
    pub(super) fn check_room(&self, length: u64) -> Result<()> {
        if !self.inner.store.is_writable() {
            return Err(Error::ReadOnly);
        }
        if self.inner.store.free_space()? < length {
            Err(Error::OutOfSpace)
        } else {
            Ok(())
        }
    }

    pub(super) fn check_chunk(
        &self,
        loaded: &Loaded,
        range: Option<(u64, u64)>,
        body: &impl Incoming,
    ) -> Result<()> {
        if let Some((start, end)) = range {
            if start != loaded.size {
                return Err(Error::RangeInvalid {
                    expected: loaded.size,
                });
            }
            if body
                .length()
                .is_some_and(|length| length != end - start + 1)
            {
                return Err(Error::SizeInvalid(
                    "Content-Range and Content-Length disagree",
                ));
            }
        }
        self.check_room(body.length().unwrap_or(1))
    }
}

pub(super) const TOO_LONG: &str = "the body is longer than Content-Range says";

/// Whether all of a chunk came. More than that is refused while it comes.
pub(super) fn check_received(range: Option<(u64, u64)>, received: u64) -> Result<()> {
    let Some((start, end)) = range else {
        return Ok(());
    };
    if received < end - start + 1 {
        return Err(Error::SizeInvalid(
            "the body is shorter than Content-Range says",
        ));
    }
    Ok(())
}
