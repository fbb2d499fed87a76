//! What is pushed into a source, and looked for in the target.

use std::collections::BTreeMap;

use lazuli_testkit::crash::images::{self, DOCKER, INDEX, OCI};
use lazuli_testkit::http::Client;
use lazuli_wire::oci::{Algorithm, Digest, fallback_tag};
use serde_json::Value;

type Sized = (Digest, u64);

fn sized(bytes: &[u8]) -> Sized {
    (Digest::of(Algorithm::Sha256, bytes), bytes.len() as u64)
}

/// A registry being filled, and what is in it: the bytes of each tag and of each digest by repository.
pub(crate) struct Content {
    client: Client,
    pub(crate) manifests: BTreeMap<(String, String), Vec<u8>>,
    pub(crate) blobs: BTreeMap<(String, Digest), Vec<u8>>,
}

impl Content {
    fn new(client: Client) -> Self {
        Self {
            client,
            manifests: BTreeMap::new(),
            blobs: BTreeMap::new(),
        }
    }

    /// An image with a layer of so many bytes.
    pub(crate) fn push_large(client: Client, size: usize) -> Self {
        let mut content = Self::new(client);
        content.large("large", &vec![7; size]);
        content
    }

    /// Images, indexes, signatures and referrers in three repositories.
    pub(crate) fn push(client: Client, has_referrers: bool) -> Self {
        let mut content = Self::new(client);
        let v1 = content.image("team/app", "v1", OCI, &[1, 2]);
        content.image("team/app", "v2", DOCKER, &[1, 3]);
        let children = [4, 5].map(|seed| content.image("team/app", "", OCI, &[1, seed]));
        let children = children.map(|child| (OCI, child));
        let index = images::index(&children, 0);
        let index = content.manifest("team/app", "multi", INDEX, &index);
        // As cosign writes them.
        let tag = format!("{}.sig", fallback_tag(&v1.0).as_str());
        content.image("team/app", &tag, OCI, &[6]);
        for (number, subject) in [(OCI, v1), (INDEX, index)].into_iter().enumerate() {
            content.referrer("team/app", subject, 10 + number as u64, has_referrers);
        }
        content.image("other/base", "latest", OCI, &[1]);
        content.image("single", "latest", OCI, &[7]);
        content
    }

    /// A referrer, itself referred to.
    fn referrer(
        &mut self,
        repository: &str,
        subject: (&str, Sized),
        salt: u64,
        has_referrers: bool,
    ) {
        let (config, layer) = (
            self.blob(repository, b"{}"),
            self.blob(repository, &[salt as u8; 99]),
        );
        let mut subject = subject;
        for salt in [salt, salt + 100] {
            let referrer = images::referrer(config, layer, subject, salt);
            let referrer = self.manifest(repository, "", OCI, &referrer);
            if !has_referrers {
                // What clients do then.
                let index = images::index(&[(OCI, referrer)], salt);
                let tag = fallback_tag(&subject.1.0).as_str().to_owned();
                self.manifest(repository, &tag, INDEX, &index);
            }
            subject = (OCI, referrer);
        }
    }

    /// An image of one layer.
    pub(crate) fn large(&mut self, repository: &str, layer: &[u8]) {
        let (config, layer) = (self.blob(repository, b"{}"), self.blob(repository, layer));
        let image = images::image(false, config, &[layer], 0);
        self.manifest(repository, "latest", OCI, &image);
    }

    fn image(&mut self, repository: &str, tag: &str, media_type: &str, seeds: &[u8]) -> Sized {
        let config = self.blob(repository, format!("{{\"a\":{seeds:?}}}").as_bytes());
        let layers: Vec<_> = seeds
            .iter()
            .map(|seed| self.blob(repository, &vec![*seed; 100_000 + usize::from(*seed)]))
            .collect();
        let image = images::image(media_type == DOCKER, config, &layers, u64::from(seeds[0]));
        self.manifest(repository, tag, media_type, &image)
    }

    fn blob(&mut self, repository: &str, bytes: &[u8]) -> Sized {
        let (digest, size) = sized(bytes);
        let target = format!("/v2/{repository}/blobs/uploads/");
        let begun = self.client.send("POST", &target, &[], b"");
        assert_eq!(begun.status, 202, "{begun:?}");
        let place = begun.header("location").unwrap();
        let place = &place[place.find("/v2/").unwrap()..];
        let mark = if place.contains('?') { '&' } else { '?' };
        let put = self
            .client
            .send("PUT", &format!("{place}{mark}digest={digest}"), &[], bytes);
        assert_eq!(put.status, 201, "{put:?}");
        self.blobs
            .insert((repository.to_owned(), digest), bytes.to_vec());
        (digest, size)
    }

    /// By tag, or without one by digest.
    fn manifest(
        &mut self,
        repository: &str,
        tag: &str,
        media_type: &str,
        manifest: &Value,
    ) -> Sized {
        // Whatever a client's way to write JSON is: it has to stay.
        let bytes = serde_json::to_vec_pretty(manifest).unwrap();
        let sized = sized(&bytes);
        let digest = sized.0.to_string();
        let reference = if tag.is_empty() { &digest } else { tag };
        let target = format!("/v2/{repository}/manifests/{reference}");
        let put = self
            .client
            .send("PUT", &target, &[("Content-Type", media_type)], &bytes);
        assert_eq!(put.status, 201, "{put:?}");
        for reference in [reference, &digest] {
            let key = (repository.to_owned(), reference.to_owned());
            self.manifests.insert(key, bytes.clone());
        }
        sized
    }

    /// The manifests and blobs that the target has not.
    pub(crate) fn missing(&self, target: &Client, prefix: &str) -> Vec<String> {
        let accept = [OCI, INDEX, DOCKER].join(", ");
        let mut missing = Vec::new();
        for ((repository, reference), bytes) in &self.manifests {
            let path = format!("/v2/{prefix}{repository}/manifests/{reference}");
            let answer = target.send("GET", &path, &[("Accept", &accept)], b"");
            if answer.status != 200 || answer.body != *bytes {
                missing.push(format!("{repository} {reference}"));
            }
        }
        for ((repository, digest), bytes) in &self.blobs {
            let answer = target.get(&format!("/v2/{prefix}{repository}/blobs/{digest}"));
            if answer.status != 200 || answer.body != *bytes {
                missing.push(format!("{repository} {digest}"));
            }
        }
        missing
    }

    /// The digest of a tag.
    pub(crate) fn digest(&self, repository: &str, tag: &str) -> Digest {
        let key = (repository.to_owned(), tag.to_owned());
        sized(&self.manifests[&key]).0
    }
}

/// How many referrers the target lists.
pub(crate) fn referrers(target: &Client, repository: &str, subject: &Digest) -> usize {
    let answer = target.get(&format!("/v2/{repository}/referrers/{subject}"));
    assert_eq!(answer.status, 200);
    answer.json()["manifests"].as_array().unwrap().len()
}
