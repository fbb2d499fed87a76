//! Tags: names of manifests. Moves are decided by the newest clock reading, and every version is kept.

pub(crate) mod sql;

use std::sync::Arc;

use lazuli_db::Tx;
use lazuli_identity::{Delete, MetadataRead, Permission, Pull, RepositoryAccess};
use lazuli_wire::oci::{OrderBy, Reference, Tag};

use crate::attributes::{self, Subject, locks};
use crate::cache::{Cache, Change, PageKey};
use crate::details::{self, Start};
use crate::listing::{Page, PageRequest};
use crate::transfer::closed;
use crate::{Error, Registry, Result, operations, repositories};

/// A permission with which the names in a repository may be read.
pub trait Lists: Permission {}

impl Lists for Pull {}
impl Lists for MetadataRead {}

impl Registry {
    /// A page of a repository's tags, those that are to be listed.
    pub async fn tags(
        &self,
        access: &RepositoryAccess<impl Lists>,
        request: PageRequest<'_>,
    ) -> Result<Arc<Page>> {
        let registry = access.registry().get();
        let name = access.repository();
        if request.order_by != OrderBy::Name {
            let (name, start) = (name.clone(), Start::new(request));
            let read = move |tx: &mut Tx<'_>| {
                let row = repositories::sql::find(tx, registry, &name)?;
                let row = row.ok_or(Error::NameUnknown)?;
                let tags = details::sql::tags(tx, row.id, &start, None)?;
                let names = tags.into_iter().map(|tag| (tag.name, tag.updated_at));
                Ok::<_, Error>(Page::by_time(names.collect(), start.limit))
            };
            return Ok(Arc::new(self.inner.db.read(read).await?));
        }
        let key = PageKey {
            last: request.last.map(Into::into),
            limit: request.limit,
        };
        let look = |cache: &Cache| cache.page(registry, Some(name), &key);
        if let Some(page) = self.remembered(look).await {
            return Ok(page);
        }
        let ticket = self.inner.cache.ticket(registry, Some(name));
        let (asked, tx_name) = (key.clone(), name.clone());
        let names = self
            .inner
            .db
            .read(move |tx| {
                let repository =
                    repositories::sql::find(tx, registry, &tx_name)?.ok_or(Error::NameUnknown)?;
                let page = if repository.is_restricted {
                    sql::page_of_listed
                } else {
                    sql::page
                };
                let (last, limit) = (asked.last.as_deref(), asked.limit);
                Ok::<_, Error>(page(tx, repository.id, last, limit)?)
            })
            .await?;
        let page = Arc::new(Page::new(names, request.limit));
        self.inner
            .cache
            .keep_page(ticket, registry, Some(name), key, page.clone());
        Ok(page)
    }

    /// Removes a tag; the manifest and its other tags stay.
    pub async fn delete_tag(
        &self,
        access: &RepositoryAccess<Delete>,
        tag: &Tag,
        request_id: &Arc<str>,
    ) -> Result<()> {
        let registry = access.registry().get();
        let name = access.repository().clone();
        let context = self
            .inner
            .log
            .context(&Arc::from(access.principal().key()), request_id);
        let (this, tag) = (self.clone(), tag.clone());
        self.to_the_end(async move {
            let fence = this.inner.cache.close(registry, Some(&name));
            let (tx_name, tx_tag, now) = (name.clone(), tag.clone(), this.now());
            let result = this
                .inner
                .db
                .write(move |tx| {
                    closed::check(tx, now)?;
                    let row = repositories::sql::find(tx, registry, &tx_name)?
                        .ok_or(Error::NameUnknown)?;
                    let repository = row.id;
                    locks::check_deletion_in(tx, &row)?;
                    let said = locks::check_untag(tx, &row, &tx_tag)?;
                    if sql::remove(tx, repository, &tx_tag)? == 0 {
                        return Err(Error::TagUnknown);
                    }
                    if said.is_some() {
                        let subject = Subject::Tag(tx_tag.clone());
                        attributes::sql::remove(tx, repository, &subject)?;
                    }
                    let operation = operations::Operation::Untag {
                        tag: tx_tag.clone(),
                    };
                    let after = sql::newest_hlc(tx, repository, &tx_tag)?;
                    let after = after.max(said).max(Some(row.floor));
                    let appended = operations::append(
                        tx,
                        &context,
                        registry,
                        Some(tx_name.as_str()),
                        &operation,
                        after,
                    )?;
                    sql::add_version(tx, repository, &tx_tag, None, &appended)?;
                    Ok(())
                })
                .await;
            fence.open(&[Change::Manifest(Reference::Tag(tag))]);
            this.inner.log.committed();
            result
        })
        .await
    }
}
