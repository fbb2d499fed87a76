//! How blobs come to repositories that did not push them, and leave.

use std::sync::Arc;

use lazuli_db::Tx;
use lazuli_identity::{Delete, Pull, Push, RepositoryAccess};
use lazuli_wire::oci::{Digest, RepositoryName};

use super::{MOUNT_CANDIDATES, sql};
use crate::attributes::locks;
use crate::cache::Change;
use crate::operations::{self, Operation};
use crate::transfer::closed;
use crate::{Error, Registry, Result, metering, repositories};

impl Registry {
    /// Takes a blob out of a repository. Other repositories keep theirs.
    pub async fn delete_blob(
        &self,
        access: &RepositoryAccess<Delete>,
        digest: &Digest,
        request_id: &Arc<str>,
    ) -> Result<()> {
        let registry = access.registry().get();
        let name = access.repository().clone();
        let context = self
            .inner
            .log
            .context(&Arc::from(access.principal().key()), request_id);
        let (this, digest) = (self.clone(), *digest);
        self.to_the_end(async move {
            let fence = this.inner.cache.close(registry, Some(&name));
            let now = this.now();
            let result = this
                .inner
                .db
                .write(move |tx| {
                    closed::check(tx, now)?;
                    let repository =
                        repositories::sql::find(tx, registry, &name)?.ok_or(Error::NameUnknown)?;
                    locks::check_deletion_in(tx, &repository)?;
                    unlink(tx, registry, repository.holder, &digest, now)?;
                    let operation = Operation::DeleteBlob { digest };
                    operations::append(
                        tx,
                        &context,
                        registry,
                        Some(name.as_str()),
                        &operation,
                        None,
                    )?;
                    Ok(())
                })
                .await;
            fence.open(&[Change::Blob(digest)]);
            this.inner.log.committed();
            result
        })
        .await
    }

    /// Repositories that hold a blob, for a mount that names no source: the caller asks which of them it may read.
    pub async fn mount_candidates(
        &self,
        target: &RepositoryAccess<Push>,
        digest: &Digest,
    ) -> Result<Vec<RepositoryName>> {
        let (registry, digest) = (target.registry().get(), *digest);
        let names = self
            .inner
            .db
            .read(move |tx| {
                sql::holders(tx, registry, &digest.to_bytes(), MOUNT_CANDIDATES)
                    .map_err(Error::from)
            })
            .await?;
        Ok(names
            .iter()
            .filter_map(|name| RepositoryName::parse(name).ok())
            .collect())
    }

    /// Makes a blob of one repository readable in another; false if the source does not hold it.
    pub async fn mount_blob(
        &self,
        target: &RepositoryAccess<Push>,
        source: &RepositoryAccess<Pull>,
        digest: &Digest,
    ) -> Result<bool> {
        if target.registry() != source.registry() {
            return Ok(false);
        }
        // A blob whose bytes are gone is not mounted: the client then pushes it, which heals it. One that may not be pulled from
        // there has to be pushed, too.
        match self.open_blob(source, digest).await {
            Ok(_) => {}
            Err(Error::NameUnknown | Error::BlobUnknown | Error::Damaged | Error::Locked(_)) => {
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
        let registry = target.registry().get();
        let (target, source) = (target.repository().clone(), source.repository().clone());
        let (this, digest) = (self.clone(), *digest);
        self.to_the_end(async move {
            let (now, until, inner) = (
                this.now(),
                this.leased_until(this.now()),
                this.inner.clone(),
            );
            this.inner
                .db
                .write(move |tx| {
                    let Some(from) = repositories::sql::find(tx, registry, &source)? else {
                        return Ok(false);
                    };
                    match locks::check_pull(tx, &from) {
                        Err(Error::Locked(_)) => return Ok(false),
                        checked => checked?,
                    }
                    let Some(size) = sql::linked_size(tx, from.holder, &digest.to_bytes())? else {
                        return Ok(false);
                    };
                    let repository = repositories::sql::ensure(tx, registry, &target, now, || {
                        inner.log.unique_number()
                    })?;
                    locks::check_upload(tx, &repository)?;
                    sql::affirm(tx, registry, &digest.to_bytes(), until)?;
                    sql::link(
                        tx,
                        registry,
                        repository.holder,
                        &digest.to_bytes(),
                        size,
                        now,
                        until,
                    )?;
                    Ok::<_, Error>(true)
                })
                .await
        })
        .await
    }
}

/// Takes a blob out of a repository in the caller's transaction, ends its metering interval, and lets garbage collection look at
/// the blob if this was its last repository.
pub(crate) fn unlink(
    tx: &mut Tx<'_>,
    registry: i64,
    repository: i64,
    digest: &Digest,
    now: i64,
) -> Result<()> {
    let bytes = digest.to_bytes();
    if sql::linked_size(tx, repository, &bytes)?.is_none() {
        return Err(Error::BlobUnknown);
    }
    metering::close_interval(tx, repository, &bytes, now)?;
    sql::unlink(tx, repository, &bytes)?;
    if !sql::is_held(tx, registry, &bytes)? {
        sql::condemn(tx, registry, &bytes, now)?;
    }
    Ok(())
}
