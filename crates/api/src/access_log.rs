//! The access log: one structured line for each request, under the target `access`.
//!
//! While that target is off, a request pays for one atomic load. Queries and bodies are never logged: they may carry
//! secrets. Header values appear only where named here.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http::header::USER_AGENT;
use http::request::Parts;
use http::{HeaderMap, Method};
use lazuli_identity::{Principal, RegistryId};
use lazuli_wire::oci::RepositoryName;

use crate::request_id::{self, RequestId};

/// Longest text taken over from a request, in bytes.
const LONGEST: usize = 512;

/// What the line will say beside the outcome.
#[derive(Debug)]
pub(crate) struct Note {
    method: Method,
    path: Box<str>,
    user_agent: Option<Box<str>>,
    client_request_id: Option<Box<str>>,
    remote: IpAddr,
    pub(crate) principal: Option<Principal>,
    pub(crate) registry: Option<RegistryId>,
    pub(crate) repository: Option<RepositoryName>,
}

impl Note {
    /// Whether anybody reads the access log.
    pub(crate) fn is_wanted() -> bool {
        tracing::enabled!(target: "access", tracing::Level::INFO)
    }

    pub(crate) fn new(request: &Parts, remote: SocketAddr) -> Self {
        Self {
            method: request.method.clone(),
            path: clip(request.uri.path()),
            user_agent: text(&request.headers, USER_AGENT.as_str()),
            client_request_id: request_id::inbound(&request.headers).map(Into::into),
            remote: remote.ip().to_canonical(),
            principal: None,
            registry: None,
            repository: None,
        }
    }

    /// The client's address as a trusted proxy reported it.
    pub(crate) fn set_remote(&mut self, remote: IpAddr) {
        self.remote = remote;
    }

    /// Writes the line.
    pub(crate) fn write(
        self,
        id: RequestId,
        status: u16,
        is_complete: bool,
        took: Duration,
        received: u64,
        sent: u64,
    ) {
        tracing::info!(
            target: "access",
            request_id = %id,
            client_request_id = self.client_request_id.as_deref(),
            remote = %self.remote,
            method = %self.method,
            path = %self.path,
            status,
            aborted = !is_complete,
            bytes_in = received,
            bytes_out = sent,
            duration_us = took.as_micros() as u64,
            registry = self.registry.map(RegistryId::get),
            repository = self.repository.as_ref().map(RepositoryName::as_str),
            principal = self.principal.as_ref().map(Principal::name),
            user_agent = self.user_agent.as_deref(),
            "request"
        );
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<Box<str>> {
    Some(clip(headers.get(name)?.to_str().ok()?))
}

fn clip(text: &str) -> Box<str> {
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_note_takes_no_query_and_bounded_text() {
        let (parts, ()) = http::Request::builder()
            .uri("/v2/a/tags/list?secret=1")
            .header("user-agent", "x".repeat(2000))
            .header("authorization", "Basic c2VjcmV0")
            .body(())
            .unwrap()
            .into_parts();
        let note = Note::new(&parts, "[::ffff:10.0.0.1]:9".parse().unwrap());
        assert_eq!(&*note.path, "/v2/a/tags/list");
        assert_eq!(note.user_agent.as_ref().unwrap().len(), LONGEST);
        assert_eq!(note.remote.to_string(), "10.0.0.1");
        let all = format!("{note:?}");
        assert!(
            !all.contains("secret") && !all.contains("c2VjcmV0"),
            "{all}"
        );
    }

    #[test]
    fn clipping_respects_characters() {
        let text = format!("{}é", "x".repeat(LONGEST - 1));
        assert_eq!(clip(&text).len(), LONGEST - 1);
    }
}
