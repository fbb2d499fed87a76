//! The target is asked again.

use std::sync::PoisonError;

use anyhow::anyhow;
use futures_util::{StreamExt as _, stream};
use lazuli_wire::oci::{Digest, Reference};

use super::copy::{Repository, TAGS};

/// A reference, and the digests that it may have.
type Expected = (Reference, [Digest; 2]);

impl Repository<'_> {
    /// Asks the target for everything that came or was there, and compares the digests.
    pub(super) async fn verify(&self) {
        let all = self.expected();
        stream::iter(&all)
            .for_each_concurrent(TAGS, |expected| self.verify_one(expected))
            .await;
    }

    fn expected(&self) -> Vec<Expected> {
        let manifests = self.manifests.lock();
        let mut manifests = manifests.unwrap_or_else(PoisonError::into_inner);
        let manifests = std::mem::take(&mut *manifests).into_iter();
        let whole =
            manifests.filter(|(_, cell)| cell.get().is_some_and(|brought| brought.is_whole));
        let mut tags = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        whole
            .map(|(digest, _)| (Reference::Digest(digest), [digest; 2]))
            .chain(
                tags.drain(..)
                    .map(|(tag, digests)| (Reference::Tag(tag), digests)),
            )
            .collect()
    }

    async fn verify_one(&self, (reference, digests): &Expected) {
        let report = &self.import.report;
        if report.is_stopped() {
            return;
        }
        let target = &self.import.target;
        let error = match target.manifest_digest(&self.to, reference).await {
            Ok(Some(said)) if digests.contains(&said) => return report.verified.add(1),
            Ok(Some(said)) => anyhow!("it is {said} in the target, and was {}", digests[0]),
            Ok(None) => anyhow!("it is not in the target"),
            Err(error) => error.into(),
        };
        report.fail(&format!("{reference} of {}", self.to), &error);
    }
}
