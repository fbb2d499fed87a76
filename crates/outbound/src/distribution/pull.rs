//! What is read from a registry.

use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue, LINK, RANGE};
use http::{Method, StatusCode};
use lazuli_wire::oci::{Algorithm, Digest, ManifestKind, Reference, RepositoryName};
use serde::Deserialize;

use super::links::next_page;
use super::remote::{Call, scope, unexpected};
use super::{Error, Remote};
use crate::{Limits, Response};

const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// The largest manifest taken: this program's own limit.
const MOST_MANIFEST: u64 = 4 << 20;
/// Pages read of one list.
const MOST_PAGES: usize = 100_000;

/// A manifest as it is stored.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// What the registry says it is.
    pub media_type: Option<String>,
    /// The bytes.
    pub bytes: Bytes,
    /// Their digest.
    pub digest: Digest,
}

fn accept() -> HeaderValue {
    let all = ManifestKind::ALL.map(ManifestKind::media_type).join(", ");
    HeaderValue::from_str(&all).unwrap_or(HeaderValue::from_static("*/*"))
}

impl Remote {
    /// The names of all repositories.
    pub async fn catalog(&self) -> Result<Vec<String>, Error> {
        #[derive(Deserialize)]
        struct Page {
            repositories: Option<Vec<String>>,
        }
        let scope = "registry:catalog:*".to_owned();
        let first = self.call(Method::GET, "/v2/_catalog?n=1000", scope)?;
        self.pages(first, false, |page: Page| {
            page.repositories.unwrap_or_default()
        })
        .await
    }

    /// The tags of a repository; none if there is no such repository.
    pub async fn tags(&self, name: &RepositoryName) -> Result<Vec<String>, Error> {
        #[derive(Deserialize)]
        struct Page {
            tags: Option<Vec<String>>,
        }
        let first = self.call(
            Method::GET,
            &format!("/v2/{name}/tags/list?n=1000"),
            scope(name, "pull"),
        )?;
        self.pages(first, true, |page: Page| page.tags.unwrap_or_default())
            .await
    }

    async fn pages<P, T>(
        &self,
        first: Call,
        missing_is_empty: bool,
        take: impl Fn(P) -> Vec<T>,
    ) -> Result<Vec<T>, Error>
    where
        P: serde::de::DeserializeOwned,
    {
        let mut all = Vec::new();
        let mut call = first;
        for _ in 0..MOST_PAGES {
            let answer = self.make(call.clone()).await?;
            if answer.status() == StatusCode::NOT_FOUND && missing_is_empty && all.is_empty() {
                return Ok(all);
            }
            if answer.status() != StatusCode::OK {
                return Err(unexpected(answer).await);
            }
            let links = answer.headers().get_all(LINK);
            let mut links = links.iter().filter_map(|field| field.to_str().ok());
            let next = links.find_map(next_page).map(str::to_owned);
            let url = answer.url().to_owned();
            let protocol = |what: &str| Error::Protocol {
                url: url.clone(),
                what: what.to_owned(),
            };
            let bytes = answer.bytes().await?;
            let page =
                serde_json::from_slice(&bytes).map_err(|_| protocol("the list is no JSON"))?;
            all.extend(take(page));
            let Some(next) = next else {
                return Ok(all);
            };
            let next = call
                .url
                .join(&next)
                .map_err(|_| protocol("the next page is no URL"))?;
            if next.origin() != self.base().origin() || next == call.url {
                return Err(protocol("the next page is elsewhere, or this one again"));
            }
            call.url = next;
        }
        Err(Error::Protocol {
            url: call.url.path().to_owned(),
            what: "the list does not end".to_owned(),
        })
    }

    fn manifest_call(
        &self,
        method: Method,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Result<Call, Error> {
        let path = format!("/v2/{name}/manifests/{reference}");
        let mut call = self.call(method, &path, scope(name, "pull"))?;
        call.headers.push((ACCEPT, accept()));
        call.limits.bytes = MOST_MANIFEST;
        Ok(call)
    }

    /// A manifest, compared with its digest; `None` if there is none.
    pub async fn manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Result<Option<Manifest>, Error> {
        let answer = self
            .make(self.manifest_call(Method::GET, name, reference)?)
            .await?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            _ => return Err(unexpected(answer).await),
        }
        let url = answer.url().to_owned();
        let media_type = answer.text(CONTENT_TYPE).map(str::to_owned);
        let said = answer
            .text(CONTENT_DIGEST)
            .and_then(|text| Digest::parse(text).ok());
        let bytes = answer.bytes().await?;
        let expected = reference.digest().copied().or(said);
        let algorithm = expected.map_or(Algorithm::Sha256, |digest| digest.algorithm());
        let digest = Digest::of(algorithm, &bytes);
        if expected.is_some_and(|expected| expected != digest) {
            return Err(Error::Protocol {
                url,
                what: format!("the manifest that came has the digest {digest}"),
            });
        }
        Ok(Some(Manifest {
            media_type,
            bytes,
            digest,
        }))
    }

    /// The digest of a manifest, as the registry says; `None` if there is none.
    pub async fn manifest_digest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Result<Option<Digest>, Error> {
        let answer = self
            .make(self.manifest_call(Method::HEAD, name, reference)?)
            .await?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            _ => return Err(unexpected(answer).await),
        }
        let said = answer
            .text(CONTENT_DIGEST)
            .and_then(|text| Digest::parse(text).ok());
        said.map(Some).ok_or_else(|| Error::Protocol {
            url: answer.url().to_owned(),
            what: "the answer names no digest".to_owned(),
        })
    }

    /// The manifests that refer to a subject; `None` if the registry cannot say.
    pub async fn referrers(
        &self,
        name: &RepositoryName,
        subject: &Digest,
    ) -> Result<Option<Vec<Digest>>, Error> {
        #[derive(Deserialize)]
        struct Index {
            #[serde(default)]
            manifests: Vec<Entry>,
        }
        #[derive(Deserialize)]
        struct Entry {
            digest: String,
        }
        let path = format!("/v2/{name}/referrers/{subject}");
        let call = self.call(Method::GET, &path, scope(name, "pull"))?;
        // A registry without this endpoint says so with one of several statuses.
        let first = self.make(call.clone()).await?;
        if matches!(first.status().as_u16(), 400 | 404 | 405 | 501) {
            return Ok(None);
        }
        drop(first);
        let entries = self.pages(call, true, |page: Index| page.manifests).await?;
        let digests = entries
            .iter()
            .filter_map(|entry| Digest::parse(&entry.digest).ok());
        Ok(Some(digests.collect()))
    }

    /// Whether there is such a blob.
    pub async fn has_blob(&self, name: &RepositoryName, digest: &Digest) -> Result<bool, Error> {
        let path = format!("/v2/{name}/blobs/{digest}");
        let answer = self
            .make(self.call(Method::HEAD, &path, scope(name, "pull"))?)
            .await?;
        match answer.status() {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(unexpected(answer).await),
        }
    }

    /// Begins to read a blob of this size.
    pub fn blob<'a>(
        &'a self,
        name: &RepositoryName,
        digest: &Digest,
        size: u64,
    ) -> Result<BlobReader<'a>, Error> {
        let path = format!("/v2/{name}/blobs/{digest}");
        let mut call = self.call(Method::GET, &path, scope(name, "pull"))?;
        call.limits = Limits {
            // A byte more shows that it is too long.
            bytes: size.saturating_add(1),
            time: Duration::from_mins(2) + Duration::from_secs(size >> 13),
        };
        Ok(BlobReader {
            remote: self,
            call,
            size,
            at: 0,
            answer: None,
            skip: 0,
            failures: 0,
        })
    }
}

/// A download that goes on where it was when it breaks.
pub struct BlobReader<'a> {
    remote: &'a Remote,
    call: Call,
    size: u64,
    at: u64,
    answer: Option<Response>,
    /// Bytes of the answer that were had before: the registry knows no ranges.
    skip: u64,
    failures: u32,
}

impl BlobReader<'_> {
    /// The next piece; `None` at the end, when all bytes came.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if self.at == self.size && self.answer.is_none() {
                return Ok(None);
            }
            match self.step().await {
                Ok(Some(piece)) if piece.is_empty() => {}
                Ok(Some(piece)) => {
                    self.failures = 0;
                    return Ok(Some(piece));
                }
                Ok(None) => return Ok(None),
                Err(error) => {
                    self.answer = None;
                    self.failures += 1;
                    let retry = self.remote.retry();
                    if !error.is_transient() || self.failures >= retry.attempts {
                        return Err(error);
                    }
                    retry.wait(self.failures, None).await;
                }
            }
        }
    }

    async fn step(&mut self) -> Result<Option<Bytes>, Error> {
        let answer = match &mut self.answer {
            Some(answer) => answer,
            none => {
                let (answer, skip) = open(self.remote, &self.call, self.at).await?;
                self.skip = skip;
                none.insert(answer)
            }
        };
        let url = answer.url().to_owned();
        let wrong_size = |at: u64, size: u64| Error::Protocol {
            url: url.clone(),
            what: format!("{at} bytes came of a blob that is said to have {size}"),
        };
        let Some(mut piece) = answer.chunk().await? else {
            self.answer = None;
            return if self.at == self.size {
                Ok(None)
            } else {
                Err(wrong_size(self.at, self.size))
            };
        };
        let skipped = self.skip.min(piece.len() as u64);
        piece.advance(skipped as usize);
        self.skip -= skipped;
        self.at += piece.len() as u64;
        if self.at > self.size {
            return Err(wrong_size(self.at, self.size));
        }
        Ok(Some(piece))
    }
}

/// Asks for the bytes from `at`; returns how many come that are before it.
async fn open(remote: &Remote, call: &Call, at: u64) -> Result<(Response, u64), Error> {
    let mut call = call.clone();
    if at > 0
        && let Ok(range) = HeaderValue::from_str(&format!("bytes={at}-"))
    {
        call.headers.push((RANGE, range));
    }
    let answer = remote.make(call).await?;
    let begins_there = || {
        let range = answer.text(http::header::CONTENT_RANGE);
        range.is_some_and(|range| range.starts_with(&format!("bytes {at}-")))
    };
    match answer.status() {
        StatusCode::OK => Ok((answer, at)),
        StatusCode::PARTIAL_CONTENT if begins_there() => Ok((answer, 0)),
        _ => Err(unexpected(answer).await),
    }
}
