//! What is written to a registry.

use std::time::Duration;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use http::{Method, StatusCode};
use lazuli_wire::oci::{Digest, Reference, RepositoryName};
use reqwest::Url;

use super::pull::Manifest;
use super::remote::{Call, scope, unexpected};
use super::{Error, Remote};
use crate::{Body, ChannelBody, Limits, Response};

const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// An upload that the registry has begun.
#[derive(Debug, Clone)]
pub struct Upload {
    url: Url,
    scope: String,
}

impl Remote {
    /// Begins an upload; with `from`, a repository that has the blob, the registry may take it from there: `None`, done.
    pub async fn begin_upload(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        from: Option<&RepositoryName>,
    ) -> Result<Option<Upload>, Error> {
        let own = scope(name, "pull,push");
        let (path, scope) = match from {
            Some(from) => (
                format!("/v2/{name}/blobs/uploads/?mount={digest}&from={from}"),
                format!("{own} {}", scope(from, "pull")),
            ),
            None => (format!("/v2/{name}/blobs/uploads/"), own),
        };
        let mut call = self.call(Method::POST, &path, scope.clone())?;
        call.headers
            .push((CONTENT_LENGTH, HeaderValue::from_static("0")));
        let answer = self.make(call).await?;
        match answer.status() {
            StatusCode::CREATED => return Ok(None),
            StatusCode::ACCEPTED => {}
            _ => return Err(unexpected(answer).await),
        }
        let place = answer
            .text(LOCATION)
            .and_then(|place| self.base().join(place).ok());
        let url = place.ok_or_else(|| Error::Protocol {
            url: answer.url().to_owned(),
            what: "the upload has no place".to_owned(),
        })?;
        Ok(Some(Upload { url, scope }))
    }

    /// Sends all of a blob; the registry compares it with the digest.
    pub async fn send_blob(
        &self,
        upload: &Upload,
        digest: &Digest,
        body: ChannelBody,
    ) -> Result<(), Error> {
        let mut url = upload.url.clone();
        url.query_pairs_mut()
            .append_pair("digest", &digest.to_string());
        let size = body.left();
        let call = Call {
            method: Method::PUT,
            url,
            scope: upload.scope.clone(),
            headers: vec![
                (CONTENT_LENGTH, HeaderValue::from(size)),
                (
                    CONTENT_TYPE,
                    HeaderValue::from_static("application/octet-stream"),
                ),
            ],
            body: None,
            limits: Limits {
                time: Duration::from_mins(10) + Duration::from_secs(size >> 13),
                ..Limits::default()
            },
        };
        let answer = self.send_once(&call, Body::Channel(body)).await?;
        if answer.status() == StatusCode::CREATED {
            return check_digest(&answer, digest);
        }
        Err(unexpected(answer).await)
    }

    /// Stores a manifest, as the bytes it is.
    pub async fn push_manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
        media_type: &str,
        manifest: &Manifest,
    ) -> Result<(), Error> {
        let path = format!("/v2/{name}/manifests/{reference}");
        let mut call = self.call(Method::PUT, &path, scope(name, "pull,push"))?;
        let content_type = HeaderValue::from_str(media_type).map_err(|_| Error::Protocol {
            url: path,
            what: "the media type cannot be sent".to_owned(),
        })?;
        call.headers.push((CONTENT_TYPE, content_type));
        call.body = Some(manifest.bytes.clone());
        let answer = self.expect(call, &[StatusCode::CREATED]).await?;
        // By tag, the registry chooses the algorithm of the digest it names.
        match reference {
            Reference::Digest(digest) => check_digest(&answer, digest),
            Reference::Tag(_) => Ok(()),
        }
    }
}

fn check_digest(answer: &Response, expected: &Digest) -> Result<(), Error> {
    match answer.text(CONTENT_DIGEST) {
        Some(said) if said != expected.to_string() => Err(Error::Protocol {
            url: answer.url().to_owned(),
            what: format!("{said} was stored instead of {expected}"),
        }),
        _ => Ok(()),
    }
}
