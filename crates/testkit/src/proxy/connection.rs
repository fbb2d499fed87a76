//! One connection through the proxy: a thread for each direction, which asks before it forwards a piece.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::{Fault, Shared};

const PIECE: usize = 64 << 10;
/// How long a target must be silent before its answer counts as complete.
const QUIET: Duration = Duration::from_millis(300);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    ToTarget,
    ToClient,
}

/// What becomes of a piece.
enum Verdict {
    Forward,
    /// Forwards so many bytes, then breaks the connection.
    Cut(usize),
    /// Takes what else comes from there without forwarding, then breaks the connection.
    Swallow,
    Answer(Vec<u8>),
}

/// Forwards both ways until both sides are done or the connection breaks.
pub(super) fn forward(shared: &Arc<Shared>, number: u64, client: &TcpStream) {
    let _ = run(shared, number, client);
    shared.lock().open.remove(&number);
    let _ = client.shutdown(Shutdown::Both);
}

fn run(shared: &Arc<Shared>, number: u64, client: &TcpStream) -> io::Result<()> {
    let Some(target) = target(shared) else {
        return Ok(());
    };
    let target = TcpStream::connect_timeout(&target, Duration::from_secs(10))?;
    for stream in [client, &target] {
        stream.set_nodelay(true)?;
    }
    let clone = target.try_clone()?;
    match shared.lock().open.get_mut(&number) {
        Some(ends) => ends.push(clone),
        // Broken in the meantime.
        None => return Ok(()),
    }
    let back = {
        let shared = Arc::clone(shared);
        let (from, to) = (target.try_clone()?, client.try_clone()?);
        thread::spawn(move || pump(&shared, &from, &to, Direction::ToClient))
    };
    pump(shared, client, &target, Direction::ToTarget);
    let _ = back.join();
    Ok(())
}

/// Where to connect to, once the network lets anything through.
fn target(shared: &Shared) -> Option<SocketAddr> {
    let mut state = shared.lock();
    while state.fault == Fault::BlackHole && !state.ended {
        state = shared.wait(state);
    }
    (!state.ended).then_some(state.target)
}

/// Forwards one direction. The end of the bytes is forwarded too; anything else that ends this breaks both.
fn pump(shared: &Shared, from: &TcpStream, to: &TcpStream, direction: Direction) {
    let mut counter = Counter::default();
    let ended_well = copy(shared, from, to, direction, &mut counter).unwrap_or(false);
    if !ended_well {
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }
}

/// Whether the bytes came to their natural end.
fn copy(
    shared: &Shared,
    mut from: &TcpStream,
    mut to: &TcpStream,
    direction: Direction,
    counter: &mut Counter,
) -> io::Result<bool> {
    let mut buffer = vec![0; PIECE];
    loop {
        let length = from.read(&mut buffer)?;
        let piece = &buffer[..length];
        match verdict(shared, direction, piece, counter) {
            Verdict::Forward if length == 0 => {
                to.shutdown(Shutdown::Write)?;
                return Ok(true);
            }
            Verdict::Forward => to.write_all(piece)?,
            Verdict::Cut(first) => {
                to.write_all(&piece[..first])?;
                return Ok(false);
            }
            Verdict::Swallow => {
                to.shutdown(Shutdown::Both)?;
                drain(from);
                return Ok(false);
            }
            Verdict::Answer(bytes) => {
                from.write_all(&bytes)?;
                from.shutdown(Shutdown::Write)?;
                // A client that is still sending would lose the answer with the connection.
                drain(from);
                return Ok(false);
            }
        }
    }
}

/// Reads until the other side is done, or silent.
fn drain(mut from: &TcpStream) {
    let mut rest = vec![0; PIECE];
    if from.set_read_timeout(Some(QUIET)).is_ok() {
        while from.read(&mut rest).is_ok_and(|length| length > 0) {}
    }
}

/// The bytes that one direction of a connection carried under one fault.
#[derive(Default)]
struct Counter {
    generation: u64,
    bytes: u64,
}

/// What becomes of a piece; waits while it is held. An empty piece is the end of the bytes.
fn verdict(shared: &Shared, direction: Direction, piece: &[u8], counter: &mut Counter) -> Verdict {
    let mut state = shared.lock();
    while state.fault == Fault::BlackHole && !state.ended {
        state = shared.wait(state);
    }
    if state.ended {
        return Verdict::Cut(0);
    }
    if counter.generation != state.generation {
        *counter = Counter {
            generation: state.generation,
            bytes: 0,
        };
    }
    let to_target = direction == Direction::ToTarget;
    let verdict = match &state.fault {
        Fault::Refuse => return Verdict::Cut(0),
        Fault::CutRequest(limit) if to_target => counter.cut(piece, *limit),
        Fault::CutAnswer(limit) if !to_target => counter.cut(piece, *limit),
        Fault::LoseAnswer if !to_target && !piece.is_empty() && !is_continue(piece) => {
            Verdict::Swallow
        }
        Fault::Answer(bytes) if to_target && !piece.is_empty() => Verdict::Answer(bytes.clone()),
        Fault::Delay(time) => {
            let time = *time;
            drop(state);
            thread::sleep(time);
            return Verdict::Forward;
        }
        _ => Verdict::Forward,
    };
    if !matches!(verdict, Verdict::Forward) {
        state.strike();
    }
    verdict
}

impl Counter {
    fn cut(&mut self, piece: &[u8], limit: u64) -> Verdict {
        let left = usize::try_from(limit - self.bytes).unwrap_or(usize::MAX);
        if piece.len() < left || piece.is_empty() {
            self.bytes += piece.len() as u64;
            return Verdict::Forward;
        }
        Verdict::Cut(left)
    }
}

/// Whether this answers `Expect: 100-continue`, and nothing else.
fn is_continue(piece: &[u8]) -> bool {
    let end = piece.windows(4).position(|window| window == b"\r\n\r\n");
    piece.starts_with(b"HTTP/1.1 100 ") && end.is_some_and(|end| end + 4 == piece.len())
}
