//! The data folder of a server that does not run: `lazuli fsck`, and whether space that nothing needs was freed.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result};
use lazuli_wire::oci::Digest;

use super::ledger::Ledger;
use crate::server::Server;

/// What `lazuli fsck` said.
#[derive(Debug, Default)]
pub struct Fsck {
    /// Files of blobs that no row knows.
    pub orphan_files: usize,
    /// Bytes of uploads that have no session.
    pub orphan_uploads: usize,
    /// The last line.
    pub summary: String,
}

/// Runs `lazuli fsck`, with these settings.
///
/// # Errors
/// What it found, if it is not content.
pub fn fsck(
    server: &Server,
    settings: &[(&'static str, String)],
    is_thorough: bool,
) -> Result<Fsck> {
    let mut command = server.command(&["fsck"]);
    command.envs(settings.iter().map(|(name, value)| (name, value)));
    if is_thorough {
        command.arg("--verify");
    }
    let output = command.output().context("cannot run fsck")?;
    let text = String::from_utf8_lossy(&output.stdout);
    anyhow::ensure!(
        output.status.success(),
        "fsck: {}\n{text}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    let notes = |start: &str, end: &str| {
        let lines = text.lines();
        lines
            .filter(|line| line.starts_with(start) && line.ends_with(end))
            .count()
    };
    Ok(Fsck {
        orphan_files: notes("note: file ", "bytes that no row knows"),
        orphan_uploads: notes("note: upload ", "bytes without a session"),
        summary: text.lines().last().unwrap_or_default().to_owned(),
    })
}

/// How many files there are below a folder.
///
/// # Errors
/// When it cannot be read.
pub fn count_files(folder: &Path) -> Result<usize> {
    let mut count = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        count += if entry.file_type()?.is_dir() {
            count_files(&entry.path())?
        } else {
            1
        };
    }
    Ok(count)
}

/// The blobs of more bytes than `inline_max` that some manifest needs.
pub fn needed_blobs(ledger: &Ledger, inline_max: u64) -> BTreeSet<Digest> {
    let mut needed: BTreeSet<Digest> = BTreeSet::new();
    for name in ledger.repositories() {
        ledger.with(&name, |repository| {
            let present = repository.manifests.values();
            let present = present.filter(|manifest| *manifest.history.settled());
            for digest in present.flat_map(|manifest| &manifest.blobs) {
                let size = repository.blobs.get(digest).map_or(0, |blob| blob.size);
                if size > inline_max {
                    needed.insert(*digest);
                }
            }
        });
    }
    needed
}
