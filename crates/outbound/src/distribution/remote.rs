//! A registry, and how requests to it are made, authorised and repeated.

use std::time::Duration;

use http::header::{HeaderName, HeaderValue, RETRY_AFTER};
use http::{Method, StatusCode};
use lazuli_wire::oci::RepositoryName;
use reqwest::Url;
use serde::Deserialize;

use super::auth::{Credentials, Tokens};
use super::error::{Error, is_transient};
use crate::reach::shown;
use crate::{Body, Client, Limits, Request, Response};

/// How often and how patiently something is tried.
#[derive(Debug, Clone, Copy)]
pub struct Retry {
    /// Attempts altogether.
    pub attempts: u32,
    /// The first pause; each is twice as long as the one before.
    pub pause: Duration,
    /// The longest pause, whatever the registry asks for.
    pub longest: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 5,
            pause: Duration::from_millis(250),
            longest: Duration::from_mins(1),
        }
    }
}

impl Retry {
    /// Waits before attempt `attempt` (from 1), at least as long as the registry asks.
    pub async fn wait(&self, attempt: u32, asked: Option<Duration>) {
        let pause = self
            .pause
            .saturating_mul(1 << attempt.saturating_sub(1).min(16));
        tokio::time::sleep(pause.max(asked.unwrap_or_default()).min(self.longest)).await;
    }
}

/// A registry.
#[derive(Debug)]
pub struct Remote {
    client: Client,
    base: Url,
    credentials: Option<Credentials>,
    tokens: Tokens,
    retry: Retry,
}

/// A request that can be made again.
#[derive(Clone)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) url: Url,
    /// What it needs, in words of the token specification; empty: what the challenge says.
    pub(super) scope: String,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: Option<bytes::Bytes>,
    pub(super) limits: Limits,
}

impl Remote {
    /// The registry at an origin such as `https://registry.example.com`.
    pub fn new(client: Client, base: Url, credentials: Option<Credentials>) -> Result<Self, Error> {
        let wrong = base.cannot_be_a_base()
            || base.path() != "/"
            || base.query().is_some()
            || base.fragment().is_some()
            || !base.username().is_empty()
            || base.password().is_some();
        if wrong {
            return Err(Error::Outbound(crate::Error::Invalid(format!(
                "{} is not the URL of a registry: only scheme, host and port are wanted",
                shown(&base)
            ))));
        }
        Ok(Self {
            client,
            base,
            credentials,
            tokens: Tokens::default(),
            retry: Retry::default(),
        })
    }

    /// The same with other patience.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Its patience.
    pub fn retry(&self) -> Retry {
        self.retry
    }

    /// Whether it is there and accepts the credentials.
    pub async fn ping(&self) -> Result<(), Error> {
        let call = self.call(Method::GET, "/v2/", String::new())?;
        self.expect(call, &[StatusCode::OK]).await.map(drop)
    }

    /// Shows the password, if there is one, to requests of this scope from now on.
    pub(super) fn show_password(&self, scope: &str) {
        if let Some(credentials) = &self.credentials {
            self.tokens.show(scope, credentials);
        }
    }

    pub(super) fn base(&self) -> &Url {
        &self.base
    }

    pub(super) fn call(&self, method: Method, path: &str, scope: String) -> Result<Call, Error> {
        let url = self.base.join(path).map_err(|_| Error::Protocol {
            url: path.to_owned(),
            what: "no URL".to_owned(),
        })?;
        Ok(Call {
            method,
            url,
            scope,
            headers: Vec::new(),
            body: None,
            limits: Limits::default(),
        })
    }

    /// Makes a request until it is answered with something else than a passing fault.
    pub(super) async fn make(&self, call: Call) -> Result<Response, Error> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let outcome = self.attempt(&call).await;
            let asked = match &outcome {
                Ok(answer) if is_transient(answer.status()) => retry_after(answer),
                Err(error) if error.is_transient() => None,
                _ => return outcome,
            };
            if attempt >= self.retry.attempts {
                return outcome;
            }
            self.retry.wait(attempt, asked).await;
        }
    }

    async fn attempt(&self, call: &Call) -> Result<Response, Error> {
        let used = self.tokens.get(&call.scope);
        let answer = self.send_once(call, body(call)).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        // One at a time: others may have got a new token meanwhile, and use it.
        let turn = self.tokens.turn().await;
        let current = self.tokens.get(&call.scope);
        let is_renewed = current.is_some() && current != used;
        let has_token = is_renewed || self.obtain(call, &answer).await?;
        drop(turn);
        if has_token {
            self.send_once(call, body(call)).await
        } else {
            Ok(answer)
        }
    }

    async fn obtain(&self, call: &Call, refused: &Response) -> Result<bool, Error> {
        let credentials = self.credentials.as_ref();
        let tokens = &self.tokens;
        let outcome = tokens
            .obtain(&self.client, credentials, refused, &call.scope)
            .await;
        if !matches!(outcome, Ok(true)) {
            tokens.forget(&call.scope);
        }
        outcome
    }

    /// Sends it with what is at hand for its scope.
    pub(super) async fn send_once(&self, call: &Call, body: Body) -> Result<Response, Error> {
        let mut request = Request::new(call.method.clone(), call.url.clone());
        request.headers.extend(call.headers.iter().cloned());
        // The URL may be one the registry gave: credentials are for its own origin.
        if call.url.origin() == self.base.origin() {
            request.authorization = self.tokens.get(&call.scope);
        }
        request.body = body;
        request.limits = call.limits;
        Ok(self.client.send(request).await?)
    }

    /// As [`make`](Self::make), and any other status is an error.
    pub(super) async fn expect(
        &self,
        call: Call,
        statuses: &[StatusCode],
    ) -> Result<Response, Error> {
        let answer = self.make(call).await?;
        if statuses.contains(&answer.status()) {
            Ok(answer)
        } else {
            Err(unexpected(answer).await)
        }
    }
}

fn body(call: &Call) -> Body {
    call.body.clone().map_or(Body::Empty, Body::Bytes)
}

/// The scope of a repository.
pub(super) fn scope(name: &RepositoryName, actions: &str) -> String {
    format!("repository:{name}:{actions}")
}

fn retry_after(answer: &Response) -> Option<Duration> {
    let seconds = answer.text(RETRY_AFTER)?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// The error of an answer, with the registry's words.
pub(super) async fn unexpected(answer: Response) -> Error {
    #[derive(Deserialize)]
    struct Errors {
        errors: Vec<Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let (url, status) = (answer.url().to_owned(), answer.status());
    let retry_after = retry_after(&answer);
    let bytes = answer.bytes().await.unwrap_or_default();
    let said = serde_json::from_slice::<Errors>(&bytes).ok();
    let message = said
        .and_then(|said| said.errors.into_iter().next())
        .map_or_else(
            || "nothing more is said".to_owned(),
            |entry| format!("{} {}", entry.code, entry.message),
        );
    // It comes from elsewhere and goes to a terminal.
    let printable = |c: &char| !c.is_control();
    let message = message.chars().filter(printable).take(300).collect();
    if matches!(status.as_u16(), 401 | 403) {
        Error::Denied {
            url,
            status,
            message,
        }
    } else {
        Error::Status {
            url,
            status,
            message,
            retry_after,
        }
    }
}
