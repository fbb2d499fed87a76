//! The listeners: accepting connections, serving each on its own task, and ending in order.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_rustls::TlsAcceptor;

use crate::connections::{Membership, Phase, order};
use crate::metrics::ConnectionFault;
use crate::pool::CHUNK;
use crate::resolver::Scheme;
use crate::sendfile::SendingStream;
use crate::service::{App, Client, ConnectionService, Shell};
use crate::stream::{Seen, Watched};
use crate::tls::Tls;

/// Connections the kernel holds until they are accepted.
const BACKLOG: i32 = 1024;

/// Connections that are told at once that there are too many.
const REFUSALS: usize = 64;

/// Where the server listens.
#[derive(Debug, Default)]
pub struct Listeners {
    /// Plain HTTP.
    pub http: Vec<TcpListener>,
    /// HTTPS.
    pub https: Vec<(TcpListener, Tls)>,
    /// Those that come while the server runs, plain ones without a certificate.
    pub later: Option<mpsc::UnboundedReceiver<(TcpListener, Option<Tls>)>>,
}

/// Listens on an address. Has to be called in a tokio runtime.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let domain = socket2::Domain::for_address(address);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Every request under way was answered.
    Complete,
    /// Some took longer than the grace period and were cut off.
    Cut,
}

/// Serves until `shutdown` is ready, then lets requests under way finish.
pub(crate) async fn serve<A: App>(
    app: Arc<A>,
    shell: Arc<Shell>,
    listeners: Listeners,
    shutdown: impl Future<Output = ()>,
) -> Ended {
    let supervisor = tokio::spawn({
        let connections = shell.connections.clone();
        async move { connections.supervise().await }
    });
    let (stop, stopped) = watch::channel(());
    let mut accepting = Vec::new();
    let plain = listeners.http.into_iter().map(|listener| (listener, None));
    let encrypted = listeners
        .https
        .into_iter()
        .map(|(listener, tls)| (listener, Some(tls.acceptor())));
    let accept = |listener, tls| {
        let acceptor = Acceptor {
            app: app.clone(),
            shell: shell.clone(),
            tls,
            refusals: Arc::new(Semaphore::new(REFUSALS)),
        };
        tokio::spawn(acceptor.run(listener, stopped.clone()))
    };
    for (listener, tls) in plain.chain(encrypted) {
        accepting.push(accept(listener, tls));
    }
    let mut later = listeners.later;
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            (listener, tls) = next(&mut later) => {
                accepting.push(accept(listener, tls.map(|tls| tls.acceptor())));
            }
        }
    }
    // The listeners close first, so that new clients go elsewhere.
    drop(stop);
    for task in accepting {
        let _ = task.await;
    }
    let grace = shell.limits.shutdown_grace;
    let complete = shell.connections.finish(grace).await;
    supervisor.abort();
    if complete {
        Ended::Complete
    } else {
        Ended::Cut
    }
}

/// The next listener; never, when there are no more to come.
async fn next(
    later: &mut Option<mpsc::UnboundedReceiver<(TcpListener, Option<Tls>)>>,
) -> (TcpListener, Option<Tls>) {
    if let Some(listeners) = later
        && let Some(listener) = listeners.recv().await
    {
        return listener;
    }
    std::future::pending().await
}

struct Acceptor<A> {
    app: Arc<A>,
    shell: Arc<Shell>,
    tls: Option<TlsAcceptor>,
    refusals: Arc<Semaphore>,
}

impl<A: App> Acceptor<A> {
    async fn run(self, listener: TcpListener, mut stopped: watch::Receiver<()>) {
        let local = listener.local_addr().ok();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stopped.changed() => return,
            };
            match accepted {
                Ok((stream, remote)) => self.admit(stream, remote, local),
                Err(error) => {
                    // Out of file descriptors, mostly: waiting lets some come back. A client that went away before
                    // it was accepted costs the same short wait.
                    tracing::warn!(%error, "accepting a connection failed");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
    }

    fn admit(&self, stream: TcpStream, remote: SocketAddr, listening: Option<SocketAddr>) {
        let metrics = &self.shell.observed.metrics;
        metrics.accepted();
        let Some(membership) = self.shell.connections.admit(remote, self.tls.is_some()) else {
            metrics.fault(ConnectionFault::Refused);
            return self.refuse(stream);
        };
        // Answers are written whole, so waiting to fill packets would only delay them. Nothing depends on success.
        let _ = stream.set_nodelay(true);
        let local = stream.local_addr().ok().or(listening).unwrap_or(remote);
        let connection = membership.connection().clone();
        let seen = Arc::new(Seen::default());
        let service = ConnectionService {
            app: self.app.clone(),
            shell: self.shell.clone(),
            connection: connection.clone(),
            seen: seen.clone(),
            client: Client {
                scheme: match self.tls {
                    Some(_) => Scheme::Https,
                    None => Scheme::Http,
                },
                local,
                remote,
                last_site: RefCell::default(),
            },
        };
        let shell = self.shell.clone();
        match self.tls.clone() {
            None => {
                let queue = connection.send_queue().cloned().unwrap_or_default();
                let stream = SendingStream::new(stream, queue);
                let stream = Watched::new(stream, connection, seen);
                let serving = serve_connection(stream, service, shell.clone());
                tokio::spawn(Supervised::new(serving, membership, shell));
            }
            Some(tls) => {
                let serving = async move {
                    let Ok(stream) = tls.accept(stream).await else {
                        service
                            .shell
                            .observed
                            .metrics
                            .fault(ConnectionFault::Handshake);
                        return;
                    };
                    connection.enter(Phase::Head);
                    let stream = Watched::new(stream, connection, seen);
                    let shell = service.shell.clone();
                    serve_connection(stream, service, shell).await;
                };
                tokio::spawn(Supervised::new(serving, membership, shell));
            }
        }
    }

    /// Says that there are too many connections, if that takes little: an answer to a client that has not finished
    /// its request might be lost, so some of the request is awaited.
    fn refuse(&self, mut stream: TcpStream) {
        const ANSWER: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n\
            Content-Type: application/json; charset=utf-8\r\nContent-Length: 88\r\n\r\n\
            {\"errors\":[{\"code\":\"TOOMANYREQUESTS\",\"message\":\"too many connections; retry shortly\"}]}\n";
        let Ok(permit) = self.refusals.clone().try_acquire_owned() else {
            return;
        };
        if self.tls.is_some() {
            return;
        }
        tokio::spawn(async move {
            let _permit = permit;
            let answer = async {
                let mut head = [0; 4096];
                let _ = stream.read(&mut head).await?;
                stream.write_all(ANSWER).await?;
                stream.shutdown().await?;
                while stream.read(&mut head).await? > 0 {}
                io::Result::Ok(())
            };
            let _ = tokio::time::timeout(Duration::from_secs(1), answer).await;
        });
    }
}

async fn serve_connection<A, S>(
    stream: Watched<S>,
    service: ConnectionService<A>,
    shell: Arc<Shell>,
) where
    A: App,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let connection = service.connection.clone();
    let http = http1::Builder::new()
        // One chunk of a file at a time, and reads of up to as much for uploads.
        .max_buf_size(CHUNK.max(shell.limits.max_header_bytes))
        .max_header_size(shell.limits.max_header_bytes)
        // The supervisor does this, without a timer for each request.
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), service);
    let mut http = std::pin::pin!(http);
    let mut is_finishing = false;
    let served = std::future::poll_fn(|cx| {
        if !is_finishing && connection.orders() & order::FINISH != 0 {
            is_finishing = true;
            http.as_mut().graceful_shutdown();
        }
        http.as_mut().poll(cx)
    });
    if let Err(error) = served.await {
        let fault = if error.is_parse() || error.is_parse_too_large() {
            ConnectionFault::Malformed
        } else {
            ConnectionFault::Transport
        };
        shell.observed.metrics.fault(fault);
        tracing::debug!(%error, remote = %connection.remote(), "a connection ended with an error");
    }
}

/// A connection's task, which obeys the supervisor.
struct Supervised<F> {
    serving: Pin<Box<F>>,
    membership: Membership,
    shell: Arc<Shell>,
    waker: Option<Waker>,
}

impl<F> Supervised<F> {
    fn new(serving: F, membership: Membership, shell: Arc<Shell>) -> Self {
        Self {
            serving: Box::pin(serving),
            membership,
            shell,
            waker: None,
        }
    }
}

impl<F: Future<Output = ()>> Future for Supervised<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let connection = this.membership.connection();
        connection.register(cx, &mut this.waker);
        let orders = connection.orders();
        if orders & order::CUT != 0 {
            this.shell.observed.metrics.fault(ConnectionFault::Deadline);
            return Poll::Ready(());
        }
        if orders & order::FINISH != 0 && connection.phase() == Phase::Handshake {
            return Poll::Ready(());
        }
        this.serving.as_mut().poll(cx)
    }
}

#[cfg(test)]
#[path = "server_tests/mod.rs"]
mod tests;
