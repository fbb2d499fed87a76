//! Where repositories come from.

use anyhow::bail;
use bytes::Bytes;
use lazuli_outbound::distribution::{BlobReader, Manifest, Remote};
use lazuli_wire::oci::{Digest, Reference, RepositoryName, Tag, fallback_tag};
use lazuli_wire::oci::{ManifestLimits, ParsedManifest};

use super::layout::Layout;
use super::tree::{FileReader, Tree};

/// A registry, or what one left on a disk.
pub(super) enum Source {
    Registry(Box<Remote>),
    Tree(Tree),
    Layout(Layout),
}

/// The bytes of a blob.
pub(super) enum Reader<'a> {
    Remote(Box<BlobReader<'a>>),
    File(FileReader),
}

impl Source {
    pub(super) async fn repositories(&self) -> anyhow::Result<Vec<String>> {
        match self {
            Self::Registry(remote) => Ok(remote.repositories().await?),
            Self::Tree(tree) => tree.repositories().await,
            Self::Layout(_) => bail!("an OCI layout is one repository, without a name"),
        }
    }

    pub(super) async fn tags(&self, name: &RepositoryName) -> anyhow::Result<Vec<String>> {
        match self {
            Self::Registry(remote) => Ok(remote.tags(name).await?),
            Self::Tree(tree) => tree.tags(name).await,
            Self::Layout(layout) => Ok(layout.tags()),
        }
    }

    /// All manifests, those without a tag included, where that is known.
    pub(super) async fn manifests(&self, name: &RepositoryName) -> anyhow::Result<Vec<Digest>> {
        match self {
            Self::Registry(_) => Ok(Vec::new()),
            Self::Tree(tree) => tree.manifests(name).await,
            Self::Layout(layout) => Ok(layout.manifests()),
        }
    }

    pub(super) async fn manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
    ) -> anyhow::Result<Option<Manifest>> {
        match self {
            Self::Registry(remote) => Ok(remote.manifest(name, reference).await?),
            Self::Tree(tree) => tree.manifest(name, reference).await,
            Self::Layout(layout) => layout.manifest(reference),
        }
    }

    /// What refers to a manifest: as the registry says, else as clients wrote it down under a tag.
    pub(super) async fn referrers(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        tags: &[Tag],
    ) -> anyhow::Result<Vec<Digest>> {
        let remote = match self {
            Self::Registry(remote) => remote,
            Self::Tree(tree) => return tree.referrers(name, subject).await,
            Self::Layout(layout) => return Ok(layout.referrers(subject)),
        };
        if let Some(found) = remote.referrers(name, subject).await? {
            return Ok(found);
        }
        let tag = fallback_tag(subject);
        if tags.binary_search(&tag).is_err() {
            return Ok(Vec::new());
        }
        let Some(index) = remote.manifest(name, &Reference::Tag(tag)).await? else {
            return Ok(Vec::new());
        };
        let parsed = parse(&index)?;
        Ok(parsed.manifests.iter().map(|child| child.digest).collect())
    }

    pub(super) fn blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        size: u64,
    ) -> anyhow::Result<Reader<'_>> {
        match self {
            Self::Registry(remote) => {
                Ok(Reader::Remote(Box::new(remote.blob(name, digest, size)?)))
            }
            Self::Tree(tree) => Ok(Reader::File(tree.blob(digest, size)?)),
            Self::Layout(layout) => Ok(Reader::File(layout.blob(digest, size)?)),
        }
    }
}

impl Reader<'_> {
    /// The next piece; `None` at the end.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Bytes>> {
        match self {
            Self::Remote(reader) => Ok(reader.next().await?),
            Self::File(reader) => reader.next().await,
        }
    }
}

/// Reads a manifest. What a registry says it is counts only if it is a type of manifests: some say `text/plain`.
pub(super) fn parse(manifest: &Manifest) -> anyhow::Result<ParsedManifest> {
    let media_type = manifest.media_type.as_deref().filter(|media_type| {
        lazuli_wire::oci::ManifestKind::from_media_type(media_type).is_some()
            || lazuli_wire::oci::media_type::is_docker_schema1(media_type)
    });
    let limits = ManifestLimits::default();
    Ok(ParsedManifest::parse(media_type, &manifest.bytes, &limits)?)
}
