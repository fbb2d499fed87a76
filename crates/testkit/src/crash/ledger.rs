//! What was sent to the server and what it acknowledged.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lazuli_wire::oci::Digest;

use super::history::{History, Removal, Tick};

/// How long nodes answer from memory at most, with some time to spare, after garbage collection took a blob.
const REMEMBERED: Duration = Duration::from_secs(63);

/// One change that a request asks for.
#[derive(Debug, Clone)]
pub enum Effect {
    /// A tag names this manifest from now on, or none.
    Tag(String, Option<Digest>),
    /// A manifest is there, or is not.
    Manifest(Digest, bool),
    /// A blob is there, or is not.
    Blob(Digest, bool),
}

/// What the server said to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Acknowledged,
    /// Not done.
    Refused,
    /// Nothing that tells: the connection broke, or the server failed.
    Unknown,
}

/// A request under way.
#[derive(Debug)]
pub struct Operation {
    number: u64,
    repository: String,
    effects: Vec<Effect>,
    /// When it was sent.
    pub sent: Instant,
}

/// A manifest that was pushed, or tried to be.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// Its bytes.
    pub body: Arc<[u8]>,
    /// Its media type.
    pub media_type: &'static str,
    /// The blobs it names.
    pub blobs: Vec<Digest>,
    /// The manifest it refers to.
    pub subject: Option<Digest>,
    /// Whether it is there.
    pub history: History<bool>,
    /// For how many rounds it has been known not to be there.
    pub absent_rounds: u32,
}

/// A blob of a repository.
#[derive(Debug, Clone)]
pub struct Blob {
    /// Its length, in bytes.
    pub size: u64,
    /// Until when the server promised to keep it even if nothing names it.
    pub leased_until: Option<Instant>,
    /// Since when it is known that garbage collection took it: another node of a group may answer from memory for a minute.
    pub collected: Option<Instant>,
    /// Whether no manifest will ever name it, so that it may be deleted.
    pub is_alone: bool,
    /// Whether it is there.
    pub history: History<bool>,
}

/// What is known of a repository.
#[derive(Debug, Default)]
pub struct Repository {
    /// Its tags.
    pub tags: BTreeMap<String, History<Option<Digest>>>,
    /// Its manifests, also those that were deleted a short time ago.
    pub manifests: BTreeMap<Digest, Manifest>,
    /// Manifests that were deleted a long time ago.
    pub buried: Vec<Digest>,
    /// Its blobs.
    pub blobs: BTreeMap<Digest, Blob>,
}

impl Repository {
    /// What may have removed a manifest: its own deletion, that of its subject, and so on.
    fn removals(&self, digest: &Digest) -> Vec<Removal> {
        let mut removals = Vec::new();
        let mut next = Some(*digest);
        // The subject's deletion removes its referrers for certain; that of the subject's subject only if the subject was there.
        for depth in 0..4 {
            let Some((digest, manifest)) =
                next.and_then(|digest| Some((digest, self.manifests.get(&digest)?)))
            else {
                break;
            };
            removals.extend(manifest.history.writes_of(&false).map(|span| Removal {
                span,
                is_certain: depth <= 1,
            }));
            next = manifest.subject.filter(|subject| *subject != digest);
        }
        removals
    }

    fn removals_by_subject(&self, manifest: &Manifest) -> Vec<Removal> {
        let Some(subject) = manifest.subject else {
            return Vec::new();
        };
        let mut removals = self.removals(&subject);
        let own = self
            .manifests
            .get(&subject)
            .map_or(0, |subject| subject.history.writes_of(&false).count());
        for removal in removals.iter_mut().skip(own) {
            removal.is_certain = false;
        }
        removals
    }

    /// Whether a read that began at `read` may have found a tag to name this manifest, or none.
    pub fn tag_allows(&self, tag: &str, value: Option<Digest>, read: Tick) -> bool {
        let unknown = History::new(None);
        let history = self.tags.get(tag).unwrap_or(&unknown);
        let Some(digest) = value else {
            return history.allows(&None, read, &[]) || {
                let named = self.manifests.keys().filter(|digest| {
                    let value = Some(**digest);
                    history.spans_of(&value).next().is_some()
                });
                let removals: Vec<_> = named.flat_map(|digest| self.removals(digest)).collect();
                history.allows_removed(read, &removals)
            };
        };
        history.allows(&value, read, &self.removals(&digest))
    }

    /// Whether a read may have found a manifest, or not found it.
    pub fn manifest_allows(&self, digest: &Digest, present: bool, read: Tick) -> bool {
        let Some(manifest) = self.manifests.get(digest) else {
            return !present;
        };
        let removals = self.removals_by_subject(manifest);
        let history = &manifest.history;
        history.allows(&present, read, &removals)
            || (!present && history.allows_removed(read, &removals))
    }

    /// Whether a read may have found a blob, or not found it.
    pub fn blob_allows(
        &self,
        digest: &Digest,
        present: bool,
        read: Tick,
        answered: Instant,
    ) -> bool {
        let Some(blob) = self.blobs.get(digest) else {
            return !present;
        };
        if present {
            let may_be_remembered = |collected| answered < collected + REMEMBERED;
            return blob.history.allows(&true, read, &[])
                || blob.collected.is_some_and(may_be_remembered)
                    && blob.history.writes_of(&false).next().is_none();
        }
        if self.is_needed(digest, read) {
            return false;
        }
        // What nothing names is collected some time after the lease.
        blob.history.allows(&false, read, &[])
            || blob.leased_until.is_none_or(|until| until <= answered)
    }

    /// Whether a manifest that is there for certain names the blob.
    pub fn is_needed(&self, blob: &Digest, read: Tick) -> bool {
        self.manifests.iter().any(|(digest, manifest)| {
            manifest.blobs.contains(blob) && !self.manifest_allows(digest, false, read)
        })
    }

    /// Adds a blob, unless it is known.
    pub fn know_blob(&mut self, digest: Digest, size: u64, is_alone: bool) {
        self.blobs.entry(digest).or_insert_with(|| Blob {
            size,
            leased_until: None,
            collected: None,
            is_alone,
            history: History::new(false),
        });
    }

    fn each_write(&mut self, effects: &[Effect], mut change: impl FnMut(Change<'_>)) {
        for effect in effects {
            match effect {
                Effect::Tag(tag, value) => {
                    let history = self.tags.entry(tag.clone());
                    change(Change::Tag(
                        history.or_insert_with(|| History::new(None)),
                        *value,
                    ));
                }
                Effect::Manifest(digest, value) => {
                    if let Some(manifest) = self.manifests.get_mut(digest) {
                        change(Change::Presence(&mut manifest.history, *value));
                    }
                }
                Effect::Blob(digest, value) => {
                    if let Some(blob) = self.blobs.get_mut(digest) {
                        change(Change::Presence(&mut blob.history, *value));
                    }
                }
            }
        }
    }
}

enum Change<'a> {
    Tag(&'a mut History<Option<Digest>>, Option<Digest>),
    Presence(&'a mut History<bool>, bool),
}

/// The ledger, shared by all who send requests.
#[derive(Debug)]
pub struct Ledger {
    state: Mutex<State>,
    lease: Duration,
}

#[derive(Debug, Default)]
struct State {
    tick: Tick,
    repositories: BTreeMap<String, Repository>,
}

impl Ledger {
    /// An empty ledger, for a server that leases digests for that long.
    pub fn new(lease: Duration) -> Self {
        Self {
            state: Mutex::default(),
            lease,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next point in the order of events.
    pub fn tick(&self) -> Tick {
        let mut state = self.state();
        state.tick += 1;
        state.tick
    }

    /// Looks at a repository.
    pub fn with<T>(&self, repository: &str, look: impl FnOnce(&mut Repository) -> T) -> T {
        let mut state = self.state();
        if !state.repositories.contains_key(repository) {
            let empty = Repository::default();
            state.repositories.insert(repository.to_owned(), empty);
        }
        match state.repositories.get_mut(repository) {
            Some(repository) => look(repository),
            None => look(&mut Repository::default()),
        }
    }

    /// The repositories that were spoken of.
    pub fn repositories(&self) -> Vec<String> {
        self.state().repositories.keys().cloned().collect()
    }

    /// A request is about to be sent.
    pub fn begin(&self, repository: &str, effects: Vec<Effect>) -> Operation {
        let number = self.tick();
        self.with(repository, |found| {
            found.each_write(&effects, |change| match change {
                Change::Tag(history, value) => history.begin(number, value, number),
                Change::Presence(history, value) => history.begin(number, value, number),
            });
        });
        Operation {
            number,
            repository: repository.to_owned(),
            effects,
            sent: Instant::now(),
        }
    }

    /// The request was answered, or never will be.
    pub fn end(&self, operation: &Operation, outcome: Outcome) {
        let (now, number) = (self.tick(), operation.number);
        self.with(&operation.repository, |found| {
            found.each_write(&operation.effects, |change| match (change, outcome) {
                (_, Outcome::Unknown) => {}
                (Change::Tag(history, _), Outcome::Acknowledged) => {
                    history.acknowledge(number, now);
                }
                (Change::Tag(history, _), Outcome::Refused) => history.withdraw(number),
                (Change::Presence(history, _), Outcome::Acknowledged) => {
                    history.acknowledge(number, now);
                }
                (Change::Presence(history, _), Outcome::Refused) => history.withdraw(number),
            });
        });
        if outcome == Outcome::Acknowledged {
            for effect in &operation.effects {
                if let Effect::Blob(digest, true) = effect {
                    let until = operation.sent + self.lease;
                    self.leased(&operation.repository, digest, until);
                }
            }
        }
    }

    /// `HEAD` found a blob: a lease is extended when half of it is over, so at least half of one is left.
    pub fn affirmed(&self, repository: &str, digest: &Digest, sent: Instant) {
        self.leased(repository, digest, sent + self.lease / 2);
    }

    fn leased(&self, repository: &str, digest: &Digest, until: Instant) {
        self.with(repository, |found| {
            if let Some(blob) = found.blobs.get_mut(digest) {
                blob.leased_until = blob.leased_until.max(Some(until));
            }
        });
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
