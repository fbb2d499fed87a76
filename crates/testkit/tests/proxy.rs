//! Each fault of the proxy, in front of a target that writes down what it receives.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![allow(
    clippy::disallowed_methods,
    reason = "tests wait in real time for real sockets"
)]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use lazuli_testkit::proxy::{Fault, Proxy};

/// Answers every line with `<name> <line>`; knows all lines it was sent.
struct Target {
    address: SocketAddr,
    received: Arc<Mutex<Vec<String>>>,
}

impl Target {
    fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::clone(&received);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let lines = Arc::clone(&lines);
                let stream = stream.unwrap();
                thread::spawn(move || serve(&stream, name, &lines));
            }
        });
        Self { address, received }
    }

    fn received(&self) -> Vec<String> {
        self.received.lock().unwrap().clone()
    }

    /// What it received, once it is this much.
    fn await_received(&self, count: usize) -> Vec<String> {
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.received().len() < count {
            assert!(Instant::now() < deadline, "{:?}", self.received());
            thread::sleep(Duration::from_millis(5));
        }
        self.received()
    }
}

/// What comes without a line's end before the connection breaks is noted with `...`.
fn serve(mut stream: &TcpStream, name: &str, lines: &Mutex<Vec<String>>) {
    let mut line = Vec::new();
    let mut byte = [0];
    while stream.read(&mut byte).is_ok_and(|length| length == 1) {
        if byte[0] != b'\n' {
            line.push(byte[0]);
            continue;
        }
        let text = String::from_utf8(std::mem::take(&mut line)).unwrap();
        let answer = format!("{name} {text}\n");
        lines.lock().unwrap().push(text);
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
    if !line.is_empty() {
        let text = String::from_utf8(line).unwrap();
        lines.lock().unwrap().push(format!("{text}..."));
    }
}

fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.address()).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    stream
}

/// Sends a line and reads what comes back, until a line ends or the connection does.
fn say(mut stream: &TcpStream, line: &str) -> String {
    // A broken connection shows when reading.
    let _ = stream.write_all(format!("{line}\n").as_bytes());
    let mut answer = Vec::new();
    let mut byte = [0];
    while stream.read(&mut byte).is_ok_and(|length| length == 1) && byte[0] != b'\n' {
        answer.push(byte[0]);
    }
    String::from_utf8(answer).unwrap()
}

fn is_silent(mut stream: &TcpStream) -> bool {
    stream
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    let silent = stream
        .read(&mut [0])
        .is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    silent
}

#[test]
fn without_a_fault_everything_passes_both_ends_included() {
    let target = Target::start("t");
    let proxy = Proxy::start(target.address);
    let mut client = connect(&proxy);
    assert_eq!(say(&client, "one"), "t one");
    assert_eq!(say(&client, "two"), "t two");
    client.write_all(b"three\nhalf").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut rest = String::new();
    client.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "t three\n");
    assert_eq!(target.await_received(4), ["one", "two", "three", "half..."]);
    assert_eq!((proxy.accepted(), proxy.struck()), (1, 0));
}

#[test]
fn a_refusing_proxy_breaks_connections_and_takes_none() {
    let target = Target::start("t");
    let proxy = Proxy::start(target.address);
    let client = connect(&proxy);
    assert_eq!(say(&client, "one"), "t one");
    for _ in 0..3 {
        proxy.set(Fault::Refuse);
        assert_eq!(say(&client, "lost"), "");
        let refused = TcpStream::connect(proxy.address()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        proxy.set(Fault::None);
        assert_eq!(say(&connect(&proxy), "back"), "t back");
    }
    assert_eq!(target.received(), ["one", "back", "back", "back"]);
}

#[test]
fn a_black_hole_keeps_everything_until_it_heals() {
    let target = Target::start("t");
    let proxy = Proxy::start(target.address);
    let (mut open, gone) = (connect(&proxy), connect(&proxy));
    assert_eq!(say(&open, "one"), "t one");
    assert_eq!(say(&gone, "two"), "t two");
    proxy.set(Fault::BlackHole);
    let mut fresh = connect(&proxy);
    open.write_all(b"three\n").unwrap();
    fresh.write_all(b"four\n").unwrap();
    drop(gone);
    assert!(is_silent(&open) && is_silent(&fresh));
    assert_eq!(target.received(), ["one", "two"]);
    proxy.set(Fault::None);
    assert_eq!(say(&open, "five"), "t three");
    assert_eq!(say(&fresh, "six"), "t four");
    let mut received = target.await_received(6);
    received.sort();
    assert_eq!(received, ["five", "four", "one", "six", "three", "two"]);
}

#[test]
fn a_request_is_cut_after_so_many_bytes() {
    let target = Target::start("t");
    let proxy = Proxy::start(target.address);
    let client = connect(&proxy);
    assert_eq!(say(&client, "before"), "t before");
    proxy.set_times(2, Fault::CutRequest(10));
    // Counted since the fault was set, for each connection.
    assert_eq!(say(&client, "abcd"), "t abcd");
    assert_eq!(say(&client, "abcdefgh"), "");
    assert_eq!(target.await_received(3), ["before", "abcd", "abcde..."]);
    assert_eq!(say(&connect(&proxy), "0123456789"), "");
    assert_eq!(target.await_received(4)[3], "0123456789...");
    assert_eq!(proxy.struck(), 2);
    assert_eq!(say(&connect(&proxy), "0123456789"), "t 0123456789");
}

#[test]
fn an_answer_is_cut_after_so_many_bytes() {
    let target = Target::start("t");
    let proxy = Proxy::start(target.address);
    proxy.set_times(1, Fault::CutAnswer(4));
    assert_eq!(say(&connect(&proxy), "abcd"), "t ab");
    assert_eq!(target.received(), ["abcd"]);
    proxy.set_times(1, Fault::CutAnswer(0));
    assert_eq!(say(&connect(&proxy), "efgh"), "");
    assert_eq!(proxy.struck(), 2);
    assert_eq!(say(&connect(&proxy), "ijkl"), "t ijkl");
}

#[test]
fn a_lost_answer_was_earned() {
    let target = Target::start("t");
    let proxy = Proxy::start(target.address);
    let client = connect(&proxy);
    assert_eq!(say(&client, "one"), "t one");
    proxy.set_times(1, Fault::LoseAnswer);
    assert_eq!(say(&client, "two"), "");
    assert_eq!(proxy.struck(), 1);
    assert_eq!(say(&connect(&proxy), "three"), "t three");
    assert_eq!(target.received(), ["one", "two", "three"]);
}

#[test]
fn a_provisional_answer_is_not_the_one_that_is_lost() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::start(listener.local_addr().unwrap());
    proxy.set(Fault::LoseAnswer);
    let server = thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut piece = [0; 4];
        stream.read_exact(&mut piece).unwrap();
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
        stream.read_exact(&mut piece).unwrap();
        stream.write_all(b"HTTP/1.1 201 Created\r\n\r\n").unwrap();
        piece
    });
    let mut client = connect(&proxy);
    client.write_all(b"head").unwrap();
    let mut provisional = [0; 25];
    client.read_exact(&mut provisional).unwrap();
    assert_eq!(&provisional, b"HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(proxy.struck(), 0);
    assert_eq!(say(&client, "body"), "");
    assert_eq!(&server.join().unwrap(), b"body");
    assert_eq!(proxy.struck(), 1);
}

#[test]
fn a_delay_holds_both_directions() {
    let target = Target::start("t");
    let proxy = Proxy::start(target.address);
    let client = connect(&proxy);
    proxy.set(Fault::Delay(Duration::from_millis(150)));
    let start = Instant::now();
    assert_eq!(say(&client, "one"), "t one");
    assert!(start.elapsed() >= Duration::from_millis(300));
    proxy.set(Fault::None);
    assert_eq!(say(&client, "two"), "t two");
}

#[test]
fn a_false_answer_keeps_the_request_from_the_target() {
    let target = Target::start("t");
    let proxy = Proxy::start(target.address);
    let client = connect(&proxy);
    assert_eq!(say(&client, "one"), "t one");
    proxy.set_times(1, Fault::Answer(b"busy\n".to_vec()));
    // More than the network's buffers hold: the answer must arrive all the same.
    let mut large = client.try_clone().unwrap();
    let sender = thread::spawn(move || large.write_all(&vec![b'x'; 20 << 20]));
    assert_eq!(say(&client, ""), "busy");
    let _ = sender.join().unwrap();
    assert_eq!(say(&client, "ended"), "");
    assert_eq!(say(&connect(&proxy), "two"), "t two");
    assert_eq!(target.received(), ["one", "two"]);
    assert_eq!(proxy.struck(), 1);
}

#[test]
fn the_target_can_move_and_connections_be_cut() {
    let (first, second) = (Target::start("first"), Target::start("second"));
    let proxy = Proxy::start(first.address);
    let client = connect(&proxy);
    assert_eq!(say(&client, "one"), "first one");
    proxy.retarget(second.address);
    assert_eq!(say(&client, "lost"), "");
    let client = connect(&proxy);
    assert_eq!(say(&client, "two"), "second two");
    proxy.cut();
    assert_eq!(say(&client, "lost"), "");
    let address = proxy.address();
    let client = connect(&proxy);
    drop(proxy);
    assert_eq!(say(&client, "lost"), "");
    assert!(TcpStream::connect(address).is_err());
}
