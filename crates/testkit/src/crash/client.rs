//! One of those who send requests, and what all of them share.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::ledger::{Effect, Ledger, Outcome};
use super::random::Random;
use super::sessions::Session;
use crate::http::{Connection, Response};

/// How often of a hundred a client of a group is sent to another node than before.
const NODE_CHANGES: u64 = 25;
/// How long a client of a group waits for an answer. It may try again elsewhere while its request is still alive.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long the end of a fault may be felt.
const RECOVERY: Duration = Duration::from_secs(15);

/// What all clients share.
#[derive(Debug)]
pub struct Shared {
    /// Where the server listens, or each node of a group.
    pub addresses: Vec<SocketAddr>,
    /// Whether clients live through faults, as behind a load balancer: they try again, on another node.
    pub is_group: bool,
    /// Whether what a server forgets of its sessions is no fault: the machine lost power, or its clock was set.
    pub may_forget_sessions: bool,
    /// The clients' `Authorization`.
    pub authorization: String,
    /// What was acknowledged.
    pub ledger: Ledger,
    /// Set before the server is killed: from then on requests may stay without answer.
    pub is_killed: AtomicBool,
    /// Set when the clients of a group should come to an end.
    pub is_over: AtomicBool,
    /// Counted at each crash of the database, before and after: the progress of uploads may be forgotten in between.
    pub forgets: AtomicU64,
    tally: Mutex<Tally>,
}

/// What happened so far.
#[derive(Debug, Default, Clone)]
pub struct Tally {
    /// How often something happened.
    pub counts: BTreeMap<&'static str, u64>,
    /// What must not have happened.
    pub violations: Vec<String>,
}

impl Shared {
    /// Nothing has happened yet.
    pub fn new(addresses: Vec<SocketAddr>, authorization: String, ledger: Ledger) -> Self {
        Self {
            addresses,
            is_group: false,
            may_forget_sessions: false,
            authorization,
            ledger,
            is_killed: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            forgets: AtomicU64::new(0),
            tally: Mutex::default(),
        }
    }

    /// Whether the clients should come to an end.
    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    /// Whether something was done to the server that may leave requests without answer.
    pub fn is_disturbed(&self) -> bool {
        self.is_killed.load(Ordering::SeqCst)
    }

    /// What happened so far.
    pub fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts something.
    pub fn count(&self, what: &'static str) {
        *self.tally().counts.entry(what).or_default() += 1;
    }

    /// Notes something that must not have happened.
    pub fn violation(&self, what: impl Into<String>) {
        self.tally().violations.push(what.into());
    }
}

/// There was no answer: the server is gone.
#[derive(Debug, Clone, Copy)]
pub struct Stop;

/// A request.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Its method.
    pub method: &'a str,
    /// Path and query.
    pub target: &'a str,
    /// Headers beyond the usual ones.
    pub headers: &'a [(&'a str, &'a str)],
    /// Its body.
    pub body: &'a [u8],
}

/// A client with a connection of its own.
#[derive(Debug)]
pub struct Client<'a> {
    /// What it shares with the others.
    pub shared: &'a Shared,
    /// What it decides by.
    pub random: Random,
    /// Its number, from 0.
    pub number: u64,
    /// Its upload sessions, from round to round.
    pub sessions: Vec<Session>,
    /// The only node it speaks with, if not with all.
    pub only: Option<usize>,
    connection: Option<Connection>,
}

impl<'a> Client<'a> {
    /// A client that carries on with the sessions it had.
    pub fn new(shared: &'a Shared, number: u64, random: Random, sessions: Vec<Session>) -> Self {
        Self {
            shared,
            random,
            number,
            sessions,
            only: None,
            connection: None,
        }
    }

    /// Speaks with one node only, or with all again.
    pub fn turn_to(&mut self, only: Option<usize>) {
        self.only = only;
        self.connection = None;
    }

    /// Sends a request. No answer is a violation unless the server was killed.
    pub fn ask(&mut self, request: Request<'_>) -> Result<Response, Stop> {
        let begun = Instant::now();
        loop {
            let response = self.ask_once(request)?;
            // After a fault there is a moment until connections are there again; reads wait for it.
            let is_awaited = matches!(response.status, 429 | 503)
                && matches!(request.method, "GET" | "HEAD")
                && self.shared.is_group
                && !self.shared.is_disturbed();
            if !is_awaited {
                return Ok(response);
            }
            self.shared.count("reads that had to wait");
            if begun.elapsed() > RECOVERY {
                let Request { method, target, .. } = request;
                let problem = format!("{method} {target}: {} for too long", response.status);
                self.shared.violation(problem);
                return Ok(response);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn ask_once(&mut self, request: Request<'_>) -> Result<Response, Stop> {
        let Request { method, target, .. } = request;
        match self.try_ask(request) {
            Ok(response) => {
                if response.header("connection") == Some("close") {
                    self.connection = None;
                }
                let may_fail = self.shared.is_group && self.shared.is_disturbed();
                if response.status == 500 && may_fail {
                    self.shared.count("answered 500 under a fault");
                } else if response.status >= 500 && response.status != 503 {
                    let body = String::from_utf8_lossy(&response.body);
                    let status = response.status;
                    self.shared
                        .violation(format!("{method} {target}: {status}: {}", body.trim_end()));
                }
                Ok(response)
            }
            Err(error) => {
                self.connection = None;
                if !self.shared.is_killed.load(Ordering::SeqCst) {
                    let problem = format!("{method} {target}: no answer before the kill: {error}");
                    self.shared.violation(problem);
                }
                Err(Stop)
            }
        }
    }

    fn try_ask(&mut self, request: Request<'_>) -> std::io::Result<Response> {
        if self.shared.is_group && self.only.is_none() && self.random.percent(NODE_CHANGES) {
            self.connection = None;
        }
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => {
                let nodes = &self.shared.addresses;
                let node = match self.only {
                    None if nodes.len() > 1 => self.random.below(nodes.len() as u64) as usize,
                    only => only.unwrap_or(0),
                };
                let opened = Connection::open(nodes[node])?;
                if self.shared.is_group {
                    opened.set_patience(PATIENCE)?;
                }
                none.insert(opened)
            }
        };
        let mut headers = vec![("Authorization", self.shared.authorization.as_str())];
        headers.extend(request.headers);
        connection.send(request.method, request.target, &headers, request.body)
    }

    /// GET.
    pub fn get(&mut self, target: &str) -> Result<Response, Stop> {
        self.ask(Request {
            method: "GET",
            target,
            headers: &[],
            body: &[],
        })
    }

    /// HEAD.
    pub fn head(&mut self, target: &str) -> Result<Response, Stop> {
        self.ask(Request {
            method: "HEAD",
            target,
            headers: &[],
            body: &[],
        })
    }

    /// Sends a request that changes something, and keeps the ledger. `done` is the status of success, `refused` that of an
    /// answer that nothing was changed; another one is a violation, unless the server says that it is busy.
    pub fn change(
        &mut self,
        kind: &'static str,
        repository: &str,
        effects: Vec<Effect>,
        request: Request<'_>,
        (done, refused): (u16, &[u16]),
    ) -> Result<Response, Stop> {
        let operation = self.shared.ledger.begin(repository, effects);
        let response = self
            .ask(request)
            .inspect_err(|_| self.shared.count("unanswered"))?;
        let outcome = match response.status {
            status if status == done => {
                self.shared.count(kind);
                Outcome::Acknowledged
            }
            status if refused.contains(&status) => {
                self.shared.count("refused");
                Outcome::Refused
            }
            429 | 503 => {
                self.shared.count("busy");
                Outcome::Unknown
            }
            status => {
                self.unexpected(request, status, &response);
                Outcome::Unknown
            }
        };
        self.shared.ledger.end(&operation, outcome);
        Ok(response)
    }

    /// As [`Client::change`], for what may be asked twice: a client of a group asks again, most often another node.
    pub fn insist(
        &mut self,
        kind: &'static str,
        repository: &str,
        effects: &[Effect],
        request: Request<'_>,
        statuses: (u16, &[u16]),
    ) -> Result<Response, Stop> {
        let mut tries = 0;
        loop {
            let result = self.change(kind, repository, effects.to_vec(), request, statuses);
            let is_failed = result
                .as_ref()
                .map_or(true, |response| response.status >= 500);
            tries += 1;
            if !is_failed || !self.shared.is_group || tries == 3 || self.shared.is_over() {
                return result;
            }
            self.shared.count("tried again");
            self.connection = None;
            std::thread::sleep(Duration::from_millis(20 * tries));
        }
    }

    /// Notes an answer that the server should not have given.
    pub fn unexpected(&self, request: Request<'_>, status: u16, response: &Response) {
        // Failures of the server were noted already.
        if status < 500 {
            let Request { method, target, .. } = request;
            let body = String::from_utf8_lossy(&response.body);
            self.shared.violation(format!(
                "{method} {target}: unexpected {status}: {}",
                body.trim_end()
            ));
        }
    }
}

/// The target of a `Location`, without scheme and host.
pub fn location(response: &Response) -> Option<String> {
    let value = response.header("location")?;
    let path = match value.split_once("://") {
        Some((_, rest)) => &rest[rest.find('/')?..],
        None => value,
    };
    Some(path.to_owned())
}
