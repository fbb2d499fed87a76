//! Keys of issuers: fetched by the guarded client, kept for a while, asked for again when a token names an unknown one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, HeaderValue};
use http::{Method, StatusCode};
use lazuli_outbound::{Client, Limits, Options, Reach, Request, Url};
use tokio::sync::Mutex;

use super::keys::{self, IssuerKey, MAX_DOCUMENT};

/// Microseconds after which keys are fetched again.
const FRESH: i64 = 3_600_000_000;

/// Microseconds for which keys are good when their issuer cannot be reached.
const USABLE: i64 = 24 * FRESH;

/// Microseconds between two attempts at one issuer: whoever names unknown keys causes no more than this.
const PAUSE: i64 = 30_000_000;

/// Most issuers whose keys are kept.
const MOST: usize = 256;

/// How long one document may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the document of an issuer is, and who it must say it is of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Source {
    pub(crate) document: String,
    pub(crate) issuer: String,
    /// Whether it may be in a private network: the operator said so.
    pub(crate) private: bool,
    /// Whether the operator named it.
    pub(crate) named: bool,
}

struct Known {
    keys: Arc<[IssuerKey]>,
    /// Microseconds; 0: never.
    fetched_at: i64,
    tried_at: i64,
}

/// The keys of issuers.
pub(crate) struct IssuerKeys {
    known: Mutex<HashMap<Source, Arc<Mutex<Known>>>>,
}

impl IssuerKeys {
    pub(crate) fn new() -> Self {
        Self {
            known: Mutex::default(),
        }
    }

    /// The keys of an issuer that may have made a token with this key name; none when they cannot be had.
    pub(crate) async fn of(
        &self,
        source: &Source,
        now: i64,
        wanted: impl Fn(&IssuerKey) -> bool,
    ) -> Vec<IssuerKey> {
        let slot = {
            let mut known = self.known.lock().await;
            if known.len() >= MOST && !known.contains_key(source) {
                known.clear();
            }
            let slot = known.entry(source.clone()).or_insert_with(|| {
                Arc::new(Mutex::new(Known {
                    keys: Arc::default(),
                    fetched_at: 0,
                    tried_at: i64::MIN,
                }))
            });
            Arc::clone(slot)
        };
        // One fetch at a time for one issuer; the others wait for it.
        let mut known = slot.lock().await;
        let is_fresh = now - known.fetched_at < FRESH;
        let has = known.keys.iter().any(&wanted);
        if !(is_fresh && has) && now.saturating_sub(known.tried_at) >= PAUSE {
            known.tried_at = now;
            match fetch(source).await {
                Ok(keys) => {
                    known.keys = keys.into();
                    known.fetched_at = now;
                }
                Err(reason) => {
                    tracing::warn!(
                        issuer = source.issuer,
                        reason,
                        "cannot get the keys of an issuer"
                    );
                }
            }
        }
        if now - known.fetched_at >= USABLE {
            return Vec::new();
        }
        known
            .keys
            .iter()
            .filter(|key| wanted(key))
            .cloned()
            .collect()
    }
}

async fn fetch(source: &Source) -> Result<Vec<IssuerKey>, String> {
    let document = Url::parse(&source.document).map_err(|error| error.to_string())?;
    let mut reach = Reach::public();
    if source.named {
        reach = reach.and_named(&document);
    }
    if source.private {
        reach = reach.and_private();
    }
    let options = Options {
        reach,
        connect_timeout: Duration::from_secs(5),
        answer_timeout: PATIENCE,
        // A document is where the issuer says, and nowhere else.
        max_redirects: 0,
        ..Options::default()
    };
    let client = Client::new(options).map_err(|error| error.to_string())?;
    let found = get(&client, document).await?;
    let found = keys::discovery(&found).ok_or("the discovery document cannot be read")?;
    if found.issuer != source.issuer {
        return Err(format!(
            "the discovery document is of {}",
            found.issuer.chars().take(200).collect::<String>()
        ));
    }
    let place = Url::parse(&found.jwks_uri).map_err(|error| error.to_string())?;
    let set = get(&client, place).await?;
    keys::key_set(&set).ok_or_else(|| "the key set cannot be read".to_owned())
}

async fn get(client: &Client, url: Url) -> Result<bytes::Bytes, String> {
    let mut request =
        Request::new(Method::GET, url).header(ACCEPT, HeaderValue::from_static("application/json"));
    request.limits = Limits {
        bytes: MAX_DOCUMENT,
        time: PATIENCE,
    };
    let answer = client
        .send(request)
        .await
        .map_err(|error| error.to_string())?;
    if answer.status() != StatusCode::OK {
        return Err(format!("{} answers {}", answer.url(), answer.status()));
    }
    answer.bytes().await.map_err(|error| error.to_string())
}
