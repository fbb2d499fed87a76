//! Repositories: made by the first push, listed while they hold a manifest.

pub(crate) mod sql;

use std::sync::Arc;

use lazuli_identity::{CatalogAccess, Delete, RepositoryAccess};

use crate::cache::{Cache, PageKey};
use crate::listing::{Page, PageRequest};
use crate::manifests::Removed;
use crate::{Error, Registry, Result, manifests, operations};

impl Registry {
    /// A page of the registry's repositories that hold a manifest, in byte order of their names.
    pub async fn catalog(
        &self,
        access: &CatalogAccess,
        request: PageRequest<'_>,
    ) -> Result<Arc<Page>> {
        let registry = access.registry().get();
        let key = PageKey {
            last: request.last.map(Into::into),
            limit: request.limit,
        };
        let look = |cache: &Cache| cache.page(registry, None, &key);
        if let Some(page) = self.remembered(look).await {
            return Ok(page);
        }
        let ticket = self.inner.cache.ticket(registry, None);
        let asked = key.clone();
        let names = self
            .inner
            .db
            .read(move |tx| {
                sql::page(tx, registry, asked.last.as_deref(), asked.limit).map_err(Error::from)
            })
            .await?;
        let page = Arc::new(Page::new(names, request.limit));
        self.inner
            .cache
            .keep_page(ticket, registry, None, key, page.clone());
        Ok(page)
    }

    /// Deletes a repository with all its tags and manifests; its blobs go to garbage collection.
    pub async fn delete_repository(
        &self,
        access: &RepositoryAccess<Delete>,
        request_id: &Arc<str>,
    ) -> Result<Removed> {
        let registry = access.registry().get();
        let name = access.repository().clone();
        let context = self
            .inner
            .log
            .context(&Arc::from(access.principal().key()), request_id);
        let this = self.clone();
        self.to_the_end(async move {
            let fence = this.inner.cache.close(registry, Some(&name));
            let catalog = this.inner.cache.close(registry, None);
            let tx_name = name.clone();
            let now = this.now();
            let removed = this
                .inner
                .db
                .write(move |tx| {
                    let repository =
                        sql::find(tx, registry, &tx_name)?.ok_or(Error::NameUnknown)?;
                    let (removed, observed) = manifests::remove_all(tx, repository, now)?;
                    let operation = operations::Operation::DeleteRepository {
                        observed,
                        tags: removed.tags.clone(),
                    };
                    let after = manifests::newest_version(tx, repository, &removed.tags)?;
                    let appended = operations::append(
                        tx,
                        &context,
                        registry,
                        Some(tx_name.as_str()),
                        &operation,
                        after,
                    )?;
                    manifests::record_untagged(tx, repository, &removed.tags, &appended)?;
                    sql::set_listed(tx, repository, false)?;
                    Ok::<_, Error>(removed)
                })
                .await?;
            fence.open_forgetting_all();
            catalog.open_forgetting_all();
            this.inner.log.committed();
            Ok(removed)
        })
        .await
    }
}
