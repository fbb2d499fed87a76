//! A thread with a connection: runs one transaction at a time and repeats those that collide.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::connect::Connector;
use super::driver::Driver;
use super::session::{Session, injected};
use super::turn::Turn;
use crate::clock::instant;
use crate::faults::{Fault, FaultPoint, Faults};
use crate::queue::{Queue, Serving};
use crate::stats::Counters;
use crate::work::{Job, Kind};
use crate::{Error, Result, Tx, tx};

/// How often a transaction is tried at most.
const ATTEMPTS: u32 = 96;
/// After so many collisions the other write transactions of this process wait while it is tried again. Otherwise a long
/// one starves among many short ones.
const BEFORE_ALONE: u32 = 6;
/// How often after a broken connection.
const CONNECTIONS: u32 = 3;
/// Two transactions that looked for a row, did not find it and insert it: of the second one PostgreSQL says now and then that the
/// key is taken, in place of that it collided (manual, 13.2.3). So it looks again, this often; then the key is taken indeed.
const UNIQUE_AGAIN: u32 = 2;
/// The longest pause between attempts.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// How long after the last failed connect a new one is tried; until then callers get the error at once.
const RECONNECT_AFTER: Duration = Duration::from_millis(500);

pub(super) struct Parts {
    pub(super) connector: Connector,
    /// A connection that is there already.
    pub(super) first: Option<Driver>,
    pub(super) counters: Arc<Counters>,
    pub(super) faults: Faults,
    pub(super) turn: Arc<Turn>,
}

struct Worker {
    parts: Parts,
    tx: Option<Tx<'static>>,
    /// The last failure to connect, and when, since the server was given up.
    down: Option<(Error, Instant)>,
}

/// How an attempt ended.
enum End {
    /// With an outcome to deliver.
    Done,
    /// Rolled back because it collided with others.
    Collided,
    /// The connection broke before the commit.
    Broken,
}

/// Serves the queue until it is closed and empty.
pub(super) fn run(parts: Parts, queue: &Queue, serving: Serving) {
    let mut worker = Worker {
        parts,
        tx: None,
        down: None,
    };
    let mut jobs = VecDeque::new();
    while queue.take(&mut jobs, 1) {
        for mut job in jobs.drain(..) {
            if !is_writing(&job) && job.work.is_abandoned() {
                continue;
            }
            worker.repeat(&mut job);
            job.work.deliver();
        }
    }
    drop(serving);
}

impl Worker {
    /// Tries a transaction until it has an outcome.
    fn repeat(&mut self, job: &mut Job) {
        let mut broken = 0;
        for attempt in 1..=ATTEMPTS {
            match self.in_turn(job, attempt) {
                Ok(End::Collided) if attempt < ATTEMPTS => {
                    tracing::debug!(attempt, caller = %job.caller, "a transaction collided");
                    pause(attempt);
                }
                Ok(End::Broken) if broken < CONNECTIONS => {
                    broken += 1;
                    pause(broken);
                }
                // Of the last attempt the closure's own error, made from the cause, is kept.
                Ok(_) => return,
                Err(e) if broken < CONNECTIONS && self.down.is_none() => {
                    broken += 1;
                    tracing::warn!(error = %e, "cannot connect to PostgreSQL");
                    pause(5 + broken);
                }
                Err(e) => {
                    self.down.get_or_insert_with(|| (e.clone(), instant()));
                    job.work.fail(e);
                    return;
                }
            }
            Counters::add(&self.parts.counters.retries, 1);
        }
    }

    fn in_turn(&mut self, job: &mut Job, attempt: u32) -> Result<End> {
        let turn = self.parts.turn.clone();
        let alone = attempt > BEFORE_ALONE;
        let _held = is_writing(job).then(|| if alone { turn.alone() } else { turn.together() });
        self.attempt(job, attempt <= UNIQUE_AGAIN)
    }

    /// `unique_again`: whether a row that is there already may be one that another transaction wrote at the same time.
    fn attempt(&mut self, job: &mut Job, unique_again: bool) -> Result<End> {
        let counters = self.parts.counters.clone();
        let faults = self.parts.faults.clone();
        let tx = self.connected()?;
        let writing = is_writing(job);
        tx.failure = None;
        match job.kind {
            Kind::Durable => session(tx).begin("BEGIN ISOLATION LEVEL SERIALIZABLE READ WRITE"),
            Kind::Relaxed => session(tx).begin(
                "BEGIN ISOLATION LEVEL SERIALIZABLE READ WRITE; SET LOCAL synchronous_commit = off",
            ),
            Kind::Snapshot => session(tx).begin("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
            Kind::Single => {}
        }
        session(tx).writing = writing;
        let started = instant();
        let succeeded = job.work.run(tx);
        counters.ran(started.elapsed(), job.caller);
        session(tx).writing = false;
        match tx.failure {
            Some(Error::Unavailable(_)) => {
                self.tx = None;
                return Ok(End::Broken);
            }
            Some(Error::Conflict) => {
                self.roll_back();
                return Ok(End::Collided);
            }
            Some(Error::Unique(_)) if unique_again && writing => {
                self.roll_back();
                return Ok(End::Collided);
            }
            _ => {}
        }
        if !writing {
            Counters::add(&counters.reads, 1);
            if job.kind == Kind::Snapshot {
                self.roll_back();
            }
        } else if succeeded {
            return self.commit(job, faults.at(FaultPoint::Commit));
        } else {
            Counters::add(&counters.rollbacks, 1);
            self.roll_back();
        }
        Ok(End::Done)
    }

    fn commit(&mut self, job: &mut Job, fault: Option<Fault>) -> Result<End> {
        let counters = self.parts.counters.clone();
        let session = session(self.connected()?);
        let committed = match fault {
            None => session.commit(),
            Some(Fault::ConnectionLost) => session.commit().and(Err(Error::OutcomeUnknown)),
            Some(fault) => {
                session.roll_back();
                Err(injected(fault))
            }
        };
        match committed {
            Ok(()) => {
                Counters::add(&counters.commits, 1);
                Counters::add(&counters.transactions, 1);
                return Ok(End::Done);
            }
            Err(Error::OutcomeUnknown | Error::Unavailable(_)) => self.tx = None,
            Err(_) => {}
        }
        match committed {
            // Of a statement that the server refused, so nothing was committed.
            Err(e @ Error::Unavailable(_)) => {
                job.work.fail(e);
                Ok(End::Broken)
            }
            Err(Error::Conflict) => {
                job.work.fail(Error::Conflict);
                Ok(End::Collided)
            }
            Err(e) => {
                Counters::add(&counters.failed_commits, 1);
                tracing::error!(error = %e, "commit failed");
                job.work.fail(e);
                Ok(End::Done)
            }
            Ok(()) => Ok(End::Done),
        }
    }

    /// Ends a transaction without effect. If the connection is broken, so is the transaction.
    fn roll_back(&mut self) {
        if let Some(tx) = &mut self.tx {
            session(tx).roll_back();
        }
    }

    fn connected(&mut self) -> Result<&mut Tx<'static>> {
        if self.tx.is_none() {
            let driver = match (self.parts.first.take(), &self.down) {
                (Some(driver), _) => driver,
                (None, Some((error, at))) if at.elapsed() < RECONNECT_AFTER => {
                    return Err(error.clone());
                }
                (None, _) => match self.parts.connector.connect() {
                    Ok(driver) => driver,
                    Err(e) => {
                        if let Some(down) = &mut self.down {
                            *down = (e.clone(), instant());
                        }
                        return Err(e);
                    }
                },
            };
            self.down = None;
            let session = Session::new(driver, self.parts.faults.clone());
            self.tx = Some(Tx::new(tx::Session::Postgres(Box::new(session))));
        }
        self.tx.as_mut().ok_or(Error::Closed)
    }
}

fn session<'a>(tx: &'a mut Tx<'static>) -> &'a mut Session {
    match &mut tx.session {
        tx::Session::Postgres(session) => session,
        tx::Session::Sqlite(_) => unreachable!("this thread makes only sessions of PostgreSQL"),
    }
}

fn is_writing(job: &Job) -> bool {
    matches!(job.kind, Kind::Durable | Kind::Relaxed)
}

/// Waits a random time, on average longer after each attempt, so that those that collided do not meet again.
fn pause(attempt: u32) {
    let longest = Duration::from_millis(1 << attempt.min(10)).min(LONGEST_PAUSE);
    let random = getrandom::u32().unwrap_or(u32::MAX / 2);
    std::thread::sleep(longest.mul_f64(f64::from(random) / f64::from(u32::MAX)));
}
