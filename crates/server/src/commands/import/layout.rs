//! An OCI image layout (image-spec, "Image Layout"), as skopeo, oras, buildkit and others write it: one repository.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::bail;
use lazuli_outbound::distribution::Manifest;
use lazuli_outbound::distribution::stored::layout_index;
use lazuli_wire::oci::{Digest, Reference};

use super::source::parse;
use super::tree::{FileReader, open_blob, read, read_manifest};

const MOST_INDEX: usize = 64 << 20;

pub(super) struct Layout {
    root: PathBuf,
    /// What `index.json` lists.
    listed: Vec<(Option<String>, Digest)>,
}

impl Layout {
    pub(super) fn open(folder: &Path) -> anyhow::Result<Self> {
        let is_layout = folder.join("oci-layout").try_exists()?;
        let index = read(&folder.join("index.json"), MOST_INDEX)?;
        let (true, Some(index)) = (is_layout, index) else {
            bail!(
                "{} is no OCI layout: oci-layout or index.json is missing",
                folder.display()
            );
        };
        let listed = layout_index(&index)?;
        Ok(Self {
            root: folder.to_owned(),
            listed,
        })
    }

    pub(super) fn tags(&self) -> Vec<String> {
        let tags: HashSet<&String> = self
            .listed
            .iter()
            .filter_map(|(tag, _)| tag.as_ref())
            .collect();
        tags.into_iter().cloned().collect()
    }

    pub(super) fn manifests(&self) -> Vec<Digest> {
        self.listed.iter().map(|(_, digest)| *digest).collect()
    }

    pub(super) fn manifest(&self, reference: &Reference) -> anyhow::Result<Option<Manifest>> {
        let digest = match reference {
            Reference::Digest(digest) => *digest,
            Reference::Tag(wanted) => {
                let is_wanted = |tag: &Option<String>| tag.as_deref() == Some(wanted.as_str());
                match self.listed.iter().find(|(tag, _)| is_wanted(tag)) {
                    Some((_, digest)) => *digest,
                    None => return Ok(None),
                }
            }
        };
        read_manifest(&self.data(&digest), digest)
    }

    /// Those that `index.json` lists.
    pub(super) fn referrers(&self, subject: &Digest) -> Vec<Digest> {
        let refers = |digest: &Digest| {
            // What cannot be read is named when it is copied.
            let manifest = self.manifest(&Reference::Digest(*digest)).ok().flatten();
            let parsed = manifest.and_then(|manifest| parse(&manifest).ok());
            parsed
                .and_then(|parsed| parsed.subject)
                .is_some_and(|of| of.digest == *subject)
        };
        self.manifests().into_iter().filter(refers).collect()
    }

    pub(super) fn blob(&self, digest: &Digest, size: u64) -> anyhow::Result<FileReader> {
        open_blob(&self.data(digest), size)
    }

    fn data(&self, digest: &Digest) -> PathBuf {
        let folder = self.root.join("blobs").join(digest.algorithm().as_str());
        folder.join(digest.to_hex())
    }
}
