//! The byte stream of a connection, watched: it notes for the supervisor whether the client takes and gives bytes, and
//! sees the heads of requests before they are parsed.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::connections::{Connection, Phase};
use crate::framing::Framing;

/// Most bytes thrown away after an early answer.
const MOST_DISCARDED: u64 = 256 << 20;

/// What the stream tells the service of the same connection.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    ambiguous_framing: AtomicBool,
}

impl Seen {
    /// Whether the request just parsed told its length more than once. Reading resets.
    pub(crate) fn take_ambiguous_framing(&self) -> bool {
        self.ambiguous_framing.load(Relaxed) && self.ambiguous_framing.swap(false, Relaxed)
    }
}

/// A watched stream.
#[derive(Debug)]
pub(crate) struct Watched<S> {
    inner: S,
    connection: Arc<Connection>,
    seen: Arc<Seen>,
    framing: Framing,
    is_write_blocked: bool,
    discarded: u64,
    write_is_shut: bool,
}

impl<S> Watched<S> {
    pub(crate) fn new(inner: S, connection: Arc<Connection>, seen: Arc<Seen>) -> Self {
        Self {
            inner,
            connection,
            seen,
            framing: Framing::default(),
            is_write_blocked: false,
            discarded: 0,
            write_is_shut: false,
        }
    }

    fn observe(&mut self, bytes: &[u8]) {
        match self.connection.phase() {
            Phase::Idle => {
                self.connection.enter(Phase::Head);
                self.framing.expect_request();
            }
            Phase::Head => {}
            Phase::Handshake | Phase::Busy | Phase::Linger => return,
        }
        self.framing.observe(bytes);
        if self.framing.is_ambiguous() {
            self.seen.ambiguous_framing.store(true, Relaxed);
        }
    }

    fn wrote<T>(&mut self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_pending() != self.is_write_blocked {
            self.is_write_blocked = result.is_pending();
            self.connection.set_write_blocked(self.is_write_blocked);
            if !self.is_write_blocked && self.connection.phase() == Phase::Idle {
                // The last bytes of a response have just left: idleness begins now.
                self.connection.enter(Phase::Idle);
            }
        }
        result
    }
}

impl<S: AsyncRead + Unpin> Watched<S> {
    /// Reads and drops what the client sends, until it has seen the end of ours. Closing with unread bytes would make
    /// the kernel reset the connection, and the client might lose the response.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut space = [0; 8192];
        loop {
            let mut buffer = ReadBuf::new(&mut space);
            match ready!(Pin::new(&mut self.inner).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {
                    self.discarded += buffer.filled().len() as u64;
                    if self.discarded > MOST_DISCARDED {
                        return Poll::Ready(());
                    }
                }
                _ => return Poll::Ready(()),
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buffer))?;
        let bytes = &buffer.filled()[before..];
        if !bytes.is_empty() {
            self.observe(bytes);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.wrote(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.wrote(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_flush(cx);
        self.wrote(result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.write_is_shut {
            // A head that was not read to its end was answered early too (400, 431).
            if self.connection.phase() == Phase::Head {
                self.connection.set_linger();
            }
            self.connection.enter(Phase::Linger);
            let result = Pin::new(&mut self.inner).poll_shutdown(cx);
            ready!(self.wrote(result))?;
            self.write_is_shut = true;
        }
        if self.connection.lingers() {
            ready!(self.poll_discard(cx));
        }
        Poll::Ready(Ok(()))
    }
}
