//! Liveness and readiness.
//!
//! `/healthz` says that the process answers. `/readyz` says that requests would succeed: the parts it is made of are
//! asked, at most once a second however often the question comes.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use lazuli_registry::{Error, Registry};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::body::Body;

/// How long an outcome is good for.
const FRESH: Duration = Duration::from_secs(1);

/// Longest wait for one part.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether a part works: what there is to say of one that does, or why it does not. For operators, without secrets.
pub type Condition = Result<Option<&'static str>, String>;

/// Asks a part whether it works.
pub type Check = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Condition> + Send>> + Send + Sync>;

/// The parts that have to work.
#[derive(Default)]
pub struct Health {
    checks: Vec<(&'static str, Check)>,
    shutting_down: AtomicBool,
    last: Mutex<Option<(Instant, Vec<Outcome>)>>,
}

type Outcome = (&'static str, Condition);

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.checks.iter().map(|(name, _)| name).collect();
        f.debug_struct("Health")
            .field("checks", &names)
            .finish_non_exhaustive()
    }
}

impl Health {
    /// The parts a registry needs to answer requests.
    pub(crate) fn of(registry: &Registry) -> Self {
        let (reading, writing, storing) = (registry.clone(), registry.clone(), registry.clone());
        let text = |error: lazuli_db::Error| error.to_string();
        Self::default()
            .with(
                "database reads",
                Box::new(move || {
                    let db = reading.db().clone();
                    Box::pin(async move { db.read(|_| Ok(None)).await.map_err(text) })
                }),
            )
            .with(
                "database writes",
                Box::new(move || {
                    let registry = writing.clone();
                    Box::pin(async move {
                        let db = registry.db();
                        if db.stats().read_only {
                            return Err(
                                "read-only after a failed commit; restart to recover".to_owned()
                            );
                        }
                        db.write_relaxed(|_| Ok(())).await.map_err(text)?;
                        // Pulls go on, for which it is ready.
                        Ok(match registry.check_open().await {
                            Err(Error::Moving { is_over: true }) => {
                                Some("pushes and deletes are refused: the registry was moved away")
                            }
                            Err(Error::Moving { is_over: false }) => {
                                Some("pushes and deletes are refused for a moment: the registry is being moved")
                            }
                            _ => None,
                        })
                    })
                }),
            )
            .with(
                "blob store",
                Box::new(move || {
                    let store = storing.store().clone();
                    Box::pin(async move {
                        if !store.is_writable() {
                            return Err("read-only after disk errors; restart to recover".to_owned());
                        }
                        store
                            .free_space()
                            .map(|_| None)
                            .map_err(|error| error.to_string())
                    })
                }),
            )
    }

    /// Adds a part.
    #[must_use]
    pub fn with(mut self, name: &'static str, check: Check) -> Self {
        self.checks.push((name, check));
        self
    }

    /// From now on not ready: a load balancer sends no more requests.
    pub(crate) fn shut_down(&self) {
        self.shutting_down.store(true, Relaxed);
    }

    /// The answer of `/healthz`.
    pub(crate) fn live() -> Response<Body> {
        answer(StatusCode::OK, "ok\n".to_owned())
    }

    /// The answer of `/readyz`: a line for each part.
    pub(crate) async fn ready(&self) -> Response<Body> {
        if self.shutting_down.load(Relaxed) {
            let text = "shutting down\n".to_owned();
            return answer(StatusCode::SERVICE_UNAVAILABLE, text);
        }
        let mut last = self.last.lock().await;
        let outcomes = match &*last {
            Some((at, outcomes)) if at.elapsed() < FRESH => outcomes,
            _ => &last.insert((Instant::now(), self.ask().await)).1,
        };
        let (status, text) = describe(outcomes);
        answer(status, text)
    }

    async fn ask(&self) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(self.checks.len());
        for (name, check) in &self.checks {
            let outcome = tokio::time::timeout(PATIENCE, check()).await;
            let outcome = outcome.unwrap_or_else(|_| Err("no answer".to_owned()));
            if let Err(error) = &outcome {
                tracing::warn!(part = name, %error, "not ready");
            }
            outcomes.push((*name, outcome));
        }
        outcomes
    }
}

fn describe(outcomes: &[Outcome]) -> (StatusCode, String) {
    let mut text = String::new();
    let mut status = StatusCode::OK;
    for (name, outcome) in outcomes {
        match outcome {
            Ok(None) => text.extend([name, ": ok\n"]),
            Ok(Some(note)) => text.extend([name, ": ok; ", note, "\n"]),
            Err(error) => {
                status = StatusCode::SERVICE_UNAVAILABLE;
                text.extend([name, ": ", error, "\n"]);
            }
        }
    }
    (status, text)
}

fn answer(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Body::full(text));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    let fresh = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, fresh);
    response
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[tokio::test]
    async fn every_part_has_to_work_and_is_asked_once_a_second() {
        let asked = Arc::new(AtomicU32::new(0));
        let count = asked.clone();
        let health = Health::default()
            .with("database", Box::new(|| Box::pin(async { Ok(None) })))
            .with(
                "store",
                Box::new(move || {
                    count.fetch_add(1, Relaxed);
                    Box::pin(async { Err("disk full".to_owned()) })
                }),
            );
        for _ in 0..3 {
            assert_eq!(health.ready().await.status(), 503);
        }
        assert_eq!(asked.load(Relaxed), 1);
    }

    #[test]
    fn a_part_that_works_may_have_something_to_say() {
        let outcomes = [("database", Ok(None)), ("store", Ok(Some("but slowly")))];
        let (status, text) = describe(&outcomes);
        assert_eq!(
            (status, &*text),
            (StatusCode::OK, "database: ok\nstore: ok; but slowly\n")
        );
    }

    #[tokio::test]
    async fn a_server_that_shuts_down_is_alive_but_not_ready() {
        let health = Health::default();
        assert_eq!(health.ready().await.status(), 200);
        health.shut_down();
        assert_eq!(health.ready().await.status(), 503);
        assert_eq!(Health::live().status(), 200);
    }
}
