//! A client as real ones are when a server dies: a request that was cut off is sent again, in the way that the protocol has for it.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use lazuli_testkit::http::{self, Response};
use lazuli_testkit::nodes::{Killer, Pace};
use lazuli_testkit::server::{PASSWORD, basic};

use crate::group::Group;
use crate::support::location;

/// How often one request may be sent again.
const MOST: usize = 5;
/// How long nginx may leave nodes alone that are back.
const NOTICED: Duration = Duration::from_secs(3);
/// A node is gone about half of the time.
const PACE: Pace = Pace {
    quiet: (300, 1500),
    away: (0, 600),
};

/// Nodes that are killed, one after the other, while the tests run.
pub(crate) struct Dying {
    pub(crate) group: Group,
    pub(crate) killer: Option<Killer>,
}

pub(crate) fn server() -> &'static Dying {
    static DYING: OnceLock<Dying> = OnceLock::new();
    DYING.get_or_init(|| {
        let group = Group::start();
        let seed = seed();
        // Past the harness's capture: it repeats who dies, and when.
        let _ = std::io::Write::write_fmt(
            &mut std::io::stderr().lock(),
            format_args!("nodes are killed by seed {seed} (DUTIES_SEED)\n"),
        );
        let kill = |nodes: &lazuli_testkit::nodes::Nodes| nodes.kill_them(seed, PACE).unwrap();
        let killer = group.nodes.as_ref().map(kill);
        Dying { group, killer }
    })
}

fn seed() -> u64 {
    let given = std::env::var("DUTIES_SEED").map(|seed| seed.parse().expect("DUTIES_SEED"));
    given.unwrap_or_else(|_| {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        since.unwrap().as_secs()
    })
}

impl Dying {
    pub(crate) fn anonymous(&self) -> Client {
        Client(http::Client::new(self.http()))
    }

    pub(crate) fn admin(&self) -> Client {
        self.anonymous()
            .with_authorization(basic("lazuli", PASSWORD))
    }

    pub(crate) fn http(&self) -> SocketAddr {
        self.group.http()
    }

    /// How many were killed so far.
    pub(crate) fn kills(&self) -> usize {
        self.killer.as_ref().map_or(0, |killer| {
            assert!(killer.is_running(), "a node did not come back");
            killer.kills().len()
        })
    }

    fn was_killed_since(&self, then: SystemTime) -> bool {
        let kills = self.killer.as_ref().map(Killer::kills);
        kills.is_some_and(|kills| kills.last().is_some_and(|kill| kill.at >= then))
    }
}

/// Requests that were sent again.
pub(crate) static AGAIN: AtomicUsize = AtomicUsize::new(0);

/// A client of nginx.
#[derive(Debug, Clone)]
pub(crate) struct Client(http::Client);

impl Client {
    pub(crate) fn with_authorization(&self, value: impl Into<String>) -> Self {
        Self(self.0.with_authorization(value))
    }

    pub(crate) fn get(&self, target: &str) -> Response {
        self.send("GET", target, &[], &[])
    }

    pub(crate) fn head(&self, target: &str) -> Response {
        self.send("HEAD", target, &[], &[])
    }

    pub(crate) fn delete(&self, target: &str) -> Response {
        self.send("DELETE", target, &[], &[])
    }

    pub(crate) fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        if method == "PATCH" {
            return self.patch(target, headers, body);
        }
        let begun = SystemTime::now();
        for _ in 0..=MOST {
            let Some(mut response) = self.once(method, target, headers, body) else {
                continue;
            };
            // Sent again, by us or by nginx, what was deleted the first time is gone the second time.
            let is_gone = method == "DELETE" && response.status == 404;
            if is_gone && server().was_killed_since(begun) {
                response.status = if target.contains("/uploads/") {
                    204
                } else {
                    202
                };
                response
                    .headers
                    .push(("docker-content-digest".to_owned(), last_part(target)));
            }
            return response;
        }
        panic!("{method} {target}: cut off again and again");
    }

    /// For what a server may answer by ending the connection: once, with its failure.
    pub(crate) fn try_send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> std::io::Result<Response> {
        let response = self.0.try_send(method, target, headers, body)?;
        match response.status {
            502 | 504 => Err(std::io::ErrorKind::ConnectionReset.into()),
            _ => Ok(response),
        }
    }

    /// One attempt; `None`: it was cut off, and may be repeated.
    fn once(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Option<Response> {
        let begun = SystemTime::now();
        match self.0.try_send(method, target, headers, body) {
            // What nginx answers when a node does not.
            Ok(response) if !matches!(response.status, 502 | 504) => Some(response),
            outcome => {
                // The end of a node is noted a moment later.
                std::thread::sleep(Duration::from_millis(100));
                let was_killed = server().was_killed_since(begun - NOTICED);
                assert!(was_killed, "{method} {target}: nobody died: {outcome:?}");
                AGAIN.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }

    /// A chunk must not be sent twice: who does not know whether it arrived asks how far the upload is, and goes on there.
    fn patch(&self, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        let given = headers
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case("content-range"))
            .and_then(|(_, range)| range.split('-').next()?.parse::<usize>().ok());
        let start = match given {
            Some(start) => start,
            None => received(&self.get(target)).unwrap_or(0),
        };
        let (mut target, mut from) = (target.to_owned(), start);
        for _ in 0..=MOST {
            let rest = body.get(from - start..).unwrap_or_default();
            let answer = if from == start {
                self.once("PATCH", &target, headers, rest)
            } else {
                let range = format!("{from}-{}", from + rest.len() - 1);
                let headers = [
                    ("Content-Type", "application/octet-stream"),
                    ("Content-Range", &range),
                ];
                self.once("PATCH", &target, &headers, rest)
            };
            if let Some(answer) = answer {
                return answer;
            }
            let mut found = self.get(&target);
            let Some(arrived) = received(&found) else {
                return found;
            };
            if arrived > start && arrived == start + body.len() {
                found.status = 202;
                return found;
            }
            (target, from) = (location(&found), arrived.max(start));
        }
        panic!("PATCH {target}: cut off again and again");
    }
}

/// How many bytes a session has, by what it says of itself.
fn received(response: &Response) -> Option<usize> {
    if response.status != 204 {
        return None;
    }
    let end = response.header("range")?.split('-').nth(1)?;
    let end: usize = end.parse().ok()?;
    Some(if end == 0 { 0 } else { end + 1 })
}

fn last_part(target: &str) -> String {
    let last = target.rsplit('/').next();
    last.unwrap_or_default().to_owned()
}
