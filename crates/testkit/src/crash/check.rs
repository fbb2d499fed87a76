//! After a restart: everything that can be read is compared with the ledger, which then goes on from what was found.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use lazuli_wire::oci::Digest;
use serde_json::Value;

use super::client::{Client, Stop};
use super::history::Tick;
use super::ledger::Repository;
use crate::http::Response;

/// For so many rounds it is looked at in each whether a deleted manifest stays deleted.
const FRESH_ROUNDS: u32 = 3;
/// How many of the manifests deleted before that are looked at in each round.
const BURIED_SAMPLE: usize = 10;
/// After everything that was sent.
const NOW: Tick = Tick::MAX;

/// What a repository holds.
#[derive(Debug, Default)]
struct Found {
    tags: BTreeMap<String, Option<Digest>>,
    manifests: BTreeMap<Digest, bool>,
    blobs: BTreeMap<Digest, bool>,
}

impl Client<'_> {
    /// Compares a repository with the ledger. Nobody else may be at it. `is_thorough`: every blob is read, not only those
    /// that the last round touched and a few others. Returns whether the repository holds a manifest.
    pub fn check_repository(&mut self, name: &str, is_thorough: bool) -> Result<bool, Stop> {
        let mut repository = self.shared.ledger.with(name, std::mem::take);
        let found = self.look_at(name, &repository, is_thorough)?;
        self.compare(name, &repository, &found);
        settle(&mut repository, &found, self.shared.is_group);
        self.check_lists(name, &repository, &found)?;
        let is_listed = found.manifests.values().any(|is_there| *is_there);
        self.shared.ledger.with(name, |empty| *empty = repository);
        Ok(is_listed)
    }

    fn look_at(
        &mut self,
        name: &str,
        repository: &Repository,
        is_thorough: bool,
    ) -> Result<Found, Stop> {
        let mut found = Found::default();
        for tag in repository.tags.keys() {
            let target = format!("/v2/{name}/manifests/{tag}");
            let response = self.get(&target)?;
            let digest = self.served(&target, &response, false);
            if self.found_is_certain(&response) {
                found.tags.insert(tag.clone(), digest);
            }
        }
        for (digest, manifest) in &repository.manifests {
            let target = format!("/v2/{name}/manifests/{digest}");
            let response = self.get(&target)?;
            if response.status == 200 {
                self.shared.count("manifests verified");
                let media_type = response.header("content-type");
                let is_right =
                    *response.body == *manifest.body && media_type == Some(manifest.media_type);
                self.expect(is_right, &target, "not the bytes and type that were pushed");
            }
            if self.found_is_certain(&response) {
                found.manifests.insert(*digest, response.status == 200);
            }
        }
        for _ in 0..BURIED_SAMPLE {
            if let Some(digest) = self.random.pick(&repository.buried) {
                let target = format!("/v2/{name}/manifests/{digest}");
                let is_gone = self.get(&target)?.status == 404;
                self.expect(is_gone, &target, "was deleted long ago, and is back");
            }
        }
        for (digest, blob) in &repository.blobs {
            let is_needed = found.manifests.iter().any(|(manifest, is_there)| {
                let manifest = repository.manifests.get(manifest);
                *is_there && manifest.is_some_and(|manifest| manifest.blobs.contains(digest))
            });
            let is_sampled = self.random.percent(10);
            let is_read = is_thorough || is_sampled || blob.history.is_touched();
            if !is_read && !is_needed {
                continue;
            }
            if let Some(is_there) = self.look_at_blob(name, (digest, blob.size), is_read)? {
                found.blobs.insert(*digest, is_there);
                let target = format!("/v2/{name}/blobs/{digest}");
                let is_missed = is_needed && !is_there;
                self.expect(!is_missed, &target, "missing, and a manifest names it");
            }
        }
        Ok(found)
    }

    /// Whether a blob is there; nothing if the server did not say.
    fn look_at_blob(
        &mut self,
        name: &str,
        (digest, size): (&Digest, u64),
        is_read: bool,
    ) -> Result<Option<bool>, Stop> {
        let target = format!("/v2/{name}/blobs/{digest}");
        // Not HEAD, which would lease what is garbage.
        let response = if is_read {
            self.get(&target)?
        } else {
            self.head(&target)?
        };
        if response.status == 200 {
            let is_whole = if is_read {
                self.shared.count("blobs verified");
                Digest::of(digest.algorithm(), &response.body) == *digest
            } else {
                response.header("content-length") == Some(&size.to_string())
            };
            self.expect(is_whole, &target, "not the bytes that were pushed");
        }
        let is_certain = self.found_is_certain(&response);
        Ok(is_certain.then_some(response.status == 200))
    }

    fn compare(&self, name: &str, repository: &Repository, found: &Found) {
        let now = Instant::now();
        for (tag, digest) in &found.tags {
            let target = format!("{name}:{tag}");
            self.shared.count("tags verified");
            let history = repository.tags.get(tag);
            let problem = format!("names {digest:?}; the ledger has {history:?}");
            let allowed = repository.tag_allows(tag, *digest, NOW);
            self.expect(allowed, &target, &problem);
            let is_whole = digest.is_none_or(|digest| found.manifests.get(&digest) == Some(&true));
            self.expect(is_whole, &target, "its manifest is not there");
        }
        for (digest, is_there) in &found.manifests {
            let history = repository.manifests.get(digest).map(|m| &m.history);
            let problem = format!("is there: {is_there}; the ledger has {history:?}");
            let allowed = repository.manifest_allows(digest, *is_there, NOW);
            self.expect(allowed, &format!("{name}@{digest}"), &problem);
        }
        for (digest, is_there) in &found.blobs {
            let blob = repository.blobs.get(digest);
            let problem = format!("is there: {is_there}; the ledger has {blob:?} at {now:?}");
            let allowed = repository.blob_allows(digest, *is_there, NOW, now);
            self.expect(allowed, &format!("{name}, blob {digest}"), &problem);
        }
    }

    /// The list of tags and the lists of referrers have to agree with what was found one by one.
    fn check_lists(
        &mut self,
        name: &str,
        repository: &Repository,
        found: &Found,
    ) -> Result<(), Stop> {
        let target = format!("/v2/{name}/tags/list?n=5");
        let listed = self.pages(target.clone(), |page| {
            let tags = page["tags"].as_array().into_iter().flatten();
            tags.filter_map(Value::as_str).map(str::to_owned).collect()
        })?;
        let named = found.tags.iter().filter(|(_, digest)| digest.is_some());
        let expected: Vec<&String> = named.map(|(tag, _)| tag).collect();
        let problem = format!("lists {listed:?}, while {expected:?} can be read");
        self.expect(listed.iter().eq(expected), &target, &problem);

        let mut referrers: BTreeMap<Digest, BTreeSet<String>> = BTreeMap::new();
        for (digest, manifest) in &repository.manifests {
            if let Some(subject) = manifest.subject {
                let of_subject = referrers.entry(subject).or_default();
                if found.manifests.get(digest) == Some(&true) {
                    of_subject.insert(digest.to_string());
                }
            }
        }
        for (subject, expected) in referrers {
            let target = format!("/v2/{name}/referrers/{subject}");
            let listed: BTreeSet<String> = self
                .pages(target.clone(), |page| {
                    let items = page["manifests"].as_array().into_iter().flatten();
                    let digests = items.filter_map(|item| item["digest"].as_str());
                    digests.map(str::to_owned).collect()
                })?
                .into_iter()
                .collect();
            let problem = format!("lists {listed:?}, while {expected:?} can be read");
            self.expect(listed == expected, &target, &problem);
        }
        Ok(())
    }

    /// The catalog has to list the repositories that hold a manifest, and no others.
    pub fn check_catalog(&mut self, expected: &[String]) -> Result<(), Stop> {
        let target = "/v2/_catalog?n=3".to_owned();
        let listed = self.pages(target.clone(), |page| {
            let names = page["repositories"].as_array().into_iter().flatten();
            names.filter_map(Value::as_str).map(str::to_owned).collect()
        })?;
        let problem = format!("lists {listed:?}, while {expected:?} hold manifests");
        self.expect(listed == expected, &target, &problem);
        Ok(())
    }

    /// All items of a list that comes in pages.
    fn pages(
        &mut self,
        first: String,
        items: impl Fn(&Value) -> Vec<String>,
    ) -> Result<Vec<String>, Stop> {
        let mut all = Vec::new();
        let mut next = Some(first);
        while let Some(target) = next.take() {
            let response = self.get(&target)?;
            if response.status == 200 {
                let page: Value = serde_json::from_slice(&response.body).unwrap_or_default();
                all.extend(items(&page));
                next = link(&response);
            }
        }
        Ok(all)
    }
}

/// The target of a `Link` to the next page.
fn link(response: &Response) -> Option<String> {
    let (target, _) = response
        .header("link")?
        .strip_prefix('<')?
        .split_once('>')?;
    Some(target.to_owned())
}

/// The ledger goes on from what is there. What is long gone is remembered by its digest only.
fn settle(repository: &mut Repository, found: &Found, is_group: bool) {
    for (tag, digest) in &found.tags {
        if let Some(history) = repository.tags.get_mut(tag) {
            history.settle(*digest);
        }
    }
    for (digest, is_there) in &found.manifests {
        if let Some(manifest) = repository.manifests.get_mut(digest) {
            manifest.history.settle(*is_there);
            manifest.absent_rounds = if *is_there {
                0
            } else {
                manifest.absent_rounds + 1
            };
        }
    }
    for (digest, is_there) in &found.blobs {
        if let Some(blob) = repository.blobs.get_mut(digest) {
            let was_there =
                *blob.history.settled() || blob.history.writes_of(&true).next().is_some();
            if *is_there || blob.history.writes_of(&false).next().is_some() {
                blob.collected = None;
            } else if is_group && was_there {
                // Nobody deleted it.
                blob.collected = Some(Instant::now());
            }
            blob.history.settle(*is_there);
        }
    }
    let Repository {
        manifests,
        buried,
        blobs,
        ..
    } = repository;
    manifests.retain(|digest, manifest| {
        let is_fresh = manifest.absent_rounds <= FRESH_ROUNDS;
        if !is_fresh {
            buried.push(*digest);
        }
        is_fresh
    });
    blobs.retain(|digest, blob| {
        *blob.history.settled()
            || blob.history.is_touched()
            || manifests.values().any(|m| m.blobs.contains(digest))
    });
}
