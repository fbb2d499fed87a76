//! One region: its state, its operations, and how it applies those of others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lazuli_db::clock::ManualClock;
use lazuli_db::hlc::Hlc;
use lazuli_registry::merge::{Delivery, Dots, Presence, TagVersion, VersionVector, resolve};
use lazuli_registry::operations::OperationId;

pub type Repository = u8;
pub type Tag = u8;
pub type Blob = u8;
/// A manifest's digest: the set of its blobs, so that equal content has equal digests.
pub type Digest = u16;

/// The rules in force; each one switched off is a mutant that the checker must catch.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// An operation waits for what its maker had seen.
    pub causal: bool,
    /// A delete removes only the dots it observed.
    pub observed_only: bool,
    /// A manifest is visible only when its blobs are here.
    pub two_phase: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            causal: true,
            observed_only: true,
            two_phase: true,
        }
    }
}

#[derive(Debug, Clone)]
pub enum Change {
    Put {
        repository: Repository,
        digest: Digest,
        tag: Option<Tag>,
        superseded: Option<OperationId>,
    },
    Delete {
        repository: Repository,
        digest: Digest,
        observed: Vec<OperationId>,
        tags: Vec<Tag>,
    },
    Untag {
        repository: Repository,
        tag: Tag,
    },
    /// Removes every dot of its own origin that is older, and those of other origins that it saw; a version of every tag.
    DeleteRepository {
        repository: Repository,
        observed: Vec<OperationId>,
    },
}

#[derive(Debug, Clone)]
pub struct Operation {
    pub id: OperationId,
    pub origin: u16,
    pub sequence: i64,
    pub dependencies: VersionVector,
    pub change: Change,
}

pub fn blobs_of(digest: Digest) -> impl Iterator<Item = Blob> {
    (0..16).filter(move |bit| digest & (1 << bit) != 0)
}

pub struct Region {
    pub origin: u16,
    pub clock: Arc<ManualClock>,
    pub rules: Rules,
    hlc: Hlc,
    pub applied: VersionVector,
    pub log: BTreeMap<u16, Vec<Operation>>,
    pub live: BTreeMap<(Repository, Digest), Dots>,
    pub history: BTreeMap<(Repository, Tag), BTreeSet<TagVersion<Digest>>>,
    /// The newest delete of each repository.
    pub floors: BTreeMap<Repository, TagVersion<Digest>>,
    pub blobs: BTreeSet<Blob>,
}

impl Region {
    pub fn new(origin: u16, now_us: i64, rules: Rules) -> Self {
        let clock = Arc::new(ManualClock::new(now_us));
        Self {
            origin,
            hlc: Hlc::new(clock.clone()),
            clock,
            rules,
            applied: VersionVector::default(),
            log: BTreeMap::new(),
            live: BTreeMap::new(),
            history: BTreeMap::new(),
            floors: BTreeMap::new(),
            blobs: BTreeSet::new(),
        }
    }

    fn emit(&mut self, change: Change) -> Operation {
        let id = OperationId::new(self.hlc.tick(None), self.origin, 0);
        let sequence = self.applied.get(self.origin) + 1;
        let operation = Operation {
            id,
            origin: self.origin,
            sequence,
            dependencies: self.applied.clone(),
            change,
        };
        self.apply(&operation);
        operation
    }

    pub fn put(&mut self, repository: Repository, digest: Digest, tag: Option<Tag>) -> Operation {
        self.blobs.extend(blobs_of(digest));
        let superseded = self
            .live
            .get(&(repository, digest))
            .and_then(|dots| dots.of_origin(self.origin));
        self.emit(Change::Put {
            repository,
            digest,
            tag,
            superseded,
        })
    }

    /// `None` if the repository does not show the manifest.
    pub fn delete(&mut self, repository: Repository, digest: Digest) -> Option<Operation> {
        let observed: Vec<_> = self
            .live
            .get(&(repository, digest))
            .filter(|dots| dots.is_live())?
            .iter()
            .collect();
        let tags = self.tags_of(repository, |target| target == Some(digest));
        Some(self.emit(Change::Delete {
            repository,
            digest,
            observed,
            tags,
        }))
    }

    pub fn untag(&mut self, repository: Repository, tag: Tag) -> Operation {
        self.emit(Change::Untag { repository, tag })
    }

    pub fn delete_repository(&mut self, repository: Repository) -> Operation {
        let of_repository = self
            .live
            .iter()
            .filter(|((owner, _), _)| *owner == repository);
        let observed = of_repository
            .flat_map(|(_, dots)| dots.iter())
            .filter(|dot| dot.origin() != self.origin)
            .collect();
        self.emit(Change::DeleteRepository {
            repository,
            observed,
        })
    }

    /// Tags whose newest version's target satisfies the condition.
    fn tags_of(
        &self,
        repository: Repository,
        condition: impl Fn(Option<Digest>) -> bool,
    ) -> Vec<Tag> {
        let tags = self
            .history
            .iter()
            .filter(|((owner, _), _)| *owner == repository);
        tags.filter(|(_, versions)| condition(versions.last().and_then(|version| version.target)))
            .map(|((_, tag), _)| *tag)
            .collect()
    }

    /// Takes an operation from a peer. False: it has to wait.
    pub fn deliver(&mut self, operation: &Operation) -> bool {
        let no_dependencies = VersionVector::default();
        let dependencies = if self.rules.causal {
            &operation.dependencies
        } else {
            &no_dependencies
        };
        match self
            .applied
            .judge(operation.origin, operation.sequence, dependencies)
        {
            Delivery::Apply => self.apply(operation),
            Delivery::Duplicate => {}
            Delivery::Wait => return false,
        }
        true
    }

    fn apply(&mut self, operation: &Operation) {
        self.applied.advance(operation.origin, operation.sequence);
        self.log
            .entry(operation.origin)
            .or_default()
            .push(operation.clone());
        self.hlc
            .observe(operation.id.hlc())
            .expect("clocks within the bound");
        match &operation.change {
            Change::Put {
                repository,
                digest,
                tag,
                superseded,
            } => {
                self.live
                    .entry((*repository, *digest))
                    .or_default()
                    .put(operation.id, *superseded);
                if let Some(tag) = tag {
                    self.add_version(operation, *repository, *tag, Some(*digest));
                }
            }
            Change::Delete {
                repository,
                digest,
                observed,
                tags,
            } => {
                self.remove_dots(*repository, |of| of == *digest, observed);
                self.remove_tags(operation, *repository, tags);
            }
            Change::Untag { repository, tag } => {
                self.add_version(operation, *repository, *tag, None);
            }
            Change::DeleteRepository {
                repository,
                observed,
            } => {
                let mut observed = observed.clone();
                observed.extend(self.older_dots_of_maker(*repository, operation.id));
                self.remove_dots(*repository, |_| true, &observed);
                let version = TagVersion {
                    hlc: operation.id.hlc(),
                    origin: operation.origin,
                    target: None,
                };
                let floor = self.floors.entry(*repository).or_insert(version);
                *floor = (*floor).max(version);
            }
        }
    }

    fn older_dots_of_maker(&self, repository: Repository, id: OperationId) -> Vec<OperationId> {
        let of_repository = self
            .live
            .iter()
            .filter(|((owner, _), _)| *owner == repository);
        of_repository
            .flat_map(|(_, dots)| dots.iter())
            .filter(|dot| dot.origin() == id.origin() && *dot < id)
            .collect()
    }

    fn remove_dots(
        &mut self,
        repository: Repository,
        condition: impl Fn(Digest) -> bool,
        observed: &[OperationId],
    ) {
        for ((owner, digest), dots) in &mut self.live {
            if *owner != repository || !condition(*digest) {
                continue;
            }
            if self.rules.observed_only {
                dots.delete(observed);
            } else {
                *dots = Dots::default();
            }
        }
    }

    fn remove_tags(&mut self, operation: &Operation, repository: Repository, tags: &[Tag]) {
        for tag in tags {
            self.add_version(operation, repository, *tag, None);
        }
    }

    fn add_version(
        &mut self,
        operation: &Operation,
        repository: Repository,
        tag: Tag,
        target: Option<Digest>,
    ) {
        let version = TagVersion {
            hlc: operation.id.hlc(),
            origin: operation.origin,
            target,
        };
        self.history
            .entry((repository, tag))
            .or_default()
            .insert(version);
    }

    pub fn presence(&self, repository: Repository, digest: Digest) -> Presence {
        if !self
            .live
            .get(&(repository, digest))
            .is_some_and(Dots::is_live)
        {
            Presence::Absent
        } else if self.has_blobs(digest) || !self.rules.two_phase {
            Presence::Visible
        } else {
            Presence::Pending
        }
    }

    pub fn has_blobs(&self, digest: Digest) -> bool {
        blobs_of(digest).all(|blob| self.blobs.contains(&blob))
    }

    pub fn resolve(&self, repository: Repository, tag: Tag) -> Option<TagVersion<Digest>> {
        let floor = self.floors.get(&repository);
        let is_later = |version: &&TagVersion<Digest>| floor.is_none_or(|floor| *version > floor);
        let versions = self.history.get(&(repository, tag))?;
        let newest_first = versions.iter().rev().take_while(is_later).chain(floor);
        resolve(newest_first, |digest| self.presence(repository, *digest)).copied()
    }

    pub fn live_manifests(&self) -> impl Iterator<Item = (Repository, Digest)> {
        self.live
            .iter()
            .filter(|(_, dots)| dots.is_live())
            .map(|(key, _)| *key)
    }

    /// Blobs that live manifests need and that are not here.
    pub fn missing(&self) -> BTreeSet<Blob> {
        let needed: BTreeSet<_> = self
            .live_manifests()
            .flat_map(|(_, digest)| blobs_of(digest))
            .collect();
        needed.difference(&self.blobs).copied().collect()
    }

    pub fn collect_garbage(&mut self) {
        let needed: BTreeSet<_> = self
            .live_manifests()
            .flat_map(|(_, digest)| blobs_of(digest))
            .collect();
        self.blobs.retain(|blob| needed.contains(blob));
    }
}
