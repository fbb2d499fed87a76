//! An OCI image layout (image-spec, "Image Layout"), as skopeo, oras, buildkit and others write it: one repository.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use lazuli_outbound::distribution::Manifest;
use lazuli_wire::oci::{Digest, Reference};
use serde_json::Value;

use super::source::parse;
use super::tree::{FileReader, open_blob, read, read_manifest};

/// The annotation that holds a tag, or a whole reference that ends with one.
const NAME: &str = "org.opencontainers.image.ref.name";
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
        let index: Value = serde_json::from_slice(&index).context("index.json is no JSON")?;
        let mut listed = Vec::new();
        for entry in index["manifests"].as_array().into_iter().flatten() {
            let digest = entry["digest"].as_str().unwrap_or_default();
            let digest = Digest::parse(digest)
                .with_context(|| format!("index.json lists {digest:?}, which is no digest"))?;
            let tag = entry["annotations"][NAME].as_str().map(tag_of);
            listed.push((tag, digest));
        }
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

/// The tag of `v1`, `a/b:v1` and `registry.example.com:5000/a/b:v1@sha256:…`.
fn tag_of(name: &str) -> String {
    let name = name.split('@').next().unwrap_or_default();
    let last = name.rsplit('/').next().unwrap_or_default();
    last.rsplit(':').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::tag_of;

    #[test]
    fn tags_of_names() {
        for name in [
            "v1",
            "a/b:v1",
            "registry.example.com:5000/a/b:v1",
            "b:v1@sha256:00",
        ] {
            assert_eq!(tag_of(name), "v1");
        }
    }
}
