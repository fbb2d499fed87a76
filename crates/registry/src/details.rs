//! What is known of repositories, tags and manifests, and lists of it.

mod order;
pub(crate) mod sql;

use lazuli_identity::RepositoryAccess;
use lazuli_wire::acr::Flags;
use lazuli_wire::oci::{Descriptor, Digest};

use crate::attributes::{Attributes, Subject};
use crate::listing::PageRequest;
use crate::tags::Lists;
use crate::{Error, Registry, Result, repositories};

pub(crate) use order::{Start, before_all};

/// What is known of something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Details {
    /// Of a repository.
    Repository(RepositoryDetails),
    /// Of a tag.
    Tag(TagDetails),
    /// Of a manifest.
    Manifest(ManifestDetails),
}

/// A repository that holds a manifest. Times are microseconds since the Unix epoch, here and below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryDetails {
    /// When it came to hold something.
    pub created_at: i64,
    /// When a manifest or a tag that it holds was pushed last.
    pub updated_at: i64,
    /// How many manifests it holds.
    pub manifests: u64,
    /// How many tags.
    pub tags: u64,
    /// What may be done with it.
    pub flags: Flags,
}

/// A tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagDetails {
    /// Its name.
    pub name: Box<str>,
    /// What it names.
    pub digest: Digest,
    /// When it was pushed first.
    pub created_at: i64,
    /// When it was pushed last, to the same manifest or another one.
    pub updated_at: i64,
    /// What may be done with it.
    pub attributes: Attributes,
}

/// A manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestDetails {
    /// Its digest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// That of its configuration.
    pub config_media_type: Option<String>,
    /// What an image runs on, by its configuration.
    pub architecture: Option<String>,
    /// Under which system.
    pub os: Option<String>,
    /// Bytes of what it lists.
    pub image_size: u64,
    /// When it was pushed.
    pub created_at: i64,
    /// The same: a manifest does not change.
    pub updated_at: i64,
    /// What may be done with it.
    pub attributes: Attributes,
    /// The tags that name it, in byte order; of very many, some.
    pub tags: Vec<Box<str>>,
    /// What an index lists. Lists of manifests leave it out.
    pub children: Option<Vec<Descriptor>>,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<T> {
    /// The entries.
    pub items: Vec<T>,
    /// Whether more follow.
    pub more: bool,
}

impl<T> Listed<T> {
    fn new(mut items: Vec<T>, limit: u32) -> Self {
        let more = items.len() > limit as usize;
        items.truncate(limit as usize);
        Self { items, more }
    }
}

impl Registry {
    /// What is known of a repository, or of something in it.
    pub async fn details(
        &self,
        access: &RepositoryAccess<impl Lists>,
        subject: Subject,
    ) -> Result<Details> {
        let (registry, name) = (access.registry().get(), access.repository().clone());
        self.inner
            .db
            .read(move |tx| {
                let row = find(tx, registry, &name)?;
                sql::find(tx, &row, &subject)
            })
            .await
    }

    /// A page of a repository's tags, of one manifest or of all.
    pub async fn list_tags(
        &self,
        access: &RepositoryAccess<impl Lists>,
        request: PageRequest<'_>,
        of: Option<Digest>,
    ) -> Result<Listed<TagDetails>> {
        let (registry, name) = (access.registry().get(), access.repository().clone());
        let start = Start::new(request);
        self.inner
            .db
            .read(move |tx| {
                let row = find(tx, registry, &name)?;
                let items = sql::tags(tx, row.id, &start, of)?;
                Ok(Listed::new(items, start.limit))
            })
            .await
    }

    /// A page of a repository's manifests. `after` takes the place of the request's `last`.
    pub async fn list_manifests(
        &self,
        access: &RepositoryAccess<impl Lists>,
        request: PageRequest<'_>,
        after: Option<Digest>,
    ) -> Result<Listed<ManifestDetails>> {
        let (registry, name) = (access.registry().get(), access.repository().clone());
        let start = Start::new(request);
        self.inner
            .db
            .read(move |tx| {
                let row = find(tx, registry, &name)?;
                sql::manifests(tx, row.id, &start, after)
            })
            .await
    }
}

/// A repository that holds something: others are not known to anybody.
fn find(
    tx: &mut lazuli_db::Tx<'_>,
    registry: i64,
    name: &lazuli_wire::oci::RepositoryName,
) -> Result<repositories::sql::Row> {
    let row = repositories::sql::find(tx, registry, name)?;
    row.filter(|row| row.is_listed).ok_or(Error::NameUnknown)
}
