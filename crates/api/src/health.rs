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
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::body::Body;

/// How long an outcome is good for.
const FRESH: Duration = Duration::from_secs(1);

/// Longest wait for one part.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks a part whether it works. The text of a failure is for operators and shows no secrets.
pub type Check =
    Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

/// The parts that have to work.
#[derive(Default)]
pub struct Health {
    checks: Vec<(&'static str, Check)>,
    shutting_down: AtomicBool,
    last: Mutex<Option<(Instant, Vec<Outcome>)>>,
}

type Outcome = (&'static str, Result<(), String>);

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.checks.iter().map(|(name, _)| name).collect();
        f.debug_struct("Health")
            .field("checks", &names)
            .finish_non_exhaustive()
    }
}

impl Health {
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
        let mut text = String::new();
        let mut status = StatusCode::OK;
        for (name, outcome) in outcomes {
            match outcome {
                Ok(()) => text.extend([name, ": ok\n"]),
                Err(error) => {
                    status = StatusCode::SERVICE_UNAVAILABLE;
                    text.extend([name, ": ", error, "\n"]);
                }
            }
        }
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
            .with("database", Box::new(|| Box::pin(async { Ok(()) })))
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

    #[tokio::test]
    async fn a_server_that_shuts_down_is_alive_but_not_ready() {
        let health = Health::default();
        assert_eq!(health.ready().await.status(), 200);
        health.shut_down();
        assert_eq!(health.ready().await.status(), 503);
        assert_eq!(Health::live().status(), 200);
    }
}
