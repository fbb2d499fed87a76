//! Checking that what is stored belongs together, and repairing it.
//!
//! Every page of rows is read in one snapshot and small, so a check may run beside a server. A repair may not: it
//! changes rows that a server has in memory. The rules of a repair: it takes back promises that cannot be kept (so that
//! a push heals what is lost), restores records from the content they describe, and never destroys content. Damaged
//! content is put aside: its rows go, its bytes stay.

mod blobs;
mod finding;
mod log;
mod manifests;
pub(crate) mod repair;
pub(crate) mod sql;
pub(crate) mod store;

use lazuli_identity::RegistryId;

use crate::operations::{self, Operation};
use crate::{Registry, Result};

pub use finding::{Damage, Finding, Place, Severity};

/// What to check, and whether to repair.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Read every blob and compare its bytes with its digest. Without it only lengths are compared.
    pub verify: bool,
    /// Repair what can be repaired.
    pub repair: bool,
}

/// What became of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was only reported.
    Reported,
    /// It was repaired.
    Repaired,
    /// There is nothing that a repair could do.
    Unrepairable,
}

/// What was looked at and found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Blobs.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Blobs of repositories.
    pub links: u64,
    /// Manifests.
    pub manifests: u64,
    /// Tags.
    pub tags: u64,
    /// Files of the store.
    pub files: u64,
    /// Operations of the log.
    pub operations: u64,
    /// Findings: content that cannot be served, or promises that are broken.
    pub errors: u64,
    /// Findings: records that do not agree.
    pub warnings: u64,
    /// Findings: leftovers.
    pub notes: u64,
    /// Findings that were repaired.
    pub repaired: u64,
}

impl Summary {
    /// Whether everything is as it should be, or was repaired. Leftovers are no fault.
    pub fn is_sound(&self) -> bool {
        self.errors + self.warnings <= self.repaired
    }
}

/// Checks everything; each finding is passed on when it is met.
pub async fn check(
    registry: &Registry,
    options: Options,
    on_finding: &mut (dyn FnMut(&Finding, Outcome) + Send),
) -> Result<Summary> {
    let mut checker = Checker {
        registry,
        options,
        on_finding,
        summary: Summary::default(),
    };
    // Orphans first: one of them may be the content that a blob misses.
    let orphans = checker.find_orphans().await?;
    let adopted = checker.check_blobs(&orphans).await?;
    checker.report_orphans(&orphans, &adopted).await?;
    checker.check_uploads(&orphans).await?;
    checker.check_links().await?;
    checker.check_manifests().await?;
    checker.check_tags().await?;
    checker.check_dangling_rows().await?;
    checker.check_log().await?;
    if checker.summary.repaired > 0 {
        registry.inner.cache.clear();
        tell_other_nodes(registry).await?;
    }
    Ok(checker.summary)
}

/// A repair changed what other nodes may have in memory: after a setting's operation they forget everything.
async fn tell_other_nodes(registry: &Registry) -> Result<()> {
    if registry.inner.nodes.is_none() {
        return Ok(());
    }
    let context = registry.inner.log.context("fsck", "");
    registry
        .inner
        .db
        .write(move |tx| {
            let operation = Operation::Setting {
                name: "fsck.repaired_at".to_owned(),
                value: Some(context.now_us().to_string()),
            };
            let id = RegistryId::DEFAULT.get();
            operations::append(tx, &context, id, None, &operation, None)
        })
        .await?;
    registry.inner.log.committed();
    Ok(())
}

struct Checker<'a> {
    registry: &'a Registry,
    options: Options,
    on_finding: &'a mut (dyn FnMut(&Finding, Outcome) + Send),
    summary: Summary,
}

impl Checker<'_> {
    /// Repairs if asked to, counts, and passes the finding on.
    async fn report(&mut self, finding: Finding) -> Result<Outcome> {
        let outcome = if !self.options.repair {
            Outcome::Reported
        } else if repair::repair(self.registry, &finding).await? {
            Outcome::Repaired
        } else {
            Outcome::Unrepairable
        };
        let summary = &mut self.summary;
        match finding.severity() {
            Severity::Error => summary.errors += 1,
            Severity::Warning => summary.warnings += 1,
            Severity::Note => summary.notes += 1,
        }
        summary.repaired +=
            u64::from(outcome == Outcome::Repaired && finding.severity() != Severity::Note);
        (self.on_finding)(&finding, outcome);
        Ok(outcome)
    }

    async fn report_all(&mut self, findings: Vec<Finding>) -> Result<()> {
        for finding in findings {
            self.report(finding).await?;
        }
        Ok(())
    }
}
