//! A server that answers what a test says and keeps what it was asked.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use lazuli_outbound::{Client, Options, Reach, Url};

/// The head of a request, in lower case, and its body.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn has(&self, text: &str) -> bool {
        self.head.contains(text)
    }
}

#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Site {
    /// Answers each request with the bytes that `answer` makes, then closes.
    pub(crate) fn start(answer: impl Fn(&Asked) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let site = Self {
            address: listener.local_addr().unwrap(),
            asked: Arc::default(),
        };
        let (asked, answer) = (Arc::clone(&site.asked), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (asked, answer) = (Arc::clone(&asked), Arc::clone(&answer));
                std::thread::spawn(move || {
                    if let Some(request) = receive(&stream) {
                        asked.lock().unwrap().push(request.clone());
                        let _ = (&stream).write_all(&answer(&request));
                        let _ = stream.shutdown(std::net::Shutdown::Write);
                        let _ = std::io::copy(&mut &stream, &mut std::io::sink());
                    }
                });
            }
        });
        site
    }

    pub(crate) fn url(&self, path: &str) -> Url {
        Url::parse(&format!("http://{}{path}", self.address)).unwrap()
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn receive(stream: &TcpStream) -> Option<Asked> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        (reader.read_line(&mut head).ok()? > 0).then_some(())?;
    }
    let head = head.to_ascii_lowercase();
    let length = head
        .split("content-length: ")
        .nth(1)
        .and_then(|rest| rest.lines().next()?.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Asked { head, body })
}

pub(crate) fn answer(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut out = format!("HTTP/1.1 {status}\r\nConnection: close\r\n");
    for (name, value) in headers {
        out.extend([name, ": ", value, "\r\n"]);
    }
    out.extend([&format!("Content-Length: {}", body.len()), "\r\n\r\n"]);
    let mut out = out.into_bytes();
    out.extend_from_slice(body);
    out
}

pub(crate) fn redirect(to: &Url) -> Vec<u8> {
    answer("307 Temporary Redirect", &[("Location", to.as_str())], b"")
}

pub(crate) fn client(reach: Reach) -> Client {
    Client::new(Options {
        reach,
        ..Options::default()
    })
    .unwrap()
}
