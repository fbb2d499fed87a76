//! Repository by repository: content before what refers to it, tags last.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, anyhow, bail};
use futures_util::{StreamExt as _, stream};
use lazuli_outbound::distribution::{Manifest, Remote};
use lazuli_wire::oci::{Algorithm, Digest, Reference, RepositoryName, Tag, fallback_tag};
use tokio::sync::{OnceCell, Semaphore};

use super::blobs::not_there;
use super::report::Report;
use super::source::{Source, parse};

/// Blobs on the way at once.
const BLOBS: usize = 4;
/// Tags looked at at once.
pub(super) const TAGS: usize = 4;

/// What is wanted.
pub(super) struct Selection {
    /// Patterns; none: all.
    pub(super) repositories: Vec<String>,
    /// Patterns; none: all.
    pub(super) tags: Vec<String>,
    /// Put before each name.
    pub(super) prefix: Option<String>,
}

pub(super) struct Import {
    pub(super) source: Source,
    pub(super) target: Remote,
    pub(super) dry_run: bool,
    pub(super) report: Report,
    pub(super) blobs: Semaphore,
    placed: Mutex<HashMap<Digest, RepositoryName>>,
}

pub(super) type Cells<T> = Mutex<HashMap<Digest, Arc<OnceCell<T>>>>;

/// A repository on its way. What several tags need is brought once.
pub(super) struct Repository<'a> {
    pub(super) import: &'a Import,
    pub(super) from: RepositoryName,
    pub(super) to: RepositoryName,
    /// All of the source, sorted.
    tags: Vec<Tag>,
    pub(super) manifests: Cells<Brought>,
    blobs: Cells<bool>,
    referrers: Cells<Vec<Digest>>,
    pub(super) done: Mutex<Vec<(Tag, [Digest; 2])>>,
}

/// A manifest and what it lists.
#[derive(Clone)]
pub(super) struct Brought {
    pub(super) is_whole: bool,
    children: Arc<[Digest]>,
}

impl Import {
    pub(super) fn new(source: Source, target: Remote, dry_run: bool) -> Self {
        Self {
            source,
            target,
            dry_run,
            report: Report::new(),
            blobs: Semaphore::new(BLOBS),
            placed: Mutex::default(),
        }
    }

    pub(super) fn lock_placed(&self) -> MutexGuard<'_, HashMap<Digest, RepositoryName>> {
        self.placed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings what is selected. What fails is in the report.
    pub(super) async fn all(&self, selection: &Selection) -> anyhow::Result<()> {
        let names = self.names(&selection.repositories).await?;
        for (number, name) in names.iter().enumerate() {
            if self.report.is_stopped() {
                break;
            }
            self.report
                .begin(&format!("{} of {}: {name}", number + 1, names.len()));
            if let Err(error) = self.repository(name, selection).await {
                self.report.fail(&format!("repository {name}"), &error);
            }
        }
        Ok(())
    }

    async fn names(&self, wanted: &[String]) -> anyhow::Result<Vec<String>> {
        if !wanted.is_empty() && wanted.iter().all(|name| !name.contains('*')) {
            return Ok(wanted.to_vec());
        }
        let mut names =
            self.source.repositories().await.context(
                "the source does not list its repositories: name them with --repository",
            )?;
        names.retain(|name| wanted.is_empty() || matches_any(wanted, name));
        if names.is_empty() {
            bail!("the source has no such repositories");
        }
        Ok(names)
    }

    async fn repository(&self, name: &str, selection: &Selection) -> anyhow::Result<()> {
        let from = RepositoryName::parse(name)?;
        let to = match &selection.prefix {
            Some(prefix) => RepositoryName::parse(&format!("{prefix}/{name}"))?,
            None => from.clone(),
        };
        let mut tags = Vec::new();
        for tag in self.source.tags(&from).await? {
            match Tag::parse(&tag) {
                Ok(tag) => tags.push(tag),
                Err(error) => self.report.fail(&format!("{name}:{tag}"), &error.into()),
            }
        }
        tags.sort();
        let is_named = selection.repositories.iter().any(|wanted| wanted == name);
        let manifests = if selection.tags.is_empty() {
            self.source.manifests(&from).await?
        } else {
            Vec::new()
        };
        if is_named && tags.is_empty() && manifests.is_empty() {
            return Err(not_there());
        }
        let repository = Repository {
            import: self,
            from,
            to,
            tags,
            manifests: Mutex::default(),
            blobs: Mutex::default(),
            referrers: Mutex::default(),
            done: Mutex::default(),
        };
        repository.bring_all(&selection.tags, &manifests).await;
        if !self.dry_run {
            repository.verify().await;
        }
        Ok(())
    }
}

impl Repository<'_> {
    pub(super) fn blob_cell(&self, digest: Digest) -> Arc<OnceCell<bool>> {
        cell(&self.blobs, digest)
    }

    async fn bring_all(&self, patterns: &[String], manifests: &[Digest]) {
        let is_wanted = |tag: &&Tag| patterns.is_empty() || matches_any(patterns, tag.as_str());
        let wanted: Vec<&Tag> = self.tags.iter().filter(is_wanted).collect();
        for pattern in patterns.iter().filter(|pattern| !pattern.contains('*')) {
            if !wanted.iter().any(|tag| tag.as_str() == pattern) {
                self.import
                    .report
                    .fail(&format!("{}:{pattern}", self.from), &not_there());
            }
        }
        let seen = Mutex::new(HashSet::new());
        let bring = async |tag: &Tag| {
            if self.import.report.is_stopped() {
                return;
            }
            match self.tag(tag).await {
                Ok(digests) => seen
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .extend(digests),
                Err(error) => self
                    .import
                    .report
                    .fail(&format!("{}:{tag}", self.from), &error),
            }
        };
        stream::iter(&wanted)
            .for_each_concurrent(TAGS, |tag| bring(tag))
            .await;
        // Signatures and the like, by the names that clients give them.
        let seen_so_far: HashSet<Digest> =
            std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));
        let names: HashSet<Tag> = seen_so_far.iter().map(fallback_tag).collect();
        let belongs = |tag: &&Tag| {
            let end = tag.as_str().find('.').unwrap_or(tag.as_str().len());
            !is_wanted(tag)
                && Tag::parse(&tag.as_str()[..end]).is_ok_and(|stem| names.contains(&stem))
        };
        let more: Vec<&Tag> = self.tags.iter().filter(belongs).collect();
        stream::iter(&more)
            .for_each_concurrent(TAGS, |tag| bring(tag))
            .await;
        stream::iter(manifests)
            .for_each_concurrent(TAGS, |digest| async {
                if !self.import.report.is_stopped() {
                    self.with_referrers(*digest, None).await;
                }
            })
            .await;
    }

    /// Brings what a tag names, then what refers to that, then the tag. Returns the digests of all manifests.
    async fn tag(&self, tag: &Tag) -> anyhow::Result<HashSet<Digest>> {
        let Import {
            source,
            target,
            report,
            dry_run,
            ..
        } = self.import;
        let reference = Reference::Tag(tag.clone());
        let manifest = source
            .manifest(&self.from, &reference)
            .await?
            .ok_or_else(not_there)?;
        let media_type = parse(&manifest)?.media_type;
        let (is_whole, seen) = self.with_referrers(manifest.digest, Some(&manifest)).await;
        if !is_whole {
            bail!("not all it needs could be had");
        }
        // The target may name it by the digest of another algorithm.
        let digests = [
            manifest.digest,
            Digest::of(Algorithm::Sha256, &manifest.bytes),
        ];
        let there = target.manifest_digest(&self.to, &reference).await?;
        if there.is_some_and(|there| digests.contains(&there)) {
            report.tags.there.add(1);
        } else {
            if !dry_run {
                target
                    .push_manifest(&self.to, &reference, &media_type, &manifest)
                    .await?;
            }
            report.tags.copied.add(1);
        }
        report.went_well();
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.push((tag.clone(), digests));
        Ok(seen)
    }

    /// Brings a manifest, all it lists, and all that refers to any of them. Returns whether the manifest itself is whole.
    async fn with_referrers(
        &self,
        root: Digest,
        known: Option<&Manifest>,
    ) -> (bool, HashSet<Digest>) {
        let whole = self.bring(root, known).await.is_whole;
        let mut seen = HashSet::new();
        let mut ahead = vec![root];
        while let Some(digest) = ahead.pop() {
            if self.import.report.is_stopped() || !seen.insert(digest) {
                continue;
            }
            ahead.extend_from_slice(&self.bring(digest, None).await.children);
            ahead.extend(self.referrers(digest).await);
        }
        (whole, seen)
    }

    async fn referrers(&self, subject: Digest) -> Vec<Digest> {
        let cell = cell(&self.referrers, subject);
        let found = cell.get_or_init(|| async {
            let found = self
                .import
                .source
                .referrers(&self.from, &subject, &self.tags)
                .await;
            found.unwrap_or_else(|error| {
                let what = format!("what refers to {subject} of {}", self.from);
                self.import.report.fail(&what, &error);
                Vec::new()
            })
        });
        found.await.clone()
    }

    /// Brings a manifest and all it lists, once, whoever asks.
    ///
    /// A manifest waits for what it lists only, and no manifest lists, however far down, itself: nobody waits in a circle.
    async fn bring(&self, digest: Digest, known: Option<&Manifest>) -> Brought {
        let cell = cell(&self.manifests, digest);
        let brought = cell.get_or_init(|| async {
            match Box::pin(self.bring_manifest(digest, known)).await {
                Ok(brought) => brought,
                Err(error) => {
                    let what = format!("manifest {digest} of {}", self.from);
                    self.import.report.fail(&what, &error);
                    Brought {
                        is_whole: false,
                        children: Arc::default(),
                    }
                }
            }
        });
        brought.await.clone()
    }

    async fn bring_manifest(
        &self,
        digest: Digest,
        known: Option<&Manifest>,
    ) -> anyhow::Result<Brought> {
        let Import {
            source,
            target,
            report,
            dry_run,
            ..
        } = self.import;
        let reference = Reference::Digest(digest);
        let manifest = match known {
            Some(manifest) => manifest.clone(),
            None => source
                .manifest(&self.from, &reference)
                .await?
                .ok_or_else(not_there)?,
        };
        let parsed = parse(&manifest)?;
        let mut is_whole = true;
        for child in &parsed.manifests {
            is_whole &= self.bring(child.digest, None).await.is_whole;
        }
        let brought = |is_whole| Brought {
            is_whole,
            children: parsed.manifests.iter().map(|child| child.digest).collect(),
        };
        if target.manifest_digest(&self.to, &reference).await? == Some(digest) {
            report.manifests.there.add(1);
            report.went_well();
            return Ok(brought(is_whole));
        }
        let blobs = parsed.config.iter().chain(&parsed.layers);
        let blobs = blobs.filter(|blob| blob.is_distributable());
        let outcomes: Vec<bool> = stream::iter(blobs)
            .map(|blob| self.blob(blob))
            .buffer_unordered(BLOBS)
            .collect()
            .await;
        if !(is_whole && outcomes.into_iter().all(|is_there| is_there)) {
            return Err(anyhow!("not all it lists could be had"));
        }
        if !dry_run {
            target
                .push_manifest(&self.to, &reference, &parsed.media_type, &manifest)
                .await?;
        }
        report.manifests.copied.add(1);
        report.went_well();
        Ok(brought(true))
    }
}

fn cell<T>(cells: &Cells<T>, digest: Digest) -> Arc<OnceCell<T>> {
    let mut cells = cells.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(cells.entry(digest).or_default())
}

fn matches_any(patterns: &[String], text: &str) -> bool {
    patterns.iter().any(|pattern| matches(pattern, text))
}

/// `*` stands for anything, slashes included.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(text) = text.strip_prefix(start) else {
        return false;
    };
    (0..=text.len()).any(|at| text.is_char_boundary(at) && matches(rest, &text[at..]))
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("a/b", "a/b", true),
            ("a/b", "a/bc", false),
            ("*", "", true),
            ("team/*", "team/a/b", true),
            ("team/*", "teams/a", false),
            ("v*.1", "v2.1.1", true),
            ("v*.1", "v2.1.2", false),
            ("*a*b", "xaxb", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
