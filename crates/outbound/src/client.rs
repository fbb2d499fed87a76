//! The client.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use tokio::time::{Instant, timeout, timeout_at};

use crate::body::Body;
use crate::error::Error;
use crate::reach::{Reach, shown};

/// What a client is made of.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where requests may go.
    pub reach: Reach,
    /// Certificates (PEM) of authorities to trust besides the system's.
    pub authorities: Vec<Vec<u8>>,
    /// `User-Agent`
    pub user_agent: &'static str,
    /// Until a connection stands.
    pub connect_timeout: Duration,
    /// Until the head of an answer, from the end of a body that is sent.
    pub answer_timeout: Duration,
    /// Between two pieces of an answer.
    pub idle_timeout: Duration,
    /// Redirects followed for one request.
    pub max_redirects: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            reach: Reach::public(),
            authorities: Vec::new(),
            user_agent: concat!("lazuli/", env!("CARGO_PKG_VERSION")),
            connect_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_mins(1),
            idle_timeout: Duration::from_secs(30),
            max_redirects: 5,
        }
    }
}

/// Bounds on one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of its body.
    pub bytes: u64,
    /// From the request to the end of the body.
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 8 << 20,
            time: Duration::from_mins(2),
        }
    }
}

/// A request.
#[derive(Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// Header fields. A redirect to another origin takes `Accept` and `Range` along and nothing else.
    pub headers: HeaderMap,
    /// `Authorization`, for the origin of `url` only.
    pub authorization: Option<HeaderValue>,
    /// The body. Redirects are followed for GET and HEAD only.
    pub body: Body,
    /// Bounds on the answer.
    pub limits: Limits,
}

impl Request {
    /// A request without header fields and body.
    pub fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            authorization: None,
            body: Body::Empty,
            limits: Limits::default(),
        }
    }

    /// With a header field.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}

/// The head of an answer, and its body to be read.
#[derive(Debug)]
pub struct Response {
    inner: reqwest::Response,
    url: String,
    limit: u64,
    received: u64,
    deadline: Instant,
    idle_timeout: Duration,
}

/// The client. Cloning shares its connections.
#[derive(Debug, Clone)]
pub struct Client {
    inner: reqwest::Client,
    options: Arc<Options>,
}

impl Client {
    /// Makes a client.
    pub fn new(options: Options) -> Result<Self, Error> {
        let mut builder = reqwest::Client::builder()
            .user_agent(options.user_agent)
            .connect_timeout(options.connect_timeout)
            .pool_idle_timeout(Duration::from_secs(20))
            .http1_only()
            .referer(false)
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            // A proxy would look names up for itself, out of sight.
            .no_proxy()
            .dns_resolver(Resolver(options.reach.clone()));
        for pem in &options.authorities {
            let certificates = reqwest::Certificate::from_pem_bundle(pem)
                .map_err(|error| Error::Invalid(format!("no certificates: {error}")))?;
            builder = builder.tls_certs_merge(certificates);
        }
        let inner = builder
            .build()
            .map_err(|error| Error::Invalid(error.to_string()))?;
        Ok(Self {
            inner,
            options: Arc::new(options),
        })
    }

    /// Sends a request and waits for the head of the answer, that of the last of its redirects.
    pub async fn send(&self, request: Request) -> Result<Response, Error> {
        let Request {
            method,
            mut url,
            mut headers,
            mut authorization,
            mut body,
            limits,
        } = request;
        let deadline = Instant::now() + limits.time;
        let may_follow = matches!(method, Method::GET | Method::HEAD);
        for _ in 0..=self.options.max_redirects {
            self.options.reach.check(&url)?;
            let mut builder = self
                .inner
                .request(method.clone(), url.clone())
                .headers(headers.clone());
            if let Some(value) = &authorization {
                builder = builder.header(header::AUTHORIZATION, value);
            }
            let mut patience = self.options.answer_timeout.min(limits.time);
            builder = match std::mem::take(&mut body) {
                Body::Empty => builder,
                Body::Bytes(bytes) => builder.body(bytes),
                Body::Channel(channel) => {
                    // Less than 8 KiB a second is too little.
                    patience += Duration::from_secs(channel.left() >> 13);
                    builder.body(reqwest::Body::wrap(channel))
                }
            };
            let name = shown(&url);
            let answer = match timeout(patience, builder.send()).await {
                Err(_) => return Err(Error::TimedOut { url: name }),
                Ok(Err(error)) => return Err(Error::of_request(&name, &error)),
                Ok(Ok(answer)) => answer,
            };
            if !(may_follow && is_redirect(answer.status())) {
                return Ok(Response {
                    inner: answer,
                    url: name,
                    limit: limits.bytes,
                    received: 0,
                    deadline,
                    idle_timeout: self.options.idle_timeout,
                });
            }
            let next = target(&url, &answer)?;
            if next.origin() != url.origin() {
                authorization = None;
                headers = harmless(&headers);
            }
            url = next;
        }
        Err(Error::Redirect {
            url: shown(&url),
            what: "too often",
        })
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Where a redirect leads.
fn target(url: &Url, answer: &reqwest::Response) -> Result<Url, Error> {
    let wrong = |what| Error::Redirect {
        url: shown(url),
        what,
    };
    let place = answer
        .headers()
        .get(header::LOCATION)
        .and_then(|value| value.to_str().ok())
        .ok_or_else(|| wrong("nowhere"))?;
    let next = url
        .join(place)
        .map_err(|_| wrong("to a place that is no URL"))?;
    if url.scheme() == "https" && next.scheme() != "https" {
        return Err(wrong("from https to http"));
    }
    Ok(next)
}

fn harmless(headers: &HeaderMap) -> HeaderMap {
    let kept = [header::ACCEPT, header::RANGE].into_iter();
    kept.filter_map(|name| Some((name.clone(), headers.get(&name)?.clone())))
        .collect()
}

impl Response {
    /// The status code.
    pub fn status(&self) -> StatusCode {
        self.inner.status()
    }

    /// The header fields.
    pub fn headers(&self) -> &HeaderMap {
        self.inner.headers()
    }

    /// A header field as text.
    pub fn text(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.headers().get(name)?.to_str().ok()
    }

    /// Where the answer came from, without query.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The next piece of the body.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        let until = self.deadline.min(Instant::now() + self.idle_timeout);
        let piece = match timeout_at(until, self.inner.chunk()).await {
            Err(_) => {
                return Err(Error::TimedOut {
                    url: self.url.clone(),
                });
            }
            Ok(Err(error)) => return Err(Error::of_request(&self.url, &error)),
            Ok(Ok(piece)) => piece,
        };
        if let Some(piece) = &piece {
            self.received = self.received.saturating_add(piece.len() as u64);
            if self.received > self.limit {
                return Err(Error::TooLarge {
                    url: self.url.clone(),
                    limit: self.limit,
                });
            }
        }
        Ok(piece)
    }

    /// The rest of the body.
    pub async fn bytes(mut self) -> Result<Bytes, Error> {
        let mut all = BytesMut::new();
        while let Some(piece) = self.chunk().await? {
            all.extend_from_slice(&piece);
        }
        Ok(all.freeze())
    }
}

/// Looks a name up once, and gives the connector addresses that are allowed, so that a name cannot mean one address when
/// it is checked and another when it is used.
struct Resolver(Reach);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0.clone();
        Box::pin(async move {
            let host = name.as_str();
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host, 0)).await?.collect();
            let mut allowed = Vec::new();
            let mut refusal = None;
            for address in found {
                match reach.check_address(host, address.ip()) {
                    Ok(()) => allowed.push(address),
                    Err(error) => refusal = Some(error),
                }
            }
            match refusal {
                Some(refusal) if allowed.is_empty() => Err(refusal.into()),
                _ => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_redirect_keeps_what_tls_promised() {
        let lead = |from: &str, to: &str| {
            let answer = http::Response::builder()
                .status(302)
                .header(header::LOCATION, to)
                .body("")
                .unwrap();
            target(&Url::parse(from).unwrap(), &answer.into()).map(String::from)
        };
        let joined = lead("https://a.example/x/y", "../z?q").unwrap();
        assert_eq!(joined, "https://a.example/z?q");
        assert!(lead("http://a.example/", "https://b.example/").is_ok());
        assert!(lead("http://a.example/", "http://b.example/").is_ok());
        for place in ["http://a.example/", "ftp://a.example/", "//", "http://"] {
            let outcome = lead("https://a.example/", place);
            assert!(matches!(outcome, Err(Error::Redirect { .. })), "{place}");
        }
    }
}
