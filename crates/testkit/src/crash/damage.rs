//! Damage done on purpose between a kill and the restart: what a server that loses data would leave. The check has to find it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::ledger::Ledger;
use super::random::Random;

/// A kind of damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// The file of a blob that a manifest needs is removed.
    RemoveBlob,
    /// It is cut to half its length.
    CutBlob,
    /// One bit of it is turned.
    FlipBit,
    /// The database is put back to what it was before the round.
    OldDatabase,
    /// The bytes of the upload sessions are removed.
    RemoveUploads,
}

impl Damage {
    /// Every kind, by its name on the command line.
    pub const ALL: [(&str, Self); 5] = [
        ("remove-blob", Self::RemoveBlob),
        ("cut-blob", Self::CutBlob),
        ("flip-bit", Self::FlipBit),
        ("old-database", Self::OldDatabase),
        ("remove-uploads", Self::RemoveUploads),
    ];

    /// The kind of that name.
    pub fn parse(name: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name);
        found.map(|(_, damage)| *damage)
    }

    /// Does the damage to the data of a server that does not run. `before`: a copy of its database.
    ///
    /// # Errors
    /// When there is nothing to damage yet, or it cannot be done.
    pub fn apply(
        self,
        data: &Path,
        before: &Path,
        ledger: &Ledger,
        random: &mut Random,
    ) -> Result<String> {
        match self {
            Self::OldDatabase => {
                copy_database(before, data)?;
                Ok("the database is older than what was acknowledged".to_owned())
            }
            Self::RemoveUploads => {
                let uploads: Vec<_> = fs::read_dir(data.join("uploads"))?.flatten().collect();
                for upload in &uploads {
                    fs::remove_file(upload.path())?;
                }
                anyhow::ensure!(!uploads.is_empty(), "there are no uploads yet");
                Ok(format!("{} uploads have lost their bytes", uploads.len()))
            }
            Self::RemoveBlob | Self::CutBlob | Self::FlipBit => {
                let file = needed_file(data, ledger, random)?;
                self.apply_to(&file)?;
                Ok(format!("{self:?}: {}", file.display()))
            }
        }
    }

    fn apply_to(self, file: &Path) -> Result<()> {
        if self == Self::RemoveBlob {
            return Ok(fs::remove_file(file)?);
        }
        let mut bytes = fs::read(file)?;
        let middle = bytes.len() / 2;
        if self == Self::CutBlob {
            bytes.truncate(middle);
        } else {
            bytes[middle] ^= 1;
        }
        Ok(fs::write(file, bytes)?)
    }
}

/// Copies the database of a server that does not run, with its log.
///
/// # Errors
/// When a file cannot be copied.
pub fn copy_database(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for name in ["lazuli.db", "lazuli.db-wal"] {
        let (source, target) = (from.join(name), to.join(name));
        if source.try_exists()? {
            fs::copy(&source, &target).with_context(|| name.to_owned())?;
        } else if target.try_exists()? {
            fs::remove_file(&target)?;
        }
    }
    // The index of the log is made anew from the log.
    let index = to.join("lazuli.db-shm");
    if index.try_exists()? {
        fs::remove_file(index)?;
    }
    Ok(())
}

/// The file of some blob that a manifest needs.
fn needed_file(data: &Path, ledger: &Ledger, random: &mut Random) -> Result<PathBuf> {
    let mut files = Vec::new();
    for name in ledger.repositories() {
        let needed = ledger.with(&name, |repository| {
            let blobs = repository.blobs.iter();
            let needed = blobs.filter(|(digest, _)| repository.is_needed(digest, u64::MAX));
            needed.map(|(digest, _)| *digest).collect::<Vec<_>>()
        });
        for digest in needed {
            let hex = digest.to_hex();
            let folder = data
                .join("blobs/1")
                .join(digest.algorithm().as_str())
                .join(&hex[..2]);
            // Small blobs are in the database.
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            files.extend(
                entries
                    .filter(|entry| entry.file_name().to_string_lossy().starts_with(&hex))
                    .map(|entry| entry.path()),
            );
        }
    }
    match random.pick(&files) {
        Some(file) => Ok(file.clone()),
        None => bail!("no manifest needs a blob in a file yet"),
    }
}
