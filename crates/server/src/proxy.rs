//! The CONNECT proxy (RFC 9110, section 9.3.6) that leads the names of `azure.domain` to this server's own HTTPS listener,
//! so that they work on port 443 without DNS, a hosts file or privileges: `HTTPS_PROXY=http://127.0.0.1:PORT`.
//!
//! It is no way to anywhere else: every other name is refused at once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use lazuli_api::Naming;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::banner::dialled;
use crate::config::Settings;

/// Tunnels at a time.
const TUNNELS: usize = 1024;
/// The longest head of a request, in bytes.
const LONGEST_HEAD: usize = 8192;
/// How long a client may take to send it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the proxy listens, and where it leads to.
pub(crate) fn listen(
    settings: &Settings,
    https: Option<SocketAddr>,
) -> anyhow::Result<Option<(TcpListener, SocketAddr)>> {
    let Some(address) = settings.azure.proxy.address() else {
        return Ok(None);
    };
    let server = https.context("azure.proxy leads to the HTTPS listener, but https is off")?;
    let server = dialled(server).parse()?;
    let listener = lazuli_api::listen(address).with_context(|| {
        format!("cannot listen on {address}; give azure.proxy another address, or \"off\"")
    })?;
    Ok(Some((listener, server)))
}

/// Serves until the future is dropped. `server`: where the HTTPS listener listens.
pub(crate) async fn run(listener: &TcpListener, naming: Arc<Naming>, server: SocketAddr) {
    let tunnels = Arc::new(Semaphore::new(TUNNELS));
    let mut open = tokio::task::JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = open.join_next() => continue,
        };
        let Ok((stream, remote)) = accepted else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let Ok(permit) = tunnels.clone().try_acquire_owned() else {
            continue;
        };
        let naming = naming.clone();
        open.spawn(async move {
            let _permit = permit;
            if let Err(error) = tunnel(stream, &naming, server).await {
                tracing::debug!(%error, %remote, "a tunnel ended with an error");
            }
        });
    }
}

async fn tunnel(mut client: TcpStream, naming: &Naming, server: SocketAddr) -> std::io::Result<()> {
    let head = tokio::time::timeout(PATIENCE, read_head(&mut client))
        .await
        .map_err(|_| std::io::ErrorKind::TimedOut)??;
    let answer = match target(&head) {
        Some((host, 443)) if naming.is_own(host) => {
            let mut inside = TcpStream::connect(server).await?;
            client
                .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
                .await?;
            copy_bidirectional(&mut client, &mut inside).await?;
            return Ok(());
        }
        Some((host, _)) if naming.is_own(host) => refusal(
            "403 Forbidden",
            "only port 443 of this server's names is answered",
        ),
        Some(_) => refusal(
            "502 Bad Gateway",
            "this proxy leads to the registry's own names only",
        ),
        None => refusal("405 Method Not Allowed", "this proxy takes CONNECT only"),
    };
    client.write_all(answer.as_bytes()).await?;
    client.shutdown().await
}

fn refusal(status: &str, text: &str) -> String {
    let length = text.len() + 1;
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{text}\n"
    )
}

/// The head of the request, up to its empty line. Nothing may follow: the client speaks first only after the answer.
async fn read_head(client: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(512);
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= LONGEST_HEAD {
            return Err(std::io::ErrorKind::InvalidData.into());
        }
        let mut chunk = [0; 512];
        let room = (LONGEST_HEAD - head.len()).min(chunk.len());
        let length = client.read(&mut chunk[..room]).await?;
        if length == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        head.extend_from_slice(&chunk[..length]);
    }
    Ok(head)
}

/// Host and port of a CONNECT request; `None` for anything else.
fn target(head: &[u8]) -> Option<(&str, u16)> {
    let line = head.split(|byte| *byte == b'\r').next()?;
    let line = str::from_utf8(line).ok()?;
    let mut words = line.split(' ');
    let (method, authority, version) = (words.next()?, words.next()?, words.next()?);
    if method != "CONNECT" || !version.starts_with("HTTP/1.") || words.next().is_some() {
        return None;
    }
    let (host, port) = authority.rsplit_once(':')?;
    Some((host, port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn only_connect_is_understood() {
        let read = |text: &'static str| target(text.as_bytes());
        assert_eq!(
            read("CONNECT a.lazuli.test:443 HTTP/1.1\r\nHost: a\r\n\r\n"),
            Some(("a.lazuli.test", 443))
        );
        for text in [
            "GET http://a.lazuli.test/ HTTP/1.1\r\n\r\n",
            "CONNECT a.lazuli.test HTTP/1.1\r\n\r\n",
            "CONNECT a.lazuli.test:x HTTP/1.1\r\n\r\n",
            "CONNECT a:443 b HTTP/1.1\r\n\r\n",
            "CONNECT\r\n\r\n",
            "",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    async fn ask(proxy: SocketAddr, head: &str) -> String {
        let mut stream = TcpStream::connect(proxy).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = vec![0; 1024];
        let length = stream.read(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer[..length]).into_owned()
    }

    #[tokio::test]
    async fn it_leads_own_names_to_the_server_and_nothing_anywhere_else() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        let echo = tokio::spawn(async move {
            let (mut stream, _) = server.accept().await.unwrap();
            let mut bytes = [0; 4];
            stream.read_exact(&mut bytes).await.unwrap();
            stream.write_all(&bytes).await.unwrap();
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = listener.local_addr().unwrap();
        let running = tokio::spawn(async move {
            run(&listener, Arc::new(Naming::default()), address).await;
        });
        for (head, status) in [
            ("CONNECT example.org:443 HTTP/1.1\r\n\r\n", " 502 "),
            ("CONNECT 169.254.169.254:443 HTTP/1.1\r\n\r\n", " 502 "),
            ("CONNECT login.lazuli.test:22 HTTP/1.1\r\n\r\n", " 403 "),
            ("GET http://login.lazuli.test/ HTTP/1.1\r\n\r\n", " 405 "),
        ] {
            let answer = ask(proxy, head).await;
            assert!(answer.contains(status), "{head}: {answer}");
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(
                head.contains(&format!("Content-Length: {}", body.len())),
                "{answer}"
            );
        }
        let mut stream = TcpStream::connect(proxy).await.unwrap();
        let head = b"CONNECT login.lazuli.test:443 HTTP/1.1\r\n\r\n";
        stream.write_all(head).await.unwrap();
        let mut answer = [0; 39];
        stream.read_exact(&mut answer).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200 "));
        stream.write_all(b"ping").await.unwrap();
        let mut bytes = [0; 4];
        stream.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"ping");
        echo.await.unwrap();
        running.abort();
    }
}
