//! Referrers: manifests that name another as their subject, described from their own bytes.
//!
//! Nothing a client wrote about a referrer is used: descriptors come from the stored manifests, never from a fallback index.

mod sql;

use lazuli_identity::{Pull, RepositoryAccess};
use lazuli_wire::oci::Digest;

use crate::attributes::locks;
use crate::{Error, Registry, Result, repositories};

/// A manifest that refers to the asked one.
#[derive(Debug, Clone)]
pub struct Referrer {
    /// Its digest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// Length of its body in bytes.
    pub size: u64,
    /// Its artifact type, or its configuration's media type; none for an index without one.
    pub artifact_type: Option<String>,
    /// Its annotations as a JSON object; none when empty.
    pub annotations: Option<String>,
}

/// A page of referrers, in the order of their digests.
#[derive(Debug, Default)]
pub struct Referrers {
    /// The referrers.
    pub items: Vec<Referrer>,
    /// Whether more follow the last one.
    pub more: bool,
}

impl Registry {
    /// The manifests of a repository that are to be listed and refer to `subject`, after the digest `last`, at most `limit`. An unknown repository or
    /// subject has none: a referrer may be there before its subject.
    pub async fn referrers(
        &self,
        access: &RepositoryAccess<Pull>,
        subject: &Digest,
        artifact_type: Option<String>,
        last: Option<Digest>,
        limit: u32,
    ) -> Result<Referrers> {
        let (registry, name, subject) = (
            access.registry().get(),
            access.repository().clone(),
            *subject,
        );
        let mut items = self
            .inner
            .db
            .read(move |tx| {
                let Some(repository) = repositories::sql::find(tx, registry, &name)? else {
                    return Ok(Vec::new());
                };
                locks::check_pull(tx, &repository)?;
                let last = last.map(|digest| digest.to_bytes()).unwrap_or_default();
                Ok::<_, Error>(sql::page(
                    tx,
                    repository.id,
                    &subject.to_bytes(),
                    artifact_type.as_deref(),
                    &last,
                    limit,
                )?)
            })
            .await?;
        let more = items.len() > limit as usize;
        items.truncate(limit as usize);
        Ok(Referrers { items, more })
    }
}
