//! A network that fails when told to: a listener on loopback that forwards to a target, byte for byte, until it has a
//! [`Fault`] to play.
//!
//! It knows no protocol, so it stands in front of object stores, databases and our own server alike, TLS or not.

mod connection;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(30);

/// What the network does. Open connections play it too, from the next bytes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Forwards everything.
    None,
    /// As if the target's process were dead: breaks the open connections and refuses new ones.
    Refuse,
    /// As if the cable were cut: takes connections and bytes and forwards nothing, not even that a side has closed. What
    /// was taken goes on when the fault ends.
    BlackHole,
    /// Forwards so many bytes of each connection to the target, counted since the fault was set, then breaks the
    /// connection.
    CutRequest(u64),
    /// Forwards so many bytes of each connection from the target, counted since the fault was set, then breaks the
    /// connection.
    CutAnswer(u64),
    /// Holds every piece, of 64 KiB at most, for so long, in both directions.
    Delay(Duration),
    /// A lost acknowledgement: forwards what the client sends; once the target answers, the client's connection breaks
    /// instead. `100 Continue` is let through. Of TLS, set it after the handshake.
    LoseAnswer,
    /// Answers the next request with these bytes, instead of forwarding it, and closes. The target does not see it.
    Answer(Vec<u8>),
}

/// A forwarding listener. Its connections break when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    target: SocketAddr,
    fault: Fault,
    /// How often it will strike yet; `None`: without end.
    left: Option<u32>,
    /// The number of the fault; bytes are counted anew with each.
    generation: u64,
    struck: u64,
    accepted: u64,
    /// Both ends of every connection.
    open: BTreeMap<u64, Vec<TcpStream>>,
    listening: bool,
    ended: bool,
}

impl Proxy {
    /// Listens on a free port of loopback and forwards to `target`.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn start(target: SocketAddr) -> Self {
        let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (address, listener) = match bound {
            Ok(bound) => bound,
            Err(error) => panic!("no free port: {error}"),
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                target,
                fault: Fault::None,
                left: None,
                generation: 0,
                struck: 0,
                accepted: 0,
                open: BTreeMap::new(),
                listening: true,
                ended: false,
            }),
            changed: Condvar::new(),
        });
        let of_thread = Arc::clone(&shared);
        let acceptor = thread::spawn(move || accept(&of_thread, address, listener));
        Self {
            shared,
            address,
            acceptor: Some(acceptor),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Plays `fault` until told otherwise. Whatever connects after this call meets it.
    ///
    /// # Panics
    /// When somebody else took the port while it refused.
    pub fn set(&self, fault: Fault) {
        self.play(fault, None);
    }

    /// Plays `fault` until it has struck so many times, then forwards everything again. For the faults that strike:
    /// the two cuts, the lost answer, the false answer.
    ///
    /// # Panics
    /// As [`set`](Self::set).
    pub fn set_times(&self, times: u32, fault: Fault) {
        self.play(fault, Some(times));
    }

    fn play(&self, fault: Fault, left: Option<u32>) {
        let refuse = fault == Fault::Refuse;
        let mut state = self.shared.lock();
        state.fault = fault;
        state.left = left;
        state.generation += 1;
        self.shared.changed.notify_all();
        if refuse {
            state.cut();
            drop(state);
            self.wake_acceptor();
            state = self.shared.lock();
        }
        let deadline = Instant::now() + LIMIT;
        while state.listening == refuse {
            assert!(Instant::now() < deadline, "port {} is lost", self.address);
            state = self.shared.wait(state);
        }
    }

    /// Forwards to another target from now on, as an address that moves with the primary does. Breaks what is open.
    pub fn retarget(&self, target: SocketAddr) {
        let mut state = self.shared.lock();
        state.target = target;
        state.cut();
    }

    /// Breaks all open connections.
    pub fn cut(&self) {
        self.shared.lock().cut();
    }

    /// How often faults struck so far: a test that expects one should look.
    pub fn struck(&self) -> u64 {
        self.shared.lock().struck
    }

    /// How many connections were accepted so far.
    pub fn accepted(&self) -> u64 {
        self.shared.lock().accepted
    }

    fn wake_acceptor(&self) {
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.ended = true;
        state.cut();
        self.shared.changed.notify_all();
        drop(state);
        self.wake_acceptor();
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a change, a second at most.
    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let waited = self.changed.wait_timeout(state, Duration::from_secs(1));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl State {
    fn cut(&mut self) {
        for stream in std::mem::take(&mut self.open).into_values().flatten() {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }

    /// Notes that the fault did its work.
    fn strike(&mut self) {
        self.struck += 1;
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.left = None;
                self.fault = Fault::None;
                self.generation += 1;
            }
        }
    }
}

fn accept(shared: &Arc<Shared>, address: SocketAddr, listener: TcpListener) {
    let mut listener = Some(listener);
    loop {
        let mut state = shared.lock();
        if state.ended {
            return;
        }
        if state.fault == Fault::Refuse {
            listener = None;
            state.listening = false;
            shared.changed.notify_all();
            drop(shared.wait(state));
            continue;
        }
        drop(state);
        let Some(open) = &listener else {
            listener = bind_again(shared, address);
            continue;
        };
        let accepted = open.accept();
        let mut state = shared.lock();
        // It may have come to wake us.
        if state.ended || state.fault == Fault::Refuse {
            continue;
        }
        let Ok((client, _)) = accepted else { continue };
        state.accepted += 1;
        let number = state.accepted;
        let _ = client
            .try_clone()
            .map(|client| state.open.insert(number, vec![client]));
        drop(state);
        let shared = Arc::clone(shared);
        thread::spawn(move || connection::forward(&shared, number, &client));
    }
}

fn bind_again(shared: &Shared, address: SocketAddr) -> Option<TcpListener> {
    let bound: io::Result<TcpListener> = TcpListener::bind(address);
    if bound.is_err() {
        // Somebody may use the port for a moment, for a connection of theirs.
        thread::sleep(Duration::from_millis(10));
        return None;
    }
    shared.lock().listening = true;
    shared.changed.notify_all();
    bound.ok()
}
