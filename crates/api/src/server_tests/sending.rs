//! File bodies as clients get them, over connections that send without copying and over those that cannot.

use std::fmt::Write as _;

use tokio::net::TcpSocket;

use super::*;
use crate::sendfile::PIECE;

const BUSY: &str = "Host: a\r\n\r\n";
const LAST: &str = "Host: a\r\nConnection: close\r\n\r\n";

impl Running {
    /// A connection whose receive buffer is small.
    async fn connect_small(&self) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4 << 10).unwrap();
        socket.connect(self.address).await.unwrap()
    }
}

/// Reads one answer with a `Content-Length`, and no byte more.
async fn read_body(stream: &mut TcpStream) -> Vec<u8> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    assert_eq!(status(&head), "200");
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.unwrap().parse().unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    body
}

#[tokio::test]
async fn pipelined_parts_are_exact() {
    let server = start(Limits::default());
    let lengths = [
        1,
        32_767,
        32_768,
        65_536,
        65_537,
        PIECE - 1,
        PIECE,
        PIECE + 1,
        3 * PIECE + 17,
    ];
    let mut requests = String::new();
    let mut expected: Vec<&[u8]> = Vec::new();
    for (index, length) in lengths.into_iter().enumerate() {
        for start in [0, 1 + index * 4095, LARGE - length] {
            let end = start + length;
            write!(requests, "GET /part/{start}/{end} HTTP/1.1\r\n{BUSY}").unwrap();
            write!(requests, "GET /now HTTP/1.1\r\n{BUSY}").unwrap();
            expected.extend([&CONTENT[start..end], b"hello"]);
        }
    }
    for mut stream in [server.connect().await, server.connect_small().await] {
        stream.write_all(requests.as_bytes()).await.unwrap();
        for expected in &expected {
            assert!(read_body(&mut stream).await == *expected);
        }
    }
}

#[tokio::test]
async fn a_slow_reader_gets_every_byte_and_one_that_leaves_harms_nobody() {
    let server = start(Limits::default());
    let request = format!("GET /file HTTP/1.1\r\n{BUSY}GET /part/1/70000 HTTP/1.1\r\n{LAST}");
    let mut leaving = server.connect_small().await;
    leaving.write_all(request.as_bytes()).await.unwrap();
    leaving.read_exact(&mut vec![0; 100_000]).await.unwrap();
    drop(leaving);
    let mut stream = server.connect_small().await;
    stream.write_all(request.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(read_body(&mut stream).await == *CONTENT);
    assert!(read_body(&mut stream).await == CONTENT[1..70_000]);
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_file_cut_short_breaks_the_connection_and_nothing_else_is_sent() {
    for cut_before in [true, false] {
        let server = start(Limits::default());
        let cut = 5 * PIECE + 8192;
        let mut stream = server.connect_small().await;
        if cut_before {
            server.file.set_len(cut as u64).unwrap();
        }
        let request = format!("GET /file HTTP/1.1\r\n{BUSY}GET /now HTTP/1.1\r\n{LAST}");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut all = vec![0; 4096];
        stream.read_exact(&mut all).await.unwrap();
        server.file.set_len(cut as u64).unwrap();
        stream.read_to_end(&mut all).await.unwrap();
        let head = all.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
        let body = &all[head..];
        assert!(body.len() >= 4096 - head && body.len() <= cut);
        assert!(*body == CONTENT[..body.len()]);
    }
}
