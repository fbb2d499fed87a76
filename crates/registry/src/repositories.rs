//! Repositories: made by the first push, listed while they hold a manifest.

pub(crate) mod sql;

use std::sync::Arc;

use lazuli_db::Tx;
use lazuli_identity::{CatalogAccess, Delete, RepositoryAccess};
use lazuli_wire::oci::OrderBy;

use crate::attributes::locks;
use crate::cache::{Cache, PageKey};
use crate::details::Start;
use crate::listing::{Page, PageRequest};
use crate::manifests::Removed;
use crate::transfer::closed;
use crate::{Error, Registry, Result, manifests, operations, tags};

/// Names that are looked at in one transaction for somebody who may not read all of them. By time each of those looks at every
/// repository.
const STEP: u32 = 1000;
const STEP_BY_TIME: u32 = 20_000;

/// Most manifests and tags that the deletion of a repository names.
pub(crate) const LISTED: u32 = 1000;

impl Registry {
    /// A page of the registry's repositories that hold a manifest and are to be listed.
    pub async fn catalog(
        &self,
        access: &CatalogAccess,
        request: PageRequest<'_>,
    ) -> Result<Arc<Page>> {
        let registry = access.registry().get();
        if !access.lists_all() {
            return Ok(Arc::new(self.readable(access, request).await?));
        }
        if request.order_by != OrderBy::Name {
            let start = Start::new(request);
            let read = move |tx: &mut Tx<'_>| {
                let names = sql::page_by_time(tx, registry, &start)?;
                Ok::<_, Error>(Page::by_time(names, start.limit))
            };
            // Not kept: pushes change it without saying so to the catalog.
            return Ok(Arc::new(self.inner.db.read(read).await?));
        }
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

    /// A page for somebody who may not read every repository. It goes on to where the page is full: a shorter one would end
    /// at a name that must not be told, or never get past it. Not kept: it is one caller's.
    async fn readable(&self, access: &CatalogAccess, request: PageRequest<'_>) -> Result<Page> {
        let (registry, wanted) = (access.registry().get(), request.limit as usize + 1);
        let is_by_time = request.order_by != OrderBy::Name;
        let step = if is_by_time { STEP_BY_TIME } else { STEP };
        let mut start = Start::new(PageRequest {
            limit: step,
            ..request
        });
        let mut names = Vec::new();
        loop {
            let from = start.clone();
            let read = move |tx: &mut Tx<'_>| {
                if is_by_time {
                    return sql::page_by_time(tx, registry, &from);
                }
                let names = sql::page(tx, registry, from.last.as_deref(), from.limit)?;
                Ok(names.into_iter().map(|name| (name, 0)).collect())
            };
            let found: Vec<(Box<str>, i64)> = self.inner.db.read(read).await?;
            let more = found.len() > step as usize;
            let next = found.get(step as usize - 1).cloned();
            let found = found.into_iter().take(step as usize);
            let readable = found.filter(|(name, _)| access.may_list(name));
            names.extend(readable.take(wanted - names.len()));
            match next.filter(|_| more && names.len() < wanted) {
                Some((last, at)) => {
                    start.last = Some(last);
                    start.at = is_by_time.then_some(at);
                }
                None => return Ok(Page::by_time(names, request.limit)),
            }
        }
    }

    /// Deletes a repository with all its tags and manifests, in a transaction whose size does not depend on how many they are:
    /// its name goes to an empty row, and garbage collection removes the old one's rows in steps. Its blobs stay as long
    /// as they are leased. Returns some of what was removed, a thousand manifests and tags at most.
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
            let (now, inner) = (this.now(), this.inner.clone());
            let removed = this
                .inner
                .db
                .write(move |tx| {
                    closed::check(tx, now)?;
                    let old = sql::find(tx, registry, &name)?
                        .filter(|row| row.is_listed)
                        .ok_or(Error::NameUnknown)?;
                    let said = locks::check_delete_repository(tx, &old)?;
                    let removed = Removed {
                        manifests: manifests::sql::some(tx, old.id, LISTED)?,
                        tags: tags::sql::some(tx, old.id, LISTED)?,
                    };
                    let after = newest_clock(tx, old.id)?.max(said).max(Some(old.floor));
                    let operation = operations::Operation::DeleteRepository {
                        observed: Vec::new(),
                    };
                    let appended = operations::append(
                        tx,
                        &context,
                        registry,
                        Some(name.as_str()),
                        &operation,
                        after,
                    )?;
                    let new_id = || inner.log.unique_number();
                    sql::replace(tx, registry, &name, &old, appended.hlc, now, new_id)?;
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

/// A clock reading that no operation on the repository is later than. Of a large one it is that of the newest operation of all:
/// reading where others append makes the transaction collide with theirs more often, reading all of it would take long.
fn newest_clock(tx: &mut Tx<'_>, repository: i64) -> Result<Option<i64>> {
    let dots = manifests::sql::newest_dot_of_few(tx, repository, LISTED)?;
    let versions = tags::sql::newest_of_few(tx, repository, LISTED)?;
    match (dots, versions) {
        (Some(dot), Some(version)) => Ok(Some(dot.max(version))),
        _ => Ok(operations::newest_clock(tx)?),
    }
}
