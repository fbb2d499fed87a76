//! Reading while others write: what is served is whole, and no older than what was acknowledged or seen before.

use std::time::Instant;

use lazuli_wire::oci::Digest;

use super::client::{Client, Stop};
use crate::http::Response;

impl Client<'_> {
    pub(super) fn read_tag(&mut self, repository: &str) -> Result<(), Stop> {
        let tag = self.some_tag();
        self.read_this_tag(repository, &tag)
    }

    /// After a tag was moved, sometimes: every node of a group has to know it at once.
    pub(super) fn read_everywhere(&mut self, repository: &str, tag: &str) {
        if !self.shared.is_group || !self.random.percent(60) {
            return;
        }
        for node in 0..self.shared.addresses.len() {
            self.turn_to(Some(node));
            let read = self.read_this_tag(repository, tag);
            self.turn_to(None);
            // A node that is away is none that is behind.
            if read.is_ok() {
                self.shared.count("tags read on each node after a move");
            }
        }
    }

    fn read_this_tag(&mut self, repository: &str, tag: &str) -> Result<(), Stop> {
        let is_head = self.random.percent(30);
        let target = format!("/v2/{repository}/manifests/{tag}");
        let read = self.shared.ledger.tick();
        let response = if is_head {
            self.head(&target)?
        } else {
            self.get(&target)?
        };
        let found = self.served(&target, &response, is_head);
        self.shared.count("reads");
        let (allowed, now) = (self.found_is_certain(&response), self.shared.ledger.tick());
        if allowed {
            let allowed = self.shared.ledger.with(repository, |known| {
                let allowed = known.tag_allows(tag, found, read);
                if let (true, Some(history)) = (found.is_some(), known.tags.get_mut(tag)) {
                    history.saw(&found, now);
                }
                allowed
            });
            let problem = format!("must not be {found:?}");
            self.expect(allowed, &target, &problem);
        }
        Ok(())
    }

    pub(super) fn read_manifest(&mut self, repository: &str) -> Result<(), Stop> {
        let Some((digest, manifest)) = self.some_manifest(repository) else {
            return Ok(());
        };
        let target = format!("/v2/{repository}/manifests/{digest}");
        let read = self.shared.ledger.tick();
        let response = self.get(&target)?;
        self.shared.count("reads");
        let is_there = response.status == 200;
        if is_there {
            let is_whole = *response.body == *manifest.body;
            self.expect(is_whole, &target, "other bytes than were pushed");
        }
        if self.found_is_certain(&response) {
            let now = self.shared.ledger.tick();
            let allowed = self.shared.ledger.with(repository, |known| {
                let allowed = known.manifest_allows(&digest, is_there, read);
                if let (true, Some(manifest)) = (is_there, known.manifests.get_mut(&digest)) {
                    manifest.history.saw(&true, now);
                }
                allowed
            });
            let problem = format!("must not be {}", response.status);
            self.expect(allowed, &target, &problem);
        }
        Ok(())
    }

    pub(super) fn read_blob(&mut self, repository: &str) -> Result<(), Stop> {
        let blobs: Vec<Digest> = self
            .shared
            .ledger
            .with(repository, |known| known.blobs.keys().copied().collect());
        match self.random.pick(&blobs).copied() {
            Some(digest) => self.verify_blob(repository, &digest),
            None => Ok(()),
        }
    }

    /// Reads a blob: its bytes have to hash to its digest, and it has to be there, or not, as the ledger says.
    pub(super) fn verify_blob(&mut self, repository: &str, digest: &Digest) -> Result<(), Stop> {
        let target = format!("/v2/{repository}/blobs/{digest}");
        let read = self.shared.ledger.tick();
        let response = self.get(&target)?;
        self.shared.count("reads");
        if response.status == 200 {
            let is_whole = Digest::of(digest.algorithm(), &response.body) == *digest;
            self.expect(
                is_whole,
                &target,
                "the bytes served do not have this digest",
            );
        }
        if self.found_is_certain(&response) {
            let (is_there, now) = (response.status == 200, Instant::now());
            let allowed = self.shared.ledger.with(repository, |known| {
                known.blob_allows(digest, is_there, read, now)
            });
            let problem = format!("must not be {}", response.status);
            self.expect(allowed, &target, &problem);
        }
        Ok(())
    }

    /// The digest of the manifest that was served, checked against its bytes.
    pub(super) fn served(
        &self,
        target: &str,
        response: &Response,
        is_head: bool,
    ) -> Option<Digest> {
        if response.status != 200 {
            return None;
        }
        let digest = response
            .header("docker-content-digest")
            .and_then(|text| Digest::parse(text).ok());
        self.expect(digest.is_some(), target, "no digest in the answer");
        let digest = digest?;
        let is_whole = is_head || Digest::of(digest.algorithm(), &response.body) == digest;
        self.expect(
            is_whole,
            target,
            "the bytes served do not have the digest told",
        );
        Some(digest)
    }

    /// Whether the answer says that something is there or is not; others are noted if they should not be.
    pub(super) fn found_is_certain(&self, response: &Response) -> bool {
        match response.status {
            200 | 404 => true,
            429 | 503 => {
                self.shared.count("busy");
                false
            }
            500.. => false,
            status => {
                self.shared
                    .violation(format!("unexpected {status} to a read: {response:?}"));
                false
            }
        }
    }
}
