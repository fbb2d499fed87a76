//! Manifests, their references, tags and repositories.

use std::collections::BTreeSet;

use lazuli_wire::oci::{Digest, ParsedManifest};

use super::{Checker, Finding, sql};
use crate::merge::{self, Presence};
use crate::{Result, manifests};

const PAGE: u32 = 500;

/// What the bytes of a manifest say it refers to: digest and kind.
pub(super) fn references(parsed: &ParsedManifest) -> BTreeSet<(Digest, i64)> {
    let config = parsed
        .config
        .iter()
        .map(|descriptor| (descriptor.digest, manifests::sql::CONFIG));
    let layers = parsed
        .layers
        .iter()
        .map(|descriptor| (descriptor.digest, manifests::sql::LAYER));
    let children = parsed
        .manifests
        .iter()
        .map(|descriptor| (descriptor.digest, manifests::sql::MANIFEST));
    config.chain(layers).chain(children).collect()
}

impl Checker<'_> {
    pub(super) async fn check_manifests(&mut self) -> Result<()> {
        let mut after = (i64::MIN, Vec::new());
        loop {
            let from = after.clone();
            let page = self
                .registry
                .inner
                .db
                .read(move |tx| sql::manifest_keys(tx, &from, PAGE))
                .await?;
            let Some((repository, digest)) = page.last() else {
                break;
            };
            after = (*repository, digest.to_bytes());
            for (repository, digest) in page {
                // One at a time: bodies are large.
                let found = self
                    .registry
                    .inner
                    .db
                    .read(move |tx| sql::manifest(tx, repository, &digest))
                    .await?;
                if let Some(manifest) = found {
                    self.summary.manifests += 1;
                    self.check_manifest(manifest).await?;
                }
            }
        }
        self.check_listing().await
    }

    async fn check_manifest(&mut self, manifest: sql::Manifest) -> Result<()> {
        let (place, digest) = (manifest.place, manifest.digest);
        let found = Digest::of(digest.algorithm(), &manifest.body);
        if found != digest {
            self.report(Finding::ManifestDamaged {
                place,
                digest,
                found,
            })
            .await?;
            return Ok(());
        }
        let limits = self.registry.inner.options.manifest;
        let parsed =
            match ParsedManifest::parse(Some(&manifest.media_type), &manifest.body, &limits) {
                Ok(parsed) => parsed,
                Err(error) => {
                    self.report(Finding::ManifestUnreadable {
                        place,
                        digest,
                        problem: error.to_string(),
                    })
                    .await?;
                    return Ok(());
                }
            };
        let mut findings = Vec::new();
        let subject = parsed.subject.as_ref().map(|subject| subject.digest);
        if manifest.subject != subject
            || manifest.size != manifest.body.len() as u64
            || manifest.artifact_type != parsed.artifact_type
        {
            findings.push(Finding::ManifestRecordDiffers {
                place: place.clone(),
                digest,
            });
        }
        if manifest.references != references(&parsed) {
            findings.push(Finding::ReferencesDiffer {
                place: place.clone(),
                digest,
            });
        }
        let needed = parsed
            .config
            .iter()
            .chain(&parsed.layers)
            .filter(|descriptor| descriptor.is_distributable());
        let needed: Vec<_> = needed.map(|descriptor| descriptor.digest).collect();
        let repository = place.repository;
        let missing = self
            .registry
            .inner
            .db
            .read(move |tx| sql::missing(tx, repository, &digest, &needed))
            .await?;
        for blob in missing {
            findings.push(Finding::ContentMissing {
                place: place.clone(),
                manifest: digest,
                blob,
            });
        }
        if !manifest.has_dot {
            findings.push(Finding::ManifestWithoutDot { place, digest });
        }
        self.report_all(findings).await
    }

    async fn check_listing(&mut self) -> Result<()> {
        let mut after = i64::MIN;
        loop {
            let page = self
                .registry
                .inner
                .db
                .read(move |tx| sql::repositories(tx, after, PAGE))
                .await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = last.place.repository;
            for found in page
                .into_iter()
                .filter(|found| found.is_listed != found.has_manifests)
            {
                let (place, has_manifests) = (found.place, found.has_manifests);
                self.report(Finding::ListingDiffers {
                    place,
                    has_manifests,
                })
                .await?;
            }
        }
    }

    /// Every tag names a manifest that is there: the one that the newest version in its history names.
    pub(super) async fn check_tags(&mut self) -> Result<()> {
        let mut after = (i64::MIN, String::new());
        loop {
            let from = after.clone();
            let page = self
                .registry
                .inner
                .db
                .read(move |tx| sql::tags(tx, &from, PAGE))
                .await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = (last.place.repository, last.name.clone());
            for tag in page {
                self.summary.tags += u64::from(tag.target.is_some());
                if let Some(finding) = judge_tag(tag) {
                    self.report(finding).await?;
                }
            }
        }
    }
}

fn judge_tag(tag: sql::Tag) -> Option<Finding> {
    let (place, name) = (tag.place, tag.name);
    if tag.target.is_some() && !tag.has_target {
        return Some(Finding::TagDangling { place, tag: name });
    }
    // Without other regions nothing is pending: only the newest version counts.
    let presence = |_: &Digest| {
        if tag.has_newest_target {
            Presence::Visible
        } else {
            Presence::Absent
        }
    };
    let winner = merge::resolve(&tag.newest, presence).and_then(|version| version.target);
    (winner != tag.target).then_some(Finding::TagHistoryDiffers { place, tag: name })
}
