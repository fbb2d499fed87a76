//! Pushes in all the ways there are.

use std::time::Instant;

use lazuli_wire::oci::{Algorithm, Digest};

use super::client::{Client, Request, Stop, location};
use super::history::History;
use super::images::Sized;
use super::ledger::{Effect, Manifest};
use super::load::CLIENTS;
use super::random::{Random, content};
use super::sessions::OCTETS;

/// How many contents are pushed by several clients.
const COMMON_CONTENTS: u64 = 24;

impl Client<'_> {
    /// A blob for a manifest: pushed, found or mounted. `None`: the server had no time.
    pub(super) fn blob(&mut self, repository: &str, is_small: bool) -> Result<Option<Sized>, Stop> {
        let (choice, is_common) = (self.random.below(100), self.random.percent(20));
        let mut seed = self.random.number();
        if is_common {
            seed %= COMMON_CONTENTS;
        }
        // Of a common content the size has to be common, too.
        let size = some_size(&mut Random::new(seed, &[u64::from(is_small)]), is_small);
        let from = format!("crash/own{}", self.random.below(CLIENTS));
        let known = |client: &mut Self, repository: &str| {
            let known: Vec<Sized> = client.shared.ledger.with(repository, |found| {
                let blobs = found.blobs.iter().filter(|(_, blob)| !blob.is_alone);
                blobs.map(|(digest, blob)| (*digest, blob.size)).collect()
            });
            client.random.pick(&known).copied()
        };
        let old = known(self, repository);
        let foreign = known(self, &from);
        match (choice, old, foreign) {
            (0..20, Some(blob), _) if self.affirm(repository, blob)? => Ok(Some(blob)),
            (20..35, _, Some(blob)) if self.mount(repository, &from, blob)? => Ok(Some(blob)),
            _ => self.push_blob(repository, (seed, size), false),
        }
    }

    /// Whether `HEAD` finds a blob.
    fn affirm(&mut self, repository: &str, (digest, size): Sized) -> Result<bool, Stop> {
        let target = format!("/v2/{repository}/blobs/{digest}");
        let (read, sent) = (self.shared.ledger.tick(), Instant::now());
        let response = self.head(&target)?;
        if !self.found_is_certain(&response) {
            return Ok(false);
        }
        let (is_there, answered) = (response.status == 200, Instant::now());
        let allowed = self.shared.ledger.with(repository, |found| {
            found.blob_allows(&digest, is_there, read, answered)
        });
        self.expect(
            allowed,
            &target,
            &format!("HEAD must not be {}", response.status),
        );
        if is_there {
            self.shared.count("blobs found");
            self.shared.ledger.affirmed(repository, &digest, sent);
            let length = response.header("content-length");
            let is_right = length == Some(&size.to_string());
            self.expect(is_right, &target, "HEAD tells another length");
        }
        Ok(is_there)
    }

    /// Whether a blob of another repository could be mounted.
    fn mount(&mut self, repository: &str, from: &str, (digest, size): Sized) -> Result<bool, Stop> {
        let target = format!("/v2/{repository}/blobs/uploads/?mount={digest}&from={from}");
        let read = self.shared.ledger.tick();
        let request = Request {
            method: "POST",
            target: &target,
            headers: &[],
            body: &[],
        };
        let ledger = &self.shared.ledger;
        ledger.with(repository, |found| found.know_blob(digest, size, false));
        let effects = vec![Effect::Blob(digest, true)];
        let response = self.insist("mounts", repository, &effects, request, (201, &[202]))?;
        if response.status == 202 {
            let now = Instant::now();
            let allowed = self
                .shared
                .ledger
                .with(from, |found| found.blob_allows(&digest, false, read, now));
            self.expect(allowed, &target, "202 to a mount, yet the source has it");
            // The session that was begun instead is given up.
            if let Some(target) = location(&response) {
                self.ask(Request {
                    method: "DELETE",
                    target: &target,
                    ..request
                })?;
            }
        }
        Ok(response.status == 201)
    }

    /// Pushes a blob in one of the ways there are. `None`: the server had no time.
    pub(super) fn push_blob(
        &mut self,
        repository: &str,
        (seed, size): (u64, u64),
        is_alone: bool,
    ) -> Result<Option<Sized>, Stop> {
        let bytes = content(seed, size as usize);
        let (is_long, way) = (self.random.percent(25), self.random.below(100));
        let algorithm = if is_long {
            Algorithm::Sha512
        } else {
            Algorithm::Sha256
        };
        let digest = Digest::of(algorithm, &bytes);
        self.shared.ledger.with(repository, |found| {
            found.know_blob(digest, size, is_alone);
        });
        if way < 30 {
            let target = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
            let request = Request {
                method: "POST",
                target: &target,
                headers: &[OCTETS],
                body: &bytes,
            };
            let effects = vec![Effect::Blob(digest, true)];
            let response = self.insist("blobs", repository, &effects, request, (201, &[]))?;
            return Ok((response.status == 201).then_some((digest, size)));
        }
        let Some(place) = self.start_session(repository, (seed, size), digest)? else {
            return Ok(None);
        };
        if way > 60 {
            // Streams are sent in many small pieces: not for large blobs.
            let is_streamed = size < 64 << 10 && self.random.percent(40);
            for _ in 0..self.random.between(1, 3) {
                let left = size - self.sessions[place].acknowledged;
                let chunk = left * self.random.between(20, 100) / 100;
                if chunk > 1 && !self.append(place, chunk, is_streamed)? {
                    return Ok(None);
                }
            }
        }
        let is_done = self.finish(place)?;
        Ok(is_done.then_some((digest, size)))
    }

    /// Pushes a manifest to a tag, by digest, or by digest with tags.
    pub(super) fn push_manifest(
        &mut self,
        repository: &str,
        mut manifest: Manifest,
    ) -> Result<(), Stop> {
        let (way, first, second) = (self.random.below(100), self.some_tag(), self.some_tag());
        let algorithm = if way >= 90 {
            Algorithm::Sha512
        } else {
            Algorithm::Sha256
        };
        let digest = Digest::of(algorithm, &manifest.body);
        let (reference, tags) = match way {
            0..50 => (first.clone(), vec![first]),
            50..70 => (digest.to_string(), Vec::new()),
            _ if first == second => (format!("{digest}?tag={first}"), vec![first]),
            _ => (
                format!("{digest}?tag={first}&tag={second}"),
                vec![first, second],
            ),
        };
        let target = format!("/v2/{repository}/manifests/{reference}");
        let named = tags.first().cloned();
        let mut effects = vec![Effect::Manifest(digest, true)];
        effects.extend(tags.into_iter().map(|tag| Effect::Tag(tag, Some(digest))));
        let (body, media_type) = (manifest.body.clone(), manifest.media_type);
        let blobs = manifest.blobs.clone();
        manifest.history = History::new(false);
        self.shared.ledger.with(repository, |found| {
            found.buried.retain(|buried| *buried != digest);
            found
                .manifests
                .entry(digest)
                .or_insert(manifest)
                .absent_rounds = 0;
        });
        let read = self.shared.ledger.tick();
        let request = Request {
            method: "PUT",
            target: &target,
            headers: &[("Content-Type", media_type)],
            body: &body,
        };
        let response = self.insist("manifests", repository, &effects, request, (201, &[404]))?;
        if response.status == 404 {
            let now = Instant::now();
            let allowed = self.shared.ledger.with(repository, |found| {
                let mut blobs = blobs.iter();
                blobs.any(|blob| found.blob_allows(blob, false, read, now))
            });
            let problem = "404 to a manifest whose blobs all have to be there";
            self.expect(allowed, &target, problem);
        }
        if let Some(tag) = named.filter(|_| response.status == 201) {
            self.read_everywhere(repository, &tag);
        }
        Ok(())
    }
}

/// A length, in bytes: from none to 5 MiB, mostly small. Not 1, for which the protocol has no offset.
pub(super) fn some_size(random: &mut Random, is_small: bool) -> u64 {
    let kinds = [
        (5, (0, 0)),
        (40, (2, 4 << 10)),
        (35, (4 << 10, 64 << 10)),
        (16, (64 << 10, 1 << 20)),
        (4, (1 << 20, 5 << 20)),
    ];
    let kinds = if is_small { &kinds[..2] } else { &kinds[..] };
    let (low, high) = random.weighted(kinds).unwrap_or((0, 0));
    random.between(low, high)
}
