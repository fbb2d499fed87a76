//! Credentials and tokens.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::HeaderValue;
use http::{Method, StatusCode};
use reqwest::Url;
use serde::Deserialize;
use tokio::time::Instant;

use super::Error;
use super::challenge::Challenge;
use crate::{Client, Limits, Request, Response};

/// A user and a password.
#[derive(Clone)]
pub struct Credentials {
    /// The user.
    pub user: String,
    /// The password, or whatever stands for it.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    fn basic(&self) -> Option<HeaderValue> {
        let text = STANDARD.encode(format!("{}:{}", self.user, self.password));
        let mut value = HeaderValue::from_str(&format!("Basic {text}")).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// What was given for a scope, and until when it serves.
type Given = (HeaderValue, Option<Instant>);

/// The `Authorization` of each scope.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    given: Mutex<HashMap<String, Given>>,
    /// Held while one is got.
    turn: tokio::sync::Mutex<()>,
}

/// Scopes remembered; with more, all are forgotten.
const MOST_TOKENS: usize = 1000;

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

impl Tokens {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Given>> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody else gets a token.
    pub(super) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// What serves for the scope now.
    pub(super) fn get(&self, scope: &str) -> Option<HeaderValue> {
        let all = self.lock();
        let (value, until) = all.get(scope)?;
        (until.is_none_or(|until| Instant::now() < until)).then(|| value.clone())
    }

    pub(super) fn forget(&self, scope: &str) {
        self.lock().remove(scope);
    }

    /// Shows the password for a scope without having been asked for it.
    pub(super) fn show(&self, scope: &str, credentials: &Credentials) {
        if let Some(basic) = credentials.basic() {
            self.put(scope, (basic, None));
        }
    }

    fn put(&self, scope: &str, given: Given) {
        let mut all = self.lock();
        if all.len() >= MOST_TOKENS {
            all.clear();
        }
        all.insert(scope.to_owned(), given);
    }

    /// Answers a 401: gets what the registry wants for the scope. `false` when there is nothing to be had.
    pub(super) async fn obtain(
        &self,
        client: &Client,
        credentials: Option<&Credentials>,
        refused: &Response,
        scope: &str,
    ) -> Result<bool, Error> {
        let basic = credentials.and_then(Credentials::basic);
        let all = refused.headers().get_all(http::header::WWW_AUTHENTICATE);
        let mut challenges: Vec<Challenge> = all
            .iter()
            .filter_map(|value| Challenge::parse(value.to_str().ok()?))
            .collect();
        challenges.sort_by_key(|challenge| *challenge == Challenge::Basic);
        match (challenges.into_iter().next(), basic) {
            (
                Some(Challenge::Bearer {
                    realm,
                    service,
                    scope: wanted,
                }),
                basic,
            ) => {
                let protocol = |what: &str| Error::Protocol {
                    url: refused.url().to_owned(),
                    what: what.to_owned(),
                };
                let mut url =
                    Url::parse(&realm).map_err(|_| protocol("the realm of tokens is no URL"))?;
                if refused.url().starts_with("https:") && url.scheme() != "https" {
                    return Err(protocol("tokens are to be had without TLS only"));
                }
                let scopes = if scope.is_empty() {
                    wanted.as_deref().unwrap_or_default()
                } else {
                    scope
                };
                let each = scopes.split(' ').filter(|scope| !scope.is_empty());
                url.query_pairs_mut()
                    .extend_pairs(service.iter().map(|service| ("service", service)))
                    .extend_pairs(each.map(|scope| ("scope", scope)));
                let mut request = Request::new(Method::GET, url);
                request.authorization = basic;
                request.limits = Limits {
                    bytes: 1 << 20,
                    time: Duration::from_secs(30),
                };
                self.put(scope, token(client.send(request).await?).await?);
                Ok(true)
            }
            (Some(Challenge::Basic), Some(basic)) => {
                self.put(scope, (basic, None));
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}

async fn token(answer: Response) -> Result<Given, Error> {
    let (url, status) = (answer.url().to_owned(), answer.status());
    if status != StatusCode::OK {
        return Err(super::remote::unexpected(answer).await);
    }
    let wrong = || Error::Protocol {
        url: url.clone(),
        what: "the answer is no token".to_owned(),
    };
    let bytes = answer.bytes().await?;
    let answer: Answer = serde_json::from_slice(&bytes).map_err(|_| wrong())?;
    let token = answer.token.or(answer.access_token).ok_or_else(wrong)?;
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| wrong())?;
    value.set_sensitive(true);
    // The specification's default is a minute; a tenth less, for clocks and long ways.
    let seconds = answer.expires_in.unwrap_or(60).min(86_400);
    let until = Instant::now() + Duration::from_secs(seconds - seconds / 10);
    Ok((value, Some(until)))
}
