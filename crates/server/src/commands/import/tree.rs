//! The file tree of a CNCF distribution registry (`docker/registry/v2` below its `rootdirectory`).
//!
//! ```text
//! repositories/NAME/_manifests/tags/TAG/current/link       the digest of a tag
//! repositories/NAME/_manifests/revisions/sha256/HEX/link   a manifest that is in the repository
//! blobs/sha256/HE/HEX/data                                 the bytes, of manifests too
//! ```

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, bail};
use bytes::{Bytes, BytesMut};
use lazuli_outbound::distribution::{Manifest, stored};
use lazuli_wire::oci::{Digest, ManifestLimits, Reference, RepositoryName};

use super::source::parse;

const PIECE: usize = 256 << 10;

/// Referrers by subject.
type Referrers = HashMap<Digest, Vec<Digest>>;

/// A repository and its referrers.
type Known = (RepositoryName, Arc<Referrers>);

#[derive(Clone)]
pub(super) struct Tree {
    root: Arc<Path>,
    /// Those of the repository that was asked for last.
    referrers: Arc<Mutex<Option<Known>>>,
}

impl Tree {
    /// The tree in a folder, or below it.
    pub(super) fn open(folder: &Path) -> anyhow::Result<Self> {
        for root in [folder.join("docker/registry/v2"), folder.to_owned()] {
            let (blobs, repositories) = (root.join("blobs"), root.join("repositories"));
            if blobs.try_exists()? && repositories.try_exists()? {
                return Ok(Self {
                    root: root.into(),
                    referrers: Arc::default(),
                });
            }
        }
        bail!(
            "{} has no docker/registry/v2 with blobs and repositories in it",
            folder.display()
        )
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> anyhow::Result<T> + Send + 'static,
    ) -> anyhow::Result<T> {
        let tree = self.clone();
        tokio::task::spawn_blocking(move || work(&tree))
            .await
            .context("reading the tree ended early")?
    }

    pub(super) async fn repositories(&self) -> anyhow::Result<Vec<String>> {
        self.blocking(|tree| {
            let mut found = Vec::new();
            let mut folders = vec![(tree.root.join("repositories"), String::new())];
            while let Some((folder, name)) = folders.pop() {
                for entry in entries(&folder)? {
                    if entry == "_manifests" {
                        found.push(name.clone());
                    } else if !entry.starts_with('_') && name.len() <= RepositoryName::MAX_LENGTH {
                        let slash = if name.is_empty() { "" } else { "/" };
                        folders.push((folder.join(&entry), format!("{name}{slash}{entry}")));
                    }
                }
            }
            found.sort();
            Ok(found)
        })
        .await
    }

    fn manifests_folder(&self, name: &RepositoryName) -> PathBuf {
        let repository = self.root.join("repositories").join(name.as_str());
        repository.join("_manifests")
    }

    pub(super) async fn tags(&self, name: &RepositoryName) -> anyhow::Result<Vec<String>> {
        let folder = self.manifests_folder(name).join("tags");
        self.blocking(move |_| {
            let mut found = entries(&folder)?;
            found.retain(|tag| {
                let link = folder.join(tag).join("current/link");
                link.try_exists().unwrap_or(true)
            });
            Ok(found)
        })
        .await
    }

    pub(super) async fn manifests(&self, name: &RepositoryName) -> anyhow::Result<Vec<Digest>> {
        let name = name.clone();
        self.blocking(move |tree| tree.revisions(&name)).await
    }

    fn revisions(&self, name: &RepositoryName) -> anyhow::Result<Vec<Digest>> {
        let folder = self.manifests_folder(name).join("revisions");
        let mut found = Vec::new();
        for algorithm in entries(&folder)? {
            for hash in entries(&folder.join(&algorithm))? {
                // A deleted manifest leaves its folder without the link.
                if let Ok(digest) = Digest::parse(&format!("{algorithm}:{hash}"))
                    && self.has_revision(name, &digest)?
                {
                    found.push(digest);
                }
            }
        }
        Ok(found)
    }

    fn has_revision(&self, name: &RepositoryName, digest: &Digest) -> io::Result<bool> {
        let folder = self.manifests_folder(name).join("revisions");
        let folder = folder.join(digest.algorithm().as_str());
        folder.join(digest.to_hex()).join("link").try_exists()
    }

    fn data(&self, digest: &Digest) -> PathBuf {
        let (algorithm, hash) = (digest.algorithm().as_str(), digest.to_hex());
        let folder = self.root.join("blobs").join(algorithm).join(&hash[..2]);
        folder.join(hash).join("data")
    }

    pub(super) async fn manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
    ) -> anyhow::Result<Option<Manifest>> {
        let (name, reference) = (name.clone(), reference.clone());
        self.blocking(move |tree| tree.linked_manifest(&name, &reference))
            .await
    }

    fn linked_manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
    ) -> anyhow::Result<Option<Manifest>> {
        let digest = match reference {
            Reference::Digest(digest) => *digest,
            Reference::Tag(tag) => {
                let folder = self.manifests_folder(name).join("tags");
                let link = folder.join(tag.as_str()).join("current/link");
                let Some(text) = read(&link, 1000)? else {
                    return Ok(None);
                };
                stored::link(&text)
                    .with_context(|| format!("{} holds no digest", link.display()))?
            }
        };
        if !self.has_revision(name, &digest)? {
            return Ok(None);
        }
        read_manifest(&self.data(&digest), digest)
    }

    /// The manifests of the repository whose subject this is.
    pub(super) async fn referrers(
        &self,
        name: &RepositoryName,
        subject: &Digest,
    ) -> anyhow::Result<Vec<Digest>> {
        let lock = || {
            self.referrers
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        let known = lock()
            .as_ref()
            .filter(|(of, _)| of == name)
            .map(|(_, all)| all.clone());
        let all = if let Some(all) = known {
            all
        } else {
            let repository = name.clone();
            let read = self.blocking(move |tree| tree.read_referrers(&repository));
            let read = Arc::new(read.await?);
            *lock() = Some((name.clone(), Arc::clone(&read)));
            read
        };
        Ok(all.get(subject).cloned().unwrap_or_default())
    }

    fn read_referrers(&self, name: &RepositoryName) -> anyhow::Result<Referrers> {
        let mut all = Referrers::new();
        for digest in self.revisions(name)? {
            // What cannot be read is named when it is copied.
            if let Ok(Some(manifest)) = self.linked_manifest(name, &digest.into())
                && let Some(subject) = parse(&manifest).ok().and_then(|parsed| parsed.subject)
            {
                all.entry(subject.digest).or_default().push(digest);
            }
        }
        Ok(all)
    }

    pub(super) fn blob(&self, digest: &Digest, size: u64) -> anyhow::Result<FileReader> {
        open_blob(&self.data(digest), size)
    }
}

/// A manifest in a file, compared with its digest; `None` if there is no file.
pub(super) fn read_manifest(path: &Path, digest: Digest) -> anyhow::Result<Option<Manifest>> {
    let Some(bytes) = read(path, ManifestLimits::default().max_bytes)? else {
        return Ok(None);
    };
    if Digest::of(digest.algorithm(), &bytes) != digest {
        bail!("{} is damaged: its digest is another one", path.display());
    }
    Ok(Some(Manifest {
        media_type: None,
        bytes: bytes.into(),
        digest,
    }))
}

/// A blob in a file.
pub(super) fn open_blob(path: &Path, size: u64) -> anyhow::Result<FileReader> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let found = file.metadata()?.len();
    if found != size {
        bail!(
            "{} has {found} bytes, and the manifest says {size}",
            path.display()
        );
    }
    Ok(FileReader { file: Some(file) })
}

/// Reads a file in pieces, not on the threads of the network.
pub(super) struct FileReader {
    file: Option<File>,
}

impl FileReader {
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Bytes>> {
        let Some(mut file) = self.file.take() else {
            return Ok(None);
        };
        let (file, piece) = tokio::task::spawn_blocking(move || {
            let mut piece = BytesMut::zeroed(PIECE);
            let length = file.read(&mut piece)?;
            piece.truncate(length);
            io::Result::Ok((file, piece.freeze()))
        })
        .await
        .context("reading a file ended early")??;
        if piece.is_empty() {
            return Ok(None);
        }
        self.file = Some(file);
        Ok(Some(piece))
    }
}

/// The names of the folders in a folder; links are not followed.
fn entries(folder: &Path) -> anyhow::Result<Vec<String>> {
    let read = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.with_context(|| format!("cannot read {}", folder.display()))?,
    };
    let mut found = Vec::new();
    for entry in read {
        let entry = entry?;
        if let (true, Ok(name)) = (entry.file_type()?.is_dir(), entry.file_name().into_string()) {
            found.push(name);
        }
    }
    Ok(found)
}

/// A small file; `None` if there is none.
pub(super) fn read(path: &Path, most: usize) -> anyhow::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let mut bytes = Vec::new();
    file.take(most as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > most {
        bail!("{} is larger than {most} bytes", path.display());
    }
    Ok(Some(bytes))
}
