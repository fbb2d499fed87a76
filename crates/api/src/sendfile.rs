//! File bodies over plain TCP without copying them through the process: `sendfile`.
//!
//! hyper only writes bytes it is given. So a body gives it *stand-ins*: slices of one region of memory that nobody
//! reads, as long as the piece of the file they stand for, which is noted in the connection's queue. The stream below
//! hyper recognises a stand-in by its address and has the kernel send the piece instead. A stand-in that is not the
//! one noted next is an error: the region's bytes never reach a client.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, IoSlice};
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

/// The longest piece, in bytes.
pub(crate) const PIECE: usize = 1 << 20;

/// Consecutive stand-ins begin at different addresses, of which there are so many, so that none passes for another.
const STARTS: usize = 4096;

/// Allocated zeroed and never touched, so it takes addresses but no memory.
static REGION: LazyLock<&'static [u8]> =
    LazyLock::new(|| Box::leak(vec![0; PIECE + STARTS].into_boxed_slice()));

fn is_stand_in(slice: &IoSlice<'_>) -> bool {
    // An address one past the end may belong to another allocation: the range is half open.
    !slice.is_empty() && REGION.as_ptr_range().contains(&slice.as_ptr())
}

/// A piece of a file that hyper holds a stand-in for.
#[derive(Debug)]
struct Piece {
    file: Arc<File>,
    offset: u64,
    /// Where what is left of the stand-in begins.
    address: usize,
    /// Bytes left.
    length: usize,
}

impl Piece {
    /// Sends what the socket takes of it. Zero when the file has become too short.
    fn send(&self, socket: &TcpStream) -> io::Result<usize> {
        let mut offset = self.offset;
        match rustix::fs::sendfile(socket, &self.file, Some(&mut offset), self.length) {
            // Not every file system can.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => self.copy(socket),
            result => Ok(result?),
        }
    }

    fn copy(&self, socket: &TcpStream) -> io::Result<usize> {
        let mut space = [0; 16 << 10];
        let wanted = self.length.min(space.len());
        let have = self.file.read_at(&mut space[..wanted], self.offset)?;
        if have == 0 {
            return Ok(0);
        }
        Ok(rustix::net::send(
            socket,
            &space[..have],
            SendFlags::NOSIGNAL,
        )?)
    }
}

/// The pieces a connection has to send, in order.
#[derive(Debug, Default)]
pub(crate) struct SendQueue(Mutex<Pieces>);

#[derive(Debug, Default)]
struct Pieces {
    waiting: VecDeque<Piece>,
    count: usize,
}

impl SendQueue {
    fn lock(&self) -> MutexGuard<'_, Pieces> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a piece of at most [`PIECE`] bytes and returns the stand-in, which has to be written to the
    /// [`SendingStream`] of the same queue, after those returned before and before those returned later.
    pub(crate) fn push(&self, file: &Arc<File>, offset: u64, length: usize) -> Bytes {
        let mut pieces = self.lock();
        pieces.count += 1;
        let start = pieces.count % STARTS;
        let stand_in = &REGION[start..start + length.min(PIECE)];
        pieces.waiting.push_back(Piece {
            file: file.clone(),
            offset,
            address: stand_in.as_ptr().addr(),
            length: stand_in.len(),
        });
        Bytes::from_static(stand_in)
    }
}

/// A TCP stream that sends pieces of files in place of their stand-ins.
#[derive(Debug)]
pub(crate) struct SendingStream {
    inner: TcpStream,
    queue: Arc<SendQueue>,
    is_corked: bool,
}

impl SendingStream {
    pub(crate) fn new(inner: TcpStream, queue: Arc<SendQueue>) -> Self {
        Self {
            inner,
            queue,
            is_corked: false,
        }
    }

    /// While pieces are sent only full segments leave: the kernel sends page by page, and a short segment after each
    /// run of pages costs as much as a full one. Only speed depends on it.
    fn cork(&mut self, is_corked: bool) {
        if self.is_corked != is_corked {
            self.is_corked = is_corked;
            let _ = rustix::net::sockopt::set_tcp_cork(&self.inner, is_corked);
        }
    }

    fn poll_io(
        &self,
        cx: &mut Context<'_>,
        mut send: impl FnMut(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.inner.poll_write_ready(cx))?;
            match self.inner.try_io(Interest::WRITABLE, || send(&self.inner)) {
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                result => return Poll::Ready(result),
            }
        }
    }

    fn poll_send(&self, cx: &mut Context<'_>, stand_in: &[u8]) -> Poll<io::Result<usize>> {
        let mut pieces = self.queue.lock();
        let next = pieces.waiting.front_mut().filter(|piece| {
            (piece.address, piece.length) == (stand_in.as_ptr().addr(), stand_in.len())
        });
        let Some(piece) = next else {
            let error = io::Error::other("a stand-in was written out of turn");
            return Poll::Ready(Err(error));
        };
        let sent = ready!(self.poll_io(cx, |socket| piece.send(socket)))?;
        if sent == 0 {
            let error = io::Error::new(ErrorKind::UnexpectedEof, "a file became shorter");
            return Poll::Ready(Err(error));
        }
        piece.offset += sent as u64;
        piece.address += sent;
        piece.length -= sent;
        if piece.length == 0 {
            pieces.waiting.pop_front();
        }
        Poll::Ready(Ok(sent))
    }
}

impl AsyncRead for SendingStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl AsyncWrite for SendingStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Some(first) = slices.iter().position(is_stand_in) else {
            return Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        };
        let before = &slices[..first];
        if before.iter().all(|slice| slice.is_empty()) {
            self.cork(true);
            return self.poll_send(cx, &slices[first]);
        }
        // The piece follows at once: the head of an answer is no packet of its own.
        let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
        self.poll_io(cx, |socket| {
            let mut ancillary = SendAncillaryBuffer::default();
            Ok(rustix::net::sendmsg(socket, before, &mut ancillary, flags)?)
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper flushes whenever it has nothing more to write.
        self.cork(false);
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[path = "sendfile_tests.rs"]
mod tests;
