//! Uploads: a blob in one request or in many, resumed after a restart where it stopped.
//!
//! The row of a session records how many bytes arrived and the state of their hash, so that any node can take the next chunk. Chunks
//! are recorded without waiting for the disk: only the answer to the last request, 201, promises durability.

mod commit;
mod receive;
mod repeated;
pub(crate) mod sql;
mod state;

use lazuli_identity::{Push, RepositoryAccess};
use lazuli_wire::oci::{Algorithm, Digest, UploadId};

pub(crate) use commit::OwnedOwner;
pub use receive::Incoming;

use crate::sessions::Owner;
use crate::{Error, Registry, Result};
use receive::{Content, Receiver};
use state::check_received;

/// A session, as its client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its identifier.
    pub id: UploadId,
    /// Bytes received so far.
    pub size: u64,
    /// What its next `Location` carries, for a session that nothing is stored of yet.
    pub state: Option<String>,
}

/// Which session a request is for.
#[derive(Debug, Clone, Copy)]
pub struct SessionRequest<'a> {
    /// The identifier in the path.
    pub id: UploadId,
    /// The state in the query.
    pub state: Option<&'a str>,
    /// First and last byte of the chunk (`Content-Range`).
    pub range: Option<(u64, u64)>,
}

/// A session as stored, or fresh.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    pub(crate) id: UploadId,
    pub(crate) algorithm: Algorithm,
    pub(crate) size: u64,
    pub(crate) hash_state: Vec<u8>,
    pub(crate) content: Option<Vec<u8>>,
    pub(crate) boot: String,
    pub(crate) created_at: i64,
    pub(crate) expires_at: i64,
    /// 0: there is no row yet.
    pub(crate) version: i64,
}

impl Registry {
    /// Begins a session. Nothing is stored yet.
    pub fn start_upload(
        &self,
        access: &RepositoryAccess<Push>,
        algorithm: Algorithm,
    ) -> Result<Session> {
        self.check_room(1)?;
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)
            .map_err(|_| Error::Internal("the system gave no random bytes"))?;
        let id = UploadId::from_random(bytes);
        let now = self.now();
        let state = self
            .inner
            .sessions
            .fresh_state(&owner(access), id, algorithm, now);
        self.inner
            .sessions
            .remember(&owned(access), &self.fresh(id, algorithm, now));
        Ok(Session {
            id,
            size: 0,
            state: Some(state),
        })
    }

    /// How far a session is.
    pub async fn upload(
        &self,
        access: &RepositoryAccess<Push>,
        request: SessionRequest<'_>,
    ) -> Result<Session> {
        let loaded = self.load_session(access, request).await?;
        Ok(self.session(access, &loaded))
    }

    /// Takes a chunk.
    pub async fn append_upload(
        &self,
        access: &RepositoryAccess<Push>,
        request: SessionRequest<'_>,
        body: &mut impl Incoming,
    ) -> Result<Session> {
        self.check_open().await?;
        let active = self
            .inner
            .sessions
            .activate(request.id)
            .ok_or(Error::UploadBusy)?;
        let mut loaded = self.load_session(access, request).await?;
        self.check_chunk(&loaded, request.range, body)?;
        let mut receiver = Receiver::new(self, &loaded, request.range).await?;
        let outcome = receiver.receive(body).await;
        let arrived = match (receiver.finish(false).await, outcome) {
            // Nobody knows which of these bytes were meant.
            (Ok(_), Err(error @ Error::SizeInvalid(_))) | (Err(error), _) => Err(error),
            (Ok(arrived), outcome) => Ok((arrived, outcome)),
        };
        let ((size, content, hasher), outcome) = match arrived {
            Ok(arrived) => arrived,
            Err(error) => {
                self.forget_arrived(&loaded).await;
                return Err(error);
            }
        };
        let started_at = loaded.size;
        loaded.size = size;
        loaded.hash_state = hasher.save();
        loaded.boot.clone_from(&self.inner.boot);
        loaded.content = match content {
            Content::Memory(bytes) => Some(bytes),
            Content::Store(_) => None,
        };
        if size != started_at || loaded.version == 0 {
            // Also when the client went away: what arrived need not be sent again.
            self.inner.sessions.forget(loaded.id);
            let (this, owner, mut row) = (self.clone(), owned(access), loaded.clone());
            loaded = self
                .to_the_end(async move {
                    let _active = active;
                    row.expires_at =
                        this.now() + this.inner.options.upload_expiry.as_micros() as i64;
                    let (row_owner, saved) = (owner.clone(), row.clone());
                    this.inner
                        .db
                        .write_relaxed(move |tx| sql::save(tx, &row_owner, &saved))
                        .await?;
                    row.version += 1;
                    this.inner.sessions.remember(&owner, &row);
                    Ok(row)
                })
                .await?;
        }
        outcome?;
        check_received(request.range, size - started_at)?;
        Ok(self.session(access, &loaded))
    }

    /// Takes the last bytes, if any, and makes the upload a blob of the repository. The session is over, whatever the outcome, unless
    /// the chunk was refused or did not arrive whole. Sent again after it was carried out, it is answered in the same way.
    pub async fn finish_upload(
        &self,
        access: &RepositoryAccess<Push>,
        request: SessionRequest<'_>,
        digest: &Digest,
        body: &mut impl Incoming,
    ) -> Result<()> {
        self.check_open().await?;
        let active = self
            .inner
            .sessions
            .activate(request.id)
            .ok_or(Error::UploadBusy)?;
        let (owner, digest) = (owned(access), *digest);
        let loaded = match self.load_session(access, request).await {
            Err(Error::UploadUnknown) => {
                self.finished_before(owner, request.id, digest).await?;
                return repeated::drop_body(body).await;
            }
            loaded => loaded?,
        };
        self.check_chunk(&loaded, request.range, body)?;
        let arrived = self.last_bytes(&loaded, request, &digest, body).await?;
        let this = self.clone();
        self.inner.sessions.forget(loaded.id);
        self.to_the_end(async move {
            let _active = active;
            this.commit_upload(&owner, &loaded, true, digest, arrived)
                .await
        })
        .await
    }

    async fn last_bytes(
        &self,
        loaded: &Loaded,
        request: SessionRequest<'_>,
        digest: &Digest,
        body: &mut impl Incoming,
    ) -> Result<commit::Arrived> {
        let mut receiver = match Receiver::new(self, loaded, request.range).await {
            Err(Error::UploadUnknown) => {
                let stored = repeated::already_stored(loaded, digest, body).await?;
                return stored.ok_or(Error::UploadUnknown);
            }
            receiver => receiver?,
        };
        let outcome = receiver.receive(body).await;
        // To be hashed with another algorithm, all of it has to be where it can be read.
        let is_last = digest.algorithm() == loaded.algorithm;
        let arrived = receiver.finish(is_last).await.and_then(|arrived| {
            outcome?;
            check_received(request.range, arrived.0 - loaded.size)?;
            Ok(arrived)
        });
        match arrived {
            Ok((size, content, hasher)) => Ok(commit::Arrived {
                size,
                content,
                hasher,
            }),
            Err(error) => {
                self.forget_arrived(loaded).await;
                Err(error)
            }
        }
    }

    /// A whole blob in one request, without a session.
    pub async fn push_blob(
        &self,
        access: &RepositoryAccess<Push>,
        digest: &Digest,
        body: &mut impl Incoming,
    ) -> Result<()> {
        let session = self.start_upload(access, digest.algorithm())?;
        self.inner.sessions.forget(session.id);
        let loaded = self.fresh(session.id, digest.algorithm(), self.now());
        self.check_room(body.length().unwrap_or(1))?;
        let mut receiver = Receiver::new(self, &loaded, None).await?;
        let outcome = receiver.receive(body).await;
        let arrived = match (receiver.finish(true).await, outcome) {
            (Ok((size, content, hasher)), Ok(())) => commit::Arrived {
                size,
                content,
                hasher,
            },
            (Err(error), _) | (_, Err(error)) => {
                // Nobody can continue it: what arrived would only take space.
                let _ = self.inner.store.abort(loaded.id).await;
                return Err(error);
            }
        };
        let (this, owner, digest) = (self.clone(), owned(access), *digest);
        self.to_the_end(async move {
            let outcome = this
                .commit_upload(&owner, &loaded, false, digest, arrived)
                .await;
            if outcome.is_err() {
                let _ = this.inner.store.abort(loaded.id).await;
            }
            outcome
        })
        .await
    }

    /// Ends a session and frees what it holds.
    pub async fn cancel_upload(
        &self,
        access: &RepositoryAccess<Push>,
        request: SessionRequest<'_>,
    ) -> Result<()> {
        let active = self
            .inner
            .sessions
            .activate(request.id)
            .ok_or(Error::UploadBusy)?;
        let loaded = self.load_session(access, request).await?;
        let (this, owner) = (self.clone(), owned(access));
        self.inner.sessions.forget(loaded.id);
        self.to_the_end(async move {
            let _active = active;
            this.end_session(&owner, &loaded, Vec::new()).await
        })
        .await
    }
}

fn owner(access: &RepositoryAccess<Push>) -> Owner<'_> {
    Owner {
        registry: access.registry().get(),
        repository: access.repository(),
        principal: access.principal().key(),
    }
}

fn owned(access: &RepositoryAccess<Push>) -> OwnedOwner {
    OwnedOwner {
        registry: access.registry().get(),
        repository: access.repository().clone(),
        principal: access.principal().key().into(),
    }
}
