//! The load: what clients do until the server is killed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lazuli_wire::oci::{Algorithm, Digest};
use serde_json::Value;

use super::client::{Client, Request, Stop};
use super::history::History;
use super::images;
use super::ledger::{Effect, Manifest};
use super::pushes::some_size;
use super::random::content;

/// How many clients there are.
pub const CLIENTS: u64 = 8;
/// How many repositories all clients push to, beside the one that each has for itself.
const SHARED_REPOSITORIES: u64 = 2;
/// How many tags a repository has.
const TAGS: u64 = 12;
/// How many manifests a repository keeps, more or less.
const MANIFESTS: usize = 30;
/// How many sessions a client keeps open on purpose.
const SESSIONS: usize = 3;

#[derive(Debug, Clone, Copy)]
enum Step {
    Image,
    Index,
    Referrer,
    MoveTag,
    DeleteTag,
    DeleteManifest,
    LonelyBlob,
    DeleteBlob,
    Session,
    ReadTag,
    ReadManifest,
    ReadBlob,
}

const STEPS: [(u64, Step); 12] = [
    (22, Step::Image),
    (7, Step::Index),
    (8, Step::Referrer),
    (12, Step::MoveTag),
    (7, Step::DeleteTag),
    (9, Step::DeleteManifest),
    (5, Step::LonelyBlob),
    (4, Step::DeleteBlob),
    (10, Step::Session),
    (8, Step::ReadTag),
    (4, Step::ReadManifest),
    (4, Step::ReadBlob),
];

impl Client<'_> {
    /// Works until the server is gone, or, in a group, until told to end.
    pub fn load(&mut self) {
        if !self.shared.is_group {
            while self.step().is_ok() {}
            return;
        }
        while !self.shared.is_over() {
            let continued = match self.doubtful_session() {
                Some(place) => self.take_up_session(place, false),
                None => self.step(),
            };
            if continued.is_err() {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    fn step(&mut self) -> Result<(), Stop> {
        let repository = if self.random.percent(60) {
            format!("crash/own{}", self.number)
        } else {
            format!("crash/shared{}", self.random.below(SHARED_REPOSITORIES))
        };
        let step = self.random.weighted(&STEPS).unwrap_or(Step::Image);
        let is_crowded = self.random.percent(60)
            && self.shared.ledger.with(&repository, |found| {
                let manifests = found.manifests.values();
                manifests.filter(|m| m.absent_rounds == 0).count() > MANIFESTS
            });
        match step {
            Step::Image | Step::Index | Step::Referrer if is_crowded => {
                self.delete_manifest(&repository)
            }
            Step::Image => self.image(&repository),
            Step::Index => self.index(&repository),
            Step::Referrer => self.referrer(&repository),
            Step::MoveTag => self.move_tag(&repository),
            Step::DeleteTag => self.delete_tag(&repository),
            Step::DeleteManifest => self.delete_manifest(&repository),
            Step::LonelyBlob => self.lonely_blob(&repository),
            Step::DeleteBlob => self.delete_blob(&repository),
            Step::Session => self.session(&repository),
            Step::ReadTag => self.read_tag(&repository),
            Step::ReadManifest => self.read_manifest(&repository),
            Step::ReadBlob => self.read_blob(&repository),
        }
    }

    fn image(&mut self, repository: &str) -> Result<(), Stop> {
        let Some(config) = self.blob(repository, true)? else {
            return Ok(());
        };
        let mut layers = Vec::new();
        for _ in 0..self.random.between(1, 3) {
            let Some(layer) = self.blob(repository, false)? else {
                return Ok(());
            };
            layers.push(layer);
        }
        let (is_docker, salt) = (self.random.percent(30), self.random.number());
        let media_type = if is_docker {
            images::DOCKER
        } else {
            images::OCI
        };
        let blobs = layers.iter().chain([&config]).map(|blob| blob.0).collect();
        let body = images::image(is_docker, config, &layers, salt);
        self.push_manifest(repository, manifest(media_type, &body, blobs, None))
    }

    fn index(&mut self, repository: &str) -> Result<(), Stop> {
        let mut children = Vec::new();
        for _ in 0..self.random.between(1, 4) {
            children.extend(self.some_manifest(repository).map(|(digest, child)| {
                let size = child.body.len() as u64;
                (child.media_type, (digest, size))
            }));
        }
        let body = images::index(&children, self.random.number());
        self.push_manifest(repository, manifest(images::INDEX, &body, Vec::new(), None))
    }

    fn referrer(&mut self, repository: &str) -> Result<(), Stop> {
        let subject = self.some_manifest(repository);
        let config = self.blob(repository, true)?;
        let layer = self.blob(repository, true)?;
        let (Some((digest, subject)), Some(config), Some(layer)) = (subject, config, layer) else {
            return Ok(());
        };
        let of = (subject.media_type, (digest, subject.body.len() as u64));
        let body = images::referrer(config, layer, of, self.random.number());
        let blobs = vec![config.0, layer.0];
        let new = manifest(images::OCI, &body, blobs, Some(digest));
        self.push_manifest(repository, new)
    }

    fn move_tag(&mut self, repository: &str) -> Result<(), Stop> {
        match self.some_manifest(repository) {
            Some((_, manifest)) => self.push_manifest(repository, manifest),
            None => Ok(()),
        }
    }

    fn delete_tag(&mut self, repository: &str) -> Result<(), Stop> {
        let tag = self.some_tag();
        let target = format!("/v2/{repository}/manifests/{tag}");
        let read = self.shared.ledger.tick();
        let effects = vec![Effect::Tag(tag.clone(), None)];
        if self.delete("deleted tags", repository, &effects, &target)? == 404 {
            let allowed = self
                .shared
                .ledger
                .with(repository, |found| found.tag_allows(&tag, None, read));
            self.expect(allowed, &target, "404 to a delete, yet it must be there");
        }
        Ok(())
    }

    fn delete_manifest(&mut self, repository: &str) -> Result<(), Stop> {
        let Some((digest, _)) = self.some_manifest(repository) else {
            return Ok(());
        };
        let target = format!("/v2/{repository}/manifests/{digest}");
        let read = self.shared.ledger.tick();
        let effects = vec![Effect::Manifest(digest, false)];
        if self.delete("deleted manifests", repository, &effects, &target)? == 404 {
            let allowed = self.shared.ledger.with(repository, |found| {
                found.manifest_allows(&digest, false, read)
            });
            self.expect(allowed, &target, "404 to a delete, yet it must be there");
        }
        Ok(())
    }

    /// A blob that no manifest will ever name.
    fn lonely_blob(&mut self, repository: &str) -> Result<(), Stop> {
        let (seed, size) = (self.random.number(), some_size(&mut self.random, false));
        // Few bytes could be those of another blob.
        let size = size.max(32);
        self.push_blob(repository, (seed, size), true).map(drop)
    }

    fn delete_blob(&mut self, repository: &str) -> Result<(), Stop> {
        let lonely: Vec<Digest> = self.shared.ledger.with(repository, |found| {
            let blobs = found.blobs.iter().filter(|(_, blob)| blob.is_alone);
            blobs.map(|(digest, _)| *digest).collect()
        });
        let Some(digest) = self.random.pick(&lonely).copied() else {
            return Ok(());
        };
        let target = format!("/v2/{repository}/blobs/{digest}");
        let read = self.shared.ledger.tick();
        let effects = vec![Effect::Blob(digest, false)];
        if self.delete("deleted blobs", repository, &effects, &target)? == 404 {
            let now = Instant::now();
            let allowed = self.shared.ledger.with(repository, |found| {
                found.blob_allows(&digest, false, read, now)
            });
            self.expect(allowed, &target, "404 to a delete, yet it must be there");
        }
        Ok(())
    }

    fn delete(
        &mut self,
        kind: &'static str,
        repository: &str,
        effects: &[Effect],
        target: &str,
    ) -> Result<u16, Stop> {
        let request = Request {
            method: "DELETE",
            target,
            headers: &[],
            body: &[],
        };
        let response = self.insist(kind, repository, effects, request, (202, &[404]))?;
        Ok(response.status)
    }

    fn session(&mut self, repository: &str) -> Result<(), Stop> {
        let (choice, seed) = (self.random.below(100), self.random.number());
        let (size, share) = (
            self.random.between(10 << 10, 3 << 20),
            self.random.between(1, 90),
        );
        if self.sessions.len() < SESSIONS {
            let digest = Digest::of(Algorithm::Sha256, &content(seed, size as usize));
            return self
                .start_session(repository, (seed, size), digest)
                .map(drop);
        }
        let place = (seed % self.sessions.len() as u64) as usize;
        let left = self.sessions[place].size - self.sessions[place].acknowledged;
        let chunk = left * share / 100;
        if choice < 60 && chunk > 1 {
            self.append(place, chunk, false).map(drop)
        } else if choice < 90 {
            self.finish(place).map(drop)
        } else {
            self.cancel(place)
        }
    }

    pub(super) fn some_tag(&mut self) -> String {
        let number = self.random.below(TAGS);
        // A group has tags that everybody moves.
        let is_hot = self.shared.is_group && self.random.percent(40);
        format!("t{}", if is_hot { 0 } else { number })
    }

    /// A manifest that is there, may be there, or was there a short time ago.
    pub(super) fn some_manifest(&mut self, repository: &str) -> Option<(Digest, Manifest)> {
        let known: Vec<Digest> = self.shared.ledger.with(repository, |found| {
            found.manifests.keys().copied().collect()
        });
        let digest = *self.random.pick(&known)?;
        self.shared.ledger.with(repository, |found| {
            let manifest = found.manifests.get(&digest)?;
            Some((digest, manifest.clone()))
        })
    }

    pub(super) fn expect(&self, is_allowed: bool, target: &str, otherwise: &str) {
        if !is_allowed {
            self.shared.violation(format!("{target}: {otherwise}"));
        }
    }
}

fn manifest(
    media_type: &'static str,
    body: &Value,
    blobs: Vec<Digest>,
    subject: Option<Digest>,
) -> Manifest {
    Manifest {
        body: Arc::from(body.to_string().into_bytes()),
        media_type,
        blobs,
        subject,
        history: History::new(false),
        absent_rounds: 0,
    }
}
