//! The end of a server that has work to do.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use lazuli_testkit::server::{PASSWORD, basic};

use crate::support::{digest, push, start};

/// A request whose answer is read slowly: `pace` between pieces of 256 KiB.
fn download_slowly(address: SocketAddr, path: &str, begun: &Barrier, pace: Duration) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    let authorization = basic("lazuli", PASSWORD);
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: {authorization}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let (mut all, mut piece) = (Vec::new(), vec![0; 256 << 10]);
    let mut waiting = true;
    loop {
        let count = stream.read(&mut piece).unwrap();
        if waiting {
            begun.wait();
            waiting = false;
        }
        if count == 0 {
            let body = all
                .windows(4)
                .position(|window| window == b"\r\n\r\n")
                .unwrap()
                + 4;
            return all.split_off(body);
        }
        all.extend_from_slice(&piece[..count]);
        std::thread::sleep(pace.mul_f64(count as f64 / piece.len() as f64));
    }
}

/// A blob pushed in one request, slowly; the head of the answer.
fn upload_slowly(
    address: SocketAddr,
    path: &str,
    content: &[u8],
    begun: &Barrier,
    pace: Duration,
) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let (authorization, length) = (basic("lazuli", PASSWORD), content.len());
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: {authorization}\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    for (index, piece) in content.chunks(256 << 10).enumerate() {
        stream.write_all(piece).unwrap();
        if index == 1 {
            begun.wait();
        }
        std::thread::sleep(pace);
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_stopping_server_finishes_a_slow_download_and_an_upload_and_ends_well() {
    let mut server = start();
    let large: Vec<u8> = (0..50_u32 << 20)
        .map(|i| (i >> 8) as u8 ^ i as u8)
        .collect();
    let download = push(&server, "stop/app", &large);
    let content: Vec<u8> = (0..8_u32 << 20).map(|i| (i >> 4) as u8).collect();
    let upload = digest(&content);
    let address = server.http();
    let begun = Barrier::new(3);
    let pace = Duration::from_millis(10);
    std::thread::scope(|scope| {
        let path = format!("/v2/stop/app/blobs/{download}");
        let begun = &begun;
        let reader = scope.spawn(move || download_slowly(address, &path, begun, pace));
        let path = format!("/v2/stop/app/blobs/uploads/?digest={upload}");
        let content = &content;
        let writer = scope.spawn(move || upload_slowly(address, &path, content, begun, pace * 4));
        begun.wait();
        let started = Instant::now();
        assert!(server.stop(), "it ends badly\n{}", server.log());
        assert!(
            started.elapsed() > Duration::from_millis(500),
            "nothing was under way any more"
        );
        assert!(started.elapsed() < Duration::from_secs(55));
        assert!(reader.join().unwrap() == large, "the download is not whole");
        let answer = writer.join().unwrap();
        assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    });
    assert!(TcpStream::connect(address).is_err(), "it still listens");
    server.restart();
    let kept = server.admin().get(&format!("/v2/stop/app/blobs/{upload}"));
    assert!(kept.body == content, "what was answered with 201 is lost");
}

#[test]
fn a_stopping_server_takes_no_new_connections_and_does_not_wait_for_idle_ones() {
    let mut server = start();
    let mut idle = lazuli_testkit::http::Connection::open(server.http()).unwrap();
    assert_eq!(idle.send("GET", "/healthz", &[], &[]).unwrap().status, 200);
    let _silent = TcpStream::connect(server.http()).unwrap();
    let started = Instant::now();
    assert!(server.stop());
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "{:?}",
        started.elapsed()
    );
    assert!(idle.send("GET", "/healthz", &[], &[]).is_err());
}
