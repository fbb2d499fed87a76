//! One of those who send requests, and what all of them share.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::ledger::{Effect, Ledger, Outcome};
use super::random::Random;
use super::sessions::Session;
use crate::http::{Connection, Response};

/// What all clients share.
#[derive(Debug)]
pub struct Shared {
    /// Where the server listens.
    pub address: SocketAddr,
    /// The clients' `Authorization`.
    pub authorization: String,
    /// What was acknowledged.
    pub ledger: Ledger,
    /// Set before the server is killed: from then on requests may stay without answer.
    pub is_killed: AtomicBool,
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
    pub fn new(address: SocketAddr, authorization: String, ledger: Ledger) -> Self {
        Self {
            address,
            authorization,
            ledger,
            is_killed: AtomicBool::new(false),
            tally: Mutex::default(),
        }
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
            connection: None,
        }
    }

    /// Sends a request. No answer is a violation unless the server was killed.
    pub fn ask(&mut self, request: Request<'_>) -> Result<Response, Stop> {
        let Request { method, target, .. } = request;
        match self.try_ask(request) {
            Ok(response) => {
                if response.header("connection") == Some("close") {
                    self.connection = None;
                }
                if response.status >= 500 && response.status != 503 {
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
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(Connection::open(self.shared.address)?),
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
        (done, refused): (u16, u16),
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
            status if status == refused => {
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
