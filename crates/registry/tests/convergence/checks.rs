//! What must hold after every step, and in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use lazuli_registry::merge::{Dots, Presence};
use lazuli_registry::operations::OperationId;

use super::model::{Change, Digest, Region, Repository, Tag};
use super::schedule::World;

#[derive(Debug)]
#[expect(dead_code, reason = "shown by Debug")]
pub enum Violation {
    Dangling {
        step: u64,
        origin: u16,
        repository: Repository,
        tag: Tag,
    },
    OwnWriteNotRead {
        step: u64,
        change: Change,
    },
    TagWentBack {
        step: u64,
        origin: u16,
        repository: Repository,
        tag: Tag,
    },
    Diverged(&'static str),
    NotDelivered,
    LivenessWrong {
        origin: u16,
        repository: Repository,
        digest: Digest,
    },
    NotServable {
        origin: u16,
        repository: Repository,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl World {
    /// After every step, in every region: what a tag answers can be served, and no tag answers with an older version
    /// than it did before.
    pub(crate) fn check_servable(&mut self, step: u64) -> Result<(), Violation> {
        for region in &self.regions {
            let origin = region.origin;
            for (repository, tag) in region.history.keys().copied() {
                let Some(version) = region.resolve(repository, tag) else {
                    continue;
                };
                let servable = version.target.is_some_and(|digest| {
                    region.has_blobs(digest)
                        && region.presence(repository, digest) == Presence::Visible
                });
                if !servable {
                    return Err(Violation::Dangling {
                        step,
                        origin,
                        repository,
                        tag,
                    });
                }
                let key = (version.hlc, version.origin);
                let before = self.answered.insert((origin, repository, tag), key);
                if before.is_some_and(|before| before > key) {
                    return Err(Violation::TagWentBack {
                        step,
                        origin,
                        repository,
                        tag,
                    });
                }
            }
        }
        Ok(())
    }

    pub(crate) fn check_converged(&self) -> Result<(), Violation> {
        let first = &self.regions[0];
        for region in &self.regions[1..] {
            if !first.live_manifests().eq(region.live_manifests()) {
                return Err(Violation::Diverged("live manifests"));
            }
            let dots =
                |region: &Region| -> Vec<_> { region.live.values().flat_map(Dots::iter).collect() };
            if dots(first) != dots(region) {
                return Err(Violation::Diverged("dots"));
            }
            if !first.floors.iter().eq(&region.floors) {
                return Err(Violation::Diverged("deleted repositories"));
            }
            for (key, versions) in &first.history {
                let same = region
                    .history
                    .get(key)
                    .is_some_and(|others| others.iter().eq(versions.iter()));
                if !same || first.resolve(key.0, key.1) != region.resolve(key.0, key.1) {
                    return Err(Violation::Diverged("tags"));
                }
            }
        }
        Ok(())
    }

    /// A dot is live exactly if no acknowledged operation removed it; every live manifest can be served everywhere.
    /// Computed from the acknowledged operations alone.
    pub(crate) fn check_liveness(&self) -> Result<(), Violation> {
        let mut removed = BTreeSet::<OperationId>::new();
        let mut expected = BTreeMap::<(Repository, Digest), BTreeSet<OperationId>>::new();
        for operation in &self.acknowledged {
            match &operation.change {
                Change::Put {
                    repository,
                    digest,
                    superseded,
                    ..
                } => {
                    removed.extend(superseded);
                    expected
                        .entry((*repository, *digest))
                        .or_default()
                        .insert(operation.id);
                }
                Change::Delete { observed, .. } => removed.extend(observed),
                Change::DeleteRepository {
                    repository,
                    observed,
                } => {
                    removed.extend(observed);
                    // Acknowledged in the order of their makers.
                    let of_repository = expected.iter().filter(|((of, _), _)| of == repository);
                    let older = of_repository
                        .flat_map(|(_, dots)| dots)
                        .filter(|dot| dot.origin() == operation.origin);
                    removed.extend(older);
                }
                Change::Untag { .. } => {}
            }
        }
        for region in &self.regions {
            for ((repository, digest), put) in &expected {
                let survivors: Vec<_> = put.difference(&removed).copied().collect();
                let live: Vec<_> = region
                    .live
                    .get(&(*repository, *digest))
                    .into_iter()
                    .flat_map(Dots::iter)
                    .collect();
                if survivors != live {
                    let (repository, digest) = (*repository, *digest);
                    return Err(Violation::LivenessWrong {
                        origin: region.origin,
                        repository,
                        digest,
                    });
                }
            }
            for (repository, digest) in region.live_manifests() {
                if !region.has_blobs(digest)
                    || region.presence(repository, digest) != Presence::Visible
                {
                    return Err(Violation::NotServable {
                        origin: region.origin,
                        repository,
                    });
                }
            }
        }
        Ok(())
    }
}
