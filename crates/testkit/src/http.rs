//! A plain HTTP/1.1 client that sends exactly what it is told, hostile bytes included.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// An answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Header fields in the order received, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body, without transfer coding.
    pub body: Vec<u8>,
}

impl Response {
    /// The first field of that name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    pub fn json(&self) -> serde_json::Value {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("{error}: {:?}", String::from_utf8_lossy(&self.body)),
        }
    }

    /// The code of the first error of an OCI error body.
    pub fn error_code(&self) -> String {
        self.json()["errors"][0]["code"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}

/// One connection, kept alive between requests.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
    host: String,
}

impl Connection {
    /// Connects. Reads and writes give up after 30 seconds.
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(10))?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.set_write_timeout(Some(Duration::from_secs(30)))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: BufReader::new(stream),
            host: address.to_string(),
        })
    }

    /// Waits at most so long for each piece of an answer.
    pub fn set_patience(&self, patience: Duration) -> io::Result<()> {
        self.stream.get_ref().set_read_timeout(Some(patience))
    }

    /// Sends a request with `Host` and, if there is a body or the method wants one, `Content-Length`; reads the answer.
    pub fn send(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Response> {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\n", self.host);
        for (name, value) in headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        let chunked = headers
            .iter()
            .any(|(n, _)| n.eq_ignore_ascii_case("transfer-encoding"));
        let length_given = headers
            .iter()
            .any(|(n, _)| n.eq_ignore_ascii_case("content-length"));
        if !chunked
            && !length_given
            && (!body.is_empty() || matches!(method, "POST" | "PUT" | "PATCH"))
        {
            head.extend(["Content-Length: ", &body.len().to_string(), "\r\n"]);
        }
        head.push_str("\r\n");
        self.write(head.as_bytes())?;
        if chunked {
            for piece in body.chunks(1000) {
                self.write(format!("{:x}\r\n", piece.len()).as_bytes())?;
                self.write(piece)?;
                self.write(b"\r\n")?;
            }
            self.write(b"0\r\n\r\n")?;
        } else {
            // The server may answer and close before it read all of the body.
            let _ = self.write(body);
        }
        self.receive(method == "HEAD")
    }

    /// Sends bytes as they are.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Reads one answer.
    pub fn receive(&mut self, is_head: bool) -> io::Result<Response> {
        loop {
            let response = self.receive_one(is_head)?;
            if response.status != 100 {
                return Ok(response);
            }
        }
    }

    fn receive_one(&mut self, is_head: bool) -> io::Result<Response> {
        let line = self.line()?;
        let status = line
            .split(' ')
            .nth(1)
            .and_then(|s| s.parse().ok())
            .ok_or_else(|| broken(&line))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| broken(&line))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut response = Response {
            status,
            headers,
            body: Vec::new(),
        };
        if is_head || matches!(status, 100 | 204 | 304) {
            return Ok(response);
        }
        if response.header("transfer-encoding") == Some("chunked") {
            loop {
                let line = self.line()?;
                let length = usize::from_str_radix(&line, 16).map_err(|_| broken(&line))?;
                let start = response.body.len();
                response.body.resize(start + length, 0);
                self.stream.read_exact(&mut response.body[start..])?;
                self.line()?;
                if length == 0 {
                    return Ok(response);
                }
            }
        }
        match response
            .header("content-length")
            .and_then(|v| v.parse().ok())
        {
            Some(length) => {
                response.body = vec![0; length];
                self.stream.read_exact(&mut response.body)?;
            }
            None => {
                self.stream.read_to_end(&mut response.body)?;
            }
        }
        Ok(response)
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        if self
            .stream
            .by_ref()
            .take(64 << 10)
            .read_until(b'\n', &mut line)?
            == 0
        {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }
}

fn broken(line: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not HTTP: {line:?}"))
}

/// A client of one server that opens a connection for each request.
#[derive(Debug, Clone)]
pub struct Client {
    address: SocketAddr,
    authorization: Option<String>,
    follows: bool,
}

impl Client {
    /// A client without credentials.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            authorization: None,
            follows: false,
        }
    }

    /// The same client with an `Authorization` header.
    #[must_use]
    pub fn with_authorization(&self, value: impl Into<String>) -> Self {
        Self {
            authorization: Some(value.into()),
            ..self.clone()
        }
    }

    /// The same client, which goes on where a redirect (307) leads, as real ones do: see [`follow`].
    #[must_use]
    pub fn following(&self) -> Self {
        Self {
            follows: true,
            ..self.clone()
        }
    }

    /// Where the server listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends a request.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        self.try_send(method, target, headers, body)
            .unwrap_or_else(|error| panic!("{method} {target}: {error}"))
    }

    /// Sends a request; errors when there is no answer.
    pub fn try_send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Response> {
        let mut all: Vec<(&str, &str)> = headers.to_vec();
        if let Some(value) = &self.authorization
            && !headers
                .iter()
                .any(|(n, _)| n.eq_ignore_ascii_case("authorization"))
        {
            all.push(("Authorization", value));
        }
        let response = Connection::open(self.address)?.send(method, target, &all, body)?;
        if self.follows && response.status == 307 {
            return follow(&response, method, headers);
        }
        Ok(response)
    }

    /// GET.
    pub fn get(&self, target: &str) -> Response {
        self.send("GET", target, &[], &[])
    }

    /// HEAD.
    pub fn head(&self, target: &str) -> Response {
        self.send("HEAD", target, &[], &[])
    }

    /// DELETE.
    pub fn delete(&self, target: &str) -> Response {
        self.send("DELETE", target, &[], &[])
    }
}

/// Asks where a redirect leads, with these headers and no credentials. What the redirect said of the content's digest is added to
/// the answer: an object store does not know that header.
///
/// # Errors
/// When the redirect leads to no `http` address, or there is no answer.
pub fn follow(redirect: &Response, method: &str, headers: &[(&str, &str)]) -> io::Result<Response> {
    let url = redirect.header("location").unwrap_or_default();
    let there = url
        .strip_prefix("http://")
        .and_then(|rest| rest.split_once('/'))
        .and_then(|(address, target)| Some((address.parse().ok()?, format!("/{target}"))));
    let (address, target) = there.ok_or_else(|| broken(url))?;
    let mut answer = Client::new(address).try_send(method, &target, headers, &[])?;
    let told = redirect.headers.iter();
    let digest = told.filter(|(name, _)| name == "docker-content-digest");
    answer.headers.extend(digest.cloned());
    Ok(answer)
}
