//! After a fault: what every node serves is compared with what any of them acknowledged.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};

use super::Group;
use super::engines::StorageKind;
use crate::crash::client::{Client, Stop};
use crate::crash::random::Random;
use crate::crash::{COLLECTED, INLINE_MAX, folder};

/// Objects that are no blobs.
const OWN_OBJECTS: usize = 4;

impl Group<'_> {
    /// Compares every repository with the ledger, through one node after the other: the first goes by what was acknowledged,
    /// the others have to say the same.
    pub(super) fn check(&self, round: u64, is_thorough: bool) -> Result<()> {
        let count = self.nodes.len();
        for turn in 0..count {
            let node = (round as usize + turn) % count;
            let listed = self.check_through(node, round, is_thorough && turn == 0);
            let listed = listed.with_context(|| format!("through node {node}"))?;
            let random = Random::new(self.options.crash.seed, &[round]);
            let mut client = Client::new(&self.shared, 0, random, Vec::new());
            client.only = Some(node);
            // No answer was noted as a violation.
            let _ = client.check_catalog(&listed);
            self.no_violations()
                .with_context(|| format!("through node {node}"))?;
        }
        Ok(())
    }

    fn check_through(&self, node: usize, round: u64, is_thorough: bool) -> Result<Vec<String>> {
        let names = self.shared.ledger.repositories();
        let (shared, seed) = (&*self.shared, self.options.crash.seed);
        let checked = std::thread::scope(|scope| {
            let checks: Vec<_> = (0..)
                .zip(names.chunks(names.len().div_ceil(3).max(1)))
                .map(|(number, names)| {
                    let random = Random::new(seed, &[round, u64::MAX, node as u64, number]);
                    scope.spawn(move || {
                        let mut client = Client::new(shared, number, random, Vec::new());
                        client.only = Some(node);
                        let mut listed = Vec::new();
                        for name in names {
                            if client.check_repository(name, is_thorough)? {
                                listed.push(name.clone());
                            }
                        }
                        Ok::<_, Stop>(listed)
                    })
                })
                .collect();
            let joined: Vec<_> = checks
                .into_iter()
                .map(std::thread::ScopedJoinHandle::join)
                .collect();
            joined
        });
        self.no_violations()?;
        let mut listed = Vec::new();
        for names in checked {
            let names = names.map_err(|_| anyhow!("a check panicked"))?;
            // No answer was noted as a violation.
            listed.extend(names.unwrap_or_default());
        }
        Ok(listed)
    }

    /// Every session has to be where it was, whichever node is asked, and can be continued.
    pub(super) fn take_up_sessions(&mut self, round: u64, all: bool) -> Result<()> {
        for (number, sessions) in (0..).zip(&mut self.sessions) {
            let random = Random::new(self.options.crash.seed, &[round, number, u64::MAX]);
            let taken = std::mem::take(sessions);
            let mut client = Client::new(&self.shared, number, random, taken);
            // No answer was noted as a violation.
            let _ = client.take_up_sessions(all);
            *sessions = client.sessions;
        }
        self.no_violations()
    }

    pub(super) fn fsck(&self, is_thorough: bool) -> Result<folder::Fsck> {
        folder::fsck(&self.nodes[0], &self.engines.settings(0), is_thorough)
    }

    /// Everything is read once more through every node; all sessions end; what nothing needs has to go; `lazuli fsck` has to
    /// be content with every byte.
    pub(super) fn end(&mut self) -> Result<String> {
        let round = self.options.crash.rounds;
        self.take_up_sessions(round, true)?;
        self.check(round, true)?;
        self.await_collection()?;
        for node in &mut self.nodes {
            ensure!(
                node.stop(),
                "a node did not stop in order\n{}",
                node.log_tail()
            );
        }
        self.check_logs()?;
        let fsck = self.fsck(true)?;
        self.no_violations()?;
        Ok(fsck.summary)
    }

    /// What another node collected in order must not be reported as damage.
    fn check_logs(&self) -> Result<()> {
        for (number, node) in self.nodes.iter().enumerate() {
            let log = node.log();
            let line = log.lines().find(|line| line.contains("content is damaged"));
            ensure!(
                line.is_none() || self.nodes.len() == 1,
                "node {number} tells of damage: {line:?}"
            );
        }
        Ok(())
    }

    fn await_collection(&self) -> Result<()> {
        if self.options.storage != StorageKind::S3 {
            return Ok(());
        }
        let needed = folder::needed_blobs(&self.shared.ledger, INLINE_MAX);
        let deadline = Instant::now() + COLLECTED;
        loop {
            let mut keys = self.engines.keys();
            // A larger blob's bytes, and whose they are, are two more objects without its digest in their names.
            let bytes = keys.iter().filter(|key| key.contains("/data/")).count() / 2;
            keys.retain(|key| key.contains("/sha256/"));
            let of_needed =
                |key: &&String| needed.iter().any(|digest| key.contains(&digest.to_hex()));
            let fsck = self.fsck(false)?;
            let kept = keys.len() - keys.iter().filter(of_needed).count();
            // The objects of broken-off pushes stay for a day: `fsck` knows them.
            let known = fsck.orphan_files + fsck.orphan_uploads + OWN_OBJECTS;
            if kept <= known && bytes <= keys.len() + known {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "{kept} objects are kept that no manifest needs; fsck knows {fsck:?}"
            );
            std::thread::sleep(Duration::from_millis(500));
        }
    }
}
