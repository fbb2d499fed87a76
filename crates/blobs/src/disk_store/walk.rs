//! Walks over what is on the disk, in batches, so that any number of blobs takes the same memory.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lazuli_wire::oci::{Algorithm, UploadId};

use super::core::blocking;
use super::places;
use crate::disk::{Disk, Names};
use crate::{
    BlobEntry, BlobLister, BoxFuture, Error, Listed, ListedUpload, Location, Operation,
    UploadLister, location,
};

/// What an upload's file name ends in after a sync of it failed.
pub(super) const QUARANTINE_SUFFIX: &str = ".quarantined";

/// Names looked at in one hop to a thread that may block.
const BATCH: usize = 1000;

pub(super) fn blobs(disk: Arc<dyn Disk>, root: &Path) -> Box<dyn BlobLister> {
    Box::new(BlobWalk(Some(Tree {
        disk,
        root: root.to_owned(),
        levels: Vec::new(),
        has_begun: false,
    })))
}

/// `None` at the end, and after an error.
struct BlobWalk(Option<Tree>);

impl BlobLister for BlobWalk {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Vec<Listed>>, Error>> {
        Box::pin(async move {
            let Some(tree) = self.0.take() else {
                return Ok(None);
            };
            let (tree, batch) = blocking(Operation::List, move || tree.batch()).await?;
            self.0 = tree;
            Ok(Some(batch))
        })
    }
}

/// A walk over `prefix/algorithm/fan/name`.
struct Tree {
    disk: Arc<dyn Disk>,
    root: PathBuf,
    /// The directories being read, outermost first.
    levels: Vec<Level>,
    has_begun: bool,
}

struct Level {
    /// Below the root, with a slash at the end; empty for the root itself.
    path: String,
    names: Names,
}

/// Directories above the blobs: root, prefix, algorithm and fan.
const DEPTH: usize = 4;

impl Tree {
    fn batch(mut self) -> Result<(Option<Self>, Vec<Listed>), Error> {
        let mut batch = Vec::new();
        if !std::mem::replace(&mut self.has_begun, true) {
            self.enter(String::new(), &mut batch)?;
        }
        for _ in 0..BATCH {
            let Some(level) = self.levels.last_mut() else {
                return Ok((None, batch));
            };
            let Some(name) = level.names.next() else {
                self.levels.pop();
                continue;
            };
            let name = name.map_err(|source| Error::io(Operation::List, source))?;
            let path = format!("{}{}", level.path, name.to_string_lossy());
            match name.to_str() {
                Some(name) if self.levels.len() == DEPTH => self.look_at(name, path, &mut batch)?,
                Some(name) if is_expected(self.levels.len(), name) => {
                    self.enter(path + "/", &mut batch)?;
                }
                _ => batch.push(Listed::Foreign(path)),
            }
        }
        Ok((Some(self), batch))
    }

    fn enter(&mut self, path: String, batch: &mut Vec<Listed>) -> Result<(), Error> {
        match self.disk.list(&self.root.join(&path)) {
            Ok(names) => self.levels.push(Level { path, names }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                batch.push(Listed::Foreign(path.trim_end_matches('/').to_owned()));
            }
            Err(source) => return Err(Error::io(Operation::List, source)),
        }
        Ok(())
    }

    fn look_at(&self, name: &str, path: String, batch: &mut Vec<Listed>) -> Result<(), Error> {
        let found = Location::parse(&path)
            .ok()
            .and_then(|location| Some((location.digest()?, location)));
        let Some((digest, location)) = found else {
            batch.push(Listed::Foreign(path));
            return Ok(());
        };
        debug_assert!(path.ends_with(name));
        match self.disk.stat(&self.root.join(&path)) {
            // Removed since its name was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(Error::io(Operation::Stat, source)),
            Ok(stat) if !stat.is_file => batch.push(Listed::Foreign(path)),
            Ok(stat) => batch.push(Listed::Blob(BlobEntry {
                location,
                digest,
                size: stat.length,
                modified_us: stat.modified_us,
            })),
        }
        Ok(())
    }
}

/// Whether the store could have made a directory of this name at this depth.
fn is_expected(depth: usize, name: &str) -> bool {
    match depth {
        1 => location::is_prefix(name),
        2 => Algorithm::parse(name).is_some(),
        _ => places::parse_fan(name).is_some(),
    }
}

pub(super) fn uploads(disk: Arc<dyn Disk>, root: &Path) -> Box<dyn UploadLister> {
    Box::new(UploadWalk(Some(Uploads {
        disk,
        root: root.to_owned(),
        names: None,
    })))
}

/// `None` at the end, and after an error.
struct UploadWalk(Option<Uploads>);

impl UploadLister for UploadWalk {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Vec<ListedUpload>>, Error>> {
        Box::pin(async move {
            let Some(uploads) = self.0.take() else {
                return Ok(None);
            };
            let (uploads, batch) = blocking(Operation::List, move || uploads.batch()).await?;
            self.0 = uploads;
            Ok(Some(batch))
        })
    }
}

struct Uploads {
    disk: Arc<dyn Disk>,
    root: PathBuf,
    names: Option<Names>,
}

impl Uploads {
    fn batch(mut self) -> Result<(Option<Self>, Vec<ListedUpload>), Error> {
        let mut names = match self.names.take() {
            Some(names) => names,
            None => self
                .disk
                .list(&self.root)
                .map_err(|source| Error::io(Operation::List, source))?,
        };
        let mut batch = Vec::new();
        for _ in 0..BATCH {
            let Some(name) = names.next() else {
                return Ok((None, batch));
            };
            let name = name.map_err(|source| Error::io(Operation::List, source))?;
            if let Some(found) = name.to_str().and_then(parse_upload) {
                batch.extend(self.look_at(found.0, found.1, Path::new(&name))?);
            }
        }
        self.names = Some(names);
        Ok((Some(self), batch))
    }

    fn look_at(
        &self,
        upload: UploadId,
        is_quarantined: bool,
        name: &Path,
    ) -> Result<Option<ListedUpload>, Error> {
        match self.disk.stat(&self.root.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::io(Operation::Stat, source)),
            Ok(stat) => Ok(stat.is_file.then_some(ListedUpload {
                upload,
                size: stat.length,
                modified_us: stat.modified_us,
                is_quarantined,
            })),
        }
    }
}

fn parse_upload(name: &str) -> Option<(UploadId, bool)> {
    let (text, is_quarantined) = match name.strip_suffix(QUARANTINE_SUFFIX) {
        Some(text) => (text, true),
        None => (name, false),
    };
    Some((UploadId::parse(text).ok()?, is_quarantined))
}
