//! What the server knows of its open connections, and the one task that enforces their deadlines.
//!
//! A connection carries no timer of its own. It stores what it is doing and since when, against a coarse clock, which
//! costs a few nanoseconds per request; the supervisor sweeps all of them a few times a second and wakes those that
//! are overdue. Deadlines are therefore late by up to one sweep.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use lazuli_identity::Origin;
use tokio::sync::Notify;

use crate::coarse_clock::CoarseClock;
use crate::limits::{Limits, part_of_one};
use crate::sendfile::SendQueue;

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// The TLS handshake is under way.
    Handshake = 0,
    /// Waiting for the rest of a request's head, or for the first bytes on a new connection.
    Head = 1,
    /// Between requests.
    Idle = 2,
    /// A request is being handled or its response written.
    Busy = 3,
    /// The response is out and what the client still sends is thrown away before closing.
    Linger = 4,
}

/// Orders from the supervisor to a connection, as bits.
pub(crate) mod order {
    /// Close as soon as no request is under way.
    pub(crate) const FINISH: u8 = 1;
    /// Close now.
    pub(crate) const CUT: u8 = 2;
    /// The request body does not arrive: fail the read.
    pub(crate) const BODY_STALLED: u8 = 4;
}

/// One connection. The counters have a single writer, the connection's task, so they are stored, not added to.
#[derive(Debug)]
pub(crate) struct Connection {
    clock: Arc<CoarseClock>,
    remote: SocketAddr,
    phase: AtomicU8,
    since: AtomicU64,
    write_blocked_since: AtomicU64,
    body_awaited_since: AtomicU64,
    orders: AtomicU8,
    request_bytes: AtomicU64,
    linger: AtomicBool,
    waker: Mutex<Option<Waker>>,
    /// `None` under TLS, where bytes have to pass through the process.
    send_queue: Option<Arc<SendQueue>>,
}

impl Connection {
    fn new(clock: Arc<CoarseClock>, remote: SocketAddr, phase: Phase) -> Self {
        let since = clock.now();
        Self {
            clock,
            remote,
            phase: AtomicU8::new(phase as u8),
            since: AtomicU64::new(since),
            write_blocked_since: AtomicU64::new(0),
            body_awaited_since: AtomicU64::new(0),
            orders: AtomicU8::new(0),
            request_bytes: AtomicU64::new(0),
            linger: AtomicBool::new(false),
            waker: Mutex::new(None),
            send_queue: (phase != Phase::Handshake).then(Arc::default),
        }
    }

    /// The address of the peer: the client, or a proxy before it.
    pub(crate) fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// Where pieces of files can be left for the kernel to send, if the connection is plain TCP.
    pub(crate) fn send_queue(&self) -> Option<&Arc<SendQueue>> {
        self.send_queue.as_ref()
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Relaxed) {
            0 => Phase::Handshake,
            1 => Phase::Head,
            2 => Phase::Idle,
            3 => Phase::Busy,
            _ => Phase::Linger,
        }
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Relaxed);
        self.since.store(self.clock.now(), Relaxed);
    }

    pub(crate) fn orders(&self) -> u8 {
        self.orders.load(Relaxed)
    }

    fn order(&self, order: u8) {
        self.orders.fetch_or(order, Relaxed);
        if let Some(waker) = &*lock(&self.waker) {
            waker.wake_by_ref();
        }
    }

    /// Takes note of the task to wake, if it is not `known` already.
    pub(crate) fn register(&self, context: &Context<'_>, known: &mut Option<Waker>) {
        if !known
            .as_ref()
            .is_some_and(|known| known.will_wake(context.waker()))
        {
            *known = Some(context.waker().clone());
            *lock(&self.waker) = Some(context.waker().clone());
        }
    }

    /// The client does not take what is written, or does again.
    pub(crate) fn set_write_blocked(&self, is_blocked: bool) {
        let since = if is_blocked { self.clock.now() } else { 0 };
        self.write_blocked_since.store(since, Relaxed);
    }

    /// The handler waits for bytes of the request body. Waiting again does not restart the time.
    pub(crate) fn await_body(&self) {
        if self.body_awaited_since.load(Relaxed) == 0 {
            self.body_awaited_since.store(self.clock.now(), Relaxed);
        }
    }

    /// Bytes of the request body came. Returns for how long they were awaited, in milliseconds.
    pub(crate) fn body_arrived(&self) -> u64 {
        match self.body_awaited_since.load(Relaxed) {
            0 => 0,
            since => {
                self.body_awaited_since.store(0, Relaxed);
                self.clock.now().saturating_sub(since)
            }
        }
    }

    /// A request begins.
    pub(crate) fn begin_request(&self) {
        self.enter(Phase::Busy);
        self.request_bytes.store(0, Relaxed);
        self.body_awaited_since.store(0, Relaxed);
    }

    pub(crate) fn add_request_bytes(&self, count: usize) {
        let sum = self.request_bytes.load(Relaxed) + count as u64;
        self.request_bytes.store(sum, Relaxed);
    }

    /// Body bytes of the current request that were read so far.
    pub(crate) fn request_bytes(&self) -> u64 {
        self.request_bytes.load(Relaxed)
    }

    /// The connection will close while the client may still be sending: closing must not destroy the response.
    pub(crate) fn set_linger(&self) {
        self.linger.store(true, Relaxed);
    }

    pub(crate) fn lingers(&self) -> bool {
        self.linger.load(Relaxed)
    }

    fn sweep(&self, now: u64, limits: &Limits) {
        let overdue = |since: u64, limit: Duration| now.saturating_sub(since) > millis(limit);
        let blocked = self.write_blocked_since.load(Relaxed);
        if blocked != 0 && overdue(blocked, limits.write_stall) {
            return self.order(order::CUT);
        }
        let since = self.since.load(Relaxed);
        match self.phase() {
            Phase::Handshake if overdue(since, limits.handshake_timeout) => self.order(order::CUT),
            Phase::Head if overdue(since, limits.header_timeout) => self.order(order::CUT),
            Phase::Linger if overdue(since, limits.linger) => self.order(order::CUT),
            Phase::Idle if blocked == 0 && overdue(since, limits.keep_alive) => {
                self.order(order::FINISH);
            }
            Phase::Busy => {
                let awaited = self.body_awaited_since.load(Relaxed);
                if awaited != 0 && overdue(awaited, limits.body_stall) {
                    self.order(order::BODY_STALLED);
                }
            }
            _ => {}
        }
    }
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis() as u64
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All open connections.
#[derive(Debug)]
pub(crate) struct Connections {
    clock: Arc<CoarseClock>,
    limits: Limits,
    open: Mutex<Open>,
    /// Woken when the first connection comes and when the last one goes.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    all: HashMap<u64, Arc<Connection>>,
    /// How many of them come from where.
    by_origin: HashMap<Origin, usize>,
    finishing: bool,
}

/// Membership in [`Connections`]; ends with the connection's task, however that ends.
#[derive(Debug)]
pub(crate) struct Membership {
    id: u64,
    connection: Arc<Connection>,
    connections: Arc<Connections>,
}

impl Membership {
    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let mut open = lock(&self.connections.open);
        open.all.remove(&self.id);
        let origin = Origin::of(self.connection.remote.ip());
        if let Some(count) = open.by_origin.get_mut(&origin) {
            *count -= 1;
            if *count == 0 {
                open.by_origin.remove(&origin);
            }
        }
        if open.all.is_empty() {
            open.all.shrink_to(64);
            open.by_origin.shrink_to(64);
            self.connections.changed.notify_waiters();
        }
    }
}

impl Connections {
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            clock: Arc::new(CoarseClock::new()),
            limits,
            open: Mutex::default(),
            changed: Notify::new(),
        })
    }

    /// How many connections are open.
    pub(crate) fn count(&self) -> usize {
        lock(&self.open).all.len()
    }

    /// Admits a connection, unless there are too many. When there are, the one idle for longest is asked to go, so
    /// that idle clients cannot keep others out for long. One address never has all of them.
    pub(crate) fn admit(self: &Arc<Self>, remote: SocketAddr, is_tls: bool) -> Option<Membership> {
        let phase = if is_tls {
            Phase::Handshake
        } else {
            Phase::Head
        };
        let mut open = lock(&self.open);
        if open.all.len() >= self.limits.max_connections {
            let longest = open
                .all
                .values()
                .filter(|connection| connection.phase() == Phase::Idle)
                .min_by_key(|connection| connection.since.load(Relaxed));
            if let Some(connection) = longest {
                connection.order(order::FINISH);
            }
            return None;
        }
        let origin = Origin::of(remote.ip());
        let count = open.by_origin.entry(origin).or_default();
        if *count >= part_of_one(self.limits.max_connections) {
            return None;
        }
        *count += 1;
        if open.all.is_empty() {
            self.clock.update();
            self.changed.notify_waiters();
        }
        let connection = Arc::new(Connection::new(self.clock.clone(), remote, phase));
        if open.finishing {
            connection.order(order::FINISH);
        }
        let id = open.next;
        open.next += 1;
        open.all.insert(id, connection.clone());
        Some(Membership {
            id,
            connection,
            connections: self.clone(),
        })
    }

    /// Enforces deadlines; runs until dropped. Sleeps while there is no connection.
    pub(crate) async fn supervise(&self) {
        let period = self.limits.sweep_period();
        loop {
            let changed = self.changed.notified();
            if self.count() == 0 {
                changed.await;
                continue;
            }
            tokio::time::sleep(period).await;
            let now = self.clock.update();
            self.sweep(now);
        }
    }

    fn sweep(&self, now: u64) {
        for connection in lock(&self.open).all.values() {
            connection.sweep(now, &self.limits);
        }
    }

    /// Closes idle connections and the others once their request is done; returns when none is left, or after
    /// `grace`, when what is left is cut. True if nothing had to be cut.
    pub(crate) async fn finish(&self, grace: Duration) -> bool {
        self.order_all(order::FINISH);
        if tokio::time::timeout(grace, self.empty()).await.is_ok() {
            return true;
        }
        self.order_all(order::CUT);
        // Cut connections end at their next poll; a bound, in case one does not.
        let _ = tokio::time::timeout(Duration::from_secs(2), self.empty()).await;
        false
    }

    fn order_all(&self, order: u8) {
        let mut open = lock(&self.open);
        open.finishing = true;
        for connection in open.all.values() {
            connection.order(order);
        }
    }

    async fn empty(&self) {
        loop {
            let changed = self.changed.notified();
            if self.count() == 0 {
                return;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
#[path = "connections_tests.rs"]
mod tests;
